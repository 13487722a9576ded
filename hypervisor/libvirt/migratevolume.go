package libvirt

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/google/uuid"
	"libvirt.org/go/libvirt"
	"libvirt.org/go/libvirtxml"

	"github.com/occid/occid/hypervisor"
)

// movedVolume is a volume of a domain on its way.
type movedVolume struct {
	id       uuid.UUID
	target   string // the disk that it is
	v        *libvirt.StorageVol
	in, to   Pool
	capacity uint64
	shared   bool
	backed   bool
	backing  *libvirtxml.StorageVolumeBackingStore // on the target, nil if it has none there
	here     string                                // its file
	file     string                                // on the target
}

type moved []*movedVolume

func (m moved) free() {
	for _, v := range m {
		_ = v.v.Free()
	}
}

// disks names the disks whose content is to be sent, and tells whether all of it is,
// or only what differs from what is there, and whether others are shared.
func (m moved) disks() (targets []string, whole, shared bool) {
	for _, v := range m {
		if v.shared {
			shared = true
			continue
		}
		targets = append(targets, v.target)
		whole = whole || v.backed && v.backing == nil
	}
	return targets, whole, shared
}

// volumes makes the volumes of the domain on the target that it does not share; what
// they are to hold is sent later.
func (g *migration) volumes(ctx context.Context, live bool) (out moved, err error) {
	defer func() {
		if err != nil {
			out.free()
		}
	}()
	for _, d := range g.spec.Disks {
		v, p, err := g.from.findVolume(ctx, d.Volume)
		if err != nil {
			return out, err
		}
		x := &movedVolume{id: d.Volume, target: d.Target, v: v, in: p}
		out = append(out, x)
		if err := g.measure(ctx, x); err != nil {
			return out, err
		}
	}
	// Of disks of one domain either all are sent whole, or of none what its backing has.
	_, whole, _ := out.disks()
	for _, x := range out {
		if !x.shared {
			if whole || !live {
				x.backing = nil
			}
			if err := g.to.makeVolume(ctx, x.to, x.id, x.capacity, x.backing); err != nil {
				return out, err
			}
		}
		if x.file, _, err = g.to.volumeFile(ctx, x.id); err != nil {
			return out, err
		}
	}
	return out, nil
}

// measure finds out what there is to know of a volume before it moves.
func (g *migration) measure(ctx context.Context, x *movedVolume) error {
	info, err := x.v.GetInfo()
	if err != nil {
		return err
	}
	x.capacity = info.Capacity
	if x.here, err = x.v.GetPath(); err != nil {
		return err
	}
	for _, s := range []*session{g.from, g.to} {
		if x.to, err = s.poolNamed(x.in.Name); err != nil {
			return fmt.Errorf("the volume %s is in a pool that is not offered on both hosts: %w", x.id, err)
		}
	}
	if x.shared, err = g.shares(ctx, x.in, x.to); err != nil {
		return err
	}
	switch {
	case x.shared && g.how.Storage == hypervisor.StorageCopy:
		return fmt.Errorf("both hosts have the pool %s, from where the volume %s cannot be copied to itself", x.in.Name, x.id)
	case !x.shared && g.how.Storage == hypervisor.StorageShared:
		return fmt.Errorf("the target does not share the pool %s, where the volume %s is", x.in.Name, x.id)
	case x.shared:
		return g.sees(ctx, x)
	}
	return g.findBacking(ctx, x)
}

// sees has the target know a volume in a pool that it shares.
func (g *migration) sees(ctx context.Context, x *movedVolume) error {
	if err := g.to.refreshed(ctx, x.to, x.to.volumeName(x.id)); err != nil || !hypervisor.IsAdopted(x.id) {
		return err
	}
	v, _, err := g.to.findVolume(ctx, x.id)
	if errors.Is(err, hypervisor.ErrNotFound) {
		// It is not known to be the same place.
		return fmt.Errorf("the volume %s was made by others and is %s in the pool %s, which the target shares as another one", x.id, x.here, x.in.Name)
	}
	if err != nil {
		return err
	}
	return v.Free()
}

