package engine_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/occid/occid/hypervisor"
	"github.com/occid/occid/internal/auth"
	"github.com/occid/occid/internal/engine"
	"github.com/occid/occid/occi"
)

const (
	storagePool = "http://schemas.occid.org/occi/infrastructure#storage_pool"
	poolHost    = "http://schemas.occid.org/occi/infrastructure#poolhost"
)

// stores gives what the pools of a host are shown as, by name.
func (c *cloud) stores(host *occi.Entity) map[string]*occi.Entity {
	c.t.Helper()
	page, err := c.List(c.ctx, engine.Caller{}, &occi.Query{Kinds: []string{storagePool}, LinkedTo: host.ID})
	if err != nil {
		c.t.Fatal(err)
	}
	out := map[string]*occi.Entity{}
	for _, x := range page.Entities {
		out[x.Attributes.Get("occid.storagepool.name").Text] = x
	}
	return out
}

// storeUp waits until a pool of a host is up, and gives it.
func (c *cloud) storeUp(host *occi.Entity, name string) *occi.Entity {
	c.t.Helper()
	var x *occi.Entity
	c.until("the pool "+name+" is up", func() bool {
		x = c.stores(host)[name]
		return x != nil && c.state(x) == "up"
	})
	return x
}

// wantStored waits until a pool shows how much of it is allocated and free, in GiB.
func (c *cloud) wantStored(x *occi.Entity, allocated, free float64) {
	c.t.Helper()
	c.until(fmt.Sprintf("%g GiB are allocated and %g free", allocated, free), func() bool {
		now := c.get(x.ID).Attributes
		return now.Get("occid.storagepool.allocated").Num == allocated && now.Get("occid.storagepool.free").Num == free
	})
}

func added(host *occi.Entity, name string, pairs ...any) *occi.Draft {
	d := draft(storagePool, append([]any{"occid.storagepool.name", name, "occid.storagepool.type", "dir", "occid.storagepool.source", "/srv/" + name}, pairs...)...)
	d.Links = []occi.DraftLink{{Kind: poolHost, Target: occi.URN(host.ID)}}
	return d
}

func sizedIn(pool string, size float64) *occi.Draft {
	return draft(storage, "occi.storage.size", size, "occid.storage.pool", pool)
}

// pooledHost is a cloud with one host that has the pools main and fast.
func pooledHost(t *testing.T) *cloud {
	c := newCloud(t)
	h := node("one", 8, 8)
	h.Driver.(*fakeHost).pools = []hypervisor.PoolStatus{{Name: "main", CapacityBytes: 10 << 30, AllocatedBytes: 3 << 30}, {Name: "fast", CapacityBytes: 4 << 30}}
	h.Pools = []engine.Pool{{Name: "main", Default: true, Type: "dir", Source: "/srv/main"}, {Name: "fast", Overcommit: 2, CapacityBytes: 4 << 30, Type: "dir", Source: "/srv/fast"}}
	c.host = h.Driver.(*fakeHost)
	c.hosted(h)
	return c
}

// stalePools is a store of which one reading of the pools comes late, if it is told so.
type stalePools struct {
	engine.Store
	late             atomic.Bool
	entered, release chan struct{}
}

func (s *stalePools) List(ctx context.Context, q *occi.Query) (*occi.Page, error) {
	page, err := s.Store.List(ctx, q)
	if slices.Equal(q.Kinds, []string{storagePool}) && s.late.CompareAndSwap(true, false) {
		close(s.entered)
		<-s.release
	}
	return page, err
}

// TestWhatIsOldIsNotBelieved changes a pool while its row, as it was before, is on its way.
func TestWhatIsOldIsNotBelieved(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	st := &stalePools{Store: c.store, entered: make(chan struct{}), release: make(chan struct{})}
	h := node("one", 8, 8)
	h.Driver.(*fakeHost).pools = []hypervisor.PoolStatus{{Name: "main", CapacityBytes: 10 << 30}}
	h.Pools = []engine.Pool{{Name: "main", Default: true, Type: "dir", Source: "/srv/main"}}
	c.hostedAs(engine.Config{Hosts: []engine.Host{h}, Store: st})
	host := c.hostNamed("one")
	main := c.storeUp(host, "main")
	st.late.Store(true)
	done := make(chan error)
	go func() {
		_, err := c.Create(c.ctx, engine.Caller{}, storagePool, []*occi.Draft{added(host, "other")}, engine.Options{})
		done <- err
	}()
	<-st.entered
	c.update(main, "occid.storagepool.capacity.offered", 1.0)
	close(st.release)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	wantClass(t, c.asked(draft(storage, "occi.storage.size", 2.0)), occi.Conflict, "pool main", "1 GiB are free")
}

