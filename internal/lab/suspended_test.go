package lab_test

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestMigrateSuspended moves a machine that is suspended to another host and back, drains
// that host, and has the guest go on where it stopped.
func TestMigrateSuspended(t *testing.T) {
	long(t, "it moves a machine four times")
	t.Parallel()
	f, _ := newFleet(t)
	machine, disk, now := f.traveller()
	first, second := f.at(machine)
	f.act(machine, "suspend", "suspended")

	for _, to := range []string{second, first, second} {
		f.act(machine, "migrate&target="+uuidOf(to), "suspended")
		f.lies(machine, to)
	}
	// What it lies on can be used there.
	f.send(http.MethodPost, disk+"?action=resize&size=0.0625", nil)
	f.send(http.MethodPost, second+"?action=drain", nil)
	if x := f.get(second); x.Attributes["occid.host.state.message"] != nil {
		t.Errorf("it is drained to %v", x.Attributes)
	}
	f.lies(machine, first)
	f.send(http.MethodPost, second+"?action=activate", nil)

	f.act(machine, "start", "active")
	next := f.ticks(machine, now)
	if next.up > now.up+30 {
		t.Errorf("it is up for %d s, and was for %d s when it was suspended", next.up, now.up)
	}
	f.act(machine, "migrate", "active")
	f.ticks(machine, next)
}

// lies checks that a machine is suspended on a host, and that no host has a file that it
// was saved to.
func (f *fleet) lies(machine, host string) {
	f.t.Helper()
	if here, _ := f.at(machine); here != host {
		f.t.Errorf("it is on %s, want %s", here, host)
	}
	out, err := f.hosts[host].Run(f.ctx, "virsh", "-q", "-c", "qemu:///system", "domstate", uuidOf(machine))
	if state := strings.TrimSpace(string(out)); err != nil || state != "paused" {
		f.t.Errorf("on its host it is %q, %v", state, err)
	}
	if n := len(emulators(uuidOf(machine))); n != 1 {
		f.t.Errorf("%d processes run it", n)
	}
	for _, h := range f.hosts {
		files, err := os.ReadDir(h.Path(pool))
		if err != nil {
			f.t.Error(err)
		}
		for _, x := range files {
			if filepath.Ext(x.Name()) == ".save" {
				f.t.Errorf("%s is left", x.Name())
			}
		}
	}
}
