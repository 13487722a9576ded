package hypertest

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/occid/occid/hypervisor"
)

// traveller is a domain with all that moves with one, and the hosts that it is on.
type traveller struct {
	*suite
	there   *suite // the other host
	d       hypervisor.Domain
	volumes []uuid.UUID
}

// traveller makes a domain with a disk, one that is backed by an image, an interface and
// a seed; its network is on both hosts.
func (s *suite) traveller() *traveller {
	s.Helper()
	if s.traits.Other == nil {
		s.Skip("there is no other host")
	}
	t := &traveller{suite: s, there: &suite{T: s.T, drv: s.traits.Other(s.T), traits: s.traits}, d: s.spec()}
	ctx, image, plain, over := s.ctx(), s.newVolume(), s.newVolume(), hypervisor.Volume{ID: uuid.New()}
	if s.traits.Write != nil {
		s.traits.Write(s.T, image.ID)
		s.traits.Write(s.T, plain.ID)
	}
	over.Backing = image.ID
	s.dropLater(over.ID)
	s.ok("create an overlay", s.drv.CreateVolume(ctx, over))
	t.volumes = []uuid.UUID{plain.ID, over.ID}
	nic := s.newNIC()
	s.Cleanup(func() {
		for _, err := range []error{t.there.drv.DeleteDomain(s.ctx(), t.d.ID), t.there.drv.DeleteVolume(s.ctx(), plain.ID),
			t.there.drv.DeleteVolume(s.ctx(), over.ID), t.there.drv.DeleteNetwork(s.ctx(), nic.Network)} {
			s.ok("clean the other host", err)
		}
	})
	s.ok("define network there", t.there.drv.DefineNetwork(ctx, hypervisor.Network{ID: nic.Network}))
	s.ok("start network there", t.there.drv.StartNetwork(ctx, nic.Network))
	t.d.Seed, t.d.NICs = []byte("seed"), []hypervisor.NIC{nic}
	for i, v := range t.volumes {
		t.d.Disks = append(t.d.Disks, hypervisor.Disk{ID: uuid.New(), Volume: v, Target: []string{"vda", "vdb"}[i]})
	}
	s.ok("define", s.drv.DefineDomain(ctx, t.d))
	return t
}

// bring has the domain do something before it moves.
func (t *traveller) bring(to hypervisor.State) {
	t.Helper()
	if to == hypervisor.Stopped {
		return
	}
	t.ok("start", t.drv.StartDomain(t.ctx(), t.d.ID))
	if t.traits.Up != nil {
		t.traits.Up(t.T, t.d.ID)
	}
	if to == hypervisor.Paused {
		t.ok("suspend", t.drv.SuspendDomain(t.ctx(), t.d.ID, hypervisor.SuspendRAM))
	}
}

// wantOnly checks that the domain is on one host, and nothing of it on the other.
func (t *traveller) wantOnly(what string, here, gone *suite, want hypervisor.State) {
	t.Helper()
	here.wantState(what, t.d.ID, want)
	here.wantDevices(what, t.d.ID, t.d.Disks, t.d.NICs)
	for _, v := range t.volumes {
		here.wantSize(what, v, 16<<20)
	}
	if d := gone.look(t.d.ID); d != nil {
		t.Errorf("after %s the domain is on the other host too: %+v", what, *d)
	}
	all, err := gone.drv.Volumes(t.ctx())
	t.ok("list volumes", err)
	if i := slices.IndexFunc(all, func(v hypervisor.VolumeStatus) bool { return slices.Contains(t.volumes, v.ID) }); i >= 0 {
		t.Errorf("after %s the other host has the volume %s", what, all[i].ID)
	}
}

// migrate moves a domain to another host and back, each twice: what was done is found.
func (s *suite) migrate() {
	for _, state := range []hypervisor.State{hypervisor.Stopped, hypervisor.Running, hypervisor.Paused} {
		t := s.traveller()
		t.bring(state)
		for _, how := range []hypervisor.Migration{{}, {Storage: hypervisor.StorageAuto, AutoConverge: true}} {
			how.Paused = state == hypervisor.Paused
			from, to := s, t.there
			if how.AutoConverge {
				from, to = to, from
			}
			told := int64(-1)
			how.Progress = func(done, total int64) {
				if told = done; done > total {
					s.Errorf("%d of %d bytes were sent", done, total)
				}
			}
			for range 2 {
				s.ok("migrate what is "+string(state), from.drv.MigrateDomain(s.ctx(), t.d, to.drv, how))
				t.wantOnly("migrating", to, from, state)
			}
			if !s.traits.Simulated && state == hypervisor.Stopped && told <= 0 {
				s.Errorf("of what was sent %d bytes were told", told)
			}
		}
		s.ok("delete", s.drv.DeleteDomain(s.ctx(), t.d.ID))
		for _, v := range t.volumes {
			if s.traits.Holds != nil && !s.traits.Holds(s.T, v) {
				s.Errorf("after migrating what is %s there and back a volume lacks what it held", state)
			}
		}
	}
}

