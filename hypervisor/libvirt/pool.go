package libvirt

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/google/uuid"
	"libvirt.org/go/libvirt"
	"libvirt.org/go/libvirtxml"

	"github.com/occid/occid/hypervisor"
)

// filePools are the types of pools that keep volumes as files, which qcow2 needs.
var filePools = []string{"dir", "fs", "netfs"}

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
	// Another call may have been faster.
	if active, aerr := pool.IsActive(); err != nil && aerr == nil && active {
		return nil
	}
	return err
}

func (s *session) bringUp(ctx context.Context, pool *libvirt.StoragePool, name string) error {
	id, err := pool.GetUUIDString()
	if err != nil {
		return err
	}
	if id == poolID(name).String() {
		if err := s.change(ctx, opPoolBuild, func() error { return pool.Build(libvirt.STORAGE_POOL_BUILD_NEW) }); err != nil {
			return err
		}
		if err := s.change(ctx, opPoolAutostart, func() error { return pool.SetAutostart(true) }); err != nil {
			return err
		}
	}
	return s.change(ctx, opPoolCreate, func() error { return pool.Create(libvirt.STORAGE_POOL_CREATE_NORMAL) })
}

// ensurePool finds a pool, or makes it in dir on the host, and makes it active.
func (s *session) ensurePool(ctx context.Context, name, dir string) (*libvirt.StoragePool, error) {
	pool, err := s.pool(ctx, name)
	if !errors.Is(err, hypervisor.ErrNotFound) {
		return pool, err
	}
	x := libvirtxml.StoragePool{Type: "dir", Name: name, UUID: poolID(name).String(), Target: &libvirtxml.StoragePoolTarget{Path: dir}}
	doc, err := x.Marshal()
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
	return s.pool(ctx, name)
}

// holdsFiles refuses a pool that is no directory of files.
func holdsFiles(pool *libvirt.StoragePool) error {
	doc, err := pool.GetXMLDesc(0)
	if err != nil {
		return err
	}
	var x libvirtxml.StoragePool
	if err := x.Unmarshal(doc); err != nil {
		return fmt.Errorf("the host's definition of pool: %w", err)
	}
	if !slices.Contains(filePools, x.Type) {
		return fmt.Errorf("%w: pool %s is of type %s and holds no files", hypervisor.ErrInvalid, x.Name, x.Type)
	}
	return nil
}
