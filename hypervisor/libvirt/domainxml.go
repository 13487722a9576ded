package libvirt

import (
	"cmp"
	"fmt"
	"path"
	"strings"

	"libvirt.org/go/libvirtxml"

	"github.com/occid/occid/hypervisor"
)

// kib and mib are units of memory in bytes.
const (
	kib = 1 << 10
	mib = 1 << 20
)

// newDomain gives the parts of a definition that stay as they are made.
func newDomain(d hypervisor.Domain, consoleLog string) *libvirtxml.Domain {
	port := uint(0)
	serial := libvirtxml.DomainSerial{
		Source: &libvirtxml.DomainChardevSource{Pty: &libvirtxml.DomainChardevSourcePty{}},
		Target: &libvirtxml.DomainSerialTarget{Port: &port},
	}
	if consoleLog != "" {
		serial.Log = &libvirtxml.DomainChardevLog{File: consoleLog, Append: "on"}
	}
	return &libvirtxml.Domain{
		Name: nameOf(d.Name, d.ID),
		UUID: d.ID.String(),
		OS: &libvirtxml.DomainOS{
			Type:        &libvirtxml.DomainOSType{Type: "hvm"},
			BootDevices: []libvirtxml.DomainBootDevice{{Dev: "hd"}},
		},
		Features: &libvirtxml.DomainFeatureList{ACPI: &libvirtxml.DomainFeature{}, APIC: &libvirtxml.DomainFeatureAPIC{}},
		Clock:    &libvirtxml.DomainClock{Offset: "utc"},
		Devices: &libvirtxml.DomainDeviceList{
			Serials: []libvirtxml.DomainSerial{serial},
			RNGs: []libvirtxml.DomainRNG{{Model: "virtio", Backend: &libvirtxml.DomainRNGBackend{
				Random: &libvirtxml.DomainRNGBackendRandom{Device: "/dev/urandom"}}}},
			Channels: []libvirtxml.DomainChannel{{
				Source: &libvirtxml.DomainChardevSource{UNIX: &libvirtxml.DomainChardevSourceUNIX{Mode: "bind"}},
				Target: &libvirtxml.DomainChannelTarget{VirtIO: &libvirtxml.DomainChannelTargetVirtIO{Name: agentChannel}}}},
			MemBalloon: &libvirtxml.DomainMemBalloon{Model: "virtio", Stats: &libvirtxml.DomainMemBalloonStats{Period: balloonSeconds}},
		},
	}
}

// agentChannel is the port that QEMU's guest agent listens on.
const agentChannel = "org.qemu.guest_agent.0"

// balloonSeconds is how often a guest tells how it uses its memory.
const balloonSeconds = 10

// setDomain makes a definition say what d says, devices excepted. What d does
// not speak of stays.
func (s *session) setDomain(x *libvirtxml.Domain, d hypervisor.Domain) error {
	if d.VCPUs < 1 || d.MemoryBytes < 1 || d.CPUShares < 0 {
		return fmt.Errorf("%w: %d processors, %d bytes of memory, %d shares", hypervisor.ErrInvalid, d.VCPUs, d.MemoryBytes, d.CPUShares)
	}
	if err := s.setMachine(x, d); err != nil {
		return err
	}
	if err := s.setBoot(x.OS, d); err != nil {
		return err
	}
	setGraphics(x, d.Graphics)
	x.Title = line(d.Title)
	if x.Metadata == nil {
		x.Metadata = &libvirtxml.DomainMetadata{}
	}
	var err error
	if x.Metadata.XML, err = marked(x.Metadata.XML, mark{Seed: digest(d.Seed), Adopted: markOf(x.Metadata.XML).Adopted}); err != nil {
		return err
	}
	memory := uint((d.MemoryBytes + mib - 1) / mib * (mib / kib))
	x.Memory = &libvirtxml.DomainMemory{Value: memory, Unit: "KiB"}
	x.CurrentMemory = &libvirtxml.DomainCurrentMemory{Value: memory, Unit: "KiB"}
	s.setVCPUs(x, uint(d.VCPUs))
	if d.CPUShares > 0 {
		if x.CPUTune == nil {
			x.CPUTune = &libvirtxml.DomainCPUTune{}
		}
		x.CPUTune.Shares = &libvirtxml.DomainCPUTuneShares{Value: uint(d.CPUShares)}
	} else if x.CPUTune != nil {
		x.CPUTune.Shares = nil
	}
	return nil
}