// findBacking finds what a volume is backed by, and whether the target has it.
func (g *migration) findBacking(ctx context.Context, x *movedVolume) error {
	doc, err := x.v.GetXMLDesc(0)
	if err != nil {
		return err
	}
	var def libvirtxml.StorageVolume
	if err := def.Unmarshal(doc); err != nil {
		return fmt.Errorf("the host's definition of volume %s: %w", x.id, err)
	}
	if def.BackingStore == nil || def.BackingStore.Path == "" {
		return nil
	}
	x.backed = true
	v, p, err := g.to.findVolume(ctx, volumeAt(def.BackingStore.Path))
	if err != nil {
		return forgiveMissing(err)
	}
	defer func() { _ = v.Free() }()
	file, err := v.GetPath()
	x.backing = &libvirtxml.StorageVolumeBackingStore{Path: file, Format: &libvirtxml.StorageVolumeTargetFormat{Type: p.format()}}
	return err
}

// refreshed has a pool look again for a file that another host may have made.
func (s *session) refreshed(ctx context.Context, p Pool, name string) error {
	v, err := s.findFileIn(ctx, p, name)
	if err == nil {
		return v.Free()
	}
	if !errors.Is(err, hypervisor.ErrNotFound) {
		return err
	}
	pool, err := s.pool(ctx, p.Name)
	if err != nil {
		return err
	}
	defer func() { _ = pool.Free() }()
	return pool.Refresh(0)
}

// shares finds out whether pools of the two hosts are one place: what is made in one
// stands in the way of the same in the other.
func (g *migration) shares(ctx context.Context, here, there Pool) (same bool, err error) {
	if here.Type == PoolLogical || there.Type == PoolLogical {
		return false, nil
	}
	if same, known := g.same[here.Name]; known {
		return same, nil
	}
	// Always the same one, so that what an interrupted attempt left is found.
	probe := uuid.NewSHA1(g.spec.ID, []byte("probe"))
	clean := context.WithoutCancel(ctx)
	for _, s := range []*session{g.from, g.to} {
		if err := s.dropVolume(ctx, probe); err != nil {
			return false, err
		}
	}
	if err := g.from.makeVolume(ctx, here, probe, block, nil); err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, g.from.dropVolume(clean, probe)) }()
	err = g.to.makeVolume(ctx, there, probe, block, nil)
	switch {
	case err == nil:
		err = g.to.dropVolume(clean, probe)
	case code(err, libvirt.ERR_OPERATION_INVALID, libvirt.ERR_STORAGE_VOL_EXIST):
		same, err = true, nil
	}
	if err == nil {
		g.same[here.Name] = same
	}
	return same, err
}

// dropVolumes removes the volumes of the domain from a host that does not share them
// with the other.
func (g *migration) dropVolumes(ctx context.Context, s *session) error {
	for _, d := range g.spec.Disks {
		v, p, err := s.findVolume(ctx, d.Volume)
		if errors.Is(err, hypervisor.ErrNotFound) {
			continue
		}
		if err != nil {
			return err
		}
		err = g.dropVolume(ctx, s, v, p)
		_ = v.Free()
		if err != nil {
			return err
		}
	}
	return nil
}

func (g *migration) dropVolume(ctx context.Context, s *session, v *libvirt.StorageVol, p Pool) error {
	there, err := g.to.poolNamed(p.Name)
	if err != nil {
		return err
	}
	here, err := g.from.poolNamed(p.Name)
	if err != nil {
		return err
	}
	same, err := g.shares(ctx, here, there)
	if err != nil || same {
		return err
	}
	return s.drop(ctx, v)
}

// send sends what the volumes of a domain that does not run hold. What is backed by an
// image is sent with what it has of that.
func (g *migration) send(ctx context.Context, vols moved) error {
	for _, x := range vols {
		if x.shared || g.from.simulated {
			continue
		}
		if err := g.sendVolume(ctx, x, vols); err != nil {
			return err
		}
	}
	return nil
}

