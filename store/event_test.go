package store_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/occid/occid/occi"
	"github.com/occid/occid/spec"
	"github.com/occid/occid/store"
)

// modelled opens a store whose events tell of states.
func modelled(t testing.TB, dsn string) *store.Store {
	t.Helper()
	m, err := spec.Builtin()
	if err != nil {
		t.Fatal(err)
	}
	return open(t, dsn, store.WithModel(func() *occi.Model { return m }))
}

// events reads all events, a few at a time.
func events(t testing.TB, s *store.Store) []*occi.Event {
	t.Helper()
	var all []*occi.Event
	for {
		after := int64(0)
		if len(all) > 0 {
			after = all[len(all)-1].Seq
		}
		found, err := s.Events(t.Context(), after, 2)
		if err != nil {
			t.Fatal(err)
		}
		if len(found) == 0 {
			return all
		}
		all = append(all, found...)
	}
}

// told spells out what events say.
func told(es []*occi.Event) []string {
	var out []string
	for _, e := range es {
		out = append(out, fmt.Sprintf("%d %s %s %s>%s %q", e.Seq, e.What, e.Verb, e.Was, e.State, e.Message))
	}
	return out
}

func TestEventsTellOfChanges(t *testing.T) {
	t.Parallel()
	for _, kind := range databases {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			s := modelled(t, freshDSN(t, kind))
			commit := func(c occi.Change) {
				t.Helper()
				c.At = start
				if err := s.Commit(t.Context(), &c); err != nil {
					t.Fatal(err)
				}
			}
			vm, lan := compute("vm", 1), network("lan")
			nic, job := link(vm, lan), task(vm.ID)
			commit(occi.Change{Puts: []*occi.Entity{vm, lan, nic}, Tasks: []*occi.Task{job}})
			titled := vm.Clone()
			titled.Title = "web"
			commit(occi.Change{Puts: []*occi.Entity{titled}})
			active := titled.Clone()
			active.Attributes.Set("occi.compute.state", occi.Str("active"))
			active.Attributes.Set("occi.compute.state.message", occi.Str(`"up"`))
			job.State, job.Attempts = occi.TaskRunning, 1
			commit(occi.Change{Puts: []*occi.Entity{active}, Tasks: []*occi.Task{job}})
			job.Progress = 50
			commit(occi.Change{Tasks: []*occi.Task{job}})
			stale := vm.Clone()
			stale.Revision = 1
			wantClass(t, "a change of what has changed", s.Commit(t.Context(), &occi.Change{At: start, Puts: []*occi.Entity{stale}}), occi.Conflict)
			leaving := nic.Clone()
			leaving.Deleted = true
			job.State, job.Error = occi.TaskFailed, "no host"
			commit(occi.Change{Puts: []*occi.Entity{leaving}, Tasks: []*occi.Task{job}})
			moved := leaving.Clone()
			moved.Host = "h2"
			commit(occi.Change{Puts: []*occi.Entity{moved}})
			commit(occi.Change{Removes: []occi.Removal{{ID: nic.ID}, {ID: vm.ID}}})

			got := events(t, s)
			want := []string{
				`1 created  >inactive "creating"`, `2 created  > ""`, `3 created  > ""`, `4 created start >pending ""`,
				`5 updated  >inactive "creating"`,
				`6 state  inactive>active "\"up\""`, `7 state start pending>running ""`,
				`8 deleted  > ""`, `9 state start running>failed "no host"`,
				`10 deleted  active> ""`,
			}
			if diff := cmp.Diff(want, told(got)); diff != "" {
				t.Fatalf("-want +got:\n%s", diff)
			}
			wholes := []*occi.Event{
				{Seq: 1, At: start, What: occi.EventCreated, ID: vm.ID, Kind: computeKind, Owner: "ann", Project: "lab", State: "inactive", Message: "creating"},
				{Seq: 3, At: start, What: occi.EventCreated, ID: nic.ID, Kind: nicKind, About: occi.Ref{ID: vm.ID, Kind: computeKind}},
				{Seq: 7, At: start, What: occi.EventState, ID: job.ID, Kind: occi.TaskKind, Owner: "ann", About: occi.Ref{ID: vm.ID, Kind: computeKind},
					Verb: "start", Was: "pending", State: "running"},
			}
			if diff := cmp.Diff(wholes, []*occi.Event{got[0], got[2], got[6]}); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
			before, err := s.EventsBefore(t.Context(), 8, 4)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff([]string{want[6], want[5], want[4], want[3]}, told(before)); diff != "" {
				t.Errorf("before 8: -want +got:\n%s", diff)
			}
			wantRange(t, s, 1, 10)
		})
	}
}

func wantRange(t *testing.T, s *store.Store, first, last int64) {
	t.Helper()
	gotFirst, gotLast, err := s.EventRange(t.Context())
	if err != nil || gotFirst != first || gotLast != last {
		t.Errorf("events from %d to %d, %v; want %d to %d", gotFirst, gotLast, err, first, last)
	}
}

// next gives the next event that a follower is told of, nil when that has ended.
func next(t *testing.T, ch <-chan []*occi.Event) []*occi.Event {
	t.Helper()
	select {
	case es := <-ch:
		return es
	case <-time.After(time.Minute):
		t.Fatal("no event is told")
		return nil
	}
}

