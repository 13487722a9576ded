package store_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/occid/occid/occi"
	"github.com/occid/occid/spec"
	"github.com/occid/occid/store"
)

// counting opens a database whose store counts what is used.
func counting(t testing.TB, dsn string) *store.Store {
	t.Helper()
	m, err := spec.Builtin()
	if err != nil {
		t.Fatal(err)
	}
	return open(t, dsn, store.WithModel(func() *occi.Model { return m }), store.WithUses(coresAndStorage))
}

// quota makes the quota of an owner for computes and cores.
func quota(owner string, computes, cores int64) *occi.Entity {
	q := &occi.Entity{ID: occi.QuotaID(owner), Kind: occi.QuotaKind, Project: owner, Title: "Quota of " + owner}
	q.Attributes.Set("occid.quota.computes", occi.Int(computes))
	q.Attributes.Set("occid.quota.cores", occi.Int(cores))
	return q
}

// bounded makes a change that quotas bound.
func bounded(es ...*occi.Entity) *occi.Change {
	return &occi.Change{At: start, Quotas: true, Puts: es}
}

func wantUses(t *testing.T, s *store.Store, owner string, want map[string]int64) {
	t.Helper()
	all, err := s.Uses(t.Context())
	if diff := cmp.Diff(want, all[owner]); diff != "" || err != nil {
		t.Errorf("what %s uses: %v\n%s", owner, err, diff)
	}
}

// wantShown checks what the quota of an owner shows as used.
func wantShown(t *testing.T, s *store.Store, owner string, computes, cores int64) {
	t.Helper()
	q := get(t, s, occi.QuotaID(owner))
	if a, b := q.Attributes.Get("occid.quota.computes.used"), q.Attributes.Get("occid.quota.cores.used"); a != occi.Int(computes) || b != occi.Int(cores) {
		t.Errorf("the quota of %s shows %s computes and %s cores, want %d and %d", owner, a, b, computes, cores)
	}
}

// wantCounted compares what is kept and shown of a project with a count of what there is.
func wantCounted(t *testing.T, s *store.Store, all []*occi.Entity) {
	t.Helper()
	m, err := spec.Builtin()
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]int64{}
	for _, x := range all {
		for _, u := range m.Charges(x) {
			want[u.What] += u.Amount
		}
	}
	wantUses(t, s, "lab", want)
	wantShown(t, s, "lab", want["computes"], want["cores"])
}

func wantOver(t *testing.T, what string, err error, want ...occi.Excess) {
	t.Helper()
	over, ok := errors.AsType[*occi.OverQuota](err)
	if !errors.Is(err, occi.Forbidden) || !ok {
		t.Errorf("%s: %v, want it to be refused", what, err)
		return
	}
	if diff := cmp.Diff(want, over.All); diff != "" {
		t.Errorf("%s:\n%s", what, diff)
	}
}

const memory = 3 << 29 // of the computes of these tests

