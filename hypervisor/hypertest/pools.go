package hypertest

import (
	"slices"

	"github.com/google/uuid"

	"github.com/occid/occid/hypervisor"
)

// pools checks the volumes of a pool that is not the default.
func (s *suite) pools() {
	if s.traits.Pool == "" {
		s.Skip("the host has one pool")
	}
	ctx := s.ctx()
	all, err := s.drv.Pools(ctx)
	s.ok("pools", err)
	i := slices.IndexFunc(all, func(p hypervisor.PoolStatus) bool { return p.Name == s.traits.Pool })
	if len(all) < 2 || i < 0 || all[i].CapacityBytes <= 0 {
		s.Fatalf("the pools are %+v", all)
	}
	v := hypervisor.Volume{ID: uuid.New(), SizeBytes: 16 << 20, Pool: s.traits.Pool}
	s.Cleanup(func() { s.ok("delete volume", s.drv.DeleteVolume(s.ctx(), v.ID)) })
	for _, size := range []int64{16 << 20, 16 << 20, 32 << 20} {
		v.SizeBytes = size
		s.ok("create volume", s.drv.CreateVolume(ctx, v))
		s.wantVolumeIn(v)
	}
	seen, err := s.drv.LookInto(ctx, v.Pool)
	s.ok("look into pool", err)
	if i := slices.IndexFunc(seen, func(o hypervisor.VolumeStatus) bool { return o.ID == v.ID }); i < 0 || seen[i].Pool != v.Pool || seen[i].SizeBytes != v.SizeBytes {
		s.Errorf("in the pool are %+v", seen)
	}
	_, err = s.drv.LookInto(ctx, "no-such-pool")
	s.is("look into no pool", err, hypervisor.ErrInvalid)
	other := v
	other.Pool, other.ID = "no-such-pool", uuid.New()
	s.is("volume in no pool", s.drv.CreateVolume(ctx, other), hypervisor.ErrInvalid)
	made := hypervisor.Volume{ID: uuid.New(), SizeBytes: v.SizeBytes, Pool: v.Pool}
	s.Cleanup(func() { s.ok("delete volume", s.drv.DeleteVolume(s.ctx(), made.ID)) })
	s.ok("copy", s.drv.CopyVolume(ctx, v.ID, made.ID))
	s.wantVolumeIn(made)
	d := s.domain()
	disk := hypervisor.Disk{ID: uuid.New(), Volume: v.ID, Target: "vda"}
	s.ok("attach", s.drv.AttachDisk(ctx, d.ID, disk))
	s.wantDevices("attaching", d.ID, []hypervisor.Disk{disk}, nil)
	s.ok("start", s.drv.StartDomain(ctx, d.ID))
	v.SizeBytes = 64 << 20
	s.ok("grow while it is in use", s.drv.CreateVolume(ctx, v))
	s.wantVolumeIn(v)
	s.ok("stop", s.powerOff(ctx, d.ID))
	s.ok("detach", s.drv.DetachDisk(ctx, d.ID, disk.ID))
}

// offered checks pools that are offered and withdrawn while the driver works.
func (s *suite) offered() {
	ctx := s.ctx()
	p := hypervisor.Pool{Name: "added-" + uuid.NewString(), Type: hypervisor.PoolDir, Source: s.traits.PoolDir}
	for what, bad := range map[string]hypervisor.Pool{"no name": {Type: p.Type, Source: p.Source}, "a relative path": {Name: p.Name, Type: p.Type, Source: "srv"},
		"a type": {Name: p.Name, Type: "tape", Source: p.Source}, "no server": {Name: p.Name, Type: hypervisor.PoolNFS, Source: "/srv"}} {
		s.is(what, s.drv.CheckPool(bad), hypervisor.ErrInvalid)
		s.is(what, s.drv.OfferPools([]hypervisor.Pool{bad}), hypervisor.ErrInvalid)
	}
	v := hypervisor.Volume{ID: uuid.New(), SizeBytes: 16 << 20, Pool: p.Name}
	s.is("volume before", s.drv.CreateVolume(ctx, v), hypervisor.ErrInvalid)
	s.ok("check", s.drv.CheckPool(p))
	s.ok("offer", s.drv.OfferPools([]hypervisor.Pool{p}))
	all, err := s.drv.Pools(ctx)
	s.ok("pools", err)
	if i := slices.IndexFunc(all, func(o hypervisor.PoolStatus) bool { return o.Name == p.Name }); i < 0 || all[i].CapacityBytes <= 0 {
		s.Fatalf("the pools are %+v", all)
	}
	s.ok("create volume", s.drv.CreateVolume(ctx, v))
	s.wantVolumeIn(v)
	s.ok("delete volume", s.drv.DeleteVolume(ctx, v.ID))
	s.ok("withdraw", s.drv.OfferPools(nil))
	s.is("volume after", s.drv.CreateVolume(ctx, v), hypervisor.ErrInvalid)
}

// wantVolumeIn checks that a volume is there, once and as it says.
func (s *suite) wantVolumeIn(want hypervisor.Volume) {
	s.Helper()
	all, err := s.drv.Volumes(s.ctx())
	s.ok("list volumes", err)
	var found []hypervisor.VolumeStatus
	for _, v := range all {
		if v.ID == want.ID {
			found = append(found, v)
		}
	}
	if len(found) != 1 || found[0].Pool != want.Pool || found[0].SizeBytes != want.SizeBytes {
		s.Errorf("the volume is %+v, want %+v", found, want)
	}
}
