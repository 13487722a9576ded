package engine_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/uuid"

	"github.com/occid/occid/hypervisor"
	"github.com/occid/occid/internal/engine"
	"github.com/occid/occid/occi"
)

const (
	stray   = "http://schemas.occid.org/occi/infrastructure#domain"
	project = "http://schemas.occid.org/occi/identity#project"
)

// place gives the host a machine of others that runs, with a volume and a network, and
// tells of it.
func (f *fakeHost) place(s hypervisor.Stray) {
	f.mu.Lock()
	if f.strays == nil {
		f.strays = map[uuid.UUID]*hypervisor.Stray{}
	}
	f.strays[s.Domain.ID] = &s
	for _, d := range s.Disks {
		if d.Volume != uuid.Nil && f.volumes[d.Volume] == nil {
			f.volumes[d.Volume] = &hypervisor.VolumeStatus{ID: d.Volume, Pool: d.Pool, SizeBytes: d.SizeBytes}
		}
	}
	for _, n := range s.NICs {
		if n.Network != uuid.Nil && f.networks[n.Network] == nil {
			f.networks[n.Network] = &hypervisor.NetworkStatus{ID: n.Network, Name: n.Name, Active: true}
		}
	}
	f.mu.Unlock()
	f.events <- hypervisor.Event{Domain: s.Domain.ID, State: s.State}
}

// displace has one of them go.
func (f *fakeHost) displace(id uuid.UUID) {
	f.mu.Lock()
	delete(f.strays, id)
	f.mu.Unlock()
	f.events <- hypervisor.Event{Domain: id, Gone: true, State: hypervisor.Stopped}
}

// isAdopted reports whether a machine of others is the server's.
func (f *fakeHost) isAdopted(id uuid.UUID) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.domains[id] != nil
}

// byHand is a machine of others that runs, with a disk and an interface.
func byHand() hypervisor.Stray {
	id := uuid.New()
	name := "by-hand-" + id.String()[:4]
	return hypervisor.Stray{State: hypervisor.Running,
		Domain: hypervisor.Domain{ID: id, Name: name, Title: "Made by hand", VCPUs: 2, MemoryBytes: 3 << 29, Firmware: hypervisor.FirmwareBIOS},
		Disks: []hypervisor.StrayDisk{{Disk: hypervisor.Disk{Volume: hypervisor.AdoptedVolume("one", name), Target: "vda"},
			Pool: "images", Name: name + ".qcow2", SizeBytes: 5 << 30}},
		NICs: []hypervisor.StrayNIC{{NIC: hypervisor.NIC{Network: uuid.New(), MAC: "52:54:00:aa:bb:cc"}, Name: "default"}}}
}

// strays lists the rows of machines of others.
func (c *cloud) strays() []*occi.Entity {
	c.t.Helper()
	page, err := c.List(c.ctx, engine.Caller{}, &occi.Query{Kinds: []string{stray}})
	if err != nil {
		c.t.Fatal(err)
	}
	return page.Entities
}

// appears gives the host a machine of others, and gives its row.
func (c *cloud) appears(s hypervisor.Stray) *occi.Entity {
	c.t.Helper()
	c.host.place(s)
	var row *occi.Entity
	c.until("it is listed", func() bool {
		for _, x := range c.strays() {
			if x.Attributes.Get("occid.domain.uuid").Text == s.Domain.ID.String() {
				row = x
			}
		}
		return row != nil
	})
	return row
}

// imports imports a row and gives the task as it is at its end.
func (c *cloud) imports(x *occi.Entity, pairs ...any) *occi.Task {
	c.t.Helper()
	out, err := c.act(x, "import", pairs...)
	if err != nil {
		c.t.Fatal(err)
	}
	return c.over(out.Tasks[0].ID)
}

// over waits for the end of a task.
func (c *cloud) over(id uuid.UUID) *occi.Task {
	c.t.Helper()
	if err := c.Wait(c.ctx, []uuid.UUID{id}); err != nil {
		c.t.Fatal(err)
	}
	t, err := c.store.Task(c.ctx, id)
	if err != nil {
		c.t.Fatal(err)
	}
	return t
}

