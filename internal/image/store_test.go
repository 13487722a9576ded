package image_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/iotest"
	"time"

	"github.com/google/uuid"

	"github.com/occid/occid/internal/image"
	"github.com/occid/occid/occi"
)

// TestAFullDiskKeepsNothing has uploads and what is made of them meet the end of a file
// system of their own.
func TestAFullDiskKeepsNothing(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("only root mounts file systems")
	}
	dir := t.TempDir()
	if err := syscall.Mount("images", dir, "tmpfs", 0, "size=1m"); err != nil {
		t.Skip(err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	s, err := image.Open(image.Config{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	id := uuid.New()
	have, err := s.Receive(t.Context(), id, 0, 2<<20, io.LimitReader(zeros{}, 2<<20))
	if occi.ClassOf(err) != occi.Full || have != 0 {
		t.Errorf("without room it is %d, %v", have, err)
	}
	wantFiles(t, dir, 0)
	text := bytes.Repeat([]byte("random, as it were. "), 35<<10)
	text = append(text[:640<<10], 0)[:640<<10]
	text[0] = 0
	if _, err := s.Receive(t.Context(), id, 0, -1, bytes.NewReader(text)); err != nil {
		t.Fatal(err)
	}
	if _, _, _, err := s.Convert(t.Context(), id, "", nil); occi.ClassOf(err) != occi.Full {
		t.Errorf("without room it is made %v", err)
	}
	wantFiles(t, dir, 1)
}

func wantFiles(t *testing.T, dir string, want int) {
	t.Helper()
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != want {
		t.Errorf("there are %v, %v", entries, err)
	}
}

// TestQemuImgHasLimits takes in a file that grows beyond what is allowed as it is unpacked.
func TestQemuImgHasLimits(t *testing.T) {
	t.Parallel()
	dir, limited, id := t.TempDir(), image.Config{Most: 1 << 20}, uuid.New()
	raw, packed := filepath.Join(dir, "raw"), filepath.Join(dir, "packed")
	if err := os.WriteFile(raw, bytes.Repeat([]byte("not nothing, "), 2<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("qemu-img", "convert", "-c", "-f", "raw", "-O", "qcow2", raw, packed).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	text, err := os.ReadFile(packed)
	if err != nil || len(text) > 1<<20 {
		t.Fatalf("%d bytes, %v", len(text), err)
	}
	s := openStore(t, limited)
	if _, err := s.Receive(t.Context(), id, 0, int64(len(text)), bytes.NewReader(text)); err != nil {
		t.Fatal(err)
	}
	if _, _, _, err := s.Convert(t.Context(), id, "", nil); occi.ClassOf(err) != occi.Invalid || !strings.Contains(err.Error(), "unpacked it is larger than the 1048576 bytes") {
		t.Errorf("what grows is taken in: %v", err)
	}
}

// TestAnUploadThatBreaksOff keeps what arrived.
func TestAnUploadThatBreaksOff(t *testing.T) {
	t.Parallel()
	s, id, broken := openStore(t, image.Config{Most: 4096}), uuid.New(), errors.New("broken")
	have, err := s.Receive(t.Context(), id, 0, 4000, io.MultiReader(bytes.NewReader(make([]byte, 1000)), iotest.ErrReader(broken)))
	if have != 1000 || !errors.Is(err, broken) {
		t.Errorf("after 1000 bytes it is %d, %v", have, err)
	}
	for _, bad := range []struct{ offset, total int64 }{{999, 4000}, {1001, 4000}, {1000, 4001}} {
		if have, err := s.Receive(t.Context(), id, bad.offset, bad.total, strings.NewReader("x")); occi.ClassOf(err) != occi.Conflict || have != 1000 {
			t.Errorf("a part at %d of %d is %d, %v", bad.offset, bad.total, have, err)
		}
	}
	if have, err := s.Receive(t.Context(), id, 1000, 4000, bytes.NewReader(make([]byte, 3000))); have != 4000 || err != nil {
		t.Errorf("after the rest it is %d, %v", have, err)
	}
	for _, total := range []int64{-1, 4096, 5000} {
		if have, err := s.Receive(t.Context(), id, 0, total, io.LimitReader(zeros{}, 4097)); occi.ClassOf(err) != occi.TooLarge {
			t.Errorf("4097 bytes of %d are %d, %v", total, have, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Receive(ctx, id, 0, -1, zeros{}); !errors.Is(err, context.Canceled) {
		t.Errorf("without time it is %v", err)
	}
}

// TestOldUploadsExpire forgets those that nobody waits for.
func TestOldUploadsExpire(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s, err := image.Open(image.Config{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	given, awaited, young := uuid.New(), uuid.New(), uuid.New()
	for _, id := range []uuid.UUID{given, awaited, young} {
		if _, err := s.Receive(t.Context(), id, 0, 9, strings.NewReader("x")); err != nil {
			t.Fatal(err)
		}
	}
	old := time.Now().Add(-time.Hour)
	for _, id := range []uuid.UUID{given, awaited} {
		for _, ext := range []string{".part", ".total"} {
			if err := os.Chtimes(filepath.Join(dir, id.String()+ext), old, old); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := s.Expire(t.Context(), time.Minute, func(_ context.Context, id uuid.UUID) (bool, error) { return id == awaited, nil }); err != nil {
		t.Fatal(err)
	}
	for id, want := range map[uuid.UUID]int64{given: 0, awaited: 1, young: 1} {
		if have, _, err := s.Staged(id); have != want || err != nil {
			t.Errorf("there are %d bytes, want %d, %v", have, want, err)
		}
	}
}

// TestFilesAreNamedHarmlessly asks for the operator's files by names that lead
// elsewhere.
func TestFilesAreNamedHarmlessly(t *testing.T) {
	t.Parallel()
	files := t.TempDir()
	s := openStore(t, image.Config{Files: filepath.Join(files, "images")})
	if err := os.WriteFile(filepath.Join(files, "secret.raw"), make([]byte, 512), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"../secret.raw", "/etc/passwd", "..", "", "a/b", "-x", "missing.raw"} {
		if disk, err := s.DiskOf(t.Context(), name); err == nil {
			t.Errorf("%q has a disk of %d bytes", name, disk)
		}
	}
}
