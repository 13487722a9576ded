package hypertest

import (
	"bytes"

	"github.com/google/uuid"

	"github.com/occid/occid/hypervisor"
)

// seed gives a domain a seed, another one and none, each twice, and checks that the
// devices that were attached to it stay.
func (s *suite) seed() {
	d, disk, ctx := s.spec(), s.newDisk("vda"), s.ctx()
	d.Seed = []byte("one")
	s.ok("define", s.drv.DefineDomain(ctx, d))
	s.ok("attach", s.drv.AttachDisk(ctx, d.ID, disk))
	for _, seed := range [][]byte{[]byte("one"), bytes.Repeat([]byte("another"), 5000), nil, []byte("one")} {
		d.Seed = seed
		for range 2 {
			s.ok("define", s.drv.DefineDomain(ctx, d))
			s.wantDevices("defining with a seed", d.ID, []hypervisor.Disk{disk}, nil)
		}
	}
	s.ok("start", s.drv.StartDomain(ctx, d.ID))
	d.Seed = []byte("two")
	s.ok("define while it runs", s.drv.DefineDomain(ctx, d))
	s.wantState("defining with another seed", d.ID, hypervisor.Running)
	s.ok("delete", s.drv.DeleteDomain(ctx, d.ID))
	s.ok("delete again", s.drv.DeleteDomain(ctx, d.ID))
	s.wantSize("deleting the domain", disk.Volume, 16<<20)
}

// firmware defines a domain with each, and checks that it is followed by nothing later.
func (s *suite) firmware() {
	for _, firmware := range []string{hypervisor.FirmwareBIOS, hypervisor.FirmwareUEFI} {
		d := s.spec()
		d.Firmware = firmware
		s.ok("define with "+firmware, s.drv.DefineDomain(s.ctx(), d))
		d.Firmware = ""
		s.ok("define again", s.drv.DefineDomain(s.ctx(), d))
		s.ok("start with "+firmware, s.drv.StartDomain(s.ctx(), d.ID))
		s.wantState("starting with "+firmware, d.ID, hypervisor.Running)
	}
	d := s.spec()
	d.Firmware = "coreboot"
	s.is("define with firmware there is none of", s.drv.DefineDomain(s.ctx(), d), hypervisor.ErrInvalid)
	if s.look(d.ID) != nil {
		s.Error("the domain is there though it was refused")
	}
}

// graphics gives a domain a display and takes it away; it starts with both.
func (s *suite) graphics() {
	d, nic, ctx := s.spec(), s.newNIC(), s.ctx()
	d.NICs = []hypervisor.NIC{nic}
	for _, d.Graphics = range []bool{false, true, true, false, true} {
		s.ok("define", s.drv.DefineDomain(ctx, d))
		s.wantDevices("defining with or without a display", d.ID, nil, d.NICs)
		s.ok("start", s.drv.StartDomain(ctx, d.ID))
		s.ok("stop", s.powerOff(ctx, d.ID))
	}
}

// shared attaches a volume to two domains that run and cannot write to it.
func (s *suite) shared() {
	v, ctx := s.newVolume(), s.ctx()
	for _, target := range []string{"vda", "vdb"} {
		d := s.domain()
		disk := hypervisor.Disk{ID: uuid.New(), Volume: v.ID, Target: target, ReadOnly: true}
		s.ok("attach", s.drv.AttachDisk(ctx, d.ID, disk))
		s.ok("start", s.drv.StartDomain(ctx, d.ID))
		s.wantDevices("sharing", d.ID, []hypervisor.Disk{disk}, nil)
	}
	to := uuid.New()
	s.ok("copy what is shared", s.drv.CopyVolume(ctx, v.ID, to))
	s.wantSize("copying what is shared", to, v.SizeBytes)
	s.ok("delete the copy", s.drv.DeleteVolume(ctx, to))
}
