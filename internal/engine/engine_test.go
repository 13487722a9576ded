package engine_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/occid/occid/hypervisor"
	"github.com/occid/occid/internal/dbtest"
	"github.com/occid/occid/internal/engine"
	imagefile "github.com/occid/occid/internal/image"
	"github.com/occid/occid/occi"
	"github.com/occid/occid/spec"
	"github.com/occid/occid/store"
)

const (
	infra   = "http://schemas.ogf.org/occi/infrastructure#"
	compute = infra + "compute"
	network = infra + "network"
	storage = infra + "storage"
	nic     = infra + "networkinterface"
	disk    = infra + "storagelink"
)

// cloud is an engine over a real store and a fake host.
type cloud struct {
	*engine.Engine
	t     *testing.T
	host  *fakeHost
	path  string // of the database, if it is a file
	dsn   string
	store *store.Store
	model *occi.Model
	ctx   context.Context
	seed  func(x *occi.Entity, linked map[uuid.UUID]*occi.Entity) map[string][]byte // nil for none
	// images takes in content; files is the operator's directory, "" for none.
	images  *imagefile.Store
	files   string
	uploads string // where it keeps what arrives
	// bridges are those that the host offers.
	bridges hypervisor.Bridges
}

func newCloud(t *testing.T) *cloud {
	t.Helper()
	path := dbtest.File(t)
	c := newCloudOn(t, "sqlite:"+path)
	c.path = path
	return c
}

// newCloudOn makes a cloud on a database.
func newCloudOn(t *testing.T, dsn string) *cloud {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	c := &cloud{uploads: t.TempDir(), t: t, host: newFakeHost(), dsn: dsn, ctx: ctx,
		bridges: hypervisor.Bridges{{Bridge: "br0"}: "br0", {Bridge: "br0", VLAN: 7}: "br7"}}
	c.open()
	t.Cleanup(func() {
		c.shut()
		cancel()
	})
	return c
}

func (c *cloud) open() {
	c.t.Helper()
	st, err := store.Open(c.ctx, c.dsn, store.WithModel(func() *occi.Model { return c.model }),
		store.WithUses(engine.Uses(func() *occi.Model { return c.model })))
	if err != nil {
		c.t.Fatal(err)
	}
	m, err := spec.Builtin()
	if err != nil {
		c.t.Fatal(err)
	}
	c.store, c.model = st, m
	c.images, err = imagefile.Open(imagefile.Config{Dir: c.uploads, Files: c.files, Most: 64 << 20})
	if err != nil {
		c.t.Fatal(err)
	}
	c.Engine = c.server(st, "test")
	if err := c.Start(c.ctx); err != nil {
		c.t.Fatal(err)
	}
}

// server makes an engine that shares the cloud's host, and maybe its store.
func (c *cloud) server(st engine.Store, worker string) *engine.Engine {
	cfg := engine.Config{Store: st, Model: func() *occi.Model { return c.model }, Worker: worker,
		Hosts: []engine.Host{{Name: "one", Driver: c.host}}, Bridges: c.bridges, Images: c.images, KeepUploads: time.Hour, Logger: slog.New(slog.DiscardHandler)}
	if c.seed != nil {
		cfg.Seed = func(_ context.Context, _ *occi.Model, x *occi.Entity, linked map[uuid.UUID]*occi.Entity) (map[string][]byte, error) {
			return c.seed(x, linked), nil
		}
	}
	return engine.New(cfg)
}

func (c *cloud) shut() {
	c.Stop()
	if err := c.store.Close(); err != nil {
		c.t.Error(err)
	}
}

// draft makes a draft of a kind and pairs of attribute and value.
func draft(kind string, pairs ...any) *occi.Draft {
	d := &occi.Draft{Kind: kind}
	for i := 0; i < len(pairs); i += 2 {
		v := occi.Str("")
		switch x := pairs[i+1].(type) {
		case string:
			v = occi.Str(x)
		case int:
			v = occi.Int(int64(x))
		case float64:
			v = occi.Float(x)
		case bool:
			v = occi.Bool(x)
		}
		d.Attributes = append(d.Attributes, occi.DraftAttr{Name: pairs[i].(string), Value: v})
	}
	return d
}

func link(kind string, source, target *occi.Entity) *occi.Draft {
	return draft(kind, occi.AttrSource, occi.URN(source.ID), occi.AttrTarget, occi.URN(target.ID))
}