// wantReleased checks that a machine of others, which still has a row, is as before.
func (c *cloud) wantReleased(x *occi.Entity, s hypervisor.Stray) {
	c.t.Helper()
	if c.host.isAdopted(s.Domain.ID) {
		c.t.Error("the host has it marked as the server's")
	}
	if _, err := c.Get(c.ctx, engine.Caller{}, s.Domain.ID); occi.ClassOf(err) != occi.NotFound {
		c.t.Errorf("there is a compute: %v", err)
	}
	c.until("its row has no task", func() bool { return len(c.get(x.ID).Tasks) == 0 })
	for _, kind := range []string{storage, network, disk, nic} {
		if n, err := c.Count(c.ctx, engine.Caller{}, []string{kind}); err != nil || n.Members != 0 {
			c.t.Errorf("there are %d of %s, %v", n.Members, kind, err)
		}
	}
}

func TestStraysAreListed(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	own := c.create(draft(compute))
	s := byHand()
	x := c.appears(s)
	if x.Title != "Made by hand" || x.Host != "one" || c.state(x) != "active" || !isTrue(x, "occid.domain.importable") {
		t.Errorf("it is shown as %+v", x)
	}
	for name, want := range map[string]string{"occid.domain.name": s.Domain.Name, "occid.domain.disks": "vda: " + s.Disks[0].Name + " in pool images, 5 GiB",
		"occid.domain.interfaces": "52:54:00:aa:bb:cc: default", "occid.domain.cores": "2", "occid.domain.memory": "1.5", "occid.domain.host": c.hosts()[0].ID.String()} {
		if got := x.Attributes.Get(name).String(); !strings.Contains(got, want) {
			t.Errorf("%s is %s, want %s", name, got, want)
		}
	}
	if all, err := c.List(c.ctx, engine.Caller{}, &occi.Query{}); err != nil || len(all.Entities) != 1 || all.Entities[0].ID != own.ID {
		t.Errorf("all that there is is %d, %v", len(all.Entities), err)
	}

	s.State, s.Obstacles = hypervisor.Stopped, []string{"its disk vda is away"}
	c.host.place(s)
	c.until("its row follows", func() bool {
		x := c.get(x.ID)
		return c.state(x) == "inactive" && strings.Contains(x.Attributes.Get("occid.domain.obstacles").Text, "away") && !isTrue(x, "occid.domain.importable")
	})
	before := c.get(x.ID)
	c.host.events <- hypervisor.Event{Reconnected: true}
	other := c.appears(byHand())
	if now := c.get(x.ID); now.Revision != before.Revision {
		t.Errorf("a look that found nothing new made revision %d of %d", now.Revision, before.Revision)
	}
	c.host.displace(s.Domain.ID)
	c.until("its row is gone", func() bool { return len(c.strays()) == 1 })
	if got := c.strays(); got[0].ID != other.ID {
		t.Errorf("left is %v", got)
	}
}

func isTrue(x *occi.Entity, name string) bool { return x.Attributes.Get(name).Num != 0 }

func TestStraysAreImported(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	theirs := c.create(draft(project, occi.AttrTitle, "theirs"))
	s := byHand()
	x := c.appears(s)
	if task := c.imports(x, "project", "theirs"); task.State != occi.TaskDone {
		t.Fatalf("the import is %s: %s", task.State, task.Error)
	}
	vm := c.get(s.Domain.ID)
	if vm.Kind != compute || vm.Title != "Made by hand" || c.state(vm) != "active" || vm.Project != theirs.ID.String() || len(vm.Links) != 2 ||
		vm.Attributes.Get("occi.compute.cores").Num != 2 || vm.Attributes.Get("occi.compute.memory").Num != 1.5 || vm.Attributes.Get("occid.compute.imported").IsZero() {
		t.Errorf("it has become %+v", vm)
	}
	vol, net := c.get(s.Disks[0].Volume), c.get(s.NICs[0].Network)
	if vol.Attributes.Get("occi.storage.size").Num != 5 || pool(vol) != "images" || c.state(vol) != "online" || vol.Project != vm.Project {
		t.Errorf("its volume has become %+v", vol)
	}
	if net.Title != "default" || c.state(net) != "active" || net.Project != vm.Project {
		t.Errorf("its network has become %+v", net)
	}
	for _, l := range vm.Links {
		switch {
		case c.state(l) != "active" || l.Project != vm.Project:
			t.Errorf("a device is %+v", l)
		case l.Kind == nic && (l.Attributes.Get("occi.networkinterface.mac").Text != "52:54:00:aa:bb:cc" || l.Target.ID != net.ID):
			t.Errorf("its interface is %+v", l)
		case l.Kind == disk && (l.Attributes.Get("occi.storagelink.deviceid").Text != "vda" || l.Target.ID != vol.ID):
			t.Errorf("its disk is %+v", l)
		}
	}
	if got := c.strays(); len(got) != 0 {
		t.Errorf("it is listed still: %+v", got)
	}
	calls := strings.Join(c.host.calls(), "\n")
	if strings.Contains(calls, "define") || strings.Contains(calls, "start") || strings.Contains(calls, "stop") {
		t.Errorf("the host was told to\n%s", calls)
	}
	// Nothing differs from what is found.
	before := vm.Revision
	c.host.events <- hypervisor.Event{Reconnected: true}
	c.appears(byHand())
	if now := c.get(vm.ID); now.Revision != before {
		t.Errorf("a look at the host made revision %d of %d", now.Revision, before)
	}
	if _, err := c.act(x, "import"); occi.ClassOf(err) != occi.NotFound {
		t.Errorf("to import it again gives %v", err)
	}
}

