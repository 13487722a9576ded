package libvirt

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/google/uuid"
	"libvirt.org/go/libvirt"
	"libvirt.org/go/libvirtxml"

	"github.com/occid/occid/hypervisor"
)

// poolTypes are what the types of pools are called by the host; the first is what
// is made where there is none.
var poolTypes = map[PoolType][]string{
	PoolDir:     {"dir", "fs", "netfs"},
	PoolNFS:     {"netfs", "dir", "fs"},
	PoolLogical: {"logical"},
}

// pools are those that volumes can be in, the default first.
func (c *Config) pools(more []Pool) []Pool {
	all := slices.Concat([]Pool{{Name: c.Pool, Type: PoolDir, Target: c.PoolDir}}, c.Pools, more)
	if i := slices.IndexFunc(all, func(p Pool) bool { return p.Name == c.DefaultPool }); i > 0 {
		all[0], all[i] = all[i], all[0]
	}
	return all
}

// checkPools refuses pools that cannot be told apart or made.
func (c *Config) checkPools() error {
	seen := map[string]bool{c.Pool: true, c.Pool + "-console": true}
	for _, p := range c.Pools {
		server, _, mounted := strings.Cut(p.Source, ":/")
		switch {
		case p.Name == "" || seen[p.Name]:
			return fmt.Errorf("the pool %q has no name or that of another", p.Name)
		case poolTypes[p.Type] == nil:
			return fmt.Errorf("pool %s: there is no type %q", p.Name, p.Type)
		case p.Type == PoolNFS && (server == "" || !mounted):
			return fmt.Errorf("pool %s: %q is not SERVER:/PATH", p.Name, p.Source)
		case p.Type == PoolLogical && (p.Source == "" || strings.Contains(p.Source, "/")):
			return fmt.Errorf("pool %s: %q is not a volume group", p.Name, p.Source)
		case p.Type != PoolLogical && !path.IsAbs(p.Target):
			return fmt.Errorf("pool %s: %q is not a directory's absolute path", p.Name, p.Target)
		}
		seen[p.Name] = true
	}
	if _, err := poolNamed(c.pools(nil), c.DefaultPool); err != nil {
		return fmt.Errorf("the default: %w", err)
	}
	return nil
}

// pools are those that volumes can be in now.
func (s *session) pools() []Pool { return s.cfg.pools(*s.more.Load()) }

func (s *session) poolNamed(name string) (Pool, error) { return poolNamed(s.pools(), name) }

// CheckPool implements hypervisor.Driver.
func (d *Driver) CheckPool(p hypervisor.Pool) error {
	_, err := d.cfg.offer([]hypervisor.Pool{p})
	return err
}

// OfferPools implements hypervisor.Driver.
func (d *Driver) OfferPools(ps []hypervisor.Pool) error {
	more, err := d.cfg.offer(ps)
	if err == nil {
		d.more.Store(&more)
	}
	return err
}

// offer makes pools of those that are to be offered beside the configured ones.
func (c *Config) offer(ps []hypervisor.Pool) ([]Pool, error) {
	with := *c
	with.Pools = slices.Clone(c.Pools)
	for _, p := range ps {
		own := Pool{Name: p.Name, Type: PoolType(p.Type), Source: p.Source, Target: p.Target}
		if own.Type == PoolDir {
			own.Source, own.Target = "", p.Source
		}
		with.Pools = append(with.Pools, own)
	}
	with = with.withDefaults()
	if err := with.checkPools(); err != nil {
		return nil, fmt.Errorf("%w: %v", hypervisor.ErrInvalid, err)
	}
	return with.Pools[len(c.Pools):], nil
}

// poolNamed finds the pool of a name, the default for none.
func poolNamed(all []Pool, name string) (Pool, error) {
	i := slices.IndexFunc(all, func(p Pool) bool { return name == "" || p.Name == name })
	if i < 0 {
		return Pool{}, fmt.Errorf("%w: there is no pool %q", hypervisor.ErrInvalid, name)
	}
	return all[i], nil
}

// format is that of the volumes in a pool.
func (p Pool) format() string {
	if p.Type == PoolLogical {
		return "raw"
	}
	return "qcow2"
}

// volumeName is what a volume is called in a pool.
func (p Pool) volumeName(id uuid.UUID) string {
	if p.Type == PoolLogical {
		return id.String()
	}
	return volumeName(id)
}

// volumeID reads the name of a volume in a pool; zero if it is not a Driver's.
func (p Pool) volumeID(name string) uuid.UUID {
	if p.Type == PoolLogical {
		return parseID(name)
	}
	return volumeID(name)
}

// poolID is the UUID of a pool that the driver makes. It follows from the name,
// so that making it twice is making it once.
func poolID(name string) uuid.UUID {
	return uuid.NewSHA1(uuid.NameSpaceURL, []byte(Namespace+"#"+name))
}

// pool finds a pool and makes it active; ErrNotFound if there is none.
func (s *session) pool(ctx context.Context, name string) (*libvirt.StoragePool, error) {
	pool, err := s.conn.LookupStoragePoolByName(name)
	if err != nil {
		return nil, translate("pool "+name, err)
	}
	if err := s.startPool(ctx, pool, name); err != nil {
		_ = pool.Free()
		return nil, err
	}
	return pool, nil
}

func (s *session) startPool(ctx context.Context, pool *libvirt.StoragePool, name string) error {
	active, err := pool.IsActive()
	if err != nil || active {
		return err
	}
	err = s.bringUp(ctx, pool, name)
	if err == nil || ctx.Err() != nil {
		return err
	}
	// Another call may have been faster.
	if active, aerr := pool.IsActive(); aerr == nil && active {
		return nil
	}
	// A file server that is away comes back, and another call may be starting the pool.
	return fmt.Errorf("%w: pool %s cannot be started: %v", hypervisor.ErrUnavailable, name, err)
}

