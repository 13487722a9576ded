package engine_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/occid/occid/hypervisor"
	"github.com/occid/occid/internal/engine"
	"github.com/occid/occid/occi"
)

// pooledFleet is a fleet of two hosts that are fenced at once. Both have the pools "own",
// which is the default, "both", which is one place, and "nfs" of a file server; the first
// has "alone" beside.
func pooledFleet(t *testing.T, fence *fencer) *fleet {
	t.Helper()
	f := newFleet(t, 1, func(c *engine.Config) {
		c.Fence, c.FenceAfter = fence.fence, 100*time.Millisecond
		for i := range c.Hosts {
			c.Hosts[i].Pools = []engine.Pool{{Name: "own", Default: true, Type: "dir", Source: "/srv/own"}, {Name: "both", Shared: true, Type: "dir", Source: "/srv/both"},
				{Name: "nfs", Type: "nfs", Source: "files:/vm"}}
			for _, p := range c.Hosts[i].Pools {
				fake := c.Hosts[i].Driver.(*port).fakeHost
				fake.pools = append(fake.pools, hypervisor.PoolStatus{Name: p.Name, CapacityBytes: 100 << 30})
			}
		}
		c.Hosts[0].Pools = append(c.Hosts[0].Pools, engine.Pool{Name: "alone", Shared: true, Type: "dir", Source: "/srv/alone"})
	}, "one", "two")
	for _, fake := range f.fakes {
		fake.peers = map[string]*fakeHost{"both": f.fakes[0], "nfs": f.fakes[0]}
	}
	f.fakes[0].peers = nil
	f.until("both are up", func() bool { return f.allUp() })
	return f
}

// templated makes a template whose image is in a pool.
func (f *fleet) templated(pool string) (template string, image *occi.Entity) {
	f.t.Helper()
	vm, u := f.create(draft(compute)), f.create(sizedIn(pool, 1))
	f.create(link(disk, vm, u))
	out, image := f.copy(vm, "save")
	f.settled(out)
	if err := f.delete(vm.ID, u.ID); err != nil {
		f.t.Fatal(err)
	}
	return out.Defined[0].ID(), f.get(image.ID)
}

// hasVolume reports whether a host has a volume.
func (f *fakeHost) hasVolume(id uuid.UUID) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.volumes[id] != nil
}

// promised gives how many bytes are promised to a volume, and where.
func (f *fleet) promised(volume uuid.UUID) (pool string, bytes int64) {
	f.t.Helper()
	rooms, err := f.store.Rooms(f.ctx, []uuid.UUID{volume})
	if err != nil {
		f.t.Fatal(err)
	}
	return rooms[volume].Pool, rooms[volume].Bytes
}

// TestSharedDisksAreRestartedElsewhere loses a host whose machines have disks in pools that
// another one shares.
func TestSharedDisksAreRestartedElsewhere(t *testing.T) {
	t.Parallel()
	fence := &fencer{}
	f := pooledFleet(t, fence)
	f.aside("two", true)
	inDir, onServer := f.create(sizedIn("both", 1)), f.create(sizedIn("nfs", 2))
	template, image := f.templated("both")
	writes, reads := f.create(mixed(draft(compute), restartElsewhere)), f.create(mixed(draft(compute), restartElsewhere))
	l := f.create(link(disk, writes, inDir))
	for _, x := range []*occi.Entity{writes, reads} {
		f.create(reading(link(disk, x, onServer)))
	}
	ofImage := f.create(mixed(draft(compute), restartElsewhere, template))
	f.mustAct(writes, "start")
	f.aside("two", false)
	root := uuid.NewSHA1(ofImage.ID, []byte("root"))

	f.cut(0, true)
	for x, want := range map[*occi.Entity]string{writes: "active", reads: "inactive", ofImage: "active"} {
		f.until("it is on the other host", func() bool {
			now := f.get(x.ID)
			return now.Host == "two" && f.state(now) == want && len(now.Tasks) == 0
		})
	}
	for _, x := range []*occi.Entity{inDir, onServer} {
		if now := f.get(x.ID); now.Host != "two" || f.state(now) != f.state(x) || len(now.Tasks) > 0 {
			t.Errorf("the storage is on %s, %s", now.Host, f.state(now))
		}
	}
	if d := f.fakes[1].domain(writes.ID); len(d.Disks) != 2 || d.State != hypervisor.Running || f.get(l.ID).Host != "two" {
		t.Errorf("there it is %+v", d)
	}
	for id, want := range map[uuid.UUID]string{inDir.ID: "two\nboth", onServer.ID: "two\nnfs", root: "two\nboth", image.ID: "one\nboth"} {
		if pool, bytes := f.promised(id); pool != want || bytes == 0 {
			t.Errorf("%d bytes are promised in %q, want %q", bytes, pool, want)
		}
	}
	for _, call := range f.fakes[1].calls() {
		if strings.HasPrefix(call, "create volume ") || strings.HasPrefix(call, "delete volume ") {
			t.Errorf("what is shared is not left as it is: %s", call)
		}
	}
	// What is there by now is used as any other storage is.
	f.mustAct(inDir, "resize", "size", 2.0)

	f.cut(0, false)
	f.until("the old host is up", func() bool { return f.allUp() })
	if n := len(values(f.fakes[0], f.fakes[0].domains)); n != 0 {
		t.Errorf("%d machines are on the old host", n)
	}
	for _, id := range []uuid.UUID{inDir.ID, onServer.ID, image.ID, root} {
		if !f.fakes[0].hasVolume(id) {
			t.Errorf("the old host has deleted the volume %s, which the other one shares", id)
		}
	}
	f.agreeOnTakes()
}

