package engine

import (
	"context"

	"github.com/occid/occid/occi"
)

// EventRange gives the number of the first event that is kept and of the last there
// was. If none is kept, the first is the one to come.
func (e *Engine) EventRange(ctx context.Context, _ Caller) (first, last int64, err error) {
	return e.store.EventRange(ctx)
}

// Events gives about n events after a number, in order; none if there are none. If the
// first is not the next one, those between are forgotten.
func (e *Engine) Events(ctx context.Context, _ Caller, after int64, n int) ([]*occi.Event, error) {
	return e.store.Events(ctx, after, n)
}

// EventsBefore gives the n events before a number, the newest first; fewer if those
// before them are forgotten.
func (e *Engine) EventsBefore(ctx context.Context, _ Caller, before int64, n int) ([]*occi.Event, error) {
	return e.store.EventsBefore(ctx, before, n)
}

// Follow gives every event after a number on a channel, in order, until ctx ends. The
// channel is closed then, and when its reader is far behind or the store is closed.
func (e *Engine) Follow(ctx context.Context, _ Caller) (after int64, events <-chan []*occi.Event, err error) {
	return e.store.Follow(ctx)
}