// create makes an entity and waits until its host has it.
func (c *cloud) create(d *occi.Draft) *occi.Entity {
	c.t.Helper()
	out, err := c.Create(c.ctx, engine.Caller{}, d.Kind, []*occi.Draft{d}, engine.Options{})
	if err != nil {
		c.t.Fatal(err)
	}
	return c.settled(out)
}

// settled waits for a write's tasks and gives its first entity as it is then.
func (c *cloud) settled(out *engine.Outcome) *occi.Entity {
	c.t.Helper()
	if err := c.Wait(c.ctx, out.IDs()); err != nil {
		c.t.Fatal(err)
	}
	return c.get(out.Entities[0].ID)
}

func (c *cloud) get(id uuid.UUID) *occi.Entity {
	c.t.Helper()
	x, err := c.Get(c.ctx, engine.Caller{}, id)
	if err != nil {
		c.t.Fatal(err)
	}
	return x
}

func (c *cloud) act(x *occi.Entity, action string, pairs ...any) (*engine.Outcome, error) {
	d := draft("", pairs...)
	d.Action = action
	return c.Act(c.ctx, engine.Caller{}, []uuid.UUID{x.ID}, d, engine.Options{})
}

// mustAct invokes an action and waits for its end.
func (c *cloud) mustAct(x *occi.Entity, action string, pairs ...any) *occi.Entity {
	c.t.Helper()
	out, err := c.act(x, action, pairs...)
	if err != nil {
		c.t.Fatal(err)
	}
	return c.settled(out)
}

func (c *cloud) delete(ids ...uuid.UUID) error {
	out, err := c.Delete(c.ctx, engine.Caller{}, ids, engine.Options{})
	if err != nil {
		return err
	}
	return c.Wait(c.ctx, out.IDs())
}

func (c *cloud) state(x *occi.Entity) string { return c.Model().State(x) }

// empty fails the test if the host has anything.
func (c *cloud) empty() {
	c.t.Helper()
	if n, v, d := len(values(c.host, c.host.networks)), len(values(c.host, c.host.volumes)), len(values(c.host, c.host.domains)); n+v+d > 0 {
		c.t.Errorf("the host still has %d domains, %d networks, %d volumes", d, n, v)
	}
}

func wantClass(t *testing.T, err error, class occi.Class, words ...string) {
	t.Helper()
	if err == nil || occi.ClassOf(err) != class {
		t.Fatalf("got %v, want class %s", err, class)
	}
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("the error %q does not name %q", err, w)
		}
	}
}

func TestALifeOfAMachine(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	vm := c.create(draft(compute, "occi.compute.cores", 2, "occi.core.title", "web-1"))
	net := c.create(draft(network, "occi.core.title", "lan"))
	vol := c.create(draft(storage, "occi.storage.size", 2))
	for _, row := range []struct {
		x    *occi.Entity
		want string
	}{{vm, "inactive"}, {net, "active"}, {vol, "online"}} {
		if got := c.state(row.x); got != row.want {
			t.Errorf("a new %s is %s, want %s", row.x.Kind, got, row.want)
		}
	}
	eth, vda := c.create(link(nic, vm, net)), c.create(link(disk, vm, vol))
	if c.state(eth) != "inactive" && c.state(eth) != "detached" {
		t.Errorf("an interface of a stopped machine is %s", c.state(eth))
	}
	for _, row := range []struct{ action, method, want string }{
		{"start", "", "active"}, {"suspend", "suspend", "suspended"}, {"start", "", "active"},
		{"restart", "cold", "active"}, {"suspend", "hibernate", "suspended"}, {"start", "", "active"},
		{"stop", "acpioff", "inactive"}, {"start", "", "active"}, {"stop", "poweroff", "inactive"},
	} {
		var pairs []any
		if row.method != "" {
			pairs = []any{"method", row.method}
		}
		if got := c.state(c.mustAct(vm, row.action, pairs...)); got != row.want {
			t.Fatalf("after %s %s it is %s, want %s", row.action, row.method, got, row.want)
		}
	}
	d := values(c.host, c.host.domains)[0]
	if len(d.NICs) != 1 || d.NICs[0].ID != eth.ID || d.NICs[0].Network != net.ID || len(d.Disks) != 1 || d.Disks[0].Volume != vol.ID || d.Disks[0].ID != vda.ID {
		t.Errorf("the domain has %+v and %+v", d.NICs, d.Disks)
	}
	if err := c.delete(vm.ID, net.ID, vol.ID); err != nil {
		t.Fatal(err)
	}
	c.empty()
	page, err := c.List(c.ctx, engine.Caller{}, &occi.Query{})
	if err != nil || page.Total != 0 {
		t.Errorf("still there: %v, %v", page, err)
	}
}

