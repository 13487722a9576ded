package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/occid/occid/hypervisor"
	"github.com/occid/occid/occi"
)

// Verbs of tasks beside the terms of actions.
const (
	verbCreate = "create"
	verbUpdate = "update"
	verbDelete = "delete"
	verbRemake = "remake" // what is missing on the host

	verbContent = "content" // has a volume hold what was uploaded
)

// paramAuto is the parameter of a task that creates or remakes which names the
// action that follows by itself.
const paramAuto = "auto"

// paramNoScratch is the parameter of a task that updates a machine which had a
// scratch disk and is to have none.
const paramNoScratch = "no_scratch"

// paramRegroup is the parameter of a task that updates an interface of which only
// what may come in has changed: it stays plugged in. With another address it is
// plugged in anew, so that the guest asks for it.
const paramRegroup = "regroup"

// What state messages say while the server's own verbs are under way.
const (
	throughCreate = "creating"
	throughUpdate = "updating"
	throughDelete = "deleting"
	throughAttach = "attaching"
	throughRemake = "missing on the host; creating"

	throughContent = "taking in content"
)

// postpone makes a task pending again after a fault that may pass.
func (e *Engine) postpone(ctx context.Context, t *occi.Task, fault error) error {
	w := *t
	w.State, w.Error, w.NotBefore = occi.TaskPending, fault.Error(), e.now().Add(backoff(t.Attempts))
	err := e.store.Commit(ctx, &occi.Change{At: e.now(), Tasks: []*occi.Task{&w}})
	if err == nil {
		e.cfg.Observer.TaskPostponed(&w)
	}
	return err
}

// finish writes the end of a task and what it means for its entity, x if that was
// read before, else nil. What others changed meanwhile is kept.
func (e *Engine) finish(ctx context.Context, t *occi.Task, x *occi.Entity, fault error) error {
	if t.Verb == verbDelete {
		// It goes with the links that it has by now, whatever their revisions.
		x = nil
	}
	var left *occi.Entity
	var over *occi.Task
	_, err := retry(ctx, func() (*Outcome, error) {
		p := e.plan(Caller{})
		w := *t
		w.State, w.Error, w.Finished, w.NotBefore = occi.TaskDone, "", p.now, p.now
		switch {
		case errors.Is(fault, errCancelled) || errors.Is(fault, errGone):
			w.State, w.Error = occi.TaskCancelled, fault.Error()
		case fault != nil:
			w.State, w.Error = occi.TaskFailed, fault.Error()
		default:
			w.Progress = 100
		}
		p.change.Tasks, over = []*occi.Task{&w}, &w
		if x == nil {
			var err error
			if x, err = e.store.EntityAny(ctx, t.Entity); err != nil && !errors.Is(err, occi.NotFound) {
				return nil, err
			}
		}
		found := x
		if x != nil {
			if err := p.ended(ctx, x, &w, fault); err != nil {
				return nil, err
			}
		}
		follow(&p.change, t.Trace, t.Request)
		x, left = nil, p.puts[t.Entity]
		if left != nil && p.resizes(left, t) {
			p.settleRooms(left)
			p.settleReserved(left, volumeOf(p.m, found).SizeBytes)
		}
		p.takes()
		p.storing = time.Now()
		if err := e.store.Commit(ctx, &p.change); err != nil {
			return nil, err
		}
		p.e.ledger.changed(p)
		p.mustered()
		p.e.seen(p.m, p.change.Puts)
		if len(p.change.Removes) > 0 && found != nil {
			e.ledger.free(found)
		}
		return nil, nil
	})
	if err == nil {
		e.tellOver(over, left, fault)
	}
	return err
}

