package hypertest

import (
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/occid/occid/hypervisor"
)

// measured asks the host what a domain has used; nil if it does not tell of it.
func (s *suite) measured(id uuid.UUID) *hypervisor.Statistics {
	s.Helper()
	all, err := s.drv.Statistics(s.ctx())
	s.ok("statistics", err)
	i := slices.IndexFunc(all, func(st hypervisor.Statistics) bool { return st.ID == id })
	if i < 0 {
		return nil
	}
	return &all[i]
}

// wantUse checks what a domain does, and why, as its statistics tell.
func (s *suite) wantUse(what string, id uuid.UUID, state hypervisor.State, reasons ...string) *hypervisor.Statistics {
	s.Helper()
	st := s.measured(id)
	if st == nil {
		s.Fatalf("after %s there are no statistics of the domain", what)
	}
	if st.State != state || len(reasons) > 0 && !slices.Contains(reasons, st.Reason) {
		s.Errorf("after %s the domain is %s (%s), want %s (%v)", what, st.State, st.Reason, state, reasons)
	}
	if d := s.look(id); d != nil && state != hypervisor.Running && d.Reason != st.Reason {
		s.Errorf("after %s the reason is %q, and %q in the statistics", what, d.Reason, st.Reason)
	}
	return st
}

func (s *suite) statistics() {
	d, ctx := s.running(), s.ctx()
	disk, nic := s.newDisk("vda"), s.newNIC()
	s.ok("attach", s.drv.AttachDisk(ctx, d.ID, disk))
	s.ok("attach", s.drv.AttachNIC(ctx, d.ID, nic))
	was := s.wantUse("start", d.ID, hypervisor.Running, "booted", "")
	if was.MemoryBytes != d.MemoryBytes || was.CPUTime <= 0 || was.MemoryUsedBytes > was.MemoryBytes {
		s.Errorf("a running domain used %+v", was)
	}
	if !s.traits.Simulated {
		s.wantDevicesUsed(was, disk, nic)
		s.until("more processor time is used", func() bool { return s.measured(d.ID).CPUTime > was.CPUTime })
	}
	s.ok("suspend", s.drv.SuspendDomain(ctx, d.ID, hypervisor.SuspendRAM))
	if st := s.wantUse("suspending", d.ID, hypervisor.Paused, "by request"); st.MemoryBytes == 0 || st.CPUTime < was.CPUTime {
		s.Errorf("a paused domain used %+v", st)
	}
	s.ok("hibernate", s.drv.SuspendDomain(ctx, d.ID, hypervisor.SuspendDisk))
	s.wantUse("hibernating", d.ID, hypervisor.Saved, "saved")
	s.ok("start", s.drv.StartDomain(ctx, d.ID))
	s.wantUse("restoring", d.ID, hypervisor.Running)
	s.ok("stop", s.powerOff(ctx, d.ID))
	if st := s.wantUse("stopping", d.ID, hypervisor.Stopped, "powered off"); st.CPUTime != 0 || st.NICs != nil || st.Agent != "" {
		s.Errorf("a stopped domain used %+v", st)
	}
	s.ok("delete", s.drv.DeleteDomain(ctx, d.ID))
	if s.measured(d.ID) != nil {
		s.Error("there are statistics of a domain that is gone")
	}
}

// wantDevicesUsed checks what is told of the only devices of a domain.
func (s *suite) wantDevicesUsed(st *hypervisor.Statistics, disk hypervisor.Disk, nic hypervisor.NIC) {
	s.Helper()
	if len(st.Disks) != 1 || st.Disks[0].Volume != disk.Volume || st.Disks[0].Target != disk.Target || st.Disks[0].CapacityBytes != 16<<20 || st.Disks[0].AllocatedBytes <= 0 {
		s.Errorf("disks used %+v", st.Disks)
	}
	if len(st.NICs) != 1 || st.NICs[0].ID != nic.ID || st.NICs[0].MAC != nic.MAC {
		s.Errorf("interfaces used %+v, want those of %+v", st.NICs, nic)
	}
}

func (s *suite) statisticsOfOthers() {
	if s.traits.Foreign == nil {
		s.Skip("the host has no domains of others")
	}
	id := s.traits.Foreign(s.T)
	if st := s.measured(id); st != nil {
		s.Errorf("there are statistics of a domain of others: %+v", st)
	}
}

// until waits until something holds.
func (s *suite) until(what string, holds func() bool) {
	s.Helper()
	ctx := s.ctx()
	for tick := time.NewTicker(50 * time.Millisecond); !holds(); {
		select {
		case <-tick.C:
		case <-ctx.Done():
			s.Fatalf("it did not come to be that %s", what)
		}
	}
}
