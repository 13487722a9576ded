package lab_test

import (
	"log/slog"
	"path/filepath"
	"testing"

	"github.com/google/uuid"

	"github.com/occid/occid/hypervisor"
	"github.com/occid/occid/hypervisor/libvirt"
	"github.com/occid/occid/internal/lab"
)

// driverOf opens the driver of a host, which is closed with the test.
func driverOf(t *testing.T, h *lab.Host, c libvirt.Config) *libvirt.Driver {
	t.Helper()
	c.URI, c.Logger = h.URI, slog.New(slog.DiscardHandler)
	d, err := libvirt.Open(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}

// TestMigrateShared moves machines whose volume is in a directory that both hosts have:
// nothing is copied, and nothing is deleted.
func TestMigrateShared(t *testing.T) {
	long(t, "takes long")
	t.Parallel()
	ctx := need(t)
	a, b := twoHosts(ctx, t)
	guest := install(t, a)
	install(t, b)
	ok := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	shared := share(ctx, t, a, b)
	c := libvirt.Config{Pools: []libvirt.Pool{{Name: "shared", Type: libvirt.PoolDir, Target: sharedDir}}, DefaultPool: "shared"}
	one, two := driverOf(t, a, c), driverOf(t, b, c)
	v := hypervisor.Volume{ID: uuid.New(), SizeBytes: 16 << 20}
	ok(one.CreateVolume(ctx, v))
	d := hypervisor.Domain{ID: uuid.New(), VCPUs: 1, MemoryBytes: 128 << 20, Kernel: guest.Kernel, Initrd: guest.Initrd,
		Cmdline: lab.Cmdline + " " + lab.Running("exec >/dev/console; echo kept >/dev/vda; sync; while sleep 0.3; do echo 3 >/proc/sys/vm/drop_caches; echo guest: disk has $(head -c 4 /dev/vda); done"),
		Disks:   []hypervisor.Disk{{ID: uuid.New(), Volume: v.ID, Target: "vda"}}}
	ok(one.DefineDomain(ctx, d))
	ok(one.StartDomain(ctx, d.ID))
	said(ctx, t, a, d.ID, "guest: disk has kept")
	if err := one.MigrateDomain(ctx, d, two, hypervisor.Migration{Storage: hypervisor.StorageCopy}); err == nil {
		t.Error("a volume was copied over itself")
	}
	there := func(what string) {
		t.Helper()
		files, err := filepath.Glob(shared + "/*")
		ok(err)
		if len(files) != 1 || filepath.Base(files[0]) != v.ID.String()+".qcow2" {
			t.Errorf("after %s the pool holds %q", what, files)
		}
	}
	there("a move that was refused")
	ok(one.MigrateDomain(ctx, d, two, hypervisor.Migration{Storage: hypervisor.StorageShared}))
	said(ctx, t, b, d.ID, "guest: disk has kept")
	there("a move")
	ok(two.StopDomain(ctx, d.ID, hypervisor.StopMode{Force: true}))
	ok(two.MigrateDomain(ctx, d, one, hypervisor.Migration{}))
	there("a move of what is stopped")
	ok(one.DeleteDomain(ctx, d.ID))
	ok(one.DeleteVolume(ctx, v.ID))
}

// TestMigrateSharedOwn moves a machine between hosts that have the directory of the
// driver's own pool in common: its seed, which is there, stays.
func TestMigrateSharedOwn(t *testing.T) {
	long(t, "takes long")
	t.Parallel()
	ctx := need(t)
	a, b := twoHosts(ctx, t)
	guest := install(t, a)
	install(t, b)
	shared := share(ctx, t, a, b)
	ok := func(what string, err error) {
		t.Helper()
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
	}
	seeds := func(what string, want int) {
		t.Helper()
		if files, err := filepath.Glob(shared + "/*"); err != nil || len(files) != want {
			t.Errorf("after %s the pool holds %q, %v; want %d files", what, files, err, want)
		}
	}
	c := libvirt.Config{PoolDir: sharedDir}
	one, two := driverOf(t, a, c), driverOf(t, b, c)
	d := hypervisor.Domain{ID: uuid.New(), VCPUs: 1, MemoryBytes: 128 << 20, Kernel: guest.Kernel, Initrd: guest.Initrd, Cmdline: lab.Cmdline, Seed: []byte("what is in it")}
	ok("define", one.DefineDomain(ctx, d))
	seeds("defining", 1)
	ok("move what is stopped", one.MigrateDomain(ctx, d, two, hypervisor.Migration{}))
	seeds("a move", 1)
	ok("start", two.StartDomain(ctx, d.ID))
	said(ctx, t, b, d.ID, lab.GuestUp)
	ok("move what runs", two.MigrateDomain(ctx, d, one, hypervisor.Migration{}))
	seeds("a move of what runs", 1)
	ok("pause", one.SuspendDomain(ctx, d.ID, hypervisor.SuspendRAM))
	ok("move what is paused", one.MigrateDomain(ctx, d, two, hypervisor.Migration{Paused: true}))
	seeds("a move of what is paused", 1)
	ok("resume", two.StartDomain(ctx, d.ID))
	ok("delete", two.DeleteDomain(ctx, d.ID))
	seeds("deleting", 0)
}
