package hypertest

import (
	"bytes"
	"encoding/binary"
	"slices"
	"strings"

	"github.com/google/uuid"

	"github.com/occid/occid/hypervisor"
)

// dropLater removes a volume when the test ends.
func (s *suite) dropLater(id uuid.UUID) {
	s.Cleanup(func() {
		if err := s.drv.DeleteVolume(s.ctx(), id); err != nil {
			s.Errorf("volume %s is left on the host: %v", id, err)
		}
	})
}

// overlay makes a volume that is backed by another of v's size and holds what v does.
func (s *suite) overlay(v hypervisor.Volume) hypervisor.Volume {
	s.Helper()
	o := hypervisor.Volume{ID: uuid.New(), SizeBytes: 2 * v.SizeBytes, Backing: v.ID}
	s.dropLater(o.ID)
	for _, when := range []string{"creating an overlay", "creating it again"} {
		s.ok(when, s.drv.CreateVolume(s.ctx(), o))
		s.wantSize(when, o.ID, o.SizeBytes)
	}
	o.SizeBytes *= 2
	s.ok("grow the overlay", s.drv.CreateVolume(s.ctx(), o))
	s.wantSize("growing the overlay", o.ID, o.SizeBytes)
	s.wantSize("growing the overlay", v.ID, v.SizeBytes)
	return o
}

// overlays backs volumes by others: they are written to and copied, also by the
// domain that runs with one, and the copies depend on nothing.
func (s *suite) overlays() {
	v, d, ctx := s.newVolume(), s.domain(), s.ctx()
	if s.traits.Write != nil {
		s.traits.Write(s.T, v.ID)
	}
	if err := s.drv.CreateVolume(ctx, hypervisor.Volume{ID: uuid.New(), SizeBytes: v.SizeBytes / 2, Backing: v.ID}); err == nil {
		s.Error("an overlay is smaller than what it is backed by")
	}
	s.is("overlay of what is missing", s.drv.CreateVolume(ctx, hypervisor.Volume{ID: uuid.New(), SizeBytes: v.SizeBytes, Backing: uuid.New()}), hypervisor.ErrNotFound)
	still, live := s.overlay(v), s.overlay(v)
	alike := uuid.New()
	s.dropLater(alike)
	s.ok("create an overlay of the same size", s.drv.CreateVolume(ctx, hypervisor.Volume{ID: alike, Backing: v.ID}))
	s.wantSize("creating an overlay of the same size", alike, v.SizeBytes)
	if all, err := s.drv.Overlays(ctx, v.ID); err != nil || len(all) != 3 || !slices.Contains(all, alike) {
		s.Errorf("the overlays are %v, %v", all, err)
	}
	if s.traits.Holds != nil && !s.traits.Holds(s.T, still.ID) {
		s.Error("the overlay lacks what it is backed by")
	}
	s.ok("attach", s.drv.AttachDisk(ctx, d.ID, hypervisor.Disk{ID: uuid.New(), Volume: live.ID, Target: "vda"}))
	s.ok("start", s.drv.StartDomain(ctx, d.ID))
	var copies []uuid.UUID
	for _, o := range []hypervisor.Volume{still, live} {
		to := uuid.New()
		s.dropLater(to)
		s.ok("copy an overlay", s.drv.CopyVolume(ctx, o.ID, to))
		s.wantSize("copying an overlay", to, o.SizeBytes)
		copies = append(copies, to)
	}
	s.ok("delete the domain", s.drv.DeleteDomain(ctx, d.ID))
	for _, id := range []uuid.UUID{still.ID, live.ID, alike, v.ID} {
		s.ok("delete", s.drv.DeleteVolume(ctx, id))
	}
	for _, id := range copies {
		if s.traits.Holds != nil && !s.traits.Holds(s.T, id) {
			s.Error("a copy of an overlay lacks what that was backed by")
		}
	}
}

// headerOf is the beginning of a qcow2 file with a disk of some size.
func headerOf(size int64) []byte {
	h := make([]byte, 112)
	copy(h, "QFI\xfb")
	binary.BigEndian.PutUint32(h[4:], 3)
	binary.BigEndian.PutUint64(h[24:], uint64(size))
	return h
}

// content writes volumes from what others hold.
func (s *suite) content() {
	v, ctx, to := s.newVolume(), s.ctx(), uuid.New()
	s.dropLater(to)
	var file bytes.Buffer
	if s.traits.Write == nil {
		file.Write(headerOf(v.SizeBytes))
		s.is("read what holds nothing", s.drv.ReadVolume(ctx, v.ID, &file), hypervisor.ErrInvalid)
	} else {
		s.traits.Write(s.T, v.ID)
		s.ok("read", s.drv.ReadVolume(ctx, v.ID, &file))
	}
	s.is("read what is missing", s.drv.ReadVolume(ctx, uuid.New(), &file), hypervisor.ErrNotFound)
	for _, when := range []string{"writing", "writing again"} {
		s.ok(when, s.drv.WriteVolume(ctx, to, bytes.NewReader(file.Bytes()), int64(file.Len())))
		s.wantSize(when, to, v.SizeBytes)
		if s.traits.Holds != nil && !s.traits.Holds(s.T, to) {
			s.Errorf("after %s the volume lacks what was written", when)
		}
	}
	s.ok("grow", s.drv.CreateVolume(ctx, hypervisor.Volume{ID: to, SizeBytes: 2 * v.SizeBytes}))
	s.wantSize("growing what was written", to, 2*v.SizeBytes)
	for what, bad := range map[string][]byte{"nothing": nil, "no qcow2": []byte(strings.Repeat("x", 4096)), "a disk of no size": headerOf(0), "a disk without end": headerOf(-1)} {
		s.is("write "+what, s.drv.WriteVolume(ctx, to, bytes.NewReader(bad), int64(len(bad))), hypervisor.ErrInvalid)
	}
	s.wantSize("writing what is refused", to, 2*v.SizeBytes)
	if err := s.drv.WriteVolume(ctx, to, bytes.NewReader(file.Bytes()), int64(file.Len())+1); err == nil {
		s.Error("content that is too short was written")
	}
	if s.lookVolume(to) != nil {
		s.Error("a volume that was not written to its end is there")
	}
}
