package engine

import (
	"context"
	"fmt"
	"slices"

	"github.com/google/uuid"

	"github.com/occid/occid/occi"
)

// unready names what links lead to and machines at work cannot have as it will be once
// all that is under way is done. The change relies on the rest as it was read.
func (p *plan) unready(ctx context.Context, links []*occi.Entity) ([]occi.Problem, error) {
	var ids []uuid.UUID
	for _, l := range links {
		if part(p.m, l).device && !l.Deleted && !failed(p.m, l) {
			ids = append(ids, l.Target.ID)
		}
	}
	if err := p.read(ctx, ids); err != nil {
		return nil, err
	}
	seen, late := map[uuid.UUID]bool{}, map[uuid.UUID]*occi.Entity{}
	for _, id := range ids {
		x := p.entity(id)
		if x == nil || x.Host == "" || x.Revision == 0 || seen[id] {
			continue // what is new is brought up by itself, and on no host nothing is
		}
		seen[id] = true
		if ready(p.m, x) != "" && (len(x.Tasks) > 0 || p.m.State(x) != ready(p.m, x)) {
			late[id] = p.before(x)
		}
		if p.puts[id] == nil {
			p.change.Reads = append(p.change.Reads, occi.Version{ID: id, Revision: x.Revision})
		}
	}
	pending, err := p.e.underWay(ctx, late)
	if err != nil {
		return nil, err
	}
	var ps []occi.Problem
	for _, id := range ids {
		x := late[id]
		if delete(late, id); x == nil {
			continue
		}
		s := p.m.Kind(x.Kind).States
		if state := expected(pending[id], x, s); state != s.Ready {
			ps = append(ps, occi.Problem{What: p.m.Path(x), Text: fmt.Sprintf("is %s, and must be %s for a machine to run with it%s", state, s.Ready, offerIn(p.m, x, s, state))})
		}
	}
	return ps, nil
}

// before gives an entity of the plan without the tasks that the plan leaves about it.
func (p *plan) before(x *occi.Entity) *occi.Entity {
	isNew := func(id uuid.UUID) bool {
		return slices.ContainsFunc(p.change.Tasks, func(t *occi.Task) bool { return t.ID == id })
	}
	if !slices.ContainsFunc(x.Tasks, isNew) {
		return x
	}
	w := x.Clone()
	w.Tasks = slices.DeleteFunc(w.Tasks, isNew)
	return w
}

// ready gives the state in which machines at work can have an entity, empty for any.
func ready(m *occi.Model, x *occi.Entity) string {
	if k := m.Kind(x.Kind); k != nil && k.States != nil {
		return k.States.Ready
	}
	return ""
}

// ready refuses new links from machines that are at work, or will be by themselves, to
// what is not ready for that.
func (b *creation) ready(ctx context.Context) error {
	starts, there := map[uuid.UUID]bool{}, map[uuid.UUID]*occi.Entity{}
	for _, l := range b.links {
		switch src := b.entity(l.Source.ID); {
		case src == nil || !part(b.m, l).device:
		case src.Revision > 0:
			there[src.ID] = b.before(src)
		default:
			starts[src.ID] = b.starts(src)
		}
	}
	working, err := b.e.working(ctx, b.m, there)
	if err != nil {
		return err
	}
	var begun []*occi.Entity
	for _, l := range b.links {
		if working[l.Source.ID] || starts[l.Source.ID] {
			begun = append(begun, l)
		}
	}
	ps, err := b.unready(ctx, begun)
	if err == nil && len(ps) > 0 {
		err = final{occi.Problems(occi.Conflict, "it cannot be attached to a machine that runs", ps)}
	}
	return err
}

// starts reports whether a new machine will be at work by itself.
func (b *creation) starts(x *occi.Entity) bool {
	s := b.m.Kind(x.Kind).States
	if s == nil {
		return false
	}
	next, ok := s.Next(s.Initial, b.autoParams(x).Get(paramAuto).Text)
	return ok && holding(s, next.To)
}

// working tells which machines hold on to their devices, or will once all that is under
// way is done.
func (e *Engine) working(ctx context.Context, m *occi.Model, machines map[uuid.UUID]*occi.Entity) (map[uuid.UUID]bool, error) {
	out, busy := map[uuid.UUID]bool{}, map[uuid.UUID]*occi.Entity{}
	for id, x := range machines {
		if out[id] = atWork(m, x); !out[id] && len(x.Tasks) > 0 {
			busy[id] = x
		}
	}
	pending, err := e.underWay(ctx, busy)
	for id, x := range busy {
		if k := m.Kind(x.Kind); k != nil && k.States != nil {
			out[id] = holding(k.States, expected(pending[id], x, k.States))
		}
	}
	return out, err
}

// holding reports whether a machine in a state holds on to its devices.
func holding(s *occi.States, state string) bool { return state != s.Initial && state != s.Failed }
