package libvirt_test

import (
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	lv "libvirt.org/go/libvirt"

	"github.com/occid/occid/hypervisor"
	"github.com/occid/occid/hypervisor/libvirt"
)

var somePools = []libvirt.Pool{
	{Name: "fast", Type: libvirt.PoolDir, Target: "/srv/fast"},
	{Name: "nfs1", Type: libvirt.PoolNFS, Source: "files.example.com:/export/vm"},
	{Name: "vg", Type: libvirt.PoolLogical, Source: "vg0"},
}

// TestPoolsGolden shows what the host is told of pools, of their volumes and of the
// disks of those.
func TestPoolsGolden(t *testing.T) {
	t.Parallel()
	d, conn := open(t, libvirt.Config{Pools: somePools}), connect(t, testHost)
	all, err := d.Pools(t.Context())
	must(t, err)
	var names []string
	for _, p := range all {
		names = append(names, p.Name)
		// The test host adds up wrongly what tests make and delete at the same time.
		shared := p.Name == "occid"
		if p.CapacityBytes <= 0 || !shared && p.AvailableBytes > p.CapacityBytes {
			t.Errorf("pool %+v", p)
		}
	}
	if got := strings.Join(names, " "); got != "occid fast nfs1 vg" {
		t.Errorf("the pools are %s", got)
	}
	domain := hypervisor.Domain{ID: number(9), VCPUs: 1, MemoryBytes: 64 << 20}
	for i, p := range somePools {
		v := hypervisor.Volume{ID: number(byte(10 + i)), SizeBytes: 1 << 30, Pool: p.Name}
		must(t, d.CreateVolume(t.Context(), v))
		t.Cleanup(func() { must(t, d.DeleteVolume(ctx(t), v.ID)) })
		domain.Disks = append(domain.Disks, hypervisor.Disk{ID: number(byte(20 + i)), Volume: v.ID, Target: "vd" + string(rune('a'+i))})
		pool, err := conn.LookupStoragePoolByName(p.Name)
		must(t, err)
		goldenPool(t, "pool-"+string(p.Type), pool)
		vols, err := pool.ListAllStorageVolumes(0)
		must(t, err)
		if len(vols) != 1 {
			t.Fatalf("pool %s has %d volumes", p.Name, len(vols))
		}
		doc, err := vols[0].GetXMLDesc(0)
		must(t, err)
		golden(t, "volume-"+string(p.Type), doc)
		must(t, vols[0].Free())
		must(t, pool.Free())
	}
	must(t, d.DefineDomain(t.Context(), domain))
	t.Cleanup(func() { must(t, d.DeleteDomain(ctx(t), domain.ID)) })
	dom, err := conn.LookupDomainByUUID(domain.ID[:])
	must(t, err)
	defer func() { _ = dom.Free() }()
	doc, err := dom.GetXMLDesc(lv.DOMAIN_XML_INACTIVE)
	must(t, err)
	golden(t, "disks", strings.Join(regexp.MustCompile(`(?s)    <disk .*?</disk>\n`).FindAllString(doc, -1), ""))
	status, err := d.Domain(t.Context(), domain.ID)
	must(t, err)
	for i, disk := range domain.Disks {
		if status.Disks[i] != disk {
			t.Errorf("disk %+v is read back as %+v", disk, status.Disks[i])
		}
	}
}

// TestDefaultPool has another pool be the default: what was made before is found.
func TestDefaultPool(t *testing.T) {
	t.Parallel()
	old, after, copied := uuid.New(), uuid.New(), uuid.New()
	must(t, open(t, libvirt.Config{}).CreateVolume(t.Context(), hypervisor.Volume{ID: old, SizeBytes: 1 << 20}))
	d := open(t, libvirt.Config{Pools: []libvirt.Pool{{Name: "new-default", Type: libvirt.PoolDir, Target: "/srv/new"}}, DefaultPool: "new-default"})
	want := map[uuid.UUID]string{old: "occid", after: "new-default", copied: "occid"}
	for id := range want {
		t.Cleanup(func() { must(t, d.DeleteVolume(ctx(t), id)) })
	}
	for _, id := range []uuid.UUID{old, after} {
		must(t, d.CreateVolume(t.Context(), hypervisor.Volume{ID: id, SizeBytes: 2 << 20}))
	}
	must(t, d.CopyVolume(t.Context(), old, copied))
	all, err := d.Volumes(t.Context())
	must(t, err)
	got := map[uuid.UUID]string{}
	for _, v := range all {
		if want[v.ID] == "" {
			continue
		}
		got[v.ID] = v.Pool
		if v.SizeBytes != 2<<20 {
			t.Errorf("volume %s has %d bytes", v.ID, v.SizeBytes)
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("where volumes are (-want +got):\n%s", diff)
	}
}

func TestPoolsRefused(t *testing.T) {
	t.Parallel()
	dir := libvirt.Pool{Name: "a", Type: libvirt.PoolDir, Target: "/srv/a"}
	for name, x := range map[string]struct {
		c    libvirt.Config
		word string
	}{
		"no name":      {libvirt.Config{Pools: []libvirt.Pool{{Type: libvirt.PoolDir, Target: "/srv/a"}}}, "no name"},
		"twice":        {libvirt.Config{Pools: []libvirt.Pool{dir, dir}}, `"a"`},
		"the standard": {libvirt.Config{Pools: []libvirt.Pool{{Name: "occid", Type: libvirt.PoolDir, Target: "/srv/a"}}}, "occid"},
		"type":         {libvirt.Config{Pools: []libvirt.Pool{{Name: "a", Type: "zfs"}}}, "zfs"},
		"no server":    {libvirt.Config{Pools: []libvirt.Pool{{Name: "a", Type: libvirt.PoolNFS, Source: "/export"}}}, "SERVER:/PATH"},
		"no group":     {libvirt.Config{Pools: []libvirt.Pool{{Name: "a", Type: libvirt.PoolLogical, Source: "../x"}}}, "volume group"},
		"relative":     {libvirt.Config{Pools: []libvirt.Pool{{Name: "a", Type: libvirt.PoolDir, Target: "srv"}}}, "srv"},
		"default":      {libvirt.Config{Pools: []libvirt.Pool{dir}, DefaultPool: "b"}, `"b"`},
	} {
		x.c.URI = testHost
		if d, err := libvirt.Open(x.c); err == nil || !strings.Contains(err.Error(), x.word) {
			t.Errorf("%s: %v, want it to name %s", name, err, x.word)
			if err == nil {
				_ = d.Close()
			}
		}
	}
}