func TestUsesOfProjectsAndUsers(t *testing.T) {
	t.Parallel()
	for _, kind := range databases {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			s := counting(t, freshDSN(t, kind))
			put(t, s, quota("lab", 2, 10), quota("ann", -1, -1))
			a, b := compute("a", 4), compute("b", 7)
			if err := s.Commit(t.Context(), bounded(a)); err != nil {
				t.Fatal(err)
			}
			wantShown(t, s, "lab", 1, 4)
			wantShown(t, s, "ann", 1, 4)
			wantOver(t, "more cores", s.Commit(t.Context(), bounded(b)), occi.Excess{Owner: "lab", What: "cores", Limit: 10, Used: 4, Request: 7})
			wantUses(t, s, "lab", map[string]int64{"computes": 1, "cores": 4, "memory": memory})
			b.Attributes.Set("occi.compute.cores", occi.Int(6))
			c := compute("c", 1)
			wantOver(t, "more computes", s.Commit(t.Context(), bounded(b, c)), occi.Excess{Owner: "lab", What: "computes", Limit: 2, Used: 1, Request: 2},
				occi.Excess{Owner: "lab", What: "cores", Limit: 10, Used: 4, Request: 7})
			if err := s.Commit(t.Context(), bounded(b)); err != nil {
				t.Fatal(err)
			}
			grown := get(t, s, a.ID).Clone()
			grown.Attributes.Set("occi.compute.cores", occi.Int(5))
			wantOver(t, "growing", s.Commit(t.Context(), bounded(grown)), occi.Excess{Owner: "lab", What: "cores", Limit: 10, Used: 10, Request: 1})
			// What is there may stay, and become less, of a quota that has become too small;
			// the server itself is not bound.
			q := get(t, s, occi.QuotaID("lab")).Clone()
			q.Attributes.Set("occid.quota.cores", occi.Int(1))
			put(t, s, q)
			less := get(t, s, a.ID).Clone()
			less.Attributes.Set("occi.compute.cores", occi.Int(3))
			if err := s.Commit(t.Context(), bounded(less)); err != nil {
				t.Error(err)
			}
			wantShown(t, s, "lab", 2, 9)
			more := get(t, s, a.ID).Clone()
			more.Attributes.Set("occi.compute.cores", occi.Int(8))
			commit(t, s, &occi.Change{At: start, Puts: []*occi.Entity{more}})
			wantShown(t, s, "lab", 2, 14)
			// What is on its way out counts no more, and again when it comes back.
			gone := get(t, s, a.ID).Clone()
			gone.Deleted = true
			commit(t, s, &occi.Change{At: start, Puts: []*occi.Entity{gone}})
			wantShown(t, s, "lab", 1, 6)
			back, err := s.EntityAny(t.Context(), a.ID)
			if err != nil {
				t.Fatal(err)
			}
			back = back.Clone()
			back.Deleted = false
			commit(t, s, &occi.Change{At: start, Puts: []*occi.Entity{back}})
			wantShown(t, s, "ann", 2, 14)
			commit(t, s, &occi.Change{At: start, Removes: []occi.Removal{{ID: a.ID}, {ID: b.ID}}})
			wantShown(t, s, "ann", 0, 0)
			wantUses(t, s, "ann", nil)
		})
	}
}

// TestQuotaIsAnEntity looks at a quota as clients do: its revision, its collection's and
// filters follow what is used.
func TestQuotaIsAnEntity(t *testing.T) {
	t.Parallel()
	for _, kind := range databases {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			s := counting(t, freshDSN(t, kind))
			put(t, s, quota("lab", 9, 9), quota("other", 9, 9))
			before := get(t, s, occi.QuotaID("lab"))
			count, err := s.Count(t.Context(), []string{occi.QuotaKind}, "lab")
			if err != nil {
				t.Fatal(err)
			}
			put(t, s, compute("a", 3))
			after := get(t, s, occi.QuotaID("lab"))
			if after.Revision != before.Revision+1 || after.Seq != before.Seq {
				t.Errorf("the quota is %+v, was %+v", after, before)
			}
			now, err := s.Count(t.Context(), []string{occi.QuotaKind}, "lab")
			if err != nil || now.Revision == count.Revision || now.Members != 1 {
				t.Errorf("counted are %+v, were %+v: %v", now, count, err)
			}
			page, err := s.List(t.Context(), &occi.Query{Kinds: []string{occi.QuotaKind},
				Conds: []occi.Cond{{Name: "occid.quota.cores.used", Op: occi.Ge, Value: occi.Int(3)}}})
			if err != nil || len(page.Entities) != 1 || page.Entities[0].ID != after.ID {
				t.Errorf("found are %v: %v", page.Entities, err)
			}
		})
	}
}