// tellOver tells who waits for it of the end of a task, which is written; left is the
// entity as the task left it, nil if that is not known.
func (e *Engine) tellOver(t *occi.Task, left *occi.Entity, fault error) {
	e.cfg.Observer.TaskOver(t)
	e.arrived(t)
	e.waiters.over(t.ID)
	if h := e.host(t.Host); h != nil {
		h.over(t, left, fault)
	}
	if left != nil && left.Host != t.Host {
		e.moved(left)
	}
	e.wake(t.Host)
}

// ended puts down what the end of a task means for its entity.
func (p *plan) ended(ctx context.Context, x *occi.Entity, t *occi.Task, fault error) error {
	if t.Verb == verbDelete && fault == nil {
		p.change.Removes = append(p.change.Removes, occi.Removal{ID: x.ID})
		for _, l := range x.Links {
			p.change.Removes = append(p.change.Removes, occi.Removal{ID: l.ID})
		}
		return nil
	}
	w := p.put(x)
	if op := p.e.operation(t); op != nil && op.moves {
		p.known[x.ID] = x
		_, there := errors.AsType[*stranded](fault)
		if err := p.arrived(ctx, w, there || fault == nil); err != nil {
			return err
		}
	}
	if part(p.m, w).device {
		w.Host = t.Host // its machine may have moved meanwhile
	}
	w.Tasks = slices.DeleteFunc(w.Tasks, func(id uuid.UUID) bool { return id == t.ID })
	if len(w.Tasks) == 0 {
		p.say(w, "")
	}
	if w.Deleted && t.Verb != verbDelete {
		return nil
	}
	if t.Verb == verbDelete {
		if back, err := p.restore(ctx, w); !back || err != nil {
			return err
		}
	}
	if t.Verb == verbCreate && errors.Is(fault, errCancelled) {
		return p.undo(ctx, w)
	}
	k := p.m.Kind(x.Kind)
	if k == nil || k.States == nil {
		return nil
	}
	if fault != nil {
		return p.failed(ctx, k, w, t, fault)
	}
	state, err := p.after(ctx, k, w, t)
	if err != nil {
		return err
	}
	p.setState(k, w, state)
	setRole(p.m, w, roleLost, occi.Value{})
	if !t.Attributes.Get(paramCopy).IsZero() {
		p.measure(ctx, w)
	}
	if part(p.m, w).machine && (t.Verb == verbUpdate || !role(p.m, w, rolePending).IsZero()) {
		if d, ok := p.e.machine(ctx, w); ok {
			p.pend(w, d)
		}
	}
	if action := p.m.ActionOf(k, w.Mixins, t.Verb); action != nil {
		if op := operations[action.Do]; op != nil && op.sets != "" {
			w.Attributes.Set(roleAttr(p.m, w, op.sets).Name, t.Attributes.Get(op.param))
		}
	}
	return nil
}

// restore shows an entity again that its host did not delete, with its links. A
// link of what is being deleted shares the fate of that instead.
func (p *plan) restore(ctx context.Context, w *occi.Entity) (back bool, err error) {
	if w.Source.ID != uuid.Nil {
		src, err := p.e.store.EntityAny(ctx, w.Source.ID)
		if err != nil || src.Deleted {
			return false, err
		}
	}
	w.Deleted = false
	for _, l := range w.Links {
		if l.Deleted && len(l.Tasks) == 0 {
			p.put(l).Deleted = false
		}
	}
	return true, nil
}

// after gives the state that a task which is done leads to; "" for no change.
func (p *plan) after(ctx context.Context, k *occi.Kind, x *occi.Entity, t *occi.Task) (string, error) {
	now := p.m.State(x)
	verb := t.Verb
	if part(p.m, x).device {
		src, err := p.e.store.EntityAny(ctx, x.Source.ID)
		if err != nil {
			return "", err
		}
		return linkState(p.m, k, src), nil
	}
	if verb == verbCreate || verb == verbRemake || verb == verbContent {
		if now == k.States.Failed {
			now = k.States.Initial
		}
		if verb = t.Attributes.Get(paramAuto).Text; verb == "" {
			return now, nil
		}
	}
	if next, ok := k.States.Next(now, verb); ok {
		return next.To, nil
	}
	// It was done, from whatever state the host has been in meanwhile.
	if targets := k.States.Targets(verb); len(targets) == 1 {
		return targets[0], nil
	}
	return "", nil
}