// An imported machine is like any other; what was only used of the host's stays.
func TestALifeOfAnImport(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	s := byHand()
	c.imports(c.appears(s))
	vm, vol, net := c.get(s.Domain.ID), c.get(s.Disks[0].Volume), c.get(s.NICs[0].Network)
	for _, row := range []struct{ action, want string }{{"suspend", "suspended"}, {"start", "active"}, {"restart", "active"}, {"stop", "inactive"}, {"start", "active"}} {
		if got := c.state(c.mustAct(vm, row.action)); got != row.want {
			t.Errorf("after %s it is %s, want %s", row.action, got, row.want)
		}
	}
	if got := c.mustAct(vol, "resize", "size", 6).Attributes.Get("occi.storage.size").Num; got != 6 {
		t.Errorf("it has %v GiB", got)
	}
	more := c.create(draft(storage, "occi.storage.size", 1))
	c.create(link(disk, vm, more))
	_, err := c.act(net, "down")
	wantClass(t, err, occi.Conflict, "not made by the server")
	_, err = c.Update(c.ctx, engine.Caller{}, net.ID, draft("", "occid.network.mode", "isolated"), engine.Options{})
	wantClass(t, err, occi.Invalid, "not made by the server")
	_, backup := c.copy(vol, "backup")
	if err := c.delete(vm.ID); err != nil {
		t.Fatal(err)
	}
	if err := c.delete(backup.ID, vol.ID, more.ID, net.ID); err != nil {
		t.Fatal(err)
	}
	if n := len(values(c.host, c.host.volumes)) + len(values(c.host, c.host.domains)); n != 0 {
		t.Errorf("the host has %d volumes and machines", n)
	}
	if left := values(c.host, c.host.networks); len(left) != 1 || left[0].ID != net.ID || !left[0].Active {
		t.Errorf("the networks are %+v", left)
	}
}

func TestImportsAreRefused(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	s := byHand()
	x := c.appears(s)
	for _, bad := range []struct{ param, value string }{{"project", "nobody's"}, {"user", "nobody"}, {"project", uuid.NewString()}} {
		_, err := c.act(x, "import", bad.param, bad.value)
		wantClass(t, err, occi.Invalid, bad.param, bad.value)
	}
	_, err := c.act(&occi.Entity{ID: uuid.New()}, "import")
	wantClass(t, err, occi.NotFound)
	_, err = c.Create(c.ctx, engine.Caller{}, stray, []*occi.Draft{draft(stray)}, engine.Options{})
	wantClass(t, err, occi.Forbidden, "cannot be created")
	wantClass(t, c.delete(x.ID), occi.Forbidden, "its host")
	_, err = c.Update(c.ctx, engine.Caller{}, x.ID, draft("", occi.AttrTitle, "other"), engine.Options{})
	wantClass(t, err, occi.Forbidden, "as its host has it")
	_, err = c.Put(c.ctx, engine.Caller{}, storage, s.Disks[0].Volume, draft(storage, "occi.storage.size", 5), engine.Options{})
	wantClass(t, err, occi.Invalid, "imported")
	c.wantReleased(x, s)

	bad := byHand()
	bad.Obstacles = []string{"its disk vda has a backing file", "it has a device of the host"}
	bad.NICs[0].Network, bad.NICs[0].Bridge = uuid.Nil, "br9"
	_, err = c.act(c.appears(bad), "import")
	wantClass(t, err, occi.Conflict, "backing file", "device of the host", "br9")

	taken := byHand()
	x = c.appears(taken)
	if _, err := c.Put(c.ctx, engine.Caller{}, compute, taken.Domain.ID, draft(compute), engine.Options{}); err != nil {
		t.Fatal(err)
	}
	_, err = c.act(x, "import")
	wantClass(t, err, occi.Conflict, "/compute/"+taken.Domain.ID.String())

	large := byHand()
	large.Domain.MemoryBytes = 8 << 40
	_, err = c.act(c.appears(large), "import")
	wantClass(t, err, occi.Conflict, "of memory free")

	x = c.appears(byHand())
	c.host.tell(hypervisor.Info{}, fmt.Errorf("%w: away", hypervisor.ErrUnavailable))
	c.until("the host is down", func() bool { return c.state(c.hosts()[0]) == "down" })
	_, err = c.act(x, "import")
	wantClass(t, err, occi.Conflict, "down")
}

