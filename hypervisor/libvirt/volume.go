package libvirt

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/google/uuid"
	"libvirt.org/go/libvirt"
	"libvirt.org/go/libvirtxml"

	"github.com/occid/occid/hypervisor"
)

// volumeExt ends the names of volumes, which are otherwise their UUIDs.
const volumeExt = ".qcow2"

// block is what the sizes of volumes are multiples of, in bytes.
const block = 4096

func volumeName(id uuid.UUID) string { return id.String() + volumeExt }

// volumeID reads the name of a volume; zero if it is not a Driver's.
func volumeID(name string) uuid.UUID {
	s, ok := strings.CutSuffix(name, volumeExt)
	if !ok {
		return uuid.Nil
	}
	return parseID(s)
}

// findVolume finds a volume, and its pool; ErrNotFound if none has it. A pool that
// cannot be looked into may have it.
func (s *session) findVolume(ctx context.Context, id uuid.UUID) (*libvirt.StorageVol, Pool, error) {
	return s.findVolumeIn(ctx, id, s.pools())
}

func (s *session) findVolumeIn(ctx context.Context, id uuid.UUID, pools []Pool) (*libvirt.StorageVol, Pool, error) {
	missing := fmt.Errorf("volume %s: %w", id, hypervisor.ErrNotFound)
	if hypervisor.IsAdopted(id) {
		return s.findAdopted(ctx, id)
	}
	for _, p := range pools {
		v, err := s.findFileIn(ctx, p, p.volumeName(id))
		if err == nil {
			return v, p, nil
		}
		if !errors.Is(err, hypervisor.ErrNotFound) {
			missing = err
		}
	}
	return nil, Pool{}, missing
}

// ownPool is the pool of what is no volume.
func (s *session) ownPool() Pool { return Pool{Name: s.cfg.Pool, Type: PoolDir, Target: s.cfg.PoolDir} }

// findFile finds what has a name in the driver's own pool.
func (s *session) findFile(ctx context.Context, name string) (*libvirt.StorageVol, error) {
	return s.findFileIn(ctx, s.ownPool(), name)
}

func (s *session) findFileIn(ctx context.Context, p Pool, name string) (*libvirt.StorageVol, error) {
	pool, err := s.pool(ctx, p.Name)
	if err != nil {
		return nil, err
	}
	defer func() { _ = pool.Free() }()
	v, err := pool.LookupStorageVolByName(name)
	if err != nil {
		return nil, translate("volume "+name, err)
	}
	return v, nil
}

// volumeFile gives the path of a volume on the host, and its pool.
func (s *session) volumeFile(ctx context.Context, id uuid.UUID) (string, Pool, error) {
	v, p, err := s.findVolume(ctx, id)
	if err != nil {
		return "", p, err
	}
	defer func() { _ = v.Free() }()
	file, err := v.GetPath()
	return file, p, err
}

func (s *session) fileOf(ctx context.Context, name string) (string, error) {
	v, err := s.findFile(ctx, name)
	if err != nil {
		return "", err
	}
	defer func() { _ = v.Free() }()
	return v.GetPath()
}

// CreateVolume implements hypervisor.Driver. Sizes are rounded up to whole blocks
// of 4,096 bytes.
func (d *Driver) CreateVolume(ctx context.Context, spec hypervisor.Volume) error {
	return d.do(ctx, "create volume", spec.ID, func(ctx context.Context, s *session) error {
		if spec.SizeBytes < 0 || spec.SizeBytes == 0 && spec.Backing == uuid.Nil {
			return fmt.Errorf("%w: %d bytes", hypervisor.ErrInvalid, spec.SizeBytes)
		}
		size := uint64(spec.SizeBytes+block-1) / block * block
		p, err := s.poolNamed(spec.Pool)
		if err != nil {
			return err
		}
		pools := s.pools()
		if spec.Pool != "" {
			pools = []Pool{p}
		}
		v, in, err := s.findVolumeIn(ctx, spec.ID, pools)
		if errors.Is(err, hypervisor.ErrNotFound) && hypervisor.IsAdopted(spec.ID) {
			return errNotMade
		}
		if errors.Is(err, hypervisor.ErrNotFound) {
			backing, p, err := s.backing(ctx, spec, p, &size)
			if err != nil {
				return err
			}
			return s.makeVolume(ctx, p, spec.ID, size, backing)
		}
		if err != nil {
			return err
		}
		defer func() { _ = v.Free() }()
		info, err := v.GetInfo()
		if err != nil {
			return err
		}
		switch {
		case info.Capacity == size || spec.SizeBytes == 0:
			return nil
		case info.Capacity > size:
			return fmt.Errorf("%w: it has %d bytes and cannot shrink to %d", hypervisor.ErrInvalid, info.Capacity, size)
		}
		return s.grow(ctx, in, v, size)
	})
}

