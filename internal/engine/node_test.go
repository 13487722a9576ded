package engine_test

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/occid/occid/hypervisor"
	"github.com/occid/occid/internal/engine"
	"github.com/occid/occid/occi"
)

// hosts lists what hosts are shown as.
func (c *cloud) hosts() []*occi.Entity {
	c.t.Helper()
	page, err := c.List(c.ctx, engine.Caller{}, &occi.Query{Kinds: []string{occi.HostKind}})
	if err != nil {
		c.t.Fatal(err)
	}
	return page.Entities
}

// up waits until the only host is up, and gives it.
func (c *cloud) up() *occi.Entity {
	c.t.Helper()
	var x *occi.Entity
	c.until("the host is up", func() bool {
		x = c.hosts()[0]
		return c.state(x) == "up"
	})
	return x
}

func TestHostsAreShown(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	x := c.up()
	if x.Title != "one" || x.Attributes.Get("occid.host.hostname").Text != "fake" || x.Attributes.Get("occid.host.cores").Num != 1024 ||
		x.Attributes.Get("occid.host.memory").Num != 4096 || x.Attributes.Get("occid.host.state.message").Text != "" {
		t.Errorf("the host is shown as %+v", x)
	}
	all, err := c.List(c.ctx, engine.Caller{}, &occi.Query{})
	if err != nil || all.Total != 0 || len(all.Entities) != 0 {
		t.Errorf("among everything there are %d entities, %v", all.Total, err)
	}
	c.shut()
	c.open()
	if again := c.hosts(); len(again) != 1 || again[0].ID != x.ID {
		t.Errorf("after a restart there are %v", again)
	}
}

// lookedAt counts how often a host is asked what it is.
type lookedAt struct {
	hypervisor.Driver
	n atomic.Int32
}

func (l *lookedAt) Info(ctx context.Context) (hypervisor.Info, error) {
	l.n.Add(1)
	return l.Driver.Info(ctx)
}

// TestHostsAreLookedAtOnce has nothing but time, and what others write, ask a host again.
func TestHostsAreLookedAtOnce(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	c.Stop()
	l := &lookedAt{Driver: c.host}
	c.Engine = engine.New(engine.Config{Store: c.store, Model: func() *occi.Model { return c.model }, Worker: "test", Describe: time.Hour,
		Hosts: []engine.Host{{Name: "one", Driver: l}}, Logger: slog.New(slog.DiscardHandler)})
	if err := c.Start(c.ctx); err != nil {
		t.Fatal(err)
	}
	c.up()
	c.create(draft(compute))
	if n := l.n.Load(); n != 1 {
		t.Errorf("the host was asked %d times", n)
	}
	if _, err := c.Act(c.ctx, engine.Caller{}, []uuid.UUID{c.up().ID}, &occi.Draft{Action: "drain"}, engine.Options{}); err != nil {
		t.Fatal(err)
	}
	c.until("it is asked again", func() bool { return l.n.Load() > 1 })
}

func TestHostsAreFollowed(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	x := c.up()
	c.host.tell(hypervisor.Info{}, fmt.Errorf("%w: the cable is out\nof its socket", hypervisor.ErrUnavailable))
	c.host.events <- hypervisor.Event{Reconnected: true}
	c.until("it is down", func() bool { return c.state(c.get(x.ID)) == "down" })
	if got := c.get(x.ID); !strings.HasSuffix(got.Attributes.Get("occid.host.state.message").Text, "the cable is out") ||
		got.Attributes.Get("occid.host.cores").Num != 1024 {
		t.Errorf("it is shown as %+v", got)
	}
	c.host.tell(hypervisor.Info{Hostname: "fake", Version: "2.0.0", CPUs: 32, MemoryBytes: 1 << 37}, nil)
	c.host.events <- hypervisor.Event{Reconnected: true}
	got := c.up()
	if got.Attributes.Get("occid.host.cores").Num != 32 || got.Attributes.Get("occid.host.hypervisor.version").Text != "2.0.0" ||
		got.Attributes.Get("occid.host.state.message").Text != "" {
		t.Errorf("it is shown as %+v", got)
	}
}

