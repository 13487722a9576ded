package libvirt

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/google/uuid"
	"libvirt.org/go/libvirt"
	"libvirt.org/go/libvirtxml"

	"github.com/occid/occid/hypervisor"
)

// Strays implements hypervisor.Driver.
func (d *Driver) Strays(ctx context.Context) ([]hypervisor.Stray, error) {
	return call(ctx, d, "list domains of others", nobody, func(ctx context.Context, s *session) ([]hypervisor.Stray, error) {
		around, err := s.surroundings(ctx)
		defer around.free()
		if err != nil {
			return nil, err
		}
		var out []hypervisor.Stray
		for _, o := range around.all {
			if !o.others() {
				continue
			}
			st, err := s.stray(ctx, o, around)
			if code(err, libvirt.ERR_NO_DOMAIN) {
				continue // removed meanwhile
			}
			if err != nil {
				return nil, err
			}
			out = append(out, st)
		}
		return out, nil
	})
}

// Stray implements hypervisor.Driver.
func (d *Driver) Stray(ctx context.Context, id uuid.UUID) (hypervisor.Stray, error) {
	return call(ctx, d, "describe domain of others", nobody, func(ctx context.Context, s *session) (hypervisor.Stray, error) {
		around, err := s.surroundings(ctx)
		defer around.free()
		if err != nil {
			return hypervisor.Stray{}, err
		}
		for _, o := range around.all {
			if o.id == id && o.others() {
				return s.stray(ctx, o, around)
			}
		}
		return hypervisor.Stray{}, fmt.Errorf("domain %s: %w", id, hypervisor.ErrNotFound)
	})
}

// defined is a domain with its definition.
type defined struct {
	*machine
	def *libvirtxml.Domain
}

// others reports whether no Driver made the domain.
func (o *defined) others() bool {
	return o.def.Metadata == nil || !isMarked(o.def.Metadata.XML) || markOf(o.def.Metadata.XML).Adopted
}

// surroundings are what domains of others may share and be in.
type surroundings struct {
	all      []defined
	users    map[string][]defined // of files and devices, by path
	networks map[string]uuid.UUID // by name
}

func (a *surroundings) free() {
	for _, o := range a.all {
		o.free()
	}
}

// surroundings reads them. They are to be freed, after an error too.
func (s *session) surroundings(ctx context.Context) (*surroundings, error) {
	all, err := s.definitions(ctx)
	a := &surroundings{all: all, users: map[string][]defined{}}
	if err != nil {
		return a, err
	}
	for _, o := range all {
		for i := range o.def.Devices.Disks {
			if file := pathOf(&o.def.Devices.Disks[i]); file != "" {
				a.users[file] = append(a.users[file], o)
			}
		}
	}
	a.networks, err = s.networkNames()
	return a, err
}

// definitions reads those of all domains.
func (s *session) definitions(ctx context.Context) ([]defined, error) {
	doms, err := s.conn.ListAllDomains(0)
	if err != nil {
		return nil, err
	}
	var out []defined
	for i := range doms {
		m := &machine{session: s, dom: &doms[i]}
		var x *libvirtxml.Domain
		if err == nil {
			if err = ctx.Err(); err == nil {
				x, err = m.definition()
			}
		}
		if err != nil {
			m.free()
			if code(err, libvirt.ERR_NO_DOMAIN) {
				err = nil // removed meanwhile
			}
			continue
		}
		m.id = parseID(x.UUID)
		out = append(out, defined{m, x})
	}
	return out, err
}

// strayReader gathers what there is to know of a domain of others.
type strayReader struct {
	*session
	defined
	around *surroundings
	st     hypervisor.Stray
	taken  map[string]bool    // what tells its disks apart, and MAC addresses
	actual *libvirtxml.Domain // what it has now, nil if it does not run
}

func (r *strayReader) obstacle(format string, args ...any) {
	r.st.Obstacles = append(r.st.Obstacles, fmt.Sprintf(format, args...))
}

