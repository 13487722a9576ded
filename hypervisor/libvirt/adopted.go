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

// Volumes that others made keep their names, and may be in pools that are not offered.
// Their UUIDs follow from both, so that nothing need be kept of them anywhere.

// hostPool is a pool of the host, whoever made it.
type hostPool struct {
	Pool
	offered bool
	// place tells it from the pools of other hosts, unless it is the same there.
	place string
	pool  *libvirt.StoragePool
}

// idOf gives the UUID of a volume in the pool. What its name says holds in those that are
// offered only.
func (p *hostPool) idOf(name string) uuid.UUID {
	if id := p.volumeID(name); id != uuid.Nil && (p.offered || hypervisor.IsAdopted(id)) {
		return id
	}
	return hypervisor.AdoptedVolume(p.place, name)
}

// readPool tells what pool of the host one is; ok is false if volumes cannot be in such.
func (s *session) readPool(pool *libvirt.StoragePool) (p hostPool, ok bool, err error) {
	doc, err := pool.GetXMLDesc(0)
	if err != nil {
		return p, false, err
	}
	var x libvirtxml.StoragePool
	if err := x.Unmarshal(doc); err != nil {
		return p, false, fmt.Errorf("the host's definition of pool: %w", err)
	}
	_, err = s.poolNamed(x.Name)
	p = hostPool{Pool: Pool{Name: x.Name}, offered: err == nil, place: s.cfg.URI + "\n" + x.Name, pool: pool}
	switch x.Type {
	case "dir", "fs":
		p.Type = PoolDir
	case "netfs":
		p.Type = PoolNFS
		if src := x.Source; src != nil && len(src.Host) > 0 && src.Dir != nil {
			p.place = src.Host[0].Name + ":" + src.Dir.Path
		}
	case "logical":
		p.Type = PoolLogical
	default:
		return p, false, nil
	}
	if x.Target != nil {
		p.Target = x.Target.Path
	}
	return p, x.Name != s.consolePool(), nil
}

// eachHostPool calls f with every active pool of the host that volumes can be in, and
// what is in it, until that gives false. One that cannot be read is left out.
func (s *session) eachHostPool(ctx context.Context, f func(hostPool, []libvirt.StorageVol) (bool, error)) error {
	pools, err := s.conn.ListAllStoragePools(libvirt.CONNECT_LIST_STORAGE_POOLS_ACTIVE)
	if err != nil {
		return err
	}
	for i := range pools {
		defer func() { _ = pools[i].Free() }()
	}
	for i := range pools {
		if err := ctx.Err(); err != nil {
			return err
		}
		p, ok, err := s.readPool(&pools[i])
		if err == nil && !ok {
			continue
		}
		var vols []libvirt.StorageVol
		if err == nil {
			vols, err = pools[i].ListAllStorageVolumes(0)
		}
		if err != nil {
			s.cfg.Logger.Debug("a pool of the host is not looked into", "uri", s.cfg.URI, "pool", p.Name, "error", err)
			continue
		}
		more, err := f(p, vols)
		for i := range vols {
			_ = vols[i].Free()
		}
		if err != nil || !more {
			return err
		}
	}
	return nil
}

// findAdopted finds a volume that others made.
func (s *session) findAdopted(ctx context.Context, id uuid.UUID) (v *libvirt.StorageVol, in Pool, err error) {
	err = s.eachHostPool(ctx, func(p hostPool, vols []libvirt.StorageVol) (bool, error) {
		for i := range vols {
			name, err := vols[i].GetName()
			if err != nil {
				return false, err
			}
			if p.idOf(name) == id {
				v, err = p.pool.LookupStorageVolByName(name)
				in = p.Pool
				return false, err
			}
		}
		return true, nil
	})
	if err == nil && v == nil {
		err = fmt.Errorf("volume %s: %w", id, hypervisor.ErrNotFound)
	}
	return v, in, translate("volume", err)
}

// errNotMade is why a volume of others is not made again: it would be empty.
var errNotMade = errors.New("it was made by others, and is in no active pool of the host any more")

// offered gives the pool for what comes of a volume that is in one: the same, or the
// default if nothing is made there.
func (s *session) offered(p Pool) Pool {
	if in, err := s.poolNamed(p.Name); err == nil {
		return in
	}
	return s.pools()[0]
}

// othersVolumes lists the volumes in the host's pools that others made.
func (s *session) othersVolumes(ctx context.Context) ([]hypervisor.VolumeStatus, error) {
	var out []hypervisor.VolumeStatus
	err := s.eachHostPool(ctx, func(p hostPool, vols []libvirt.StorageVol) (bool, error) {
		found, err := statuses(ctx, p.Pool, vols, func(name string) uuid.UUID {
			if id := p.idOf(name); hypervisor.IsAdopted(id) {
				return id
			}
			return uuid.Nil
		})
		out = append(out, found...)
		return true, err
	})
	return out, err
}

// given is what the host calls a device, and where it has plugged an interface in.
type given struct {
	alias  *libvirtxml.DomainAlias
	source *libvirtxml.DomainInterfaceSource
}

// called has what a domain has now go by the names of its definition: devices that it had
// when it was adopted have others until it is started next. What the host calls them is
// kept in given.
func (m *machine) called(now *libvirtxml.Domain) error {
	if now.Metadata == nil || !markOf(now.Metadata.XML).Adopted {
		return nil
	}
	def, err := m.definition()
	if err != nil {
		return err
	}
	m.given = map[string]given{}
	for i := range def.Devices.Disks {
		d := &def.Devices.Disks[i]
		if d.Alias == nil || d.Target == nil || hasDevice(now, d.Alias.Name) {
			continue
		}
		for j := range now.Devices.Disks {
			if o := &now.Devices.Disks[j]; o.Alias != nil && o.Target != nil && o.Target.Dev == d.Target.Dev {
				m.given[d.Alias.Name] = given{alias: o.Alias}
				o.Alias = d.Alias
			}
		}
	}
	for i := range def.Devices.Interfaces {
		d := &def.Devices.Interfaces[i]
		if d.Alias == nil || hasDevice(now, d.Alias.Name) {
			continue
		}
		for j := range now.Devices.Interfaces {
			o := &now.Devices.Interfaces[j]
			if o.Alias == nil || !sameMAC(o, d) {
				continue
			}
			m.given[d.Alias.Name] = given{o.Alias, o.Source}
			o.Alias = d.Alias
			if networkOf(o) == "" {
				o.Source = d.Source
			}
		}
	}
	return nil
}

// aliasNow is what the host calls a device of the domain that runs.
func (m *machine) aliasNow(alias string) string {
	if g, ok := m.given[alias]; ok {
		return g.alias.Name
	}
	return alias
}

// asGiven gives an interface as the host knows it.
func (m *machine) asGiven(x *libvirtxml.DomainInterface) *libvirtxml.DomainInterface {
	g, ok := m.given[x.Alias.Name]
	if !ok {
		return x
	}
	own := *x
	own.Alias, own.Source = g.alias, g.source
	return &own
}
