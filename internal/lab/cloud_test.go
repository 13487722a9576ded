package lab_test

import (
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"
	"libvirt.org/go/libvirt"
	"libvirt.org/go/libvirtxml"

	"github.com/occid/occid/internal/iso"
	"github.com/occid/occid/internal/lab"
)

// TestCloudImage has Debian's cloud-init read a config drive.
func TestCloudImage(t *testing.T) {
	t.Parallel()
	ctx := need(t)
	h := newHost(ctx, t)
	image, err := lab.BuildCloudImage(built, built+"/debs")
	if err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(image.QCOW2)
	if err != nil {
		t.Fatal(err)
	}
	put(t, h, content, "/var/lib/libvirt/images/cloud.qcow2")
	const script = "#!/bin/sh\necho \"guest: $(hostname), $(cat /home/debian/.ssh/authorized_keys)\" >/dev/console\nlab-source >/dev/console\n"
	seed, err := iso.Image("cidata", map[string][]byte{
		"meta-data":      []byte("instance-id: i-1\nlocal-hostname: web-1\npublic-keys: [ssh-ed25519 AAAA ann]\n"),
		"user-data":      []byte(script),
		"vendor-data":    nil,
		"network-config": []byte("version: 2\nethernets: {eth0: {addresses: [198.51.100.9/24]}}\n"),
	})
	if err != nil {
		t.Fatal(err)
	}
	put(t, h, seed, "/var/lib/libvirt/images/seed.iso")
	conn, err := libvirt.NewConnect(h.URI)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	(&machine{conn: conn}).network(t, "net")
	x := bootable("", "/var/lib/libvirt/images/cloud.qcow2", "qcow2")
	x.Memory.Value = 512
	x.Devices.Interfaces = []libvirtxml.DomainInterface{{Model: &libvirtxml.DomainInterfaceModel{Type: "virtio"},
		Source: &libvirtxml.DomainInterfaceSource{Network: &libvirtxml.DomainInterfaceSourceNetwork{Network: "net"}}}}
	console := run(t, h, conn, x)
	for _, text := range []string{lab.GuestUp, lab.GuestAddress + "eth0 198.51.100.9/24", "guest: web-1, ssh-ed25519 AAAA ann"} {
		if _, err := console.Wait(ctx, text); err != nil {
			t.Fatal(err)
		}
	}
	line, err := console.Wait(ctx, lab.GuestCloud)
	if err != nil {
		t.Fatal(err)
	}
	told, err := lab.ParseTold(line)
	if err != nil {
		t.Fatal(err)
	}
	told.Network, told.Seconds = nil, 0
	want := lab.Told{Source: "NoCloud", ID: "i-1", Hostname: "web-1", Keys: []string{"ssh-ed25519 AAAA ann"}, UserData: script}
	if diff := cmp.Diff(want, told); diff != "" {
		t.Errorf("cloud-init learned (-want +got):\n%s", diff)
	}
}
