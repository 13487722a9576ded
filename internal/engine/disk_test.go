package engine_test

import (
	"sync"
	"testing"

	"github.com/google/uuid"

	"github.com/occid/occid/hypervisor"
	"github.com/occid/occid/internal/engine"
	"github.com/occid/occid/occi"
)

const (
	readOnly = "occid.storagelink.readonly"
	diskSize = "occid.compute.disk.size"
	imageTag = "http://schemas.occid.org/occi/storage#image"
)

// attempt asks for an entity.
func (c *cloud) attempt(d *occi.Draft) error {
	_, err := c.Create(c.ctx, engine.Caller{}, d.Kind, []*occi.Draft{d}, engine.Options{})
	return err
}

func with(d *occi.Draft, pairs ...any) *occi.Draft {
	d.Attributes = append(d.Attributes, draft("", pairs...).Attributes...)
	return d
}

func TestStorageIsSharedByReadersOnly(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	one, two, three := c.create(draft(compute)), c.create(draft(compute)), c.create(draft(compute))
	vol := c.create(draft(storage, "occi.storage.size", 1))
	l := c.create(link(disk, one, vol))
	if got := l.Attributes.Get("occid.storagelink.serial").Text; got != hypervisor.DiskSerial(vol.ID) {
		t.Errorf("the serial number is %q", got)
	}
	for _, d := range []*occi.Draft{link(disk, two, vol), with(link(disk, two, vol), readOnly, true), link(disk, one, vol)} {
		wantClass(t, c.attempt(d), occi.Conflict, "/storage/"+vol.ID.String(), "/compute/"+one.ID.String(), readOnly)
	}
	_, err := c.Create(c.ctx, engine.Caller{}, disk, []*occi.Draft{link(disk, two, c.create(draft(storage, "occi.storage.size", 1))), link(disk, two, vol)}, engine.Options{})
	wantClass(t, err, occi.Conflict, "/compute/"+one.ID.String())
	if len(c.get(two.ID).Links) != 0 {
		t.Error("half of a request that was refused was made")
	}
	if err := c.delete(l.ID); err != nil {
		t.Fatal(err)
	}
	for _, vm := range []*occi.Entity{one, two} {
		if x := c.create(with(link(disk, vm, vol), readOnly, true)); c.state(x) != "inactive" {
			t.Errorf("the link is %v", x.Attributes)
		}
		if d := c.host.domain(vm.ID).Disks; len(d) != 1 || !d[0].ReadOnly {
			t.Errorf("on the host it is %v", d)
		}
	}
	wantClass(t, c.attempt(link(disk, three, vol)), occi.Conflict, "/compute/"+one.ID.String(), "/compute/"+two.ID.String())
	_, err = c.Update(c.ctx, engine.Caller{}, c.get(one.ID).Links[0].ID, draft("", readOnly, false), engine.Options{})
	wantClass(t, err, occi.Forbidden, readOnly)

	c.mustAct(one, "start")
	_, err = c.act(vol, "resize", "size", 2)
	wantClass(t, err, occi.Conflict, "/compute/"+one.ID.String())
	_, err = c.Update(c.ctx, engine.Caller{}, vol.ID, draft("", "occi.storage.size", 2), engine.Options{})
	wantClass(t, err, occi.Conflict, "/compute/"+one.ID.String())
	c.mustAct(one, "stop")
	c.mustAct(vol, "resize", "size", 2)
}

// TestOneOfTwoAttachesAStorage has many machines attach the same at once.
func TestOneOfTwoAttachesAStorage(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	vol := c.create(draft(storage, "occi.storage.size", 1))
	errs := make([]error, 8)
	var all sync.WaitGroup
	for i := range errs {
		vm := c.create(draft(compute))
		all.Go(func() { errs[i] = c.attempt(link(disk, vm, vol)) })
	}
	all.Wait()
	made := 0
	for _, err := range errs {
		if err == nil {
			made++
			continue
		}
		wantClass(t, err, occi.Conflict, "/storage/"+vol.ID.String())
	}
	if made != 1 {
		t.Errorf("%d machines attached it, want 1", made)
	}
}

