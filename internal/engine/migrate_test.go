package engine_test

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/occid/occid/hypervisor"
	"github.com/occid/occid/internal/engine"
	"github.com/occid/occid/occi"
)

// pair is a cloud of two hosts, with a machine that has an interface and a storage.
type pair struct {
	*cloud
	hosts     []engine.Host
	vm        *occi.Entity
	disk, net *occi.Entity
	from, to  *fakeHost
}

func newPair(t *testing.T) *pair {
	p := &pair{cloud: newCloud(t), hosts: []engine.Host{node("a", 8, 8), node("b", 8, 8)}}
	p.hosted(p.hosts...)
	p.disk = p.create(draft(storage, "occi.storage.size", 1))
	for p.disk.Host != "a" {
		p.disk = p.create(draft(storage, "occi.storage.size", 1))
	}
	vm := sized(2, 2)
	vm.Links = []occi.DraftLink{{Kind: disk, Target: occi.URN(p.disk.ID)}}
	p.vm = p.create(vm)
	p.net = p.create(draft(network))
	for p.net.Host != "a" {
		p.net = p.create(draft(network))
	}
	p.create(link(nic, p.vm, p.net))
	p.vm = p.get(p.vm.ID)
	if p.vm.Host != "a" {
		t.Fatalf("the machine is on %s", p.vm.Host)
	}
	p.from, p.to = p.fake(0), p.fake(1)
	return p
}

func (p *pair) fake(i int) *fakeHost { return p.hosts[i].Driver.(*fakeHost) }

// node gives what a host is shown as.
func (p *pair) node(name string) *occi.Entity {
	p.t.Helper()
	for _, x := range p.cloud.hosts() {
		if x.Host == name {
			return x
		}
	}
	p.t.Fatalf("there is no host %s", name)
	return nil
}

// task gives the task of an outcome when it is over.
func (p *pair) task(out *engine.Outcome, err error) *occi.Task {
	p.t.Helper()
	if err != nil {
		p.t.Fatal(err)
	}
	p.settled(out)
	t, err := p.Task(p.ctx, engine.Caller{}, out.Tasks[0].ID)
	if err != nil {
		p.t.Fatal(err)
	}
	return t
}

// wantAt checks that the machine and all that goes with it are on a host, and that only
// that has them.
func (p *pair) wantAt(name, state string) {
	p.t.Helper()
	vm := p.get(p.vm.ID)
	for _, x := range append([]*occi.Entity{vm, p.get(p.disk.ID)}, vm.Links...) {
		if x.Host != name || x.Moving != "" {
			p.t.Errorf("%s is on %q, on its way to %q, want it on %q", p.model.Path(x), x.Host, x.Moving, name)
		}
	}
	if got := p.state(vm); got != state {
		p.t.Errorf("the machine is %s, want %s", got, state)
	}
	for i, h := range p.hosts {
		f := p.fake(i)
		f.mu.Lock()
		has := f.domains[vm.ID] != nil
		volume := f.volumes[p.disk.ID] != nil
		net := f.networks[p.net.ID] != nil
		f.mu.Unlock()
		if here := h.Name == name; has != here || volume != here || net != (here || h.Name == p.net.Host) {
			p.t.Errorf("host %s has the machine: %t, its volume: %t, its network: %t", h.Name, has, volume, net)
		}
	}
	loads, err := p.store.Loads(p.ctx)
	if err != nil {
		p.t.Fatal(err)
	}
	for _, l := range loads {
		if l.What == "cores" && (l.Host != name || l.Amount != 2) {
			p.t.Errorf("%d cores are taken of %s", l.Amount, l.Host)
		}
	}
}

