package server

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"net/netip"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-chi/chi/v5"
	"github.com/google/uuid"

	"github.com/occid/occid/internal/auth"
	"github.com/occid/occid/internal/engine"
	"github.com/occid/occid/internal/web"
	"github.com/occid/occid/occi"
	"github.com/occid/occid/render"
)

// Engine is what the server needs of the engine, whose package has the contracts.
type Engine interface {
	reader
	writer
	contents
	events
	audits
	ModelOf(c engine.Caller) *occi.Model
	Permit(ctx context.Context, c engine.Caller, do []string, kind string, id uuid.UUID) error
	SeesSubject(ctx context.Context, c engine.Caller, kind string, id uuid.UUID) (bool, error)
	Renew(ctx context.Context, surely bool) error
	Ready(ctx context.Context) error
}

type reader interface {
	Get(ctx context.Context, c engine.Caller, id uuid.UUID) (*occi.Entity, error)
	Linked(ctx context.Context, c engine.Caller, id uuid.UUID) (*occi.Entity, []*occi.Entity, error)
	List(ctx context.Context, c engine.Caller, q *occi.Query) (*occi.Page, error)
	Count(ctx context.Context, c engine.Caller, kinds []string) (occi.Count, error)
	Task(ctx context.Context, c engine.Caller, id uuid.UUID) (*occi.Task, error)
	Tasks(ctx context.Context, c engine.Caller, kind string, entity uuid.UUID) ([]*occi.Task, error)
	Unfinished(ctx context.Context, c engine.Caller) ([]*occi.Task, error)
}

type writer interface {
	Create(ctx context.Context, c engine.Caller, kind string, ds []*occi.Draft, o engine.Options) (*engine.Outcome, error)
	Put(ctx context.Context, c engine.Caller, kind string, id uuid.UUID, d *occi.Draft, o engine.Options) (*engine.Outcome, error)
	Update(ctx context.Context, c engine.Caller, id uuid.UUID, d *occi.Draft, o engine.Options) (*engine.Outcome, error)
	Act(ctx context.Context, c engine.Caller, ids []uuid.UUID, d *occi.Draft, o engine.Options) (*engine.Outcome, error)
	Associate(ctx context.Context, c engine.Caller, mixin string, m engine.Members, o engine.Options) (*engine.Outcome, error)
	Define(ctx context.Context, c engine.Caller, drafts []occi.DraftCategory, o engine.Options) (*engine.Outcome, error)
	Undefine(ctx context.Context, c engine.Caller, ids []string, o engine.Options) (*engine.Outcome, error)
	Delete(ctx context.Context, c engine.Caller, ids []uuid.UUID, o engine.Options) (*engine.Outcome, error)
	Cancel(ctx context.Context, c engine.Caller, task uuid.UUID) (*occi.Task, error)
	Wait(ctx context.Context, tasks []uuid.UUID) error
}

type contents interface {
	Upload(ctx context.Context, c engine.Caller, id uuid.UUID, u engine.Upload, o engine.Options) (*engine.Uploaded, error)
	Uploaded(ctx context.Context, c engine.Caller, id uuid.UUID) (*engine.Uploaded, error)
	DropUpload(ctx context.Context, c engine.Caller, id uuid.UUID) error
	Content(ctx context.Context, c engine.Caller, id uuid.UUID, w io.Writer) error
}

type events interface {
	EventRange(ctx context.Context, c engine.Caller) (first, last int64, err error)
	Events(ctx context.Context, c engine.Caller, after int64, n int) ([]*occi.Event, error)
	EventsBefore(ctx context.Context, c engine.Caller, before int64, n int) ([]*occi.Event, error)
	Follow(ctx context.Context, c engine.Caller) (after int64, events <-chan []*occi.Event, err error)
}

type audits interface {
	Audit(ctx context.Context, c engine.Caller, q *occi.Query) (*occi.Page, error)
	AuditRecord(ctx context.Context, c engine.Caller, id uuid.UUID) (*occi.Entity, error)
	Refuse(r *occi.Record)
	Usage(ctx context.Context, c engine.Caller, q *occi.UsageQuery, by occi.UsageBy) ([]*occi.Usage, error)
}

