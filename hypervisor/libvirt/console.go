package libvirt

import (
	"context"
	"path"

	"github.com/google/uuid"
	"libvirt.org/go/libvirt"
)

// consoleSuffixes end the names of a domain's console logs: the one being
// written, and those that the host has put aside.
var consoleSuffixes = []string{".log", ".log.0", ".log.1", ".log.2"}

func (s *session) consolePool() string { return s.cfg.Pool + "-console" }

// consoleLog gives the file that a domain's serial console is written to, and
// makes its directory; "" on a host that writes none.
func (s *session) consoleLog(ctx context.Context, id uuid.UUID) (string, error) {
	if s.simulated {
		return "", nil
	}
	pool, err := s.ensurePool(ctx, Pool{Name: s.consolePool(), Type: PoolDir, Target: s.cfg.ConsoleDir})
	if err != nil {
		return "", err
	}
	return path.Join(s.cfg.ConsoleDir, id.String()+consoleSuffixes[0]), pool.Free()
}

// removeConsoleLogs removes what a domain has written.
func (s *session) removeConsoleLogs(ctx context.Context, id uuid.UUID) error {
	if s.simulated {
		return nil
	}
	pool, err := s.pool(ctx, s.consolePool())
	if err != nil {
		return forgiveMissing(err)
	}
	defer func() { _ = pool.Free() }()
	// The logs became files without the pool being told.
	if err := pool.Refresh(0); err != nil {
		return err
	}
	for _, suffix := range consoleSuffixes {
		v, err := pool.LookupStorageVolByName(id.String() + suffix)
		if code(err, libvirt.ERR_NO_STORAGE_VOL) {
			continue
		}
		if err != nil {
			return err
		}
		err = s.change(ctx, opVolumeDelete, func() error { return v.Delete(libvirt.STORAGE_VOL_DELETE_NORMAL) })
		_ = v.Free()
		if err != nil && !code(err, libvirt.ERR_NO_STORAGE_VOL) {
			return err
		}
	}
	return nil
}