func TestMachinesMove(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	b := p.node("b").ID.String()
	if got := p.task(p.act(p.vm, "migrate", "target", b)); got.State != occi.TaskDone || got.Total != 4<<20 || got.Done != 1<<20 || got.Progress != 100 {
		t.Errorf("the task is %+v", got)
	}
	p.wantAt("b", "inactive")
	if out, err := p.act(p.vm, "migrate", "target", b); err != nil || len(out.Tasks) > 0 {
		t.Errorf("moving to where it is gave %v, %v", out, err)
	}
	p.mustAct(p.vm, "start")
	p.mustAct(p.disk, "resize", "size", 2.0)
	if got := p.to.volume(p.disk.ID).SizeBytes; got != 2<<30 {
		t.Errorf("what has moved has grown to %d bytes", got)
	}
	// Without a target it goes to the only other host.
	p.mustAct(p.vm, "migrate")
	p.wantAt("a", "active")
	p.mustAct(p.vm, "migrate", "method", "cold")
	p.wantAt("b", "active")
	if got := p.to.domain(p.vm.ID).State; got != hypervisor.Running {
		t.Errorf("moved cold the machine is %s", got)
	}
	p.mustAct(p.vm, "suspend")
	p.mustAct(p.vm, "migrate", "method", "cold")
	p.wantAt("a", "suspended")
	if got := p.from.domain(p.vm.ID).State; got != hypervisor.Paused {
		t.Errorf("moved while it is suspended the machine is %s", got)
	}
	p.mustAct(p.vm, "migrate")
	p.wantAt("b", "suspended")
	p.mustAct(p.vm, "stop")
	p.mustAct(p.net, "down")
	if p.to.networks[p.net.ID].Active || p.from.networks[p.net.ID].Active {
		t.Error("a network that is down is up on one of its hosts")
	}
	p.mustAct(p.net, "up")
	if err := p.delete(p.vm.ID); err != nil {
		t.Fatal(err)
	}
	if p.to.networks[p.net.ID] != nil {
		t.Error("the network stays where the last machine in it has gone")
	}
}

func TestWhatCannotMove(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	refused := func(x *occi.Entity, class occi.Class, words []string, pairs ...any) {
		t.Helper()
		_, err := p.act(x, "migrate", pairs...)
		wantClass(t, err, class, words...)
	}
	refused(p.vm, occi.Invalid, []string{"there is no host"}, "target", uuid.NewString())
	refused(p.vm, occi.Invalid, []string{"target"}, "target", "somewhere")
	big := p.create(sized(8, 1))
	if big.Host != "b" {
		t.Fatalf("the other machine is on %s", big.Host)
	}
	refused(p.vm, occi.Conflict, []string{"no host can take it", "b: 0 of cores free, 2 needed"})
	if err := p.delete(big.ID); err != nil {
		t.Fatal(err)
	}
	p.until("there is room again", func() bool { return p.node("b").Attributes.Get("occid.host.cores.allocated").Num == 0 })
	p.mustAct(p.node("b"), "drain")
	refused(p.vm, occi.Conflict, []string{"b: in state maintenance"})
	p.mustAct(p.node("b"), "activate")

	shared := p.create(draft(storage, "occi.storage.size", 1))
	for shared.Host != "a" {
		shared = p.create(draft(storage, "occi.storage.size", 1))
	}
	reads := draft("", "occid.storagelink.readonly", true).Attributes
	other := p.create(&occi.Draft{Kind: compute, Links: []occi.DraftLink{{Kind: disk, Target: occi.URN(shared.ID), Attributes: reads}}})
	l := link(disk, p.vm, shared)
	l.Attributes = append(l.Attributes, reads...)
	own := p.create(l)
	refused(p.vm, occi.Conflict, []string{shared.ID.String(), "is attached to /compute/" + other.ID.String() + " too"})
	if err := p.delete(other.ID, own.ID); err != nil {
		t.Fatal(err)
	}
	p.wantAt("a", "inactive")
}

