package lab_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/occid/occid/internal/lab"
)

const (
	statistics = "http://schemas.occid.org/occi/compute#statistics"
	// agents is an address that the guest gives itself, so that its agent alone tells of it.
	agents = "192.0.2.77"
	usage  = "http://schemas.occid.org/occi/storage#usage"
)

// TestStatistics has the API tell what a guest uses, which addresses it has and
// whether its agent answers, until it is killed.
func TestStatistics(t *testing.T) {
	long(t, "takes long")
	t.Parallel()
	ctx := need(t)
	h := newHost(ctx, t)
	guest, err := lab.BuildAgentGuest(t.TempDir())
	if err == nil {
		guest, err = h.Install(guest)
	}
	if err != nil {
		t.Fatal(err)
	}
	c := &cloud{ctx: ctx, t: t, url: startOccid(ctx, t, h, "--statistics-interval", "1s").URL}

	wire := c.create("/network/", entity{Kind: network, Title: "wire", Attributes: map[string]any{
		"occi.network.address": "198.51.100.0/24", "occi.network.allocation": "dynamic"},
		Mixins: []string{"http://schemas.ogf.org/occi/infrastructure/network#ipnetwork"}})
	disk := c.create("/storage/", entity{Kind: storage, Title: "disk", Mixins: []string{usage}, Attributes: map[string]any{"occi.storage.size": 0.0625}})
	machine := c.create("/compute/", entity{Kind: compute, Title: "guest", Mixins: []string{directBoot, statistics}, Attributes: map[string]any{
		"occi.compute.memory": 0.125, "occid.boot.kernel": guest.Kernel, "occid.boot.initrd": guest.Initrd, "occid.boot.cmdline": lab.Cmdline}})
	nic := c.create("/networkinterface/", entity{Kind: networkInterface, Source: &end{path(machine), compute}, Target: &end{path(wire), network}})
	link := c.create("/storagelink/", entity{Kind: storageLink, Source: &end{path(machine), compute}, Target: &end{path(disk), storage}})
	c.act(machine, "start", "active")
	id := path(machine)[len("/compute/"):]
	console, err := h.Console(id)
	if err != nil {
		t.Fatal(err)
	}
	defer console.Close()
	address, err := console.Wait(ctx, lab.GuestAddress)
	if err != nil {
		t.Fatal(err)
	}
	address, _, _ = strings.Cut(address[strings.LastIndex(address, " ")+1:], "/")

	shows := func(what string, of func(map[string]any) bool) map[string]any {
		t.Helper()
		return c.shows(machine, what, of)
	}
	first := shows("what it uses", func(a map[string]any) bool {
		return a["occid.statistics.agent"] == "alive" && fmt.Sprint(a["occid.statistics.addresses"]) == "["+agents+" "+address+"]" &&
			a["occid.statistics.state"] == "running" && a["occid.statistics.reason"] == "booted" && number(a, "cpu.time") > 0 &&
			number(a, "memory.available") == 0.125 && number(a, "memory.used") > 0 && number(a, "network.received") > 0 &&
			number(a, "network.sent") > 0 && number(a, "disk.reads") > 0 && number(a, "disk.read") > 0 &&
			number(a, "disk.writes") > 0 && number(a, "disk.written") >= 256<<10 && number(a, "disk.allocated") > 0
	})
	shows("that it goes on", func(a map[string]any) bool { return number(a, "cpu.time") > number(first, "cpu.time") })
	if c.shows(disk, "what it takes", func(a map[string]any) bool { return a["occid.storage.allocated"] != nil }); number(first, "disk.allocated") > 0.0625 {
		t.Errorf("disks take %v", first["occid.statistics.disk.allocated"])
	}

	// An agent that hangs holds up nothing but news of its own.
	second := c.create("/networkinterface/", entity{Kind: networkInterface, Source: &end{path(machine), compute}, Target: &end{path(wire), network}})
	if _, err := console.Wait(ctx, lab.GuestAgentHangs); err != nil {
		t.Fatal(err)
	}
	hangs := shows("that the agent hangs", func(a map[string]any) bool { return a["occid.statistics.agent"] == "silent" })
	shows("that it goes on", func(a map[string]any) bool { return number(a, "cpu.time") > number(hangs, "cpu.time") })
	// The second interface may have one on lease by now, too.
	if got := fmt.Sprint(hangs["occid.statistics.addresses"]); !strings.HasPrefix(got, "["+address) || strings.Contains(got, agents) {
		t.Errorf("its addresses are %s, want those on lease, %s first", got, address)
	}

	if _, err := h.Run(ctx, "sh", "-c", `kill -9 "$(cat "/run/libvirt/qemu/"*"$0.pid")"`, id); err != nil {
		t.Fatal(err)
	}
	killed := shows("that it crashed", func(a map[string]any) bool {
		return a["occid.statistics.state"] == "stopped" && a["occi.compute.state"] == "inactive"
	})
	if killed["occid.statistics.reason"] != "crashed" || killed["occi.compute.state.message"] != "stopped on the host: crashed" ||
		killed["occid.statistics.cpu.time"] != nil || killed["occid.statistics.agent"] != nil || killed["occid.statistics.addresses"] != nil {
		t.Errorf("of a machine that was killed is shown %v", killed)
	}
	for _, url := range []string{second, nic, link, machine, wire, disk} {
		c.send("DELETE", url, nil)
	}
	if err := h.Empty(ctx); err != nil {
		t.Error(err)
	}
}

// number gives the value of an attribute of statistics; 0 if it has none.
func number(attributes map[string]any, name string) float64 {
	n, _ := attributes["occid.statistics."+name].(float64)
	return n
}

// shows waits until an entity shows something, and gives its attributes then.
func (c *cloud) shows(url, what string, holds func(map[string]any) bool) map[string]any {
	c.t.Helper()
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	ctx, cancel := context.WithTimeout(c.ctx, time.Minute)
	defer cancel()
	for {
		got := c.get(url).Attributes
		if holds(got) {
			return got
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			c.t.Fatalf("it does not show %s: %v", what, got)
		}
	}
}
