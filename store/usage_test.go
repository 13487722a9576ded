package store_test

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	diff "github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/occid/occid/occi"
	"github.com/occid/occid/store"
)

// coresAndStorage is what an entity of these tests uses.
func coresAndStorage(e *occi.Entity) occi.Use {
	return occi.Use{Computes: int64(e.Attributes.Get("there").Num), Cores: int64(e.Attributes.Get("cores").Num), Memory: 1 << 40}
}

// intervals spells out what was used, the oldest first.
func intervals(t testing.TB, s *store.Store, q occi.UsageQuery) []string {
	t.Helper()
	if q.To.IsZero() {
		q.To = start.Add(1000 * time.Hour)
	}
	var all []*occi.Interval
	if err := s.Usage(t.Context(), &q, func(i *occi.Interval) { all = append(all, i) }); err != nil {
		t.Fatal(err)
	}
	slices.SortFunc(all, func(a, b *occi.Interval) int {
		return cmp.Or(a.Began.Compare(b.Began), cmp.Compare(a.Project, b.Project))
	})
	var out []string
	for _, i := range all {
		ended := "-"
		if !i.Ended.IsZero() {
			ended = fmt.Sprint(i.Ended.Sub(start))
		}
		out = append(out, fmt.Sprintf("%s/%s %d %s..%s", i.Project, i.Owner, i.Cores, i.Began.Sub(start), ended))
	}
	return out
}

func TestUsageIsKeptWithTheChange(t *testing.T) {
	t.Parallel()
	for _, kind := range databases {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			dsn := freshDSN(t, kind)
			s := open(t, dsn, store.WithUses(coresAndStorage))
			at := time.Duration(0)
			commit := func(puts []*occi.Entity, removes ...uuid.UUID) {
				t.Helper()
				c := occi.Change{At: start.Add(at), Puts: puts}
				for _, id := range removes {
					c.Removes = append(c.Removes, occi.Removal{ID: id})
				}
				if err := s.Commit(t.Context(), &c); err != nil {
					t.Fatal(err)
				}
			}
			vm := compute("vm", 1)
			vm.Owner, vm.Project = "ann", "lab"
			with := func(cores int64) *occi.Entity {
				vm = vm.Clone()
				vm.Attributes.Set("cores", occi.Int(cores))
				return vm
			}
			other := compute("other", 1)
			other.Owner, other.Project = "bob", "net"
			commit([]*occi.Entity{with(1), other})
			at = time.Minute
			commit([]*occi.Entity{with(4)})
			at = 2 * time.Minute
			commit([]*occi.Entity{with(4)}) // nothing that is charged for
			at = 3 * time.Minute
			vm = with(4)
			vm.Deleted = true
			commit([]*occi.Entity{vm})
			at = 4 * time.Minute
			commit(nil, vm.ID)

			want := []string{"lab/ann 1 0s..1m0s", "net/bob 0 0s..-", "lab/ann 4 1m0s..3m0s"}
			if d := diff.Diff(want, intervals(t, s, occi.UsageQuery{})); d != "" {
				t.Errorf("-want +got:\n%s", d)
			}
			for what, c := range map[string]struct {
				q    occi.UsageQuery
				want []string
			}{
				"a project":   {occi.UsageQuery{Project: "lab"}, []string{want[0], want[2]}},
				"an owner":    {occi.UsageQuery{Owner: "bob"}, want[1:2]},
				"both":        {occi.UsageQuery{Project: "lab", Owner: "bob"}, nil},
				"what is now": {occi.UsageQuery{From: start.Add(10 * time.Minute)}, want[1:2]},
				"a part":      {occi.UsageQuery{From: start.Add(90 * time.Second), To: start.Add(100 * time.Second)}, want[1:]},
				"before":      {occi.UsageQuery{To: start}, nil},
			} {
				if d := diff.Diff(c.want, intervals(t, s, c.q)); d != "" {
					t.Errorf("%s: -want +got:\n%s", what, d)
				}
			}
		})
	}
}

// TestUsageOfBefore upgrades a database in which an older server did not put down what
// entities use, and which has entities of more than a page.
func TestUsageOfBefore(t *testing.T) {
	t.Parallel()
	for _, kind := range databases {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			dsn := freshDSN(t, kind)
			s := open(t, dsn, store.WithUses(coresAndStorage))
			var all []*occi.Entity
			for i := range 1203 {
				all = append(all, compute(fmt.Sprint(i), 1))
				all[i].Attributes.Set("cores", occi.Int(int64(i)))
			}
			all[7].Deleted = true
			put(t, s, all...)
			before := len(intervals(t, s, occi.UsageQuery{}))
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			execute(t, dsn, downTo(t, 13))
			execute(t, dsn, "DELETE FROM usage WHERE cores >= 400; UPDATE usage SET cores = 7777 WHERE cores = 12")
			s = open(t, dsn, store.WithUses(coresAndStorage))
			now := intervals(t, s, occi.UsageQuery{To: time.Now().Add(time.Hour)})
			ended := slices.DeleteFunc(slices.Clone(now), func(line string) bool { return strings.HasSuffix(line, "..-") })
			if len(now) != before+1 || len(ended) != 1 || !strings.Contains(ended[0], " 7777 0s..") {
				t.Errorf("%d intervals, of which ended %q; before there were %d", len(now), ended, before)
			}
			put(t, s, all[0])
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			s = open(t, dsn, store.WithUses(coresAndStorage))
			again := intervals(t, s, occi.UsageQuery{To: time.Now().Add(time.Hour)})
			slices.Sort(now)
			slices.Sort(again)
			if d := diff.Diff(now, again); d != "" {
				t.Errorf("opened again: -want +got:\n%s", d)
			}
		})
	}
}

// TestUsageAtOneTime changes an entity more than once within a microsecond, by one
// transaction or more.
func TestUsageAtOneTime(t *testing.T) {
	t.Parallel()
	for _, kind := range databases {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			s := open(t, freshDSN(t, kind), store.WithUses(coresAndStorage))
			vm := compute("vm", 1)
			for i := range 5 {
				vm = vm.Clone()
				vm.Attributes.Set("cores", occi.Int(int64(i)))
				put(t, s, vm)
			}
			if d := diff.Diff([]string{"lab/ann 4 0s..-"}, intervals(t, s, occi.UsageQuery{})); d != "" {
				t.Errorf("-want +got:\n%s", d)
			}
			if err := s.Commit(t.Context(), &occi.Change{At: start, Removes: []occi.Removal{{ID: vm.ID}}}); err != nil {
				t.Fatal(err)
			}
			if d := diff.Diff([]string{"lab/ann 0 0s..0s"}, intervals(t, s, occi.UsageQuery{From: start.Add(-time.Hour)})); d != "" {
				t.Errorf("-want +got:\n%s", d)
			}
		})
	}
}
