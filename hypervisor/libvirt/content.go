package libvirt

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/google/uuid"
	"libvirt.org/go/libvirt"
	"libvirt.org/go/libvirtxml"

	"github.com/occid/occid/hypervisor"
)

const (
	// qcow2Header is how much of a qcow2 file tells the size of its disk.
	qcow2Header = 32
	// qcow2Most bounds that size, in bytes: 1 PiB is the most that storage may have.
	qcow2Most = 1 << 50
	// transferPart is how much goes over a stream at once, in bytes.
	transferPart = 256 << 10
	// cleanTime bounds the removal of what was not written to its end.
	cleanTime = 20 * time.Second
)

// capacityOf reads the size of the disk that a qcow2 file holds.
func capacityOf(head []byte) (uint64, error) {
	if len(head) < qcow2Header || string(head[:4]) != "QFI\xfb" {
		return 0, fmt.Errorf("%w: the content is no qcow2 file", hypervisor.ErrInvalid)
	}
	size := binary.BigEndian.Uint64(head[24:])
	if size == 0 || size > qcow2Most {
		return 0, fmt.Errorf("%w: the content is a disk of %d bytes", hypervisor.ErrInvalid, size)
	}
	return size, nil
}

// WriteVolume implements hypervisor.Driver.
func (d *Driver) WriteVolume(ctx context.Context, id uuid.UUID, r io.Reader, size int64) error {
	return d.do(ctx, "write volume", id, func(ctx context.Context, s *session) (err error) {
		head := make([]byte, qcow2Header)
		if _, err := io.ReadFull(r, head); err != nil {
			return fmt.Errorf("%w: the content ends within its header: %v", hypervisor.ErrInvalid, err)
		}
		capacity, err := capacityOf(head)
		if err != nil {
			return err
		}
		p, err := s.poolToWrite(ctx, id)
		if err != nil {
			return err
		}
		if err := s.dropVolume(ctx, id); err != nil {
			return err
		}
		if err := s.makeVolume(ctx, p, id, capacity, nil); err != nil {
			return err
		}
		defer func() {
			if err != nil {
				clean, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanTime)
				defer cancel()
				err = errors.Join(err, s.dropVolume(clean, id))
			}
		}()
		return s.writeAll(ctx, id, head, r, size)
	})
}

// poolToWrite gives the pool that a volume is in, or is to be in.
func (s *session) poolToWrite(ctx context.Context, id uuid.UUID) (Pool, error) {
	v, p, err := s.findVolume(ctx, id)
	if errors.Is(err, hypervisor.ErrNotFound) {
		p, err = s.poolNamed("")
	}
	if v != nil {
		_ = v.Free()
		p = s.offered(p)
	}
	return p, errors.Join(err, p.holdsFiles())
}

// holdsFiles refuses a pool whose volumes are no files.
func (p Pool) holdsFiles() error {
	if p.Type == PoolLogical {
		return fmt.Errorf("%w: the volumes of pool %s are no files", hypervisor.ErrInvalid, p.Name)
	}
	return nil
}

// writeAll writes a file over that of a volume.
func (s *session) writeAll(ctx context.Context, id uuid.UUID, head []byte, r io.Reader, size int64) error {
	rest := &io.LimitedReader{R: r, N: size - int64(len(head))}
	if s.simulated {
		// Its volumes hold nothing.
		n, err := io.Copy(io.Discard, rest)
		return whole(int64(len(head))+n, size, err)
	}
	v, _, err := s.findVolume(ctx, id)
	if err != nil {
		return err
	}
	defer func() { _ = v.Free() }()
	return s.stream(ctx, opVolumeUpload, func(st *libvirt.Stream) error { return v.Upload(st, 0, uint64(size), 0) }, func(st *libvirt.Stream) error {
		if err := sendAll(st, head); err != nil {
			return err
		}
		return sendFrom(ctx, st, rest, size-int64(len(head)), func(int) {})
	})
}

// whole refuses content that has ended early.
func whole(have, want int64, err error) error {
	if err == nil && have != want {
		return fmt.Errorf("the content ended after %d of %d bytes", have, want)
	}
	return err
}

func sendAll(st *libvirt.Stream, b []byte) error {
	for len(b) > 0 {
		n, err := st.Send(b)
		if err != nil {
			return err
		}
		b = b[n:]
	}
	return nil
}

// stream has open begin a transfer over a stream and transfer carry it out.
func (s *session) stream(ctx context.Context, op string, open, transfer func(*libvirt.Stream) error) error {
	st, err := s.conn.NewStream(0)
	if err != nil {
		return err
	}
	defer func() { _ = st.Free() }()
	run := func() error {
		if err := open(st); err != nil {
			return err
		}
		if err := transfer(st); err != nil {
			_ = st.Abort()
			return err
		}
		return st.Finish()
	}
	if op == "" {
		return run()
	}
	return s.change(ctx, op, run)
}

// Overlays implements hypervisor.Driver.
func (d *Driver) Overlays(ctx context.Context, id uuid.UUID) ([]uuid.UUID, error) {
	return call(ctx, d, "list overlays", nobody, func(ctx context.Context, s *session) ([]uuid.UUID, error) {
		var out []uuid.UUID
		file := ""
		if hypervisor.IsAdopted(id) {
			var err error
			if file, _, err = s.volumeFile(ctx, id); forgiveMissing(err) != nil {
				return nil, err
			}
		}
		err := s.eachPool(ctx, func(p Pool, vols []libvirt.StorageVol) error {
			for i := range vols {
				if !backedBy(&vols[i], id, file) {
					continue
				}
				name, err := vols[i].GetName()
				if err != nil {
					return err
				}
				out = append(out, p.volumeID(name))
			}
			return nil
		})
		return out, err
	})
}

// backedBy reports whether a volume is there and backed by another, which others may have
// made as a file.
func backedBy(v *libvirt.StorageVol, id uuid.UUID, file string) bool {
	doc, err := v.GetXMLDesc(0)
	if err != nil {
		return false // removed meanwhile
	}
	var x libvirtxml.StorageVolume
	if x.Unmarshal(doc) != nil || x.BackingStore == nil || x.BackingStore.Path == "" {
		return false
	}
	return x.BackingStore.Path == file || volumeAt(x.BackingStore.Path) == id
}

// ReadVolume implements hypervisor.Driver.
func (d *Driver) ReadVolume(ctx context.Context, id uuid.UUID, w io.Writer) error {
	return d.do(ctx, "read volume", id, func(ctx context.Context, s *session) error {
		v, p, err := s.findVolume(ctx, id)
		if err != nil {
			return err
		}
		defer func() { _ = v.Free() }()
		if err := p.holdsFiles(); err != nil {
			return err
		}
		if s.simulated {
			return fmt.Errorf("%w: its volumes hold nothing", hypervisor.ErrInvalid)
		}
		return s.stream(ctx, "", func(st *libvirt.Stream) error { return v.Download(st, 0, 0, 0) }, func(st *libvirt.Stream) error {
			return receiveAll(ctx, st, w)
		})
	})
}
