package libvirt_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	lv "libvirt.org/go/libvirt"

	"github.com/occid/occid/hypervisor"
	"github.com/occid/occid/hypervisor/libvirt"
)

// theirs is the domain that the test host has from the start.
var theirs = uuid.MustParse("6695eb01-f6a4-8304-79aa-97f2502e193f")

// TestDomainOfTheTestHost adopts the domain that the test host has from the start, once its
// disk is in a pool, and lets it be as it was.
func TestDomainOfTheTestHost(t *testing.T) {
	t.Parallel()
	d, conn, ctx := open(t, libvirt.Config{}), connect(t, testHost), t.Context()
	before, err := d.Domain(ctx, theirs)
	must(t, err)
	x, err := d.Stray(ctx, theirs)
	must(t, err)
	if len(x.Obstacles) != 1 || !strings.Contains(x.Obstacles[0], "its disk vda, /guest/diskimage1, is in no active storage pool") {
		t.Errorf("the obstacles are %q", x.Obstacles)
	}
	pool, err := conn.StoragePoolCreateXML(`<pool type='dir'><name>guest</name><target><path>/guest</path></target></pool>`, 0)
	must(t, err)
	t.Cleanup(func() { must(t, pool.Destroy()) })
	v, err := pool.StorageVolCreateXML(`<volume><name>diskimage1</name><capacity unit='MiB'>64</capacity></volume>`, 0)
	must(t, err)
	t.Cleanup(func() { must(t, v.Delete(0)) })
	x, err = d.Stray(ctx, theirs)
	must(t, err)
	if len(x.Obstacles) > 0 || x.State != hypervisor.Running || len(x.Disks) != 1 || x.Disks[0].Pool != "guest" || x.Disks[0].Name != "diskimage1" ||
		len(x.NICs) != 1 || x.NICs[0].Name != "default" || x.NICs[0].MAC != "aa:bb:cc:dd:ee:ff" || x.Domain.VCPUs != 2 {
		t.Fatalf("it is %+v", x)
	}
	all, err := d.Strays(ctx)
	must(t, err)
	if i := slices.IndexFunc(all, func(o hypervisor.Stray) bool { return o.Domain.ID == theirs }); i < 0 {
		t.Error("it is not listed")
	}
	spec := x.Domain
	spec.Disks, spec.NICs = []hypervisor.Disk{x.Disks[0].Disk}, []hypervisor.NIC{x.NICs[0].NIC}
	spec.Disks[0].ID, spec.NICs[0].ID = uuid.New(), uuid.New()
	must(t, d.AdoptDomain(ctx, spec))
	if now, err := d.Domain(ctx, theirs); err != nil || !now.Managed || now.State != before.State || now.Disks[0].ID != spec.Disks[0].ID {
		t.Errorf("it has become %+v, %v", now, err)
	}
	must(t, d.ReleaseDomain(ctx, theirs))
	now, err := d.Domain(ctx, theirs)
	if diff := cmp.Diff(before, now); diff != "" || err != nil {
		t.Errorf("once it is let go it is not as before: %v\n%s", err, diff)
	}
}

