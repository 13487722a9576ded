package engine

import (
	"context"
	"fmt"

	"github.com/google/uuid"

	"github.com/occid/occid/occi"
)

// Update changes what a draft names and leaves the rest; inline links that do
// not exist yet are made.
func (e *Engine) Update(ctx context.Context, c Caller, id uuid.UUID, d *occi.Draft, o Options) (*Outcome, error) {
	return e.keyed(ctx, c, o, func() (*Outcome, error) {
		old, err := e.store.Entity(ctx, id)
		if err != nil {
			return nil, err
		}
		return e.update(ctx, c, old, d, false, o)
	})
}

func (e *Engine) update(ctx context.Context, c Caller, old *occi.Entity, d *occi.Draft, replace bool, o Options) (*Outcome, error) {
	if o.Match != nil {
		if err := o.Match(old); err != nil {
			return nil, final{err}
		}
	}
	p := e.plan(c)
	if err := p.imported(d); err != nil {
		return nil, err
	}
	next, err := p.m.Update(old, d, replace)
	if err != nil {
		return nil, err
	}
	p.known[old.ID] = old
	p.result = []uuid.UUID{old.ID}
	b := creation{plan: p}
	if err := b.inline(next, d, replace); err != nil {
		return nil, err
	}
	if err := b.become(ctx, old, next); err != nil {
		return nil, err
	}
	if len(p.change.Puts) == 0 {
		return p.outcome(), nil
	}
	return b.finish(ctx, o)
}

// become writes next over old if it is another, and has the host follow.
func (b *creation) become(ctx context.Context, old, next *occi.Entity) error {
	next.Links = old.Links
	if part(b.m, old).machine {
		if err := b.scratch(next); err != nil {
			return err
		}
	}
	if check := part(b.m, old).check; check != nil {
		if err := occi.Problems(occi.Invalid, "the change is not possible", check(b.m, old, next)); err != nil {
			return err
		}
	}
	if same(old, next) && len(b.links) == 0 {
		return nil
	}
	b.puts[next.ID] = next
	b.change.Puts = append([]*occi.Entity{next}, b.change.Puts...)
	if followed(b.m, old, next) && next.Host != "" && part(b.m, next).update != nil {
		if err := b.renamed(ctx, old, next); err != nil {
			return err
		}
		b.task(next, next.Host, verbUpdate, updateParams(b.m, old, next), nil)
		b.say(next, throughUpdate)
	}
	return nil
}

// updateParams tells a host what the entity does not show any more.
func updateParams(m *occi.Model, old, next *occi.Entity) occi.Attrs {
	if ephemeral(m, old) == nil || ephemeral(m, next) != nil {
		return nil
	}
	return occi.Attrs{{Name: paramNoScratch, Value: occi.Str("true")}}
}

// renamed checks a link whose device was renamed against its machine's others.
func (p *plan) renamed(ctx context.Context, old, next *occi.Entity) error {
	if !part(p.m, next).device {
		return nil
	}
	src, err := p.e.store.Entity(ctx, next.Source.ID)
	if err != nil {
		return err
	}
	others := src.Clone()
	others.Links = nil
	for _, l := range src.Links {
		if l.ID != old.ID {
			others.Links = append(others.Links, l)
		}
	}
	b := creation{plan: p}
	return b.namesOf(others).name(p.m, next)
}

// same reports whether nothing a client can write differs.
func same(a, b *occi.Entity) bool {
	if a.Title != b.Title || a.Summary != b.Summary || len(a.Mixins) != len(b.Mixins) || len(a.Attributes) != len(b.Attributes) {
		return false
	}
	for i := range a.Mixins {
		if a.Mixins[i] != b.Mixins[i] {
			return false
		}
	}
	for i := range a.Attributes {
		if a.Attributes[i] != b.Attributes[i] {
			return false
		}
	}
	return true
}

// Act invokes an action on each of the entities, all or none. draft names the
// action, by identifier or term, and carries its attributes. What is already in
// the state that the action leads to is left alone.
func (e *Engine) Act(ctx context.Context, c Caller, ids []uuid.UUID, d *occi.Draft, o Options) (*Outcome, error) {
	return e.keyed(ctx, c, o, func() (*Outcome, error) {
		p, err := e.begin(ctx, c, o)
		if err != nil {
			return nil, err
		}
		found, err := e.entities(ctx, ids)
		if err != nil {
			return nil, err
		}
		a := acts{plan: p}
		if err := a.readPending(ctx, found); err != nil {
			return nil, err
		}
		for _, id := range ids {
			x := found[id]
			if x == nil {
				return nil, occi.E(occi.NotFound, "there is no entity %s", id)
			}
			p.known[id] = x
			if o.Match != nil {
				if err := o.Match(x); err != nil {
					return nil, final{err}
				}
			}
			p.result = append(p.result, id)
			if err := a.act(ctx, x, d); err != nil {
				return nil, err
			}
		}
		if len(a.conflicts) > 0 {
			return nil, final{occi.Problems(occi.Conflict, "the action is not possible now", a.conflicts)}
		}
		if len(p.change.Puts) == 0 {
			out := p.outcome()
			out.Tasks = a.waitFor
			return out, nil
		}
		p.key(o)
		return p.commit(ctx)
	})
}

