package libvirt

import (
	"context"
	"sync/atomic"
)

// Observer is told of the calls of a Driver. It is called from several goroutines
// and must not block. What it gives is called once, at the end, with the error or nil.
type Observer interface {
	// Call is told of a call of the Driver that begins, such as "define domain": one
	// of few names, without what the call is about. The context is that of the call
	// from then on. A call ends when the host has answered, be its caller gone.
	Call(ctx context.Context, operation string) (context.Context, func(error))
	// Change is told of a libvirt call that changes the host, by one of Ops; it is
	// part of a Call.
	Change(ctx context.Context, op string) (context.Context, func(error))
}

// unobserved observes nothing.
type unobserved struct{}

func (unobserved) Call(ctx context.Context, _ string) (context.Context, func(error)) {
	return ctx, func(error) {}
}

func (unobserved) Change(ctx context.Context, _ string) (context.Context, func(error)) {
	return ctx, func(error) {}
}

// Usage is how a Driver is doing.
type Usage struct {
	// Connected tells whether the connection to the host is open.
	Connected bool
	// Calls are under way, Hung those among them whose callers have given up.
	Calls, Hung int
}

// Usage tells how the Driver is doing, without asking the host.
func (d *Driver) Usage() Usage {
	return Usage{Connected: d.keeper.connected(), Calls: len(d.slots), Hung: int(d.hung.Load())}
}

// leaving tells whether the caller of a call has given up or the call has ended,
// whichever comes first.
type leaving struct{ state atomic.Int32 }

const (
	callerLeft = 1 + iota
	callEnded
)

func (l *leaving) leave(d *Driver) {
	// Counted before it is told, so that the end never comes first.
	d.hung.Add(1)
	if !l.state.CompareAndSwap(0, callerLeft) {
		d.hung.Add(-1)
	}
}

func (l *leaving) ended(d *Driver) {
	if l.state.Swap(callEnded) == callerLeft {
		d.hung.Add(-1)
	}
}
