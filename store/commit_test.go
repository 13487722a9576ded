package store_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/google/uuid"

	"github.com/occid/occid/occi"
	"github.com/occid/occid/store"
)

// TestConcurrentChanges has many change the same entity, each trying again when
// another one was faster: none of the changes may be lost.
func TestConcurrentChanges(t *testing.T) {
	t.Parallel()
	const writers, each = 8, 10
	onEach(t, func(t *testing.T, s *store.Store) {
		x := compute("contended", 1)
		put(t, s, x)
		add := func() error {
			for range 10 * writers * each {
				e := get(t, s, x.ID).Clone()
				e.Attributes.Set("x.count", occi.Int(int64(e.Attributes.Get("x.count").Num)+1))
				err := s.Commit(t.Context(), &occi.Change{At: start, Puts: []*occi.Entity{e}})
				if !errors.Is(err, occi.Conflict) {
					return err
				}
			}
			return errors.New("it never came to pass")
		}
		var wg sync.WaitGroup
		for range writers {
			wg.Go(func() {
				for range each {
					if err := add(); err != nil {
						t.Error(err)
					}
				}
			})
		}
		wg.Wait()
		got := get(t, s, x.ID)
		if n := got.Attributes.Get("x.count").Num; n != writers*each || got.Revision != writers*each+1 {
			t.Errorf("counted %v at revision %d after %d changes", n, got.Revision, writers*each)
		}
	})
}

func TestOneOfManyGetsTheKey(t *testing.T) {
	t.Parallel()
	const many = 50
	onEach(t, func(t *testing.T, s *store.Store) {
		errs := make([]error, many)
		var wg sync.WaitGroup
		for i := range many {
			wg.Go(func() {
				e := compute("keyed", 1)
				errs[i] = s.Commit(t.Context(), &occi.Change{At: start, Puts: []*occi.Entity{e},
					Key: &occi.Key{Who: "ann", Name: "once", Entities: []uuid.UUID{e.ID}}})
			})
		}
		wg.Wait()
		won := 0
		for _, err := range errs {
			if err == nil {
				won++
			} else if !errors.Is(err, occi.Conflict) {
				t.Error(err)
			}
		}
		page, err := s.List(t.Context(), &occi.Query{})
		if won != 1 || err != nil || page.Total != 1 {
			t.Errorf("%d of %d won, %+v, %v; want one", won, many, page, err)
		}
	})
}

// TestServersShareADatabase has two stores on one PostgreSQL database see what
// the other one does.
func TestServersShareADatabase(t *testing.T) {
	t.Parallel()
	dsn := freshDSN(t, "postgres")
	a, b := open(t, dsn), open(t, dsn)
	var wg sync.WaitGroup
	for _, s := range []*store.Store{a, b} {
		for i := range 20 {
			wg.Go(func() { put(t, s, compute(fmt.Sprint("c", i), 1)) })
		}
	}
	wg.Wait()
	page, err := a.List(t.Context(), &occi.Query{Kinds: []string{computeKind}})
	if err != nil || page.Total != 40 || len(page.Entities) != 40 {
		t.Fatalf("%+v, %v; want 40", page, err)
	}
	seen := map[int64]bool{}
	for _, e := range page.Entities {
		if seen[e.Serial] || e.Serial < 1 || e.Serial > 40 {
			t.Errorf("serial %d is given twice or out of range", e.Serial)
		}
		seen[e.Serial] = true
	}
	x := page.Entities[0].Clone()
	x.Title = "changed by a"
	put(t, a, x)
	if got := get(t, b, x.ID); got.Title != x.Title {
		t.Errorf("the other server still sees %q", got.Title)
	}
	if page, err := b.List(t.Context(), &occi.Query{Conds: []occi.Cond{{Name: occi.AttrTitle, Op: occi.Eq, Value: occi.Str(x.Title)}}}); err != nil || page.Total != 1 {
		t.Errorf("the other server lists %+v, %v", page, err)
	}
}

// counter counts what a store tells its trace.
type counter struct {
	mu   sync.Mutex
	sqls []string
}