func (g *migration) sendVolume(ctx context.Context, x *movedVolume, vols moved) (err error) {
	v := x.v
	if x.backed {
		whole := uuid.NewSHA1(x.id, []byte("whole"))
		clean := context.WithoutCancel(ctx)
		if err := g.from.dropVolume(ctx, whole); err != nil {
			return underWay(err)
		}
		defer func() { err = errors.Join(err, g.from.dropVolume(clean, whole)) }()
		err = g.from.addVolume(ctx, opVolumeClone, x.in, x.in.volumeName(whole), x.capacity, nil, func(pool *libvirt.StoragePool, doc string) (*libvirt.StorageVol, error) {
			return pool.StorageVolCreateXMLFrom(doc, x.v, 0)
		})
		if err != nil {
			return err
		}
		if v, _, err = g.from.findVolume(ctx, whole); err != nil {
			return err
		}
		defer func() { _ = v.Free() }()
	}
	// Its length as a file, which is what is sent.
	info, err := v.GetInfoFlags(libvirt.STORAGE_VOL_GET_PHYSICAL)
	if err != nil {
		return err
	}
	o, _, err := g.to.findVolume(ctx, x.id)
	if err != nil {
		return err
	}
	defer func() { _ = o.Free() }()
	total := vols.length(x, int64(info.Allocation))
	return g.transfer(ctx, v, o, int64(info.Allocation), func(n int) {
		if g.done += int64(n); g.how.Progress != nil {
			g.how.Progress(min(g.done, total), total)
		}
	})
}

// length is about how much is sent of volumes, one of which has a known length.
func (m moved) length(known *movedVolume, length int64) int64 {
	sum := length
	for _, v := range m {
		if v != known && !v.shared {
			if info, err := v.v.GetInfoFlags(libvirt.STORAGE_VOL_GET_PHYSICAL); err == nil {
				sum += int64(info.Allocation)
			}
		}
	}
	return sum
}

// transfer sends a volume's file over another's on the target.
func (g *migration) transfer(ctx context.Context, v, o *libvirt.StorageVol, length int64, sent func(int)) error {
	if g.from.simulated {
		return nil
	}
	r, w := io.Pipe()
	read := make(chan error, 1)
	go func() {
		err := g.from.stream(ctx, "", func(st *libvirt.Stream) error { return v.Download(st, 0, 0, 0) }, func(st *libvirt.Stream) error {
			return receiveAll(ctx, st, w)
		})
		_ = w.CloseWithError(err)
		read <- err
	}()
	err := g.to.stream(ctx, opVolumeUpload, func(st *libvirt.Stream) error { return o.Upload(st, 0, uint64(length), 0) }, func(st *libvirt.Stream) error {
		return sendFrom(ctx, st, r, length, sent)
	})
	_ = r.CloseWithError(io.ErrClosedPipe)
	return errors.Join(err, <-read)
}

// receiveAll writes what comes over a stream.
func receiveAll(ctx context.Context, st *libvirt.Stream, w io.Writer) error {
	for part := make([]byte, transferPart); ; {
		if err := ctx.Err(); err != nil {
			return err
		}
		n, err := st.Recv(part)
		if err == io.EOF || err == nil && n == 0 {
			return nil
		}
		if err != nil {
			return err
		}
		if _, err := w.Write(part[:n]); err != nil {
			return err
		}
	}
}

// sendFrom sends what is read, which has a length.
func sendFrom(ctx context.Context, st *libvirt.Stream, r io.Reader, length int64, sent func(int)) error {
	have := int64(0)
	for part := make([]byte, transferPart); ; {
		if err := ctx.Err(); err != nil {
			return err
		}
		n, err := r.Read(part)
		if err := sendAll(st, part[:n]); err != nil {
			return err
		}
		have += int64(n)
		sent(n)
		if err == io.EOF {
			return whole(have, length, nil)
		}
		if err != nil {
			return err
		}
	}
}