func TestAMoveThatFails(t *testing.T) {
	t.Parallel()
	for _, method := range []string{"live", "cold"} {
		t.Run(method, func(t *testing.T) {
			t.Parallel()
			p := newPair(t)
			p.mustAct(p.vm, "start")
			p.to.intercept(func(_ context.Context, op string, _ uuid.UUID) error {
				if op == "receive domain" {
					return errors.New("the target has no power")
				}
				return nil
			})
			if got := p.task(p.act(p.vm, "migrate", "method", method)); got.State != occi.TaskFailed || !strings.Contains(got.Error, "no power") {
				t.Errorf("the task is %+v", got)
			}
			p.wantAt("a", "active")
			if got := p.from.domain(p.vm.ID).State; got != hypervisor.Running {
				t.Errorf("the machine is %s", got)
			}
			if m := p.get(p.vm.ID).Attributes.Get("occi.compute.state.message").Text; m != "migrate failed: the target has no power" {
				t.Errorf("it says %q", m)
			}
		})
	}
}

// TestAMoveIsCancelled cancels one while it is under way, and one of which the hosts do
// not tell at once where the machine is.
func TestAMoveIsCancelled(t *testing.T) {
	t.Parallel()
	for _, unsure := range []bool{false, true} {
		p := newPair(t)
		p.mustAct(p.vm, "start")
		var asked atomic.Int32
		begun := make(chan struct{})
		p.from.intercept(func(ctx context.Context, op string, _ uuid.UUID) error {
			if op != "migrate domain" || asked.Add(1) > 1 {
				return nil
			}
			close(begun)
			<-ctx.Done()
			if unsure {
				return hypervisor.ErrUnavailable
			}
			return errors.New("it stays where it is")
		})
		out, err := p.act(p.vm, "migrate")
		if err != nil {
			t.Fatal(err)
		}
		<-begun
		for what, err := range map[string]error{
			"delete":        p.delete(p.vm.ID),
			"delete disk":   p.delete(p.disk.ID),
			"resize":        second(p.act(p.disk, "resize", "size", 3.0)),
			"migrate again": second(p.act(p.vm, "migrate")),
			"link":          second(p.Create(p.ctx, engine.Caller{}, nic, []*occi.Draft{link(nic, p.vm, p.net)}, engine.Options{})),
		} {
			if !errors.Is(err, occi.Conflict) {
				t.Errorf("to %s while the machine moves gave %v, want a conflict", what, err)
			}
		}
		if _, err := p.Cancel(p.ctx, engine.Caller{}, out.Tasks[0].ID); err != nil {
			t.Fatal(err)
		}
		if got := p.task(out, nil); got.State != occi.TaskCancelled {
			t.Errorf("the task is %+v", got)
		}
		p.wantAt("a", "active")
		p.mustAct(p.vm, "migrate")
		p.wantAt("b", "active")
	}
}

func second[T any](_ T, err error) error { return err }

// TestAMoveIsTakenUp has the server end at each step of a move.
func TestAMoveIsTakenUp(t *testing.T) {
	t.Parallel()
	for _, step := range []struct {
		host int
		op   string
	}{{1, "define network"}, {1, "start network"}, {0, "migrate domain"}, {1, "receive domain"}, {1, "delete network"}} {
		t.Run(step.op, func(t *testing.T) {
			t.Parallel()
			p := newPair(t)
			p.mustAct(p.vm, "start")
			if step.op == "delete network" {
				p.mustAct(p.vm, "migrate")
			}
			reached := make(chan struct{})
			var once atomic.Bool
			p.fake(step.host).intercept(func(ctx context.Context, op string, _ uuid.UUID) error {
				if op == step.op && once.CompareAndSwap(false, true) {
					close(reached)
					<-ctx.Done()
					return hypervisor.ErrUnavailable
				}
				return nil
			})
			if _, err := p.act(p.vm, "migrate"); err != nil {
				t.Fatal(err)
			}
			want := "b"
			if step.op == "delete network" {
				want = "a"
			}
			select {
			case <-reached:
			case <-time.After(20 * time.Second):
				t.Fatal("the step was not reached")
			}
			p.hosted(p.hosts...)
			p.until("it has moved", func() bool { return p.get(p.vm.ID).Host == want && len(p.get(p.vm.ID).Tasks) == 0 })
			p.wantAt(want, "active")
		})
	}
}