// TestSharedScratchSpaceStays has the scratch space of a machine that was restarted
// elsewhere deleted where it was, unless that is the same place.
func TestSharedScratchSpaceStays(t *testing.T) {
	t.Parallel()
	for _, shared := range []bool{false, true} {
		fence := &fencer{}
		f := newFleet(t, 1, func(c *engine.Config) {
			c.Fence, c.FenceAfter = fence.fence, 100*time.Millisecond
			for i := range c.Hosts {
				c.Hosts[i].Pools = []engine.Pool{{Name: "main", Default: true, Shared: shared, Type: "dir", Source: "/srv/main"}}
			}
		}, "one", "two")
		if shared {
			f.fakes[1].peers = map[string]*fakeHost{"main": f.fakes[0]}
		}
		f.until("both are up", func() bool { return f.allUp() })
		f.aside("two", true)
		x := f.create(mixed(draft(compute), restartElsewhere, "http://schemas.ogf.org/occi/infrastructure/compute/template/1.1#small"))
		f.aside("two", false)
		scratch := uuid.NewSHA1(x.ID, []byte("ephemeral"))
		if !f.fakes[0].hasVolume(scratch) {
			t.Fatal("it has no scratch space")
		}
		f.cut(0, true)
		f.until("it is on the other host", func() bool { now := f.get(x.ID); return now.Host == "two" && len(now.Tasks) == 0 })
		f.cut(0, false)
		f.until("the old host is up", func() bool { return f.allUp() })
		if got := f.fakes[0].hasVolume(scratch); got != shared {
			t.Errorf("shared: %t; the old host has the scratch space: %t", shared, got)
		}
	}
}