// acts is a plan that invokes actions.
type acts struct {
	*plan
	pending   map[uuid.UUID][]*occi.Task // by entity, oldest first
	waitFor   []*occi.Task
	conflicts []occi.Problem
}

// readPending reads what is under way for the entities, in one query.
func (a *acts) readPending(ctx context.Context, found map[uuid.UUID]*occi.Entity) error {
	a.pending = map[uuid.UUID][]*occi.Task{}
	var lanes []uuid.UUID
	for _, x := range found {
		if len(x.Tasks) > 0 {
			lanes = append(lanes, lane(x))
		}
	}
	if len(lanes) == 0 {
		return nil
	}
	tasks, err := a.e.store.Unfinished(ctx, lanes)
	for _, t := range tasks {
		a.pending[t.Entity] = append(a.pending[t.Entity], t)
	}
	return err
}

func (a *acts) act(ctx context.Context, x *occi.Entity, d *occi.Draft) error {
	k := a.m.Kind(x.Kind)
	if k == nil {
		return occi.E(occi.Conflict, "the registry has no kind %s any more", x.Kind)
	}
	action, err := a.action(k, x, d.Action)
	if err != nil {
		return err
	}
	params, err := a.m.Parameters(action, d)
	if err != nil {
		return err
	}
	through := action.Term
	if s := k.States; s != nil && len(s.Targets(action.Term)) > 0 {
		state := a.expected(x, s)
		t, ok := s.Next(state, action.Term)
		if !ok && reached(s, state, action.Term) {
			a.waitFor = append(a.waitFor, a.pending[x.ID]...)
			return nil
		}
		if !ok {
			a.conflicts = append(a.conflicts, a.impossible(x, s, state, action.Term))
			return nil
		}
		if through = t.Through; x.Host == "" || action.Do == "" {
			w := a.put(x)
			w.Attributes.Set(s.Attribute, occi.Str(t.To))
			return nil
		}
	}
	op := operations[action.Do]
	if op == nil || x.Host == "" {
		return nil
	}
	if err := a.allowed(ctx, x, op, params); err != nil {
		return err
	}
	w := a.put(x)
	a.task(w, x.Host, action.Term, params, nil)
	a.say(w, through)
	return nil
}

// action finds the action a request means.
func (a *acts) action(k *occi.Kind, x *occi.Entity, name string) (*occi.Action, error) {
	term := name
	if _, t, ok := occi.SplitID(name); ok {
		term = t
	}
	action := a.m.ActionOf(k, x.Mixins, term)
	if action == nil || term != name && action.ID() != name {
		return nil, occi.E(occi.Invalid, "a %s has no action %q%s", k.Term, name, a.offer(x))
	}
	return action, nil
}

// expected is the state an entity is in once all that is under way is done.
func (a *acts) expected(x *occi.Entity, s *occi.States) string {
	state := x.Attributes.Get(s.Attribute).Text
	for _, t := range a.pending[x.ID] {
		verb := t.Verb
		if verb == verbCreate || verb == verbRemake {
			verb = t.Attributes.Get(paramAuto).Text
		}
		if next, ok := s.Next(state, verb); ok {
			state = next.To
		}
	}
	return state
}

// reached reports whether a state is what an action leads to.
func reached(s *occi.States, state, action string) bool {
	for _, to := range s.Targets(action) {
		if to == state {
			return true
		}
	}
	return false
}

func (a *acts) impossible(x *occi.Entity, s *occi.States, state, action string) occi.Problem {
	return occi.Problem{What: a.m.Path(x),
		Text: fmt.Sprintf("cannot %s while it is %s%s", action, state, a.offerIn(x, s, state))}
}

// offer lists the actions possible now.
func (a *acts) offer(x *occi.Entity) string {
	text := ""
	for _, p := range a.m.Possible(x) {
		text += ", " + p.Term
	}
	if text == "" {
		return "; no action is possible now"
	}
	return "; possible now:" + text[1:]
}

func (a *acts) offerIn(x *occi.Entity, s *occi.States, state string) string {
	w := x.Clone()
	w.Attributes.Set(s.Attribute, occi.Str(state))
	return a.offer(w)
}

// allowed checks what an operation asks of the entity and its parameters.
func (a *acts) allowed(ctx context.Context, x *occi.Entity, op *operation, params occi.Attrs) error {
	if op.free {
		users, err := a.e.users(ctx, []uuid.UUID{x.ID}, nil)
		if err != nil {
			return err
		}
		if len(users.busy) > 0 {
			a.conflicts = append(a.conflicts, occi.Problem{What: a.m.Path(x), Text: "is in use by " + a.m.Path(users.busy[0])})
			return nil
		}
	}
	if op.sets == "" {
		return nil
	}
	next := x.Clone()
	next.Attributes.Set(roleAttr(a.m, x, op.sets).Name, params.Get(op.param))
	if check := part(a.m, x).check; check != nil {
		return occi.Problems(occi.Invalid, "the change is not possible", check(a.m, x, next))
	}
	return nil
}
