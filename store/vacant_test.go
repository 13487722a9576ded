package store_test

import (
	"sync"
	"testing"

	"github.com/google/uuid"

	"github.com/occid/occid/occi"
	"github.com/occid/occid/store"
)

// TestVacantHosts lets a host go only with all that is on it.
func TestVacantHosts(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, s *store.Store) {
		node, vm := network("node"), compute("vm", 1)
		node.Host = vm.Host
		put(t, s, node, vm)
		gone := func(es ...*occi.Entity) error {
			c := &occi.Change{At: start, Vacant: []string{vm.Host}}
			for _, e := range es {
				c.Removes = append(c.Removes, occi.Removal{ID: e.ID})
			}
			return s.Commit(t.Context(), c)
		}
		wantClass(t, "a host with a machine", gone(node), occi.Conflict)
		if err := s.Commit(t.Context(), &occi.Change{At: start, Puts: []*occi.Entity{compute("on it", 1)}, There: []uuid.UUID{node.ID}}); err != nil {
			t.Fatal(err)
		}
		wantClass(t, "a host with another machine", gone(node, vm), occi.Conflict)
		other := compute("elsewhere", 1)
		other.Host = "h2"
		if err := s.Commit(t.Context(), &occi.Change{At: start, Vacant: []string{"h3"}, Puts: []*occi.Entity{other}}); err != nil {
			t.Error(err)
		}
	})
}

// TestVacantOrTaken has a host let go of and something placed on it at once: one of both
// comes to pass.
func TestVacantOrTaken(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, s *store.Store) {
		for range 20 {
			node, vm := network("node"), compute("vm", 1)
			node.Host, vm.Host = uuid.NewString(), ""
			put(t, s, node)
			vm.Host = node.Host
			var errs [2]error
			var both sync.WaitGroup
			both.Go(func() {
				errs[0] = s.Commit(t.Context(), &occi.Change{At: start, Vacant: []string{node.Host}, Removes: []occi.Removal{{ID: node.ID}}})
			})
			both.Go(func() {
				errs[1] = s.Commit(t.Context(), &occi.Change{At: start, Puts: []*occi.Entity{vm}, There: []uuid.UUID{node.ID}})
			})
			both.Wait()
			if (errs[0] == nil) == (errs[1] == nil) {
				t.Fatalf("the host is let go of: %v, and taken: %v", errs[0], errs[1])
			}
		}
	})
}