// makeVolume makes a volume that is as its backing, or empty if that is nil.
func (s *session) makeVolume(ctx context.Context, p Pool, id uuid.UUID, size uint64, backing *libvirtxml.StorageVolumeBackingStore) error {
	return s.makeNamed(ctx, p, p.volumeName(id), size, backing)
}

func (s *session) makeNamed(ctx context.Context, p Pool, name string, size uint64, backing *libvirtxml.StorageVolumeBackingStore) error {
	return s.addVolume(ctx, opVolumeCreate, p, name, size, backing, func(pool *libvirt.StoragePool, doc string) (*libvirt.StorageVol, error) {
		return pool.StorageVolCreateXML(doc, 0)
	})
}

// backing describes the volume that another of a size, 0 for its own, is to be
// backed by; nil for the nil UUID. It also gives the pool where the other is to be:
// that of its backing, unless another one was asked for or it cannot be there.
func (s *session) backing(ctx context.Context, spec hypervisor.Volume, p Pool, size *uint64) (*libvirtxml.StorageVolumeBackingStore, Pool, error) {
	if spec.Backing == uuid.Nil {
		return nil, p, nil
	}
	v, of, err := s.findVolume(ctx, spec.Backing)
	if err != nil {
		return nil, p, err
	}
	if spec.Pool == "" && of.Type != PoolLogical {
		p = s.offered(of)
	}
	if p.Type == PoolLogical {
		_ = v.Free()
		return nil, p, fmt.Errorf("%w: logical volumes, of pool %s, have nothing that they are backed by", hypervisor.ErrInvalid, p.Name)
	}
	defer func() { _ = v.Free() }()
	info, err := v.GetInfo()
	if err != nil {
		return nil, p, err
	}
	if *size == 0 {
		*size = info.Capacity
	}
	if info.Capacity > *size {
		return nil, p, fmt.Errorf("%w: %d bytes are less than the %d of what it is backed by", hypervisor.ErrInvalid, *size, info.Capacity)
	}
	file, err := v.GetPath()
	if err != nil {
		return nil, p, err
	}
	// The format is named: guests can write anything at the beginning of a file.
	return &libvirtxml.StorageVolumeBackingStore{Path: file, Format: &libvirtxml.StorageVolumeTargetFormat{Type: of.format()}}, p, nil
}

// addVolume has add make a volume that it describes to the pool.
func (s *session) addVolume(ctx context.Context, op string, p Pool, name string, size uint64, backing *libvirtxml.StorageVolumeBackingStore, add addFile) error {
	x := libvirtxml.StorageVolume{
		BackingStore: backing,
		Name:         name,
		Capacity:     &libvirtxml.StorageVolumeSize{Unit: "bytes", Value: size},
		Allocation:   &libvirtxml.StorageVolumeSize{Unit: "bytes"},
		Target:       &libvirtxml.StorageVolumeTarget{Format: &libvirtxml.StorageVolumeTargetFormat{Type: p.format()}},
	}
	if p.Type == PoolLogical {
		// All of it, since what is less would be a snapshot; and it has no format.
		x.Allocation.Value, x.Target = size, nil
	}
	return s.addFileIn(ctx, op, p, x, add)
}

