package store_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/occid/occid/internal/dbtest"
	"github.com/occid/occid/internal/pgtest"
	"github.com/occid/occid/occi"
	"github.com/occid/occid/store"
)

const (
	computeKind = "http://schemas.ogf.org/occi/infrastructure#compute"
	networkKind = "http://schemas.ogf.org/occi/infrastructure#network"
	nicKind     = "http://schemas.ogf.org/occi/infrastructure#networkinterface"
)

// postgres is the cluster of all tests here.
var postgres struct {
	once     sync.Once
	cluster  *pgtest.Cluster
	template string
	err      error
}

func TestMain(m *testing.M) {
	if dsn := os.Getenv(crashDSN); dsn != "" {
		os.Exit(writeUntilKilled(dsn))
	}
	code := m.Run()
	if postgres.cluster != nil {
		if err := postgres.cluster.Stop(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	os.Exit(code)
}

func startPostgres() {
	p := &postgres
	if p.cluster, p.err = pgtest.Start("max_connections=200"); p.err != nil {
		return
	}
	p.template, p.err = dbtest.Template(context.Background(), p.cluster)
}

// databases names the databases that every test runs on.
var databases = []string{"sqlite", "postgres"}

// freshDSN names a new database without rows.
func freshDSN(t testing.TB, kind string) string {
	t.Helper()
	if kind == "sqlite" {
		return dbtest.SQLite(t)
	}
	postgres.once.Do(startPostgres)
	if postgres.err != nil {
		t.Fatal(postgres.err)
	}
	url, _, err := postgres.cluster.Create(t.Context(), postgres.template)
	if err != nil {
		t.Fatal(err)
	}
	return url
}

// servers opens a new, empty database; PostgreSQL twice, as two servers do.
func servers(t testing.TB, kind string) []*store.Store {
	t.Helper()
	dsn := freshDSN(t, kind)
	all := []*store.Store{open(t, dsn)}
	if kind == "postgres" {
		all = append(all, open(t, dsn))
	}
	return all
}

// atOnce commits n changes at once, in turn to each store, and counts those that were
// not refused with an error of a type.
func atOnce[Refusal error](t *testing.T, stores []*store.Store, n int, change func(i int) *occi.Change) int {
	t.Helper()
	var made atomic.Int64
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() {
			err := stores[i%len(stores)].Commit(t.Context(), change(i))
			var refusal Refusal
			switch {
			case err == nil:
				made.Add(1)
			case !errors.As(err, &refusal):
				t.Error(err)
			}
		})
	}
	all.Wait()
	return int(made.Load())
}

func open(t testing.TB, dsn string, options ...store.Option) *store.Store {
	t.Helper()
	s, err := store.Open(t.Context(), dsn, options...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// onEach runs a test on a new store of each database.
func onEach(t *testing.T, f func(t *testing.T, s *store.Store)) {
	t.Helper()
	for _, kind := range databases {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			f(t, open(t, freshDSN(t, kind)))
		})
	}
}

var start = time.Date(2026, 1, 2, 3, 4, 5, 678901000, time.UTC)

// compute makes a new compute of so many cores.
func compute(title string, cores int64) *occi.Entity {
	e := &occi.Entity{ID: uuid.New(), Kind: computeKind, Owner: "ann", Project: "lab", Title: title, Host: "h1"}
	e.Attributes.Set("occi.compute.cores", occi.Int(cores))
	e.Attributes.Set("occi.compute.memory", occi.Float(1.5))
	e.Attributes.Set("occi.compute.architecture", occi.Str("x64"))
	e.Attributes.Set("occi.compute.state", occi.Str("inactive"))
	e.Attributes.Set("occi.compute.state.message", occi.Str("creating"))
	return e
}

func network(title string) *occi.Entity {
	return &occi.Entity{ID: uuid.New(), Kind: networkKind, Title: title}
}

func link(source, target *occi.Entity) *occi.Entity {
	return &occi.Entity{ID: uuid.New(), Kind: nicKind,
		Source: occi.Ref{ID: source.ID, Kind: source.Kind}, Target: occi.Ref{ID: target.ID, Kind: target.Kind}}
}

func put(t testing.TB, s *store.Store, es ...*occi.Entity) {
	t.Helper()
	if err := s.Commit(t.Context(), &occi.Change{At: start, Puts: es}); err != nil {
		t.Fatal(err)
	}
}

func get(t testing.TB, s *store.Store, id uuid.UUID) *occi.Entity {
	t.Helper()
	e, err := s.Entity(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func ids(es []*occi.Entity) []uuid.UUID {
	var out []uuid.UUID
	for _, e := range es {
		out = append(out, e.ID)
	}
	return out
}

func wantClass(t *testing.T, what string, err error, want occi.Class) {
	t.Helper()
	if err == nil || occi.ClassOf(err) != want {
		t.Errorf("%s: %v, want class %s", what, err, want)
	}
}
