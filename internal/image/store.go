package image

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/google/uuid"

	"github.com/occid/occid/occi"
)

// Config is what a Store is made of. Dir is required.
type Config struct {
	// Dir keeps what has arrived and what is made of it. It is made if it is missing.
	Dir string
	// Files is a directory of the operator's images, "" for none.
	Files string
	// Most is how many bytes a file may have; 0 means 64 GiB. MostDisk is how many its
	// disk may have; 0 means 16 TiB.
	Most, MostDisk int64
	// Hosts are those that images may be fetched from: names, with a port if that is
	// not 443; "*.example.org" stands for all below example.org. None means that
	// nothing is fetched.
	Hosts []string
	// Private allows addresses that are not public ones.
	Private bool
	// CA is a file of certificates to trust beside the system's, "" for none.
	CA string
	// Resolver looks up names; nil means the system's.
	Resolver *net.Resolver
}

// Store keeps the files of images that are being taken in, each under a UUID. It is
// safe for concurrent use; nobody else may use its directory.
type Store struct {
	cfg    Config
	client *http.Client

	mu   sync.Mutex
	busy map[uuid.UUID]bool // what is being written
}

// Open makes a Store.
func Open(c Config) (*Store, error) {
	if c.Most <= 0 {
		c.Most = 64 << 30
	}
	if c.MostDisk <= 0 {
		c.MostDisk = 16 << 40
	}
	if err := os.MkdirAll(c.Dir, 0o700); err != nil {
		return nil, err
	}
	dir, err := filepath.Abs(c.Dir)
	if err != nil {
		return nil, err
	}
	if c.Dir = dir; c.Files != "" {
		if c.Files, err = filepath.Abs(c.Files); err != nil {
			return nil, err
		}
	}
	s := &Store{cfg: c, busy: map[uuid.UUID]bool{}}
	if s.client, err = s.newClient(); err != nil {
		return nil, err
	}
	return s, nil
}

// Names of files: what has arrived, of how many bytes that is to be, and what was
// made of it.
const (
	extPart  = ".part"
	extTotal = ".total"
	extClean = ".clean"
)

func (s *Store) file(id uuid.UUID, ext string) string {
	return filepath.Join(s.cfg.Dir, id.String()+ext)
}

// hold keeps others from writing under id until release.
func (s *Store) hold(id uuid.UUID) (release func(), err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.busy[id] {
		return nil, occi.E(occi.Conflict, "its content is being written by another request")
	}
	s.busy[id] = true
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.busy, id)
	}, nil
}

// Staged tells how many bytes have arrived, 0 for none, and of how many, -1 if that
// is not known.
func (s *Store) Staged(id uuid.UUID) (have, total int64, err error) {
	fi, err := os.Stat(s.file(id, extPart))
	if errors.Is(err, fs.ErrNotExist) {
		return 0, -1, nil
	}
	if err != nil {
		return 0, -1, err
	}
	total = -1
	if text, err := os.ReadFile(s.file(id, extTotal)); err == nil {
		if n, err := strconv.ParseInt(string(text), 10, 64); err == nil {
			total = n
		}
	}
	return fi.Size(), total, nil
}

// Receive adds what r gives to what has arrived, whose end must be at offset; offset
// 0 begins anew. total is how many bytes there will be, -1 if that is not known. It
// tells how many have arrived, also with an error: what came before r failed is
// kept. Too many are occi.TooLarge and none are kept; without room on the disk, which
// is occi.Full, neither.
func (s *Store) Receive(ctx context.Context, id uuid.UUID, offset, total int64, r io.Reader) (have int64, err error) {
	release, err := s.hold(id)
	if err != nil {
		return 0, err
	}
	defer release()
	have, was, err := s.Staged(id)
	switch {
	case err != nil:
		return 0, err
	case total > s.cfg.Most:
		return have, s.tooLarge()
	case offset != 0 && offset != have:
		return have, occi.E(occi.Conflict, "%d bytes have arrived; the next part begins at %d, not at %d", have, have, offset)
	case offset != 0 && was != total:
		return have, occi.E(occi.Conflict, "the parts before were of %d bytes in all, this one is of %d", was, total)
	}
	if offset == 0 {
		if err := s.begin(id, total); err != nil {
			return 0, s.gaveUp(id, err)
		}
	}
	limit := s.cfg.Most
	if total >= 0 {
		limit = total
	}
	n, err := s.append(ctx, id, offset, limit, r)
	if err != nil && (errors.Is(err, occi.TooLarge) || noRoom(err)) {
		return 0, s.gaveUp(id, err)
	}
	return offset + n, err
}

// begin makes the files of an upload of which nothing has arrived.
func (s *Store) begin(id uuid.UUID, total int64) error {
	if err := s.Drop(id); err != nil {
		return err
	}
	if total < 0 {
		return nil
	}
	return os.WriteFile(s.file(id, extTotal), []byte(strconv.FormatInt(total, 10)), 0o600)
}

// append writes what r gives at the end of what has arrived.
func (s *Store) append(ctx context.Context, id uuid.UUID, offset, limit int64, r io.Reader) (n int64, err error) {
	f, err := os.OpenFile(s.file(id, extPart), os.O_WRONLY|os.O_CREATE, 0o600)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if _, err := f.Seek(offset, io.SeekStart); err != nil {
		return 0, err
	}
	n, err = io.Copy(f, io.LimitReader(interruptible{ctx, r}, limit-offset))
	if err != nil {
		return n, err
	}
	var one [1]byte
	if more, _ := io.ReadFull(r, one[:]); more > 0 {
		return n, s.tooLarge()
	}
	return n, f.Sync()
}