// addFile makes what a document describes in a pool.
type addFile func(pool *libvirt.StoragePool, doc string) (*libvirt.StorageVol, error)

// addFile has add make what x describes in the driver's own pool.
func (s *session) addFile(ctx context.Context, op string, x libvirtxml.StorageVolume, add addFile) error {
	return s.addFileIn(ctx, op, s.ownPool(), x, add)
}

func (s *session) addFileIn(ctx context.Context, op string, p Pool, x libvirtxml.StorageVolume, add addFile) error {
	doc, err := x.Marshal()
	if err != nil {
		return err
	}
	pool, err := s.ensurePool(ctx, p)
	if err != nil {
		return err
	}
	defer func() { _ = pool.Free() }()
	if err := p.keeps(pool); err != nil {
		return err
	}
	return s.change(ctx, op, func() error {
		v, err := add(pool, doc)
		if err != nil {
			return err
		}
		return v.Free()
	})
}

// grow makes a volume larger: through the domain that runs with it, whose guest
// then sees it, or else in the pool.
func (s *session) grow(ctx context.Context, p Pool, v *libvirt.StorageVol, size uint64) error {
	file, err := v.GetPath()
	if err != nil {
		return err
	}
	m, target, err := s.userOf(file)
	if err != nil {
		return err
	}
	if m != nil {
		defer m.free()
		err := s.change(ctx, opVolumeResize, func() error {
			return m.dom.BlockResize(target, size, libvirt.DOMAIN_BLOCK_RESIZE_BYTES)
		})
		if !unsupported(err) {
			return err
		}
	}
	if s.simulated {
		return s.remakeVolume(ctx, p, v, size)
	}
	return s.change(ctx, opVolumeResize, func() error { return v.Resize(size, 0) })
}

// remakeVolume stands in for growing on the test host, which cannot and whose
// volumes hold no data.
func (s *session) remakeVolume(ctx context.Context, p Pool, v *libvirt.StorageVol, size uint64) error {
	name, err := v.GetName()
	if err != nil {
		return err
	}
	doc, err := v.GetXMLDesc(0)
	if err != nil {
		return err
	}
	var was libvirtxml.StorageVolume
	if err := was.Unmarshal(doc); err != nil {
		return err
	}
	if err := s.change(ctx, opVolumeDelete, func() error { return v.Delete(libvirt.STORAGE_VOL_DELETE_NORMAL) }); err != nil {
		return err
	}
	return s.makeNamed(ctx, p, name, size, was.BackingStore)
}

// userOf finds the running domain that has a file as a disk, and the disk's
// target; nil if there is none.
func (s *session) userOf(file string) (*machine, string, error) {
	doms, err := s.conn.ListAllDomains(libvirt.CONNECT_LIST_DOMAINS_ACTIVE)
	if err != nil {
		return nil, "", err
	}
	var user *machine
	var target string
	for i := range doms {
		m := &machine{session: s, dom: &doms[i]}
		if user == nil && err == nil {
			if target, err = m.diskOn(file); target != "" && err == nil {
				user = m
				continue
			}
		}
		m.free()
	}
	return user, target, err
}

// diskOn gives the target of the domain's disk that is a file; "" if it has none.
func (m *machine) diskOn(file string) (string, error) {
	x, err := m.read(0)
	if code(err, libvirt.ERR_NO_DOMAIN) {
		return "", nil // ended meanwhile
	}
	if err != nil {
		return "", err
	}
	for _, d := range x.Devices.Disks {
		if pathOf(&d) == file && d.Target != nil {
			return d.Target.Dev, nil
		}
	}
	return "", nil
}

// DeleteVolume implements hypervisor.Driver.
func (d *Driver) DeleteVolume(ctx context.Context, id uuid.UUID) error {
	return d.do(ctx, "delete volume", id, func(ctx context.Context, s *session) error {
		return s.dropVolume(ctx, id)
	})
}

func (s *session) dropVolume(ctx context.Context, id uuid.UUID) error {
	v, _, err := s.findVolume(ctx, id)
	if err != nil {
		return forgiveMissing(err)
	}
	defer func() { _ = v.Free() }()
	return s.drop(ctx, v)
}

