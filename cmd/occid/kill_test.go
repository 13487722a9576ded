package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/occid/occid/hypervisor"
	"github.com/occid/occid/hypervisor/libvirt"
	"github.com/occid/occid/internal/lab"
	"github.com/occid/occid/internal/pgtest"
)

// scene is what a kill test works with: its own identifiers on a shared host.
type scene struct {
	*program
	host              hypervisor.Driver
	vm, net, vol, nic uuid.UUID
}

// killed is an operation during which the server is killed.
type killed struct {
	name string
	// starting has the server killed while it starts, too.
	starting bool
	// prepare makes what the operation needs, whatever is there already.
	prepare func(*scene)
	method  string
	path    func(*scene) string
	body    func(*scene) string
	// check compares the rows with the host.
	check func(s *scene, accepted bool)
	// points that must be among those where the server was killed.
	points []string
	// args are of its servers alone.
	args []string
}

const asJSON, waiting = "Content-Type: application/json", "Prefer: wait=30"

func (s *scene) has(path string) bool {
	status, _, text, err := s.ask("GET", path, "")
	if err != nil || status != 200 && status != 404 {
		s.t.Fatalf("GET %s: %d %s, %v", path, status, text, err)
	}
	return status == 200
}

// need makes something unless it is there.
func (s *scene) need(kind string, id uuid.UUID, body string) {
	if !s.has("/" + kind + "/" + id.String()) {
		s.curl(201, "PUT", "/"+kind+"/"+id.String(), body, asJSON, waiting)
	}
}

// lose deletes something unless it is gone.
func (s *scene) lose(kind string, id uuid.UUID) {
	if s.has("/" + kind + "/" + id.String()) {
		s.curl(200, "DELETE", "/"+kind+"/"+id.String(), "", waiting)
	}
	s.settled()
}

func (s *scene) needVM() { s.need("compute", s.vm, `{"type":"compute","memory":"64 MiB"}`) }

func (s *scene) act(action, body string) {
	s.curl(200, "POST", "/compute/"+s.vm.String()+"?action="+action, body, asJSON, waiting)
}

func (s *scene) nicBody() string {
	return fmt.Sprintf(`{"type":"networkinterface","id":%q,"source":"/compute/%s","target":"/network/%s"}`, s.nic, s.vm, s.net)
}

func (s *scene) domain() (hypervisor.DomainStatus, bool) {
	all, err := s.host.Domains(s.t.Context())
	if err != nil {
		s.t.Fatal(err)
	}
	for _, d := range all {
		if d.ID == s.vm {
			return d, true
		}
	}
	return hypervisor.DomainStatus{}, false
}

// agree fails the test unless a row and what stands for it on the host are both
// there or both gone, and there if wanted.
func (s *scene) agree(path string, onHost, accepted, wanted bool) {
	s.t.Helper()
	row := s.has(path)
	if row != onHost {
		s.t.Errorf("%s: row %t, on the host %t\n%s", path, row, onHost, s.log)
	}
	if accepted && row != wanted {
		s.t.Errorf("%s: accepted, and yet row %t", path, row)
	}
}

func (s *scene) agreeVM(accepted, wanted bool) {
	_, there := s.domain()
	s.agree("/compute/"+s.vm.String(), there, accepted, wanted)
}

func (s *scene) agreeNIC(accepted, wanted bool) {
	d, _ := s.domain()
	s.agree("/networkinterface/"+s.nic.String(),
		slices.ContainsFunc(d.NICs, func(n hypervisor.NIC) bool { return n.ID == s.nic }), accepted, wanted)
}

func (s *scene) agreeVolume(accepted, wanted bool) {
	all, err := s.host.Volumes(s.t.Context())
	if err != nil {
		s.t.Fatal(err)
	}
	s.agree("/storage/"+s.vol.String(),
		slices.ContainsFunc(all, func(v hypervisor.VolumeStatus) bool { return v.ID == s.vol }), accepted, wanted)
}

// agreeContent fails the test unless the volume is there and as whole as its row says.
func (s *scene) agreeContent(accepted bool) {
	s.agreeVolume(accepted, true)
	_, row := s.curl(200, "GET", "/storage/"+s.vol.String()+".txt", "")
	if !strings.Contains(row, "\nstate online\n") || strings.Contains(row, "failed") {
		s.t.Errorf("the row is\n%s", row)
	}
	var file bytes.Buffer
	if err := s.host.ReadVolume(s.t.Context(), s.vol, &file); err != nil || !strings.HasPrefix(file.String(), "QFI\xfb") {
		s.t.Errorf("the volume holds %d bytes, %v", file.Len(), err)
	}
}

func (s *scene) agreeRunning(accepted bool) {
	_, row := s.curl(200, "GET", "/compute/"+s.vm.String()+".txt", "")
	d, _ := s.domain()
	active := strings.Contains(row, "\nstate active\n")
	if active != (d.State == hypervisor.Running) {
		s.t.Errorf("the host has it %s, the row is\n%s", d.State, row)
	}
	if accepted && !active {
		s.t.Errorf("accepted, and yet it does not run:\n%s", row)
	}
}

