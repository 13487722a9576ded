// Package trace tells an OpenTelemetry collector how a request went: a span for the
// request, one for each attempt at a task that it left, and one for each call of a
// host's driver, all in one trace.
//
// As with metrics, the parts of the server do not know it. What a task needs to be in
// the trace of its request is stored with it.
package trace
