package server

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/occid/occid/occi"
)

// anyOrigin stands for the pages of every site.
const anyOrigin = "*"

// Fields of cross-origin requests (Fetch standard, section 3.3).
var (
	corsMethods = []string{"GET, HEAD, POST, PUT, DELETE, OPTIONS"}
	corsHeaders = []string{"Accept, Category, Content-Digest, Content-Range, Content-Type, Digest, Idempotency-Key, If-Match, If-Modified-Since, " +
		"If-None-Match, If-Unmodified-Since, Last-Event-ID, Link, Prefer, Repr-Digest, Traceparent, Tracestate, X-Checksum-Sha256, " +
		"X-OCCI-Attribute, X-OCCI-Category, X-OCCI-Link, X-OCCI-Location, X-Project, X-Request-Id"}
	// Where no site is named, none may send what somebody is recognised by.
	corsNamed   = []string{corsHeaders[0] + ", Authorization, X-Auth-Token"}
	corsExposed = []string{"Accept, Allow, Category, Content-Disposition, ETag, Link, Location, Preference-Applied, Range, RateLimit, RateLimit-Policy, Retry-After, Server, " +
		"Upload-Length, Upload-Offset, WWW-Authenticate, X-Auth-Token, X-OCCI-Attribute, X-OCCI-Location, X-OCCI-States, X-OCCI-Transition, X-Request-Id, X-Task-Location"}
	corsAge   = []string{"600"} // seconds
	corsAny   = []string{anyOrigin}
	corsTrue  = []string{"true"}
	varyNamed = []string{"Origin"}
)

// Origins are the sites whose pages may ask the server from a browser. None is the zero
// value: they may not.
type Origins struct {
	any     bool
	named   []string
	browser http.CrossOriginProtection
}

// NewOrigins reads origins such as https://portal.example.org, exactly as browsers send
// them. "*" alone means all, for requests without credentials.
func NewOrigins(list []string) (*Origins, error) {
	o := &Origins{named: list}
	if slices.Equal(list, corsAny) {
		return &Origins{any: true}, nil
	}
	for _, text := range list {
		if err := errors.Join(serialized(text), o.browser.AddTrustedOrigin(text)); err != nil {
			return nil, fmt.Errorf("%q is no origin such as https://portal.example.org, nor * alone", text)
		}
	}
	return o, nil
}

// serialized refuses what no browser sends as an origin, and would never count.
func serialized(text string) error {
	u, err := url.Parse(text)
	if err != nil {
		return err
	}
	standard := map[string]string{"http": "80", "https": "443"}[u.Scheme]
	if standard == "" || u.Port() == standard || text != strings.ToLower(u.Scheme+"://"+u.Host) || strings.Contains(text, anyOrigin) {
		return errors.New("not as browsers write it")
	}
	return nil
}

// shared tells the browser whether the page that asks may read the answer. It reports
// whether the request only asks for that, and was answered.
func (c *call) shared() bool {
	o := c.s.origins
	if !o.any && len(o.named) == 0 {
		return false
	}
	h := c.rec.Header()
	origin := c.r.Header["Origin"]
	headers := corsHeaders
	switch {
	case o.any:
		h["Access-Control-Allow-Origin"] = corsAny
	default:
		h["Vary"] = varyNamed
		if len(origin) != 1 || !slices.Contains(o.named, origin[0]) {
			return false
		}
		h["Access-Control-Allow-Origin"] = origin
		h["Access-Control-Allow-Credentials"] = corsTrue
		headers = corsNamed
	}
	if c.r.Method != http.MethodOptions || len(origin) == 0 || len(c.r.Header["Access-Control-Request-Method"]) == 0 {
		h["Access-Control-Expose-Headers"] = corsExposed
		return false
	}
	h["Access-Control-Allow-Methods"] = corsMethods
	h["Access-Control-Allow-Headers"] = headers
	h["Access-Control-Max-Age"] = corsAge
	c.rec.WriteHeader(http.StatusNoContent)
	return true
}

// fromPage refuses writes that a page of another site makes a browser send, unless the
// site may. Where any site may, the request must not carry what the browser knows of its
// user.
func (c *call) fromPage() error {
	o := c.s.origins
	if n := len(c.r.Header["Origin"]); n > 1 {
		return occi.E(occi.Invalid, "Origin: the request has %d of them", n)
	}
	err := o.browser.Check(c.r)
	if err == nil {
		return c.intended()
	}
	if o.any && len(c.r.Header["Authorization"])+len(c.r.Header["Cookie"])+len(c.r.Header["X-Auth-Token"]) == 0 {
		return nil
	}
	return occi.E(occi.Forbidden, "a page of another site may not send this request: %v", err)
}
