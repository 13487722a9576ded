package engine_test

import (
	"testing"

	"github.com/occid/occid/hypervisor"
	"github.com/occid/occid/internal/engine"
	"github.com/occid/occid/occi"
)

// pending tells what a machine has still to follow.
func pending(x *occi.Entity) string { return x.Attributes.Get("occid.compute.pending").Text }

func (c *cloud) update(x *occi.Entity, pairs ...any) *occi.Entity {
	c.t.Helper()
	out, err := c.Update(c.ctx, engine.Caller{}, x.ID, draft("", pairs...), engine.Options{})
	if err != nil {
		c.t.Fatal(err)
	}
	return c.settled(out)
}

func TestARunningMachineIsResized(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	vm := c.create(draft(compute))
	c.mustAct(vm, "start")
	if got := pending(c.update(vm, "occi.compute.cores", 4, "occi.compute.memory", 3.0)); got != "" {
		t.Errorf("pending is %q on a host that follows", got)
	}
	if d := values(c.host, c.host.domains)[0]; d.LiveVCPUs != 4 || d.LiveMemoryBytes != 3<<30 {
		t.Errorf("the machine runs as %+v", d)
	}
}

func TestWhatAMachineFollowsAtItsNextStart(t *testing.T) {
	t.Parallel()
	const cores, both = "occi.compute.cores", "occi.compute.cores occi.compute.memory"
	c := newCloud(t)
	c.host.harden()
	vm := c.create(draft(compute))
	if got := pending(c.update(vm, "occi.compute.cores", 2)); got != "" {
		t.Errorf("pending is %q on a stopped machine", got)
	}
	c.mustAct(vm, "start")
	if got := pending(c.update(vm, "occi.compute.cores", 3)); got != cores {
		t.Errorf("pending is %q", got)
	}
	if got := pending(c.update(vm, "occi.compute.memory", 2.0)); got != both {
		t.Errorf("pending is %q", got)
	}
	// It is pending for as long as the machine keeps what it was started with.
	for _, step := range []struct {
		action, method, want string
	}{
		{"restart", "warm", both}, {"suspend", "suspend", both}, {"start", "", both}, {"suspend", "hibernate", both}, {"start", "", both},
		{"restart", "cold", ""},
	} {
		var pairs []any
		if step.method != "" {
			pairs = []any{"method", step.method}
		}
		if got := pending(c.mustAct(vm, step.action, pairs...)); got != step.want {
			t.Errorf("after %s %s pending is %q, want %q", step.action, step.method, got, step.want)
		}
	}
	if got := pending(c.update(vm, "occi.compute.cores", 5)); got != cores {
		t.Errorf("pending is %q", got)
	}
	if got := pending(c.update(vm, "occi.compute.cores", 3)); got != "" {
		t.Errorf("pending is %q though it is as it runs", got)
	}
	// The host stops and starts it by itself.
	c.update(vm, "occi.compute.cores", 6)
	c.host.report(vm.ID, hypervisor.Stopped)
	c.until("the machine is off and nothing pends", func() bool {
		x := c.get(vm.ID)
		return c.state(x) == "inactive" && pending(x) == ""
	})
	if d := values(c.host, c.host.domains)[0]; d.VCPUs != 6 {
		t.Errorf("the machine is defined as %+v", d)
	}
}
