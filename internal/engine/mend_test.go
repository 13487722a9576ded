package engine_test

import (
	"context"
	"sync"
	"testing"

	"github.com/google/uuid"

	"github.com/occid/occid/internal/engine"
	"github.com/occid/occid/occi"
)

// lostNetwork gives a stopped machine and the network it is in, which the host has
// lost, and the machine too.
func (c *cloud) lostNetwork() (vm, net *occi.Entity) {
	c.t.Helper()
	vm, net = c.create(draft(compute)), c.create(draft(network))
	c.create(link(nic, vm, net))
	c.host.wipe()
	return vm, net
}

// mend has the host make a machine again, with what it is linked to.
func (c *cloud) mend(vm *occi.Entity) *engine.Outcome {
	c.t.Helper()
	out, err := c.Update(c.ctx, engine.Caller{}, vm.ID, draft("", "occi.compute.cores", 3), engine.Options{})
	if err != nil {
		c.t.Fatal(err)
	}
	return out
}

// TestANetworkThatIsMadeAgainObeys has a network taken down while a machine has it
// made again.
func TestANetworkThatIsMadeAgainObeys(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	vm, net := c.lostNetwork()
	entered, proceed := c.host.hold("start network", nil)
	mend := c.mend(vm)
	<-entered
	down, err := c.act(net, "down")
	if err != nil {
		t.Fatal(err)
	}
	c.until("the host is about to take it down", func() bool {
		task, err := c.Task(c.ctx, engine.Caller{}, down.Tasks[0].ID)
		return err == nil && task.State != occi.TaskPending
	})
	close(proceed)
	c.settled(mend)
	if x := c.settled(down); c.state(x) != "inactive" {
		t.Errorf("the network is %s", c.state(x))
	}
	c.until("the host has what the rows say", func() bool { return c.difference() == "" })
}

// TestWhatIsMadeAgainIsLookedAt has a network change in the database, as by another
// server, while a machine has it made again.
func TestWhatIsMadeAgainIsLookedAt(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	vm, net := c.lostNetwork()
	var once sync.Once
	c.host.intercept(func(_ context.Context, op string, _ uuid.UUID) (err error) {
		if op == "start network" {
			once.Do(func() {
				x := c.get(net.ID).Clone()
				x.Attributes.Set("occi.network.state", occi.Str("inactive"))
				err = c.store.Commit(c.ctx, &occi.Change{Puts: []*occi.Entity{x}})
			})
		}
		return err
	})
	c.settled(c.mend(vm))
	c.until("the host has what the rows say", func() bool { return c.difference() == "" })
	if x := c.get(net.ID); c.state(x) != "active" {
		t.Errorf("the network is %s", c.state(x))
	}
}
