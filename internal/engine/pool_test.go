package engine_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/uuid"

	"github.com/occid/occid/hypervisor"
	"github.com/occid/occid/internal/engine"
	"github.com/occid/occid/occi"
)

// pooled has the cloud's engine replaced by one whose host has pools.
func (c *cloud) pooled(pools ...engine.Pool) {
	c.t.Helper()
	c.Stop()
	c.Engine = engine.New(engine.Config{Store: c.store, Model: func() *occi.Model { return c.model }, Worker: "test",
		Hosts: []engine.Host{{Name: "one", Driver: c.host, Pools: pools}}, Logger: slog.New(slog.DiscardHandler)})
	if err := c.Start(c.ctx); err != nil {
		c.t.Fatal(err)
	}
}

// small are a default pool of 10 GiB and another one of 4, twice overcommitted.
var small = []engine.Pool{{Name: "main", Default: true, CapacityBytes: 10 << 30}, {Name: "fast", CapacityBytes: 4 << 30, Overcommit: 2}}

func (c *cloud) asked(d *occi.Draft) error {
	out, err := c.Create(c.ctx, engine.Caller{}, d.Kind, []*occi.Draft{d}, engine.Options{})
	if err == nil {
		c.settled(out)
	}
	return err
}

func pool(x *occi.Entity) string { return x.Attributes.Get("occid.storage.pool").Text }

func TestPoolsAreChosen(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	wantClass(t, c.asked(draft(storage, "occi.storage.size", 1, "occid.storage.pool", "fast")), occi.Invalid, "occid.storage.pool", `"fast"`)
	plain := c.create(draft(storage, "occi.storage.size", 1))
	if pool(plain) != "" {
		t.Errorf("without pools a storage is in %q", pool(plain))
	}
	c.pooled(small...)
	main := c.create(draft(storage, "occi.storage.size", 1))
	fast := c.create(draft(storage, "occi.storage.size", 1, "occid.storage.pool", "fast"))
	if pool(main) != "main" || pool(fast) != "fast" {
		t.Errorf("storages are in %q and %q", pool(main), pool(fast))
	}
	for _, v := range values(c.host, c.host.volumes) {
		if want := map[uuid.UUID]string{plain.ID: "", main.ID: "main", fast.ID: "fast"}[v.ID]; v.Pool != want {
			t.Errorf("the host has volume %s in %q, want %q", v.ID, v.Pool, want)
		}
	}
	wantClass(t, c.asked(draft(storage, "occi.storage.size", 1, "occid.storage.pool", "slow")), occi.Invalid, "occid.storage.pool", `"slow"`, "fast, main")
	_, err := c.Update(c.ctx, engine.Caller{}, fast.ID, draft("", "occid.storage.pool", "main"), engine.Options{})
	wantClass(t, err, occi.Forbidden, "occid.storage.pool")
	out, err := c.act(fast, "backup")
	if err != nil {
		t.Fatal(err)
	}
	c.settled(out)
	if got := c.get(out.Made[0].ID); pool(got) != "fast" {
		t.Errorf("a copy is in %q", pool(got))
	}
}

func TestPoolsAreNotOverfilled(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	c.pooled(small...)
	big := c.create(draft(storage, "occi.storage.size", 6))
	calls := len(c.host.calls())
	wantClass(t, c.asked(draft(storage, "occi.storage.size", 5)), occi.Conflict, "pool main", "5 GiB", "4 GiB are free")
	if n := len(c.host.calls()); n != calls {
		t.Errorf("the host was asked for what there is no room for: %v", c.host.calls()[calls:])
	}
	page, err := c.List(c.ctx, engine.Caller{}, &occi.Query{Kinds: []string{storage}})
	if err != nil || page.Total != 1 {
		t.Errorf("there are %d storages, %v", page.Total, err)
	}
	// Twice what it has.
	fast := c.create(draft(storage, "occi.storage.size", 8, "occid.storage.pool", "fast"))
	wantClass(t, c.asked(draft(storage, "occi.storage.size", 0.5, "occid.storage.pool", "fast")), occi.Conflict, "pool fast", "0.500 GiB", "0 GiB are free")

	// All of one request together.
	both := []*occi.Draft{draft(storage, "occi.storage.size", 3), draft(storage, "occi.storage.size", 3)}
	_, err = c.Create(c.ctx, engine.Caller{}, storage, both, engine.Options{})
	wantClass(t, err, occi.Conflict, "6 GiB")

	// Growing, in both ways; what does not fit changes nothing.
	_, err = c.act(big, "resize", "size", 11.0)
	wantClass(t, err, occi.Conflict, "pool main", "5 GiB", "4 GiB are free")
	_, err = c.Update(c.ctx, engine.Caller{}, big.ID, draft("", "occi.storage.size", 12.0), engine.Options{})
	wantClass(t, err, occi.Conflict, "pool main", "6 GiB")
	if got := c.get(big.ID); got.Attributes.Get("occi.storage.size").Num != 6 || len(got.Tasks) > 0 {
		t.Errorf("it has %s GiB and tasks %v", got.Attributes.Get("occi.storage.size"), got.Tasks)
	}
	c.mustAct(big, "resize", "size", 8.0)
	c.update(big, "occi.storage.size", 9.0)
	wantClass(t, c.asked(draft(storage, "occi.storage.size", 2)), occi.Conflict, "1 GiB are free")

	// A machine's scratch disk is in the default pool.
	d := draft(compute)
	d.Mixins = []string{"http://schemas.ogf.org/occi/infrastructure/compute/template/1.1#small"}
	wantClass(t, c.asked(d), occi.Conflict, "pool main", "10 GiB", "1 GiB are free")

	// What goes makes room.
	if err := c.delete(big.ID, fast.ID); err != nil {
		t.Fatal(err)
	}
	vm := c.create(d)
	wantClass(t, c.asked(draft(storage, "occi.storage.size", 1)), occi.Conflict, "0 GiB are free")
	if err := c.delete(vm.ID); err != nil {
		t.Fatal(err)
	}
	c.create(draft(storage, "occi.storage.size", 10))
	c.create(draft(storage, "occi.storage.size", 8, "occid.storage.pool", "fast"))
}

