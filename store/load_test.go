package store_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/occid/occid/occi"
	"github.com/occid/occid/store"
)

// placed makes a compute that takes cores of a host.
func placed(name, host string, cores int64) *occi.Entity {
	x := compute(name, 1)
	x.Host, x.Takes = host, []occi.Take{{What: "cores", Amount: cores}}
	return x
}

func coresOf(host string, most int64) occi.Limit {
	return occi.Limit{Host: host, What: "cores", Most: most}
}

// wantLoads checks what is taken.
func wantLoads(t *testing.T, s *store.Store, want ...occi.Load) {
	t.Helper()
	got, err := s.Loads(t.Context())
	slices.SortFunc(got, func(a, b occi.Load) int { return strings.Compare(a.Host+a.What, b.Host+b.What) })
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("loads: %v\n%s", err, diff)
	}
}

func wantOverload(t *testing.T, what string, err error, want occi.Overload) {
	t.Helper()
	var full *occi.Overload
	if !errors.Is(err, occi.Conflict) || !errors.As(err, &full) || *full != want {
		t.Errorf("%s: %v, want %+v", what, err, want)
	}
}

func TestLoadsOfHosts(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, s *store.Store) {
		try := func(c *occi.Change) error {
			c.At = start
			return s.Commit(t.Context(), c)
		}
		a, b := placed("a", "one", 6), placed("b", "one", 5)
		if err := try(&occi.Change{Puts: []*occi.Entity{a}, Limits: []occi.Limit{coresOf("one", 10)}}); err != nil {
			t.Fatal(err)
		}
		wantOverload(t, "more than is free", try(&occi.Change{Puts: []*occi.Entity{b}, Limits: []occi.Limit{coresOf("one", 10)}}),
			occi.Overload{Host: "one", What: "cores", Asked: 5, Free: 4})
		if _, err := s.Entity(t.Context(), b.ID); !errors.Is(err, occi.NotFound) {
			t.Errorf("what was refused is there: %v", err)
		}
		b.Host = "two"
		put(t, s, b)
		wantLoads(t, s, occi.Load{Host: "one", What: "cores", Amount: 6}, occi.Load{Host: "two", What: "cores", Amount: 5})
		// Less than before, even of a host that has become too small.
		a = get(t, s, a.ID).Clone()
		a.Takes[0].Amount = 4
		if err := try(&occi.Change{Puts: []*occi.Entity{a}, Limits: []occi.Limit{coresOf("one", 2)}}); err != nil {
			t.Error(err)
		}
		a = get(t, s, a.ID).Clone()
		a.Takes[0].Amount = 5
		wantOverload(t, "growing", try(&occi.Change{Puts: []*occi.Entity{a}, Limits: []occi.Limit{coresOf("one", 4)}}),
			occi.Overload{Host: "one", What: "cores", Asked: 1})
		// To another host, with all that it takes.
		a = get(t, s, a.ID).Clone()
		a.Host = "two"
		a.Takes = append(a.Takes, occi.Take{What: "group", Amount: 1, Shared: true})
		put(t, s, a)
		wantLoads(t, s, occi.Load{What: "group", Amount: 1}, occi.Load{Host: "two", What: "cores", Amount: 9})
		if got := get(t, s, a.ID).Takes; len(got) != 2 || got[0] != (occi.Take{What: "cores", Amount: 4}) || got[1] != a.Takes[1] {
			t.Errorf("it takes %v", got)
		}
		// On its way to a third one it takes of both.
		a = get(t, s, a.ID).Clone()
		a.Moving, a.Takes = "three", append(a.Takes, occi.Take{What: "cores", Amount: 4, Host: "three"})
		wantOverload(t, "moving", try(&occi.Change{Puts: []*occi.Entity{a}, Limits: []occi.Limit{coresOf("three", 3)}}),
			occi.Overload{Host: "three", What: "cores", Asked: 4, Free: 3})
		put(t, s, a)
		wantLoads(t, s, occi.Load{What: "group", Amount: 1}, occi.Load{Host: "three", What: "cores", Amount: 4}, occi.Load{Host: "two", What: "cores", Amount: 9})
		if got := get(t, s, a.ID); got.Moving != "three" || len(got.TakesOf("three")) != 1 || len(got.TakesOf("two")) != 1 {
			t.Errorf("on its way it is %+v", got)
		}
		commit(t, s, &occi.Change{At: start, Removes: []occi.Removal{{ID: a.ID}}})
		wantLoads(t, s, occi.Load{Host: "two", What: "cores", Amount: 5})
		// A gate is for whoever passes.
		free := compute("c", 1)
		gate := occi.Limit{Host: "two", What: "cores", Most: 4, Gate: true}
		wantOverload(t, "through a gate", try(&occi.Change{Puts: []*occi.Entity{free}, Limits: []occi.Limit{gate}}), occi.Overload{Host: "two", What: "cores"})
		gate.Most = 5
		if err := try(&occi.Change{Puts: []*occi.Entity{free}, Limits: []occi.Limit{gate}}); err != nil {
			t.Error(err)
		}
	})
}

// TestHostsAreNotOverloaded has many take of one host at once, on PostgreSQL through
// two servers.
func TestHostsAreNotOverloaded(t *testing.T) {
	t.Parallel()
	for _, kind := range databases {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			const machines, fit = 60, 25
			stores := servers(t, kind)
			n := atOnce[*occi.Overload](t, stores, machines, func(i int) *occi.Change {
				x := placed(fmt.Sprint(i), "one", 4)
				return &occi.Change{At: start, Puts: []*occi.Entity{x}, Limits: []occi.Limit{coresOf("one", 4*fit+3)}}
			})
			if n != fit {
				t.Errorf("%d machines were placed where %d fit", n, fit)
			}
			wantLoads(t, stores[0], occi.Load{Host: "one", What: "cores", Amount: 4 * fit})
		})
	}
}
