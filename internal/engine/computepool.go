package engine

import (
	"context"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/occid/occid/hypervisor"
	"github.com/occid/occid/occi"
)

const (
	// musterEvery is how often it is looked whether other servers have changed what sets
	// of machines show.
	musterEvery = 2 * time.Second
	// musterPause is how long changes are gathered before sets are counted again.
	musterPause = 50 * time.Millisecond
)

// sameProject refuses to put a machine in a set of another project.
func (b *creation) sameProject() error {
	for _, l := range b.links {
		if !part(b.m, l).joins {
			continue
		}
		if src, set := b.entity(l.Source.ID), b.entity(l.Target.ID); src.Project != set.Project {
			return conflict("%s is not of the project of %s", b.m.Path(src), b.m.Path(set))
		}
	}
	return nil
}

// enlist gives new machines the mixins of the sets that they are made in, as far as
// these are for both. Those that a machine has already stay as they are.
func (b *creation) enlist() {
	for _, l := range b.links {
		src := b.entity(l.Source.ID)
		if !part(b.m, l).joins || src.Revision > 0 {
			continue
		}
		set := b.entity(l.Target.ID)
		for _, id := range set.Mixins {
			mx := b.m.Mixin(id)
			if mx == nil || !slices.Contains(mx.Applies, src.Kind) || !slices.Contains(mx.Applies, set.Kind) || src.HasMixin(id) {
				continue
			}
			src.Mixins = append(src.Mixins, id)
			for _, a := range mx.Attributes {
				src.Attributes.Set(a.Name, set.Attributes.Get(a.Name))
			}
		}
	}
}

// spread puts the members of sets in the place of those whose members an action is for.
func (a *acts) spread(ctx context.Context, ids []uuid.UUID, found map[uuid.UUID]*occi.Entity, d *occi.Draft, o Options) ([]uuid.UUID, map[uuid.UUID]*occi.Entity, error) {
	var sets []uuid.UUID
	for _, id := range ids {
		x := found[id]
		if x == nil || !part(a.m, x).set {
			continue
		}
		if err := a.spreads(x, d, o); err != nil {
			return nil, nil, err
		}
		sets = append(sets, id)
	}
	if len(sets) == 0 {
		return ids, found, nil
	}
	incoming, err := a.e.store.Incoming(ctx, sets...)
	if err != nil {
		return nil, nil, err
	}
	var out []uuid.UUID
	add := func(id uuid.UUID) {
		if !slices.Contains(out, id) {
			out = append(out, id)
		}
	}
	for _, id := range ids {
		if !slices.Contains(sets, id) {
			add(id)
			continue
		}
		for _, member := range membersOf(a.m, incoming, id) {
			add(member)
		}
	}
	// The term is that of the members' action; an identifier is that of the set's own.
	d.Action = term(d.Action)
	members, err := a.e.entities(ctx, out)
	// One that is gone meanwhile is no member any more.
	out = slices.DeleteFunc(out, func(id uuid.UUID) bool { return members[id] == nil && !slices.Contains(ids, id) })
	return out, members, err
}

// membersOf lists the machines in a set, by the links that lead to sets.
func membersOf(m *occi.Model, incoming []*occi.Entity, set uuid.UUID) []uuid.UUID {
	var ids []uuid.UUID
	for _, l := range incoming {
		if l.Target.ID == set && part(m, l).joins && !l.Deleted {
			ids = append(ids, l.Source.ID)
		}
	}
	return ids
}

// spreads checks that an action on a set may be one on its members.
func (a *acts) spreads(x *occi.Entity, d *occi.Draft, o Options) error {
	if err := may(a.c, x, a.invoking(x, term(d.Action))...); err != nil {
		return err
	}
	action, err := a.action(a.m.Kind(x.Kind), x, d.Action)
	if err != nil {
		return err
	}
	if op := operations[action.Do]; op == nil || !op.spreads {
		return occi.E(occi.Invalid, "%s: nothing carries out %s on its members", a.m.Path(x), action.Term)
	}
	if _, err := a.m.Parameters(action, d); err != nil {
		return err
	}
	if o.Match == nil {
		return nil
	}
	if err := o.Match(x); err != nil {
		return final{err}
	}
	return nil
}

// mustered has sets of machines counted again if the plan, which is stored, changes what
// they show.
func (p *plan) mustered() {
	joins := func(l *occi.Entity) bool { return part(p.m, l).joins }
	in := func(x *occi.Entity) bool { return x != nil && (joins(x) || slices.ContainsFunc(x.Links, joins)) }
	for _, x := range p.change.Puts {
		p.musters = p.musters || in(x) || in(p.known[x.ID])
	}
	if p.musters {
		signal(p.e.remuster)
	}
}

// muster keeps true what sets of machines show of their members, until ctx ends.
func (e *Engine) muster(ctx context.Context) {
	tick := time.NewTicker(musterEvery)
	defer tick.Stop()
	counted := int64(-1)
	for {
		before, err := e.mustering(ctx)
		if err == nil && before != counted {
			if err = e.count(ctx); err == nil {
				counted = before
			}
		}
		if err != nil && ctx.Err() == nil {
			e.log.Warn("pools of machines were not counted", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			continue
		case <-e.remuster:
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(musterPause):
		}
	}
}

// mustering is the revision of all that sets of machines show; 0 without any.
func (e *Engine) mustering(ctx context.Context) (int64, error) {
	m := e.Model()
	sets := kindsFor(m, "set")
	if len(sets) == 0 {
		return 0, nil
	}
	n, err := e.store.Count(ctx, sets)
	if err != nil || n.Members == 0 {
		return 0, err
	}
	all, err := e.store.Count(ctx, slices.Concat(kindsFor(m, "setmember"), kindsFor(m, "domain")))
	return n.Revision + all.Revision, err
}

// count writes the sets whose members are others than they show.
func (e *Engine) count(ctx context.Context) error {
	m := e.Model()
	page, err := e.store.List(ctx, &occi.Query{Kinds: kindsFor(m, "set")})
	if err != nil || len(page.Entities) == 0 {
		return err
	}
	var ids []uuid.UUID
	for _, x := range page.Entities {
		ids = append(ids, x.ID)
	}
	incoming, err := e.store.Incoming(ctx, ids...)
	if err != nil {
		return err
	}
	var machines []uuid.UUID
	for _, id := range ids {
		machines = append(machines, membersOf(m, incoming, id)...)
	}
	found, err := e.entities(ctx, machines)
	if err != nil {
		return err
	}
	change := occi.Change{At: e.now()}
	for _, x := range page.Entities {
		members, active := int64(0), int64(0)
		for _, id := range membersOf(m, incoming, x.ID) {
			vm := found[id]
			if vm == nil {
				continue
			}
			members++
			if k := m.Kind(vm.Kind); k != nil && m.State(vm) == stateOf(k, hypervisor.Running) {
				active++
			}
		}
		w := x.Clone()
		setRole(m, w, roleSetMembers, occi.Int(members))
		setRole(m, w, roleSetActive, occi.Int(active))
		if !same(x, w) {
			change.Puts = append(change.Puts, w)
		}
	}
	if len(change.Puts) == 0 {
		return nil
	}
	// What is changed meanwhile is counted again after that.
	return ignoreConflict(e.store.Commit(ctx, &change))
}
