package engine_test

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/occid/occid/hypervisor"
	"github.com/occid/occid/internal/engine"
	"github.com/occid/occid/occi"
)

const restartElsewhere = "http://schemas.occid.org/occi/placement#restart_elsewhere"

// fencer is a fence command that can fail, and counts.
type fencer struct {
	mu     sync.Mutex
	fault  error
	fenced []string
}

func (f *fencer) fence(_ context.Context, h *engine.Fenced) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.fenced = append(f.fenced, h.Name)
	return f.fault
}

func (f *fencer) set(fault error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.fault = fault
}

func (f *fencer) times() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.fenced)
}

// cut has no server reach a host, or all again.
func (f *fleet) cut(host int, off bool) {
	for _, s := range f.servers {
		s.ports[host].plug(!off)
	}
}

func (f *fleet) message(x *occi.Entity) string {
	return f.get(x.ID).Attributes.Get("occi.compute.state.message").Text
}

// aside takes a host out of use, or back.
func (f *fleet) aside(name string, out bool) {
	f.t.Helper()
	for _, x := range f.hosts() {
		switch {
		case x.Host != name:
		case out:
			f.mustAct(x, "drain")
		default:
			f.mustAct(x, "activate")
		}
	}
}

// agreeOnTakes fails the test unless what is taken of the hosts is what the machines
// have.
func (f *fleet) agreeOnTakes() {
	f.t.Helper()
	page, err := f.List(f.ctx, engine.Caller{}, &occi.Query{Kinds: []string{compute}})
	if err != nil {
		f.t.Fatal(err)
	}
	want, got := map[string]int64{}, map[string]int64{}
	for _, x := range page.Entities {
		want[x.Host]++
	}
	loads, err := f.store.Loads(f.ctx)
	if err != nil {
		f.t.Fatal(err)
	}
	for _, l := range loads {
		if l.What == "computes" {
			got[l.Host] = l.Amount
		}
	}
	if !maps.Equal(want, got) {
		f.t.Errorf("%v machines are counted, there are %v", got, want)
	}
}

// TestLostMachinesComeBack shows machines of a lost host as such, and as they are when
// it is back.
func TestLostMachinesComeBack(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 2, nil, "one")
	f.up()
	runs, stopped := f.create(draft(compute)), f.create(draft(compute))
	f.mustAct(runs, "start")
	f.cut(0, true)
	for _, x := range []*occi.Entity{runs, stopped} {
		f.until("it is lost", func() bool { return f.state(f.get(x.ID)) == "error" })
		if text := f.message(x); !strings.Contains(text, "its host is lost") {
			t.Errorf("it says %q", text)
		}
	}
	// It was started by hand meanwhile.
	f.fakes[0].set(stopped.ID, hypervisor.Running)
	f.cut(0, false)
	for _, x := range []*occi.Entity{runs, stopped} {
		f.until("it is back", func() bool { return f.state(f.get(x.ID)) == "active" && f.message(x) == "" })
		if v := f.get(x.ID).Attributes.Get("occid.compute.lost"); !v.IsZero() {
			t.Errorf("it is still lost: %v", v)
		}
	}
}

