package server

import (
	"crypto/sha256"
	"encoding/hex"
	"log/slog"
	"net/http"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/occid/occid/internal/auth"
	"github.com/occid/occid/internal/engine"
	"github.com/occid/occid/internal/web"
	"github.com/occid/occid/occi"
	"github.com/occid/occid/render"
)

// call is one request on its way through the server.
type call struct {
	s      *Server
	r      *http.Request
	rec    recorder
	id     string // of the request, for the log
	secure bool   // the client speaks TLS
	caller engine.Caller
	note   auth.Note // which policy decided
	reg    *registry
	to     target
	params params
	format *render.Format // of the answer; nil until negotiated
	// filtered answers depend on header fields that filter.
	filtered bool
	// content is the rendering embedded in Atom entries.
	content string
	// fields are what is shown of entities, nil for all.
	fields []string
	linked linked
	links  []string // to the pages around the one shown
	body   []byte   // of the request, once read
	signed bool     // a signature is asked for
}

// recorder notes what was answered, for the log.
type recorder struct {
	http.ResponseWriter
	status int
	bytes  int64
}

func (r *recorder) WriteHeader(status int) {
	if r.status == 0 {
		r.status = status
	}
	if status == http.StatusNotModified {
		web.Unchanged(r.Header())
	}
	r.ResponseWriter.WriteHeader(status)
}

func (r *recorder) Write(b []byte) (int, error) {
	if r.status == 0 {
		r.status = http.StatusOK
	}
	n, err := r.ResponseWriter.Write(b)
	r.bytes += int64(n)
	return n, err
}

// Unwrap lets http.ResponseController reach the connection.
func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }

// ServeHTTP answers a request.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.routes.ServeHTTP(w, r) }

// handle makes a handler of what a path means: it answers, whatever happens, and
// logs that it did. Who asks is found out first, unless the path is open to all.
func (s *Server) handle(find finder, open bool) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		start := time.Now()
		c := &call{s: s, r: r, rec: recorder{ResponseWriter: w}, id: s.requestID(r), secure: s.secure(r), reg: s.registry(engine.Caller{})}
		c.commonFields()
		s.watch.Begun()
		defer c.traced()()
		defer c.logged(start)
		defer c.recovered()
		if c.shared() {
			return
		}
		err := c.authenticated(open)
		if err == nil {
			err = c.judged(find)
		}
		if err != nil {
			c.fail(err)
		}
	}
}

// judged does what a request asks for. One that is refused is tried once more if
// other servers' users have changed the registry since it was looked at.
func (c *call) judged(find finder) error {
	if err := c.renew(false); err != nil {
		return err
	}
	err := c.do(find)
	if class := occi.ClassOf(err); err == nil || c.rec.status != 0 || class != occi.Invalid && class != occi.NotFound {
		return err
	}
	before := c.reg
	if c.renew(true) != nil || c.reg == before {
		return err
	}
	return c.do(find)
}

// renew brings the registry up to date.
func (c *call) renew(surely bool) error {
	err := c.s.engine.Renew(c.r.Context(), surely)
	c.reg = c.s.registry(c.caller)
	return err
}

// do finds what to call for a request and calls it.
func (c *call) do(find finder) error {
	if err := c.acceptable(); err != nil {
		return err
	}
	var err error
	if c.to, err = find(c); err != nil {
		return err
	}
	verb := c.to.verbs.of(c.r.Method)
	if verb == nil {
		return c.notAllowed()
	}
	if c.params, err = parseParams(c.r.URL.RawQuery); err != nil {
		return err
	}
	if err := c.asksToSign(); err != nil {
		return err
	}
	if err := c.permitted(); err != nil {
		return err
	}
	if !c.to.verbs.plain {
		if c.format, err = c.negotiated(); err != nil {
			return err
		}
		if err := c.signable(); err != nil {
			return err
		}
	}
	if !safe(c.r.Method) {
		c.r = c.r.WithContext(occi.WithOrigin(c.r.Context(), c.origin()))
	}
	return verb(c)
}

// safe reports whether a method changes nothing (RFC 9110 section 9.2.1).
func safe(method string) bool {
	return method == http.MethodGet || method == http.MethodHead || method == http.MethodOptions
}

// acceptable refuses what is not for this server: a later version of OCCI
// (GFD.223 section 8), and writes that a page of another site makes a browser
// send.
func (c *call) acceptable() error {
	if v, ok := laterVersion(c.r.Header["User-Agent"]); ok {
		return occi.E(occi.Unsupported, "User-Agent: OCCI/%s is not spoken here; OCCI/1.2 and OCCI/1.1 are", v)
	}
	if err := c.addressed(); err != nil {
		return err
	}
	return c.fromPage()
}

// negotiated gives the format of the answer; a suffix wins over Accept.
func (c *call) negotiated() (*render.Format, error) {
	if c.to.suffix != nil {
		return c.to.suffix, nil
	}
	accept := c.r.Header["Accept"]
	if len(accept) == 0 {
		return render.Formats()[0], nil
	}
	if len(accept) == 1 {
		if f := render.Named(accept[0]); f != nil {
			return f, nil
		}
	}
	return render.Accept(accept, render.Formats())
}

