package libvirt

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"libvirt.org/go/libvirt"
	"libvirt.org/go/libvirtxml"

	"github.com/occid/occid/hypervisor"
)

// backupLook is how often a copy by a running domain is looked at.
const backupLook = 100 * time.Millisecond

// CopyVolume implements hypervisor.Driver. A domain that holds the original open
// makes the copy itself.
func (d *Driver) CopyVolume(ctx context.Context, from, to uuid.UUID) error {
	return d.do(ctx, "copy volume", from, func(ctx context.Context, s *session) error {
		v, in, err := s.findVolume(ctx, from)
		if err != nil {
			return err
		}
		defer func() { _ = v.Free() }()
		p := s.offered(in)
		if err := s.dropVolume(ctx, to); err != nil {
			return underWay(err)
		}
		info, err := v.GetInfo()
		if err != nil {
			return err
		}
		file, err := v.GetPath()
		if err != nil {
			return err
		}
		user, target, err := s.userOf(file)
		if err != nil {
			return err
		}
		if user != nil {
			defer user.free()
		}
		if user != nil && !s.simulated {
			return user.backup(ctx, target, p, to, info.Capacity)
		}
		if s.simulated && p.Name != in.Name {
			// It clones within a pool only, and its volumes hold nothing.
			return s.makeVolume(ctx, p, to, info.Capacity, nil)
		}
		return s.addVolume(ctx, opVolumeClone, p, p.volumeName(to), info.Capacity, nil, func(pool *libvirt.StoragePool, doc string) (*libvirt.StorageVol, error) {
			return pool.StorageVolCreateXMLFrom(doc, v, 0)
		})
	})
}

// underWay makes a fault that passes of a refusal by a host where an earlier copy,
// which nobody waits for any more, has not ended.
func underWay(err error) error {
	if code(err, libvirt.ERR_OPERATION_INVALID) {
		return fmt.Errorf("%w: an earlier copy has not ended: %v", hypervisor.ErrUnavailable, err)
	}
	return err
}

// backup has a running domain copy one of its disks into a new volume, and removes
// that if it does not succeed.
func (m *machine) backup(ctx context.Context, target string, p Pool, to uuid.UUID, size uint64) (err error) {
	if err := m.makeVolume(ctx, p, to, size, nil); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			// What stays all the same is replaced by the next attempt.
			clean, cancel := context.WithTimeout(context.WithoutCancel(ctx), unplugTime)
			defer cancel()
			_ = m.dropVolume(clean, to)
		}
	}()
	file, _, err := m.volumeFile(ctx, to)
	if err != nil {
		return err
	}
	source := &libvirtxml.DomainDiskSource{File: &libvirtxml.DomainDiskSourceFile{File: file}}
	if p.Type == PoolLogical {
		source = &libvirtxml.DomainDiskSource{Block: &libvirtxml.DomainDiskSourceBlock{Dev: file}}
	}
	doc, err := (&libvirtxml.DomainBackup{Push: &libvirtxml.DomainBackupPush{Disks: &libvirtxml.DomainBackupPushDisks{
		Disks: []libvirtxml.DomainBackupPushDisk{{Name: target, Backup: "yes",
			Driver: &libvirtxml.DomainBackupDiskDriver{Type: p.format()},
			Target: source}},
	}}}).Marshal()
	if err != nil {
		return err
	}
	err = m.change(ctx, opVolumeBackup, func() error {
		return m.dom.BackupBegin(doc, "", libvirt.DOMAIN_BACKUP_BEGIN_REUSE_EXTERNAL)
	})
	if err != nil {
		return underWay(err)
	}
	return m.backedUp(ctx)
}

// backedUp waits for the end of the domain's backup, and ends it itself if ctx
// ends first.
func (m *machine) backedUp(ctx context.Context) error {
	tick := time.NewTicker(backupLook)
	defer tick.Stop()
	for {
		job, err := m.dom.GetJobStats(0)
		if err != nil {
			return err
		}
		if job.Type == libvirt.DOMAIN_JOB_NONE {
			break
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			_ = m.dom.AbortJob()
			return ctx.Err()
		}
	}
	job, err := m.dom.GetJobStats(libvirt.DOMAIN_JOB_STATS_COMPLETED)
	if err != nil {
		return err
	}
	if job.Operation != libvirt.DOMAIN_JOB_OPERATION_BACKUP || job.Type != libvirt.DOMAIN_JOB_COMPLETED {
		return fmt.Errorf("the domain did not finish the copy: %s", cmp.Or(job.ErrorMessage, "it was stopped"))
	}
	return nil
}