// bringUp makes the directory of a pool that the driver defined, and starts it.
func (s *session) bringUp(ctx context.Context, pool *libvirt.StoragePool, name string) error {
	id, err := pool.GetUUIDString()
	if err != nil {
		return err
	}
	if id == poolID(name).String() {
		if err := s.buildPool(ctx, pool); err != nil {
			return err
		}
		if err := s.change(ctx, opPoolAutostart, func() error { return pool.SetAutostart(true) }); err != nil {
			return err
		}
	}
	return s.change(ctx, opPoolCreate, func() error { return pool.Create(libvirt.STORAGE_POOL_CREATE_NORMAL) })
}

// buildPool makes the directory of a pool. A volume group is its operator's to
// make: building one would take the disks that it is on.
func (s *session) buildPool(ctx context.Context, pool *libvirt.StoragePool) error {
	kind, err := typeOf(pool)
	if err != nil || slices.Contains(poolTypes[PoolLogical], kind) {
		return err
	}
	return s.change(ctx, opPoolBuild, func() error { return pool.Build(libvirt.STORAGE_POOL_BUILD_NEW) })
}

// ensurePool finds a pool, or makes it on the host, and makes it active.
func (s *session) ensurePool(ctx context.Context, p Pool) (*libvirt.StoragePool, error) {
	pool, err := s.pool(ctx, p.Name)
	if !errors.Is(err, hypervisor.ErrNotFound) {
		return pool, err
	}
	doc, err := poolXML(p).Marshal()
	if err != nil {
		return nil, err
	}
	err = s.change(ctx, opPoolDefine, func() error {
		pool, err := s.conn.StoragePoolDefineXML(doc, 0)
		if err != nil {
			return err
		}
		return pool.Free()
	})
	if err != nil {
		return nil, err
	}
	return s.pool(ctx, p.Name)
}

// poolXML describes a pool to the host.
func poolXML(p Pool) *libvirtxml.StoragePool {
	x := &libvirtxml.StoragePool{Type: poolTypes[p.Type][0], Name: p.Name, UUID: poolID(p.Name).String(),
		Target: &libvirtxml.StoragePoolTarget{Path: p.Target}}
	switch p.Type {
	case PoolNFS:
		server, dir, _ := strings.Cut(p.Source, ":/")
		x.Source = &libvirtxml.StoragePoolSource{Host: []libvirtxml.StoragePoolSourceHost{{Name: server}},
			Dir: &libvirtxml.StoragePoolSourceDir{Path: "/" + dir}, Format: &libvirtxml.StoragePoolSourceFormat{Type: "nfs"}}
	case PoolLogical:
		x.Source = &libvirtxml.StoragePoolSource{Name: p.Source, Format: &libvirtxml.StoragePoolSourceFormat{Type: "lvm2"}}
		x.Target.Path = "/dev/" + p.Source
	}
	return x
}

// keeps refuses a pool of the host that does not keep volumes as p says.
func (p Pool) keeps(pool *libvirt.StoragePool) error {
	kind, err := typeOf(pool)
	if err == nil && !slices.Contains(poolTypes[p.Type], kind) {
		err = fmt.Errorf("%w: pool %s is of type %s on the host, not of %v", hypervisor.ErrInvalid, p.Name, kind, poolTypes[p.Type])
	}
	return err
}

// typeOf gives the type of a pool of the host.
func typeOf(pool *libvirt.StoragePool) (string, error) {
	doc, err := pool.GetXMLDesc(0)
	if err != nil {
		return "", err
	}
	var x libvirtxml.StoragePool
	if err := x.Unmarshal(doc); err != nil {
		return "", fmt.Errorf("the host's definition of pool: %w", err)
	}
	return x.Type, nil
}

// Pools implements hypervisor.Driver. A pool that is missing is made, unless none but
// the default is configured: that is made with its first volume.
func (d *Driver) Pools(ctx context.Context) ([]hypervisor.PoolStatus, error) {
	return call(ctx, d, "look at pools", nobody, func(ctx context.Context, s *session) ([]hypervisor.PoolStatus, error) {
		var out []hypervisor.PoolStatus
		pools := s.pools()
		for _, p := range pools {
			st, err := s.poolStatus(ctx, p, len(pools) == 1)
			if ctx.Err() != nil {
				return nil, ctx.Err()
			}
			if errors.Is(err, hypervisor.ErrNotFound) && len(pools) == 1 {
				err = nil // it has all sizes 0
			}
			if err != nil {
				s.cfg.Logger.Warn("a pool cannot be used", "uri", s.cfg.URI, "pool", p.Name, "error", err)
				s.check()
				continue
			}
			out = append(out, st)
		}
		return out, nil
	})
}

func (s *session) poolStatus(ctx context.Context, p Pool, alone bool) (hypervisor.PoolStatus, error) {
	st := hypervisor.PoolStatus{Name: p.Name}
	find := s.ensurePool
	if alone {
		find = func(ctx context.Context, p Pool) (*libvirt.StoragePool, error) { return s.pool(ctx, p.Name) }
	}
	pool, err := find(ctx, p)
	if err != nil {
		return st, err
	}
	defer func() { _ = pool.Free() }()
	if err := p.keeps(pool); err != nil {
		return st, err
	}
	info, err := pool.GetInfo()
	if err != nil {
		return st, err
	}
	st.CapacityBytes, st.AllocatedBytes, st.AvailableBytes = int64(info.Capacity), int64(info.Allocation), int64(info.Available)
	return st, nil
}
