package store_test

import (
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/occid/occid/occi"
	"github.com/occid/occid/store"
)

func TestQueues(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, s *store.Store) {
		if got, err := s.Queues(t.Context()); err != nil || len(got) > 0 {
			t.Errorf("without tasks: %v, %v", got, err)
		}
		first, second, done, other := task(uuid.New()), task(uuid.New()), task(uuid.New()), task(uuid.New())
		second.Created, other.Created = start.Add(time.Minute), start.Add(time.Hour)
		done.State, done.Finished, other.Host = occi.TaskDone, start, "h\x002"
		third := task(uuid.New())
		third.Created = start.Add(2 * time.Minute)
		putTasks(t, s, start, done, first, second, third, other)
		if ts, _ := claim(t, s, "w", 1, start); len(ts) != 1 {
			t.Fatalf("claimed %v", ts)
		}
		got, err := s.Queues(t.Context())
		want := []occi.Queue{{Host: "h\x002", State: occi.TaskPending, Tasks: 1, Oldest: other.Created},
			{Host: "h1", State: occi.TaskPending, Tasks: 2, Oldest: second.Created},
			{Host: "h1", State: occi.TaskRunning, Tasks: 1, Oldest: start.Truncate(time.Microsecond)}}
		if d := cmp.Diff(want, got); err != nil || d != "" {
			t.Errorf("%v\n%s", err, d)
		}
	})
}

func TestMembers(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, s *store.Store) {
		gone := compute("a", 1)
		for _, c := range []*occi.Change{{At: start, Puts: []*occi.Entity{gone, compute("b", 1)}}, {At: start, Removes: []occi.Removal{{ID: gone.ID}}}} {
			if err := s.Commit(t.Context(), c); err != nil {
				t.Fatal(err)
			}
		}
		if got, err := s.Members(t.Context()); err != nil || got[computeKind] != 1 || got[networkKind] != 0 {
			t.Errorf("%v, %v", got, err)
		}
	})
}

func TestPromised(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, s *store.Store) {
		x := compute("a", 1)
		room := occi.Room{Volume: uuid.New(), Entity: x.ID, Pool: "h1\nfast", Bytes: 5}
		if err := s.Commit(t.Context(), &occi.Change{At: start, Puts: []*occi.Entity{x}, Rooms: []occi.Room{room}}); err != nil {
			t.Fatal(err)
		}
		got, err := s.Promised(t.Context())
		if d := cmp.Diff(map[string]int64{"h1\nfast": 5}, got); err != nil || d != "" {
			t.Errorf("%v\n%s", err, d)
		}
	})
}

// TestCommitsAreTold checks that transactions are told of, refused ones included, and
// that what is counted at any time costs few statements.
func TestCommitsAreTold(t *testing.T) {
	t.Parallel()
	for _, kind := range databases {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			var mu sync.Mutex
			var changes, statements int
			s := open(t, freshDSN(t, kind), store.WithCommits(func(n int, took time.Duration, err error) {
				mu.Lock()
				defer mu.Unlock()
				if changes += n; took <= 0 || err != nil {
					t.Errorf("%d changes in %s: %v", n, took, err)
				}
			}), store.WithTrace(func(sql string) {
				mu.Lock()
				defer mu.Unlock()
				if strings.HasPrefix(sql, "SELECT") {
					statements++
				}
			}))
			x := compute("a", 1)
			for range 2 {
				_ = s.Commit(t.Context(), &occi.Change{At: start, Puts: []*occi.Entity{x}})
				x = &occi.Entity{ID: x.ID, Kind: x.Kind}
			}
			mu.Lock()
			statements = 0
			mu.Unlock()
			_, err1 := s.Queues(t.Context())
			_, err2 := s.Members(t.Context())
			_, err3 := s.Promised(t.Context())
			c := s.Connections()
			mu.Lock()
			defer mu.Unlock()
			if changes != 2 || statements > 3 || c.Open < 1 || err1 != nil || err2 != nil || err3 != nil {
				t.Errorf("%d changes, %d statements, %+v; %v, %v, %v", changes, statements, c, err1, err2, err3)
			}
		})
	}
}
