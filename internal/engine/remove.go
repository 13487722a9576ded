package engine

import (
	"context"
	"errors"

	"github.com/google/uuid"

	"github.com/occid/occid/internal/policy"
	"github.com/occid/occid/occi"
)

// Delete removes entities, all or none, with the links from and to them. They
// are gone for clients at once; what is on a host goes in tasks. A network that a
// machine uses which is not stopped is a Conflict, and so is a storage that is attached
// to any, unless the machine or the link is deleted with it.
func (e *Engine) Delete(ctx context.Context, c Caller, ids []uuid.UUID, o Options) (*Outcome, error) {
	c = e.as(c)
	return retry(ctx, func() (*Outcome, error) {
		p, err := e.begin(ctx, c, o)
		if err != nil {
			return nil, err
		}
		r := removal{plan: p, doomed: map[uuid.UUID]bool{}, detached: map[uuid.UUID][]uuid.UUID{}}
		if err := r.find(ctx, ids, o); err != nil {
			return nil, err
		}
		users, err := e.users(ctx, r.targets(), r.doomed)
		if err != nil {
			return nil, err
		}
		ps, err := e.imageUsers(ctx, r.m, r.tops(), r.doomed)
		if err != nil {
			return nil, err
		}
		if ps = append(users.keep(r.m), ps...); len(ps) > 0 {
			return nil, final{occi.Problems(occi.Conflict, "what is in use cannot be deleted", ps)}
		}
		r.change.Reads = append(r.change.Reads, users.idle...)
		for _, l := range users.links {
			r.link(l)
		}
		if err := r.await(ctx, users.leaving); err != nil {
			return nil, err
		}
		r.all()
		out, err := r.commit(ctx)
		if err != nil {
			return nil, err
		}
		if len(r.change.Vacant) > 0 {
			signal(e.regather)
		}
		out.Entities = nil
		for _, id := range r.result {
			out.Entities = append(out.Entities, r.known[id])
		}
		return out, nil
	})
}

// removal is a plan that deletes.
type removal struct {
	*plan
	doomed map[uuid.UUID]bool
	// detached lists, by resource, the tasks that take it off machines.
	detached map[uuid.UUID][]uuid.UUID
}

func (r *removal) find(ctx context.Context, ids []uuid.UUID, o Options) error {
	if err := r.read(ctx, ids); err != nil {
		return err
	}
	for _, id := range ids {
		x := r.known[id]
		if x == nil {
			return occi.E(occi.NotFound, "there is no entity %s", id)
		}
		if r.doomed[id] {
			continue
		}
		if err := may(r.c, x, policy.Delete); err != nil {
			return err
		}
		if err := r.dismissed(ctx, x); err != nil {
			return err
		}
		if err := r.dispensable(ctx, x); err != nil {
			return err
		}
		if o.Match != nil {
			if err := o.Match(x); err != nil {
				return final{err}
			}
		}
		r.doomed[id] = true
		r.result = append(r.result, id)
	}
	return nil
}

// tops lists the resources among what is removed.
func (r *removal) tops() []*occi.Entity {
	var out []*occi.Entity
	for _, id := range r.result {
		if x := r.known[id]; x.Source.ID == uuid.Nil {
			out = append(out, x)
		}
	}
	return out
}

// targets lists the resources that links may lead to.
func (r *removal) targets() []uuid.UUID {
	var out []uuid.UUID
	for _, x := range r.tops() {
		out = append(out, x.ID)
	}
	return out
}

// all deletes the links first, then machines, then what these use, so that a
// task comes after those it needs.
func (r *removal) all() {
	for _, id := range r.result {
		if x := r.known[id]; x.Source.ID != uuid.Nil {
			r.link(x)
		}
	}
	for _, id := range r.result {
		if x := r.known[id]; x.Source.ID == uuid.Nil && part(r.m, x).machine {
			r.resource(x)
		}
	}
	for _, id := range r.result {
		if x := r.known[id]; x.Source.ID == uuid.Nil && !part(r.m, x).machine {
			r.resource(x)
		}
	}
}

// link deletes a link, once. The links of a resource that is deleted on its host
// go or come back with that.
func (r *removal) link(l *occi.Entity) {
	if r.puts[l.ID] != nil || r.removed(l.ID) {
		return
	}
	r.identities = r.identities || part(r.m, l).ready != nil
	r.regroups = r.regroups || part(r.m, l).groups
	r.musters = r.musters || part(r.m, l).joins
	doomed := r.doomed[l.Source.ID]
	if src := r.known[l.Source.ID]; doomed && src.Host != "" && !part(r.m, src).own && !part(r.m, src).stores {
		r.put(l).Deleted = true
		return
	}
	if doomed || l.Host == "" {
		r.change.Removes = append(r.change.Removes, occi.Removal{ID: l.ID})
		return
	}
	w := r.put(l)
	w.Deleted = true
	t := r.task(w, l.Host, verbDelete, nil, nil)
	r.detached[l.Target.ID] = append(r.detached[l.Target.ID], t.ID)
}

// await has what links lead to deleted after the links that are being deleted
// already, or after the machines they go with.
func (r *removal) await(ctx context.Context, leaving []*occi.Entity) error {
	for _, l := range leaving {
		tasks, err := r.e.ending(ctx, l)
		if err != nil {
			return err
		}
		r.detached[l.Target.ID] = append(r.detached[l.Target.ID], tasks...)
	}
	return nil
}