func (s *session) dropFile(ctx context.Context, name string) error {
	v, err := s.findFile(ctx, name)
	if err != nil {
		return forgiveMissing(err)
	}
	defer func() { _ = v.Free() }()
	return s.drop(ctx, v)
}

func (s *session) drop(ctx context.Context, v *libvirt.StorageVol) error {
	err := s.change(ctx, opVolumeDelete, func() error { return v.Delete(libvirt.STORAGE_VOL_DELETE_NORMAL) })
	if code(err, libvirt.ERR_NO_STORAGE_VOL) {
		return nil
	}
	return err
}

// forgiveMissing takes what is missing for removed.
func forgiveMissing(err error) error {
	if errors.Is(err, hypervisor.ErrNotFound) {
		return nil
	}
	return err
}

// Volumes implements hypervisor.Driver.
func (d *Driver) Volumes(ctx context.Context) ([]hypervisor.VolumeStatus, error) {
	return call(ctx, d, "list volumes", nobody, func(ctx context.Context, s *session) ([]hypervisor.VolumeStatus, error) {
		var out []hypervisor.VolumeStatus
		err := s.eachPool(ctx, func(p Pool, vols []libvirt.StorageVol) error {
			in, err := statuses(ctx, p, vols, p.volumeID)
			out = append(out, in...)
			return err
		})
		if err != nil {
			return out, err
		}
		others, err := s.othersVolumes(ctx)
		return append(out, others...), err
	})
}

// LookInto implements hypervisor.Driver.
func (d *Driver) LookInto(ctx context.Context, name string) ([]hypervisor.VolumeStatus, error) {
	return call(ctx, d, "look into pool", nobody, func(ctx context.Context, s *session) (out []hypervisor.VolumeStatus, err error) {
		p, err := s.poolNamed(name)
		if err != nil {
			return nil, err
		}
		pool, err := s.ensurePool(ctx, p)
		if err != nil {
			return nil, err
		}
		err = pool.Refresh(0)
		_ = pool.Free()
		if err != nil {
			return nil, err
		}
		err = s.inPool(ctx, p, func(p Pool, vols []libvirt.StorageVol) error {
			out, err = statuses(ctx, p, vols, p.volumeID)
			return err
		})
		return out, err
	})
}

// eachPool calls f with the volumes of every pool; those of one that is missing are
// none.
func (s *session) eachPool(ctx context.Context, f func(Pool, []libvirt.StorageVol) error) error {
	for _, p := range s.pools() {
		if err := s.inPool(ctx, p, f); err != nil {
			return err
		}
	}
	return nil
}

func (s *session) inPool(ctx context.Context, p Pool, f func(Pool, []libvirt.StorageVol) error) error {
	pool, err := s.pool(ctx, p.Name)
	if err != nil {
		return forgiveMissing(err)
	}
	defer func() { _ = pool.Free() }()
	vols, err := pool.ListAllStorageVolumes(0)
	if err != nil {
		return err
	}
	defer func() {
		for i := range vols {
			_ = vols[i].Free()
		}
	}()
	return f(p, vols)
}

// statuses describes the volumes whose names are those of UUIDs.
func statuses(ctx context.Context, p Pool, vols []libvirt.StorageVol, idOf func(name string) uuid.UUID) ([]hypervisor.VolumeStatus, error) {
	var out []hypervisor.VolumeStatus
	for i := range vols {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		name, err := vols[i].GetName()
		if err != nil {
			return nil, err
		}
		id := idOf(name)
		if id == uuid.Nil {
			continue
		}
		info, err := vols[i].GetInfo()
		if code(err, libvirt.ERR_NO_STORAGE_VOL) {
			continue // removed meanwhile
		}
		if err != nil {
			return nil, err
		}
		out = append(out, hypervisor.VolumeStatus{ID: id, Pool: p.Name, SizeBytes: int64(info.Capacity), AllocatedBytes: int64(info.Allocation)})
	}
	return out, nil
}
