package store_test

import (
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/google/uuid"

	"github.com/occid/occid/occi"
	"github.com/occid/occid/store"
)

func task(entity uuid.UUID) *occi.Task {
	return &occi.Task{ID: uuid.New(), Entity: entity, Kind: computeKind, Lane: entity, Host: "h1", Verb: "start",
		State: occi.TaskPending, Progress: -1, Who: "ann", Created: start}
}

func putTasks(t testing.TB, s *store.Store, at time.Time, ts ...*occi.Task) {
	t.Helper()
	if err := s.Commit(t.Context(), &occi.Change{At: at, Tasks: ts}); err != nil {
		t.Fatal(err)
	}
}

// claim claims for a worker and gives the identifiers.
func claim(t testing.TB, s *store.Store, worker string, n int, now time.Time) ([]*occi.Task, time.Time) {
	t.Helper()
	ts, next, err := s.Claim(t.Context(), "h1", worker, n, now, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	return ts, next
}

func wantTasks(t *testing.T, what string, got []*occi.Task, want ...*occi.Task) {
	t.Helper()
	idsOf := func(ts []*occi.Task) (out []uuid.UUID) {
		for _, x := range ts {
			out = append(out, x.ID)
		}
		return out
	}
	if diff := cmp.Diff(idsOf(want), idsOf(got)); diff != "" {
		t.Errorf("%s: -want +got:\n%s", what, diff)
	}
}

func TestTaskSurvives(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, s *store.Store) {
		want := task(uuid.New())
		want.After = []uuid.UUID{uuid.New(), uuid.New()}
		want.Attributes.Set("method", occi.Str("acpi\noff"))
		want.Progress, want.Attempts, want.Error, want.Cancel, want.Trace = 50, 3, "no\x1bhost", true, "00-a-b-01"
		want.Done, want.Total = 5, 1<<40
		want.Started, want.NotBefore, want.State = start.Add(time.Second), start.Add(time.Hour), occi.TaskRunning
		putTasks(t, s, start, want)
		got, err := s.Task(t.Context(), want.ID)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" || got.Seq != 1 {
			t.Errorf("-want +got:\n%s", diff)
		}
		want.State, want.Progress, want.Error, want.Finished = occi.TaskDone, 100, "", start.Add(time.Minute)
		putTasks(t, s, start, want)
		got, err = s.Task(t.Context(), want.ID)
		if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" || err != nil {
			t.Errorf("changed: %v -want +got:\n%s", err, diff)
		}
		_, err = s.Task(t.Context(), uuid.New())
		wantClass(t, "an unknown task", err, occi.NotFound)
	})
}

// TestATaskIsHandedOver gives a task that was claimed to another host.
func TestATaskIsHandedOver(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, s *store.Store) {
		elsewhere := task(uuid.New())
		elsewhere.Host = "h2"
		putTasks(t, s, start, elsewhere)
		if got, _ := claim(t, s, "w", 1, start); len(got) > 0 {
			t.Fatal("a task of another host was claimed")
		}
		got, _, err := s.Claim(t.Context(), "h2", "w", 1, start, time.Minute)
		if err != nil || len(got) != 1 {
			t.Fatalf("claimed %v, %v", got, err)
		}
		moved := *got[0]
		moved.Host, moved.State = "h1", occi.TaskPending
		putTasks(t, s, start, &moved)
		taken, _ := claim(t, s, "w", 1, start)
		wantTasks(t, "handed over", taken, elsewhere)
	})
}

func TestTaskLists(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, s *store.Store) {
		one, two := uuid.New(), uuid.New()
		a, b, c := task(one), task(two), task(one)
		a.State = occi.TaskFailed
		putTasks(t, s, start, a, b, c)
		history, err := s.Tasks(t.Context(), one)
		if err != nil {
			t.Fatal(err)
		}
		wantTasks(t, "Tasks", history, a, c)
		for what, x := range map[string]struct {
			lanes []uuid.UUID
			want  []*occi.Task
		}{
			"all":   {nil, []*occi.Task{b, c}},
			"lane":  {[]uuid.UUID{one}, []*occi.Task{c}},
			"lanes": {[]uuid.UUID{two, one}, []*occi.Task{b, c}},
			"none":  {[]uuid.UUID{uuid.New()}, nil},
		} {
			got, err := s.Unfinished(t.Context(), x.lanes)
			if err != nil {
				t.Fatal(err)
			}
			wantTasks(t, "Unfinished of "+what, got, x.want...)
		}
	})
}