// linkState is the state of a link that follows its machine.
func linkState(m *occi.Model, k *occi.Kind, src *occi.Entity) string {
	if atWork(m, src) {
		return k.States.Canonical("attached")
	}
	return k.States.Canonical("detached")
}

// setState sets the state of an entity and of the links that follow it.
func (p *plan) setState(k *occi.Kind, w *occi.Entity, state string) {
	if state == "" || k.States == nil {
		return
	}
	w.Attributes.Set(k.States.Attribute, occi.Str(state))
	if !part(p.m, w).machine {
		return
	}
	for _, l := range w.Links {
		lk := p.m.Kind(l.Kind)
		if lk == nil || lk.States == nil || !part(p.m, l).device || len(l.Tasks) > 0 || failed(p.m, l) {
			continue
		}
		if s := linkState(p.m, lk, w); s != p.m.State(l) {
			p.put(l).Attributes.Set(lk.States.Attribute, occi.Str(s))
		}
	}
}

// failed puts down that a task was not done. An entity that could not be made or
// brought up is in its failed state; otherwise it is in the state the host
// reports, and only the message tells.
func (p *plan) failed(ctx context.Context, k *occi.Kind, w *occi.Entity, t *occi.Task, fault error) error {
	if errors.Is(fault, errGone) {
		return nil
	}
	p.say(w, fmt.Sprintf("%s failed: %s", t.Verb, fault))
	if errors.Is(fault, errCancelled) {
		p.say(w, fmt.Sprintf("%s was cancelled", t.Verb))
		if t.Started.IsZero() {
			return nil
		}
	} else if k.States.Failed != "" && p.means(k, w, t) {
		p.setState(k, w, k.States.Failed)
		return nil
	}
	if state := p.e.reported(ctx, k, w); state != "" {
		p.setState(k, w, state)
	}
	return nil
}

// means reports whether failing a task leads to the failed state.
func (p *plan) means(k *occi.Kind, w *occi.Entity, t *occi.Task) bool {
	if t.Verb == verbCreate || t.Verb == verbRemake || t.Verb == verbContent {
		return true
	}
	action := p.m.ActionOf(k, w.Mixins, t.Verb)
	return action != nil && operations[action.Do] != nil && operations[action.Do].restores
}

// pend puts down what a machine has not followed yet.
func (p *plan) pend(w *occi.Entity, d hypervisor.DomainStatus) {
	a := roleAttr(p.m, w, rolePending)
	if a == nil {
		return
	}
	text := pending(p.m, w, d)
	if w.Attributes.Delete(a.Name); text != "" {
		w.Attributes.Set(a.Name, occi.Str(text))
	}
}

// reported asks the host for the state of a machine; "" if it does not tell soon.
func (e *Engine) reported(ctx context.Context, k *occi.Kind, x *occi.Entity) string {
	d, ok := e.machine(ctx, x)
	if !ok {
		return ""
	}
	return stateOf(k, d.State)
}

// machine asks the host for a machine, if it is one and the host answers soon.
func (e *Engine) machine(ctx context.Context, x *occi.Entity) (hypervisor.DomainStatus, bool) {
	h := e.host(x.Host)
	if h == nil || !part(e.Model(), x).machine {
		return hypervisor.DomainStatus{}, false
	}
	ctx, cancel := context.WithTimeout(ctx, lookTime)
	defer cancel()
	d, err := h.drv.Domain(ctx, x.ID)
	return d, err == nil
}

// stateOf translates what a host says into a state of the kind, through the
// registry's aliases.
func stateOf(k *occi.Kind, s hypervisor.State) string { return k.States.Canonical(string(s)) }