// ending lists the tasks that end a link which is being deleted: its own, or those of
// the machine that it goes with.
func (e *Engine) ending(ctx context.Context, l *occi.Entity) ([]uuid.UUID, error) {
	if len(l.Tasks) > 0 {
		return l.Tasks, nil
	}
	src, err := e.store.EntityAny(ctx, l.Source.ID)
	if errors.Is(err, occi.NotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return src.Tasks, nil
}

func (r *removal) removed(id uuid.UUID) bool {
	for _, x := range r.change.Removes {
		if x.ID == id {
			return true
		}
	}
	return false
}

// resource deletes a resource and the links from it.
func (r *removal) resource(x *occi.Entity) {
	for _, l := range x.Links {
		r.link(l)
	}
	if x.Host == "" || part(r.m, x).own || part(r.m, x).stores {
		r.change.Removes = append(r.change.Removes, occi.Removal{ID: x.ID, Revision: x.Revision})
		return
	}
	w := r.put(x)
	w.Deleted = true
	t := r.task(w, x.Host, verbDelete, nil, r.detached[x.ID])
	r.say(w, throughDelete)
	for _, l := range x.Links {
		r.detached[l.Target.ID] = append(r.detached[l.Target.ID], t.ID)
	}
	if image := imageOf(r.m, x); image != uuid.Nil {
		r.detached[image] = append(r.detached[image], t.ID)
	}
}

// undo deletes what was not wholly created, whoever has linked to it meanwhile.
func (p *plan) undo(ctx context.Context, w *occi.Entity) error {
	r := removal{plan: p, doomed: map[uuid.UUID]bool{w.ID: true}, detached: map[uuid.UUID][]uuid.UUID{}}
	p.known[w.ID] = w
	if w.Source.ID != uuid.Nil {
		w.Deleted = true
		r.task(w, w.Host, verbDelete, nil, nil)
		return nil
	}
	users, err := p.e.users(ctx, []uuid.UUID{w.ID}, nil)
	if err != nil {
		return err
	}
	for _, l := range users.links {
		r.link(l)
	}
	r.resource(w)
	return nil
}

// users are the links to resources, and who has them.
type users struct {
	links     []*occi.Entity
	leaving   []*occi.Entity // links that are being deleted
	busy      []*occi.Entity // machines that are not stopped and have it as a device
	busyLinks []*occi.Entity // their links
	held      []*occi.Entity // links that keep what they lead to, of any machine
	idle      []occi.Version // machines that are stopped, as they were read
}

// keep names each resource that cannot go, and the machine that has it.
func (u *users) keep(m *occi.Model) []occi.Problem {
	var ps []occi.Problem
	for _, l := range u.held {
		ps = append(ps, occi.Problem{What: m.RefPath(l.Target), Text: "is attached to " + m.RefPath(l.Source)})
	}
	for i, l := range u.busyLinks {
		if !part(m, l).holds {
			ps = append(ps, u.busyOne(m, i))
		}
	}
	return ps
}

// readers names each resource that a machine at work has without writing to it, and the
// machine.
func (u *users) readers(m *occi.Model) []occi.Problem {
	var ps []occi.Problem
	for i, l := range u.busyLinks {
		if isTrue(role(m, l, roleReadOnly)) {
			ps = append(ps, occi.Problem{What: m.RefPath(l.Target), Text: "cannot grow while " + m.Path(u.busy[i]) + " reads it"})
		}
	}
	return ps
}

func (u *users) busyOne(m *occi.Model, i int) occi.Problem {
	return occi.Problem{What: m.RefPath(u.busyLinks[i].Target), Text: "is in use by " + m.Path(u.busy[i])}
}

// inUse names each resource that a machine at work has, and the machine.
func (u *users) inUse(m *occi.Model) []occi.Problem {
	var ps []occi.Problem
	for i := range u.busyLinks {
		ps = append(ps, u.busyOne(m, i))
	}
	return ps
}

// users finds the links to targets and tells which of their sources, leaving out
// those that are ignored, are at work.
func (e *Engine) users(ctx context.Context, targets []uuid.UUID, ignored map[uuid.UUID]bool) (*users, error) {
	u := &users{}
	if len(targets) == 0 {
		return u, nil
	}
	m := e.Model()
	incoming, err := e.store.Incoming(ctx, targets...)
	if err != nil {
		return nil, err
	}
	var ids []uuid.UUID
	for _, l := range incoming {
		if l.Deleted {
			u.leaving = append(u.leaving, l)
			continue
		}
		u.links = append(u.links, l)
		if !ignored[l.Source.ID] && part(m, l).device {
			ids = append(ids, l.Source.ID)
			if part(m, l).holds && !ignored[l.ID] && !failed(m, l) {
				u.held = append(u.held, l)
			}
		}
	}
	sources, err := e.entities(ctx, ids)
	if err != nil {
		return nil, err
	}
	working, err := e.working(ctx, m, sources)
	if err != nil {
		return nil, err
	}
	for _, l := range u.links {
		switch src := sources[l.Source.ID]; {
		case src == nil || !part(m, l).device || ignored[l.ID]:
		case working[src.ID]:
			u.busy = append(u.busy, src)
			u.busyLinks = append(u.busyLinks, l)
		default:
			u.idle = append(u.idle, occi.Version{ID: src.ID, Revision: src.Revision})
		}
	}
	return u, nil
}

// atWork reports whether a machine holds on to its devices: it is in neither its
// initial nor its failed state.
func atWork(m *occi.Model, x *occi.Entity) bool {
	k := m.Kind(x.Kind)
	if k == nil || k.States == nil {
		return false
	}
	return holding(k.States, m.State(x))
}
