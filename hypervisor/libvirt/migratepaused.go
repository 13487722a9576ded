package libvirt

import (
	"context"
	"errors"
	"fmt"

	"github.com/google/uuid"
	"libvirt.org/go/libvirt"
	"libvirt.org/go/libvirtxml"

	"github.com/occid/occid/hypervisor"
)

// A domain that is paused is saved to a file of its pool, which is sent, and restored from
// that. Live, it would arrive with disks that QEMU only takes over when it goes on; until
// then QEMU does not survive being moved again. As long as the file is there the domain
// can be restored where it was.

// savedName is what the file is called.
func savedName(domain uuid.UUID) string {
	return uuid.NewSHA1(domain, []byte("saved")).String() + ".save"
}

// savable refuses a domain that is neither paused nor what an interrupted attempt has
// saved.
func (g *migration) savable(ctx context.Context, is hypervisor.State) error {
	if is == hypervisor.Paused {
		return nil
	}
	if is == hypervisor.Stopped {
		file, err := g.from.findFile(ctx, savedName(g.spec.ID))
		if err == nil {
			return file.Free()
		}
		if !errors.Is(err, hypervisor.ErrNotFound) {
			return err
		}
	}
	return fmt.Errorf("it is not paused any more but %s", is)
}

// paused moves a domain that is paused, or what it was saved to before.
func (g *migration) paused(ctx context.Context, m *machine, def domainXML, to *places, vols moved, is hypervisor.State) error {
	name := savedName(g.spec.ID)
	g.kept = is == hypervisor.Paused
	if g.kept {
		if err := g.from.makeFile(ctx, name, 0); err != nil {
			return err
		}
	}
	file, err := g.from.fileOf(ctx, name)
	if err != nil {
		return err
	}
	if g.kept {
		if err := m.change(ctx, opDomainSave, func() error { return m.dom.SaveFlags(file, "", libvirt.DOMAIN_SAVE_PAUSED) }); err != nil {
			return err
		}
	}
	doc, err := g.from.conn.DomainSaveImageGetXMLDesc(file, libvirt.DOMAIN_SAVE_IMAGE_XML_SECURE)
	if err != nil {
		return err
	}
	saved, err := parseDomain(doc)
	if err != nil {
		return err
	}
	if err := g.send(ctx, vols); err != nil {
		return err
	}
	if err := g.sendSaved(ctx, name); err != nil {
		return err
	}
	to.apply(def)
	if err := g.to.define(ctx, opDomainMigrate, def); err != nil {
		return err
	}
	doc, _, err = to.document(saved)
	if err != nil {
		return err
	}
	g.kept = false
	if err := g.to.restore(ctx, name, doc); err != nil {
		return err
	}
	// The definition goes first, since from then on the domain is there.
	return m.undefine(ctx)
}

// makeFile makes a file of a length in the driver's own pool, in place of another.
func (s *session) makeFile(ctx context.Context, name string, length uint64) error {
	if err := s.dropFile(ctx, name); err != nil {
		return err
	}
	return s.addFile(ctx, opVolumeCreate, libvirtxml.StorageVolume{
		Name:       name,
		Capacity:   &libvirtxml.StorageVolumeSize{Unit: "bytes", Value: length},
		Allocation: &libvirtxml.StorageVolumeSize{Unit: "bytes"},
		Target:     &libvirtxml.StorageVolumeTarget{Format: &libvirtxml.StorageVolumeTargetFormat{Type: "raw"}},
	}, func(pool *libvirt.StoragePool, doc string) (*libvirt.StorageVol, error) {
		return pool.StorageVolCreateXML(doc, 0)
	})
}

// sendSaved sends what the domain was saved to.
func (g *migration) sendSaved(ctx context.Context, name string) error {
	v, err := g.from.findFile(ctx, name)
	if err != nil {
		return err
	}
	defer func() { _ = v.Free() }()
	same, err := g.shares(ctx, g.from.ownPool(), g.to.ownPool())
	if err != nil {
		return err
	}
	if same {
		return g.to.refreshed(ctx, g.to.ownPool(), name)
	}
	info, err := v.GetInfoFlags(libvirt.STORAGE_VOL_GET_PHYSICAL)
	if err != nil {
		return err
	}
	if err := g.to.makeFile(ctx, name, info.Allocation); err != nil {
		return err
	}
	o, err := g.to.findFile(ctx, name)
	if err != nil {
		return err
	}
	defer func() { _ = o.Free() }()
	total := g.done + int64(info.Allocation)
	return g.transfer(ctx, v, o, int64(info.Allocation), func(n int) {
		if g.done += int64(n); g.how.Progress != nil {
			g.how.Progress(min(g.done, total), total)
		}
	})
}

// restore has a domain be paused that was saved to a file, with a definition if one is
// given.
func (s *session) restore(ctx context.Context, name, doc string) error {
	file, err := s.fileOf(ctx, name)
	if err != nil {
		return err
	}
	return s.change(ctx, opDomainRestore, func() error { return s.conn.DomainRestoreFlags(file, doc, libvirt.DOMAIN_SAVE_PAUSED) })
}

// revive has a domain be paused again that was saved to move and has not.
func (g *migration) revive(ctx context.Context) error {
	name := savedName(g.spec.ID)
	if !g.how.Paused {
		return nil
	}
	m, err := g.from.domain(g.spec.ID)
	if err != nil {
		return forgiveMissing(err)
	}
	defer m.free()
	is, err := m.state()
	if err != nil {
		return err
	}
	if is == hypervisor.Stopped {
		if err := g.from.restore(ctx, name, ""); err != nil {
			return forgiveMissing(err)
		}
	}
	return g.from.dropFile(ctx, name)
}