func TestDrainTellsWhatRemains(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	x := c.up()
	vm := c.create(draft(compute))
	c.mustAct(vm, "start")
	out, err := c.act(x, "drain")
	if err != nil {
		t.Fatal(err)
	}
	if got := c.state(out.Entities[0]); got != "maintenance" {
		t.Errorf("while it is drained it is %s", got)
	}
	x = c.settled(out)
	task, err := c.Task(c.ctx, engine.Caller{}, out.Tasks[0].ID)
	if err != nil || task.State != occi.TaskFailed || !strings.Contains(task.Error, "/compute/"+vm.ID.String()+" (active): there is no other host") {
		t.Errorf("the task is %+v, %v", task, err)
	}
	if m := x.Attributes.Get("occid.host.state.message").Text; !strings.Contains(m, "1 of 1 machines remain") {
		t.Errorf("it says %q", m)
	}
	// What an operator took out of use stays so, whatever becomes of the connection.
	c.host.tell(hypervisor.Info{}, hypervisor.ErrUnavailable)
	c.host.events <- hypervisor.Event{Reconnected: true}
	c.until("it has no connection", func() bool {
		return strings.HasPrefix(c.get(x.ID).Attributes.Get("occid.host.state.message").Text, "no connection")
	})
	c.host.tell(hypervisor.Info{Hostname: "fake"}, nil)
	c.host.events <- hypervisor.Event{Reconnected: true}
	c.until("it has a connection", func() bool {
		return c.get(x.ID).Attributes.Get("occid.host.state.message").Text == ""
	})
	if got := c.state(c.get(x.ID)); got != "maintenance" {
		t.Errorf("it is %s", got)
	}
	if err := c.delete(vm.ID); err != nil {
		t.Fatal(err)
	}
	if got := c.mustAct(x, "drain"); c.state(got) != "maintenance" || got.Attributes.Get("occid.host.state.message").Text != "" {
		t.Errorf("when it is empty it is shown as %+v", got)
	}
	if got := c.mustAct(x, "activate"); c.state(got) != "up" {
		t.Errorf("it is %s", c.state(got))
	}
	_, err = c.act(x, "stop")
	wantClass(t, err, occi.Invalid, "stop", "drain")
}

func TestHostsComeOfTheConfiguration(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	x := c.up()
	_, err := c.Create(c.ctx, engine.Caller{}, occi.HostKind, []*occi.Draft{draft(occi.HostKind)}, engine.Options{})
	wantClass(t, err, occi.Forbidden, "configuration")
	_, err = c.Put(c.ctx, engine.Caller{}, occi.HostKind, uuid.New(), draft(occi.HostKind), engine.Options{})
	wantClass(t, err, occi.Forbidden, "configuration")
	wantClass(t, c.delete(x.ID), occi.Forbidden, "configuration")
	vm := c.create(draft(compute))
	c.Stop()

	c.Engine = engine.New(engine.Config{Store: c.store, Model: func() *occi.Model { return c.model }, Worker: "test"})
	if err := c.Start(c.ctx); err != nil {
		t.Fatal(err)
	}
	if got := c.get(x.ID); c.state(got) != "down" || !strings.Contains(got.Attributes.Get("occid.host.state.message").Text, "configuration") {
		t.Errorf("when it is not configured it is shown as %+v", got)
	}
	wantClass(t, c.delete(x.ID), occi.Conflict, "1 resources")
	c.Stop()
	c.Engine = c.server(c.store, "test")
	if err := c.Start(c.ctx); err != nil {
		t.Fatal(err)
	}
	c.up()
	if err := c.delete(vm.ID); err != nil {
		t.Fatal(err)
	}
	c.Stop()
	c.Engine = engine.New(engine.Config{Store: c.store, Model: func() *occi.Model { return c.model }, Worker: "test"})
	if err := c.Start(c.ctx); err != nil {
		t.Fatal(err)
	}
	if err := c.delete(x.ID); err != nil {
		t.Fatal(err)
	}
	if left := c.hosts(); len(left) > 0 {
		t.Errorf("there are still %v", left)
	}
}

func TestWhatIsOnAHost(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	x := c.up()
	vm := c.create(draft(compute))
	vol := c.create(draft(storage, "occi.storage.size", 1))
	for _, tt := range []struct {
		of   *occi.Entity
		kind string
		want *occi.Entity
	}{{x, compute, vm}, {x, storage, vol}, {vm, occi.HostKind, x}, {vol, occi.HostKind, x}} {
		page, err := c.List(context.WithoutCancel(c.ctx), engine.Caller{}, &occi.Query{Kinds: []string{tt.kind}, LinkedTo: tt.of.ID, Placed: true})
		if err != nil || len(page.Entities) != 1 || page.Entities[0].ID != tt.want.ID || page.LinkedTo == nil || page.LinkedTo.ID != tt.of.ID {
			t.Errorf("of %s there are %v, %v", tt.of.Kind, page, err)
		}
	}
}
