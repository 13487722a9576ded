package libvirt

import (
	"fmt"
	"slices"

	"github.com/google/uuid"
	"libvirt.org/go/libvirtxml"

	"github.com/occid/occid/hypervisor"
)

// efi is what libvirt calls UEFI.
const efi = "efi"

// setFirmware chooses what starts a new domain. Firmware that only starts what is
// signed is not chosen: images are whoever's.
func (s *session) setFirmware(x *libvirtxml.Domain, firmware string) error {
	x.OS.Firmware, x.OS.FirmwareInfo, x.OS.Loader, x.OS.NVRam = "", nil, nil, nil
	switch firmware {
	case "":
	case hypervisor.FirmwareBIOS:
		if !isX86(x.OS.Type.Arch) {
			return fmt.Errorf("%w: no %s guest starts with BIOS", hypervisor.ErrInvalid, x.OS.Type.Arch)
		}
	case hypervisor.FirmwareUEFI:
		if err := s.hasUEFI(x); err != nil {
			return err
		}
		x.OS.Firmware = efi
		x.OS.FirmwareInfo = &libvirtxml.DomainOSFirmwareInfo{Features: []libvirtxml.DomainOSFirmwareFeature{{Name: "secure-boot", Enabled: "no"}}}
	default:
		return fmt.Errorf("%w: no firmware is called %q", hypervisor.ErrInvalid, firmware)
	}
	return nil
}

// hasUEFI refuses UEFI on a host without it.
func (s *session) hasUEFI(x *libvirtxml.Domain) error {
	if s.simulated {
		return nil
	}
	doc, err := s.conn.GetDomainCapabilities("", x.OS.Type.Arch, "", x.Type, 0)
	if err != nil {
		return err
	}
	var caps libvirtxml.DomainCaps
	if err := caps.Unmarshal(doc); err != nil {
		return fmt.Errorf("the host's capabilities: %w", err)
	}
	for _, e := range caps.OS.Enums {
		if e.Name == "firmware" && slices.Contains(e.Values, efi) {
			return nil
		}
	}
	return fmt.Errorf("%w: it has no UEFI firmware for %s guests", hypervisor.ErrInvalid, x.OS.Type.Arch)
}

func isX86(arch string) bool { return arch == "x86_64" || arch == "i686" }

// setSysInfo tells the guest, where its firmware can, what made it and that its UUID is
// that of the domain.
func setSysInfo(x *libvirtxml.Domain, id uuid.UUID) {
	x.SysInfo, x.OS.SMBios = nil, nil
	if !isX86(x.OS.Type.Arch) {
		return
	}
	entry := func(name, value string) libvirtxml.DomainSysInfoEntry {
		return libvirtxml.DomainSysInfoEntry{Name: name, Value: value}
	}
	x.SysInfo = []libvirtxml.DomainSysInfo{{SMBIOS: &libvirtxml.DomainSysInfoSMBIOS{System: &libvirtxml.DomainSysInfoSystem{
		Entry: []libvirtxml.DomainSysInfoEntry{entry("manufacturer", "occid"), entry("product", "compute"), entry("uuid", id.String())}}}}}
	x.OS.SMBios = &libvirtxml.DomainSMBios{Mode: "sysinfo"}
}

// setGraphics gives a definition a display, or takes it away. It is reached by a
// socket in a directory of the host's own, so that it needs no password.
func setGraphics(x *libvirtxml.Domain, want bool) {
	switch has := len(x.Devices.Graphics) > 0; {
	case has == want:
	case has:
		x.Devices.Graphics, x.Devices.Videos = nil, nil
	default:
		x.Devices.Graphics = []libvirtxml.DomainGraphic{{VNC: &libvirtxml.DomainGraphicVNC{
			Listeners: []libvirtxml.DomainGraphicListener{{Socket: &libvirtxml.DomainGraphicListenerSocket{}}}}}}
		x.Devices.Videos = []libvirtxml.DomainVideo{{Model: libvirtxml.DomainVideoModel{Type: "vga", VRam: videoKiB, Heads: 1, Primary: "yes"}}}
	}
}

// videoKiB is the memory of a display. What it shows is all that takes memory of the
// host.
const videoKiB = 16 * 1024
