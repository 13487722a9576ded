package guest

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"log/slog"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/occid/occid/internal/engine"
	"github.com/occid/occid/internal/web"
	"github.com/occid/occid/occi"
	"github.com/occid/occid/render"
)

// Media types of what is not a rendering of OCCI.
const (
	textMedia = "text/plain; charset=utf-8"
	jsonMedia = "application/json"
	yamlMedia = "text/yaml; charset=utf-8"
	dataMedia = "application/octet-stream"
)

// maxBody bounds a request's body, in bytes.
const maxBody = 1 << 20

// An Answerer answers requests whose sender it is told of.
type Answerer interface {
	Answer(w http.ResponseWriter, r *http.Request, p Peer)
}

// Config is what a Handler is made of. Engine and Bridge are required.
type Config struct {
	Engine Engine
	// Bridge names the interface that a network has of its own on its host.
	Bridge func(network uuid.UUID) string
	// Bridged names the interface of the host for what is bridged to a bridge with a
	// VLAN, 0 for none. Nil means that there are no bridged networks.
	Bridged func(bridge string, vlan int) (string, error)
	// Secret is what tokens are made with; servers that share it take each other's.
	// Nil means one of this handler's own.
	Secret []byte
	// Version is the program's; every answer shows it.
	Version string
	// Logger gets a record of each write and each refusal; nil means slog's default.
	Logger *slog.Logger
	// Now tells the time; nil means time.Now.
	Now func() time.Time
}

// Handler answers what machines ask about themselves. It is safe for concurrent
// use.
type Handler struct {
	engine Engine
	source source
	tokens tokens
	server []string
	log    *slog.Logger
	now    func() time.Time
}

// NewHandler makes a Handler.
func NewHandler(c Config) *Handler {
	h := &Handler{engine: c.Engine, source: source{engine: c.Engine, bridge: c.Bridge, bridged: c.Bridged}, tokens: tokens{c.Secret},
		server: []string{"occid/" + c.Version + " OCCI/1.2 OCCI/1.1"}, log: c.Logger, now: c.Now}
	if h.log == nil {
		h.log = slog.Default()
	}
	if h.now == nil {
		h.now = time.Now
	}
	if h.tokens.key == nil {
		h.tokens.key = make([]byte, 32)
		rand.Read(h.tokens.key)
	}
	return h
}

// call is one request on its way.
type call struct {
	h    *Handler
	w    http.ResponseWriter
	r    *http.Request
	peer Peer
	own  *own
	// path has the segments of the request's path.
	path   []string
	format *render.Format // of an answer in OCCI's terms; nil for others
}

// Answer implements Answerer.
func (h *Handler) Answer(w http.ResponseWriter, r *http.Request, p Peer) {
	c := &call{h: h, w: w, r: r, peer: p}
	head := w.Header()
	head["Server"] = h.server
	head["X-Content-Type-Options"] = []string{"nosniff"}
	if err := c.do(); err != nil {
		c.fail(err)
	}
}

func (c *call) do() error {
	// A guest that lets others ask through it would show them what is its own.
	if len(c.r.Header["X-Forwarded-For"]) > 0 {
		return occi.E(occi.Forbidden, "X-Forwarded-For: a request is answered only to who makes it")
	}
	var err error
	if c.own, err = c.h.source.find(c.r.Context(), c.peer); err != nil {
		return err
	}
	for s := range strings.SplitSeq(c.r.URL.Path, "/") {
		if s != "" {
			c.path = append(c.path, s)
		}
	}
	return c.dialect()()
}

// dialect tells by the path what is spoken.
func (c *call) dialect() func() error {
	n := len(c.path)
	switch {
	case n == 0:
		return c.occi
	case versioned.MatchString(c.path[0]):
		return c.ec2
	case c.path[0] == "openstack":
		return c.openStack
	case c.path[0] == "nocloud", slices.Contains([]string{metaDataFile, userDataFile, vendorDataFile, networkFile}, c.path[n-1]):
		return c.noCloud
	}
	return c.occi
}

// only refuses other methods than those named, of which HEAD goes with GET.
func (c *call) only(methods ...string) error {
	if slices.Contains(methods, c.r.Method) {
		return nil
	}
	allow := strings.Join(methods, ", ")
	c.w.Header()["Allow"] = []string{allow}
	return occi.E(occi.Method, "%.20s is not possible at %.200s; %s are", c.r.Method, c.r.URL.Path, allow)
}

func (c *call) reads() error { return c.only(http.MethodGet, http.MethodHead) }

