package libvirt

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/google/uuid"
	"libvirt.org/go/libvirt"
	"libvirt.org/go/libvirtxml"

	"github.com/occid/occid/hypervisor"
)

// markKey begins the name of the mark in a definition that libvirt puts it into.
const markKey = "occid"

// AdoptDomain implements hypervisor.Driver. The definition is changed first: as long as a
// guest runs its devices keep their aliases.
func (d *Driver) AdoptDomain(ctx context.Context, spec hypervisor.Domain) error {
	return d.do(ctx, "adopt domain", spec.ID, func(ctx context.Context, s *session) error {
		around, err := s.surroundings(ctx)
		defer around.free()
		if err != nil {
			return err
		}
		all := around.all
		i := slices.IndexFunc(all, func(o defined) bool { return o.id == spec.ID })
		if i < 0 {
			return fmt.Errorf("domain: %w", hypervisor.ErrNotFound)
		}
		st, err := s.stray(ctx, all[i], around)
		if err != nil {
			return err
		}
		if len(st.Obstacles) > 0 {
			return fmt.Errorf("%w: %s", hypervisor.ErrInvalid, strings.Join(st.Obstacles, "; "))
		}
		return all[i].adopt(ctx, spec, &st)
	})
}

func (o *defined) adopt(ctx context.Context, spec hypervisor.Domain, st *hypervisor.Stray) error {
	before, err := o.def.Marshal()
	if err != nil {
		return err
	}
	if err := errors.Join(nameDisks(o.def, spec, st), nameNICs(o.def, spec)); err != nil {
		return err
	}
	if o.def.Metadata == nil {
		o.def.Metadata = &libvirtxml.DomainMetadata{}
	}
	own := mark{Adopted: true}
	if st.Adopted {
		own = markOf(o.def.Metadata.XML)
	}
	if o.def.Metadata.XML, err = marked(o.def.Metadata.XML, own); err != nil {
		return err
	}
	after, err := o.def.Marshal()
	if err != nil {
		return err
	}
	if after != before {
		if err := o.define(ctx, opDomainAdopt, o.def); err != nil {
			return err
		}
	}
	for _, n := range spec.NICs {
		if err := o.reserve(ctx, n); err != nil {
			return err
		}
	}
	return o.markLive(ctx, opDomainAdopt, true)
}

// nameDisks gives the disks in a definition the aliases of those that the domain is to
// have, which are the same.
func nameDisks(def *libvirtxml.Domain, spec hypervisor.Domain, st *hypervisor.Stray) error {
	if len(st.Disks) != len(spec.Disks) {
		return fmt.Errorf("%w: it has %d disks by now, not %d", hypervisor.ErrInvalid, len(st.Disks), len(spec.Disks))
	}
	for _, d := range spec.Disks {
		same := func(o hypervisor.StrayDisk) bool {
			return o.Volume == d.Volume && lettersOf(o.Target) == lettersOf(d.Target) && o.ReadOnly == d.ReadOnly
		}
		i := slices.IndexFunc(st.Disks, same)
		if i < 0 {
			return fmt.Errorf("%w: it has no disk %s of the volume %s by now", hypervisor.ErrInvalid, d.Target, d.Volume)
		}
		for j := range def.Devices.Disks {
			if x := &def.Devices.Disks[j]; x.Target != nil && x.Target.Dev == st.Disks[i].Target {
				x.Alias = &libvirtxml.DomainAlias{Name: aliasOf(d.ID)}
			}
		}
	}
	return nil
}

// nameNICs does for interfaces what nameDisks does for disks.
func nameNICs(def *libvirtxml.Domain, spec hypervisor.Domain) error {
	if len(def.Devices.Interfaces) != len(spec.NICs) {
		return fmt.Errorf("%w: it has %d interfaces by now, not %d", hypervisor.ErrInvalid, len(def.Devices.Interfaces), len(spec.NICs))
	}
	for _, n := range spec.NICs {
		mac, err := nicMAC(n)
		if err != nil {
			return err
		}
		i := slices.IndexFunc(def.Devices.Interfaces, func(x libvirtxml.DomainInterface) bool {
			return x.MAC != nil && strings.EqualFold(x.MAC.Address, mac)
		})
		if i < 0 {
			return fmt.Errorf("%w: it has no interface %s by now", hypervisor.ErrInvalid, mac)
		}
		def.Devices.Interfaces[i].Alias = &libvirtxml.DomainAlias{Name: aliasOf(n.ID)}
	}
	return nil
}

// markLive puts the mark into what a domain is now, if it runs, or takes it out.
func (m *machine) markLive(ctx context.Context, op string, on bool) error {
	active, err := m.dom.IsActive()
	if err != nil || !active {
		return err
	}
	_, err = m.dom.GetMetadata(libvirt.DOMAIN_METADATA_ELEMENT, Namespace, libvirt.DOMAIN_AFFECT_LIVE)
	if err != nil && !code(err, libvirt.ERR_NO_DOMAIN_METADATA) {
		return err
	}
	if has := err == nil; has == on {
		return nil
	}
	text, key := "", ""
	if on {
		text, key = "<made><adopted>true</adopted></made>", markKey
	}
	return m.change(ctx, op, func() error {
		return m.dom.SetMetadata(libvirt.DOMAIN_METADATA_ELEMENT, text, key, Namespace, libvirt.DOMAIN_AFFECT_LIVE)
	})
}

// ReleaseDomain implements hypervisor.Driver.
func (d *Driver) ReleaseDomain(ctx context.Context, id uuid.UUID) error {
	return d.do(ctx, "release domain", id, func(ctx context.Context, s *session) error {
		m, _, err := s.lookup(id)
		if m == nil || err != nil {
			return err
		}
		defer m.free()
		def, err := m.definition()
		if err != nil || def.Metadata == nil || !markOf(def.Metadata.XML).Adopted {
			return err
		}
		if err := m.forgetNICs(ctx); err != nil {
			return err
		}
		if err := m.markLive(ctx, opDomainRelease, false); err != nil {
			return err
		}
		for i := range def.Devices.Disks {
			dropAlias(&def.Devices.Disks[i].Alias)
		}
		for i := range def.Devices.Interfaces {
			dropAlias(&def.Devices.Interfaces[i].Alias)
		}
		if def.Metadata.XML = unmarked(def.Metadata.XML); def.Metadata.XML == "" {
			def.Metadata = nil
		}
		return m.define(ctx, opDomainRelease, def)
	})
}

// dropAlias takes the name off a device that a Driver gave it.
func dropAlias(a **libvirtxml.DomainAlias) {
	if *a != nil && idOf((*a).Name) != uuid.Nil {
		*a = nil
	}
}

// unmarked gives a definition's metadata without the mark.
func unmarked(metadata string) string {
	var out strings.Builder
	for _, e := range elements(metadata) {
		if e.space != Namespace {
			out.WriteString(e.text)
		}
	}
	return out.String()
}
