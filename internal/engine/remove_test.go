package engine_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/occid/occid/hypervisor"
	"github.com/occid/occid/internal/engine"
	"github.com/occid/occid/occi"
)

// refuse makes the host refuse an operation.
func (c *cloud) refuse(op string) {
	c.host.intercept(func(_ context.Context, o string, _ uuid.UUID) error {
		if o == op {
			return errors.New("no")
		}
		return nil
	})
}

// placed lists the rows of the host, deleted or not.
func (c *cloud) placed() ([]*occi.Entity, error) {
	resources, err := c.store.HostEntities(context.Background(), "one", 0, 1000)
	rows := slices.Clone(resources)
	for _, x := range resources {
		rows = append(rows, x.Links...)
	}
	return rows, err
}

// rows fails the test unless there are so many entities, deleted or not.
func (c *cloud) rows(want int) {
	c.t.Helper()
	placed, err := c.placed()
	if err != nil || len(placed) != want {
		c.t.Errorf("there are %d rows, %v; want %d", len(placed), err, want)
	}
}

// linked makes a running machine with a network and a volume.
func (c *cloud) linked() (vm, net, vol *occi.Entity) {
	c.t.Helper()
	vm, net = c.create(draft(compute)), c.create(draft(network))
	vol = c.create(draft(storage, "occi.storage.size", 1))
	c.create(link(nic, vm, net))
	c.create(link(disk, vm, vol))
	c.mustAct(vm, "start")
	return vm, net, vol
}

func TestWhatAHostDoesNotDeleteComesBackWhole(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	vm, net, vol := c.linked()
	c.refuse("delete domain")
	if err := c.delete(vm.ID, vol.ID); err != nil {
		t.Fatal(err)
	}
	x := c.get(vm.ID)
	if len(x.Links) != 2 || c.state(x) != "active" || len(x.Tasks) != 0 {
		t.Fatalf("it came back %s with %d links and tasks %v", c.state(x), len(x.Links), x.Tasks)
	}
	for _, l := range x.Links {
		if c.state(l) != "active" {
			t.Errorf("the link to %s is %s", l.Target.Kind, c.state(l))
		}
	}
	if len(values(c.host, c.host.volumes)) != 1 || len(c.get(vol.ID).Tasks) != 0 {
		t.Error("its volume went all the same")
	}
	wantClass(t, c.delete(vol.ID), occi.Conflict, vm.ID.String())
	c.host.intercept(nil)
	if err := c.delete(vm.ID, vol.ID, net.ID); err != nil {
		t.Fatal(err)
	}
	c.empty()
	c.rows(0)
}

func TestALinkThatAGuestKeepsComesBack(t *testing.T) {
	t.Parallel()
	for _, x := range []struct {
		refused, link string
		target        *occi.Draft
	}{
		{"detach disk", disk, draft(storage, "occi.storage.size", 1)},
		{"detach nic", nic, draft(network)},
	} {
		t.Run(x.refused, func(t *testing.T) {
			t.Parallel()
			c := newCloud(t)
			vm, target := c.create(draft(compute)), c.create(x.target)
			l := c.create(link(x.link, vm, target))
			c.mustAct(vm, "start")
			c.refuse(x.refused)
			out, err := c.Delete(c.ctx, engine.Caller{}, []uuid.UUID{l.ID}, engine.Options{})
			if err != nil {
				t.Fatal(err)
			}
			c.settled(out)
			if task, err := c.Task(c.ctx, engine.Caller{}, out.Tasks[0].ID); err != nil || task.State != occi.TaskFailed || !strings.HasSuffix(task.Error, "no") {
				t.Errorf("the task is %+v, %v", task, err)
			}
			if y := c.get(vm.ID); len(y.Links) != 1 || c.state(y.Links[0]) != "active" {
				t.Errorf("the machine has the links %v", y.Links)
			}
			if d := values(c.host, c.host.domains)[0]; len(d.Disks)+len(d.NICs) != 1 {
				t.Errorf("the domain has %+v and %+v", d.Disks, d.NICs)
			}
			wantClass(t, c.delete(target.ID), occi.Conflict, vm.ID.String())
			c.host.intercept(nil)
			if err := c.delete(l.ID); err != nil {
				t.Fatal(err)
			}
			if y := c.get(vm.ID); len(y.Links) != 0 {
				t.Errorf("the machine has the links %v", y.Links)
			}
		})
	}
}