// TestRoomOfWhatFails gives room back that a resize which failed had taken, and
// that of what was never made.
func TestRoomOfWhatFails(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	c.pooled(small...)
	vol := c.create(draft(storage, "occi.storage.size", 4))
	c.host.intercept(func(_ context.Context, op string, _ uuid.UUID) error {
		if op == "create volume" {
			return errors.New("the disk is broken")
		}
		return nil
	})
	c.mustAct(vol, "resize", "size", 10.0)
	failed := c.create(draft(storage, "occi.storage.size", 6))
	wantClass(t, c.asked(draft(storage, "occi.storage.size", 1)), occi.Conflict, "0 GiB are free")
	c.host.intercept(nil)
	if err := c.delete(failed.ID); err != nil {
		t.Fatal(err)
	}
	c.create(draft(storage, "occi.storage.size", 6))
}

func TestPoolsAreAsLargeAsTheirHostSays(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	asked := make(chan struct{}, 100)
	c.host.mu.Lock()
	c.host.pools = []hypervisor.PoolStatus{{Name: "main", CapacityBytes: 2 << 30}}
	c.host.mu.Unlock()
	away := atomic.Bool{}
	away.Store(true)
	c.host.intercept(func(_ context.Context, op string, _ uuid.UUID) error {
		if op == "pools" {
			asked <- struct{}{}
			if away.Load() {
				return hypervisor.ErrUnavailable
			}
		}
		return nil
	})
	c.pooled(engine.Pool{Name: "main", Default: true})
	<-asked
	// How large it is nobody knows yet.
	c.create(draft(storage, "occi.storage.size", 1))
	away.Store(false)
	c.until("the pool is known to be full", func() bool {
		err := c.asked(draft(storage, "occi.storage.size", 2))
		return errors.Is(err, occi.Conflict)
	})
}

// TestVolumesFromBeforePools are accounted once the host was compared with the rows.
func TestVolumesFromBeforePools(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	old := c.create(draft(storage, "occi.storage.size", 7))
	c.pooled(small...)
	c.until("it is accounted", func() bool {
		rooms, err := c.store.Rooms(c.ctx, []uuid.UUID{old.ID})
		return err == nil && len(rooms) == 1
	})
	wantClass(t, c.asked(draft(storage, "occi.storage.size", 4)), occi.Conflict, "3 GiB are free")
}

// TestManyAskForTheSameRoom: as many get it as fit.
func TestManyAskForTheSameRoom(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	c.pooled(small...)
	var all sync.WaitGroup
	var made atomic.Int64
	for range 30 {
		all.Go(func() {
			d := draft(storage, "occi.storage.size", 1)
			switch _, err := c.Create(c.ctx, engine.Caller{}, storage, []*occi.Draft{d}, engine.Options{}); {
			case err == nil:
				made.Add(1)
			case !errors.Is(err, occi.Conflict):
				t.Error(err)
			}
		})
	}
	all.Wait()
	if n := made.Load(); n != 10 {
		t.Errorf("%d of 10 fit", n)
	}
}

// TestAPoolThatIsAway keeps nothing but its storages from being followed.
func TestAPoolThatIsAway(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	vm := c.mustAct(c.create(draft(compute)), "start")
	vol := c.create(draft(storage, "occi.storage.size", 1))
	c.Stop()
	c.host.mu.Lock()
	c.host.domains[vm.ID].State = hypervisor.Stopped
	c.host.mu.Unlock()
	c.host.intercept(func(_ context.Context, op string, _ uuid.UUID) error {
		if op == "volumes" {
			return hypervisor.ErrUnavailable
		}
		return nil
	})
	calls := len(c.host.calls())
	c.pooled(small...)
	c.until("the machine is seen to be off", func() bool { return c.state(c.get(vm.ID)) == "inactive" })
	if err := c.delete(vm.ID); err != nil {
		t.Fatal(err)
	}
	if got := c.get(vol.ID); c.state(got) != "online" || len(got.Tasks) > 0 {
		t.Errorf("the storage is %s: %v", c.state(got), got.Attributes)
	}
	for _, call := range c.host.calls()[calls:] {
		if strings.HasPrefix(call, "create volume") {
			t.Errorf("a volume was made again: %s", call)
		}
	}
}

// TestDisksOfMachinesTakeRoom, as large as they are to be.
func TestDisksOfMachinesTakeRoom(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	_, template, _ := c.saved() // of 2 GiB
	c.pooled(small...)
	of := func(size float64) *occi.Draft {
		d := draft(compute, diskSize, size)
		d.Mixins = []string{template}
		return d
	}
	wantClass(t, c.asked(of(20)), occi.Conflict, "pool main", "20 GiB")
	vm := c.create(of(3))
	_, err := c.Update(c.ctx, engine.Caller{}, vm.ID, draft("", diskSize, 30.0), engine.Options{})
	wantClass(t, err, occi.Conflict, "pool main", "27 GiB")
}