func (s *session) stray(ctx context.Context, o defined, around *surroundings) (hypervisor.Stray, error) {
	r := &strayReader{session: s, defined: o, around: around, taken: map[string]bool{}}
	var err error
	if r.st.State, err = o.state(); err != nil {
		return r.st, err
	}
	if r.actual, err = o.live(); err != nil {
		return r.st, err
	}
	if err := r.describe(); err != nil {
		return r.st, err
	}
	for i := range o.def.Devices.Disks {
		if err := r.disk(ctx, &o.def.Devices.Disks[i]); err != nil {
			return r.st, err
		}
	}
	for i := range o.def.Devices.Interfaces {
		r.nic(&o.def.Devices.Interfaces[i])
	}
	return r.st, nil
}

// describe tells what the domain is, its devices left aside, and what of it a Driver
// cannot keep.
func (r *strayReader) describe() error {
	x, d := r.def, &r.st.Domain
	st := describe(x, nil)
	*d = hypervisor.Domain{ID: st.ID, Name: x.Name, Title: x.Title, VCPUs: st.VCPUs, MemoryBytes: (st.MemoryBytes + mib - 1) / mib * mib, Graphics: len(x.Devices.Graphics) > 0}
	r.st.Adopted = st.Managed
	if x.OS == nil || x.OS.Type == nil || x.OS.Type.Type != "hvm" {
		r.obstacle("it is no virtual machine")
		return nil
	}
	if x.OS.Type.Arch != r.arch {
		d.Arch = x.OS.Type.Arch
	}
	if x.CPUTune != nil && x.CPUTune.Shares != nil {
		d.CPUShares = int(x.CPUTune.Shares.Value)
	}
	if d.Kernel, d.Initrd, d.Cmdline = x.OS.Kernel, x.OS.Initrd, x.OS.Cmdline; d.Kernel != "" {
		if err := r.setBoot(&libvirtxml.DomainOS{}, *d); err != nil {
			r.obstacle("it boots a kernel directly: %v", err)
		}
	}
	d.Firmware = hypervisor.FirmwareBIOS
	if x.OS.Firmware == efi || x.OS.Loader != nil && x.OS.Loader.Type == "pflash" {
		d.Firmware = hypervisor.FirmwareUEFI
	}
	persistent, err := r.dom.IsPersistent()
	if err != nil {
		return err
	}
	for why, is := range map[string]bool{
		"it is transient: it has no definition that would stay": !persistent,
		"it is saved; start it first":                           r.st.State == hypervisor.Saved,
		"its memory has cells or slots":                         x.MaximumMemory != nil || len(x.Devices.Memorydevs) > 0 || x.CPU != nil && x.CPU.Numa != nil,
		"it has a device of the host (hostdev)":                 len(x.Devices.Hostdevs) > 0,
		"it shares a directory of the host (filesystem)":        len(x.Devices.Filesystems) > 0,
		"it shares memory of the host (shmem)":                  len(x.Devices.Shmems) > 0,
	} {
		if is {
			r.obstacle("%s", why)
		}
	}
	slices.Sort(r.st.Obstacles)
	return nil
}

// nic tells of an interface, and why it cannot be kept if it cannot.
func (r *strayReader) nic(x *libvirtxml.DomainInterface) {
	n := hypervisor.StrayNIC{NIC: nicOf(x, r.around.networks)}
	name := "its interface " + n.MAC
	switch mac, err := nicMAC(n.NIC); {
	case err != nil:
		r.obstacle("%s has no MAC address that a machine can have", name)
	case r.taken[mac]:
		r.obstacle("%s is there twice", name)
	default:
		n.MAC, r.taken[mac] = mac, true
	}
	switch src := x.Source; {
	case src != nil && src.Network != nil:
		n.Name = src.Network.Network
		switch {
		case n.Network == uuid.Nil:
			r.obstacle("%s is in the network %s, which is not on the host", name, n.Name)
		case n.Network == metadataID || src.Network.PortGroup != "":
			r.obstacle("%s is in a part of the network %s", name, n.Name)
		}
	case src != nil && src.Bridge != nil:
		n.Bridge = src.Bridge.Bridge
	default:
		r.obstacle("%s is neither in a network nor on a bridge of the host", name)
	}
	if x.VLan != nil || x.VirtualPort != nil {
		r.obstacle("%s has a VLAN or a port of a switch of its own", name)
	}
	r.st.NICs = append(r.st.NICs, n)
}

// removable reports whether a disk is no storage but a drive, which stays as it is.
func removable(x *libvirtxml.DomainDisk) bool { return x.Device == "cdrom" || x.Device == "floppy" }