func TestPoolsOfStoragesAreShown(t *testing.T) {
	t.Parallel()
	c := pooledHost(t)
	host := c.hostNamed("one")
	main, fast := c.storeUp(host, "main"), c.storeUp(host, "fast")
	a := main.Attributes
	if main.Title != "main" || a.Get("occid.storagepool.type").Text != "dir" || a.Get("occid.storagepool.source").Text != "/srv/main" || a.Get("occid.storagepool.capacity").Num != 10 ||
		a.Get("occid.storagepool.used").Num != 3 || a.Get("occid.storagepool.default") != occi.Bool(true) || a.Get("occid.storagepool.configured") != occi.Bool(true) {
		t.Errorf("it is shown as %+v", main)
	}
	if got := fast.Attributes.Get("occid.storagepool.overcommit").Num; got != 2 {
		t.Errorf("the other one is overcommitted %g times", got)
	}
	disk1, other := c.create(draft(storage, "occi.storage.size", 2.0)), c.create(sizedIn("fast", 5))
	vm := c.create(draft(compute))
	c.create(link(disk, vm, disk1))
	c.wantStored(main, 2, 8)
	c.wantStored(fast, 5, 3)
	for _, tt := range []struct {
		of   *occi.Entity
		kind string
		want []uuid.UUID
	}{{main, storage, ids(disk1)}, {main, compute, ids(vm)}, {fast, storage, ids(other)}, {fast, compute, nil}, {disk1, storagePool, ids(main)},
		{vm, storagePool, ids(main)}, {other, storagePool, ids(fast)}} {
		page, err := c.List(c.ctx, engine.Caller{}, &occi.Query{Kinds: []string{tt.kind}, LinkedTo: tt.of.ID, Stored: disk})
		if err != nil || !slices.Equal(ids(page.Entities...), tt.want) {
			t.Errorf("of %s %q there are %v, %v; want %v", tt.of.Kind, tt.of.Title, page, err, tt.want)
		}
	}

	// What the configuration does not say can be changed, and what is changed holds.
	_, err := c.Update(c.ctx, engine.Caller{}, fast.ID, draft("", "occid.storagepool.overcommit", 3.0), engine.Options{})
	wantClass(t, err, occi.Forbidden, "occid.storagepool.overcommit", "configuration")
	_, err = c.Update(c.ctx, engine.Caller{}, fast.ID, draft("", "occid.storagepool.capacity.offered", 3.0), engine.Options{})
	wantClass(t, err, occi.Forbidden, "occid.storagepool.capacity.offered")
	c.update(main, "occid.storagepool.overcommit", 1.5)
	c.wantStored(main, 2, 13)
	c.create(draft(storage, "occi.storage.size", 11.0))
	c.update(main, "occid.storagepool.overcommit", 1.0, "occid.storagepool.capacity.offered", 12.0)
	c.wantStored(main, 13, 0)
	wantClass(t, c.asked(draft(storage, "occi.storage.size", 1.0)), occi.Conflict, "pool main", "0 GiB are free")

	// Pools follow their host.
	c.host.intercept(func(_ context.Context, op string, _ uuid.UUID) error {
		if op == "pools" {
			return hypervisor.ErrUnavailable
		}
		return nil
	})
	c.host.tell(hypervisor.Info{}, hypervisor.ErrUnavailable)
	c.until("the pools are down", func() bool {
		x := c.get(main.ID)
		return c.state(x) == "down" && x.Attributes.Get("occid.storagepool.state.message").Text == "its host has no connection"
	})
}

func TestPoolsOutOfUse(t *testing.T) {
	t.Parallel()
	c := pooledHost(t)
	host := c.hostNamed("one")
	main, fast := c.storeUp(host, "main"), c.storeUp(host, "fast")
	old := c.create(sizedIn("fast", 1))
	if got := c.mustActNow(fast, "disable"); c.state(got) != "disabled" {
		t.Errorf("it is %s", c.state(got))
	}
	wantClass(t, c.asked(sizedIn("fast", 1)), occi.Conflict, "the pool fast is out of use")
	_, err := c.act(old, "backup")
	wantClass(t, err, occi.Conflict, "the pool fast is out of use")
	// What is there can be used, and grow.
	c.mustAct(old, "resize", "size", 2.0)
	c.create(sizedIn("main", 1))
	if got := c.mustActNow(fast, "disable"); c.state(got) != "disabled" {
		t.Errorf("it is %s", c.state(got))
	}
	c.wantStored(fast, 2, 6)
	if got := c.state(c.get(fast.ID)); got != "disabled" {
		t.Errorf("when it is looked at again it is %s", got)
	}
	// So does the default, for what asks for none.
	c.mustActNow(main, "disable")
	wantClass(t, c.asked(draft(storage, "occi.storage.size", 1.0)), occi.Conflict, "the pool main is out of use")
	small := draft(compute)
	small.Mixins = []string{"http://schemas.ogf.org/occi/infrastructure/compute/template/1.1#small"}
	wantClass(t, c.asked(small), occi.Conflict, "the pool main is out of use")
	c.create(draft(compute))
	c.mustActNow(fast, "enable")
	c.create(sizedIn("fast", 1))
	c.storeUp(host, "fast")
}

