package main

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"
	lv "libvirt.org/go/libvirt"

	"github.com/occid/occid/hypervisor"
	"github.com/occid/occid/internal/lab"
)

// TestKilledServerImports kills the server at every point of the import of a machine that
// was made by hand and runs. Each time it is wholly a compute when the server is back, or
// wholly as before.
func TestKilledServerImports(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("it imports machines of real hosts; make lab-test runs it")
	}
	if err := lab.Available(); err != nil {
		t.Skip(err)
	}
	host, driver := newHost(t, lab.Options{Name: "import"})
	conn, err := lv.NewConnect(host.URI)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = conn.Close() })
	made := uuid.Nil
	again := func(s *scene) {
		if s.has("/compute/" + s.vm.String()) {
			s.lose("compute", s.vm)
			s.lose("storage", s.vol)
			s.lose("network", s.net)
		}
		if made != uuid.Nil {
			if err := lab.RemoveStray(conn, made); err != nil {
				t.Fatal(err)
			}
		}
		var err error
		if made, err = (lab.StrayDomain{Type: "qemu", Dir: "/var/lib/libvirt"}).Make(conn); err != nil {
			t.Fatal(err)
		}
		x, err := driver.Stray(t.Context(), made)
		if err != nil {
			t.Fatal(err)
		}
		s.vm, s.vol, s.net = made, x.Disks[0].Volume, x.NICs[0].Network
	}
	row := func(s *scene) string {
		for s.ctx.Err() == nil {
			if _, text := s.curl(200, "GET", "/domain/.uri?domain_uuid="+s.vm.String(), ""); strings.TrimSpace(text) != "" {
				return "/domain/" + strings.TrimSpace(text)[strings.LastIndexByte(strings.TrimSpace(text), '/')+1:]
			}
		}
		t.Fatal("it is never listed")
		return ""
	}
	path := ""
	op := killed{name: "import", method: "POST",
		prepare: func(s *scene) { again(s); path = row(s) },
		path:    func(*scene) string { return path + "?action=import" },
		check:   func(s *scene, accepted bool) { imported(s, path, accepted) },
		points:  []string{"before commit", "after commit", "before domain.adopt", "after domain.adopt"}}
	dir := t.TempDir()
	op.everywhere(t, driver, "--db", "sqlite:"+filepath.Join(dir, "occid.db"), "--data", dir, "--libvirt", host.URI)
	if err := lab.RemoveStray(conn, made); err != nil {
		t.Error(err)
	}
}

// imported checks that a machine is a compute with all that it has, or wholly as before.
func imported(s *scene, row string, accepted bool) {
	s.t.Helper()
	d, there := s.domain()
	if !there || d.State != hypervisor.Running {
		s.t.Fatalf("on the host it is %+v", d)
	}
	is := s.has("/compute/" + s.vm.String())
	for _, path := range []string{"/storage/" + s.vol.String(), "/network/" + s.net.String()} {
		if s.has(path) != is {
			s.t.Errorf("there is a compute: %t, and %s: %t", is, path, !is)
		}
	}
	named := slices.ContainsFunc(d.Disks, func(x hypervisor.Disk) bool { return x.ID != uuid.Nil })
	if d.Managed != is || named != is || s.has(row) == is || accepted && !is {
		s.t.Errorf("accepted: %t, a compute: %t, marked: %t, named: %t, listed: %t", accepted, is, d.Managed, named, s.has(row))
	}
}
