package engine

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"github.com/occid/occid/occi"
)

// Fenced is a host on which nothing may run any more.
type Fenced struct {
	// Name is by which the engine knows it, its URI; Title is what people call it.
	Name, Title string
	// ID is the UUID that it is shown under, HostID its own; Hostname is the name it gives
	// itself. The last two are empty if it never told.
	ID               uuid.UUID
	HostID, Hostname string
}

const (
	// rescueEvery is how often lost hosts are looked at whose machines may be restarted
	// elsewhere.
	rescueEvery = time.Second
	// firstFence and longestFence are the pauses between attempts to fence a host.
	firstFence, longestFence = 10 * time.Second, 10 * time.Minute
	// reasonLen is how much is shown of why a host could not be fenced.
	reasonLen = 200
)

// retrying is when something is to be tried again that fails.
type retrying struct {
	failures int
	next     time.Time
	fault    atomic.Pointer[string] // why the last attempt failed, nil if it did not
}

// failed puts the next attempt off, each time for twice as long.
func (r *retrying) failed(now time.Time) {
	pause := firstFence
	for i := 0; i < r.failures && pause < longestFence; i++ {
		pause *= 2
	}
	r.failures++
	r.next = now.Add(min(pause, longestFence))
}

// rescue restarts machines elsewhere whose host is lost for long. The server that
// watches the host does so, once it has fenced it.
func (h *host) rescue(ctx context.Context) {
	if h.e.cfg.Fence == nil {
		return
	}
	tick := time.NewTicker(min(rescueEvery, h.e.cfg.FenceAfter))
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if h.lostFor() < h.e.cfg.FenceAfter {
			h.fence.failures, h.fence.next = 0, time.Time{}
			h.fence.fault.Store(nil)
			continue
		}
		if time.Now().Before(h.fence.next) {
			continue
		}
		if err := h.rescueOnce(ctx); err != nil && ctx.Err() == nil {
			h.fence.failed(time.Now())
			h.e.log.Warn("machines of a lost host were not restarted elsewhere", "host", h.name, "error", err)
		}
	}
}

// rescueOnce fences the host if it is not yet, and moves the machines that may be.
func (h *host) rescueOnce(ctx context.Context) error {
	rows, err := h.machines(ctx)
	if err != nil {
		return err
	}
	m := h.e.Model()
	rows = slices.DeleteFunc(rows, func(x *occi.Entity) bool { return !restarts(m, x) })
	movable, err := h.movable(ctx, rows)
	if err != nil || len(movable) == 0 {
		return err
	}
	if err := h.fenced(ctx); err != nil {
		why := "fencing it failed: " + shortened(err.Error())
		h.fence.fault.Store(&why)
		signal(h.relook)
		return errors.Join(err, h.explain(ctx, slices.Concat(movable...), "it cannot be restarted elsewhere yet: fencing that failed"))
	}
	h.fence.fault.Store(nil)
	var errs []error
	for _, xs := range movable {
		errs = append(errs, h.restart(ctx, xs[0].ID))
	}
	return errors.Join(errs...)
}

