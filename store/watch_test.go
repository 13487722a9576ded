package store_test

import (
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/occid/occid/occi"
	"github.com/occid/occid/store"
)

// TestWatches follows a host through servers that reach it or do not.
func TestWatches(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, s *store.Store) {
		const long, short = time.Hour, 0 // ended at once, however coarse the clock
		for _, step := range []struct {
			name, worker    string
			reaches         bool
			lease, patience time.Duration
			taken           bool
		}{
			{"one that does not reach it takes what nobody has", "a", false, long, long, true},
			{"another that does not leaves it", "b", false, long, 0, false},
			{"one that does takes it", "b", true, long, long, true},
			{"nobody takes it from that", "c", true, long, 0, false},
			{"and renews it, for a moment", "b", true, short, long, true},
			{"one that does not reach it waits for others", "a", false, long, long, false},
			{"one that does takes it when that has ended", "c", true, short, long, true},
			{"and so does one that does not, in the end", "a", false, long, 0, true},
		} {
			w, taken, err := s.Watch(t.Context(), "h", step.worker, step.reaches, step.lease, step.patience)
			if err != nil || taken != step.taken {
				t.Fatalf("%s: taken %t, %v", step.name, taken, err)
			}
			if taken && (w.Host != "h" || w.Worker != step.worker || w.Reaches != step.reaches) {
				t.Errorf("%s: %+v", step.name, w)
			}
		}
	})
}

// TestWatchesAreRenewed renews what is held, not what has ended, and gives back.
func TestWatchesAreRenewed(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, s *store.Store) {
		for _, w := range []struct {
			host, worker string
			lease        time.Duration
		}{{"h1", "a", time.Minute}, {"h2", "a", 0}, {"h3", "b", time.Minute}} {
			if _, _, err := s.Watch(t.Context(), w.host, w.worker, true, w.lease, 0); err != nil {
				t.Fatal(err)
			}
		}
		all := watches(t, s, "a")
		if all["h1"].Left < time.Minute*59 || all["h2"].Left > 0 || all["h3"].Left > time.Minute {
			t.Errorf("the leases are %+v", all)
		}
		if err := s.Unwatch(t.Context(), "b", ""); err != nil {
			t.Fatal(err)
		}
		if all = watches(t, s, "a"); all["h3"].Left > 0 || all["h1"].Left <= 0 {
			t.Errorf("after one was given back the leases are %+v", all)
		}
		if err := s.Unwatch(t.Context(), "a", "h1"); err != nil {
			t.Fatal(err)
		}
		if all = watches(t, s, "a"); all["h1"].Left > 0 {
			t.Errorf("after one was given back the leases are %+v", all)
		}
	})
}

func watches(t *testing.T, s *store.Store, worker string) map[string]occi.Watch {
	t.Helper()
	list, err := s.Watches(t.Context(), worker, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]occi.Watch{}
	for _, w := range list {
		all[w.Host] = w
	}
	return all
}

// TestHowLongAHostIsLost counts from when the last server lost it, whoever watches it.
func TestHowLongAHostIsLost(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, s *store.Store) {
		watch := func(worker string, reaches bool) occi.Watch {
			w, taken, err := s.Watch(t.Context(), "h", worker, reaches, 0, 0)
			if err != nil || !taken {
				t.Fatal(taken, err)
			}
			return w
		}
		watch("a", false)
		first := watch("a", false).For
		for deadline := time.Now().Add(10 * time.Second); watch("b", false).For < first+time.Millisecond; {
			if time.Now().After(deadline) {
				t.Fatal("it is not lost for longer as time passes")
			}
		}
		if w := watch("b", true); w.For > first {
			t.Errorf("when it is back that is so for %s", w.For)
		}
	})
}

// TestHostsWithDueTasks names hosts by what may be claimed there.
func TestHostsWithDueTasks(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, s *store.Store) {
		later := func(host string, at time.Time) *occi.Task {
			id := uuid.New()
			return &occi.Task{ID: uuid.New(), Entity: id, Lane: id, Host: host, Verb: "create", State: occi.TaskPending, Progress: -1, Created: start, NotBefore: at}
		}
		tasks := []*occi.Task{later("h1", time.Time{}), later("h1", start), later("h2", start.Add(time.Minute)), later("h3", start)}
		if err := s.Commit(t.Context(), &occi.Change{At: start, Tasks: tasks}); err != nil {
			t.Fatal(err)
		}
		if _, _, err := s.Claim(t.Context(), "h3", "a", 1, start, time.Second); err != nil {
			t.Fatal(err)
		}
		for _, tt := range []struct {
			after time.Duration
			want  []string
		}{{0, []string{"h1"}}, {2 * time.Second, []string{"h1", "h3"}}, {time.Hour, []string{"h1", "h2", "h3"}}} {
			got, err := s.Due(t.Context(), start.Add(tt.after))
			slices.Sort(got)
			if err != nil || !slices.Equal(got, tt.want) {
				t.Errorf("after %s tasks are due on %v, %v; want %v", tt.after, got, err, tt.want)
			}
		}
	})
}
