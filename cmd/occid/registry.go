package main

import (
	"log/slog"
	"os"
	"sync/atomic"

	"github.com/occid/occid/occi"
	"github.com/occid/occid/spec"
)

// registry is the model in force, of the program's own files and a directory's.
type registry struct {
	// named is the directory that must exist, standard the one that may; only one
	// of them counts.
	named, standard string
	current         atomic.Pointer[occi.Model]
}

// load reads the files as they are now. If one of them is wrong, what was in
// force before stays.
func (r *registry) load() error {
	dir := r.named
	if st, err := os.Stat(r.standard); dir == "" && err == nil && st.IsDir() {
		dir = r.standard
	}
	m, err := spec.Load(dir)
	if err != nil {
		return err
	}
	r.current.Store(m)
	return nil
}

func (r *registry) model() *occi.Model { return r.current.Load() }

// reload loads again and tells the log what came of it.
func (r *registry) reload(log *slog.Logger) {
	if err := r.load(); err != nil {
		log.Error("the registry stays as it was", "error", err)
		return
	}
	log.Info("the registry was loaded", "version", r.model().Version)
}