var killedOperations = []killed{
	{name: "create a compute", starting: true, method: "POST", prepare: func(s *scene) { s.lose("compute", s.vm) },
		path:   func(*scene) string { return "/compute/" },
		body:   func(s *scene) string { return fmt.Sprintf(`{"type":"compute","id":%q,"memory":"64 MiB"}`, s.vm) },
		check:  func(s *scene, accepted bool) { s.agreeVM(accepted, true) },
		points: []string{"before commit", "after commit", "before domain.define", "after domain.define"}},
	{name: "create a storage", method: "POST", prepare: func(s *scene) { s.lose("storage", s.vol) },
		path:   func(*scene) string { return "/storage/" },
		body:   func(s *scene) string { return fmt.Sprintf(`{"type":"storage","id":%q,"size":"16 MiB"}`, s.vol) },
		check:  func(s *scene, accepted bool) { s.agreeVolume(accepted, true) },
		points: []string{"before volume.create", "after volume.create"}},
	{name: "upload", method: "PUT", prepare: func(s *scene) { s.need("storage", s.vol, `{"type":"storage","size":"16 MiB"}`) },
		path:   func(s *scene) string { return "/storage/" + s.vol.String() + "/content" },
		body:   func(*scene) string { return strings.Repeat("\x00", 1<<20) },
		check:  (*scene).agreeContent,
		points: []string{"before commit", "after commit", "before volume.upload", "after volume.upload"}},
	{name: "attach", method: "POST",
		prepare: func(s *scene) {
			s.needVM()
			s.need("network", s.net, `{"type":"network"}`)
			s.lose("networkinterface", s.nic)
		},
		path:   func(*scene) string { return "/networkinterface/" },
		body:   (*scene).nicBody,
		check:  func(s *scene, accepted bool) { s.agreeNIC(accepted, true) },
		points: []string{"before device.define", "after device.define"}},
	{name: "attach to a running compute", method: "POST",
		prepare: func(s *scene) {
			s.needVM()
			s.need("network", s.net, `{"type":"network"}`)
			// Without a guest nothing lets go of a device while it runs.
			s.act("stop", `{"method":"poweroff"}`)
			s.lose("networkinterface", s.nic)
			s.act("start", "")
		},
		path:   func(*scene) string { return "/networkinterface/" },
		body:   (*scene).nicBody,
		check:  func(s *scene, accepted bool) { s.agreeNIC(accepted, true) },
		points: []string{"before device.attach", "after device.attach"},
		// Filters of what runs are tens of commands of the host, which take seconds; "attach" has
		// them.
		args: []string{"--allow-spoofing"}},
	{name: "detach", method: "DELETE",
		prepare: func(s *scene) {
			s.needVM()
			s.need("network", s.net, `{"type":"network"}`)
			s.need("networkinterface", s.nic, s.nicBody())
		},
		path:   func(s *scene) string { return "/networkinterface/" + s.nic.String() },
		check:  func(s *scene, accepted bool) { s.agreeNIC(accepted, false) },
		points: []string{"before device.define", "after device.define"}},
	{name: "start", method: "POST",
		prepare: func(s *scene) {
			s.needVM()
			s.act("stop", `{"method":"poweroff"}`)
		},
		path:   func(s *scene) string { return "/compute/" + s.vm.String() + "?action=start" },
		check:  func(s *scene, accepted bool) { s.agreeRunning(accepted) },
		points: []string{"before domain.create", "after domain.create"}},
	{name: "delete", method: "DELETE", prepare: (*scene).needVM,
		path:   func(s *scene) string { return "/compute/" + s.vm.String() },
		check:  func(s *scene, accepted bool) { s.agreeVM(accepted, false) },
		points: []string{"before domain.undefine", "after domain.undefine"}},
}

// TestKilledServerLosesNothing kills the server at every point of every
// operation, on both databases and over a real host, starts it again and
// compares: what was accepted is there, what was not is wholly there or wholly
// gone, and the host has nothing that the rows do not know.
func TestKilledServerLosesNothing(t *testing.T) {
	t.Parallel()
	if err := lab.Available(); err != nil {
		t.Skip(err)
	}
	host, driver := newHost(t, lab.Options{Name: "kill"})
	pg := pgtest.Run(t)
	t.Run("points", func(t *testing.T) {
		for _, op := range killedOperations {
			t.Run("sqlite/"+op.name, func(t *testing.T) {
				t.Parallel()
				dir := t.TempDir()
				op.everywhere(t, driver, "--db", "sqlite:"+filepath.Join(dir, "occid.db"), "--data", dir, "--libvirt", host.URI)
			})
			t.Run("postgres/"+op.name, func(t *testing.T) {
				t.Parallel()
				url, _, err := pg.Create(t.Context(), "")
				if err != nil {
					t.Fatal(err)
				}
				op.everywhere(t, driver, "--db", url, "--data", t.TempDir(), "--libvirt", host.URI)
			})
		}
	})
}

