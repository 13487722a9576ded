package engine_test

import (
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/occid/occid/hypervisor"
	"github.com/occid/occid/internal/auth"
	"github.com/occid/occid/internal/engine"
	"github.com/occid/occid/occi"
)

// doors opens fake hosts, which are there for all servers, and counts who has one open.
type doors struct {
	mu    sync.Mutex
	fakes map[string]*fakeHost
	open  map[string]int
}

func newDoors(uris ...string) *doors {
	d := &doors{fakes: map[string]*fakeHost{}, open: map[string]int{}}
	for _, uri := range uris {
		d.fakes[uri] = newFakeHost()
		d.fakes[uri].tell(hypervisor.Info{Hostname: uri, CPUs: 4, MemoryBytes: 8 << 30}, nil)
	}
	return d
}

func (d *doors) Check(uri string) error {
	if !strings.HasPrefix(uri, "fake://") {
		return errors.New("it is no fake host")
	}
	return nil
}

func (d *doors) Open(uri string) (engine.Host, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.open[uri]++
	return engine.Host{Driver: &door{newPort(d.fakes[uri]), d, uri}}, nil
}

func (d *doors) opened(uri string) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.open[uri]
}

// door is a host as it was opened.
type door struct {
	*port
	of  *doors
	uri string
}

func (d *door) Close() error {
	d.of.mu.Lock()
	defer d.of.mu.Unlock()
	d.of.open[d.uri]--
	return nil
}

// added adds a host, and waits until it is up.
func (c *cloud) added(d *occi.Draft) *occi.Entity {
	c.t.Helper()
	x := c.create(d)
	c.until("the host is up", func() bool { return c.state(c.get(x.ID)) == "up" })
	return c.get(x.ID)
}

// TestHostsAreAddedAndRemoved has servers of one database have the same hosts, without
// any in their configuration.
func TestHostsAreAddedAndRemoved(t *testing.T) {
	t.Parallel()
	const a, b = "fake://a", "fake://b"
	d := newDoors(a, b)
	f := newFleet(t, 2, func(c *engine.Config) { c.Opener = d })
	host := func(uri string, more ...any) *occi.Draft {
		return draft(occi.HostKind, append([]any{"occid.host.uri", uri}, more...)...)
	}
	x := f.added(host(a, "occid.host.labels", "ssd", "occi.core.title", "kvm1", "occid.host.cores.overcommit", 1))
	if x.Title != "kvm1" || x.Attributes.Get("occid.host.cores").Num != 4 || x.Attributes.Get("occid.host.memory.overcommit").Num != 1 {
		t.Errorf("it is shown as %+v", x)
	}
	f.until("all servers have it open", func() bool { return d.opened(a) == len(f.servers) })
	y := f.added(host(b, "occid.host.cores.offered", 2, "occid.host.memory.offered", 3, "occid.host.cores.overcommit", 2.5))
	if y.Title != b || y.Attributes.Get("occid.host.cores").Num != 2 || y.Attributes.Get("occid.host.memory").Num != 3 {
		t.Errorf("the other is shown as %+v", y)
	}

	// The other server places by the same rows.
	f.Engine = f.servers[1].Engine
	f.until("the other server sees both", func() bool {
		_, err := f.Place(f.ctx, engine.Caller{}, compute, sized(5, 1))
		return err == nil
	})
	f.wantOn(a, draft(compute, "occid.placement.labels", "ssd", "occi.compute.cores", 4), hostLabels)
	if _, err := f.Update(f.ctx, engine.Caller{}, y.ID, draft(occi.HostKind, "occid.host.labels", "ssd hot", "occi.core.title", "kvm2"), engine.Options{}); err != nil {
		t.Fatal(err)
	}
	f.wantOn(b, draft(compute, "occid.placement.labels", "ssd", "occi.compute.cores", 5), hostLabels)
	_, err := f.on(draft(compute, "occid.placement.labels", "ssd", "occi.compute.cores", 5), hostLabels)
	wantClass(t, err, occi.Conflict, "kvm1: 0 of cores free", "kvm2: 0 of cores free")
	if _, err := f.Update(f.ctx, engine.Caller{}, y.ID, draft(occi.HostKind, "occid.host.cores.overcommit", 5), engine.Options{}); err != nil {
		t.Fatal(err)
	}
	f.Engine = f.servers[0].Engine
	f.until("the first server places there, too", func() bool {
		where, err := f.on(draft(compute, "occid.placement.labels", "hot", "occi.compute.cores", 5), hostLabels)
		return err == nil && where == b
	})

	wantClass(t, f.delete(x.ID), occi.Conflict, "1 resources")
	page, err := f.List(f.ctx, engine.Caller{}, &occi.Query{Kinds: []string{compute}, LinkedTo: x.ID, Placed: true})
	if err != nil {
		t.Fatal(err)
	}
	if err := f.delete(ids(page.Entities...)...); err != nil {
		t.Fatal(err)
	}
	if err := f.delete(x.ID); err != nil {
		t.Fatal(err)
	}
	f.until("all servers have let go of it", func() bool { return d.opened(a) == 0 })
	if left := ids(f.hosts()...); slices.Contains(left, x.ID) || !slices.Contains(left, y.ID) {
		t.Errorf("there are still %v", left)
	}
	_, err = f.on(draft(compute, "occi.compute.cores", 8, "occi.compute.memory", 4))
	wantClass(t, err, occi.Conflict, "kvm2")
	if again := f.added(host(a)); again.ID != x.ID {
		t.Errorf("when it is added again it is %s, it was %s", again.ID, x.ID)
	}
}