// TestAStorageIsAttachedWhenItIsFree attaches what another machine is letting go of.
func TestAStorageIsAttachedWhenItIsFree(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	one, two := c.create(draft(compute)), c.create(draft(compute))
	vol := c.create(draft(storage, "occi.storage.size", 1))
	old := c.create(link(disk, one, vol))
	entered, proceed := c.host.hold("detach disk", nil)
	if _, err := c.Delete(c.ctx, engine.Caller{}, []uuid.UUID{old.ID}, engine.Options{}); err != nil {
		t.Fatal(err)
	}
	<-entered
	out, err := c.Create(c.ctx, engine.Caller{}, disk, []*occi.Draft{link(disk, two, vol)}, engine.Options{})
	if err != nil {
		t.Fatal(err)
	}
	// Another lane's task shows that the host has free hands.
	c.create(draft(network))
	if d := c.host.domain(two.ID).Disks; len(d) != 0 {
		t.Errorf("two machines have %v", d)
	}
	close(proceed)
	c.settled(out)
	if d := c.host.domain(two.ID).Disks; len(d) != 1 || len(c.host.domain(one.ID).Disks) != 0 {
		t.Errorf("it has %v", d)
	}
}

func TestImagesAreOnlyRead(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	vm := c.create(draft(compute))
	d := draft(storage, "occi.storage.size", 1)
	d.Mixins = []string{imageTag}
	vol := c.create(d)
	wantClass(t, c.attempt(with(link(disk, vm, vol), readOnly, false)), occi.Conflict, readOnly, "/storage/"+vol.ID.String())
	if l := c.create(link(disk, vm, vol)); l.Attributes.Get(readOnly) != occi.Bool(true) || !c.host.domain(vm.ID).Disks[0].ReadOnly {
		t.Errorf("the link is %v", l.Attributes)
	}
}

func TestADiskIsAsLargeAsItsMachineAsks(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	_, template, image := c.saved() // of 2 GiB
	wantClass(t, c.attempt(draft(compute, diskSize, 4)), occi.Invalid, diskSize, "image")
	of := func(pairs ...any) *occi.Draft {
		d := draft(compute, pairs...)
		d.Mixins = []string{template}
		return d
	}
	wantClass(t, c.attempt(of(diskSize, 1.5)), occi.Conflict, diskSize, "1.5", "2", "/storage/"+image.ID.String())
	size := func(x *occi.Entity) float64 {
		return float64(c.host.volume(uuid.NewSHA1(x.ID, []byte("root"))).SizeBytes) / gib
	}
	if x := c.create(of()); size(x) != 2 || c.state(x) != "active" {
		t.Errorf("the machine is %s with a disk of %v GiB", c.state(x), size(x))
	}
	x := c.create(of(diskSize, 4))
	if size(x) != 4 || c.state(x) != "active" {
		t.Errorf("the machine is %s with a disk of %v GiB", c.state(x), size(x))
	}
	x = c.update(x, diskSize, 8)
	if size(x) != 8 || c.state(x) != "active" {
		t.Errorf("the machine is %s with a disk of %v GiB", c.state(x), size(x))
	}
	_, err := c.Update(c.ctx, engine.Caller{}, x.ID, draft("", diskSize, 4), engine.Options{})
	wantClass(t, err, occi.Invalid, diskSize, "8", "4")
}

func TestFirmwareAndDisplay(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	const firmware, graphics = "occid.compute.firmware", "occid.compute.graphics"
	plain, uefi := c.create(draft(compute)), c.create(draft(compute, firmware, "uefi", graphics, "none"))
	if d := c.host.spec(plain.ID); d.Firmware != "" || !d.Graphics {
		t.Errorf("a plain machine is %+v", d)
	}
	if d := c.host.spec(uefi.ID); d.Firmware != hypervisor.FirmwareUEFI || d.Graphics {
		t.Errorf("a machine with UEFI and no display is %+v", d)
	}
	_, err := c.Update(c.ctx, engine.Caller{}, uefi.ID, draft("", firmware, "bios"), engine.Options{})
	wantClass(t, err, occi.Forbidden, firmware)
	wantClass(t, c.attempt(draft(compute, firmware, "coreboot")), occi.Invalid, firmware, "uefi")
	c.update(uefi, graphics, "vnc")
	if d := c.host.spec(uefi.ID); !d.Graphics {
		t.Errorf("the machine has no display: %+v", d)
	}
}