// newHost starts a real host, which ends with the test.
func newHost(t *testing.T, o lab.Options) (*lab.Host, hypervisor.Driver) {
	t.Helper()
	host, err := lab.NewHost(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := host.Close(); err != nil {
			t.Error(err)
		}
	})
	driver, err := libvirt.Open(libvirt.Config{URI: host.URI})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = driver.Close() })
	return host, driver
}

// killable builds the program with points at which it kills itself (killpoints.go), once.
var killable = sync.OnceValues(func() (string, error) {
	exe := filepath.Join(built, "killable")
	if out, err := exec.Command("go", "build", "-tags", "killpoints", "-ldflags", "-s -w", "-o", exe, ".").CombinedOutput(); err != nil {
		return "", fmt.Errorf("%w: %s", err, out)
	}
	return exe, nil
})

// maxPoints bounds the points of one operation.
const maxPoints = 60

// everywhere kills the server at the first point of the operation, the second,
// and so on, until it comes through.
func (op *killed) everywhere(t *testing.T, host hypervisor.Driver, args ...string) {
	exe, err := killable()
	if err != nil {
		t.Fatal(err)
	}
	s := &scene{host: host, vm: uuid.New(), net: uuid.New(), vol: uuid.New(), nic: uuid.New()}
	dir := t.TempDir()
	order, points := filepath.Join(dir, "order"), filepath.Join(dir, "points")
	run := func() *program {
		cmd := occid(exe, append(op.args, args...)...)
		cmd.Env = append(cmd.Env, "OCCID_TEST_KILL_AT="+order, "OCCID_TEST_KILL_LOG="+points)
		return begin(t, cmd)
	}
	s.program = run()
	for n := 1; n <= maxPoints; n++ {
		op.prepare(s)
		s.settled()
		if op.starting {
			s.stop()
		}
		arm(t, order, n)
		if op.starting {
			s.program = run()
		}
		accepted := op.ask(s, n)
		died := s.died(accepted)
		passed, err := os.ReadFile(points)
		if err := errors.Join(err, os.Remove(order), os.Remove(points)); err != nil {
			t.Fatal(err)
		}
		s.program = run()
		s.settled()
		op.check(s, accepted)
		if t.Failed() {
			t.Fatalf("killed at point %d of\n%s", n, passed)
		}
		if !died {
			op.covered(t, string(passed))
			s.clear()
			return
		}
	}
	t.Errorf("more than %d points", maxPoints)
}

// arm has a server killed at its n-th point from now.
func arm(t *testing.T, order string, n int) {
	t.Helper()
	if err := os.WriteFile(order+".new", []byte(strconv.Itoa(n)), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(order+".new", order); err != nil {
		t.Fatal(err)
	}
}

// ask sends the request and reports whether it was accepted, which it cannot be by a
// server that was killed before it listened.
func (op *killed) ask(s *scene, n int) bool {
	if s.url == "" {
		return false
	}
	body := ""
	if op.body != nil {
		body = op.body(s)
	}
	status, _, text, err := s.program.ask(op.method, op.path(s), body, asJSON)
	if err == nil && status/100 != 2 {
		s.t.Fatalf("point %d: %d %s", n, status, text)
	}
	return err == nil
}

// died waits until the server is dead or has nothing left to do, ends it, and
// reports whether it killed itself: it may do so after its last task is over.
func (s *scene) died(accepted bool) bool {
	for accepted && !s.ended() && s.ctx.Err() == nil {
		if _, _, left, err := s.ask("GET", "/task/.uri", ""); err == nil && strings.TrimSpace(left) == "" {
			break
		}
		select {
		case <-s.done:
		case <-s.ctx.Done():
		case <-time.After(look):
		}
	}
	if accepted {
		_ = s.cmd.Process.Signal(syscall.SIGTERM)
	}
	select {
	case <-s.done:
	case <-s.ctx.Done():
		s.t.Fatalf("neither dead nor done: %s", s.log)
	}
	status, ok := s.cmd.ProcessState.Sys().(syscall.WaitStatus)
	return ok && status.Signaled() && status.Signal() == syscall.SIGKILL
}

// covered checks that the operation passed the points it is about.
func (op *killed) covered(t *testing.T, points string) {
	passed := strings.Split(strings.TrimSpace(points), "\n")
	for _, want := range op.points {
		if !slices.Contains(passed, want) {
			t.Errorf("the server never passed %q, only %q", want, passed)
		}
	}
	t.Logf("killed at each of %d points: %s", len(passed), strings.Join(passed, ", "))
}

// clear deletes all that the scene made and checks that the host has none of it.
func (s *scene) clear() {
	if s.has("/compute/" + s.vm.String()) {
		s.act("stop", `{"method":"poweroff"}`)
	}
	s.lose("networkinterface", s.nic)
	s.lose("compute", s.vm)
	s.lose("network", s.net)
	s.lose("storage", s.vol)
	if _, there := s.domain(); there {
		s.t.Errorf("an orphan is on the host: %s", s.vm)
	}
	s.agreeVolume(true, false)
}
