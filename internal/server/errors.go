package server

import (
	"context"
	"errors"
	"net/http"

	"github.com/occid/occid/occi"
	"github.com/occid/occid/render"
)

// statuses maps the classes of failure to HTTP (GFD.223 section 12).
var statuses = map[occi.Class]int{
	occi.Invalid:      http.StatusBadRequest,
	occi.Unauthorized: http.StatusUnauthorized,
	occi.Forbidden:    http.StatusForbidden,
	occi.NotFound:     http.StatusNotFound,
	occi.Method:       http.StatusMethodNotAllowed,
	occi.Unacceptable: http.StatusNotAcceptable,
	occi.Conflict:     http.StatusConflict,
	occi.Precondition: http.StatusPreconditionFailed,
	occi.TooLarge:     http.StatusRequestEntityTooLarge,
	occi.Media:        http.StatusUnsupportedMediaType,
	occi.Unsupported:  http.StatusNotImplemented,
	occi.Unavailable:  http.StatusServiceUnavailable,
	occi.Full:         http.StatusInsufficientStorage,
	occi.Internal:     http.StatusInternalServerError,
}

// hidden is what a client reads instead of the text of an internal fault.
const hidden = "the server failed; its log has the reason under request "

// classify gives every error a class: those of other packages that a request
// can cause by itself are told apart from faults of the server.
func classify(err error) *occi.Error {
	var e *occi.Error
	if errors.As(err, &e) {
		return e
	}
	var big *http.MaxBytesError
	switch {
	case errors.As(err, &big):
		return occi.E(occi.TooLarge, "the request body is larger than %d bytes", big.Limit)
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return &occi.Error{Class: occi.Unavailable, Message: "the request was not finished in time", Err: err}
	}
	return &occi.Error{Class: occi.Internal, Message: err.Error(), Err: err}
}

// fault is an error as its client sees it.
func (c *call) fault(e *occi.Error) *render.Fault {
	status := statuses[e.Class]
	f := &render.Fault{Status: status, Reason: http.StatusText(status), Message: e.Message, Problems: e.Problems}
	if e.Class == occi.Internal {
		f.Message, f.Problems = hidden+c.id, nil
	}
	return f
}

// fail answers with an error, in the format asked for where that is known.
func (c *call) fail(err error) {
	e := classify(err)
	if c.rec.status != 0 {
		// The answer is under way; its connection can only be cut.
		c.s.log.Error("answer cut short", "request_id", c.id, "error", err)
		panic(http.ErrAbortHandler)
	}
	if e.Class == occi.Internal {
		c.s.log.Error("request failed", "request_id", c.id, "error", err)
	}
	h := c.rec.Header()
	for _, name := range []string{"Etag", "Last-Modified", "Location", "Link"} {
		delete(h, name)
	}
	if e.Class == occi.Unavailable {
		h["Retry-After"] = []string{"1"}
	}
	f := c.fault(e)
	format := c.faultFormat()
	body, err := format.Fault(nil, c.view(), f)
	if err != nil {
		format = render.Formats()[0]
		body, _ = format.Fault(nil, c.view(), f)
	}
	c.send(f.Status, format, body)
}

// faultFormat is the format of an error: the one negotiated, or the one that
// the request would get if nothing else were wrong with it, or the default.
func (c *call) faultFormat() *render.Format {
	if c.format != nil {
		return c.format
	}
	if f, err := c.negotiated(); err == nil {
		return f
	}
	return render.Formats()[0]
}