// disk tells of a disk, and why it cannot be kept if it cannot.
func (r *strayReader) disk(ctx context.Context, x *libvirtxml.DomainDisk) error {
	if removable(x) {
		return nil
	}
	d := hypervisor.StrayDisk{Disk: diskOf(x)}
	d.Volume = uuid.Nil
	name := "its disk " + d.Target
	switch letters := lettersOf(d.Target); {
	case letters == "":
		r.obstacle("%s is not called as in vdb or sdb", name)
	case r.taken[letters]:
		r.obstacle("%s has the letter of another one", name)
	default:
		r.taken[letters] = true
	}
	if x.Shareable != nil || x.Transient != nil || x.Encryption != nil || x.Source != nil && (x.Source.Encryption != nil || x.Source.Slices != nil) {
		r.obstacle("%s is shareable, transient or encrypted", name)
	}
	file := pathOf(x)
	var others []string
	for _, o := range r.around.users[file] {
		if o.id != r.defined.id {
			others = append(others, o.def.Name)
		}
	}
	if len(others) > 0 {
		r.obstacle("%s is also one of the domain %s", name, strings.Join(others, ", "))
	}
	err := r.volume(ctx, x, &d, file, name)
	r.st.Disks = append(r.st.Disks, d)
	return err
}

// volume finds the volume of a disk.
func (r *strayReader) volume(ctx context.Context, x *libvirtxml.DomainDisk, d *hypervisor.StrayDisk, file, name string) error {
	if file == "" || x.Device == "lun" {
		r.obstacle("%s is neither a file nor a device of a storage pool", name)
		return nil
	}
	v, err := r.conn.LookupStorageVolByPath(file)
	if code(err, libvirt.ERR_NO_STORAGE_VOL) {
		r.obstacle("%s, %s, is in no active storage pool of the host", name, file)
		return nil
	}
	if err != nil {
		return err
	}
	defer func() { _ = v.Free() }()
	pool, err := v.LookupPoolByVolume()
	if err != nil {
		return err
	}
	defer func() { _ = pool.Free() }()
	p, ok, err := r.readPool(pool)
	if err != nil {
		return err
	}
	if !ok {
		r.obstacle("%s is in the pool %s, which is not of a type that volumes can be in", name, p.Name)
		return nil
	}
	return r.inPool(v, &p, x, d, name)
}

// inPool tells of the volume of a disk, which is in a pool.
func (r *strayReader) inPool(v *libvirt.StorageVol, p *hostPool, x *libvirtxml.DomainDisk, d *hypervisor.StrayDisk, name string) error {
	doc, err := v.GetXMLDesc(0)
	if err != nil {
		return err
	}
	var def libvirtxml.StorageVolume
	if err := def.Unmarshal(doc); err != nil {
		return fmt.Errorf("the host's definition of volume: %w", err)
	}
	info, err := v.GetInfo()
	if err != nil {
		return err
	}
	file, err := v.GetPath()
	if err != nil {
		return err
	}
	d.Pool, d.Name, d.SizeBytes, d.Volume = p.Name, def.Name, int64(info.Capacity), p.idOf(def.Name)
	if file != pathOf(x) {
		r.obstacle("%s is called %s in its pool", name, file)
	}
	if def.BackingStore != nil && def.BackingStore.Path != "" {
		r.obstacle("%s has a backing file, %s", name, def.BackingStore.Path)
	} else if r.backed(x) {
		r.obstacle("%s has a backing file", name)
	}
	if x.Driver != nil && x.Driver.Type != "" && x.Driver.Type != p.format() {
		r.obstacle("%s is of the format %s; in the pool %s they are %s", name, x.Driver.Type, p.Name, p.format())
	}
	return nil
}

// backed reports whether a disk of a domain that runs has a backing file.
func (r *strayReader) backed(x *libvirtxml.DomainDisk) bool {
	if r.actual == nil {
		return false
	}
	return slices.ContainsFunc(r.actual.Devices.Disks, func(o libvirtxml.DomainDisk) bool {
		return pathOf(&o) == pathOf(x) && o.BackingStore != nil && o.BackingStore.Format != nil // an empty one ends the chain
	})
}
