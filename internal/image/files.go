package image

import (
	"context"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/occid/occid/occi"
)

// formats are what the ends of names say; a file of another is taken for what it
// is.
var formats = map[string]Format{".qcow2": QCOW2, ".raw": Raw, ".vmdk": VMDK, ".vhdx": VHDX, ".vhd": VHD, ".vdi": VDI}

// extensions are the ends of names of images.
var extensions = []string{".qcow2", ".raw", ".img", ".vmdk", ".vhdx", ".vhd", ".vdi"}

var fileName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$`)

// Files lists the names of the operator's images, in order, each with a text that
// changes when the file does. There are none without a directory.
func (s *Store) Files() (names, stamps []string, err error) {
	if s.cfg.Files == "" {
		return nil, nil, nil
	}
	entries, err := os.ReadDir(s.cfg.Files)
	if err != nil {
		return nil, nil, err
	}
	for _, e := range entries {
		fi, err := os.Stat(filepath.Join(s.cfg.Files, e.Name()))
		if err != nil || !fi.Mode().IsRegular() || !slices.Contains(extensions, strings.ToLower(filepath.Ext(e.Name()))) {
			continue
		}
		names = append(names, e.Name())
		stamps = append(stamps, fi.ModTime().UTC().Format(time.RFC3339Nano)+" "+strconv.FormatInt(fi.Size(), 10))
	}
	return names, stamps, nil
}

// named gives the path of the operator's file of a name.
func (s *Store) named(name string) (string, error) {
	if s.cfg.Files == "" || !fileName.MatchString(name) {
		return "", occi.E(occi.NotFound, "there is no image file %.100q", name)
	}
	return filepath.Join(s.cfg.Files, name), nil
}

// DiskOf tells the size of the disk in the operator's file of a name, in bytes, or
// why the file is refused.
func (s *Store) DiskOf(ctx context.Context, name string) (int64, error) {
	if !fileName.MatchString(name) {
		return 0, refuse("its name is not of letters, digits, dots, underscores and hyphens")
	}
	file, err := s.named(name)
	if err != nil {
		return 0, err
	}
	_, disk, err := s.look(ctx, file, name)
	return disk, err
}