// migrateRefused tries to move domains that cannot go, and finds them as they were.
func (s *suite) migrateRefused() {
	t := s.traveller()
	for _, state := range []hypervisor.State{hypervisor.Stopped, hypervisor.Paused, hypervisor.Running} {
		t.bring(state)
		paused := state == hypervisor.Paused
		stays := func(what string, err error) {
			s.Helper()
			if err == nil || errors.Is(err, hypervisor.ErrUnavailable) {
				s.Errorf("%s: got error %v, want one that lasts", what, err)
			}
			t.wantOnly(what, s, t.there, state)
		}
		stays("migrating to itself", s.drv.MigrateDomain(s.ctx(), t.d, s.drv, hypervisor.Migration{Paused: paused}))
		stays("migrating without copying", s.drv.MigrateDomain(s.ctx(), t.d, t.there.drv, hypervisor.Migration{Storage: hypervisor.StorageShared, Paused: paused}))
		other := t.d
		other.Disks = other.Disks[:1]
		stays("migrating what has a disk of others", s.drv.MigrateDomain(s.ctx(), other, t.there.drv, hypervisor.Migration{Paused: paused}))
		ended, end := context.WithCancel(s.ctx())
		end()
		stays("migrating for nobody", s.drv.MigrateDomain(ended, t.d, t.there.drv, hypervisor.Migration{Paused: paused}))
		if !s.traits.Simulated && state != hypervisor.Stopped {
			stays("migrating until told to stop", t.interrupted(paused))
		}
	}
	s.migrateToLost(t)
	s.ok("delete network there", t.there.drv.DeleteNetwork(s.ctx(), t.d.NICs[0].Network))
	if err := s.drv.MigrateDomain(s.ctx(), t.d, t.there.drv, hypervisor.Migration{}); err == nil {
		s.Error("a domain has moved to a host that lacks its network")
	}
	t.wantOnly("migrating without a network", s, t.there, hypervisor.Running)
	s.is("migrate what is nowhere", s.drv.MigrateDomain(s.ctx(), hypervisor.Domain{ID: uuid.New()}, t.there.drv, hypervisor.Migration{}), hypervisor.ErrNotFound)
	for mode, state := range map[hypervisor.SuspendMode]hypervisor.State{hypervisor.SuspendRAM: hypervisor.Paused, hypervisor.SuspendDisk: hypervisor.Saved} {
		s.ok("start", s.drv.StartDomain(s.ctx(), t.d.ID))
		s.ok("suspend", s.drv.SuspendDomain(s.ctx(), t.d.ID, mode))
		if err := s.drv.MigrateDomain(s.ctx(), t.d, t.there.drv, hypervisor.Migration{}); err == nil {
			s.Errorf("a domain has moved that is %s", state)
		}
		t.wantOnly("migrating what is suspended", s, t.there, state)
	}
}

// interrupted moves the domain slowly until it is seen to be under way.
func (t *traveller) interrupted(paused bool) error {
	ctx, stop := context.WithTimeout(t.ctx(), time.Minute)
	defer stop()
	return t.drv.MigrateDomain(ctx, t.d, t.there.drv, hypervisor.Migration{BandwidthMiB: 1, Paused: paused, Progress: func(done, _ int64) {
		if done > 0 {
			stop()
		}
	}})
}

// migrateToLost tries to move a domain to a host that cannot be reached: it stays.
func (s *suite) migrateToLost(t *traveller) {
	s.Helper()
	lost := s.traits.Other(s.T)
	s.ok("close", lost.Close())
	err := s.drv.MigrateDomain(s.ctx(), t.d, lost, hypervisor.Migration{})
	if err == nil || errors.Is(err, hypervisor.ErrUnavailable) {
		s.Errorf("migrating to a host that cannot be reached gave %v, want an error that lasts", err)
	}
	t.wantOnly("migrating to a host that cannot be reached", s, t.there, hypervisor.Running)
}
