package store_test

import (
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/occid/occid/occi"
	"github.com/occid/occid/store"
)

// ended makes a task that was over at a time.
func ended(at time.Time) *occi.Task {
	t := task(uuid.New())
	t.State, t.Finished = occi.TaskDone, at
	return t
}

func purged(t *testing.T, purge func(before time.Time, n int) (int, error), before time.Time, n, want int) {
	t.Helper()
	if got, err := purge(before, n); err != nil || got != want {
		t.Errorf("purged %d, %v; want %d", got, err, want)
	}
}

func TestPurgeTasks(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, s *store.Store) {
		purge := func(before time.Time, n int) (int, error) { return s.PurgeTasks(t.Context(), before, n) }
		second, first, recent := ended(start.Add(2*time.Hour)), ended(start.Add(time.Hour)), ended(start.Add(3*time.Hour))
		waiting := task(uuid.New())
		waiting.After = []uuid.UUID{first.ID}
		first.After = []uuid.UUID{recent.ID}
		putTasks(t, s, start, second, first, recent, waiting)

		purged(t, purge, recent.Finished, 1, 1)
		_, err := s.Task(t.Context(), first.ID)
		wantClass(t, "the oldest", err, occi.NotFound)
		purged(t, purge, recent.Finished, 10, 1)
		purged(t, purge, recent.Finished, 10, 0)
		_, err = s.Task(t.Context(), second.ID)
		wantClass(t, "the second", err, occi.NotFound)
		if _, err := s.Task(t.Context(), recent.ID); err != nil {
			t.Errorf("the recent one: %v", err)
		}
		got, _ := claim(t, s, "w", 10, start)
		wantTasks(t, "what waited for a task that is forgotten", got, waiting)
		purged(t, purge, start.Add(time.Hour*1e5), 10, 1)
		if left, err := s.Unfinished(t.Context(), nil); err != nil || len(left) != 1 {
			t.Errorf("%d unfinished tasks left, %v; want 1", len(left), err)
		}
	})
}

func TestPurgeKeys(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, s *store.Store) {
		purge := func(before time.Time, n int) (int, error) { return s.PurgeKeys(t.Context(), before, n) }
		keep := func(name string, at time.Time) {
			t.Helper()
			key := &occi.Key{Who: "ann", Name: name, Hash: "h", Created: at}
			if err := s.Commit(t.Context(), &occi.Change{At: at, Key: key}); err != nil {
				t.Fatal(err)
			}
		}
		keep("second", start.Add(2*time.Hour))
		keep("first", start.Add(time.Hour))
		keep("recent", start.Add(3*time.Hour))
		purged(t, purge, start.Add(3*time.Hour), 1, 1)
		_, err := s.Key(t.Context(), "ann", "first")
		wantClass(t, "the oldest", err, occi.NotFound)
		purged(t, purge, start.Add(3*time.Hour), 10, 1)
		purged(t, purge, start.Add(3*time.Hour), 10, 0)
		if _, err := s.Key(t.Context(), "ann", "recent"); err != nil {
			t.Errorf("the recent one: %v", err)
		}
		keep("first", start.Add(4*time.Hour))
	})
}

// TestPurgesDoNotOverlap has several servers purge at once, beside writes.
func TestPurgesDoNotOverlap(t *testing.T) {
	t.Parallel()
	const tasks, servers = 60, 4
	onEach(t, func(t *testing.T, s *store.Store) {
		for i := range tasks {
			key := &occi.Key{Who: "ann", Name: uuid.NewString(), Hash: "h", Created: start}
			c := &occi.Change{At: start, Key: key, Tasks: []*occi.Task{ended(start.Add(time.Duration(i)))}}
			if err := s.Commit(t.Context(), c); err != nil {
				t.Fatal(err)
			}
		}
		var forgotten, freed atomic.Int64
		var wg sync.WaitGroup
		for range servers {
			wg.Go(func() {
				for range tasks {
					n, err := s.PurgeTasks(t.Context(), start.Add(time.Hour), 7)
					k, err2 := s.PurgeKeys(t.Context(), start.Add(time.Hour), 7)
					if err != nil || err2 != nil {
						t.Error(err, err2)
						return
					}
					forgotten.Add(int64(n))
					freed.Add(int64(k))
					if err := s.Commit(t.Context(), &occi.Change{At: start, Tasks: []*occi.Task{task(uuid.New())}}); err != nil {
						t.Error(err)
					}
				}
			})
		}
		wg.Wait()
		if forgotten.Load() != tasks || freed.Load() != tasks {
			t.Errorf("purged %d tasks and %d keys, want %d of each", forgotten.Load(), freed.Load(), tasks)
		}
	})
}