func TestDrainMovesMachines(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	p.mustAct(p.vm, "start")
	still, saved, big := p.createOn("a", sized(1, 1)), p.createOn("a", sized(1, 1)), p.createOn("a", sized(3, 1))
	p.createOn("b", sized(3, 1))
	p.mustAct(saved, "start")
	p.mustAct(saved, "suspend", "method", "hibernate")
	paused := p.createOn("a", sized(1, 1))
	p.mustAct(paused, "start")
	p.mustAct(paused, "suspend")
	a := p.node("a")
	task := p.task(p.act(a, "drain"))
	for _, want := range []string{"2 of 5 machines remain", "/compute/" + saved.ID.String() + " (suspended): it is saved", "/compute/" + big.ID.String() + " (inactive): ", "3 needed"} {
		if task.State != occi.TaskFailed || !strings.Contains(task.Error, want) {
			t.Errorf("the task is %s: %s; want %q", task.State, task.Error, want)
		}
	}
	for _, x := range []*occi.Entity{p.vm, still, paused} {
		if got := p.get(x.ID); got.Host != "b" {
			t.Errorf("%s is on %s", x.ID, got.Host)
		}
	}
	if m := p.get(a.ID).Attributes.Get("occid.host.state.message").Text; !strings.HasPrefix(m, "drain failed: 2 of 5 machines remain") || p.state(p.get(a.ID)) != "maintenance" {
		t.Errorf("it says %q", m)
	}
	if got := p.to.domain(paused.ID).State; got != hypervisor.Paused || p.state(p.get(paused.ID)) != "suspended" {
		t.Errorf("what was suspended is %s", got)
	}
	if err := p.delete(saved.ID, big.ID, paused.ID); err != nil {
		t.Fatal(err)
	}
	if got := p.task(p.act(a, "drain")); got.State != occi.TaskDone {
		t.Errorf("the task is %+v", got)
	}
	p.mustAct(a, "activate")
	p.mustAct(p.vm, "migrate")
	p.mustAct(p.node("b"), "drain")
	if got := p.get(still.ID); got.Host != "a" {
		t.Errorf("drained the other way it is on %s", got.Host)
	}
}

func TestDrainOfAHostThatIsSilent(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	p.from.tell(hypervisor.Info{}, hypervisor.ErrUnavailable)
	if got := p.task(p.act(p.node("a"), "drain")); got.State != occi.TaskFailed || !strings.Contains(got.Error, "1 of 1 machines remain") || !strings.Contains(got.Error, "the host does not answer") {
		t.Errorf("the task is %+v", got)
	}
	p.until("the machine is shown as lost", func() bool { return p.state(p.get(p.vm.ID)) == "error" })
	p.wantAt("a", "error")
}

// createOn makes a machine on a host.
func (p *pair) createOn(name string, d *occi.Draft) *occi.Entity {
	p.t.Helper()
	for range 8 {
		x := p.create(d)
		if x.Host == name {
			return x
		}
		if err := p.delete(x.ID); err != nil {
			p.t.Fatal(err)
		}
		u := p.create(draft(storage, "occi.storage.size", 1))
		for u.Host != name {
			u = p.create(draft(storage, "occi.storage.size", 1))
		}
		d.Links = []occi.DraftLink{{Kind: disk, Target: occi.URN(u.ID)}}
	}
	p.t.Fatalf("no machine was placed on %s", name)
	return nil
}

