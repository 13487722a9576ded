package lab_test

import (
	"context"
	"io"
	"net"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"
	lv "libvirt.org/go/libvirt"

	"github.com/occid/occid/hypervisor"
	"github.com/occid/occid/hypervisor/hypertest"
	"github.com/occid/occid/hypervisor/libvirt"
	"github.com/occid/occid/internal/iso"
	"github.com/occid/occid/internal/lab"
)

// TestDriver holds the libvirt driver to its suite on a host with real guests,
// and the suite to leaving nothing there.
func TestDriver(t *testing.T) {
	ctx := need(t)
	h, other := twoHosts(ctx, t)
	guest := install(t, h)
	install(t, other)
	on := func(t *testing.T, h *lab.Host) hypervisor.Driver {
		return driverOf(t, h, libvirt.Config{BootDirs: []string{lab.BootDir}, Bridges: hypervisor.Bridges{{Bridge: "br0"}: "br0", {Bridge: "br0", VLAN: 7}: "br7"},
			Pools: []libvirt.Pool{{Name: "other", Type: libvirt.PoolDir, Target: "/var/lib/libvirt/other"}}})
	}
	open := func(t *testing.T) hypervisor.Driver { return on(t, h) }
	t.Run("Suite", func(t *testing.T) {
		for _, firmware := range []string{hypervisor.FirmwareBIOS, hypervisor.FirmwareUEFI} {
			t.Run("Guest of "+firmware, func(t *testing.T) {
				t.Parallel()
				devices(ctx, t, h, open(t), hypervisor.Domain{Kernel: guest.Kernel, Initrd: guest.Initrd, Cmdline: lab.Cmdline, Firmware: firmware})
			})
		}
		hypertest.Run(t, open, hypertest.Traits{
			Pool:    "other",
			PoolDir: "/var/lib/libvirt/added",
			Guest:   hypervisor.Domain{Kernel: guest.Kernel, Initrd: guest.Initrd, Cmdline: lab.Cmdline, MemoryBytes: 128 << 20},
			Up:      func(t *testing.T, domain uuid.UUID) { up(ctx, t, h, domain) },
			Write:   func(t *testing.T, volume uuid.UUID) { qemuIO(ctx, t, h, volume, "write -P 0xab 1M 64k") },
			Holds: func(t *testing.T, volume uuid.UUID) bool {
				return !strings.Contains(qemuIO(ctx, t, h, volume, "read -P 0xab 1M 64k"), "failed")
			},
			Other:    func(t *testing.T) hypervisor.Driver { return on(t, other) },
			Bridge:   "br0",
			Reserved: func(t *testing.T, network uuid.UUID) []string { return reserved(t, h, network) },
			Addressed: func(t *testing.T, domain uuid.UUID, device, address string) {
				said(ctx, t, h, domain, lab.GuestAddress+device+" "+address)
			},
			Foreign: func(t *testing.T) uuid.UUID { return foreign(t, h, guest) },
			Stray:   func(t *testing.T) uuid.UUID { return stray(t, h, guest) },
		})
	})
	for _, h := range []*lab.Host{h, other} {
		if err := h.Empty(ctx); err != nil {
			t.Error(err)
		}
	}
}

// qemuIO writes to a volume, or reads it, and gives what the program says.
func qemuIO(ctx context.Context, t *testing.T, h *lab.Host, volume uuid.UUID, command string) string {
	t.Helper()
	text, err := h.Run(ctx, "qemu-io", "-f", "qcow2", "-c", command, "/var/lib/libvirt/images/occid/"+volume.String()+".qcow2")
	if err != nil {
		t.Fatalf("%s: %v: %s", command, err, text)
	}
	return string(text)
}

// up waits until the guest of a domain is up.
func up(ctx context.Context, t *testing.T, h *lab.Host, domain uuid.UUID) {
	t.Helper()
	said(ctx, t, h, domain, lab.GuestUp)
}

// said waits until the guest of a domain has said something.
func said(ctx context.Context, t *testing.T, h *lab.Host, domain uuid.UUID, text string) {
	t.Helper()
	c, err := h.Console(domain.String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Wait(ctx, text); err != nil {
		t.Fatal(err)
	}
}

// reserved gives the reservations of a network.
func reserved(t *testing.T, h *lab.Host, network uuid.UUID) []string {
	t.Helper()
	conn, err := lv.NewConnect(h.URI)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	out, err := lab.Reserved(conn, network.String())
	if err != nil {
		t.Error(err)
	}
	return out
}

// stray makes a running domain without the driver that has a disk and an interface.
func stray(t *testing.T, h *lab.Host, g lab.Guest) uuid.UUID {
	t.Helper()
	conn, err := lv.NewConnect(h.URI)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = conn.Close() })
	id, err := lab.StrayDomain{Type: "qemu", Dir: "/var/lib/libvirt", Kernel: g.Kernel, Initrd: g.Initrd, Cmdline: lab.Cmdline, Logs: "/var/log/libvirt"}.Make(conn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := lab.RemoveStray(conn, id); err != nil {
			t.Error(err)
		}
	})
	return id
}