func TestActionsFollowTheRegistry(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	vm := c.create(draft(compute))
	_, err := c.act(vm, "suspend")
	wantClass(t, err, occi.Conflict, "inactive", "start")
	_, err = c.act(vm, "explode")
	wantClass(t, err, occi.Invalid, "explode", "start")
	_, err = c.act(vm, "stop", "method", "softly")
	wantClass(t, err, occi.Invalid, "method")
	before := len(c.host.calls())
	if out, err := c.act(vm, "stop"); err != nil || len(out.Tasks) != 0 {
		t.Errorf("asking for the state it is in gave %v, %v", out, err)
	}
	if after := len(c.host.calls()); after != before {
		t.Errorf("refused actions reached the host")
	}
}

func TestWhatIsInUseStays(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	vm, vol := c.create(draft(compute)), c.create(draft(storage, "occi.storage.size", 1))
	c.create(link(disk, vm, vol))
	c.mustAct(vm, "start")
	wantClass(t, c.delete(vol.ID), occi.Conflict, "/storage/"+vol.ID.String(), "/compute/"+vm.ID.String())
	_, err := c.act(vol, "offline")
	wantClass(t, err, occi.Conflict, "/compute/"+vm.ID.String())
	c.mustAct(vm, "stop")
	wantClass(t, c.delete(vol.ID), occi.Conflict, "/storage/"+vol.ID.String(), "attached", "/compute/"+vm.ID.String())
	if _, err := c.act(vol, "offline"); err != nil {
		t.Error(err)
	}
	if err := c.delete(vol.ID, c.get(vm.ID).Links[0].ID); err != nil {
		t.Fatal(err)
	}
	if x := c.get(vm.ID); len(x.Links) != 0 {
		t.Errorf("the link outlives its target: %v", x.Links)
	}
}

func TestNothingIsMadeOfABadRequest(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	good, bad := draft(compute), draft(compute, "occi.compute.cores", -1)
	_, err := c.Create(c.ctx, engine.Caller{}, compute, []*occi.Draft{good, bad}, engine.Options{})
	wantClass(t, err, occi.Invalid, "occi.compute.cores")
	vm := c.create(draft(compute))
	lost := draft(disk, occi.AttrSource, occi.URN(vm.ID), occi.AttrTarget, "/storage/"+uuid.NewString())
	_, err = c.Create(c.ctx, engine.Caller{}, disk, []*occi.Draft{lost}, engine.Options{})
	wantClass(t, err, occi.Invalid, occi.AttrTarget)
	astray := draft(network, "occi.network.address", "198.18.0.0/24", "occi.network.gateway", "198.19.0.1")
	_, err = c.Create(c.ctx, engine.Caller{}, network, []*occi.Draft{astray}, engine.Options{})
	wantClass(t, err, occi.Invalid, "occi.network.gateway", "198.18.0.0/24")
	page, err := c.List(c.ctx, engine.Caller{}, &occi.Query{})
	if err != nil || page.Total != 1 {
		t.Errorf("there are %+v, %v; want the one good compute", page, err)
	}
}

// TestConditionsOnCollections has another client write between the question and
// the write.
func TestConditionsOnCollections(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	first := c.create(draft(compute))
	changed := errors.New("it was changed")
	asked := 0
	o := engine.Options{Collection: &engine.Collection{Kinds: []string{compute}}}
	var revision int64
	o.Collection.Match = func(now occi.Count) error {
		if asked++; asked == 1 {
			revision = now.Revision
			c.create(draft(compute))
		}
		if now.Revision != revision {
			return changed
		}
		return nil
	}
	for name, write := range map[string]func() error{
		"create": func() error {
			_, err := c.Create(c.ctx, engine.Caller{}, compute, []*occi.Draft{draft(compute)}, o)
			return err
		},
		"act": func() error {
			_, err := c.Act(c.ctx, engine.Caller{}, []uuid.UUID{first.ID}, &occi.Draft{Action: "start"}, o)
			return err
		},
		"delete": func() error {
			_, err := c.Delete(c.ctx, engine.Caller{}, []uuid.UUID{first.ID}, o)
			return err
		},
		"associate": func() error {
			_, err := c.Associate(c.ctx, engine.Caller{}, infra+"resource_tpl", engine.Members{Add: refs(first.ID)}, o)
			return err
		},
	} {
		asked = 0
		before, err := c.Count(c.ctx, engine.Caller{}, []string{compute})
		if err != nil {
			t.Fatal(err)
		}
		if err := write(); !errors.Is(err, changed) || asked != 2 {
			t.Errorf("%s: asked %d times, %v", name, asked, err)
		}
		if now, err := c.Count(c.ctx, engine.Caller{}, []string{compute}); err != nil || now.Members != before.Members+1 {
			t.Errorf("%s: %d computes after %d and one of another client, %v", name, now.Members, before.Members, err)
		}
	}
}

