package libvirt

import (
	"cmp"
	"fmt"
	"math"
	"net"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/google/uuid"
	"libvirt.org/go/libvirtxml"

	"github.com/occid/occid/hypervisor"
)

// diskTarget is what the disks of a Driver are called, anyTarget what those of others are.
var (
	diskTarget = regexp.MustCompile(`^vd[a-z]{1,2}$`)
	anyTarget  = regexp.MustCompile(`^(?:vd|sd|hd|xvd)([a-z]{1,2})$`)
)

// diskXML describes a disk whose volume is a file or a device of a pool on the host.
func diskXML(d hypervisor.Disk, p Pool, file string) (*libvirtxml.DomainDisk, error) {
	if !diskTarget.MatchString(d.Target) {
		return nil, fmt.Errorf("%w: disk target %q is not of the form vda", hypervisor.ErrInvalid, d.Target)
	}
	x := &libvirtxml.DomainDisk{
		Device: "disk",
		Driver: &libvirtxml.DomainDiskDriver{Name: "qemu", Type: p.format(), Discard: "unmap"},
		Source: &libvirtxml.DomainDiskSource{File: &libvirtxml.DomainDiskSourceFile{File: file}},
		Target: &libvirtxml.DomainDiskTarget{Dev: d.Target, Bus: "virtio"},
		Serial: hypervisor.DiskSerial(d.Volume),
		Alias:  &libvirtxml.DomainAlias{Name: aliasOf(d.ID)},
	}
	if p.Type == PoolLogical {
		x.Source = &libvirtxml.DomainDiskSource{Block: &libvirtxml.DomainDiskSourceBlock{Dev: file}}
	}
	if d.ReadOnly {
		x.ReadOnly = &libvirtxml.DomainDiskReadOnly{}
	}
	return x, nil
}

// volumeAt gives the volume at a path, be it a file or a logical volume; zero if it
// is not a Driver's.
func volumeAt(file string) uuid.UUID {
	name := path.Base(file)
	if id := volumeID(name); id != uuid.Nil {
		return id
	}
	return parseID(name)
}

// pathOf gives the file or device that a disk is on; "" if it is on none.
func pathOf(x *libvirtxml.DomainDisk) string {
	switch {
	case x.Source == nil:
	case x.Source.File != nil:
		return x.Source.File.File
	case x.Source.Block != nil:
		return x.Source.Block.Dev
	}
	return ""
}

// diskOf reads a disk back; its ID is zero if no Driver attached it.
func diskOf(x *libvirtxml.DomainDisk) hypervisor.Disk {
	d := hypervisor.Disk{ReadOnly: x.ReadOnly != nil}
	if x.Alias != nil {
		d.ID = idOf(x.Alias.Name)
	}
	if x.Target != nil {
		d.Target = x.Target.Dev
	}
	if x.Source != nil && x.Source.Block != nil {
		d.Volume = volumeAt(x.Source.Block.Dev)
	}
	if x.Source != nil && x.Source.File != nil {
		d.Volume = volumeAt(x.Source.File.File)
	}
	return d
}

// nicXML describes an interface in the network of the given name.
func nicXML(n hypervisor.NIC, network string) (*libvirtxml.DomainInterface, error) {
	mac, err := nicMAC(n)
	if err != nil {
		return nil, err
	}
	x := &libvirtxml.DomainInterface{
		MAC:    &libvirtxml.DomainInterfaceMAC{Address: mac},
		Source: &libvirtxml.DomainInterfaceSource{Network: &libvirtxml.DomainInterfaceSourceNetwork{Network: network}},
		Model:  &libvirtxml.DomainInterfaceModel{Type: "virtio"},
		Alias:  &libvirtxml.DomainAlias{Name: aliasOf(n.ID)},
	}
	return x, nil
}

// nicMAC gives the MAC address of an interface in libvirt's spelling.
func nicMAC(n hypervisor.NIC) (string, error) {
	mac, err := net.ParseMAC(n.MAC)
	if err != nil || len(mac) != 6 || mac[0]&1 != 0 {
		return "", fmt.Errorf("%w: %q is not the MAC address of one interface", hypervisor.ErrInvalid, n.MAC)
	}
	return mac.String(), nil
}

// nicOf reads an interface back; networks gives the UUIDs of networks by name.
func nicOf(x *libvirtxml.DomainInterface, networks map[string]uuid.UUID) hypervisor.NIC {
	var n hypervisor.NIC
	if x.Alias != nil {
		n.ID = idOf(x.Alias.Name)
	}
	if x.MAC != nil {
		n.MAC = x.MAC.Address
	}
	if x.Source != nil && x.Source.Network != nil {
		n.Network = networks[x.Source.Network.Network]
	}
	return n
}

// setDisk puts a disk into a definition, in the place of one that has its ID. It
// reports whether that made a difference.
func setDisk(x *libvirtxml.Domain, disk *libvirtxml.DomainDisk) bool {
	disks := x.Devices.Disks
	i := slices.IndexFunc(disks, func(o libvirtxml.DomainDisk) bool { return isAlias(o.Alias, disk.Alias.Name) })
	switch {
	case i < 0:
		x.Devices.Disks = append(disks, *disk)
	case sameDisk(&disks[i], disk):
		return false
	default:
		disks[i] = *disk
	}
	return true
}