// mustActNow invokes an action that leaves no task.
func (c *cloud) mustActNow(x *occi.Entity, action string) *occi.Entity {
	c.t.Helper()
	out, err := c.act(x, action)
	if err != nil || len(out.Tasks) > 0 {
		c.t.Fatalf("%s gives %+v, %v", action, out, err)
	}
	return c.get(x.ID)
}

func TestVolumesGoWhereAPoolIsInUse(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	var hosts []engine.Host
	for _, name := range []string{"a", "b"} {
		h := node(name, 8, 8)
		h.Driver.(*fakeHost).pools = []hypervisor.PoolStatus{{Name: "main", CapacityBytes: 10 << 30}}
		h.Pools = []engine.Pool{{Name: "main", Default: true}}
		hosts = append(hosts, h)
	}
	c.hosted(hosts...)
	c.mustActNow(c.storeUp(c.hostNamed("a"), "main"), "disable")
	for range 4 {
		if got := c.create(draft(storage, "occi.storage.size", 0.5)); got.Host != "b" {
			t.Errorf("it is on %s", got.Host)
		}
	}
}

func TestPoolsAreAddedAndDeleted(t *testing.T) {
	t.Parallel()
	c := pooledHost(t)
	host := c.hostNamed("one")
	extra := c.create(added(host, "extra", "occid.storagepool.overcommit", 2.0))
	vol := c.create(sizedIn("extra", 150)) // at once
	if got := c.host.volume(vol.ID).Pool; got != "extra" {
		t.Errorf("the host has it in %q", got)
	}
	if got := c.storeUp(host, "extra"); got.ID != extra.ID || got.Attributes.Get("occid.storagepool.capacity").Num != 100 {
		t.Errorf("it is shown as %+v", got)
	}
	c.wantStored(extra, 150, 50)
	wantClass(t, c.asked(sizedIn("extra", 51)), occi.Conflict, "50 GiB are free")
	again := added(host, "extra")
	wantClass(t, c.asked(again), occi.Conflict, "has a pool extra already")
	wantClass(t, c.delete(extra.ID), occi.Conflict, "150 GiB")

	// It is there after a restart.
	c.Stop()
	c.host.OfferPools(nil)
	c.Engine = engine.New(engine.Config{Store: c.store, Model: func() *occi.Model { return c.model }, Worker: "test", Describe: 20 * time.Millisecond, Logger: slog.New(slog.DiscardHandler),
		Hosts: []engine.Host{{Name: "one", Driver: c.host, Pools: []engine.Pool{{Name: "main", Default: true}}}}})
	if err := c.Start(c.ctx); err != nil {
		t.Fatal(err)
	}
	c.create(sizedIn("extra", 10))
	fast := c.stores(host)["fast"]
	c.until("a pool is known to be configured no more", func() bool { return c.state(c.get(fast.ID)) == "down" })
	wantClass(t, c.asked(sizedIn("fast", 1)), occi.Invalid, `there is no pool "fast"`)
	if err := c.delete(fast.ID); err != nil {
		t.Error(err)
	}
	page, err := c.List(c.ctx, engine.Caller{}, &occi.Query{Kinds: []string{storage}})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.delete(ids(page.Entities...)...); err != nil {
		t.Fatal(err)
	}
	if err := c.delete(extra.ID); err != nil {
		t.Fatal(err)
	}
	wantClass(t, c.asked(sizedIn("extra", 1)), occi.Invalid, `there is no pool "extra"`)
	if got := c.stores(host); len(got) != 1 || got["main"] == nil {
		t.Errorf("there are still %v", got)
	}
}