// Config is what a Server is made of. Engine is required.
type Config struct {
	Engine Engine
	// Auth finds out who asks; without it nobody is asked, and everybody may do
	// everything.
	Auth *auth.Authenticator
	// Browser is with whom browsers log in at /login, where there is nothing without it.
	// They come back to Callback; empty means /login/callback of where they have asked.
	Browser  Browser
	Callback string
	// Version is the program's; every answer shows it.
	Version string
	// Logger gets one record for each request, and the text of internal faults;
	// nil means slog's default.
	Logger *slog.Logger
	// Now tells the time; nil means time.Now.
	Now func() time.Time
	// Heartbeat is how often a stream of events shows that it is alive; 0 means 15
	// seconds.
	Heartbeat time.Duration
	// Observer, if set, is told of requests.
	Observer Observer
	// Tracer, if set, follows requests.
	Tracer Tracer
	// Metrics answers /metrics, where there is nothing without it.
	Metrics http.Handler
	// Schemas are the files of /schema/; nil means none.
	Schemas fs.FS
	// Proxies are the addresses of proxies that are believed when they say that their
	// client speaks TLS (X-Forwarded-Proto).
	Proxies []netip.Prefix
	// Bounds are what clients can hold on to; what is zero is ten seconds for a header, a
	// minute for a body, and any number of connections.
	Bounds web.Bounds
	// Streams is how many streams of events may be open; 0 means 1024.
	Streams int
	// Signer signs what is rendered in XML where that is asked for; without it nothing is.
	Signer Signer
	// Origins are the sites whose pages may use the server; nil means none.
	Origins *Origins
}

// Server answers requests. It is safe for concurrent use.
type Server struct {
	engine   Engine
	auth     *auth.Authenticator // nil for none
	browser  Browser             // nil for none, as Config has it
	callback string
	log      *slog.Logger
	now      func() time.Time
	watch    Observer
	tracer   Tracer // nil for none
	version  string
	routes   http.Handler
	fixed    map[string]*verbs // of paths that are the server's own
	// heartbeat is Config.Heartbeat.
	heartbeat time.Duration
	origins   *Origins
	bodies    *bodies
	proxies   []netip.Prefix // see Config
	bounds    web.Bounds
	// streams is how many streams of events are open, and most how many may be.
	streams atomic.Int64
	most    int64
	// life ends when the server shuts down, and with it every wait for tasks.
	life context.Context
	end  context.CancelFunc

	current  atomic.Pointer[registry]
	lastBase atomic.Pointer[base]
	requests atomic.Uint64
	// idPrefix tells the requests of one run from those of others.
	idPrefix string
	fields   commonFields

	signer Signer // nil for none
}

// commonFields are the values of header fields that every answer carries.
type commonFields struct {
	server []string
	// accept lists what is read; acceptOld is for clients that would send their
	// own, older JSON if they saw OCCI's.
	accept, acceptOld []string
}

// New makes a Server.
func New(c Config) *Server {
	s := &Server{signer: c.Signer, engine: c.Engine, auth: c.Auth, log: c.Logger, tracer: c.Tracer, now: c.Now, version: c.Version, bodies: newBodies(), proxies: c.Proxies, heartbeat: cmp.Or(c.Heartbeat, heartbeat),
		origins: c.Origins}
	if s.origins == nil {
		s.origins = &Origins{}
	}
	if s.watch = c.Observer; s.watch == nil {
		s.watch = unobserved{}
	}
	s.bounds = bounded(c.Bounds)
	s.bounds.Connected = s.watch.Connected
	s.most = int64(cmp.Or(c.Streams, defaultStreams))
	s.life, s.end = context.WithCancel(context.Background())
	if s.log == nil {
		s.log = slog.Default()
	}
	if s.now == nil {
		s.now = time.Now
	}
	var random [4]byte
	rand.Read(random[:])
	s.idPrefix = hex.EncodeToString(random[:]) + "-"
	s.fields = commonFields{
		server:    []string{"occid/" + c.Version + " (" + runtime.GOOS + ") OCCI/1.2 OCCI/1.1"},
		accept:    []string{readable("")},
		acceptOld: []string{readable("application/occi+json")},
	}
	s.routes = s.router(c)
	return s
}

// readable lists the media types of requests, but one.
func readable(without string) string {
	var names []string
	for _, f := range render.Formats() {
		if f.Reads && f.Media != without {
			names = append(names, f.Media)
		}
	}
	return strings.Join(names, ", ")
}