func TestAVolumeGoesAfterTheMachineThatUsedIt(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	vm, vol := c.create(draft(compute)), c.create(draft(storage, "occi.storage.size", 1))
	c.create(link(disk, vm, vol))
	c.mustAct(vm, "start")
	entered, proceed := c.host.hold("delete domain", nil)
	if _, err := c.Delete(c.ctx, engine.Caller{}, []uuid.UUID{vm.ID}, engine.Options{}); err != nil {
		t.Fatal(err)
	}
	<-entered
	out, err := c.Delete(c.ctx, engine.Caller{}, []uuid.UUID{vol.ID}, engine.Options{})
	if err != nil {
		t.Fatal(err)
	}
	// Another lane's task shows that the host has free hands.
	c.create(draft(network))
	if len(values(c.host, c.host.volumes)) != 1 {
		t.Error("the volume of a running machine is gone")
	}
	close(proceed)
	if err := c.Wait(c.ctx, out.IDs()); err != nil {
		t.Fatal(err)
	}
	c.rows(1)
}

func TestALinkThatCannotBeDetachedGoesWithItsMachine(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	vm, vol := c.create(draft(compute)), c.create(draft(storage, "occi.storage.size", 1))
	vda := c.create(link(disk, vm, vol))
	entered, proceed := c.host.hold("detach disk", errors.New("the guest does not let go"))
	if _, err := c.Delete(c.ctx, engine.Caller{}, []uuid.UUID{vda.ID}, engine.Options{}); err != nil {
		t.Fatal(err)
	}
	<-entered
	out, err := c.Delete(c.ctx, engine.Caller{}, []uuid.UUID{vm.ID}, engine.Options{})
	if err != nil {
		t.Fatal(err)
	}
	close(proceed)
	if err := c.Wait(c.ctx, out.IDs()); err != nil {
		t.Fatal(err)
	}
	c.rows(1)
}

func TestDeletionWhileItIsBeingMade(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	vol := c.create(draft(storage, "occi.storage.size", 1))
	entered, proceed := c.host.hold("define domain", nil)
	d := draft(compute)
	d.Links = []occi.DraftLink{{Kind: disk, Target: occi.URN(vol.ID)}}
	made, err := c.Create(c.ctx, engine.Caller{}, compute, []*occi.Draft{d}, engine.Options{})
	if err != nil {
		t.Fatal(err)
	}
	<-entered
	vm := made.Entities[0]
	if _, err := c.act(vm, "start"); err != nil {
		t.Fatal(err)
	}
	gone, err := c.Delete(c.ctx, engine.Caller{}, []uuid.UUID{vm.ID, vol.ID}, engine.Options{})
	if err != nil {
		t.Fatal(err)
	}
	_, err = c.Create(c.ctx, engine.Caller{}, disk, []*occi.Draft{link(disk, vm, vol)}, engine.Options{})
	wantClass(t, err, occi.Invalid, occi.AttrSource, occi.AttrTarget)
	_, err = c.Put(c.ctx, engine.Caller{}, compute, vm.ID, draft(compute), engine.Options{})
	wantClass(t, err, occi.Conflict, "still being deleted")
	close(proceed)
	if err := c.Wait(c.ctx, append(made.IDs(), gone.IDs()...)); err != nil {
		t.Fatal(err)
	}
	c.empty()
	c.rows(0)
}

