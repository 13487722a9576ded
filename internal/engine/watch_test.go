package engine_test

import (
	"context"
	"log/slog"
	"sync/atomic"
	"testing"
	"time"

	"github.com/occid/occid/hypervisor"
	"github.com/occid/occid/internal/engine"
	"github.com/occid/occid/occi"
	"github.com/occid/occid/store"
)

// TestOneServerWatches has the server that watches a host die, and the next one stop.
func TestOneServerWatches(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 3, nil, "one")
	f.up()
	first := f.watchedBy("one", time.Minute, func(*server) bool { return true })
	vm := f.create(draft(compute))

	before := map[*server]int64{}
	for _, s := range f.servers {
		before[s] = s.kept.commits.Load()
	}
	f.fakes[0].set(vm.ID, hypervisor.Running)
	f.tell(0, hypervisor.Event{Domain: vm.ID, State: hypervisor.Running})
	f.until("the row follows", func() bool { return f.state(f.get(vm.ID)) == "active" })
	for _, s := range f.servers {
		if n := s.kept.commits.Load() - before[s]; s != first && n > 0 {
			t.Errorf("%s, which does not watch the host, has written %d times", s.name, n)
		}
	}

	first.kept.lost.Store(true)
	// What happens while nobody watches is found by who watches next.
	f.fakes[0].set(vm.ID, hypervisor.Stopped)
	second := f.watchedBy("one", 10*time.Second, func(s *server) bool { return s != first })
	f.Engine = second.Engine
	f.until("the row follows again", func() bool { return f.state(f.get(vm.ID)) == "inactive" })

	second.Stop()
	third := f.watchedBy("one", 4*time.Second, func(s *server) bool { return s != first && s != second })
	f.Engine = third.Engine
	f.fakes[0].set(vm.ID, hypervisor.Running)
	f.tell(0, hypervisor.Event{Domain: vm.ID, State: hypervisor.Running})
	f.until("the row follows to the end", func() bool { return f.state(f.get(vm.ID)) == "active" })
}

// TestAServerThatIsStartedAgain has still the lease that it had when it was killed, and
// finds what happened meanwhile all the same.
func TestAServerThatIsStartedAgain(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 1, nil, "one")
	f.up()
	vm := f.create(draft(compute))
	first := f.watchedBy("one", time.Minute, func(*server) bool { return true })
	first.kept.lost.Store(true)
	first.Stop()
	f.fakes[0].set(vm.ID, hypervisor.Running)
	// It finds the lease before the host has answered.
	beat := make(chan struct{})
	again := engine.New(engine.Config{Store: &beating{Store: f.store, beat: beat}, Model: func() *occi.Model { return f.model },
		Worker: first.name, Hosts: []engine.Host{{Name: "one", Driver: &late{f.fakes[0], beat}}}, Logger: slog.New(slog.DiscardHandler)})
	if err := again.Start(f.ctx); err != nil {
		t.Fatal(err)
	}
	defer again.Stop()
	f.Engine = again
	f.until("the row follows", func() bool { return f.state(f.get(vm.ID)) == "active" })
}

// TestHostsThatOneServerCannotReach are up as long as another can, and are worked on by
// that.
func TestHostsThatOneServerCannotReach(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 2, nil, "one")
	x := f.up()
	first := f.watchedBy("one", time.Minute, func(*server) bool { return true })
	since := f.lastEvent()
	first.ports[0].plug(false)
	second := f.watchedBy("one", 5*time.Second, func(s *server) bool { return s != first })
	if flips := f.flips(x.ID, since); len(flips) > 0 {
		t.Errorf("meanwhile the host has been %v", flips)
	}
	f.Engine = first.Engine
	vm := f.create(draft(compute))
	if vm = f.mustAct(vm, "start"); f.state(vm) != "active" {
		t.Errorf("a machine asked of the server that is cut off is %s", f.state(vm))
	}

	since = f.lastEvent()
	second.ports[0].plug(false)
	f.until("nobody reaches it", func() bool { return f.state(f.get(x.ID)) == "down" })
	first.ports[0].plug(true)
	f.until("one reaches it", func() bool { return f.state(f.get(x.ID)) == "up" })
	f.watchedBy("one", time.Second, func(s *server) bool { return s == first })
	second.ports[0].plug(true)
	if flips := f.flips(x.ID, since); len(flips) != 2 {
		t.Errorf("the host has been %v", flips)
	}
}

// TestTasksWaitForWhoReachesTheHost leaves a task that nobody can do until a server can
// which was not asked.
func TestTasksWaitForWhoReachesTheHost(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 2, nil, "one")
	f.up()
	vm := f.create(draft(compute))
	for _, s := range f.servers {
		s.ports[0].plug(false)
	}
	f.until("it is down", func() bool { return f.state(f.hosts()[0]) == "down" })
	out, err := f.servers[0].Act(f.ctx, engine.Caller{}, ids(vm), &occi.Draft{Action: "start"}, engine.Options{})
	if err != nil {
		t.Fatal(err)
	}
	f.servers[1].ports[0].plug(true)
	if vm = f.settled(out); f.state(vm) != "active" {
		t.Errorf("it is %s", f.state(vm))
	}
}

// beating is a store that tells when a server has looked for the second time who watches
// what: the first is as it begins.
type beating struct {
	*store.Store
	looks atomic.Int32
	beat  chan struct{}
}

func (b *beating) Watches(ctx context.Context, worker string, lease time.Duration) ([]occi.Watch, error) {
	if b.looks.Add(1) == 2 {
		defer close(b.beat)
	}
	return b.Store.Watches(ctx, worker, lease)
}

// late is a host that answers once something has happened.
type late struct {
	*fakeHost
	after <-chan struct{}
}

func (l *late) Info(ctx context.Context) (hypervisor.Info, error) {
	select {
	case <-l.after:
		return l.fakeHost.Info(ctx)
	case <-ctx.Done():
		return hypervisor.Info{}, ctx.Err()
	}
}