func (c *call) ec2() error {
	now := c.h.now()
	if slices.Equal(c.path[1:], []string{"api", "token"}) {
		if err := c.only(http.MethodPut); err != nil {
			return err
		}
		token, ttl, err := c.h.tokens.give(c.r.Header, c.own.entity.ID, now)
		if err != nil {
			return err
		}
		c.w.Header()[ttlField] = []string{strconv.Itoa(ttl)}
		return c.send(http.StatusOK, textMedia, []byte(token))
	}
	if err := c.reads(); err != nil {
		return err
	}
	if err := c.h.tokens.check(c.r.Header, c.own.machine, now); err != nil {
		return err
	}
	body, err := ec2At(c.own.tree, c.path)
	if err != nil {
		return err
	}
	media := textMedia
	switch c.path[len(c.path)-1] {
	case "user-data":
		media = dataMedia
	case "document":
		media = jsonMedia
	}
	return c.send(http.StatusOK, media, body)
}

func (c *call) openStack() error {
	if err := c.reads(); err != nil {
		return err
	}
	body, media, err := openStackAt(c.own.machine, c.path)
	if err != nil {
		return err
	}
	return c.send(http.StatusOK, media, body)
}

func (c *call) noCloud() error {
	if err := c.reads(); err != nil {
		return err
	}
	files := c.own.files()
	n := len(c.path)
	if n == 1 && c.path[0] == "nocloud" {
		var names []string
		for name := range files {
			names = append(names, name)
		}
		slices.Sort(names)
		return c.send(http.StatusOK, textMedia, []byte(strings.Join(names, "\n")))
	}
	body, ok := files[c.path[n-1]]
	if !ok || n > 2 {
		return nothingAt(c.path)
	}
	media := yamlMedia
	if c.path[n-1] == userDataFile {
		media = dataMedia
	}
	return c.send(http.StatusOK, media, body)
}

// send answers with bytes, or with nothing if the client has them already.
func (c *call) send(status int, media string, body []byte) error {
	h := c.w.Header()
	h["Content-Type"] = []string{media}
	h["Content-Length"] = []string{strconv.Itoa(len(body))}
	c.w.WriteHeader(status)
	// Whoever asked may be gone; there is nobody left to tell.
	_, _ = c.w.Write(body)
	return nil
}

// occi answers in OCCI's terms.
func (c *call) occi() error {
	place, suffix := c.place()
	if err := c.negotiate(suffix); err != nil {
		return err
	}
	m, x := c.own.model, c.own.entity
	own := m.Path(x)
	switch {
	case place == "/" || place == own:
		if err := c.only(http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut); err != nil {
			return err
		}
		if c.r.Method == http.MethodPost || c.r.Method == http.MethodPut {
			return c.write()
		}
		return c.show(x)
	case place == "/-" || place == "/.well-known/org/ogf/occi/-":
		if err := c.reads(); err != nil {
			return err
		}
		return c.render(0, func(f *render.Format, v *render.View) ([]byte, error) {
			return f.Categories(nil, v, c.own.categories())
		})
	}
	if i := strings.LastIndexByte(place, '/'); i >= 0 {
		if id, ok := occi.ParseID(place[i+1:]); ok {
			if l := c.own.link(id); l != nil && m.Path(l) == place {
				if err := c.reads(); err != nil {
					return err
				}
				return c.show(l)
			}
		}
	}
	return c.collection(place + "/")
}

// collection shows what is the machine's in the collection of a kind.
func (c *call) collection(location string) error {
	m, x := c.own.model, c.own.entity
	k, ok := m.At(location).(*occi.Kind)
	if !ok || k.Abstract || k.ID() != x.Kind && !(k.Link && k.Host != "") {
		return nothingAt(c.path)
	}
	if err := c.reads(); err != nil {
		return err
	}
	col := &render.Collection{Path: k.Location, Title: k.Title, Kind: k, Complete: true, Updated: x.Updated}
	for _, e := range append([]*occi.Entity{x}, x.Links...) {
		if e.Kind == k.ID() && !e.Deleted {
			col.Entities = append(col.Entities, c.own.shown(e))
		}
	}
	col.Total = len(col.Entities)
	return c.render(x.Revision, func(f *render.Format, v *render.View) ([]byte, error) { return f.Collection(nil, v, col) })
}

// place is the path without a slash at its end, and without the suffix that chooses
// a format; "/" for the machine itself.
func (c *call) place() (place string, suffix *render.Format) {
	segments := slices.Clone(c.path)
	if n := len(segments); n > 0 {
		last := segments[n-1]
		if i := strings.LastIndexByte(last, '.'); i >= 0 {
			if suffix = render.Suffixed(last[i:]); suffix != nil {
				segments[n-1] = last[:i]
				if i == 0 {
					segments = segments[:n-1]
				}
			}
		}
	}
	return "/" + strings.Join(segments, "/"), suffix
}

// negotiate finds the format of the answer; a suffix wins over Accept.
func (c *call) negotiate(suffix *render.Format) (err error) {
	if c.format = suffix; suffix != nil {
		return nil
	}
	c.w.Header()["Vary"] = []string{"Accept"}
	c.format, err = render.Accept(c.r.Header["Accept"], render.Formats())
	return err
}