// TestMachinesAreRestartedElsewhere loses a host, fences it at the second attempt, and
// has it come back with what was moved off it.
func TestMachinesAreRestartedElsewhere(t *testing.T) {
	t.Parallel()
	fence := &fencer{fault: errors.New("the power switch is away")}
	f := newFleet(t, 2, func(c *engine.Config) {
		c.Fence, c.FenceAfter = fence.fence, 100*time.Millisecond
	}, "one", "two")
	f.until("both are up", func() bool { return f.allUp() })
	f.aside("two", true)
	moves, stays, inNetwork := f.create(mixed(draft(compute), restartElsewhere)), f.create(draft(compute)), f.create(mixed(draft(compute), restartElsewhere))
	lan := f.create(draft(network, "occi.network.address", "198.18.0.0/24", "occi.network.allocation", "dynamic"))
	eth := f.create(link(nic, inNetwork, lan))
	for _, x := range []*occi.Entity{moves, stays} {
		f.mustAct(x, "start")
	}
	f.aside("two", false)

	f.cut(0, true)
	f.until("fencing failed", func() bool {
		return strings.Contains(f.message(moves), "fencing that failed") &&
			slices.ContainsFunc(f.hosts(), func(x *occi.Entity) bool {
				return strings.Contains(x.Attributes.Get("occid.host.state.message").Text, "the power switch is away")
			})
	})
	if x := f.get(moves.ID); x.Host != "one" || f.state(x) != "error" {
		t.Errorf("without fencing it is on %s, %s", x.Host, f.state(x))
	}
	fence.set(nil)
	f.until("it runs elsewhere", func() bool {
		x := f.get(moves.ID)
		return x.Host == "two" && f.state(x) == "active" && len(x.Tasks) == 0
	})
	f.until("the network and what is in it are elsewhere", func() bool {
		n, x := f.get(lan.ID), f.get(inNetwork.ID)
		return n.Host == "two" && f.state(n) == "active" && x.Host == "two" && f.state(x) == "inactive" && len(x.Tasks)+len(n.Tasks) == 0
	})
	if d := f.fakes[1].domain(inNetwork.ID); len(d.NICs) != 1 || d.NICs[0].ID != eth.ID || f.get(eth.ID).Host != "two" {
		t.Errorf("there it has %+v", d.NICs)
	}
	if x := f.get(stays.ID); x.Host != "one" || f.state(x) != "error" {
		t.Errorf("one that stays is on %s, %s", x.Host, f.state(x))
	}
	if n := fence.times(); n != 2 {
		t.Errorf("it was fenced %d times", n)
	}
	if d := f.fakes[1].domain(moves.ID); d.State != hypervisor.Running {
		t.Errorf("on the other host it is %s", d.State)
	}

	// The old host has it still, and lets go of it before it is up.
	f.cut(0, false)
	f.until("the old host is up", func() bool { return f.allUp() })
	if n := len(values(f.fakes[0], f.fakes[0].domains)); n != 1 {
		t.Errorf("%d machines are on the old host, and one should be", n)
	}
	if n := len(values(f.fakes[0], f.fakes[0].networks)); n != 0 {
		t.Errorf("%d networks are on the old host", n)
	}
	f.until("the other one is back", func() bool { return f.state(f.get(stays.ID)) == "active" })
	for _, x := range f.hosts() {
		if !x.Attributes.Get("occid.host.fenced").IsZero() || !x.Attributes.Get("occid.host.moved").IsZero() {
			t.Errorf("the host is shown as %+v", x)
		}
	}
	f.agreeOnTakes()
}

// TestWhatCannotBeRestartedElsewhere is told why, and its host is not fenced for it.
func TestWhatCannotBeRestartedElsewhere(t *testing.T) {
	t.Parallel()
	fence := &fencer{}
	f := newFleet(t, 1, func(c *engine.Config) {
		c.Fence, c.FenceAfter = fence.fence, 100*time.Millisecond
	}, "one", "two")
	f.until("both are up", func() bool { return f.allUp() })
	f.aside("two", true)
	vol := f.create(draft(storage, "occi.storage.size", 1))
	lan := f.create(draft(network))
	withDisk, inNetwork, beside := f.create(mixed(draft(compute), restartElsewhere)), f.create(mixed(draft(compute), restartElsewhere)), f.create(draft(compute))
	f.create(link(disk, withDisk, vol))
	f.create(link(nic, inNetwork, lan))
	f.create(link(nic, beside, lan))
	f.aside("two", false)
	f.cut(0, true)
	for x, want := range map[*occi.Entity]string{withDisk: "/storage/" + vol.ID.String() + " is on its host only", inNetwork: "another machine that has a network or storage with it"} {
		f.until("it says "+want, func() bool { return strings.Contains(f.message(x), want) })
	}
	if n := fence.times(); n > 0 {
		t.Errorf("it was fenced %d times", n)
	}
}

func (f *fleet) allUp() bool {
	for _, x := range f.hosts() {
		if f.state(x) != "up" {
			return false
		}
	}
	return true
}

// mixed adds mixins to a draft.
func mixed(d *occi.Draft, mixins ...string) *occi.Draft {
	d.Mixins = append(d.Mixins, mixins...)
	return d
}
