package libvirt

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"slices"

	"github.com/google/uuid"
	"libvirt.org/go/libvirt"
	"libvirt.org/go/libvirtxml"

	"github.com/occid/occid/hypervisor"
)

// seedTarget is the device that a seed is for the host. On a controller of virtio's it
// is found by guests of any machine type, also by those without drivers for the disks
// of old.
const seedTarget = "sda"

// seedID is the UUID of a domain's seed. It follows from the domain's.
func seedID(domain uuid.UUID) uuid.UUID { return uuid.NewSHA1(domain, []byte("seed")) }

func seedName(domain uuid.UUID) string { return seedID(domain).String() + ".iso" }

// isSeed reports whether a disk is the seed of a domain.
func isSeed(x *libvirtxml.DomainDisk, domain uuid.UUID) bool {
	return isAlias(x.Alias, aliasOf(seedID(domain)))
}

// digest tells a seed from others; "" of none.
func digest(seed []byte) string {
	if len(seed) == 0 {
		return ""
	}
	sum := sha256.Sum256(seed)
	return hex.EncodeToString(sum[:])
}

// seedOf gives the digest of the seed that a definition was written with.
func seedOf(x *libvirtxml.Domain) string {
	if x.Metadata == nil {
		return ""
	}
	return markOf(x.Metadata.XML).Seed
}

// setSeed gives a definition the seed of a domain, or takes it off; had is the digest
// of the one that it was written with.
func (s *session) setSeed(ctx context.Context, x *libvirtxml.Domain, d hypervisor.Domain, had string) error {
	i := slices.IndexFunc(x.Devices.Disks, func(o libvirtxml.DomainDisk) bool { return isSeed(&o, d.ID) })
	if len(d.Seed) == 0 {
		if i < 0 {
			return nil
		}
		x.Devices.Disks = slices.Delete(x.Devices.Disks, i, i+1)
		return s.dropFile(ctx, seedName(d.ID))
	}
	file, err := s.seedFile(ctx, d, had)
	if err != nil || i >= 0 {
		return err
	}
	x.Devices.Disks = append(x.Devices.Disks, libvirtxml.DomainDisk{
		Device:   "cdrom",
		Driver:   &libvirtxml.DomainDiskDriver{Name: "qemu", Type: "raw"},
		Source:   &libvirtxml.DomainDiskSource{File: &libvirtxml.DomainDiskSourceFile{File: file}},
		Target:   &libvirtxml.DomainDiskTarget{Dev: seedTarget, Bus: "scsi"},
		ReadOnly: &libvirtxml.DomainDiskReadOnly{},
		Alias:    &libvirtxml.DomainAlias{Name: aliasOf(seedID(d.ID))},
	})
	isSCSI := func(c libvirtxml.DomainController) bool { return c.Type == "scsi" }
	if !slices.ContainsFunc(x.Devices.Controllers, isSCSI) {
		x.Devices.Controllers = append(x.Devices.Controllers, libvirtxml.DomainController{Type: "scsi", Model: "virtio-scsi"})
	}
	return nil
}

// seedFile makes the file that holds a domain's seed, unless it is there, and gives its
// path. It is another file when its content is: a guest that runs goes on reading what
// it has open.
func (s *session) seedFile(ctx context.Context, d hypervisor.Domain, had string) (string, error) {
	name := seedName(d.ID)
	if had == digest(d.Seed) {
		if file, err := s.fileOf(ctx, name); forgiveMissing(err) != nil || err == nil {
			return file, err
		}
	}
	if err := s.dropFile(ctx, name); err != nil {
		return "", err
	}
	size := uint64(len(d.Seed))
	err := s.addFile(ctx, opVolumeCreate, libvirtxml.StorageVolume{
		Name:     name,
		Capacity: &libvirtxml.StorageVolumeSize{Unit: "bytes", Value: size},
		Target:   &libvirtxml.StorageVolumeTarget{Format: &libvirtxml.StorageVolumeTargetFormat{Type: "raw"}},
	}, func(pool *libvirt.StoragePool, doc string) (*libvirt.StorageVol, error) {
		return pool.StorageVolCreateXML(doc, 0)
	})
	if err != nil {
		return "", err
	}
	if err := s.upload(ctx, name, d.Seed); err != nil {
		return "", err
	}
	return s.fileOf(ctx, name)
}

// upload writes the content of a raw volume. The test host's volumes hold nothing.
func (s *session) upload(ctx context.Context, name string, content []byte) error {
	if s.simulated {
		return nil
	}
	v, err := s.findFile(ctx, name)
	if err != nil {
		return err
	}
	defer func() { _ = v.Free() }()
	return s.stream(ctx, opVolumeUpload, func(st *libvirt.Stream) error { return v.Upload(st, 0, uint64(len(content)), 0) },
		func(st *libvirt.Stream) error { return sendAll(st, content) })
}
