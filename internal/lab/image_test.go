package lab_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/uuid"
	"libvirt.org/go/libvirt"
	"libvirt.org/go/libvirtxml"

	"github.com/occid/occid/internal/iso"
	"github.com/occid/occid/internal/lab"
)

// built is where images that tests share are kept.
const built = "../../build"

// TestImage boots the disk image by itself, with each firmware, and has its guest do
// what the user data says.
func TestImage(t *testing.T) {
	t.Parallel()
	ctx := need(t)
	h := newHost(ctx, t)
	image, err := lab.BuildImage(built)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := lab.BuildImage(built); err != nil || again != image {
		t.Errorf("a second BuildImage gives %v, %v, want %v", again, err, image)
	}
	conn, err := libvirt.NewConnect(h.URI)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	seed, err := iso.Image("cidata", map[string][]byte{"meta-data": nil, "user-data": []byte("#!/bin/sh\necho guest: I am $(cat /sys/class/dmi/id/product_uuid)\n")})
	if err != nil {
		t.Fatal(err)
	}
	put(t, h, seed, "/var/lib/libvirt/images/seed.iso")
	for _, c := range []struct{ name, firmware, file, format string }{
		{"bios", "", image.QCOW2, "qcow2"}, {"uefi", "efi", image.Raw, "raw"}} {
		t.Run(c.name, func(t *testing.T) {
			content, err := os.ReadFile(c.file)
			if err != nil {
				t.Fatal(err)
			}
			disk := "/var/lib/libvirt/images/" + filepath.Base(c.file)
			put(t, h, content, disk)
			x := bootable(c.firmware, disk, c.format)
			if _, err := run(t, h, conn, x).Wait(ctx, "guest: I am "+x.UUID); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// bootable describes a machine that boots from a disk and has a CD-ROM.
func bootable(firmware, disk, format string) *libvirtxml.Domain {
	x := definition(uuid.NewString(), lab.Guest{})
	x.OS.Cmdline = ""
	if firmware != "" {
		// The boot loader is signed for nobody.
		x.OS.Firmware, x.OS.Type.Machine, x.Memory.Value = firmware, "q35", 256
		x.OS.FirmwareInfo = &libvirtxml.DomainOSFirmwareInfo{Features: []libvirtxml.DomainOSFirmwareFeature{
			{Enabled: "no", Name: "enrolled-keys"}, {Enabled: "no", Name: "secure-boot"}}}
	}
	file := func(path string) *libvirtxml.DomainDiskSource {
		return &libvirtxml.DomainDiskSource{File: &libvirtxml.DomainDiskSourceFile{File: path}}
	}
	x.Devices.Controllers = []libvirtxml.DomainController{{Type: "scsi", Model: "virtio-scsi"}}
	x.Devices.Disks = []libvirtxml.DomainDisk{
		{Driver: &libvirtxml.DomainDiskDriver{Name: "qemu", Type: format}, Source: file(disk), Target: &libvirtxml.DomainDiskTarget{Dev: "vda", Bus: "virtio"}},
		{Device: "cdrom", Source: file("/var/lib/libvirt/images/seed.iso"), Target: &libvirtxml.DomainDiskTarget{Dev: "sda", Bus: "scsi"}, ReadOnly: &libvirtxml.DomainDiskReadOnly{}},
	}
	return x
}

// started has a domain run until the end of the test.
func started(t *testing.T, conn *libvirt.Connect, x *libvirtxml.Domain) {
	t.Helper()
	d, err := conn.DomainCreateXML(marshal(t, x), 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Destroy(); err != nil {
			t.Error(err)
		}
		d.Free()
	})
}

// run has a machine run until the end of the test, and gives its console.
func run(t *testing.T, h *lab.Host, conn *libvirt.Connect, x *libvirtxml.Domain) *lab.Console {
	t.Helper()
	started(t, conn, x)
	console, err := h.Console(x.UUID)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { console.Close() })
	return console
}

// put writes a file on the host.
func put(t *testing.T, h *lab.Host, content []byte, path string) {
	t.Helper()
	err := os.MkdirAll(filepath.Dir(h.Path(path)), 0o755)
	if err == nil {
		err = os.WriteFile(h.Path(path), content, 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
}