// movable gives the machines that can go, those together that go together, and has the
// others say why they cannot. A host without any is not fenced.
func (h *host) movable(ctx context.Context, rows []*occi.Entity) ([][]*occi.Entity, error) {
	var out [][]*occi.Entity
	seen := map[uuid.UUID]bool{}
	for _, x := range rows {
		if seen[x.ID] {
			continue
		}
		g := h.going()
		if err := g.gather(ctx, x.ID); err != nil {
			return nil, err
		}
		for _, o := range g.machines {
			seen[o.ID] = true
		}
		if g.stays == "" && len(g.machines) > 0 {
			out = append(out, g.machines)
		} else if err := h.explain(ctx, g.machines, cannot+g.stays); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// cannot begins what is said of machines that are not restarted elsewhere.
const cannot = "it cannot be restarted elsewhere: "

// restarts reports whether a machine is lost and to be restarted elsewhere.
func restarts(m *occi.Model, x *occi.Entity) bool {
	return isLost(m, x) && !x.Deleted && isTrue(role(m, x, roleRestart))
}

// shortened gives the beginning of the first line of a text.
func shortened(text string) string {
	text = firstLine(text)
	return strings.ToValidUTF8(text[:min(len(text), reasonLen)], "")
}

// fenced makes sure that the host is fenced, and that this is recorded with its row.
func (h *host) fenced(ctx context.Context) error {
	node, err := h.e.anyway(ctx, nodeID(h.name))
	if err != nil || node == nil {
		return errors.Join(err, occi.E(occi.NotFound, "the host is not shown"))
	}
	m := h.e.Model()
	if role(m, node, roleNodeFenced).IsZero() {
		if takesOf(m, node) == nil {
			return occi.E(occi.Conflict, "the host is shown as up")
		}
		h.e.log.Warn("a lost host is fenced", "host", h.name)
		bounded, cancel := context.WithTimeout(ctx, h.e.cfg.FenceTime)
		defer cancel()
		if err := h.e.cfg.Fence(bounded, &Fenced{Name: h.name, Title: h.called(), ID: node.ID,
			HostID: role(m, node, roleNodeID).Text, Hostname: role(m, node, roleNodeName).Text}); err != nil {
			return err
		}
	}
	_, err = retry(ctx, func() (*Outcome, error) {
		node, err := h.e.anyway(ctx, nodeID(h.name))
		if err != nil || node == nil || !role(m, node, roleNodeFenced).IsZero() {
			return nil, err
		}
		// Meanwhile it may have come back, to this server or another.
		if h.lostFor() < h.e.cfg.FenceAfter || takesOf(m, node) == nil {
			return nil, conflict("the host is back")
		}
		w := node.Clone()
		setRole(m, w, roleNodeFenced, occi.Str(h.e.now().Format(time.RFC3339)))
		return nil, h.e.store.Commit(ctx, &occi.Change{At: h.e.now(), Puts: []*occi.Entity{w}})
	})
	return err
}

// explain has the messages of lost machines say more.
func (h *host) explain(ctx context.Context, rows []*occi.Entity, why string) error {
	p := h.e.plan(Caller{})
	for _, x := range rows {
		if !restarts(p.m, x) {
			continue
		}
		k := p.m.Kind(x.Kind)
		w := x.Clone()
		p.say(w, lostBy(k, role(p.m, x, roleLost).Text)+"; "+why)
		if !same(x, w) {
			p.known[x.ID] = x
			p.change.Puts = append(p.change.Puts, w)
		}
	}
	if len(p.change.Puts) == 0 {
		return nil
	}
	_, err := p.commit(ctx)
	return ignoreConflict(err)
}

// restart moves a machine, with the networks that it is in and the other machines in
// these, or has all of them say why that cannot be.
func (h *host) restart(ctx context.Context, id uuid.UUID) error {
	_, err := retry(ctx, func() (*Outcome, error) {
		g := h.going()
		if err := g.gather(ctx, id); err != nil || len(g.machines) == 0 || g.stays != "" {
			return nil, err
		}
		defer func() {
			g.stored = false // what is taken was put down by the commit
			h.e.ledger.settle(g.plan)
		}()
		err := g.leave(ctx)
		var f final
		if errors.As(err, &f) {
			g.e.log.Warn("machines of a lost host cannot be placed elsewhere", "host", h.name, "error", f)
			return nil, h.explain(ctx, g.machines, cannot+"no other host can take it")
		}
		return nil, err
	})
	return err
}

func (h *host) going() *going { return &going{creation: creation{plan: h.e.plan(Caller{})}, h: h} }

// going is what goes to another host together.
type going struct {
	creation
	h                           *host
	machines, networks, volumes []*occi.Entity
	disks                       []lostDisk
	// among are the other hosts that reach the disks.
	among []*host
	// stays is why it cannot go.
	stays string
}

// gather finds a machine and what goes with it, and the hosts that it may go to.
func (g *going) gather(ctx context.Context, id uuid.UUID) error {
	for next := []uuid.UUID{id}; len(next) > 0; {
		if err := g.read(ctx, next); err != nil {
			return err
		}
		var leads []uuid.UUID
		for _, id := range next {
			x := g.known[id]
			if x == nil || x.Host != g.h.name || slices.Contains(g.machines, x) {
				continue
			}
			g.machines = append(g.machines, x)
			leads = append(leads, g.leads(x)...)
		}
		var err error
		if next, err = g.beside(ctx, leads); err != nil {
			return err
		}
	}
	if g.stays != "" {
		return nil
	}
	return g.reach(ctx)
}

// leads lists the networks and storages of a machine, and finds out why it has to stay.
func (g *going) leads(x *occi.Entity) (out []uuid.UUID) {
	switch {
	case !restarts(g.m, x):
		g.stays = "another machine that has a network or storage with it is not to be restarted elsewhere"
	case x.Moving != "":
		// It may run there already.
		g.stays = "it was being moved to another host"
	}
	for _, l := range x.Links {
		if !l.Deleted && part(g.m, l).device {
			out = append(out, l.Target.ID)
		}
	}
	return out
}

// beside takes in networks and storages and lists the machines that have them.
func (g *going) beside(ctx context.Context, ids []uuid.UUID) ([]uuid.UUID, error) {
	ids = slices.DeleteFunc(ids, func(id uuid.UUID) bool { return g.known[id] != nil })
	if len(ids) == 0 {
		return nil, nil
	}
	if err := g.read(ctx, ids); err != nil {
		return nil, err
	}
	for _, id := range ids {
		x := g.known[id]
		if x == nil || slices.Contains(g.networks, x) || slices.Contains(g.volumes, x) {
			continue
		}
		if hostedAs(g.m, x, "volume") {
			g.volumes = append(g.volumes, x)
		} else {
			g.networks = append(g.networks, x)
		}
	}
	incoming, err := g.e.store.Incoming(ctx, ids...)
	var machines []uuid.UUID
	for _, l := range incoming {
		if !l.Deleted && part(g.m, l).device {
			machines = append(machines, l.Source.ID)
		}
	}
	return machines, err
}

// leave places all on another host and leaves the tasks that make it there. The row of the
// host that is lost goes with the change: if that is back meanwhile, nothing happens.
func (g *going) leave(ctx context.Context) error {
	node, err := g.e.anyway(ctx, nodeID(g.h.name))
	if err != nil || node == nil || role(g.m, node, roleNodeFenced).IsZero() || g.h.lostFor() == 0 {
		return err
	}
	if len(g.among) == 0 {
		return conflict("there is no other host")
	}
	to, err := g.find(ctx, g.among, g.needOf(slices.Concat(g.machines, g.networks), g.among))
	if err != nil {
		return err
	}
	g.meet(ctx, to)
	g.reliesOn(to)
	var ids []string
	for _, x := range g.networks {
		w, err := g.move(ctx, to, x, g.m.State(x))
		if err != nil {
			return err
		}
		g.known[x.ID] = w
		ids = append(ids, x.ID.String())
	}
	for _, x := range g.volumes {
		g.rehost(to, x)
	}
	for _, x := range g.machines {
		if _, err := g.move(ctx, to, x, role(g.m, x, roleLost).Text); err != nil {
			return err
		}
		ids = append(ids, x.ID.String())
	}
	was := role(g.m, node, roleNodeMoved).Text
	g.known[node.ID] = node
	setRole(g.m, g.put(node), roleNodeMoved, occi.Str(strings.TrimSpace(was+" "+strings.Join(ids, " "))))
	_, err = g.commit(ctx)
	if err == nil {
		g.e.log.Warn("what a lost host had is made on another one", "host", g.h.name, "to", to.name, "machines", len(g.machines))
	}
	return err
}

// move has an entity made on another host and brought to a state. Tasks that the lost
// host has not done are cancelled: what they were to make is made with it.
func (g *going) move(ctx context.Context, to *host, x *occi.Entity, state string) (*occi.Entity, error) {
	tasks, err := g.e.store.Unfinished(ctx, []uuid.UUID{x.ID})
	if err != nil {
		return nil, err
	}
	for _, t := range tasks {
		if t.Verb == verbDelete {
			return nil, conflict("%s is being deleted", g.m.Path(x))
		}
		over := *t
		over.State, over.Finished, over.NotBefore, over.Error = occi.TaskCancelled, g.now, g.now, "its host was lost; it is made on another one"
		g.change.Tasks = append(g.change.Tasks, &over)
	}
	k, w := g.m.Kind(x.Kind), g.rehost(to, x)
	setRole(g.m, w, roleLost, occi.Value{})
	g.setState(k, w, state)
	return w, g.remake(ctx, k, w)
}

// rehost puts an entity on another host, with what its volumes take there. Those that are
// there already are so whether they fit or not.
func (g *going) rehost(to *host, x *occi.Entity) *occi.Entity {
	w := g.put(x)
	w.Host, w.Tasks = to.name, nil
	for _, l := range x.Links {
		if l.Host == g.h.name {
			wl := g.put(l)
			wl.Host, wl.Tasks = to.name, nil
		}
	}
	for _, r := range g.rooms(w) {
		if slices.ContainsFunc(g.disks, func(d lostDisk) bool { return d.volume == r.Volume }) {
			r.Limit = 0
		}
		g.change.Rooms = append(g.change.Rooms, r)
	}
	return w
}