// router names the paths that are fixed; what all others mean depends on the
// registry in force.
func (s *Server) router(config Config) http.Handler {
	r := chi.NewRouter()
	s.fixed = map[string]*verbs{}
	r.NotFound(s.handle(inRegistry, false))
	r.MethodNotAllowed(s.handle(inRegistry, false))
	for path, v := range map[string]*verbs{
		"/-":                          categoryVerbs,
		"/.well-known/org/ogf/occi/-": categoryVerbs,
		"/-/states":                   stateVerbs,
		"/-/permissions":              permissionVerbs,
		"/-/opensearch":               searchVerbs,
		eventsPath:                    eventVerbs,
		usagePath:                     usageVerbs,
		"/healthz":                    healthVerbs,
		"/readyz":                     readyVerbs,
	} {
		s.fixed[path] = v
		h := s.handle(fixed(path, v), isOpen(v))
		r.Handle(path, h)
		r.Handle(path+"/", h)
		r.Handle(path+`{suffix:\.[a-z]+}`, h)
		r.Handle(path+`/{suffix:\.[a-z]+}`, h)
	}
	// There is nothing at these without files and metrics, and nothing of others either.
	s.fixed[strings.TrimSuffix(schemaPath, "/")], s.fixed[metricsPath] = fileVerbs("", nil), passedTo(http.NotFoundHandler())
	for name, text := range files(config.Schemas) {
		s.fixed[schemaPath+name] = fileVerbs(name, text)
		r.Handle(schemaPath+name, s.handle(fixed(schemaPath+name, s.fixed[schemaPath+name]), false))
	}
	if config.Metrics != nil {
		s.fixed[metricsPath] = passedTo(config.Metrics)
		r.Handle(metricsPath, s.handle(fixed(metricsPath, s.fixed[metricsPath]), false))
	}
	if s.signer != nil {
		s.fixed[certificatePath] = certificateVerbs
		r.Handle(certificatePath, s.handle(fixed(certificatePath, certificateVerbs), isOpen(certificateVerbs)))
	}
	// It takes the secrets of users, and gives a token.
	if s.auth != nil && s.auth.Offers("token") && s.auth.Offers("basic") {
		s.fixed[exchangePath] = exchangeVerbs
		h := s.handle(fixed(exchangePath, exchangeVerbs), isOpen(exchangeVerbs))
		r.Handle(exchangePath, h)
		r.Handle(exchangePath+"/", h)
	}
	if s.browser = config.Browser; s.browser != nil && s.offersSessions() {
		s.callback = config.Callback
		for path, v := range map[string]*verbs{loginPath: loginVerbs, callbackPath: callbackVerbs} {
			s.fixed[path] = v
			r.Handle(path, s.handle(fixed(path, v), isOpen(v)))
		}
	}
	if s.offersSessions() {
		s.fixed[logoutPath] = logoutVerbs
		r.Handle(logoutPath, s.handle(fixed(logoutPath, logoutVerbs), false))
	}
	return r
}

// isOpen reports whether routes are for everybody.
func isOpen(v *verbs) bool {
	need, ok := auth.NeedOf(v.name, http.MethodGet)
	return ok && need.Open
}

// finder tells what a request's path means.
type finder func(c *call) (target, error)

func inRegistry(c *call) (target, error) {
	t, err := resolve(c.reg.model, c.r.URL.Path)
	if err != nil && c.r.Method == http.MethodPut {
		i := strings.LastIndexByte(c.r.URL.Path, '/') + 1
		if in, ok := collectionAt(c.reg.model, c.r.URL.Path[:i]); ok && in.kind != nil {
			return t, occi.E(occi.Invalid, "%.80q is no UUID, by which an entity is put in %s", c.r.URL.Path[i:], in.path)
		}
	}
	return t, err
}

func fixed(route string, v *verbs) finder {
	return func(c *call) (target, error) {
		t := target{verbs: v, path: c.r.URL.Path, fixed: route}
		if suffix := chi.URLParam(c.r, "suffix"); suffix != "" {
			if t.suffix = render.Suffixed(suffix); route == usagePath && suffix == usageCSV.Suffix {
				t.suffix = usageCSV
			}
			if t.suffix == nil {
				return t, nothingAt(c.r.URL.Path)
			}
		}
		return t, nil
	}
}

// registry is a model with what is made of it once.
type registry struct {
	model *occi.Model
	// tag is the part of entity tags that changes with the model and the program.
	tag string
	// views are those of projects that know less, by their model.
	views  sync.Map
	viewed atomic.Int64 // how many are kept
}

// registry gives the one in force for a caller.
func (s *Server) registry(caller engine.Caller) *registry {
	m := s.engine.ModelOf(caller)
	if r := s.current.Load(); r != nil && r.model == m {
		return r
	}
	if !caller.Operates() {
		return s.view(m)
	}
	r := newRegistry(s.version, m)
	s.current.Store(r)
	return r
}

func newRegistry(version string, m *occi.Model) *registry {
	return &registry{model: m, tag: tagOf(version, m.Version)}
}

// view gives the registry of a project. Those of a registry in force are kept.
func (s *Server) view(m *occi.Model) *registry {
	base := s.current.Load()
	if base == nil {
		return newRegistry(s.version, m)
	}
	if v, ok := base.views.Load(m); ok {
		return v.(*registry)
	}
	r := newRegistry(s.version, m)
	if base.viewed.Add(1) <= maxViews {
		base.views.Store(m, r)
	}
	return r
}

// maxViews bounds the projects' registries that are kept.
const maxViews = 1000