// TestObstacles tells of everything that a domain cannot be adopted with.
func TestObstacles(t *testing.T) {
	t.Parallel()
	d, conn, ctx := open(t, libvirt.Config{}), connect(t, testHost), t.Context()
	define := func(name, inside, devices string) uuid.UUID {
		t.Helper()
		id := uuid.New()
		dom, err := conn.DomainDefineXML(`<domain type='test'><name>` + name + id.String() + `</name><uuid>` + id.String() + `</uuid><memory unit='MiB'>64</memory>` +
			inside + `<devices>` + devices + `</devices></domain>`)
		must(t, err)
		t.Cleanup(func() { must(t, dom.Undefine()) })
		return id
	}
	const hvm = `<os><type>hvm</type></os>`
	shared := define("other", hvm, `<disk type='file'><driver type='qcow2'/><source file='/no/where'/><target dev='vda' bus='virtio'/></disk>`)
	for name, tt := range map[string]struct {
		inside, devices string
		want            []string
	}{
		"a kernel elsewhere": {`<os><type>hvm</type><kernel>/etc/kernel</kernel></os>`, ``, []string{"it boots a kernel directly"}},
		"cells":              {hvm + `<vcpu>2</vcpu><cpu><numa><cell id='0' cpus='0-1' memory='65536' unit='KiB'/></numa></cpu>`, ``, []string{"cells or slots"}},
		"a device of the host": {hvm, `<hostdev mode='subsystem' type='usb'><source><vendor id='0x1'/><product id='0x2'/></source></hostdev>`,
			[]string{"device of the host"}},
		"a directory of the host": {hvm, `<filesystem type='mount'><source dir='/etc'/><target dir='x'/></filesystem>`, []string{"directory of the host"}},
		"disks": {hvm, `<disk type='file'><source file='/no/where'/><target dev='vda' bus='virtio'/></disk>
			<disk type='file'><source file='/no/here'/><target dev='sda' bus='scsi'/><shareable/></disk>
			<disk type='network'><source protocol='nbd' name='x'><host name='h'/></source><target dev='vdc' bus='virtio'/></disk>`,
			[]string{"vda, /no/where, is in no active storage pool", "vda is also one of the domain other" + shared.String(), "sda has the letter of another", "sda is shareable", "vdc is neither a file", "sda, /no/here, is in no active storage pool"}},
		"interfaces": {hvm, `<interface type='user'><mac address='52:54:00:00:00:01'/></interface>
			<interface type='network'><mac address='52:54:00:00:00:02'/><source network='nowhere'/></interface>
			<interface type='network'><mac address='52:54:00:00:00:02'/><source network='default'/></interface>`,
			[]string{"00:01 is neither in a network", "network nowhere, which is not on the host", "00:02 is there twice"}},
		"nothing but a drive": {hvm, `<disk type='file' device='cdrom'><target dev='sda' bus='sata'/></disk>`, nil},
	} {
		t.Run(name, func(t *testing.T) {
			id := define("stray", tt.inside, tt.devices)
			x, err := d.Stray(ctx, id)
			must(t, err)
			text := strings.Join(x.Obstacles, "; ")
			for _, want := range tt.want {
				if !strings.Contains(text, want) {
					t.Errorf("the obstacles are %q, want %q", text, want)
				}
			}
			if len(tt.want) != len(x.Obstacles) {
				t.Errorf("there are %d obstacles, want %d: %q", len(x.Obstacles), len(tt.want), text)
			}
			if err := d.AdoptDomain(ctx, x.Domain); (err == nil) != (len(tt.want) == 0) {
				t.Errorf("to adopt it gives %v", err)
			}
		})
	}
	x, err := d.Stray(ctx, transient(t, conn))
	must(t, err)
	if !slices.Contains(x.Obstacles, "it is transient: it has no definition that would stay") {
		t.Errorf("one without a definition has the obstacles %q", x.Obstacles)
	}
}

// transient makes a running domain that has no definition.
func transient(t *testing.T, conn *lv.Connect) uuid.UUID {
	t.Helper()
	id := uuid.New()
	dom, err := conn.DomainCreateXML(`<domain type='test'><name>t`+id.String()+`</name><uuid>`+id.String()+`</uuid><memory unit='MiB'>64</memory><os><type>hvm</type></os></domain>`, 0)
	must(t, err)
	t.Cleanup(func() { must(t, dom.Destroy()) })
	return id
}

// TestVolumeWithTheNameOfAUUID has a domain of others with a volume that is called like one
// of the driver's, in a pool that is not offered: it is another one.
func TestVolumeWithTheNameOfAUUID(t *testing.T) {
	t.Parallel()
	d, conn, ctx := open(t, libvirt.Config{}), connect(t, testHost), t.Context()
	name := uuid.New()
	pool, err := conn.StoragePoolCreateXML(`<pool type='dir'><name>others</name><target><path>/srv/others</path></target></pool>`, 0)
	must(t, err)
	t.Cleanup(func() { must(t, pool.Destroy()) })
	v, err := pool.StorageVolCreateXML(`<volume><name>`+name.String()+`.qcow2</name><capacity unit='MiB'>64</capacity></volume>`, 0)
	must(t, err)
	id := uuid.New()
	dom, err := conn.DomainDefineXML(`<domain type='test'><name>named</name><uuid>` + id.String() + `</uuid><memory unit='MiB'>64</memory><os><type>hvm</type></os>
		<devices><disk type='file'><driver type='qcow2'/><source file='/srv/others/` + name.String() + `.qcow2'/><target dev='vda' bus='virtio'/></disk></devices></domain>`)
	must(t, err)
	t.Cleanup(func() { must(t, dom.Undefine()) })
	x, err := d.Stray(ctx, id)
	must(t, err)
	if len(x.Obstacles) > 0 || !hypervisor.IsAdopted(x.Disks[0].Volume) {
		t.Fatalf("it is %+v", x)
	}
	all, err := d.Volumes(ctx)
	must(t, err)
	if slices.ContainsFunc(all, func(v hypervisor.VolumeStatus) bool { return v.ID == name }) {
		t.Error("it is listed under the UUID of its name")
	}
	must(t, d.DeleteVolume(ctx, name))
	if _, err := v.GetInfo(); err != nil {
		t.Errorf("it was deleted as another one: %v", err)
	}
	must(t, d.DeleteVolume(ctx, x.Disks[0].Volume))
	if _, err := pool.LookupStorageVolByName(name.String() + ".qcow2"); err == nil {
		t.Error("it is there once it was deleted")
	}
}