func TestClaimOrder(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, s *store.Store) {
		lane := uuid.New()
		first, second := task(lane), task(lane)
		needs := task(uuid.New())
		needs.After = []uuid.UUID{second.ID, uuid.New()} // what is unknown is over
		elsewhere := task(uuid.New())
		elsewhere.Host = "h2"
		later := task(uuid.New())
		later.NotBefore = start.Add(10 * time.Minute)
		putTasks(t, s, start, first, second, needs, elsewhere, later)

		got, next := claim(t, s, "w", 10, start)
		wantTasks(t, "first claim", got, first)
		if c := got[0]; c.State != occi.TaskRunning || c.Attempts != 1 || !c.Started.Equal(start) {
			t.Errorf("claimed as %+v", c)
		}
		if !next.Equal(start.Add(time.Minute)) {
			t.Errorf("next is %s, want the end of the lease", next)
		}
		got[0].State, got[0].Finished = occi.TaskDone, start
		putTasks(t, s, start, got[0])
		got, next = claim(t, s, "w", 1, start)
		wantTasks(t, "second claim", got, second)
		if !next.IsZero() {
			t.Errorf("next of a full claim is %s, want none", next)
		}
		got[0].State = occi.TaskFailed
		putTasks(t, s, start, got[0])
		got, _ = claim(t, s, "w", 10, start)
		wantTasks(t, "third claim", got, needs)
		got[0].State = occi.TaskCancelled
		putTasks(t, s, start, got[0])
		got, next = claim(t, s, "w", 10, start)
		wantTasks(t, "fourth claim", got)
		if !next.Equal(later.NotBefore) {
			t.Errorf("next is %s, want when the last falls due", next)
		}
		got, _ = claim(t, s, "w", 10, later.NotBefore)
		wantTasks(t, "when it is due", got, later)
	})
}

// TestClaimWithTheChange has tasks claimed as they are stored, those alone that Claim would
// give.
func TestClaimWithTheChange(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, s *store.Store) {
		busy := task(uuid.New())
		putTasks(t, s, start, busy)
		first, second, behind := task(uuid.New()), task(uuid.New()), task(busy.Entity)
		second.Lane = first.Lane
		after, elsewhere, later := task(uuid.New()), task(uuid.New()), task(uuid.New())
		after.After, elsewhere.Host, later.NotBefore = []uuid.UUID{first.ID}, "h2", start.Add(time.Hour)
		all := []*occi.Task{first, second, behind, after, elsewhere, later}
		if err := s.Commit(t.Context(), &occi.Change{At: start, Tasks: all, Claim: &occi.Claim{Host: "h1", Worker: "a", Lease: time.Minute}}); err != nil {
			t.Fatal(err)
		}
		for _, x := range all {
			state, attempts, began := occi.TaskPending, 0, time.Time{}
			if x == first {
				state, attempts, began = occi.TaskRunning, 1, start
			}
			stored, err := s.Task(t.Context(), x.ID)
			if err != nil {
				t.Fatal(err)
			}
			for what, got := range map[string]*occi.Task{"the change": x, "the store": stored} {
				if got.State != state || got.Attempts != attempts || !got.Started.Equal(began) {
					t.Errorf("task %d is in %s %s after %d attempts since %s", x.Seq, what, got.State, got.Attempts, got.Started)
				}
			}
		}
		got, _ := claim(t, s, "b", 10, start.Add(59*time.Second))
		wantTasks(t, "within the lease", got, busy)
		got, _ = claim(t, s, "b", 10, start.Add(time.Minute))
		wantTasks(t, "after it", got, first)
		if got[0].Attempts != 2 || !got[0].Started.Equal(start) {
			t.Errorf("claimed again as %+v", got[0])
		}
	})
}

