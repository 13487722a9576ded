package engine

import (
	"context"

	"github.com/occid/occid/occi"
)

// Tracer follows requests through the tasks that they leave.
type Tracer interface {
	// Carry gives what is stored with the tasks of a request, Task the context in which
	// one is worked on, on whatever server, and what is called with its outcome.
	Carry(ctx context.Context) string
	Task(ctx context.Context, t *occi.Task) (context.Context, func(error))
}

// untraced follows nothing.
type untraced struct{}

func (untraced) Carry(context.Context) string { return "" }
func (untraced) Task(ctx context.Context, _ *occi.Task) (context.Context, func(error)) {
	return ctx, func(error) {}
}

// follow marks the tasks that a change makes with what leads to the request that they
// are of.
func follow(c *occi.Change, trace, request string) {
	for _, t := range c.Tasks {
		if t.Seq == 0 {
			t.Trace, t.Request = trace, request
		}
	}
}

// requestOf identifies the request in a context, "" for none.
func requestOf(ctx context.Context) string {
	if o := occi.OriginOf(ctx); o != nil {
		return o.Request
	}
	return ""
}