// TestAMachineThatDoesNotStartAgain is where it has moved to all the same.
func TestAMachineThatDoesNotStartAgain(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	p.mustAct(p.vm, "start")
	p.to.intercept(func(_ context.Context, op string, _ uuid.UUID) error {
		if op == "start domain" {
			return errors.New("there is no kernel")
		}
		return nil
	})
	if got := p.task(p.act(p.vm, "migrate", "method", "cold")); got.State != occi.TaskFailed || !strings.Contains(got.Error, "it has moved, but does not start: there is no kernel") {
		t.Errorf("the task is %+v", got)
	}
	p.wantAt("b", "inactive")
}

// TestTasksFollowAMachine leaves a task at the host that a machine has left.
func TestTasksFollowAMachine(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	p.mustAct(p.vm, "migrate")
	late := &occi.Task{ID: uuid.New(), Entity: p.vm.ID, Kind: compute, Lane: p.vm.ID, Host: "a", Verb: "start", State: occi.TaskPending, Progress: -1, Created: time.Now()}
	x := p.get(p.vm.ID).Clone()
	x.Tasks = append(x.Tasks, late.ID)
	if err := p.store.Commit(p.ctx, &occi.Change{At: time.Now(), Puts: []*occi.Entity{x}, Tasks: []*occi.Task{late}}); err != nil {
		t.Fatal(err)
	}
	p.hosted(p.hosts...)
	p.until("it runs", func() bool { return len(p.get(p.vm.ID).Tasks) == 0 })
	p.wantAt("b", "active")
}

// TestRoomInPoolsMoves has pools counted at both hosts while a machine moves, and at its
// target afterwards.
func TestRoomInPoolsMoves(t *testing.T) {
	t.Parallel()
	p := &pair{cloud: newCloud(t), hosts: []engine.Host{node("a", 8, 8), node("b", 8, 8)}}
	for i := range p.hosts {
		p.hosts[i].Pools = []engine.Pool{{Name: "main", Default: true, CapacityBytes: 3 << 30}}
	}
	p.hosted(p.hosts...)
	p.disk = p.create(draft(storage, "occi.storage.size", 2))
	p.vm = p.create(&occi.Draft{Kind: compute, Links: []occi.DraftLink{{Kind: disk, Target: occi.URN(p.disk.ID)}}})
	from := p.vm.Host
	to := map[string]string{"a": "b", "b": "a"}[from]
	taken := func() map[string]int64 {
		out := map[string]int64{}
		for _, id := range []uuid.UUID{p.disk.ID, uuid.NewSHA1(p.disk.ID, []byte("arriving"))} {
			rooms, err := p.store.Rooms(p.ctx, []uuid.UUID{id})
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range rooms {
				host, _, _ := strings.Cut(r.Pool, "\n")
				out[host] += r.Bytes >> 30
			}
		}
		return out
	}
	other := p.create(draft(storage, "occi.storage.size", 2))
	for other.Host != to {
		if err := p.delete(other.ID); err != nil {
			t.Fatal(err)
		}
		other = p.create(draft(storage, "occi.storage.size", 1))
	}
	if other.Attributes.Get("occi.storage.size").Num == 1 {
		p.mustAct(other, "resize", "size", 2.0)
	}
	_, err := p.act(p.vm, "migrate")
	wantClass(t, err, occi.Conflict, "the pool main has no room for 2 GiB more: 1 GiB are free")
	if err := p.delete(other.ID); err != nil {
		t.Fatal(err)
	}
	f := p.fake(map[string]int{"a": 0, "b": 1}[from])
	begun, proceed := f.hold("migrate domain", errors.New("no"))
	out, err := p.act(p.vm, "migrate")
	if err != nil {
		t.Fatal(err)
	}
	<-begun
	if got := taken(); got[from] != 2 || got[to] != 2 {
		t.Errorf("while it moves pools have %v", got)
	}
	close(proceed)
	p.task(out, nil)
	if got := taken(); got[from] != 2 || got[to] != 0 {
		t.Errorf("after it has not moved pools have %v", got)
	}
	p.mustAct(p.vm, "migrate")
	if got := taken(); got[from] != 0 || got[to] != 2 {
		t.Errorf("after it has moved pools have %v", got)
	}
}
