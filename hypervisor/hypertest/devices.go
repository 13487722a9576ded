package hypertest

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"

	"github.com/occid/occid/hypervisor"
)

// macOf makes a locally administered address of a UUID.
func macOf(id uuid.UUID) string {
	return fmt.Sprintf("02:%02x:%02x:%02x:%02x:%02x", id[0], id[1], id[2], id[3], id[4])
}

func (s *suite) newDisk(target string) hypervisor.Disk {
	return hypervisor.Disk{ID: uuid.New(), Volume: s.newVolume().ID, Target: target}
}

func (s *suite) newNIC() hypervisor.NIC {
	id := uuid.New()
	return hypervisor.NIC{ID: id, Network: s.newNetwork().ID, MAC: macOf(id), Filtered: true}
}

func (s *suite) devicesOfStopped() { s.devices(s.domain()) }

func (s *suite) devicesOfRunning() {
	d := s.running()
	s.devices(d)
	s.wantState("devices came and went", d.ID, hypervisor.Running)
}

// devices attaches and detaches, each twice.
func (s *suite) devices(d hypervisor.Domain) {
	disk, other, nic := s.newDisk("vda"), s.newDisk("vdb"), s.newNIC()
	other.ReadOnly = true
	ctx := s.ctx()
	for _, when := range []string{"attaching", "attaching again"} {
		s.ok(when, s.drv.AttachDisk(ctx, d.ID, disk))
		s.ok(when, s.drv.AttachDisk(ctx, d.ID, other))
		s.ok(when, s.drv.AttachNIC(ctx, d.ID, nic))
		s.wantDevices(when, d.ID, []hypervisor.Disk{disk, other}, []hypervisor.NIC{nic})
	}
	for what, n := range filterings(nic) {
		s.ok(what, s.drv.AttachNIC(ctx, d.ID, n))
		s.wantDevices(what, d.ID, []hypervisor.Disk{disk, other}, []hypervisor.NIC{nic})
	}
	s.ok("define", s.drv.DefineDomain(ctx, d))
	s.wantDevices("defining without them", d.ID, []hypervisor.Disk{disk, other}, []hypervisor.NIC{nic})
	d.Disks, d.NICs = []hypervisor.Disk{disk}, []hypervisor.NIC{nic}
	s.ok("define", s.drv.DefineDomain(ctx, d))
	s.wantDevices("defining with them", d.ID, []hypervisor.Disk{disk, other}, []hypervisor.NIC{nic})
	d.NICs[0].Filtered = false
	s.ok("define", s.drv.DefineDomain(ctx, d))
	s.ok("adjust", s.drv.AdjustDomain(ctx, d.ID))
	s.wantDevices("adjusting", d.ID, []hypervisor.Disk{disk, other}, []hypervisor.NIC{nic})
	for _, when := range []string{"detaching", "detaching again"} {
		s.ok(when, s.drv.DetachDisk(ctx, d.ID, disk.ID))
		s.ok(when, s.drv.DetachNIC(ctx, d.ID, nic.ID))
		s.wantDevices(when, d.ID, []hypervisor.Disk{other}, nil)
	}
	other.Target = "vdc"
	s.ok("moving", s.drv.AttachDisk(ctx, d.ID, other))
	s.wantDevices("moving", d.ID, []hypervisor.Disk{other}, nil)
}

// filterings are descriptions of an interface that differ in what passes it.
func filterings(n hypervisor.NIC) map[string]hypervisor.NIC {
	addressed, grouped, free := n, n, n
	addressed.Addresses = []string{"198.18.0.7", "fd00:198:18::7"}
	grouped.Filtered, grouped.Grouped = false, true
	grouped.Rules = []hypervisor.Rule{{Protocol: "tcp", FromPort: 22, ToPort: 22, Source: netip.MustParsePrefix("198.18.0.0/24")},
		{Protocol: "udp", FromPort: 53, ToPort: 60, Source: netip.MustParsePrefix("::/0")}, {Protocol: "tcp"},
		{Protocol: "icmp"}, {Protocol: "icmpv6"}, {Protocol: "all", Source: netip.MustParsePrefix("fd00::1/128")}}
	free.Filtered = false
	both := addressed
	both.Grouped, both.Rules = true, grouped.Rules
	return map[string]hypervisor.NIC{"giving addresses": addressed, "giving groups": grouped, "lifting filters": free, "giving all": both}
}