func TestPoolsOfStoragesThatCannotBe(t *testing.T) {
	t.Parallel()
	c := pooledHost(t)
	host := c.hostNamed("one")
	main := c.storeUp(host, "main")
	ann := engine.Caller{Name: "ann", Project: "hers", Roles: auth.Manager}
	without := added(host, "x")
	without.Links = nil
	elsewhere := added(&occi.Entity{ID: uuid.New()}, "x")
	named := added(host, "x", occi.AttrID, uuid.NewString())
	for name, tt := range map[string]struct {
		err   error
		class occi.Class
		word  string
	}{
		"no host":           {c.asked(without), occi.Invalid, "one link to its host"},
		"another host":      {c.asked(elsewhere), occi.Invalid, "there is no host"},
		"another UUID":      {c.asked(named), occi.Invalid, occi.AttrID},
		"a relative path":   {c.asked(added(host, "x", "occid.storagepool.source", "srv")), occi.Invalid, "no directory"},
		"a target":          {c.asked(added(host, "x", "occid.storagepool.target", "/mnt")), occi.Invalid, "occid.storagepool.target"},
		"a type":            {c.asked(added(host, "x", "occid.storagepool.type", "tape")), occi.Invalid, "occid.storagepool.type"},
		"a name":            {c.asked(added(host, "x/y")), occi.Invalid, "occid.storagepool.name"},
		"a configured one":  {c.asked(added(host, "main")), occi.Conflict, "already"},
		"its deletion":      {c.delete(main.ID), occi.Forbidden, "configuration"},
		"a link":            {c.asked(link(poolHost, main, host)), occi.Forbidden, "with its pool"},
		"a link's deletion": {c.delete(main.Links[0].ID), occi.Forbidden, "with its pool"},
		"a member's":        {c.make(ann, added(host, "x")), occi.Forbidden, ""},
		"for a member":      {func() error { _, err := c.Get(c.ctx, ann, main.ID); return err }(), occi.NotFound, ""},
	} {
		t.Run(name, func(t *testing.T) { wantClass(t, tt.err, tt.class, tt.word) })
	}
}

// TestPoolsOfAddedHosts go with them.
func TestPoolsOfAddedHosts(t *testing.T) {
	t.Parallel()
	const a = "fake://a"
	d := newDoors(a)
	f := newFleet(t, 2, func(c *engine.Config) { c.Opener = d })
	x := f.added(draft(occi.HostKind, "occid.host.uri", a))
	extra := f.create(added(x, "extra"))
	// The other server makes volumes there soon, or not any more.
	f.Engine = f.servers[1].Engine
	f.until("the other server knows it", func() bool {
		out, err := f.Create(f.ctx, engine.Caller{}, storage, []*occi.Draft{sizedIn("extra", 1)}, engine.Options{})
		return err == nil && out.Entities[0].Host == a
	})
	f.Engine = f.servers[0].Engine
	f.mustActNow(extra, "disable")
	f.Engine = f.servers[1].Engine
	wantClass(f.t, f.asked(sizedIn("extra", 1)), occi.Conflict, "out of use")
	page, err := f.List(f.ctx, engine.Caller{}, &occi.Query{Kinds: []string{storage}})
	if err != nil {
		t.Fatal(err)
	}
	if err := f.delete(ids(page.Entities...)...); err != nil {
		t.Fatal(err)
	}
	if err := f.delete(x.ID); err != nil {
		t.Fatal(err)
	}
	for _, kind := range []string{storagePool, poolHost} {
		if page, err := f.List(f.ctx, engine.Caller{}, &occi.Query{Kinds: []string{kind}}); err != nil || len(page.Entities) > 0 {
			t.Errorf("there are still %v, %v", page.Entities, err)
		}
	}
}

// TestAPoolIsDeletedOrUsed has a pool let go of and a volume made in it at once: one of
// both comes to pass.
func TestAPoolIsDeletedOrUsed(t *testing.T) {
	t.Parallel()
	c := pooledHost(t)
	host := c.hostNamed("one")
	for i := range 10 {
		name := fmt.Sprintf("p%d", i)
		x := c.create(added(host, name))
		var made, gone atomic.Bool
		var both sync.WaitGroup
		both.Go(func() {
			err := c.asked(sizedIn(name, 1))
			if made.Store(err == nil); err != nil && !errors.Is(err, occi.Conflict) && !errors.Is(err, occi.Invalid) {
				t.Error(err)
			}
		})
		both.Go(func() { gone.Store(c.delete(x.ID) == nil) })
		both.Wait()
		if made.Load() == gone.Load() {
			t.Fatalf("the volume is made: %t, the pool is gone: %t", made.Load(), gone.Load())
		}
	}
}
