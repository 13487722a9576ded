package engine_test

import (
	"errors"
	"sync"
	"testing"

	"github.com/occid/occid/internal/engine"
	"github.com/occid/occid/occi"
)

// usable are what machines at work use, and the actions that begin and end that.
var usable = []struct {
	kind, link, off, on, state string
	attributes                 []any
}{
	{storage, disk, "offline", "online", "offline", []any{"occi.storage.size", 1}},
	{network, nic, "down", "up", "inactive", nil},
}

// TestWhatRunsHasWhatIsReady neither starts a machine with what is offline or down, nor
// attaches that to one which runs.
func TestWhatRunsHasWhatIsReady(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	_, template, _ := c.saved()
	for _, u := range usable {
		vm, x := c.create(draft(compute)), c.create(draft(u.kind, u.attributes...))
		path := c.model.Path(x)
		l := c.create(link(u.link, vm, x))
		c.mustAct(x, u.off)
		_, err := c.act(vm, "start")
		wantClass(t, err, occi.Conflict, path, "is "+u.state, "possible now: "+u.on)
		if got := c.state(c.get(vm.ID)); got != "inactive" {
			t.Errorf("the machine is %s", got)
		}
		if err := c.delete(l.ID); err != nil {
			t.Fatal(err)
		}
		c.mustAct(vm, "start")
		wantClass(t, c.attempt(link(u.link, vm, x)), occi.Conflict, path, "is "+u.state)
		of := draft(compute)
		of.Mixins = []string{template}
		of.Links = []occi.DraftLink{{Kind: u.link, Target: occi.URN(x.ID)}}
		wantClass(t, c.attempt(of), occi.Conflict, path, "is "+u.state)

		c.mustAct(x, u.on)
		c.create(link(u.link, vm, x))
		_, err = c.act(x, u.off)
		wantClass(t, err, occi.Conflict, path, "in use by "+c.model.Path(vm))
		c.mustAct(vm, "restart")
		c.mustAct(vm, "stop")
		c.mustAct(x, u.off)
		c.mustAct(x, u.on)
		c.mustAct(vm, "start")
	}
}

// TestAChangeAttaches changes a machine and attaches something in one request.
func TestAChangeAttaches(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	for _, u := range usable {
		for _, runs := range []bool{false, true} {
			vm, x := c.create(draft(compute)), c.create(draft(u.kind, u.attributes...))
			if runs {
				c.mustAct(vm, "start")
			}
			d := draft("", "occi.compute.cores", 2)
			d.Links = []occi.DraftLink{{Kind: u.link, Target: occi.URN(x.ID)}}
			out, err := c.Update(c.ctx, engine.Caller{}, vm.ID, d, engine.Options{})
			if err != nil {
				t.Fatalf("%s of a machine that runs, %t: %v", u.link, runs, err)
			}
			if got := c.settled(out); len(got.Links) != 1 {
				t.Errorf("the machine has %v", got.Links)
			}
		}
	}
}

// TestWhatIsUnderWayCounts asks while the opposite is under way.
func TestWhatIsUnderWayCounts(t *testing.T) {
	t.Parallel()
	for _, u := range usable {
		c := newCloud(t)
		vm, x := c.create(draft(compute)), c.create(draft(u.kind, u.attributes...))
		c.create(link(u.link, vm, x))
		entered, proceed := c.host.hold("start domain", nil)
		out, err := c.act(vm, "start")
		if err != nil {
			t.Fatal(err)
		}
		<-entered
		_, err = c.act(x, u.off)
		wantClass(t, err, occi.Conflict, c.model.Path(vm))
		wantClass(t, c.delete(x.ID), occi.Conflict, c.model.Path(vm))
		close(proceed)
		c.settled(out)
		c.mustAct(vm, "stop")
	}
	c := newCloud(t)
	vm, x := c.create(draft(compute)), c.create(draft(network))
	c.create(link(nic, vm, x))
	entered, proceed := c.host.hold("stop network", nil)
	out, err := c.act(x, "down")
	if err != nil {
		t.Fatal(err)
	}
	<-entered
	_, err = c.act(vm, "start")
	wantClass(t, err, occi.Conflict, c.model.Path(x))
	close(proceed)
	c.settled(out)

	// What is being made, or brought up, is waited for.
	entered, proceed = c.host.hold("start network", nil)
	up, err := c.act(x, "up")
	if err != nil {
		t.Fatal(err)
	}
	<-entered
	started, err := c.act(vm, "start")
	if err != nil {
		t.Fatal(err)
	}
	close(proceed)
	c.settled(up)
	if got := c.settled(started); c.state(got) != "active" {
		t.Errorf("the machine is %v", got.Attributes)
	}
}

// TestOneOfTwoHasItsWay starts a machine and takes its storage offline at once, many
// times: one of the two is refused.
func TestOneOfTwoHasItsWay(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	vm, vol := c.create(draft(compute)), c.create(draft(storage, "occi.storage.size", 1))
	c.create(link(disk, vm, vol))
	for range 8 {
		var errs [2]error
		var outs [2]*engine.Outcome
		var all sync.WaitGroup
		for i, ask := range []struct {
			x      *occi.Entity
			action string
		}{{vm, "start"}, {vol, "offline"}} {
			all.Go(func() { outs[i], errs[i] = c.act(ask.x, ask.action) })
		}
		all.Wait()
		for i, out := range outs {
			if errs[i] == nil {
				c.settled(out)
			}
		}
		runs, off := c.state(c.get(vm.ID)) == "active", c.state(c.get(vol.ID)) == "offline"
		if runs == off || !errors.Is(errors.Join(errs[:]...), occi.Conflict) {
			t.Fatalf("it runs: %t, is offline: %t; %v", runs, off, errs)
		}
		c.mustAct(vm, "stop")
		c.mustAct(vol, "online")
	}
	if err := c.delete(vm.ID, vol.ID); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Get(c.ctx, engine.Caller{}, vol.ID); !errors.Is(err, occi.NotFound) {
		t.Errorf("the storage is there: %v", err)
	}
}
