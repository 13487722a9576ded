package server

import (
	"context"
	"net/http"
)

// Tracer follows requests. Request gives the context with which a request goes on, and
// what is called once it was answered.
type Tracer interface {
	Request(r *http.Request) (context.Context, func(route string, status int))
}

// traced follows a call, if anybody wants that; what it gives is called at the end.
func (c *call) traced() func() {
	if c.s.tracer == nil {
		return func() {}
	}
	ctx, end := c.s.tracer.Request(c.r)
	c.r = c.r.WithContext(ctx)
	return func() { end(c.to.route(), c.rec.status) }
}
