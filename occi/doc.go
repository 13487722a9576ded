// Package occi is the domain: the OCCI core model (GFD.221) as Go values.
//
// It holds categories (Kind, Mixin, Action), the Model made of them, Entities
// and the Drafts they are built from, the state machine, queries, tasks and the
// one error type. It does no I/O and imports only the standard library and
// google/uuid. Entities read from a store are shared and must not be changed;
// Clone one first.
package occi
