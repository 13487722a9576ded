package lab_test

import (
	"context"
	"log/slog"
	"strings"
	"testing"

	"github.com/google/uuid"
	lv "libvirt.org/go/libvirt"

	"github.com/occid/occid/hypervisor"
	"github.com/occid/occid/hypervisor/hypertest"
	"github.com/occid/occid/hypervisor/libvirt"
	"github.com/occid/occid/internal/lab"
)

// TestDriver holds the libvirt driver to its suite on a host with real guests,
// and the suite to leaving nothing there.
func TestDriver(t *testing.T) {
	t.Parallel()
	ctx := need(t)
	h := newHost(ctx, t)
	guest := install(t, h)
	t.Run("Suite", func(t *testing.T) {
		hypertest.Run(t, func(t *testing.T) hypervisor.Driver {
			d, err := libvirt.Open(libvirt.Config{URI: h.URI, BootDirs: []string{lab.BootDir}, Logger: slog.New(slog.DiscardHandler)})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { d.Close() })
			return d
		}, hypertest.Traits{
			Guest: hypervisor.Domain{Kernel: guest.Kernel, Initrd: guest.Initrd, Cmdline: lab.Cmdline, MemoryBytes: 128 << 20},
			Up:    func(t *testing.T, domain uuid.UUID) { up(ctx, t, h, domain) },
			Write: func(t *testing.T, volume uuid.UUID) { qemuIO(ctx, t, h, volume, "write -P 0xab 1M 64k") },
			Holds: func(t *testing.T, volume uuid.UUID) bool {
				return !strings.Contains(qemuIO(ctx, t, h, volume, "read -P 0xab 1M 64k"), "failed")
			},
			Foreign: func(t *testing.T) uuid.UUID { return foreign(t, h, guest) },
		})
	})
	if err := h.Empty(ctx); err != nil {
		t.Error(err)
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
	c, err := h.Console(domain.String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Wait(ctx, lab.GuestUp); err != nil {
		t.Fatal(err)
	}
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
	d, err := conn.DomainCreateXML(marshal(t, definition(id.String(), g)), 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Destroy(); err != nil {
			t.Error(err)
		}
		d.Free()
	})
	return id
}
