package main

import (
	"errors"
	"fmt"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/occid/occid/hypervisor"
	"github.com/occid/occid/internal/lab"
)

// movingHosts are two hosts between which a machine moves.
type movingHosts []struct {
	uri    string
	driver hypervisor.Driver
}

// TestKilledServerMovesMachines kills the server at every point of a move, of a machine
// that runs and of one that does not. Each time it is on one host when the server is back,
// with its volume and its network.
func TestKilledServerMovesMachines(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("it moves machines of real hosts; make lab-test runs it")
	}
	if err := lab.Available(); err != nil {
		t.Skip(err)
	}
	var hosts movingHosts
	var made []*lab.Host
	for i, address := range []string{"203.0.113.1/30", "203.0.113.2/30"} {
		h, d := newHost(t, lab.Options{Name: fmt.Sprintf("move%d", i), Address: netip.MustParsePrefix(address)})
		made = append(made, h)
		hosts = append(hosts, struct {
			uri    string
			driver hypervisor.Driver
		}{h.URI, d})
	}
	if err := lab.Join(t.Context(), made[0], made[1]); err != nil {
		t.Fatal(err)
	}
	t.Run("points", func(t *testing.T) {
		for state, action := range map[string]string{"active": "start", "inactive": "stop"} {
			op := killed{name: "move what is " + state, method: "POST",
				prepare: func(s *scene) {
					s.need("storage", s.vol, `{"type":"storage","size":"16 MiB"}`)
					s.need("compute", s.vm, fmt.Sprintf(`{"type":"compute","memory":"64 MiB","links":[{"target":"/storage/%s"}]}`, s.vol))
					s.act(action, `{}`)
				},
				path:   func(s *scene) string { return "/compute/" + s.vm.String() + "?action=migrate" },
				check:  func(s *scene, _ bool) { hosts.agree(s, state) },
				points: []string{"before commit", "before volume.create", "before domain.migrate", "after domain.migrate", "before volume.delete", "after volume.delete"}}
			if state == "inactive" {
				op.points = append(op.points, "before volume.upload", "before domain.undefine", "after domain.undefine")
			}
			t.Run(state, func(t *testing.T) {
				t.Parallel()
				dir := t.TempDir()
				op.everywhere(t, hosts[0].driver, "--db", "sqlite:"+filepath.Join(dir, "occid.db"), "--data", dir, "--libvirt", hosts[0].uri+","+hosts[1].uri)
			})
		}
	})
}

// agree fails the test unless the machine is on one host, as its row says, with its volume.
func (hosts movingHosts) agree(s *scene, state string) {
	s.t.Helper()
	var at []string
	for _, h := range hosts {
		d, err := h.driver.Domain(s.t.Context(), s.vm)
		there := err == nil
		if err != nil && !errors.Is(err, hypervisor.ErrNotFound) {
			s.t.Fatal(err)
		}
		if there {
			at = append(at, h.uri)
			if runs := d.State == hypervisor.Running; runs != (state == "active") {
				s.t.Errorf("on %s the machine is %s", h.uri, d.State)
			}
		}
		volumes, err := h.driver.Volumes(s.t.Context())
		if err != nil {
			s.t.Fatal(err)
		}
		if has := slices.ContainsFunc(volumes, func(v hypervisor.VolumeStatus) bool { return v.ID == s.vol }); has != there {
			s.t.Errorf("on %s the machine is there: %t, its volume: %t", h.uri, there, has)
		}
	}
	_, row := s.curl(200, "GET", "/compute/"+s.vm.String()+".txt", "")
	_, shown := s.curl(200, "GET", "/compute/"+s.vm.String()+"/host/.json", "")
	if len(at) != 1 || !strings.Contains(shown, at[0]) || !strings.Contains(row, "\nstate "+state+"\n") || strings.Contains(row, "\nmessage ") {
		s.t.Errorf("the machine is on %v, shown as on\n%s\nand as\n%s", at, shown, row)
	}
}
