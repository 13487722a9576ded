package server

import (
	"net/http"
	"strconv"

	"github.com/occid/occid/internal/auth"
	"github.com/occid/occid/internal/web"
	"github.com/occid/occid/occi"
	"github.com/occid/occid/render"
)

// hidden is what a client reads instead of the text of an internal fault.
const hidden = "the server failed; its log has the reason under request "

// fault is an error as its client sees it.
func (c *call) fault(e *occi.Error) *render.Fault {
	status := web.Status(e.Class)
	f := &render.Fault{Status: status, Reason: http.StatusText(status), Message: e.Message, Problems: e.Problems}
	if e.Class == occi.Internal {
		f.Message, f.Problems = hidden+c.id, nil
	}
	return f
}

// fail answers with an error, in the format asked for where that is known.
func (c *call) fail(err error) {
	e := web.Classify(err)
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
	if e.Class == occi.Unavailable && h["Retry-After"] == nil {
		h["Retry-After"] = []string{"1"}
	}
	if e.Class == occi.TooMany {
		h["Retry-After"] = []string{strconv.Itoa(auth.RetryAfter(err))}
	}
	if e.Class == occi.Unauthorized {
		c.challenge(h)
	}
	f := c.fault(e)
	c.refused(f.Status, err)
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