func follow(t *testing.T, s *store.Store, ctx context.Context) (int64, <-chan []*occi.Event) {
	t.Helper()
	after, ch, err := s.Follow(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return after, ch
}

// TestClaimsAreTold finds a claim in the transaction that ends the task, and if none
// comes, in one of its own.
func TestClaimsAreTold(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, s *store.Store) {
		short, long := task(uuid.New()), task(uuid.New())
		putTasks(t, s, start, short, long)
		got, _ := claim(t, s, "w", 1, start)
		done := *got[0]
		done.State = occi.TaskDone
		putTasks(t, s, start, &done)
		want := []string{`1 created start >pending ""`, `2 created start >pending ""`,
			`3 state start pending>running ""`, `4 state start running>done ""`}
		if diff := cmp.Diff(want, told(events(t, s))); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}
		_, ch := follow(t, s, t.Context())
		claim(t, s, "w", 1, start)
		if diff := cmp.Diff([]string{`5 state start pending>running ""`}, told(next(t, ch))); diff != "" {
			t.Errorf("a claim: -want +got:\n%s", diff)
		}
		if err := s.Release(t.Context(), "w"); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([]string{`6 state start running>pending ""`}, told(next(t, ch))); diff != "" {
			t.Errorf("a release: -want +got:\n%s", diff)
		}
	})
}

// TestNotesOutliveTheStore has what is noted written when the store is closed.
func TestNotesOutliveTheStore(t *testing.T) {
	t.Parallel()
	for _, kind := range databases {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			dsn := freshDSN(t, kind)
			s := open(t, dsn)
			putTasks(t, s, start, task(uuid.New()))
			claim(t, s, "w", 1, start)
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			wantRange(t, open(t, dsn), 1, 2)
		})
	}
}

// TestFollowersMissNothing has two servers write at once, while followers on each read
// what both wrote.
func TestFollowersMissNothing(t *testing.T) {
	t.Parallel()
	const writers, each = 8, 40
	for _, kind := range databases {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			stores := servers(t, kind)
			var all sync.WaitGroup
			for _, s := range stores {
				after, ch := follow(t, s, t.Context())
				all.Go(func() {
					seen := map[uuid.UUID]bool{}
					for last := after; last < int64(len(stores)*writers*each); {
						es, ok := <-ch
						if !ok {
							t.Error("a follower was dropped")
							return
						}
						for _, e := range es {
							if last++; e.Seq != last || seen[e.ID] {
								t.Errorf("event %d of %s is told as number %d", e.Seq, e.ID, last)
							}
							seen[e.ID] = true
						}
					}
				})
				for range writers {
					all.Go(func() {
						for range each {
							if err := s.Commit(t.Context(), &occi.Change{At: start, Puts: []*occi.Entity{compute("c", 1)}}); err != nil {
								t.Error(err)
							}
						}
					})
				}
			}
			all.Wait()
		})
	}
}

// TestFollowersOfOtherServers loses the connection on which a server listens.
func TestFollowersOfOtherServers(t *testing.T) {
	t.Parallel()
	dsn := freshDSN(t, "postgres")
	one, other := open(t, dsn), open(t, dsn)
	after, ch := follow(t, one, t.Context())
	for i := range int64(3) {
		put(t, other, network("n"))
		if es := next(t, ch); len(es) != 1 || es[0].Seq != after+1+i {
			t.Fatalf("event %d is told as %v", after+1+i, told(es))
		}
		execute(t, dsn, `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
			WHERE datname = current_database() AND query LIKE 'LISTEN%'`)
	}
}

func TestFollowersEnd(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, s *store.Store) {
		ctx, cancel := context.WithCancel(t.Context())
		_, left := follow(t, s, ctx)
		cancel()
		if es := next(t, left); es != nil {
			t.Errorf("told %v after the end", told(es))
		}
		_, slow := follow(t, s, t.Context())
		_, quick := follow(t, s, t.Context())
		for range cap(slow) + 1 {
			put(t, s, network("n"))
			next(t, quick)
		}
		for range cap(slow) {
			next(t, slow)
		}
		if es := next(t, slow); es != nil {
			t.Errorf("who is far behind is told %v", told(es))
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if es := next(t, quick); es != nil {
			t.Errorf("told %v by a closed store", told(es))
		}
	})
}

func TestPurgeEvents(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, s *store.Store) {
		purge := func(before time.Time, n int) (int, error) { return s.PurgeEvents(t.Context(), before, n) }
		wantRange(t, s, 1, 0)
		purged(t, purge, start, 10, 0)
		// The clock of whoever wrote the third was behind.
		for _, hour := range []time.Duration{1, 2, 1, 4, 5} {
			c := &occi.Change{At: start.Add(hour * time.Hour), Puts: []*occi.Entity{compute("a", 1), compute("b", 1)}}
			if err := s.Commit(t.Context(), c); err != nil {
				t.Fatal(err)
			}
		}
		wantRange(t, s, 1, 10)
		purged(t, purge, start.Add(2*time.Hour), 10, 1)
		wantRange(t, s, 3, 10)
		purged(t, purge, start.Add(5*time.Hour), 1, 1)
		purged(t, purge, start.Add(5*time.Hour), 10, 2)
		wantRange(t, s, 9, 10)
		if es, err := s.Events(t.Context(), 2, 1); err != nil || len(es) == 0 || es[0].Seq != 9 {
			t.Errorf("after what is forgotten: %v, %v", told(es), err)
		}
		if es, err := s.EventsBefore(t.Context(), 11, 50); err != nil || len(es) != 2 {
			t.Errorf("before the last: %v, %v", told(es), err)
		}
		purged(t, purge, start.Add(6*time.Hour), 10, 1)
		wantRange(t, s, 11, 10)
		put(t, s, compute("c", 1))
		wantRange(t, s, 11, 11)
	})
}