// heldStore holds back the server that has just stored that a host is down.
type heldStore struct {
	engine.Store
	stored, release chan struct{}
	once            sync.Once
}

func (s *heldStore) Commit(ctx context.Context, change *occi.Change) error {
	err := s.Store.Commit(ctx, change)
	for _, x := range change.Puts {
		if x.Kind == occi.HostKind && x.Attributes.Get("occid.host.state").Text == "down" {
			s.once.Do(func() { close(s.stored) })
			<-s.release
		}
	}
	return err
}

// The store knows that the host is down before the server does that is asked.
func TestAnImportFromAHostThatIsDownElsewhere(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	st := &heldStore{Store: c.store, stored: make(chan struct{}), release: make(chan struct{})}
	h := node("one", 8, 8)
	c.host = h.Driver.(*fakeHost)
	c.hostedAs(engine.Config{Hosts: []engine.Host{h}, Store: st})
	x := c.appears(byHand())
	c.host.tell(hypervisor.Info{}, fmt.Errorf("%w: away", hypervisor.ErrUnavailable))
	<-st.stored
	defer close(st.release)
	_, err := c.act(x, "import")
	wantClass(t, err, occi.Conflict, "one", "in state down")
}

// Of many who import the same at once one does.
func TestImportAtOnce(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	s := byHand()
	x := c.appears(s)
	errs := make([]error, 8)
	var all sync.WaitGroup
	for i := range errs {
		all.Go(func() {
			out, err := c.act(x, "import")
			if err == nil {
				err = c.Wait(c.ctx, out.IDs())
			}
			errs[i] = err
		})
	}
	all.Wait()
	done := 0
	for _, err := range errs {
		switch occi.ClassOf(err) {
		case occi.Conflict, occi.NotFound:
		default:
			if err != nil {
				t.Error(err)
			}
			done++
		}
	}
	if done != 1 || c.get(s.Domain.ID).Kind != compute {
		t.Errorf("%d imports were done", done)
	}
}

// What the task finds in its way leaves host and rows as they were.
func TestFailedImports(t *testing.T) {
	t.Parallel()
	quota := func(c *cloud, p *occi.Entity, s *hypervisor.Stray) {
		if _, err := c.Update(c.ctx, engine.Caller{}, occi.QuotaID(p.ID.String()), draft("", "occid.quota.cores", 1), engine.Options{}); err != nil {
			c.t.Fatal(err)
		}
	}
	for name, tt := range map[string]struct {
		before func(c *cloud, p *occi.Entity, s *hypervisor.Stray)
		want   string
	}{
		"more than the quota": {quota, "quota"},
		"the host refuses":    {func(c *cloud, _ *occi.Entity, _ *hypervisor.Stray) { c.refuse("adopt domain") }, "no"},
		"changed since": {func(c *cloud, _ *occi.Entity, s *hypervisor.Stray) {
			s.Obstacles = []string{"its disk vda has a backing file"}
			c.host.intercept(func(_ context.Context, op string, _ uuid.UUID) error {
				if op == "adopt domain" {
					c.host.mu.Lock()
					defer c.host.mu.Unlock()
					c.host.strays[s.Domain.ID] = s
				}
				return nil
			})
		}, "backing file"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newCloud(t)
			p := c.create(draft(project, occi.AttrTitle, "p"))
			s := byHand()
			x := c.appears(s)
			now := s
			tt.before(c, p, &now)
			if task := c.imports(x, "project", p.ID.String()); task.State != occi.TaskFailed || !strings.Contains(task.Error, tt.want) {
				t.Errorf("the import is %s: %s", task.State, task.Error)
			}
			c.wantReleased(x, s)
		})
	}
}

