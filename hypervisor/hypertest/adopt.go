package hypertest

import (
	"errors"
	"path"
	"slices"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/occid/occid/hypervisor"
)

// stray makes a domain of others and gives it as it is listed, and as it is to be adopted.
func (s *suite) stray() (hypervisor.Stray, hypervisor.Domain) {
	s.Helper()
	id := s.traits.Stray(s.T)
	x := s.amongStrays(id)
	if x == nil || len(x.Obstacles) > 0 || x.State != hypervisor.Running || len(x.Disks) != 1 || len(x.NICs) != 1 {
		s.Fatalf("the domain of others is listed as %+v", x)
	}
	d, n := x.Disks[0], x.NICs[0]
	if !hypervisor.IsAdopted(d.Volume) || d.Target != "vda" || d.SizeBytes != 16<<20 || n.Network == uuid.Nil || n.MAC == "" || n.Name == "" {
		s.Fatalf("its devices are %+v and %+v", d, n)
	}
	spec := x.Domain
	d.ID, n.ID = uuid.New(), uuid.New()
	spec.Disks, spec.NICs = []hypervisor.Disk{d.Disk}, []hypervisor.NIC{n.NIC}
	return *x, spec
}

// amongStrays finds a domain among those of others.
func (s *suite) amongStrays(id uuid.UUID) *hypervisor.Stray {
	s.Helper()
	all, err := s.drv.Strays(s.ctx())
	s.ok("list domains of others", err)
	i := slices.IndexFunc(all, func(x hypervisor.Stray) bool { return x.Domain.ID == id })
	if i < 0 {
		return nil
	}
	one, err := s.drv.Stray(s.ctx(), id)
	s.ok("look at a domain of others", err)
	if diff := cmp.Diff(all[i], one); diff != "" {
		s.Errorf("it is listed otherwise than it is alone (-list +alone):\n%s", diff)
	}
	return &all[i]
}

// others gives disks as a DomainStatus tells of those whose volumes no Driver made.
func others(disks []hypervisor.Disk) []hypervisor.Disk {
	out := slices.Clone(disks)
	for i := range out {
		out[i].Volume = uuid.Nil
	}
	return out
}

// adopt checks that a domain of others that was adopted while it runs is as any other.
func (s *suite) adopt() {
	_, spec := s.stray()
	ctx, id := s.ctx(), spec.ID
	for range 2 {
		s.ok("adopt", s.drv.AdoptDomain(ctx, spec))
		s.wantState("adopting", id, hypervisor.Running)
		s.wantDevices("adopting", id, others(spec.Disks), spec.NICs)
	}
	if d, x := s.look(id), s.amongStrays(id); !d.Managed || x == nil || !x.Adopted {
		s.Errorf("once adopted it is %+v, listed as %+v", d, x)
	}
	all, err := s.drv.Statistics(ctx)
	s.ok("statistics", err)
	if i := slices.IndexFunc(all, func(x hypervisor.Statistics) bool { return x.ID == id }); i < 0 ||
		!s.traits.Simulated && (len(all[i].NICs) != 1 || all[i].NICs[0].ID != spec.NICs[0].ID) {
		s.Errorf("its statistics are missing or not of its interface: %+v", all)
	}
	if s.traits.Up != nil {
		s.traits.Up(s.T, id)
	}
	more := s.newDisk("vdb")
	s.ok("attach", s.drv.AttachDisk(ctx, id, more))
	s.ok("define", s.drv.DefineDomain(ctx, spec))
	s.ok("attach the interface again", s.drv.AttachNIC(ctx, id, spec.NICs[0]))
	s.wantDevices("attaching", id, append(others(spec.Disks), more), spec.NICs)

	v := hypervisor.Volume{ID: spec.Disks[0].Volume, SizeBytes: 32 << 20}
	s.ok("grow", s.drv.CreateVolume(ctx, v))
	s.wantSize("growing", v.ID, v.SizeBytes)
	s.ok("detach the interface", s.drv.DetachNIC(ctx, id, spec.NICs[0].ID))
	s.ok("detach the disk", s.drv.DetachDisk(ctx, id, spec.Disks[0].ID))
	s.wantDevices("detaching", id, []hypervisor.Disk{more}, nil)
	other := s.domain()
	s.ok("attach to another", s.drv.AttachDisk(ctx, other.ID, hypervisor.Disk{ID: uuid.New(), Volume: v.ID, Target: "vda"}))
	s.ok("stop", s.powerOff(ctx, id))
	s.ok("start", s.drv.StartDomain(ctx, id))
	s.ok("delete", s.drv.DeleteDomain(ctx, id))
	if s.look(id) != nil {
		s.Error("it is there once it was deleted")
	}
	s.wantSize("deleting the domain", v.ID, v.SizeBytes)
	to := uuid.New()
	s.ok("copy", s.drv.CopyVolume(ctx, v.ID, to))
	s.ok("delete the copy", s.drv.DeleteVolume(ctx, to))
	s.ok("delete the volume", s.drv.DeleteVolume(ctx, v.ID))
	s.ok("delete the volume again", s.drv.DeleteVolume(ctx, v.ID))
	if err := s.drv.CreateVolume(ctx, v); err == nil {
		s.Error("a volume of others was made again, empty")
	}
}

