package libvirt

import (
	"context"
	"fmt"

	"github.com/google/uuid"
	"libvirt.org/go/libvirt"
	"libvirt.org/go/libvirtxml"

	"github.com/occid/occid/hypervisor"
)

// machine is a domain on the host with the session it was found in.
type machine struct {
	*session
	id  uuid.UUID
	dom *libvirt.Domain
	// given has devices of a domain that runs by the aliases of its definition, if the host
	// calls them otherwise; see called.
	given map[string]given
}

func (m *machine) free() { _ = m.dom.Free() }

// domain finds a domain that a Driver made; one of others is not found.
func (s *session) domain(id uuid.UUID) (*machine, error) {
	m, foreign, err := s.lookup(id)
	if err != nil {
		return nil, err
	}
	if m == nil || foreign {
		return nil, fmt.Errorf("domain: %w", hypervisor.ErrNotFound)
	}
	return m, nil
}

// lookup finds a domain, and tells whether others made it. It gives nil if there
// is none, and also if it is foreign.
func (s *session) lookup(id uuid.UUID) (m *machine, foreign bool, err error) {
	dom, err := s.conn.LookupDomainByUUID(id[:])
	if code(err, libvirt.ERR_NO_DOMAIN) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, err
	}
	_, err = dom.GetMetadata(libvirt.DOMAIN_METADATA_ELEMENT, Namespace, libvirt.DOMAIN_AFFECT_CONFIG)
	if err == nil {
		return &machine{session: s, id: id, dom: dom}, false, nil
	}
	_ = dom.Free()
	// A domain without a definition is not a Driver's either.
	if code(err, libvirt.ERR_NO_DOMAIN_METADATA, libvirt.ERR_OPERATION_INVALID) {
		return nil, true, nil
	}
	return nil, false, err
}

// definition reads what the domain will be when it starts next.
func (m *machine) definition() (*libvirtxml.Domain, error) {
	return m.read(libvirt.DOMAIN_XML_INACTIVE | libvirt.DOMAIN_XML_SECURE)
}

func (m *machine) read(flags libvirt.DomainXMLFlags) (*libvirtxml.Domain, error) {
	doc, err := m.dom.GetXMLDesc(flags)
	if err != nil {
		return nil, err
	}
	return parseDomain(doc)
}

func parseDomain(doc string) (*libvirtxml.Domain, error) {
	x := &libvirtxml.Domain{}
	if err := x.Unmarshal(doc); err != nil {
		return nil, fmt.Errorf("the host's definition: %w", err)
	}
	if x.Devices == nil {
		x.Devices = &libvirtxml.DomainDeviceList{}
	}
	return x, nil
}

// define writes a definition.
func (s *session) define(ctx context.Context, op string, x *libvirtxml.Domain) error {
	doc, err := x.Marshal()
	if err != nil {
		return err
	}
	return s.change(ctx, op, func() error {
		dom, err := s.conn.DomainDefineXML(doc)
		if err != nil {
			return err
		}
		return dom.Free()
	})
}

// DefineDomain implements hypervisor.Driver.
func (d *Driver) DefineDomain(ctx context.Context, spec hypervisor.Domain) error {
	return d.do(ctx, "define domain", spec.ID, func(ctx context.Context, s *session) error {
		m, foreign, err := s.lookup(spec.ID)
		if err != nil {
			return err
		}
		if foreign {
			return fmt.Errorf("%w: a domain with this UUID was made by others", hypervisor.ErrInvalid)
		}
		if m != nil {
			defer m.free()
			return m.redefine(ctx, spec)
		}
		log, err := s.consoleLog(ctx, spec.ID)
		if err != nil {
			return err
		}
		x := newDomain(spec, log)
		if err := s.fill(ctx, x, spec); err != nil {
			return err
		}
		return s.define(ctx, opDomainDefine, x)
	})
}

// redefine changes the definition where it differs from spec.
func (m *machine) redefine(ctx context.Context, spec hypervisor.Domain) error {
	x, err := m.definition()
	if err != nil {
		return err
	}
	before, err := x.Marshal()
	if err != nil {
		return err
	}
	if err := m.fill(ctx, x, spec); err != nil {
		return err
	}
	after, err := x.Marshal()
	if err != nil || after == before {
		return err
	}
	return m.define(ctx, opDomainDefine, x)
}

// fill makes a definition say what spec says, devices included.
func (s *session) fill(ctx context.Context, x *libvirtxml.Domain, spec hypervisor.Domain) error {
	had := seedOf(x)
	if err := s.setDomain(x, spec); err != nil {
		return err
	}
	for _, d := range spec.Disks {
		disk, err := s.disk(ctx, d)
		if err != nil {
			return err
		}
		setDisk(x, disk)
	}
	orderDisks(x)
	for _, n := range spec.NICs {
		nic, err := s.nic(ctx, spec.ID, n)
		if err != nil {
			return err
		}
		if err := s.readdress(ctx, x, n, nic); err != nil {
			return err
		}
		setNIC(x, nic)
	}
	return s.setSeed(ctx, x, spec, had)
}

// DeleteDomain implements hypervisor.Driver.
func (d *Driver) DeleteDomain(ctx context.Context, id uuid.UUID) error {
	return d.do(ctx, "delete domain", id, func(ctx context.Context, s *session) error { return s.removeDomain(ctx, id) })
}

// removeDomain removes a domain with all that the host has for it but its volumes.
func (s *session) removeDomain(ctx context.Context, id uuid.UUID) error {
	return s.removeWith(ctx, id, func() error { return s.dropFile(ctx, seedName(id)) })
}