// TestLimitsAreSetWhileUsesChange bases changes of limits on what was read before uses
// changed.
func TestLimitsAreSetWhileUsesChange(t *testing.T) {
	t.Parallel()
	for _, kind := range databases {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			s := counting(t, freshDSN(t, kind))
			put(t, s, quota("lab", 9, 9))
			read := get(t, s, occi.QuotaID("lab"))
			limit := func(cores int64) error {
				q := read.Clone()
				q.Attributes.Set("occid.quota.cores", occi.Int(cores))
				return s.Commit(t.Context(), &occi.Change{At: start, Puts: []*occi.Entity{q}})
			}
			put(t, s, compute("a", 2))
			if err := limit(5); err != nil {
				t.Error(err)
			}
			wantShown(t, s, "lab", 1, 2)
			wantClass(t, "limits of before", limit(6), occi.Conflict)
			put(t, s, compute("b", 2))
			wantClass(t, "limits of before", limit(7), occi.Conflict)
			wantOver(t, "after that", s.Commit(t.Context(), bounded(compute("c", 2))), occi.Excess{Owner: "lab", What: "cores", Limit: 5, Used: 4, Request: 2})
			read = get(t, s, occi.QuotaID("lab"))
			if err := limit(-1); err != nil {
				t.Error(err)
			}
			wantShown(t, s, "lab", 2, 4)
		})
	}
}

// TestQuotaHoldsForAll has many create at once against a quota, on PostgreSQL through two
// servers.
func TestQuotaHoldsForAll(t *testing.T) {
	t.Parallel()
	for _, kind := range databases {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			const machines, allowed = 200, 73
			dsn := freshDSN(t, kind)
			stores := []*store.Store{counting(t, dsn)}
			if kind == "postgres" {
				stores = append(stores, counting(t, dsn))
			}
			put(t, stores[0], quota("lab", -1, 2*allowed+1), quota("ann", 2*allowed, -1))
			n := atOnce[*occi.OverQuota](t, stores, machines, func(i int) *occi.Change { return bounded(compute(fmt.Sprint(i), 2)) })
			if n != allowed {
				t.Errorf("%d machines were made of which %d are allowed", n, allowed)
			}
			for _, s := range stores {
				wantShown(t, s, "lab", allowed, 2*allowed)
				wantUses(t, s, "ann", map[string]int64{"computes": allowed, "cores": 2 * allowed, "memory": allowed * memory})
			}
		})
	}
}

// TestUsesAreCountedWhenTheyCome looks at a quota that comes after what it is of.
func TestUsesAreCountedWhenTheyCome(t *testing.T) {
	t.Parallel()
	for _, kind := range databases {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			s := counting(t, freshDSN(t, kind))
			put(t, s, compute("a", 3))
			put(t, s, quota("lab", -1, -1))
			wantShown(t, s, "lab", 1, 3)
			x := compute("b", 1)
			x.ID = uuid.New()
			x.Reserved = 5 << 30
			put(t, s, x)
			wantUses(t, s, "lab", map[string]int64{"computes": 2, "cores": 4, "memory": 2 * memory, "storage": 5 << 30})
			if got := get(t, s, x.ID); got.Reserved != 5<<30 {
				t.Errorf("reserved is %d", got.Reserved)
			}
		})
	}
}

// TestUsesOfBefore upgrades a database whose entities were not counted.
func TestUsesOfBefore(t *testing.T) {
	t.Parallel()
	down := downTo(t, 9)
	for _, kind := range databases {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			dsn := freshDSN(t, kind)
			s := open(t, dsn)
			var all []*occi.Entity
			for i := range 1203 {
				all = append(all, compute(fmt.Sprint(i), 2))
			}
			all[7].Deleted = true
			all[8].Project = ""
			put(t, s, all...)
			wantUses(t, s, "lab", nil)
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			execute(t, dsn, down)
			s = counting(t, dsn)
			wantUses(t, s, "lab", map[string]int64{"computes": 1201, "cores": 2402, "memory": 1201 * memory})
			commit(t, s, &occi.Change{At: start, Removes: []occi.Removal{{ID: all[0].ID}, {ID: all[7].ID}}})
			wantUses(t, s, "lab", map[string]int64{"computes": 1200, "cores": 2400, "memory": 1200 * memory})
			wantUses(t, s, "ann", map[string]int64{"computes": 1201, "cores": 2402, "memory": 1201 * memory})
		})
	}
}
