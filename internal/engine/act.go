package engine

import (
	"context"
	"fmt"
	"slices"

	"github.com/google/uuid"

	"github.com/occid/occid/occi"
)

// Act invokes an action on each of the entities, all or none. draft names the
// action, by identifier or term, and carries its attributes. What is already in
// the state that the action leads to is left alone; of no entities at all the
// action must still be one that some could have.
func (e *Engine) Act(ctx context.Context, c Caller, ids []uuid.UUID, d *occi.Draft, o Options) (*Outcome, error) {
	c = e.as(c)
	return e.keyed(ctx, c, o, func() (*Outcome, error) {
		p, err := e.begin(ctx, c, o)
		if err != nil {
			return nil, err
		}
		a := acts{plan: p}
		defer func() { e.ledger.settle(p) }()
		if len(ids) == 0 {
			return a.outcome(), a.plausible(d)
		}
		found, err := e.entities(ctx, ids)
		if err != nil {
			return nil, err
		}
		members, found, err := a.spread(ctx, ids, found, d, o)
		if err != nil {
			return nil, err
		}
		if a.pending, err = e.underWay(ctx, found); err != nil {
			return nil, err
		}
		for _, id := range members {
			x := found[id]
			if x == nil {
				return nil, occi.E(occi.NotFound, "there is no entity %s", id)
			}
			a.known[id] = x
			if o.Match != nil && slices.Contains(ids, id) {
				if err := o.Match(x); err != nil {
					return nil, final{err}
				}
			}
			a.result = append(a.result, id)
			if err := a.act(x, d); err != nil {
				return nil, err
			}
		}
		if err := a.move(ctx); err != nil {
			return nil, err
		}
		if err := a.mark(ctx); err != nil {
			return nil, err
		}
		if err := a.importAll(ctx); err != nil {
			return nil, err
		}
		if err := a.refused(ctx); err != nil {
			return nil, err
		}
		return a.done(ctx, o)
	})
}

// done commits what the actions left to do, if anything.
func (a *acts) done(ctx context.Context, o Options) (*Outcome, error) {
	out := a.outcome()
	if len(a.change.Puts)+len(a.change.Define) > 0 {
		a.key(o)
		if k := a.change.Key; k != nil {
			k.Made = a.made
			for _, x := range a.change.Define {
				k.Defined = append(k.Defined, x.ID())
			}
		}
		var err error
		if out, err = a.commit(ctx); err != nil {
			return nil, err
		}
	}
	if out.Defined = a.change.Define; len(out.Defined) > 0 {
		if err := a.e.Renew(ctx, true); err != nil {
			return nil, err
		}
	}
	out.Tasks = append(a.waitFor, out.Tasks...)
	for _, id := range a.made {
		out.Made = append(out.Made, a.puts[id])
	}
	return out, nil
}

// acts is a plan that invokes actions.
type acts struct {
	*plan
	pending   map[uuid.UUID][]*occi.Task // by entity, oldest first
	waitFor   []*occi.Task
	free      []uuid.UUID    // no machine at work may use them
	begun     []*occi.Entity // links of machines that are to be at work
	grown     []uuid.UUID    // none may have them and not write to them
	apart     []uuid.UUID    // no machine may write to them
	made      []uuid.UUID    // new entities
	movers    []mover
	marking   []marking
	imports   []mover // of strays
	conflicts []occi.Problem
}

// plausible checks an invocation that there is nothing to carry out on.
func (a *acts) plausible(d *occi.Draft) error {
	var err error = occi.E(occi.Invalid, "nothing has an action %q", d.Action)
	for _, action := range a.m.Actions {
		if action.Term != d.Action && action.ID() != d.Action {
			continue
		}
		if _, err = a.m.Parameters(action, d); err == nil {
			return nil
		}
	}
	return err
}

// refused tells why the actions are not possible, if they are not.
func (a *acts) refused(ctx context.Context) error {
	users, err := a.e.users(ctx, a.free, nil)
	if err != nil {
		return err
	}
	a.conflicts = append(a.conflicts, users.inUse(a.m)...)
	a.change.Reads = append(a.change.Reads, users.idle...)
	if users, err = a.e.users(ctx, a.grown, nil); err != nil {
		return err
	}
	a.conflicts = append(a.conflicts, users.readers(a.m)...)
	if err := a.linked(ctx); err != nil {
		return err
	}
	ps, err := a.unready(ctx, a.begun)
	if err != nil {
		return err
	}
	a.conflicts = append(a.conflicts, ps...)
	if len(a.conflicts) > 0 {
		return final{occi.Problems(occi.Conflict, "the action is not possible now", a.conflicts)}
	}
	return nil
}