func TestOneKeyMakesOneMachine(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	o := engine.Options{Key: "k-1", Hash: "h"}
	ids := make([]uuid.UUID, 50)
	var wg sync.WaitGroup
	post := func(i int) {
		out, err := c.Create(c.ctx, engine.Caller{}, compute, []*occi.Draft{draft(compute)}, o)
		if err != nil {
			t.Error(err)
			return
		}
		ids[i] = out.Entities[0].ID
	}
	for i := range ids {
		wg.Go(func() { post(i) })
	}
	wg.Wait()
	c.shut()
	c.open()
	post(0)
	for _, id := range ids {
		if id != ids[0] {
			t.Fatalf("one key made %s and %s", ids[0], id)
		}
	}
	_, err := c.Create(c.ctx, engine.Caller{}, compute, []*occi.Draft{draft(compute)}, engine.Options{Key: "k-1", Hash: "other"})
	wantClass(t, err, occi.Conflict, "k-1")
	if page, err := c.List(c.ctx, engine.Caller{}, &occi.Query{Kinds: []string{compute}}); err != nil || page.Total != 1 {
		t.Errorf("there are %+v, %v", page, err)
	}
}

func TestTransientFaultsAreRetried(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	vm := c.create(draft(compute))
	var mu sync.Mutex
	left := 2
	c.host.intercept(func(_ context.Context, op string, _ uuid.UUID) error {
		mu.Lock()
		defer mu.Unlock()
		if op == "start domain" && left > 0 {
			left--
			return fmt.Errorf("no answer: %w", hypervisor.ErrUnavailable)
		}
		return nil
	})
	out, err := c.act(vm, "start")
	if err != nil {
		t.Fatal(err)
	}
	if x := c.settled(out); c.state(x) != "active" {
		t.Errorf("it is %s", c.state(x))
	}
	task, err := c.Task(c.ctx, engine.Caller{}, out.Tasks[0].ID)
	if err != nil || task.Attempts != 3 || task.State != occi.TaskDone {
		t.Errorf("the task is %+v, %v; want done at the third attempt", task, err)
	}
}

func TestAHostsRefusalIsSeen(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	vm := c.create(draft(compute))
	c.host.intercept(func(_ context.Context, op string, _ uuid.UUID) error {
		if op == "start domain" {
			return errors.New("no room for it")
		}
		return nil
	})
	x := c.mustAct(vm, "start")
	if c.state(x) != "error" || !strings.Contains(x.Attributes.Get("occi.compute.state.message").Text, "no room for it") {
		t.Errorf("it is %s: %s", c.state(x), x.Attributes.Get("occi.compute.state.message"))
	}
	c.host.intercept(nil)
	if x = c.mustAct(vm, "start"); c.state(x) != "active" {
		t.Errorf("after the repair it is %s", c.state(x))
	}
}

func TestCancel(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	vm := c.create(draft(compute))
	started := make(chan struct{}, 1)
	c.host.intercept(func(ctx context.Context, op string, _ uuid.UUID) error {
		if op != "start domain" {
			return nil
		}
		started <- struct{}{}
		<-ctx.Done()
		return ctx.Err()
	})
	first, err := c.act(vm, "start")
	if err != nil {
		t.Fatal(err)
	}
	<-started
	second, err := c.act(vm, "stop")
	if err != nil {
		t.Fatal(err)
	}
	for _, out := range []*engine.Outcome{second, first} {
		task, err := c.Cancel(c.ctx, engine.Caller{}, out.Tasks[0].ID)
		if err != nil || task.State != occi.TaskCancelled {
			t.Fatalf("the task is %+v, %v", task, err)
		}
	}
	if x := c.get(vm.ID); c.state(x) != "inactive" || len(x.Tasks) != 0 {
		t.Errorf("it is %s with tasks %v", c.state(x), x.Tasks)
	}
	_, err = c.Cancel(c.ctx, engine.Caller{}, first.Tasks[0].ID)
	wantClass(t, err, occi.Conflict, "cancelled")
}