// mostSpare bounds the processors that a domain is ready for beyond those it has.
const mostSpare = 64

// setVCPUs gives a domain processors, and makes it ready for as many as the host
// has: only so many can be added while it runs.
func (s *session) setVCPUs(x *libvirtxml.Domain, n uint) {
	if x.CPU != nil && x.CPU.Topology != nil {
		// That of others says how many there can be.
		if vcpusOf(x) == n {
			return
		}
		x.CPU.Topology = nil
	}
	if x.VCPU == nil {
		x.VCPU = &libvirtxml.DomainVCPU{Placement: "static"}
	}
	x.VCPU.Value, x.VCPU.Current = max(n, min(s.cpus, mostSpare)), 0
	if x.VCPU.Value > n {
		x.VCPU.Current = n
	}
	x.VCPUs = nil
}

// vcpusOf gives the processors that a definition starts with.
func vcpusOf(x *libvirtxml.Domain) uint {
	switch {
	case x.VCPU == nil:
		return 0
	case x.VCPU.Current > 0:
		return x.VCPU.Current
	}
	return x.VCPU.Value
}

// setMachine chooses what runs the domain; an existing choice for the same
// architecture stays, because the addresses of its devices depend on it.
func (s *session) setMachine(x *libvirtxml.Domain, d hypervisor.Domain) error {
	arch := cmp.Or(d.Arch, s.arch)
	if x.Type != "" && x.OS.Type.Arch == arch {
		return nil
	}
	kind, err := s.domainType(arch)
	if err != nil {
		return err
	}
	x.Type, x.OS.Type.Arch, x.OS.Type.Machine, x.Devices.Emulator, x.CPU = kind, arch, "", "", nil
	if kind == "kvm" {
		x.CPU = &libvirtxml.DomainCPU{Mode: "host-model"}
	}
	setSysInfo(x, d.ID)
	return s.setFirmware(x, d.Firmware)
}

// setBoot sets what is booted directly, if anything is.
func (s *session) setBoot(os *libvirtxml.DomainOS, d hypervisor.Domain) error {
	os.Kernel, os.Initrd, os.Cmdline = "", "", ""
	if d.Kernel == "" {
		if d.Initrd != "" || d.Cmdline != "" {
			return fmt.Errorf("%w: an initial RAM disk or a command line needs a kernel", hypervisor.ErrInvalid)
		}
		return nil
	}
	if err := s.mayBoot(d.Kernel); err != nil {
		return err
	}
	if d.Initrd != "" {
		if err := s.mayBoot(d.Initrd); err != nil {
			return err
		}
	}
	if !printable(d.Cmdline) {
		return fmt.Errorf("%w: kernel command line %q holds what is not printable", hypervisor.ErrInvalid, d.Cmdline)
	}
	os.Kernel, os.Initrd, os.Cmdline = d.Kernel, d.Initrd, d.Cmdline
	return nil
}

// mayBoot refuses files outside the directories that hold what may be booted:
// the host would read them as root and show them to the guest.
func (s *session) mayBoot(file string) error {
	for _, dir := range s.cfg.BootDirs {
		dir = strings.TrimSuffix(path.Clean(dir), "/") + "/"
		if path.Clean(file) == file && strings.HasPrefix(file, dir) && printable(file) {
			return nil
		}
	}
	return fmt.Errorf("%w: %q is in none of the directories for booting directly", hypervisor.ErrInvalid, file)
}