// TestDisksThatCannotBeReached have their machines stay, which name them.
func TestDisksThatCannotBeReached(t *testing.T) {
	t.Parallel()
	fence := &fencer{}
	f := pooledFleet(t, fence)
	f.aside("two", true)
	machine := func(d *occi.Draft) (*occi.Entity, *occi.Entity) {
		u, x := f.create(d), f.create(mixed(draft(compute), restartElsewhere))
		f.create(link(disk, x, u))
		return x, u
	}
	want := map[*occi.Entity]string{}
	x, u := machine(sizedIn("own", 1))
	want[x] = "/storage/" + u.ID.String() + " is in the pool own, which no other host shares"
	x, u = machine(sizedIn("alone", 1))
	want[x] = "/storage/" + u.ID.String() + " is in the pool alone, which no other host shares"
	x, u = machine(sizedIn("both", 1))
	want[x] = "/storage/" + u.ID.String() + " is not found in the pool both by the other hosts that share it"
	lost := u.ID
	x, u = machine(sizedIn("nfs", 1))
	want[x] = "/storage/" + u.ID.String() + " is in the pool nfs, which no other host can look into now"
	template, _ := f.templated("own")
	x = f.create(mixed(draft(compute), restartElsewhere, template))
	want[x] = "its disk vda is in the pool own, which no other host shares"
	u = f.create(sizedIn("both", 1))
	x = f.create(mixed(draft(compute), restartElsewhere))
	f.create(reading(link(disk, x, u)))
	f.create(reading(link(disk, f.create(draft(compute)), u)))
	want[x] = "another machine that has a network or storage with it is not to be restarted elsewhere"
	x, u = machine(sizedIn("both", 1))
	want[x] = "/storage/" + u.ID.String() + " has a task that is not over"
	begun, proceed := f.fakes[0].hold("create volume", nil)
	defer close(proceed)
	if _, err := f.act(u, "resize", "size", 2.0); err != nil {
		t.Fatal(err)
	}
	<-begun
	could := f.create(mixed(draft(compute), restartElsewhere))
	f.aside("two", false)

	f.fakes[0].mu.Lock()
	delete(f.fakes[0].volumes, lost)
	f.fakes[0].mu.Unlock()
	f.fakes[1].intercept(func(_ context.Context, op string, _ uuid.UUID) error {
		if op == "look into nfs" {
			return errors.New("the file server is away")
		}
		return nil
	})
	// What is said of one that could go is not said of the others.
	fence.set(errors.New("the power switch is away"))
	f.cut(0, true)
	f.until("fencing failed", func() bool { return strings.Contains(f.message(could), "fencing that failed") })
	for x, text := range want {
		f.until("it says "+text, func() bool { return strings.Contains(f.message(x), text) })
		if now := f.get(x.ID); now.Host != "one" || f.state(now) != "error" {
			t.Errorf("it is on %s, %s", now.Host, f.state(now))
		}
	}
}

// reading has the draft of a link let its machine read only.
func reading(d *occi.Draft) *occi.Draft {
	d.Attributes = append(d.Attributes, draft("", readOnly, true).Attributes...)
	return d
}

// TestAPoolIsSaidToBeShared says so at run time, of a pool of the configuration and of ones
// that are added.
func TestAPoolIsSaidToBeShared(t *testing.T) {
	t.Parallel()
	fence := &fencer{}
	f := pooledFleet(t, fence)
	f.fakes[1].mu.Lock()
	f.fakes[1].peers["own"], f.fakes[1].peers["extra"] = f.fakes[0], f.fakes[0]
	f.fakes[1].mu.Unlock()
	for _, h := range f.hosts() {
		if _, err := f.Update(f.ctx, engine.Caller{}, f.storeUp(h, "own").ID, draft("", "occid.storagepool.shared", true), engine.Options{}); err != nil {
			t.Fatal(err)
		}
		if both, nfs, own := f.storeUp(h, "both"), f.storeUp(h, "nfs"), f.storeUp(h, "own"); !slices.Equal([]float64{1, 1, 1}, []float64{both.Attributes.Get("occid.storagepool.shared").Num, nfs.Attributes.Get("occid.storagepool.shared").Num, own.Attributes.Get("occid.storagepool.shared").Num}) {
			t.Errorf("they are shown as %v, %v, %v", both.Attributes, nfs.Attributes, own.Attributes)
		}
		_, err := f.Update(f.ctx, engine.Caller{}, f.storeUp(h, "both").ID, draft("", "occid.storagepool.shared", false), engine.Options{})
		wantClass(t, err, occi.Forbidden, "occid.storagepool.shared")
		_, err = f.Create(f.ctx, engine.Caller{}, storagePool, []*occi.Draft{added(h, "vg", "occid.storagepool.type", "logical", "occid.storagepool.source", "vg0", "occid.storagepool.shared", true)}, engine.Options{})
		wantClass(t, err, occi.Invalid, "a volume group is of one host")
		f.create(added(h, "extra", "occid.storagepool.shared", true))
	}
	f.aside("two", true)
	x := f.create(mixed(draft(compute), restartElsewhere))
	f.create(link(disk, x, f.create(sizedIn("own", 1))))
	f.create(link(disk, x, f.create(sizedIn("extra", 1))))
	f.aside("two", false)
	f.cut(0, true)
	f.until("it is on the other host", func() bool { now := f.get(x.ID); return now.Host == "two" && len(now.Tasks) == 0 })
}