// sameDisk compares disks. Others call theirs sda, too.
func sameDisk(a, b *libvirtxml.DomainDisk) bool {
	x, y := diskOf(a), diskOf(b)
	return pathOf(a) == pathOf(b) && x.ID == y.ID && x.ReadOnly == y.ReadOnly && lettersOf(x.Target) == lettersOf(y.Target)
}

// lettersOf gives what tells disks apart in the name of one, such as b of vdb; "" if it is
// no such name.
func lettersOf(target string) string {
	if m := anyTarget.FindStringSubmatch(target); m != nil {
		return m[1]
	}
	return ""
}

// setNIC does for an interface what setDisk does for a disk.
func setNIC(x *libvirtxml.Domain, nic *libvirtxml.DomainInterface) bool {
	nics := x.Devices.Interfaces
	i := slices.IndexFunc(nics, func(o libvirtxml.DomainInterface) bool { return isAlias(o.Alias, nic.Alias.Name) })
	switch {
	case i < 0:
		x.Devices.Interfaces = append(nics, *nic)
	case sameNIC(&nics[i], nic):
		if filterOf(&nics[i]) == filterOf(nic) {
			return false
		}
		nics[i].FilterRef = nic.FilterRef
	case sameMAC(&nics[i], nic):
		// It stays where the guest finds it.
		nics[i].Source, nics[i].FilterRef = nic.Source, nic.FilterRef
	default:
		nics[i] = *nic
	}
	return true
}

func sameNIC(a, b *libvirtxml.DomainInterface) bool {
	return networkOf(a) == networkOf(b) && sameMAC(a, b)
}

func sameMAC(a, b *libvirtxml.DomainInterface) bool {
	return a.MAC != nil && b.MAC != nil && strings.EqualFold(a.MAC.Address, b.MAC.Address)
}

// networkOf gives the name of the network that an interface is in; empty if it is
// in none.
func networkOf(x *libvirtxml.DomainInterface) string {
	if x.Source == nil || x.Source.Network == nil {
		return ""
	}
	return x.Source.Network.Network
}

// filterOf names the filter of an interface, empty if it has none.
func filterOf(x *libvirtxml.DomainInterface) string {
	if x.FilterRef == nil {
		return ""
	}
	return x.FilterRef.Filter
}

// nicOn finds the interface of an alias in a definition, nil if there is none.
func nicOn(x *libvirtxml.Domain, alias string) *libvirtxml.DomainInterface {
	for i := range x.Devices.Interfaces {
		if isAlias(x.Devices.Interfaces[i].Alias, alias) {
			return &x.Devices.Interfaces[i]
		}
	}
	return nil
}

// hasDevice reports whether a definition has a device of an alias.
func hasDevice(x *libvirtxml.Domain, alias string) bool {
	return slices.ContainsFunc(x.Devices.Disks, func(d libvirtxml.DomainDisk) bool { return isAlias(d.Alias, alias) }) ||
		slices.ContainsFunc(x.Devices.Interfaces, func(n libvirtxml.DomainInterface) bool { return isAlias(n.Alias, alias) })
}

// dropDevice removes the device of an alias from a definition and reports
// whether it was there.
func dropDevice(x *libvirtxml.Domain, alias string) bool {
	had := hasDevice(x, alias)
	x.Devices.Disks = slices.DeleteFunc(x.Devices.Disks, func(d libvirtxml.DomainDisk) bool { return isAlias(d.Alias, alias) })
	x.Devices.Interfaces = slices.DeleteFunc(x.Devices.Interfaces, func(n libvirtxml.DomainInterface) bool { return isAlias(n.Alias, alias) })
	return had
}

func isAlias(a *libvirtxml.DomainAlias, name string) bool { return a != nil && a.Name == name }

// orderDisks has the host place the disks of a definition anew if a guest would meet
// them in another order than that of their targets: it names them as it meets them.
func orderDisks(x *libvirtxml.Domain) {
	var disks []*libvirtxml.DomainDisk
	for i := range x.Devices.Disks {
		if d := &x.Devices.Disks[i]; d.Target != nil && diskTarget.MatchString(d.Target.Dev) {
			disks = append(disks, d)
		}
	}
	slices.SortFunc(disks, func(a, b *libvirtxml.DomainDisk) int { return byTarget(a.Target.Dev, b.Target.Dev) })
	ordered := slices.IsSortedFunc(disks, func(a, b *libvirtxml.DomainDisk) int {
		return cmp.Compare(placeOf(a), placeOf(b))
	})
	for _, d := range disks {
		if !ordered && d.Address != nil && d.Address.PCI != nil {
			d.Address = nil
		}
	}
}

// byTarget orders the names of disks: vda, vdb... vdz, vdaa.
func byTarget(a, b string) int {
	return cmp.Or(cmp.Compare(len(a), len(b)), strings.Compare(a, b))
}

// placeOf tells when a guest meets a disk; one without an address is given the next.
func placeOf(d *libvirtxml.DomainDisk) uint {
	if d.Address == nil || d.Address.PCI == nil {
		return math.MaxUint
	}
	at := func(n *uint) uint {
		if n == nil {
			return 0
		}
		return *n
	}
	p := d.Address.PCI
	return at(p.Domain)<<24 | at(p.Bus)<<16 | at(p.Slot)<<8 | at(p.Function)
}