func TestTasksOfOneMachineKeepTheirOrder(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	vm := c.create(draft(compute))
	var last *engine.Outcome
	for _, a := range []string{"start", "suspend", "start", "restart", "stop", "start"} {
		out, err := c.act(vm, a)
		if err != nil {
			t.Fatal(err)
		}
		last = out
	}
	if x := c.settled(last); c.state(x) != "active" {
		t.Errorf("it is %s", c.state(x))
	}
	var got []string
	for _, call := range c.host.calls() {
		got = append(got, strings.Fields(call)[0])
	}
	if want := "define start suspend start restart stop start"; strings.Join(got, " ") != want {
		t.Errorf("the host was asked to %v, want %s", got, want)
	}
}

func TestAHangingHostHoldsUpNoRead(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	vm := c.create(draft(compute))
	entered := make(chan struct{}, 8)
	c.host.intercept(func(ctx context.Context, op string, _ uuid.UUID) error {
		if op != "look" {
			entered <- struct{}{}
		}
		<-ctx.Done()
		return ctx.Err()
	})
	if _, err := c.act(vm, "start"); err != nil {
		t.Fatal(err)
	}
	<-entered
	if x := c.get(vm.ID); x.Attributes.Get("occi.compute.state.message").Text != "starting" {
		t.Errorf("the message is %q", x.Attributes.Get("occi.compute.state.message").Text)
	}
	if _, err := c.Create(c.ctx, engine.Caller{}, compute, []*occi.Draft{draft(compute)}, engine.Options{}); err != nil {
		t.Error(err)
	}
}

func TestWhatWasAcceptedIsFinishedByTheNextRun(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	entered := make(chan struct{}, 8)
	c.host.intercept(func(ctx context.Context, op string, _ uuid.UUID) error {
		if op != "look" {
			entered <- struct{}{}
		}
		<-ctx.Done()
		return ctx.Err()
	})
	out, err := c.Create(c.ctx, engine.Caller{}, compute, []*occi.Draft{draft(compute)}, engine.Options{})
	if err != nil {
		t.Fatal(err)
	}
	<-entered
	c.shut()
	c.host.intercept(nil)
	c.open()
	if x := c.settled(out); len(x.Tasks) != 0 || c.state(x) != "inactive" {
		t.Errorf("it is %s with tasks %v", c.state(x), x.Tasks)
	}
	if n := len(values(c.host, c.host.domains)); n != 1 {
		t.Errorf("the host has %d domains", n)
	}
}

// until waits for a condition that the background brings about.
func (c *cloud) until(what string, ok func() bool) {
	c.t.Helper()
	for c.ctx.Err() == nil {
		if ok() {
			return
		}
		select {
		case <-c.ctx.Done():
		case <-time.After(2 * time.Millisecond):
		}
	}
	c.t.Fatalf("never: %s", what)
}

func TestRowsFollowTheHost(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	vm := c.create(draft(compute))
	c.mustAct(vm, "start")
	c.host.report(vm.ID, hypervisor.Crashed)
	c.until("the row shows the crash", func() bool { return c.state(c.get(vm.ID)) == "error" })
	c.mustAct(vm, "start")

	c.host.mu.Lock()
	delete(c.host.domains, vm.ID)
	c.host.mu.Unlock()
	c.host.events <- hypervisor.Event{Domain: vm.ID, Gone: true}
	c.until("it is made again", func() bool {
		return len(values(c.host, c.host.domains)) == 1 && len(c.get(vm.ID).Tasks) == 0
	})
}

func TestLateEventsChangeNothing(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	vm, other := c.create(draft(compute)), c.create(draft(compute))
	c.mustAct(other, "start")
	before := c.mustAct(vm, "start")
	c.host.events <- hypervisor.Event{Domain: vm.ID, State: hypervisor.Stopped}
	// Events are followed in order: when this one was, so was the one before.
	c.host.report(other.ID, hypervisor.Crashed)
	c.until("the other crashes", func() bool { return c.state(c.get(other.ID)) == "error" })
	if now := c.get(vm.ID); now.Revision != before.Revision {
		t.Errorf("it became %s, and the host has it running", c.state(now))
	}
}

func TestStrangersOnAHostAreLeftAlone(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	stranger := uuid.New()
	c.host.mu.Lock()
	c.host.domains[stranger] = &fakeDomain{DomainStatus: hypervisor.DomainStatus{ID: stranger, State: hypervisor.Running}}
	c.host.mu.Unlock()
	c.host.events <- hypervisor.Event{Reconnected: true}
	c.create(draft(compute))
	if d := values(c.host, c.host.domains); len(d) != 2 {
		t.Errorf("the host has %v", d)
	}
	for _, call := range c.host.calls() {
		if strings.Contains(call, stranger.String()) {
			t.Errorf("touched: %s", call)
		}
	}
}