// release checks that a domain that was adopted is as before once it is released.
func (s *suite) release() {
	x, spec := s.stray()
	before := s.look(spec.ID)
	for range 2 {
		s.ok("release what was not adopted", s.drv.ReleaseDomain(s.ctx(), spec.ID))
		s.ok("adopt", s.drv.AdoptDomain(s.ctx(), spec))
		s.ok("release", s.drv.ReleaseDomain(s.ctx(), spec.ID))
		if diff := cmp.Diff(before, s.look(spec.ID)); diff != "" {
			s.Errorf("the domain was changed (-before +after):\n%s", diff)
		}
		if diff := cmp.Diff(&x, s.amongStrays(spec.ID)); diff != "" {
			s.Errorf("it is listed otherwise (-before +after):\n%s", diff)
		}
	}
	own := s.domain()
	s.ok("release one of the driver's", s.drv.ReleaseDomain(s.ctx(), own.ID))
	if d := s.look(own.ID); !d.Managed {
		s.Errorf("one of the driver's is %+v", d)
	}
}

// adoptRefused tries to adopt what there is not.
func (s *suite) adoptRefused() {
	_, spec := s.stray()
	before := s.look(spec.ID)
	fewer, others, nic := spec, spec, spec
	fewer.Disks = nil
	others.Disks = []hypervisor.Disk{{ID: uuid.New(), Volume: uuid.New(), Target: "vda"}}
	nic.NICs = []hypervisor.NIC{{ID: uuid.New(), Network: spec.NICs[0].Network, MAC: "02:00:00:00:00:99"}}
	for name, d := range map[string]hypervisor.Domain{"without its disk": fewer, "with another disk": others, "with another interface": nic} {
		s.is("adopt "+name, s.drv.AdoptDomain(s.ctx(), d), hypervisor.ErrInvalid)
	}
	if diff := cmp.Diff(before, s.look(spec.ID)); diff != "" {
		s.Errorf("the domain was changed (-before +after):\n%s", diff)
	}
	gone := spec
	gone.ID = uuid.New()
	s.is("adopt what is not there", s.drv.AdoptDomain(s.ctx(), gone), hypervisor.ErrNotFound)
	_, err := s.drv.Stray(s.ctx(), gone.ID)
	s.is("look at what is not there", err, hypervisor.ErrNotFound)
	_, err = s.drv.Stray(s.ctx(), s.domain().ID)
	s.is("look at one of the driver's", err, hypervisor.ErrNotFound)
}

// migrateAdopted moves a domain of others that was adopted: its volume goes to the pool of
// the same name once that is offered on both hosts.
func (s *suite) migrateAdopted() {
	if s.traits.Other == nil {
		s.Skip("there is no other host")
	}
	x, spec := s.stray()
	ctx, id, volume, network := s.ctx(), spec.ID, spec.Disks[0].Volume, spec.NICs[0].Network
	there := &suite{T: s.T, drv: s.traits.Other(s.T), traits: s.traits}
	s.Cleanup(func() {
		s.ok("clean the other host", errors.Join(there.drv.DeleteDomain(s.ctx(), id), there.drv.DeleteVolume(s.ctx(), volume), there.drv.DeleteNetwork(s.ctx(), network)))
	})
	s.ok("adopt", s.drv.AdoptDomain(ctx, spec))
	s.ok("define network there", there.drv.DefineNetwork(ctx, hypervisor.Network{ID: network}))
	s.ok("start network there", there.drv.StartNetwork(ctx, network))
	if err := s.drv.MigrateDomain(ctx, spec, there.drv, hypervisor.Migration{}); err == nil || errors.Is(err, hypervisor.ErrUnavailable) {
		s.Errorf("it was moved to a host without its pool: %v", err)
	}
	s.wantState("a move that was refused", id, hypervisor.Running)
	for _, d := range []hypervisor.Driver{s.drv, there.drv} {
		s.ok("offer its pool", d.OfferPools([]hypervisor.Pool{{Name: x.Disks[0].Pool, Type: hypervisor.PoolDir, Source: path.Dir(s.traits.PoolDir) + "/" + x.Disks[0].Pool}}))
	}
	s.ok("move", s.drv.MigrateDomain(ctx, spec, there.drv, hypervisor.Migration{}))
	if s.look(id) != nil {
		s.Error("it is here still")
	}
	there.wantState("a move", id, hypervisor.Running)
	there.wantSize("a move", volume, 16<<20)
	there.ok("define there", there.drv.DefineDomain(ctx, spec))
	there.wantDevices("a move", id, spec.Disks, spec.NICs)
	there.ok("stop there", there.powerOff(ctx, id))
	there.ok("start there", there.drv.StartDomain(ctx, id))
}
