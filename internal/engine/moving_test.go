package engine_test

import (
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/occid/occid/hypervisor"
	"github.com/occid/occid/internal/engine"
	"github.com/occid/occid/occi"
)

// warnings are what a server has logged.
type warnings struct {
	mu   sync.Mutex
	text strings.Builder
}

func (w *warnings) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.text.Write(b)
}

func (w *warnings) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.text.String()
}

// TestSweepsLeaveWhatMoves has both hosts compared with the rows, and reported of, while a
// machine is between them: its disk is there already, itself it is paused.
func TestSweepsLeaveWhatMoves(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	p.Stop()
	var log warnings
	p.Engine = engine.New(engine.Config{Store: p.store, Model: func() *occi.Model { return p.model }, Worker: "test", Hosts: p.hosts, Describe: 20 * time.Millisecond,
		Logger: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelWarn}))})
	if err := p.Start(p.ctx); err != nil {
		t.Fatal(err)
	}
	p.mustAct(p.vm, "start")
	beside := p.createOn("a", sized(1, 1))
	elsewhere := p.createOn("b", sized(1, 1))
	begun, proceed := p.from.hold("migrate domain", nil)
	release := sync.OnceFunc(func() { close(proceed) })
	defer release()
	out, err := p.act(p.vm, "migrate")
	if err != nil {
		t.Fatal(err)
	}
	<-begun
	p.from.mu.Lock()
	volume := p.from.volumes[p.disk.ID]
	delete(p.from.volumes, p.disk.ID)
	p.from.mu.Unlock()
	p.from.set(p.vm.ID, hypervisor.Paused)
	made := len(p.from.calls())
	// A sweep repairs machines at its end: it has seen all else when these follow.
	p.from.set(beside.ID, hypervisor.Running)
	p.to.set(elsewhere.ID, hypervisor.Running)
	for _, f := range []*fakeHost{p.from, p.to} {
		f.events <- hypervisor.Event{Reconnected: true}
	}
	for _, x := range []*occi.Entity{beside, elsewhere} {
		p.until("the hosts are compared with the rows", func() bool { return p.state(p.get(x.ID)) == "active" })
	}
	// Events are followed in order.
	p.from.events <- hypervisor.Event{Domain: p.disk.ID}
	p.from.events <- hypervisor.Event{Domain: p.vm.ID, State: hypervisor.Paused}
	p.from.report(beside.ID, hypervisor.Stopped)
	p.until("the events are followed", func() bool { return p.state(p.get(beside.ID)) == "inactive" })
	if calls := p.from.calls()[made:]; len(calls) > 0 {
		t.Errorf("while the machine moves the host is asked for %v", calls)
	}
	if text := log.String(); text != "" {
		t.Errorf("what moves is in the way: %s", text)
	}
	vm, disk := p.get(p.vm.ID), p.get(p.disk.ID)
	if vm.Host != "a" || vm.Moving != "b" || disk.Moving != "b" || p.state(vm) != "active" || p.state(disk) != "online" || len(vm.Tasks) != 1 || len(disk.Tasks) != 0 {
		t.Errorf("while it moves the machine is %+v, its disk %+v", vm, disk)
	}
	p.from.mu.Lock()
	p.from.volumes[p.disk.ID] = volume
	p.from.mu.Unlock()
	p.from.set(p.vm.ID, hypervisor.Running)
	release()
	p.settled(out)
	p.wantAtB()
}

// wantAtB is wantAt for a pair that other machines are on, too.
func (p *pair) wantAtB() {
	p.t.Helper()
	if vm := p.get(p.vm.ID); vm.Host != "b" || vm.Moving != "" || p.state(vm) != "active" || p.get(p.disk.ID).Host != "b" {
		p.t.Errorf("the machine is %+v", vm)
	}
	if got := p.to.domain(p.vm.ID).State; got != hypervisor.Running {
		p.t.Errorf("it is %s there", got)
	}
}

// TestLostHostsKeepWhatMoves has a host lost from which a machine moves: what is beside it is
// restarted elsewhere, itself it may run on its target already.
func TestLostHostsKeepWhatMoves(t *testing.T) {
	t.Parallel()
	fence := &fencer{}
	f := newFleet(t, 1, func(c *engine.Config) { c.Fence, c.FenceAfter = fence.fence, 100*time.Millisecond }, "one", "two", "three")
	f.until("the hosts are up", f.allUp)
	on := func(name string) *occi.Entity {
		for {
			if x := f.create(mixed(draft(compute), restartElsewhere)); x.Host == name {
				return x
			}
		}
	}
	moves, beside := on("one"), on("one")
	f.mustAct(moves, "start")
	begun, proceed := f.fakes[0].hold("migrate domain", nil)
	release := sync.OnceFunc(func() { close(proceed) })
	defer release()
	out, err := f.act(moves, "migrate", "target", f.hostNamed("two").ID.String())
	if err != nil {
		t.Fatal(err)
	}
	<-begun
	f.cut(0, true)
	f.until("what is beside it is restarted elsewhere", func() bool { return f.get(beside.ID).Host != "one" })
	if x := f.get(moves.ID); x.Host != "one" || x.Moving != "two" {
		t.Errorf("it is on %s, on its way to %s", x.Host, x.Moving)
	}
	defined := "define domain " + moves.ID.String()
	for i, fake := range f.fakes[1:] {
		for _, call := range fake.calls() {
			if strings.HasPrefix(call, defined) {
				t.Errorf("it was made on host %d", i+2)
			}
		}
	}
	release()
	if err := f.Wait(f.ctx, out.IDs()); err != nil {
		t.Fatal(err)
	}
	f.until("it has arrived", func() bool { x := f.get(moves.ID); return x.Host == "two" && x.Moving == "" })
	if got := f.fakes[1].domain(moves.ID).State; got != hypervisor.Running {
		t.Errorf("it is %s there", got)
	}
	f.cut(0, false)
	f.until("the host is back", f.allUp)
	f.until("it is where it moved to alone", func() bool {
		at := []uuid.UUID{}
		for _, fake := range f.fakes {
			fake.mu.Lock()
			if fake.domains[moves.ID] != nil {
				at = append(at, moves.ID)
			}
			fake.mu.Unlock()
		}
		return len(at) == 1 && f.state(f.get(moves.ID)) == "active"
	})
}