// An import that is interrupted is done again; one that is cancelled leaves all as it was.
func TestInterruptedImports(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	s := byHand()
	x := c.appears(s)
	tries := 0
	c.host.intercept(func(_ context.Context, op string, _ uuid.UUID) error {
		if op != "adopt domain" {
			return nil
		}
		if tries++; tries == 2 {
			// It is done, but that is not heard of.
			c.host.mu.Lock()
			c.host.domains[s.Domain.ID] = &fakeDomain{DomainStatus: hypervisor.DomainStatus{ID: s.Domain.ID, State: hypervisor.Running, Managed: true}}
			c.host.mu.Unlock()
		}
		if tries < 3 {
			return fmt.Errorf("%w: away", hypervisor.ErrUnavailable)
		}
		return nil
	})
	if task := c.imports(x); task.State != occi.TaskDone || task.Attempts != 3 {
		t.Errorf("it is %s after %d attempts: %s", task.State, task.Attempts, task.Error)
	}

	other := byHand()
	x = c.appears(other)
	entered := make(chan struct{})
	c.host.intercept(func(ctx context.Context, op string, _ uuid.UUID) error {
		if op != "adopt domain" {
			return nil
		}
		close(entered)
		<-ctx.Done()
		return ctx.Err()
	})
	out, err := c.act(x, "import")
	if err != nil {
		t.Fatal(err)
	}
	<-entered
	if _, err := c.Cancel(c.ctx, engine.Caller{}, out.Tasks[0].ID); err != nil {
		t.Fatal(err)
	}
	if task := c.over(out.Tasks[0].ID); task.State != occi.TaskCancelled {
		t.Errorf("it is %s: %s", task.State, task.Error)
	}
	if c.host.isAdopted(other.Domain.ID) || !slices.Contains(c.host.calls(), "release domain "+other.Domain.ID.String()) {
		t.Error("the host has it marked as the server's")
	}
}

// Machines share the network that they are in, within a project.
func TestNetworksOfImports(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	p := c.create(draft(project, occi.AttrTitle, "p"))
	first, second, third, bridged, again := byHand(), byHand(), byHand(), byHand(), byHand()
	second.NICs[0].NIC = hypervisor.NIC{Network: first.NICs[0].Network, MAC: "52:54:00:00:00:02"}
	third.NICs[0].NIC = hypervisor.NIC{Network: first.NICs[0].Network, MAC: "52:54:00:00:00:03"}
	bridged.NICs[0] = hypervisor.StrayNIC{NIC: hypervisor.NIC{MAC: "52:54:00:00:00:04"}, Bridge: "br0"}
	again.NICs[0] = hypervisor.StrayNIC{NIC: hypervisor.NIC{MAC: "52:54:00:00:00:05"}, Bridge: "br0"}
	for _, s := range []hypervisor.Stray{first, second, bridged, again} {
		if task := c.imports(c.appears(s), "title", "mine"); task.State != occi.TaskDone || c.get(s.Domain.ID).Title != "mine" {
			t.Fatalf("the import is %s: %s", task.State, task.Error)
		}
	}
	page, err := c.List(c.ctx, engine.Caller{}, &occi.Query{Kinds: []string{network}})
	if err != nil || len(page.Entities) != 2 {
		t.Fatalf("there are %d networks, %v", len(page.Entities), err)
	}
	c.until("the bridged one is up", func() bool { return c.state(c.get(page.Entities[1].ID)) == "active" })
	if n := c.host.network(page.Entities[1].ID); n.Mode != hypervisor.Bridged || n.Bridge != "br0" {
		t.Errorf("the host was told of %+v", n)
	}
	_, err = c.act(c.appears(third), "import", "project", p.ID.String())
	wantClass(t, err, occi.Conflict, "not shared")
	_, err = c.Update(c.ctx, engine.Caller{}, first.NICs[0].Network, draft("", occi.AttrTitle, "for all"), engine.Options{})
	if err != nil {
		t.Error(err)
	}
}

// A host that was added can be let go of whatever others have on it.
func TestHostsWithStraysAreDeleted(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	const uri = "fake://a"
	d := newDoors(uri)
	c.hostedAs(engine.Config{Opener: d})
	d.fakes[uri].place(byHand())
	x := c.added(draft(occi.HostKind, "occid.host.uri", uri))
	c.until("it is listed", func() bool { return len(c.strays()) == 1 })
	if err := c.delete(x.ID); err != nil {
		t.Fatal(err)
	}
	if got := c.strays(); len(got) != 0 {
		t.Errorf("left is %v", got)
	}
}