// show answers with an entity of the machine's.
func (c *call) show(x *occi.Entity) error {
	if c.r.URL.RawQuery != "" {
		return occi.E(occi.Invalid, "?%.200s: a machine takes no parameters here", c.r.URL.RawQuery)
	}
	seen := c.own.seen()
	if x != c.own.entity {
		seen = c.own.shown(x)
	}
	return c.render(x.Revision, func(f *render.Format, v *render.View) ([]byte, error) {
		return f.Entity(nil, v, seen)
	})
}

// render answers a GET with what encode makes, under a tag that begins with a
// revision.
func (c *call) render(revision int64, encode func(*render.Format, *render.View) ([]byte, error)) error {
	v := c.own.view(c.base())
	body, err := encode(c.format, v)
	if err != nil {
		return err
	}
	h := c.w.Header()
	sum := sha256.Sum256(append([]byte(c.format.Media+"\n"), body...))
	tag := `"` + strconv.FormatInt(revision, 36) + "." + hex.EncodeToString(sum[:8]) + `"`
	h["Etag"] = []string{tag}
	if c.r.Method == http.MethodGet || c.r.Method == http.MethodHead {
		unchanged, err := web.NotModified(c.r, tag, time.Time{})
		if err != nil {
			return err
		}
		if unchanged {
			c.w.WriteHeader(http.StatusNotModified)
			return nil
		}
	}
	if c.format.InHeaders {
		for _, f := range render.Fields(body) {
			h[f.Name] = []string{f.Value}
		}
		body = []byte("OK")
	}
	return c.send(http.StatusOK, c.format.Type, body)
}

// base is what absolute URIs begin with.
func (c *call) base() string { return "http://" + c.r.Host }

// write changes what the machine's owner lets it change, and shows what it is then.
func (c *call) write() error {
	if c.r.URL.RawQuery != "" {
		return occi.E(occi.Forbidden, "?%.200s: a machine changes attributes of its own, and invokes no actions", c.r.URL.RawQuery)
	}
	match, err := web.Guard(c.r)
	if err != nil {
		return err
	}
	if match != nil {
		if err := match(c.own.entity); err != nil {
			return err
		}
	}
	d, err := c.draft()
	if err != nil {
		return err
	}
	next, err := c.own.change(d)
	if err != nil {
		return err
	}
	if len(next.Attributes) > 0 {
		o := engine.Options{Match: match}
		if _, err := c.h.engine.Update(occi.WithOrigin(c.r.Context(), c.origin()), c.own.caller(), c.own.entity.ID, next, o); err != nil {
			return err
		}
		c.h.log.Info("guest changed", "compute", c.own.entity.ID, "peer", c.peer.String(), "attributes", attributeNames(next))
	}
	now, err := c.h.source.find(c.r.Context(), c.peer)
	if err != nil {
		return err
	}
	c.own = now
	return c.show(now.entity)
}

func attributeNames(d *occi.Draft) string {
	var names []string
	for _, a := range d.Attributes {
		names = append(names, a.Name)
	}
	return strings.Join(names, " ")
}

// draft reads what the request describes, in its body or in OCCI's header fields.
func (c *call) draft() (*occi.Draft, error) {
	body, err := web.Body(c.w, c.r, maxBody)
	if err != nil {
		return nil, err
	}
	format, err := render.Request(c.r.Header["Content-Type"], body)
	switch {
	case len(body) == 0 || err == nil && format.InHeaders:
		body, err = render.Header(c.r.Header), nil
		if format = render.Named("text/occi"); len(body) == 0 {
			return nil, occi.E(occi.Invalid, "the request describes nothing, in its body or in OCCI header fields")
		}
	case err != nil:
		return nil, err
	}
	return format.Decode(c.own.model, body)
}

// fail answers with an error, in OCCI's terms if these are spoken.
func (c *call) fail(err error) {
	e := web.Classify(err)
	status := web.Status(e.Class)
	if e.Class == occi.Internal {
		c.h.log.Error("guest request failed", "peer", c.peer.String(), "path", c.r.URL.Path, "error", err)
		e = &occi.Error{Class: occi.Internal, Message: "the server failed; its log has the reason"}
	}
	if e.Class == occi.Forbidden {
		c.h.log.Warn("guest refused", "peer", c.peer.String(), "method", c.r.Method, "path", c.r.URL.Path, "reason", e.Public())
	}
	if e.Class == occi.Unavailable {
		c.w.Header()["Retry-After"] = []string{"1"}
	}
	delete(c.w.Header(), "Etag")
	f := &render.Fault{Status: status, Reason: http.StatusText(status), Message: e.Message, Problems: e.Problems}
	if c.format != nil {
		v := c.own.view(c.base())
		if body, err := c.format.Fault(nil, v, f); err == nil {
			_ = c.send(status, c.format.Type, body)
			return
		}
	}
	_ = c.send(status, textMedia, []byte(e.Public()+"\n"))
}
