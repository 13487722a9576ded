package server_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/occid/occid/hypervisor/libvirt"
	"github.com/occid/occid/internal/auth"
	"github.com/occid/occid/internal/dbtest"
	"github.com/occid/occid/internal/engine"
	"github.com/occid/occid/internal/image"
	"github.com/occid/occid/internal/oidctest"
	"github.com/occid/occid/internal/pgtest"
	"github.com/occid/occid/internal/schematest"
	"github.com/occid/occid/internal/server"
	"github.com/occid/occid/occi"
	"github.com/occid/occid/spec"
	"github.com/occid/occid/store"
)

// postgres is the cluster of all tests here.
var postgres struct {
	once     sync.Once
	cluster  *pgtest.Cluster
	template string
	err      error
}

func TestMain(m *testing.M) {
	oidctest.Main()
	code := m.Run()
	if postgres.cluster != nil {
		if err := postgres.cluster.Stop(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	os.Exit(code)
}

// onEach runs a test with a cloud on either database.
func onEach(t *testing.T, f func(t *testing.T, c *cloud)) {
	t.Run("sqlite", func(t *testing.T) {
		t.Parallel()
		f(t, newCloudOn(t, dbtest.SQLite(t)))
	})
	t.Run("postgres", func(t *testing.T) {
		t.Parallel()
		f(t, newCloudOn(t, emptyPostgres(t)))
	})
}

func startPostgres() {
	p := &postgres
	if p.cluster, p.err = pgtest.Start(); p.err == nil {
		p.template, p.err = dbtest.Template(context.Background(), p.cluster)
	}
}

// emptyPostgres names a new database of PostgreSQL.
func emptyPostgres(t testing.TB) string {
	t.Helper()
	postgres.once.Do(startPostgres)
	if postgres.err != nil {
		t.Fatal(postgres.err)
	}
	dsn, _, err := postgres.cluster.Create(t.Context(), postgres.template)
	if err != nil {
		t.Fatal(err)
	}
	return dsn
}

// newClouds starts two servers that share a database.
func newClouds(t testing.TB) (one, other *cloud) {
	t.Helper()
	dsn := emptyPostgres(t)
	return newCloudOn(t, dsn), newCloudOn(t, dsn)
}

// mostImage is how many bytes an image may have here.
const mostImage = 8 << 20

// cloud is a server over a real engine, store and libvirt's test host.
type cloud struct {
	t      testing.TB
	server *server.Server
	engine *engine.Engine
	store  *store.Store
	host   *host
	url    string
	log    *record
	auth   *auth.Authenticator // nil for none
	// policies are those in force.
	policies *auth.Policies
	// still, when set, is when the clock that logins are watched by stands.
	still atomic.Pointer[time.Time]
	// statements are the SQL statements run.
	statements *counter
	// later is how far the server's clock is ahead, in nanoseconds.
	later atomic.Int64
	// judge sees every answer.
	judge *schematest.Judge
}

// newCloud starts a server that ends with the test.
func newCloud(t testing.TB) *cloud {
	t.Helper()
	return newCloudOn(t, dbtest.SQLite(t))
}

// newCloudOn is newCloud with an empty database of choice.
func newCloudOn(t testing.TB, dsn string) *cloud {
	t.Helper()
	m, err := spec.Builtin()
	if err != nil {
		t.Fatal(err)
	}
	return newCloudOf(t, dsn, m)
}

// newCloudOf is newCloudOn with a registry of choice, and an engine that more
// adjust.
func newCloudOf(t testing.TB, dsn string, m *occi.Model, more ...func(*engine.Config)) *cloud {
	t.Helper()
	return newCloudWith(t, dsn, m, nil, false, more...)
}

func builtin(t testing.TB) *occi.Model {
	t.Helper()
	m, err := spec.Builtin()
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// newCloudWith is newCloudOf, at which people log in if it is guarded, in ways that guard
// adjusts.
func newCloudWith(t testing.TB, dsn string, m *occi.Model, guard func(*auth.Config), guarded bool, more ...func(*engine.Config)) *cloud {
	t.Helper()
	c := &cloud{t: t, log: &record{}, statements: &counter{}, judge: &schematest.Judge{}}
	ctx := context.Background()
	st, err := store.Open(ctx, dsn, store.WithTrace(c.statements.count), store.WithModel(func() *occi.Model { return m }), store.WithUses(engine.Uses(func() *occi.Model { return m })))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closes(t, st) })
	quiet := slog.New(slog.DiscardHandler)
	driver, err := libvirt.Open(libvirt.Config{URI: ownHost(t), Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closes(t, driver) })
	c.store, c.host = st, &host{Driver: driver}
	images, err := image.Open(image.Config{Dir: t.TempDir(), Most: mostImage, Hosts: []string{"127.0.0.1", "images.example.org"}})
	if err != nil {
		t.Fatal(err)
	}
	config := engine.Config{Store: st, Model: func() *occi.Model { return m }, Worker: "test",
		Hosts: []engine.Host{{Name: "one", Driver: c.host}}, Images: images, Describe: time.Hour, Logger: quiet}
	if c.policies, err = auth.NewPolicies(m); err != nil {
		t.Fatal(err)
	}
	config.Policies = c.policies
	if guarded {
		with := auth.Config{Mechanisms: []string{"basic", "token", "session"}, Accounts: st, Model: config.Model, Policies: c.policies, Now: c.watch,
			Admit: func(ctx context.Context, a auth.Admission) (string, error) { return c.engine.Admit(ctx, a) }}
		if guard != nil {
			guard(&with)
		}
		if c.auth, err = auth.New(with); err != nil {
			t.Fatal(err)
		}
		config.Identities = c.auth.Changed
	}
	for _, adjust := range more {
		adjust(&config)
	}
	c.engine = engine.New(config)
	if err := c.engine.Start(ctx); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.engine.Stop)
	var log io.Writer = c.log
	if _, ok := t.(*testing.B); ok {
		log = io.Discard
	}
	c.server = server.New(server.Config{Engine: c.engine, Version: "test", Auth: c.auth, Schemas: spec.Schemas(), Signer: signer(t),
		Now: func() time.Time { return time.Now().Add(time.Duration(c.later.Load())) }, Logger: slog.New(slog.NewJSONHandler(log, nil))})
	web := httptest.NewServer(c.server)
	t.Cleanup(web.Close)
	c.url = web.URL
	t.Cleanup(func() {
		if err := c.judge.Finish(); err != nil {
			t.Error(err)
		}
	})
	return c
}