func (a *acts) act(x *occi.Entity, d *occi.Draft) error {
	if err := may(a.c, x, a.invoking(x, term(d.Action))...); err != nil {
		return err
	}
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
		state := expected(a.pending[x.ID], x, s)
		t, ok := s.Next(state, action.Term)
		if !ok && reached(s, state, action.Term) {
			a.waitFor = append(a.waitFor, a.pending[x.ID]...)
			return nil
		}
		if !ok {
			a.conflicts = append(a.conflicts, a.impossible(x, s, state, action.Term))
			return nil
		}
		if through = t.Through; x.Host == "" || action.Do == "" || operations[action.Do] != nil && operations[action.Do].only {
			w := a.put(x)
			w.Attributes.Set(s.Attribute, occi.Str(t.To))
			return nil
		}
	}
	op := operations[action.Do]
	if op == nil || x.Host == "" {
		return nil
	}
	if err := a.allowed(x, op, params); err != nil {
		return err
	}
	if op.marks {
		a.marking = append(a.marking, marking{x, action, params, through})
		return nil
	}
	if op.moves {
		a.movers = append(a.movers, mover{x, action, params, through})
		return nil
	}
	if op.imports {
		a.imports = append(a.imports, mover{x, action, params, through})
		return nil
	}
	if op.sets == roleSize {
		next := x.Clone()
		next.Attributes.Set(roleAttr(a.m, x, op.sets).Name, params.Get(op.param))
		a.change.Rooms = append(a.change.Rooms, a.rooms(next)...)
	}
	if op.copies != nil {
		return a.copied(x, action, params, through)
	}
	w := a.put(x)
	if op.sets == roleSize {
		a.reserveGrowth(w, params.Get(op.param))
	}
	if op.ahead {
		a.setState(k, w, k.States.Targets(action.Term)[0])
	}
	a.task(w, x.Host, action.Term, params, nil)
	a.say(w, through)
	return nil
}

// term is that of an action's name, which may be its identifier.
func term(name string) string {
	if _, t, ok := occi.SplitID(name); ok {
		return t
	}
	return name
}

// action finds the action a request means.
func (a *acts) action(k *occi.Kind, x *occi.Entity, name string) (*occi.Action, error) {
	term := term(name)
	action := a.m.ActionOf(k, x.Mixins, term)
	if action == nil || term != name && action.ID() != name {
		return nil, occi.E(occi.Invalid, "%s: a %s has no action %q%s", a.m.Path(x), k.Term, name, offer(a.m, x))
	}
	return action, nil
}

// expected is the state an entity is in once the tasks about it that are under way are
// done.
func expected(pending []*occi.Task, x *occi.Entity, s *occi.States) string {
	state := x.Attributes.Get(s.Attribute).Text
	for _, t := range pending {
		verb := t.Verb
		if verb == verbCreate || verb == verbRemake || verb == verbContent {
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
		Text: fmt.Sprintf("cannot %s while it is %s%s", action, state, offerIn(a.m, x, s, state))}
}

// offer lists the actions possible now.
func offer(m *occi.Model, x *occi.Entity) string {
	text := ""
	for _, p := range m.Possible(x) {
		text += ", " + p.Term
	}
	if text == "" {
		return "; no action is possible now"
	}
	return "; possible now:" + text[1:]
}

func offerIn(m *occi.Model, x *occi.Entity, s *occi.States, state string) string {
	w := x.Clone()
	w.Attributes.Set(s.Attribute, occi.Str(state))
	return offer(m, w)
}

// allowed checks what an operation asks of the entity and its parameters.
func (a *acts) allowed(x *occi.Entity, op *operation, params occi.Attrs) error {
	if op.ours && isImported(a.m, x) {
		return conflict("%s was not made by the server: others may use it", a.m.Path(x))
	}
	if op.free {
		a.free = append(a.free, x.ID)
	}
	if op.uses {
		a.begun = append(a.begun, x.Links...)
	}
	if op.sets == roleSize {
		a.grown = append(a.grown, x.ID)
	}
	check := part(a.m, x).check
	if op.sets == "" || check == nil {
		return nil
	}
	next := x.Clone()
	next.Attributes.Set(roleAttr(a.m, x, op.sets).Name, params.Get(op.param))
	ps := check(a.m, x, next)
	for i := range ps {
		ps[i] = occi.Problem{What: op.param, Text: "of " + a.m.Path(x) + ": " + ps[i].Text}
	}
	return occi.Problems(occi.Invalid, "the change is not possible", ps)
}