// removeWith does that with a way to remove its seed.
func (s *session) removeWith(ctx context.Context, id uuid.UUID, dropSeed func() error) error {
	m, foreign, err := s.lookup(id)
	if foreign || err != nil {
		return err
	}
	if m == nil {
		// What a definition left that was not written.
		if err := s.dropFilters(ctx, filterPrefix(id)); err != nil {
			return err
		}
		return dropSeed()
	}
	defer m.free()
	if err := m.drive(ctx, m.powerOff); err != nil {
		return err
	}
	if err := m.forgetNICs(ctx); err != nil {
		return err
	}
	if err := s.dropFilters(ctx, filterPrefix(id)); err != nil {
		return err
	}
	if err := s.removeConsoleLogs(ctx, id); err != nil {
		return err
	}
	if err := dropSeed(); err != nil {
		return err
	}
	// The definition goes last: as long as it is there the rest is found.
	return m.undefine(ctx)
}

func (m *machine) undefine(ctx context.Context) error {
	return m.change(ctx, opDomainUndefine, func() error {
		err := m.dom.UndefineFlags(m.undefineFlags())
		if code(err, libvirt.ERR_NO_DOMAIN) {
			return nil
		}
		return err
	})
}

// forgetNICs removes the reservations of the interfaces that a Driver attached.
func (m *machine) forgetNICs(ctx context.Context) error {
	x, err := m.definition()
	if code(err, libvirt.ERR_NO_DOMAIN) {
		return nil
	}
	if err != nil {
		return err
	}
	for i := range x.Devices.Interfaces {
		nic := &x.Devices.Interfaces[i]
		if nic.Alias == nil || idOf(nic.Alias.Name) == uuid.Nil {
			continue
		}
		if err := m.forget(ctx, nic); err != nil {
			return err
		}
	}
	return nil
}

func (s *session) undefineFlags() libvirt.DomainUndefineFlagsValues {
	flags := libvirt.DOMAIN_UNDEFINE_MANAGED_SAVE | libvirt.DOMAIN_UNDEFINE_SNAPSHOTS_METADATA
	if s.simulated {
		return flags
	}
	return flags | libvirt.DOMAIN_UNDEFINE_CHECKPOINTS_METADATA | libvirt.DOMAIN_UNDEFINE_NVRAM
}

// Domain implements hypervisor.Driver.
func (d *Driver) Domain(ctx context.Context, id uuid.UUID) (hypervisor.DomainStatus, error) {
	// It does not wait for a call under way on the domain, as one with its ID would.
	status, err := call(ctx, d, "describe domain", nobody, func(_ context.Context, s *session) (hypervisor.DomainStatus, error) {
		networks, err := s.networkNames()
		if err != nil {
			return hypervisor.DomainStatus{}, err
		}
		dom, err := s.conn.LookupDomainByUUID(id[:])
		if err != nil {
			return hypervisor.DomainStatus{}, err
		}
		m := &machine{session: s, id: id, dom: dom}
		defer m.free()
		return m.status(networks)
	})
	if err != nil {
		err = fmt.Errorf("%s: %w", id, err)
	}
	return status, err
}

// Domains implements hypervisor.Driver.
func (d *Driver) Domains(ctx context.Context) ([]hypervisor.DomainStatus, error) {
	return call(ctx, d, "list domains", nobody, func(ctx context.Context, s *session) ([]hypervisor.DomainStatus, error) {
		networks, err := s.networkNames()
		if err != nil {
			return nil, err
		}
		doms, err := s.conn.ListAllDomains(0)
		if err != nil {
			return nil, err
		}
		defer func() {
			for i := range doms {
				_ = doms[i].Free()
			}
		}()
		out := make([]hypervisor.DomainStatus, 0, len(doms))
		for i := range doms {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			st, err := (&machine{session: s, dom: &doms[i]}).status(networks)
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

// status reads what a domain is and does; networks gives the UUIDs of networks
// by name.
func (m *machine) status(networks map[string]uuid.UUID) (hypervisor.DomainStatus, error) {
	x, err := m.definition()
	if err != nil {
		return hypervisor.DomainStatus{}, err
	}
	st := describe(x, networks)
	info, err := m.dom.GetInfo()
	if err != nil {
		return st, err
	}
	if st.State, err = m.stateOf(info.State); st.State == hypervisor.Running || st.State == hypervisor.Paused {
		st.LiveVCPUs, st.LiveMemoryBytes = int(info.NrVirtCpu), int64(info.Memory)*kib
	}
	if err != nil || st.State == hypervisor.Running {
		return st, err
	}
	state, reason, err := m.dom.GetState()
	if state == info.State {
		st.Reason = reasonOf(state, reason)
	}
	return st, err
}

// describe tells what a definition says.
func describe(x *libvirtxml.Domain, networks map[string]uuid.UUID) hypervisor.DomainStatus {
	st := hypervisor.DomainStatus{ID: parseID(x.UUID), Name: x.Name}
	if x.Metadata != nil {
		st.Managed = isMarked(x.Metadata.XML)
	}
	st.VCPUs = int(vcpusOf(x))
	if x.Memory != nil {
		st.MemoryBytes = int64(x.Memory.Value) * kib // libvirt writes KiB
	}
	for i := range x.Devices.Disks {
		if !isSeed(&x.Devices.Disks[i], st.ID) {
			st.Disks = append(st.Disks, diskOf(&x.Devices.Disks[i]))
		}
	}
	for i := range x.Devices.Interfaces {
		st.NICs = append(st.NICs, nicOf(&x.Devices.Interfaces[i], networks))
	}
	return st
}