// watch is the time by which logins are watched.
func (c *cloud) watch() time.Time {
	if at := c.still.Load(); at != nil {
		return *at
	}
	return time.Now()
}

// ownHost is the URI of a test host that no other cloud shares, unlike that of the
// URI test:///default: an entity may be in two clouds.
func ownHost(t testing.TB) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "node.xml")
	if err := os.WriteFile(file, []byte("<node/>"), 0o600); err != nil {
		t.Fatal(err)
	}
	return "test://" + file
}

func closes(t testing.TB, c io.Closer) {
	if err := c.Close(); err != nil {
		t.Error(err)
	}
}

// reply is an answer that has been read.
type reply struct {
	*http.Response
	text string
}

// do sends a request. Header lines are "Name: value".
func (c *cloud) do(method, path, body string, header ...string) reply {
	c.t.Helper()
	req, err := http.NewRequest(method, c.url+path, strings.NewReader(body))
	if err != nil {
		c.t.Fatal(err)
	}
	for _, h := range header {
		name, value, _ := strings.Cut(h, ": ")
		if name == "Host" {
			req.Host = value
			continue
		}
		req.Header.Add(name, value)
	}
	return c.send(req)
}

// wire is what requests are sent by. A server of another test that ends closes what is idle
// of the default one.
var wire = &http.Transport{}

func (c *cloud) send(req *http.Request) reply {
	c.t.Helper()
	resp, err := wire.RoundTrip(req)
	if err != nil {
		c.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		c.t.Fatal(err)
	}
	if _, ok := c.t.(*testing.B); !ok {
		if err := c.judge.Add(req.Method+" "+req.URL.String(), resp.Header.Get("Content-Type"), text); err != nil {
			c.t.Error(err)
		}
	}
	return reply{resp, string(text)}
}

// want fails the test unless the answer has a status and its text holds words.
func (r reply) want(t testing.TB, status int, words ...string) reply {
	t.Helper()
	if r.StatusCode != status {
		t.Fatalf("%s %s: %d, want %d\n%s", r.Request.Method, r.Request.URL, r.StatusCode, status, r.text)
	}
	for _, w := range words {
		if !strings.Contains(r.text, w) {
			t.Errorf("%s %s: %q lacks %q", r.Request.Method, r.Request.URL, r.text, w)
		}
	}
	return r
}

// create makes an entity of a JSON descriptor, waits for its host, and gives its
// path.
func (c *cloud) create(collection, descriptor string) string {
	c.t.Helper()
	r := c.do("POST", collection, descriptor, "Content-Type: application/json", "Prefer: wait=20").want(c.t, 201)
	return strings.TrimPrefix(r.Header.Get("Location"), c.url)
}

// revision counts the changes of everything in the store.
func (c *cloud) revision() int64 {
	c.t.Helper()
	n, err := c.engine.Count(c.t.Context(), engine.Caller{}, nil)
	if err != nil {
		c.t.Fatal(err)
	}
	return n.Revision
}