func (s *Store) tooLarge() error {
	return occi.E(occi.TooLarge, "the image has more bytes than were announced, or than the %d that are taken in", s.cfg.Most)
}

// gaveUp drops what has arrived and says why in a class of occi.
func (s *Store) gaveUp(id uuid.UUID, err error) error {
	if noRoom(err) {
		err = occi.E(occi.Full, "there is no room for the image on the server; nothing of it was kept: %w", err)
	}
	if dropErr := s.Drop(id); dropErr != nil {
		return errors.Join(err, dropErr)
	}
	return err
}

func noRoom(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) || errors.Is(err, syscall.EFBIG)
}

// interruptible is a reader that ends with a context.
type interruptible struct {
	ctx context.Context
	r   io.Reader
}

func (i interruptible) Read(b []byte) (int, error) {
	if err := i.ctx.Err(); err != nil {
		return 0, err
	}
	return i.r.Read(b)
}

// Verify compares what has arrived with its SHA-256. What differs is dropped and
// occi.Invalid.
func (s *Store) Verify(ctx context.Context, id uuid.UUID, sum []byte) error {
	got, err := sumOf(ctx, s.file(id, extPart))
	if err != nil {
		return err
	}
	if hex.EncodeToString(sum) == got {
		return nil
	}
	return s.gaveUp(id, occi.E(occi.Invalid, "the SHA-256 of what arrived is %s, not %x; nothing of it was kept", got, sum))
}

func sumOf(ctx context.Context, file string) (string, error) {
	f, err := os.Open(file)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, interruptible{ctx, f}); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// Convert makes a clean qcow2 file of what has arrived or, if name is not empty, of
// the operator's file of that name, and gives it opened with its size and that of
// its disk, both in bytes. An image that is refused is occi.Invalid; it is
// occi.NotFound if nothing is there.
func (s *Store) Convert(ctx context.Context, id uuid.UUID, name string, progress func(done, total int64)) (r io.ReadCloser, size, disk int64, err error) {
	release, err := s.hold(id)
	if err != nil {
		return nil, 0, 0, err
	}
	defer release()
	from := s.file(id, extPart)
	if name != "" {
		if from, err = s.named(name); err != nil {
			return nil, 0, 0, err
		}
	}
	f, disk, err := s.look(ctx, from, name)
	if err != nil {
		return nil, 0, 0, err
	}
	clean := s.file(id, extClean)
	if err := removed(os.Remove(clean)); err != nil {
		return nil, 0, 0, err
	}
	if err := s.convert(ctx, from, f, clean, progress); err != nil {
		return nil, 0, 0, errors.Join(err, removed(os.Remove(clean)))
	}
	out, err := os.Open(clean)
	if err != nil {
		return nil, 0, 0, err
	}
	fi, err := out.Stat()
	if err != nil {
		return nil, 0, 0, errors.Join(err, out.Close())
	}
	return out, fi.Size(), disk, nil
}

// look finds out what a file is and how large its disk, or refuses it.
func (s *Store) look(ctx context.Context, file, name string) (Format, int64, error) {
	in, err := os.Open(file)
	if errors.Is(err, fs.ErrNotExist) {
		return "", 0, occi.E(occi.NotFound, "nothing of the image is on the server")
	}
	if err != nil {
		return "", 0, err
	}
	defer in.Close()
	fi, err := in.Stat()
	switch {
	case err != nil:
		return "", 0, err
	case !fi.Mode().IsRegular():
		return "", 0, refuse("it is no file")
	case fi.Size() > s.cfg.Most:
		return "", 0, s.tooLarge()
	}
	f, err := Detect(in, fi.Size())
	if err != nil {
		return "", 0, err
	}
	if want, ok := formats[filepath.Ext(name)]; ok && want != f {
		return "", 0, refuse("it is called %s and is %s", name, f)
	}
	disk, err := s.inspect(ctx, file, f)
	return f, disk, err
}

// Drop forgets all that is kept under id.
func (s *Store) Drop(id uuid.UUID) error {
	var errs []error
	for _, ext := range []string{extPart, extTotal, extClean} {
		errs = append(errs, removed(os.Remove(s.file(id, ext))))
	}
	return errors.Join(errs...)
}

// removed takes what is missing for removed.
func removed(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// Expire forgets what nothing was added to for some time, unless keep says that it
// is still needed.
func (s *Store) Expire(ctx context.Context, age time.Duration, keep func(ctx context.Context, id uuid.UUID) (bool, error)) error {
	entries, err := os.ReadDir(s.cfg.Dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		base, _, _ := strings.Cut(e.Name(), ".")
		id, err := uuid.Parse(base)
		fi, infoErr := e.Info()
		if err != nil || infoErr != nil || time.Since(fi.ModTime()) < age {
			continue
		}
		if err := s.expire(ctx, id, keep); err != nil {
			return fmt.Errorf("upload %s: %w", id, err)
		}
	}
	return nil
}

func (s *Store) expire(ctx context.Context, id uuid.UUID, keep func(ctx context.Context, id uuid.UUID) (bool, error)) error {
	release, err := s.hold(id)
	if err != nil {
		return nil // it is being written
	}
	defer release()
	if needed, err := keep(ctx, id); needed || err != nil {
		return err
	}
	return s.Drop(id)
}