// commonFields sets the header fields that every answer has.
func (c *call) commonFields() {
	h := c.rec.Header()
	h["Server"] = c.s.fields.server
	web.Protect(h, c.secure)
	h["Accept"] = c.s.fields.accept
	h["X-Request-Id"] = []string{c.id}
	if len(c.r.TransferEncoding) > 0 {
		// There may have been a Content-Length too, of which a proxy has made something
		// else: what follows in the connection is not read (RFC 9112 section 6.1).
		h["Connection"] = closes
	}
	if agent := c.r.Header["User-Agent"]; len(agent) > 0 && strings.HasPrefix(agent[0], "rOCCI-api/4") {
		h["Accept"] = c.s.fields.acceptOld
	}
	if c.s.auth != nil {
		h["Cache-Control"] = ownersAlone
	}
}

var (
	closes           = []string{"close"}
	varyAccept       = []string{"Accept"}
	ownersAlone      = []string{"private, no-cache"}
	varyLogin        = "Authorization, Cookie, X-Auth-Token, " + auth.ProjectField
	varyFilter       = []string{"Category, X-OCCI-Attribute"}
	varyAcceptFilter = []string{"Accept, Category, X-OCCI-Attribute"}
)

func (c *call) view() *render.View {
	return &render.View{Model: c.reg.model, Base: c.base(), Content: c.content, Fields: c.fields, Targets: c.linked.targets, Offers: c.offers()}
}

// send writes an answer whose content is a body.
func (c *call) send(status int, f *render.Format, body []byte) {
	if text, err := c.sign(f, body); err == nil {
		body = text
	} else {
		// What was done is done; nobody takes the answer for a signed one.
		c.s.log.Error("answer not signed", "request_id", c.id, "error", err)
	}
	h := c.rec.Header()
	h["Content-Type"] = []string{f.Type}
	h["Content-Length"] = []string{strconv.Itoa(len(body))}
	c.vary(h)
	c.rec.WriteHeader(status)
	// Whoever asked may be gone; there is nobody left to tell.
	_, _ = c.rec.Write(body)
}

func (c *call) vary(h http.Header) {
	var fields []string
	switch negotiated := c.to.suffix == nil; {
	case negotiated && c.filtered:
		fields = varyAcceptFilter
	case negotiated:
		fields = varyAccept
	case c.filtered:
		fields = varyFilter
	case c.s.auth == nil:
		return
	}
	if c.s.auth != nil {
		fields = append(slices.Clone(fields), varyLogin)
	}
	if len(c.s.origins.named) > 0 && len(fields) > 0 {
		fields = append([]string{varyNamed[0]}, fields...)
	}
	h["Vary"] = fields
}

// logged writes the record of a request.
func (c *call) logged(start time.Time) {
	took := time.Since(start)
	c.s.watch.Answered(c.to.route(), c.r.Method, c.rec.status, took)
	c.s.log.LogAttrs(c.r.Context(), slog.LevelInfo, "request",
		slog.String("request_id", c.id),
		slog.String("method", c.r.Method),
		slog.String("path", c.r.URL.Path),
		slog.Int("status", c.rec.status),
		slog.Int64("bytes", c.rec.bytes),
		slog.Duration("duration", took),
		slog.String("caller", c.caller.Login),
		slog.String("policy", c.note.Policy),
		slog.String("remote", c.r.RemoteAddr))
}

// recovered answers a request whose handling panicked.
func (c *call) recovered() {
	p := recover()
	if p == nil {
		return
	}
	if p == http.ErrAbortHandler {
		panic(p)
	}
	c.s.log.Error("handler panicked", "request_id", c.id, "panic", p, "stack", string(debug.Stack()))
	c.fail(occi.E(occi.Internal, "panic: %v", p))
}

// requestID takes over a proxy's, if it is harmless in a log, or makes one.
func (s *Server) requestID(r *http.Request) string {
	if given := r.Header["X-Request-Id"]; len(given) == 1 && plainWord(given[0], 64) {
		return given[0]
	}
	return s.idPrefix + strconv.FormatUint(s.requests.Add(1), 36)
}

// plainWord reports whether s is made of letters, digits and ".-_" only.
func plainWord(s string, longest int) bool {
	for i := 0; i < len(s); i++ {
		b := s[i]
		if !('a' <= b && b <= 'z' || 'A' <= b && b <= 'Z' || '0' <= b && b <= '9' || b == '.' || b == '-' || b == '_') {
			return false
		}
	}
	return s != "" && len(s) <= longest
}

// laterVersion finds a version of OCCI above 1.2 among product tokens.
func laterVersion(agents []string) (string, bool) {
	for _, agent := range agents {
		for _, product := range strings.Fields(agent) {
			v, ok := strings.CutPrefix(product, "OCCI/")
			if !ok {
				continue
			}
			major, minor, _ := strings.Cut(v, ".")
			x, err1 := strconv.Atoi(major)
			y, err2 := strconv.Atoi(minor)
			if err1 == nil && err2 == nil && (x > 1 || x == 1 && y > 2) {
				return v, true
			}
		}
	}
	return "", false
}

// tagOf is short and changes with any of its parts.
func tagOf(parts ...string) string {
	sum := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	return hex.EncodeToString(sum[:5])
}