// devicesAtOnce checks that changes of one definition do not undo one another.
func (s *suite) devicesAtOnce() {
	d, ctx := s.domain(), s.ctx()
	var disks []hypervisor.Disk
	var nics []hypervisor.NIC
	for i := range 4 {
		disks = append(disks, s.newDisk("vd"+string(rune('a'+i))))
		nics = append(nics, s.newNIC())
	}
	var all errgroup.Group
	for i := range disks {
		all.Go(func() error { return s.drv.AttachDisk(ctx, d.ID, disks[i]) })
		all.Go(func() error { return s.drv.AttachNIC(ctx, d.ID, nics[i]) })
	}
	s.ok("attach", all.Wait())
	s.wantDevices("attaching all", d.ID, disks, nics)
	for i := range disks[1:] {
		all.Go(func() error { return s.drv.DetachDisk(ctx, d.ID, disks[i+1].ID) })
		all.Go(func() error { return s.drv.DetachNIC(ctx, d.ID, nics[i+1].ID) })
	}
	s.ok("detach", all.Wait())
	s.wantDevices("detaching all but one", d.ID, disks[:1], nics[:1])
}

func (s *suite) invalidDevice() {
	d, disk, nic, ctx := s.domain(), s.newDisk("vda"), s.newNIC(), s.ctx()
	for _, target := range []string{"", "vda1", "../vda", `vda"/>`, "sda\x00", "vdaaa"} {
		bad := disk
		bad.Target = target
		s.is("disk as "+target, s.drv.AttachDisk(ctx, d.ID, bad), hypervisor.ErrInvalid)
	}
	for _, mac := range []string{"", "02:00:00", "01:00:00:00:00:01", `02:00:00:00:00:0"/>`, "02:00:00:00:00:00:00:01"} {
		bad := nic
		bad.MAC = mac
		s.is("interface as "+mac, s.drv.AttachNIC(ctx, d.ID, bad), hypervisor.ErrInvalid)
	}
	v4, v6 := netip.MustParsePrefix("198.18.0.0/24"), netip.MustParsePrefix("fd00::/8")
	for _, r := range []hypervisor.Rule{{}, {Protocol: "TCP"}, {Protocol: "tcp", FromPort: 22}, {Protocol: "tcp", FromPort: 22, ToPort: 21},
		{Protocol: "udp", FromPort: 1, ToPort: 65536}, {Protocol: "tcp", FromPort: -1, ToPort: 3}, {Protocol: "icmp", FromPort: 8, ToPort: 8},
		{Protocol: "icmp", Source: v6}, {Protocol: "icmpv6", Source: v4}} {
		bad := nic
		bad.Grouped, bad.Rules = true, []hypervisor.Rule{{Protocol: "all"}, r}
		s.is(fmt.Sprintf("interface with rule %+v", r), s.drv.AttachNIC(ctx, d.ID, bad), hypervisor.ErrInvalid)
	}
	for _, address := range []string{"", "198.18.0", "198.18.0.0/24", "$IP"} {
		bad := nic
		bad.Addresses = []string{address}
		s.is("interface with address "+address, s.drv.AttachNIC(ctx, d.ID, bad), hypervisor.ErrInvalid)
	}
	s.ok("attach", s.drv.AttachDisk(ctx, d.ID, disk))
	same := s.newDisk("vda")
	s.is("disk with a target that is taken", s.drv.AttachDisk(ctx, d.ID, same), hypervisor.ErrInvalid)
	disk.Volume, nic.Network = uuid.New(), uuid.New()
	s.is("disk without volume", s.drv.AttachDisk(ctx, d.ID, disk), hypervisor.ErrNotFound)
	s.is("interface without network", s.drv.AttachNIC(ctx, d.ID, nic), hypervisor.ErrNotFound)
}

func (s *suite) lookVolume(id uuid.UUID) *hypervisor.VolumeStatus {
	s.Helper()
	all, err := s.drv.Volumes(s.ctx())
	s.ok("list volumes", err)
	i := slices.IndexFunc(all, func(v hypervisor.VolumeStatus) bool { return v.ID == id })
	if i < 0 {
		return nil
	}
	return &all[i]
}

func (s *suite) wantSize(what string, id uuid.UUID, want int64) {
	s.Helper()
	if v := s.lookVolume(id); v == nil || v.SizeBytes != want {
		s.Errorf("after %s the volume is %+v, want %d bytes", what, v, want)
	}
}

func (s *suite) volume() {
	v, ctx := s.newVolume(), s.ctx()
	s.wantSize("creating", v.ID, v.SizeBytes)
	s.ok("create again", s.drv.CreateVolume(ctx, v))
	s.wantSize("creating again", v.ID, v.SizeBytes)
	v.SizeBytes = 32<<20 - 5
	s.ok("grow", s.drv.CreateVolume(ctx, v))
	s.wantSize("growing", v.ID, 32<<20)
	s.ok("grow again", s.drv.CreateVolume(ctx, v))
	v.SizeBytes = 16 << 20
	s.is("shrink", s.drv.CreateVolume(ctx, v), hypervisor.ErrInvalid)
	s.wantSize("shrinking", v.ID, 32<<20)
	for _, size := range []int64{0, -1} {
		s.is("create without size", s.drv.CreateVolume(ctx, hypervisor.Volume{ID: uuid.New(), SizeBytes: size}), hypervisor.ErrInvalid)
	}
	s.ok("delete", s.drv.DeleteVolume(ctx, v.ID))
	s.ok("delete again", s.drv.DeleteVolume(ctx, v.ID))
	if s.lookVolume(v.ID) != nil {
		s.Error("the deleted volume is still there")
	}
}

