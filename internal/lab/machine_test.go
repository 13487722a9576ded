package lab_test

import (
	"context"
	"testing"
	"time"

	"github.com/google/uuid"
	"libvirt.org/go/libvirt"
	"libvirt.org/go/libvirtxml"

	"github.com/occid/occid/internal/lab"
)

// machine is a guest on a host, driven by libvirt alone.
type machine struct {
	*libvirt.Domain
	host    *lab.Host
	conn    *libvirt.Connect
	console *lab.Console
}

// boot defines a domain on the host, starts it and waits until its guest is up.
func boot(ctx context.Context, t *testing.T, h *lab.Host) *machine {
	t.Helper()
	guest := install(t, h)
	conn, err := libvirt.NewConnect(h.URI)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	id := uuid.NewString()
	d, err := conn.DomainDefineXML(marshal(t, definition(id, guest)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Free() })
	if err := d.Create(); err != nil {
		t.Fatal(err)
	}
	console, err := h.Console(id)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { console.Close() })
	if _, err := console.Wait(ctx, lab.GuestUp); err != nil {
		t.Fatal(err)
	}
	return &machine{Domain: d, host: h, conn: conn, console: console}
}

// install builds a guest and gives its paths on the host.
func install(t *testing.T, h *lab.Host) lab.Guest {
	t.Helper()
	guest, err := lab.BuildGuest(t.TempDir())
	if err == nil {
		guest, err = h.Install(guest)
	}
	if err != nil {
		t.Fatal(err)
	}
	return guest
}

func definition(id string, g lab.Guest) *libvirtxml.Domain {
	return &libvirtxml.Domain{
		Type: "qemu", Name: id, UUID: id,
		Memory:   &libvirtxml.DomainMemory{Value: 128, Unit: "MiB"},
		Features: &libvirtxml.DomainFeatureList{ACPI: &libvirtxml.DomainFeature{}},
		OS: &libvirtxml.DomainOS{Type: &libvirtxml.DomainOSType{Arch: "x86_64", Type: "hvm"},
			Kernel: g.Kernel, Initrd: g.Initrd, Cmdline: lab.Cmdline},
		Devices: &libvirtxml.DomainDeviceList{Serials: []libvirtxml.DomainSerial{{
			Source: &libvirtxml.DomainChardevSource{Pty: &libvirtxml.DomainChardevSourcePty{}},
			Log:    &libvirtxml.DomainChardevLog{File: "/var/log/libvirt/" + id + ".log"},
		}}},
	}
}

func marshal(t *testing.T, x libvirtxml.Document) string {
	t.Helper()
	text, err := x.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// network makes an isolated network with a DHCP server.
func (m *machine) network(t *testing.T, name string) *libvirt.Network {
	t.Helper()
	n, err := m.conn.NetworkDefineXML(marshal(t, &libvirtxml.Network{
		Name: name,
		IPs: []libvirtxml.NetworkIP{{Address: "198.51.100.1", Prefix: 24, DHCP: &libvirtxml.NetworkDHCP{
			Ranges: []libvirtxml.NetworkDHCPRange{{Start: "198.51.100.2", End: "198.51.100.99"}}}}},
	}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { n.Free() })
	if err := n.Create(); err != nil {
		t.Fatal(err)
	}
	return n
}

// volume makes a qcow2 volume of 64 MiB in a pool in memory.
func (m *machine) volume(t *testing.T, name string) *libvirt.StorageVol {
	t.Helper()
	p, err := m.conn.StoragePoolCreateXML(marshal(t, &libvirtxml.StoragePool{
		Type: "dir", Name: "pool", Target: &libvirtxml.StoragePoolTarget{Path: "/var/lib/libvirt/pool"},
	}), libvirt.STORAGE_POOL_CREATE_WITH_BUILD)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Free() })
	v, err := p.StorageVolCreateXML(marshal(t, &libvirtxml.StorageVolume{
		Name: name, Capacity: &libvirtxml.StorageVolumeSize{Value: 64, Unit: "MiB"},
		Target: &libvirtxml.StorageVolumeTarget{Format: &libvirtxml.StorageVolumeTargetFormat{Type: "qcow2"}},
	}), 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { v.Free() })
	return v
}

// attach gives the running domain a device.
func (m *machine) attach(t *testing.T, device libvirtxml.Document) {
	t.Helper()
	if err := m.AttachDeviceFlags(marshal(t, device), libvirt.DOMAIN_DEVICE_MODIFY_LIVE); err != nil {
		t.Fatal(err)
	}
}

// says waits until the guest says something.
func (m *machine) says(ctx context.Context, t *testing.T, text string) {
	t.Helper()
	if _, err := m.console.Wait(ctx, text); err != nil {
		t.Fatal(err)
	}
}

// awaitEnd returns when the domain has stopped.
func (m *machine) awaitEnd(ctx context.Context, t *testing.T) {
	t.Helper()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		active, err := m.IsActive()
		if err != nil {
			t.Fatal(err)
		}
		if !active {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatalf("the domain runs on: %v", ctx.Err())
		case <-tick.C:
		}
	}
}
