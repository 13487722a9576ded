package engine_test

import (
	"slices"
	"testing"

	"github.com/occid/occid/hypervisor"
	"github.com/occid/occid/internal/engine"
	"github.com/occid/occid/occi"
)

func TestALostHostIsMadeAgainInOrder(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	vm := c.create(draft(compute))
	vol := c.create(draft(storage, "occi.storage.size", 1))
	c.create(link(disk, vm, vol))
	c.host.wipe()
	before := len(c.host.calls())
	c.host.events <- hypervisor.Event{Reconnected: true}
	c.until("the machine is made again", func() bool {
		return len(values(c.host, c.host.domains)) == 1 && len(c.get(vm.ID).Tasks) == 0
	})
	calls := c.host.calls()[before:]
	volume := slices.Index(calls, "create volume "+vol.ID.String())
	machine := slices.Index(calls, "define domain "+vm.ID.String())
	if volume < 0 || machine < volume {
		t.Errorf("a machine was made before its disk: %q", calls)
	}
}

func TestActionsMakeWhatAHostHasLost(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	vm, net := c.create(draft(compute)), c.create(draft(network))
	vol := c.create(draft(storage, "occi.storage.size", 1))
	eth, vda := c.create(link(nic, vm, net)), c.create(link(disk, vm, vol))
	lossless := func(after string, want hypervisor.State) {
		t.Helper()
		d := values(c.host, c.host.domains)
		if len(d) != 1 || d[0].State != want || len(d[0].Disks) != 1 || d[0].Disks[0].ID != vda.ID || len(d[0].NICs) != 1 || d[0].NICs[0].ID != eth.ID {
			t.Fatalf("after %s the host has %+v", after, d)
		}
		if n := values(c.host, c.host.networks); len(n) != 1 || !n[0].Active {
			t.Errorf("after %s the host has %+v", after, n)
		}
	}
	c.host.wipe()
	if x := c.mustAct(vm, "start"); c.state(x) != "active" {
		t.Fatalf("it is %s: %v", c.state(x), x.Attributes)
	}
	lossless("start", hypervisor.Running)
	c.host.wipe()
	if x := c.mustAct(vm, "stop"); c.state(x) != "inactive" {
		t.Fatalf("it is %s: %v", c.state(x), x.Attributes)
	}
	lossless("stop", hypervisor.Stopped)
	c.host.wipe()
	if _, err := c.Update(c.ctx, engine.Caller{}, vm.ID, draft("", "occi.compute.cores", 3), engine.Options{}); err != nil {
		t.Fatal(err)
	}
	second := c.create(draft(storage, "occi.storage.size", 1))
	c.host.wipe()
	vdb := c.create(link(disk, vm, second))
	if d := values(c.host, c.host.domains); len(d) != 1 || d[0].VCPUs != 3 || len(d[0].Disks) != 2 || c.state(vdb) != "inactive" {
		t.Errorf("after an attachment (%s) the host has %+v", c.state(vdb), d)
	}
}

func TestASweepBelievesNoOldNews(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	vm := c.create(draft(compute))
	c.mustAct(vm, "start")
	began, proceed := make(chan struct{}), make(chan struct{})
	c.host.onList(func() {
		began <- struct{}{}
		<-proceed
	})
	c.host.events <- hypervisor.Event{Reconnected: true}
	<-began
	c.mustAct(vm, "stop")
	fresh := c.create(draft(compute))
	before := len(c.host.calls())
	c.host.events <- hypervisor.Event{Reconnected: true}
	proceed <- struct{}{}
	<-began // again: the first sweep is over
	if x := c.get(vm.ID); c.state(x) != "inactive" {
		t.Errorf("a machine that was stopped during a sweep is %s", c.state(x))
	}
	if x := c.get(fresh.ID); x.Revision != fresh.Revision || len(c.host.calls()) != before {
		t.Errorf("a machine that was made during a sweep was made again: %+v", x)
	}
	close(proceed)
	c.host.onList(nil)
}

func TestDevicesAreMadeAgain(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	vm, _, _ := c.linked()
	c.host.mu.Lock()
	d := c.host.domains[vm.ID]
	d.Disks, d.NICs = nil, nil
	c.host.mu.Unlock()
	c.host.events <- hypervisor.Event{Reconnected: true}
	c.until("the devices are back", func() bool {
		d, err := c.host.Domain(c.ctx, vm.ID)
		return err == nil && len(d.Disks) == 1 && len(d.NICs) == 1
	})
	c.until("the links are attached", func() bool {
		for _, l := range c.get(vm.ID).Links {
			if c.state(l) != "active" || len(l.Tasks) > 0 {
				return false
			}
		}
		return true
	})
}

// TestANetworkIsMadeAgainWithItsAddresses has a host lose a network: what is made
// again is told which interfaces have which addresses.
func TestANetworkIsMadeAgainWithItsAddresses(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	n := c.ranged("198.18.0.0/24")
	vm := c.create(guest([]*occi.Entity{n}))
	before := len(c.host.calls())
	c.host.mu.Lock()
	clear(c.host.networks)
	c.host.mu.Unlock()
	c.host.events <- hypervisor.Event{Reconnected: true}
	attach := "attach nic " + vm.ID.String()
	c.until("the interface is told again", func() bool {
		return slices.Contains(c.host.calls()[before:], attach) && len(c.get(vm.Links[0].ID).Tasks) == 0
	})
	calls := c.host.calls()[before:]
	if slices.Index(calls, "define network "+n.ID.String()) > slices.Index(calls, attach) {
		t.Errorf("the network was made after its interface: %q", calls)
	}
	if d := values(c.host, c.host.domains); len(d[0].NICs) != 1 || !slices.Equal(d[0].NICs[0].Addresses, []string{"198.18.0.2"}) {
		t.Errorf("the host has %+v", d)
	}
}
