package engine_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"

	"github.com/occid/occid/hypervisor"
	"github.com/occid/occid/internal/engine"
	"github.com/occid/occid/occi"
)

func TestWaitingForAnotherServer(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	vm := c.create(draft(compute))
	entered, proceed := c.host.hold("start domain", nil)
	out, err := c.act(vm, "start")
	if err != nil {
		t.Fatal(err)
	}
	<-entered
	other := c.server(c.store, "other")
	waited := make(chan error)
	go func() { waited <- other.Wait(c.ctx, out.IDs()) }()
	close(proceed)
	if err := <-waited; err != nil {
		t.Fatal(err)
	}
	if x := c.get(vm.ID); c.state(x) != "active" {
		t.Errorf("it is %s after the wait", c.state(x))
	}
}

// awayStore is a store that one server cannot write to for a while.
type awayStore struct {
	engine.Store
	away atomic.Bool
}

func (s *awayStore) Commit(ctx context.Context, c *occi.Change) error {
	if s.away.Load() {
		return occi.E(occi.Unavailable, "the database is away")
	}
	return s.Store.Commit(ctx, c)
}

func (s *awayStore) Claim(ctx context.Context, host, worker string, n int, now time.Time, lease time.Duration) ([]*occi.Task, time.Time, error) {
	if s.away.Load() {
		return nil, time.Time{}, occi.E(occi.Unavailable, "the database is away")
	}
	return s.Store.Claim(ctx, host, worker, n, now, lease)
}

// TestALostClaimEndsTheWork has a server lose the database while it works on a
// task: the next one may begin only when the first has stopped, and what the first
// writes late counts for nothing.
func TestALostClaimEndsTheWork(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newCloud(t)
		var cancel context.CancelFunc
		c.ctx, cancel = context.WithTimeout(context.Background(), time.Hour)
		defer cancel()
		vm := c.create(draft(compute))
		c.Stop()
		st := &awayStore{Store: c.store}
		first, second := c.server(st, "first"), c.server(c.store, "second")
		started := make(chan context.Context, 2)
		c.host.intercept(func(ctx context.Context, op string, _ uuid.UUID) error {
			if op != "start domain" {
				return nil
			}
			started <- ctx
			if len(started) == 1 {
				<-ctx.Done()
			}
			return ctx.Err()
		})
		if err := first.Start(c.ctx); err != nil {
			t.Fatal(err)
		}
		defer first.Stop()
		out, err := first.Act(c.ctx, engine.Caller{}, []uuid.UUID{vm.ID}, &occi.Draft{Action: "start"}, engine.Options{})
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		st.away.Store(true)
		if err := second.Start(c.ctx); err != nil {
			t.Fatal(err)
		}
		defer second.Stop()
		if err := second.Wait(c.ctx, out.IDs()); err != nil {
			t.Fatal(err)
		}
		if len(started) != 2 {
			t.Fatalf("the task was started %d times, want 2", len(started))
		}
		if ctx := <-started; ctx.Err() == nil {
			t.Error("the first server still worked on it when the second did")
		}
		st.away.Store(false)
		task, err := c.Task(c.ctx, engine.Caller{}, out.Tasks[0].ID)
		if err != nil || task.State != occi.TaskDone || task.Attempts != 2 {
			t.Errorf("the task is %+v, %v", task, err)
		}
	})
}

// TestALateOutcomeIsNotWritten has the first of two workers, cut off for longer
// than its lease, end a task that the second has ended already.
func TestALateOutcomeIsNotWritten(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newCloud(t)
		var cancel context.CancelFunc
		c.ctx, cancel = context.WithTimeout(context.Background(), time.Hour)
		defer cancel()
		vm := c.create(draft(compute))
		c.Stop()
		st := &awayStore{Store: c.store}
		first, second := c.server(st, "first"), c.server(c.store, "second")
		calls, release := make(chan struct{}, 4), make(chan struct{})
		c.host.intercept(func(_ context.Context, op string, _ uuid.UUID) error {
			if op == "start domain" {
				calls <- struct{}{}
				if len(calls) == 1 {
					<-release
					return errors.New("too late")
				}
			}
			return nil
		})
		if err := first.Start(c.ctx); err != nil {
			t.Fatal(err)
		}
		out, err := first.Act(c.ctx, engine.Caller{}, []uuid.UUID{vm.ID}, &occi.Draft{Action: "start"}, engine.Options{})
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		st.away.Store(true)
		if err := second.Start(c.ctx); err != nil {
			t.Fatal(err)
		}
		defer second.Stop()
		if err := second.Wait(c.ctx, out.IDs()); err != nil {
			t.Fatal(err)
		}
		st.away.Store(false)
		close(release)
		first.Stop()
		if x := c.get(vm.ID); c.state(x) != "active" || len(x.Tasks) != 0 {
			t.Errorf("it is %s with tasks %v", c.state(x), x.Tasks)
		}
		if d := values(c.host, c.host.domains); d[0].State != hypervisor.Running {
			t.Errorf("the host has it %s", d[0].State)
		}
	})
}

func TestCancellingOnAHostThatHangs(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newCloud(t)
		vm := c.create(draft(compute))
		c.host.intercept(func(ctx context.Context, _ string, _ uuid.UUID) error {
			<-ctx.Done()
			return ctx.Err()
		})
		out, err := c.act(vm, "start")
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		task, err := c.Cancel(c.ctx, engine.Caller{}, out.Tasks[0].ID)
		if err != nil || task.State != occi.TaskCancelled {
			t.Errorf("the task is %+v, %v", task, err)
		}
	})
}