func TestLeases(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, s *store.Store) {
		putTasks(t, s, start, task(uuid.New()))
		mine, _ := claim(t, s, "a", 1, start)
		got, _ := claim(t, s, "b", 1, start.Add(59*time.Second))
		wantTasks(t, "within the lease", got)
		renewed := *mine[0]
		putTasks(t, s, start.Add(30*time.Second), &renewed)
		got, _ = claim(t, s, "b", 1, start.Add(89*time.Second))
		wantTasks(t, "within the renewed lease", got)
		theirs, _ := claim(t, s, "b", 1, start.Add(90*time.Second))
		wantTasks(t, "after it", theirs, mine[0])
		if theirs[0].Attempts != 2 || !theirs[0].Started.Equal(start) {
			t.Errorf("claimed again as %+v", theirs[0])
		}
		late := *mine[0]
		late.State = occi.TaskDone
		wantClass(t, "the end of a lost claim", s.Commit(t.Context(), &occi.Change{At: start, Tasks: []*occi.Task{&late}}), occi.Conflict)
		again := *theirs[0]
		again.State, again.NotBefore = occi.TaskPending, start.Add(time.Hour)
		putTasks(t, s, start, &again)
		got, _ = claim(t, s, "a", 1, start.Add(59*time.Minute))
		wantTasks(t, "postponed", got)
		got, _ = claim(t, s, "a", 1, start.Add(time.Hour))
		wantTasks(t, "when its time has come", got, mine[0])
	})
}

func TestRelease(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, s *store.Store) {
		a, b := task(uuid.New()), task(uuid.New())
		putTasks(t, s, start, a)
		claim(t, s, "a", 1, start)
		putTasks(t, s, start, b)
		claim(t, s, "b", 1, start)
		if err := s.Release(t.Context(), "a"); err != nil {
			t.Fatal(err)
		}
		got, _ := claim(t, s, "c", 10, start)
		wantTasks(t, "what was released", got, a)
		if got[0].Attempts != 2 {
			t.Errorf("after a release it has %d attempts, want 2", got[0].Attempts)
		}
	})
}

// TestClaimsDoNotOverlap has several servers claim at once.
func TestClaimsDoNotOverlap(t *testing.T) {
	t.Parallel()
	const tasks, workers = 60, 4
	onEach(t, func(t *testing.T, s *store.Store) {
		var all []*occi.Task
		for range tasks / 2 {
			lane := uuid.New()
			all = append(all, task(lane), task(lane))
		}
		putTasks(t, s, start, all...)
		var mu sync.Mutex
		claimed := map[uuid.UUID]int{}
		var wg sync.WaitGroup
		for w := range workers {
			wg.Go(func() {
				for range tasks {
					got, _, err := s.Claim(t.Context(), "h1", string(rune('a'+w)), 3, start, time.Minute)
					if err != nil {
						t.Error(err)
						return
					}
					for _, x := range got {
						mu.Lock()
						claimed[x.ID]++
						mu.Unlock()
						x.State = occi.TaskDone
						if err := s.Commit(t.Context(), &occi.Change{At: start, Tasks: []*occi.Task{x}}); err != nil {
							t.Error(err)
						}
					}
				}
			})
		}
		wg.Wait()
		for _, x := range all {
			if claimed[x.ID] != 1 {
				t.Errorf("task %d was claimed %d times, want once", x.Seq, claimed[x.ID])
			}
		}
	})
}

func TestKeys(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, s *store.Store) {
		want := &occi.Key{Who: "ann", Name: "k", Hash: "h", Entities: []uuid.UUID{uuid.New(), uuid.New()}, Made: []uuid.UUID{uuid.New()},
			Defined: []string{"http://example.com/#a"}, Created: start}
		if err := s.Commit(t.Context(), &occi.Change{At: start, Key: want}); err != nil {
			t.Fatal(err)
		}
		got, err := s.Key(t.Context(), "ann", "k")
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("%v -want +got:\n%s", err, diff)
		}
		for _, other := range [][2]string{{"bob", "k"}, {"ann", "K"}, {"an", "nk"}, {"", "annk"}} {
			_, err := s.Key(t.Context(), other[0], other[1])
			wantClass(t, "another key", err, occi.NotFound)
		}
	})
}