func TestACancelledCreationLeavesNothing(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	vm := c.create(draft(compute))
	c.mustAct(vm, "start")
	entered := make(chan struct{}, 1)
	c.host.intercept(func(ctx context.Context, op string, _ uuid.UUID) error {
		if op != "create volume" {
			return nil
		}
		entered <- struct{}{}
		<-ctx.Done()
		return ctx.Err()
	})
	made, err := c.Create(c.ctx, engine.Caller{}, storage, []*occi.Draft{draft(storage, "occi.storage.size", 1)}, engine.Options{})
	if err != nil {
		t.Fatal(err)
	}
	<-entered
	vol := made.Entities[0]
	reads := func(d *occi.Draft) *occi.Draft {
		d.Attributes = append(d.Attributes, occi.DraftAttr{Name: "occid.storagelink.readonly", Value: occi.Bool(true)})
		return d
	}
	waiting, err := c.Create(c.ctx, engine.Caller{}, disk, []*occi.Draft{reads(link(disk, vm, vol))}, engine.Options{})
	if err != nil {
		t.Fatal(err)
	}
	d := draft(compute)
	d.Links = []occi.DraftLink{{Kind: disk, Target: occi.URN(vol.ID), Attributes: reads(&occi.Draft{}).Attributes}}
	user, err := c.Create(c.ctx, engine.Caller{}, compute, []*occi.Draft{d}, engine.Options{})
	if err != nil {
		t.Fatal(err)
	}
	task, err := c.Cancel(c.ctx, engine.Caller{}, made.Tasks[0].ID)
	if err != nil || task.State != occi.TaskCancelled {
		t.Fatalf("the task is %+v, %v", task, err)
	}
	_, err = c.Get(c.ctx, engine.Caller{}, vol.ID)
	wantClass(t, err, occi.NotFound)
	if err := c.Wait(c.ctx, waiting.IDs()); err != nil {
		t.Fatal(err)
	}
	if x := c.settled(user); c.state(x) != "inactive" || len(x.Links) != 0 {
		t.Errorf("a machine that was to use it is %s with links %v", c.state(x), x.Links)
	}
	c.until("the volume and the links to it are gone", func() bool {
		placed, err := c.placed()
		return err == nil && len(placed) == 2
	})
	if n := len(values(c.host, c.host.volumes)); n != 0 {
		t.Errorf("the host has %d volumes", n)
	}
	if len(c.get(vm.ID).Links) != 0 {
		t.Error("a machine is still linked to what was never made")
	}
}

func TestWhatWasNeverMadeIsMadeWhenItComesBack(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	vm := c.create(draft(compute))
	entered, proceed := make(chan struct{}, 1), make(chan struct{})
	c.host.intercept(func(_ context.Context, op string, _ uuid.UUID) error {
		switch op {
		case "define network":
			entered <- struct{}{}
			<-proceed
			return fmt.Errorf("no answer: %w", hypervisor.ErrUnavailable)
		case "detach nic":
			return errors.New("no")
		}
		return nil
	})
	made, err := c.Create(c.ctx, engine.Caller{}, network, []*occi.Draft{draft(network)}, engine.Options{})
	if err != nil {
		t.Fatal(err)
	}
	<-entered
	net := made.Entities[0]
	if _, err := c.Create(c.ctx, engine.Caller{}, nic, []*occi.Draft{link(nic, vm, net)}, engine.Options{}); err != nil {
		t.Fatal(err)
	}
	gone, err := c.Delete(c.ctx, engine.Caller{}, []uuid.UUID{net.ID}, engine.Options{})
	if err != nil {
		t.Fatal(err)
	}
	close(proceed)
	if err := c.Wait(c.ctx, gone.IDs()); err != nil {
		t.Fatal(err)
	}
	c.host.intercept(nil)
	c.until("the network that is still in use is made", func() bool {
		return len(c.get(net.ID).Tasks) == 0 && len(values(c.host, c.host.networks)) == 1
	})
}