// foreign makes a running domain without the driver.
func foreign(t *testing.T, h *lab.Host, g lab.Guest) uuid.UUID {
	t.Helper()
	conn, err := lv.NewConnect(h.URI)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	id := uuid.New()
	started(t, conn, definition(id.String(), g))
	return id
}

// devices boots a machine with all that one can have, and has its guest tell what it
// finds.
func devices(ctx context.Context, t *testing.T, h *lab.Host, d hypervisor.Driver, machine hypervisor.Domain) {
	ok := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	seed, err := iso.Image("cidata", map[string][]byte{"meta-data": []byte("instance-id: me\n"), "user-data": []byte("#cloud-config\n"), "network-config": nil})
	ok(err)
	machine.ID, machine.VCPUs, machine.MemoryBytes, machine.Graphics, machine.Seed = uuid.New(), 1, 192<<20, true, seed
	var volumes []uuid.UUID
	for i, target := range []string{"vda", "vdb"} {
		v := hypervisor.Volume{ID: uuid.New(), SizeBytes: int64(i+1) << 24}
		ok(d.CreateVolume(ctx, v))
		volumes = append(volumes, v.ID)
		machine.Disks = append(machine.Disks, hypervisor.Disk{ID: uuid.New(), Volume: v.ID, Target: target, ReadOnly: i == 1})
	}
	t.Cleanup(func() {
		for _, err := range []error{d.DeleteDomain(context.Background(), machine.ID), d.DeleteVolume(context.Background(), volumes[0]), d.DeleteVolume(context.Background(), volumes[1])} {
			if err != nil {
				t.Error(err)
			}
		}
	})
	ok(d.DefineDomain(ctx, machine))
	ok(d.StartDomain(ctx, machine.ID))
	console, err := h.Console(machine.ID.String())
	ok(err)
	defer console.Close()
	hears(ctx, t, console,
		lab.GuestSystem+machine.Firmware+", occid, compute, "+machine.ID.String(),
		lab.GuestDisk+"vda, 32768 sectors, serial "+hypervisor.DiskSerial(volumes[0]),
		lab.GuestDisk+"vdb, 65536 sectors, serial "+hypervisor.DiskSerial(volumes[1])+", read-only",
		lab.GuestSeed+"meta-data: instance-id: me",
		lab.GuestSeed+"user-data: #cloud-config",
		lab.GuestSeed+"network-config: ",
		lab.GuestPort+"org.qemu.guest_agent.0",
		lab.GuestRandom+"virtio_rng.0",
		lab.GuestDisplay,
		lab.GuestUp)
	displayed(ctx, t, h, machine.ID)
	ok(d.CreateVolume(ctx, hypervisor.Volume{ID: volumes[0], SizeBytes: 64 << 20}))
	_, err = console.Wait(ctx, lab.GuestDisk+"vda, now 131072 sectors")
	ok(err)
}

// displayed checks that the display of a machine is served by VNC (RFC 6143 section 7.1.1).
func displayed(ctx context.Context, t *testing.T, h *lab.Host, domain uuid.UUID) {
	t.Helper()
	out, err := h.Run(ctx, "virsh", "-q", "-c", "qemu:///system", "domdisplay", domain.String())
	if err != nil {
		t.Fatal(err)
	}
	_, socket, _ := strings.Cut(strings.TrimSpace(string(out)), "://")
	conn, err := net.Dial("unix", h.Path(socket))
	if err != nil {
		t.Fatalf("%s: %v", out, err)
	}
	defer conn.Close()
	version := make([]byte, len("RFB 003.008\n"))
	if _, err := io.ReadFull(conn, version); err != nil || !strings.HasPrefix(string(version), "RFB 003.") {
		t.Errorf("the display says %q, %v", version, err)
	}
}

// hears waits until a guest has said all that is wanted, in any order.
func hears(ctx context.Context, t *testing.T, console *lab.Console, wanted ...string) {
	t.Helper()
	for len(wanted) > 0 {
		line, err := console.Wait(ctx, "guest: ")
		if err != nil {
			t.Fatalf("the guest does not say %q: %v", wanted, err)
		}
		wanted = slices.DeleteFunc(wanted, func(w string) bool { return strings.Contains(line, w) })
	}
}