// TestAddedHostsSurviveARestart has a server, which has a host of its own beside, begin
// again.
func TestAddedHostsSurviveARestart(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	d := newDoors("fake://a")
	configured := node("one", 8, 8)
	c.hostedAs(engine.Config{Hosts: []engine.Host{configured}, Opener: d, Describe: 20 * time.Millisecond})
	x := c.added(draft(occi.HostKind, "occid.host.uri", "fake://a", "occid.host.labels", "ssd"))
	c.Stop()
	if n := d.opened("fake://a"); n != 0 {
		t.Errorf("it is open %d times after the server was stopped", n)
	}
	c.hostedAs(engine.Config{Hosts: []engine.Host{configured}, Opener: d})
	c.until("it is up again", func() bool { return d.opened("fake://a") == 1 && c.state(c.get(x.ID)) == "up" })
	c.wantOn("fake://a", draft(compute, "occid.placement.labels", "ssd"), hostLabels)

	// Without a way to open hosts it is one that is in the configuration no more.
	c.hostedAs(engine.Config{Hosts: []engine.Host{configured}})
	c.until("it is down", func() bool { return c.state(c.get(x.ID)) == "down" })
}

func TestHostsThatCannotBeAdded(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	d := newDoors("fake://a")
	c.hostedAs(engine.Config{Hosts: []engine.Host{node("one", 8, 8)}, Opener: d})
	create := func(pairs ...any) error {
		_, err := c.Create(c.ctx, engine.Caller{}, occi.HostKind, []*occi.Draft{draft(occi.HostKind, pairs...)}, engine.Options{})
		return err
	}
	wantClass(t, create(), occi.Invalid, "occid.host.uri")
	wantClass(t, create("occid.host.uri", "xen:///"), occi.Invalid, "occid.host.uri", "no fake host")
	wantClass(t, create("occid.host.uri", "fake://a", "occid.host.labels", "a,b"), occi.Invalid, "occid.host.labels")
	wantClass(t, create("occid.host.uri", "fake://a", "occid.host.cores.overcommit", -1), occi.Invalid, "occid.host.cores.overcommit")
	wantClass(t, create("occid.host.uri", "fake://a", "occid.host.state", "up"), occi.Forbidden, "occid.host.state")
	_, err := c.Put(c.ctx, engine.Caller{}, occi.HostKind, uuid.New(), draft(occi.HostKind, "occid.host.uri", "fake://a"), engine.Options{})
	wantClass(t, err, occi.Invalid, occi.AttrID)
	x := c.added(draft(occi.HostKind, "occid.host.uri", "fake://a"))
	wantClass(t, create("occid.host.uri", "fake://a"), occi.Conflict, "/host/"+x.ID.String())
	_, err = c.Update(c.ctx, engine.Caller{}, x.ID, draft(occi.HostKind, "occid.host.uri", "fake://b"), engine.Options{})
	wantClass(t, err, occi.Forbidden, "occid.host.uri")
	i := slices.IndexFunc(c.hosts(), func(x *occi.Entity) bool { return x.Title == "one" })
	_, err = c.Update(c.ctx, engine.Caller{}, c.hosts()[i].ID, draft(occi.HostKind, "occid.host.labels", "ssd"), engine.Options{})
	wantClass(t, err, occi.Forbidden, "configuration")
}

// TestHostsAreTheProviders has an administrator of a project add one.
func TestHostsAreTheProviders(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	c.hostedAs(engine.Config{Opener: newDoors("fake://a")})
	root := engine.Caller{Name: "root", Project: "hers", Roles: auth.Administrator}
	if _, err := c.Create(c.ctx, root, occi.HostKind, []*occi.Draft{draft(occi.HostKind, "occid.host.uri", "fake://a")}, engine.Options{}); err != nil {
		t.Fatal(err)
	}
	page, err := c.List(c.ctx, engine.Caller{Name: "ann", Project: "hers", Roles: auth.Manager}, &occi.Query{Kinds: []string{occi.HostKind}})
	if err != nil || len(page.Entities) > 0 {
		t.Errorf("the rest of the project sees %v, %v", page, err)
	}
}