// volumeInUse grows a volume while a domain runs with it.
func (s *suite) volumeInUse() {
	d, disk, ctx := s.domain(), s.newDisk("vda"), s.ctx()
	s.ok("attach", s.drv.AttachDisk(ctx, d.ID, disk))
	s.ok("start", s.drv.StartDomain(ctx, d.ID))
	s.ok("grow", s.drv.CreateVolume(ctx, hypervisor.Volume{ID: disk.Volume, SizeBytes: 64 << 20}))
	s.wantSize("growing", disk.Volume, 64<<20)
	s.wantState("growing its disk", d.ID, hypervisor.Running)
	s.wantDevices("growing its disk", d.ID, []hypervisor.Disk{disk}, nil)
}

// copies makes a copy of a volume that is removed when the test ends, twice, and
// checks it.
func (s *suite) copies(v hypervisor.Volume) {
	s.Helper()
	to := uuid.New()
	for range 2 {
		s.ok("copy", s.drv.CopyVolume(s.ctx(), v.ID, to))
		s.wantSize("copying", to, v.SizeBytes)
	}
	if s.traits.Holds != nil && !s.traits.Holds(s.T, to) {
		s.Error("the copy lacks what the original holds")
	}
	s.ok("grow the copy", s.drv.CreateVolume(s.ctx(), hypervisor.Volume{ID: to, SizeBytes: 2 * v.SizeBytes}))
	s.wantSize("growing the copy", v.ID, v.SizeBytes)
	s.ok("delete the copy", s.drv.DeleteVolume(s.ctx(), to))
	s.wantSize("deleting the copy", v.ID, v.SizeBytes)
}

func (s *suite) copyVolume() {
	v := s.newVolume()
	if s.traits.Write != nil {
		s.traits.Write(s.T, v.ID)
	}
	s.copies(v)
	s.interrupted(v)
	missing := uuid.New()
	s.is("copy what is missing", s.drv.CopyVolume(s.ctx(), missing, uuid.New()), hypervisor.ErrNotFound)
	if s.lookVolume(missing) != nil {
		s.Error("the missing volume is there")
	}
}

// interrupted gives up a copy that may have begun, and makes it again. What the
// host has not ended is a fault that passes.
func (s *suite) interrupted(v hypervisor.Volume) {
	s.Helper()
	to := uuid.New()
	s.Cleanup(func() {
		if err := s.drv.DeleteVolume(s.ctx(), to); err != nil {
			s.Errorf("volume %s is left on the host: %v", to, err)
		}
	})
	for range 3 {
		ctx, cancel := context.WithTimeout(s.ctx(), 10*time.Millisecond)
		_ = s.drv.CopyVolume(ctx, v.ID, to)
		cancel()
	}
	ctx := s.ctx()
	err := s.drv.CopyVolume(ctx, v.ID, to)
	for errors.Is(err, hypervisor.ErrUnavailable) && ctx.Err() == nil {
		err = s.drv.CopyVolume(ctx, v.ID, to)
	}
	s.ok("copy after it was interrupted", err)
	s.wantSize("copying after it was interrupted", to, v.SizeBytes)
	if s.traits.Holds != nil && !s.traits.Holds(s.T, to) {
		s.Error("the copy lacks what the original holds")
	}
}

// copyVolumeInUse copies a volume while a domain runs with it, or is paused.
func (s *suite) copyVolumeInUse() {
	d, v := s.domain(), s.newVolume()
	if s.traits.Write != nil {
		s.traits.Write(s.T, v.ID)
	}
	other := s.newDisk("vdb")
	s.ok("attach", s.drv.AttachDisk(s.ctx(), d.ID, hypervisor.Disk{ID: uuid.New(), Volume: v.ID, Target: "vda"}))
	s.ok("attach another", s.drv.AttachDisk(s.ctx(), d.ID, other))
	s.ok("start", s.drv.StartDomain(s.ctx(), d.ID))
	s.copies(v)
	s.interrupted(v)
	s.wantState("copying its disk", d.ID, hypervisor.Running)
	s.ok("suspend", s.drv.SuspendDomain(s.ctx(), d.ID, hypervisor.SuspendRAM))
	s.copies(v)
	s.wantState("copying its disk", d.ID, hypervisor.Paused)
}