func (c *counter) trace(sql string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.sqls = append(c.sqls, sql)
}

// take gives what was told since the last call.
func (c *counter) take() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	got := c.sqls
	c.sqls = nil
	return got
}

func TestStatementCounts(t *testing.T) {
	t.Parallel()
	for _, kind := range databases {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			var c counter
			s := open(t, freshDSN(t, kind), store.WithTrace(c.trace))
			x, n := compute("x", 1), network("n")
			l := link(x, n)
			put(t, s, x, n, l)
			if got := strings.Join(c.take(), ";"); strings.Count(got, "BEGIN") != 1 || strings.Count(got, "COMMIT") != 1 {
				t.Errorf("a change takes %s", got)
			}
			shared := kind == "postgres"
			within := func(what string, f func(), sqlite, postgres int) {
				t.Helper()
				c.take()
				f()
				got := c.take()
				if want := map[bool]int{false: sqlite, true: postgres}[shared]; len(got) != want {
					t.Errorf("%s takes %d statements, want %d: %s", what, len(got), want, strings.Join(got, ";\n"))
				}
			}
			list := func(q *occi.Query) func() {
				return func() {
					if _, err := s.List(t.Context(), q); err != nil {
						t.Error(err)
					}
				}
			}
			entity := func() { get(t, s, x.ID) }
			within("the first read of an entity", entity, 1, 1)
			within("another read of it", entity, 0, 1)
			within("the first list", list(&occi.Query{Limit: 10}), 1, 2)
			within("the same list", list(&occi.Query{Limit: 10}), 0, 1)
			filter := &occi.Query{Kinds: []string{computeKind}, Limit: 1, Offset: 5, Text: []string{"x"}, Sort: []occi.Order{{Name: "updated"}},
				Conds: []occi.Cond{{Name: "occi.compute.cores", Op: occi.Ge, Value: occi.Int(1)}}}
			within("a filter past the end", list(filter), 1, 2)
			within("a revision", func() {
				if _, err := s.Count(t.Context(), nil); err != nil {
					t.Error(err)
				}
			}, 0, 1)
			within("incoming links", func() {
				if in, err := s.Incoming(t.Context(), n.ID, x.ID); err != nil || len(in) != 1 {
					t.Error(in, err)
				}
			}, 1, 1)
		})
	}
}

func TestContextEnds(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, s *store.Store) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		x := compute("x", 1)
		err := s.Commit(ctx, &occi.Change{At: start, Puts: []*occi.Entity{x}})
		if err == nil != (x.Revision == 1) {
			t.Errorf("Commit: %v, but the entity is at revision %d", err, x.Revision)
		}
		if _, err := s.EntityAny(t.Context(), x.ID); err == nil != (x.Revision == 1) {
			t.Errorf("EntityAny: %v, but the entity is at revision %d", err, x.Revision)
		}
	})
}

// TestWhatIsSeenInPartIsSeenWhole has a reader learn of each change from what is
// never kept in memory: what may be kept is then as new.
func TestWhatIsSeenInPartIsSeenWhole(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, s *store.Store) {
		const changes = 300
		x := compute("x", 1)
		x.Host = "h1"
		put(t, s, x)
		done := make(chan error, 1)
		go func() {
			next := x
			for range changes {
				next = next.Clone()
				if err := s.Commit(context.Background(), &occi.Change{At: start, Puts: []*occi.Entity{next}}); err != nil {
					done <- err
					return
				}
			}
			done <- nil
		}()
		for seen := int64(0); seen < changes; {
			rows, err := s.HostRevisions(t.Context(), "h1")
			if err != nil {
				t.Fatal(err)
			}
			seen = rows[x.ID]
			e, err := s.Entity(t.Context(), x.ID)
			if err != nil || e.Revision < seen {
				t.Fatalf("revision %d after %d, %v", e.Revision, seen, err)
			}
			page, err := s.List(t.Context(), &occi.Query{Kinds: []string{x.Kind}})
			if err != nil || page.Entities[0].Revision < seen {
				t.Fatalf("a list has revision %d after %d, %v", page.Entities[0].Revision, seen, err)
			}
		}
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	})
}
