package engine

import (
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/occid/occid/hypervisor"
	"github.com/occid/occid/occi"
)

// watch listens to the host's events for as long as the engine works.
func (h *host) watch(ctx context.Context) {
	for i := 1; ctx.Err() == nil; i++ {
		err := h.drv.Watch(ctx, h.heed)
		if ctx.Err() != nil {
			return
		}
		h.e.log.Warn("events of a host ended", "host", h.name, "error", err)
		select {
		case <-ctx.Done():
		case <-time.After(backoff(i)):
		}
	}
}

// heard is an event with when it was heard of.
type heard struct {
	hypervisor.Event
	at time.Time
}

// heed takes an event of the host, which only the server that watches it follows.
func (h *host) heed(ev hypervisor.Event) {
	switch {
	case ev.Reconnected && !h.watches():
		signal(h.relook)
	case ev.Reconnected || h.watches():
		h.notice(ev)
	}
}

// notice takes an event without waiting. If there are more than can be followed
// one by one, all is compared instead.
func (h *host) notice(ev hypervisor.Event) {
	if ev.Reconnected {
		signal(h.relook)
		signal(h.resync)
		return
	}
	select {
	case h.events <- heard{ev, time.Now()}:
	default:
		signal(h.resync)
	}
}

// follow keeps the rows true to what the host reports: first everything, then
// each event.
func (h *host) follow(ctx context.Context) {
	if !h.e.store.Shared() {
		signal(h.resync)
	}
	tick := time.NewTicker(idle)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-h.resync:
			h.sweepUntilDone(ctx)
		case ev := <-h.events:
			err := h.event(ctx, ev.Event)
			if ctx.Err() == nil {
				h.e.cfg.Observer.EventFollowed(h.name, time.Since(ev.at), err)
			}
			if err != nil && ctx.Err() == nil {
				h.e.log.Warn("an event was not followed", "host", h.name, "entity", ev.Domain, "error", err)
				signal(h.resync)
			}
		case <-tick.C:
			// Of the end of another server's task nobody tells.
			for _, id := range h.waiting() {
				h.renotice(id)
			}
		}
	}
}

// sweepUntilDone compares the host with the rows, waiting for a host that does
// not answer.
func (h *host) sweepUntilDone(ctx context.Context) {
	for i := 1; ctx.Err() == nil && h.watches(); i++ {
		err := h.sweep(ctx)
		if err == nil || ctx.Err() != nil {
			return
		}
		h.e.log.Warn("a host cannot be compared with the rows", "host", h.name, "error", err)
		select {
		case <-ctx.Done():
		case <-h.resync:
		case <-time.After(backoff(i)):
		}
	}
}

// sweepPage is how many rows are compared at once.
const sweepPage = 500

// sweep compares a host with the rows placed on it. Rows whose state differs
// follow the host; what is missing there is made again. Whatever the rows do not
// know is left alone: it may belong to others.
//
// Rows are read in pages. Those of machines that differ are repaired last: they
// need what they are linked to, which may have been made after them. The error is
// the first of those of single rows.
func (h *host) sweep(ctx context.Context) error {
	s, err := h.survey(ctx)
	if err != nil {
		return err
	}
	m := h.e.Model()
	var first error
	repair := func(row differs) {
		if err := s.repair(ctx, row); err != nil && first == nil {
			first = err
		}
	}
	var machines []differs
	for after, more := int64(0), true; more; {
		rows, err := h.e.store.HostEntities(ctx, h.name, after, sweepPage)
		if err != nil {
			return err
		}
		if err := s.account(ctx, rows); err != nil {
			return err
		}
		for _, x := range rows {
			after = x.Seq
			switch row := (differs{x.ID, len(x.Tasks) > 0}); {
			case x.Deleted || x.Moving != "" || s.found.agrees(m, x):
			case part(m, x).machine:
				machines = append(machines, row)
			default:
				repair(row)
			}
		}
		more = len(rows) == sweepPage
	}
	for _, row := range machines {
		repair(row)
	}
	if first == nil {
		first = s.found.blind
	}
	if err := h.showStrays(ctx); err != nil && first == nil {
		first = err
	}
	return first
}

// survey is what a host has, and the revisions that rows had before it was looked
// at: one that is still the same afterwards, and has no task, had none while the
// host was looked at.
type survey struct {
	h         *host
	revisions map[uuid.UUID]int64
	found     *found
}

func (h *host) survey(ctx context.Context) (*survey, error) {
	ctx, cancel := context.WithTimeout(ctx, taskTime)
	defer cancel()
	revisions, err := h.e.store.HostRevisions(ctx, h.name)
	if err != nil {
		return nil, err
	}
	h.placed.Store(int64(len(revisions)))
	f, err := h.look(ctx)
	return &survey{h, revisions, f}, err
}

// differs is a row that differed from what was found.
type differs struct {
	id   uuid.UUID
	busy bool // a task is under way
}

// repair repairs a row. If it has changed since the host was looked at, it is
// compared on its own; if a task is under way, when that is over.
func (s *survey) repair(ctx context.Context, row differs) error {
	if row.busy {
		return s.h.event(ctx, hypervisor.Event{Domain: row.id})
	}
	x, err := s.h.e.store.Entity(ctx, row.id)
	if errors.Is(err, occi.NotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	if x.Revision == s.revisions[row.id] {
		err := s.h.follows(ctx, x, s.found)
		if !errors.Is(err, occi.Conflict) {
			return err
		}
	}
	return s.h.check(ctx, row.id)
}

// event follows one change of what its Domain names, be it a machine or not; without
// a State anything may have changed. While a task about it is under way the
// event is kept for when that is over.
func (h *host) event(ctx context.Context, ev hypervisor.Event) error {
	if !ev.Redefined && h.keep(ev) {
		return nil
	}
	x, err := h.e.store.Entity(ctx, ev.Domain)
	if errors.Is(err, occi.NotFound) || err == nil && x.Host != h.name {
		h.kept(ev.Domain)
		return h.strayed(ctx, ev, x)
	}
	if err != nil || ev.Redefined {
		return err
	}
	if part(h.e.Model(), x).stray {
		h.kept(ev.Domain)
		return h.reviewStray(ctx, x)
	}
	if len(x.Tasks) > 0 {
		return nil
	}
	h.kept(ev.Domain)
	if tells(h.e.Model(), ev, x) {
		return nil
	}
	return h.check(ctx, x.ID)
}

// tells reports whether an event says of an entity what its row says.
func tells(m *occi.Model, ev hypervisor.Event, x *occi.Entity) bool {
	k := m.Kind(x.Kind)
	return !ev.Gone && !isLost(m, x) && k != nil && k.States != nil && stateOf(k, ev.State) == m.State(x)
}

// over has what a task was about looked at again, if the host reported something
// of it meanwhile or the task was not done: one to delete that was refused may
// show what was never made. A remake that fails is not made again. left is the
// entity as the task left it, nil if that is not known.
func (h *host) over(t *occi.Task, left *occi.Entity, fault error) {
	h.quit(t.Entity)
	if ev, ok := h.kept(t.Entity); ok && (left == nil || len(left.Tasks) > 0 || !tells(h.e.Model(), ev, left)) {
		h.notice(ev)
	}
	if fault != nil && t.Verb != verbRemake {
		h.notice(hypervisor.Event{Domain: t.Lane})
	}
}

// renotice follows an event that was kept.
func (h *host) renotice(id uuid.UUID) {
	if ev, ok := h.kept(id); ok {
		h.notice(ev)
	}
}

// waiting lists what events are kept of.
func (h *host) waiting() []uuid.UUID {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Collect(maps.Keys(h.last))
}

// begin and quit enclose the time in which a task about an entity runs here.
func (h *host) begin(id uuid.UUID) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.busy[id] = true
}

func (h *host) quit(id uuid.UUID) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.busy, id)
}

// keep keeps an event and reports whether a task about its subject runs here: the
// end of that looks at it.
func (h *host) keep(ev hypervisor.Event) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.last[ev.Domain] = ev
	return h.busy[ev.Domain]
}

// kept takes out what keep put in.
func (h *host) kept(id uuid.UUID) (hypervisor.Event, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	ev, ok := h.last[id]
	delete(h.last, id)
	return ev, ok
}

// check compares one entity with the host as both are now. What has a task is
// left to that.
func (h *host) check(ctx context.Context, id uuid.UUID) error {
	ctx, cancel := context.WithTimeout(ctx, taskTime)
	defer cancel()
	_, err := retry(ctx, func() (*Outcome, error) {
		x, err := h.e.store.Entity(ctx, id)
		if errors.Is(err, occi.NotFound) || err == nil && (len(x.Tasks) > 0 || x.Moving != "" || x.Host != h.name) {
			return nil, nil
		}
		if err != nil {
			return nil, err
		}
		f, err := h.lookAt(ctx, x)
		if err != nil {
			return nil, err
		}
		return nil, h.follows(ctx, x, f)
	})
	return err
}

// follows writes what has to follow from what was found of an entity after it was
// read: its state, or a task that makes what is missing. It is a Conflict if the
// row has changed since.
func (h *host) follows(ctx context.Context, x *occi.Entity, f *found) error {
	p := h.e.plan(Caller{})
	if f.agrees(p.m, x) {
		return nil
	}
	k := p.m.Kind(x.Kind)
	x = p.recovered(k, x)
	if !f.has(p.m, x) {
		if err := p.remake(ctx, k, x); err != nil {
			return err
		}
		if _, down := f.networks[x.ID]; !down && hostedAs(p.m, x, "network") {
			if err := p.replug(ctx, x); err != nil {
				return err
			}
		}
	} else {
		for _, l := range f.lost(p.m, x) {
			p.put(x)
			p.task(p.put(l), l.Host, verbRemake, nil, nil)
			p.say(p.put(l), throughRemake)
		}
		if state := f.state(p.m, x); state != "" {
			h.e.log.Info("the state changed on the host", "entity", x.ID, "state", state)
			p.say(p.put(x), because(f.domains[x.ID]))
			p.setState(k, p.put(x), state)
		}
	}
	if f.pends(p.m, x) {
		p.pend(p.put(x), f.domains[x.ID])
	}
	_, err := p.commit(ctx)
	return err
}

// replug leaves tasks that tell a network which is made again of the interfaces in
// it: their addresses were lost with it.
func (p *plan) replug(ctx context.Context, network *occi.Entity) error {
	incoming, err := p.e.store.Incoming(ctx, network.ID)
	for _, l := range incoming {
		if isNIC(p.m, l) && l.Host == network.Host && !l.Deleted && len(l.Tasks) == 0 && !failed(p.m, l) {
			w := p.put(l)
			p.task(w, l.Host, verbRemake, nil, p.put(network).Tasks)
			p.say(w, throughRemake)
		}
	}
	return err
}

// remake leaves a task that makes an entity again which is missing on its host,
// and brings it to the state its row says.
func (p *plan) remake(ctx context.Context, k *occi.Kind, x *occi.Entity) error {
	var targets []uuid.UUID
	for _, l := range x.Links {
		targets = append(targets, l.Target.ID)
	}
	if err := p.read(ctx, targets); err != nil {
		return err
	}
	var after []uuid.UUID
	for _, id := range targets {
		if t := p.known[id]; t != nil {
			after = append(after, t.Tasks...)
		}
	}
	var params occi.Attrs
	if action := leadingTo(k, p.m.State(x)); action != "" {
		params.Set(paramAuto, occi.Str(action))
	}
	p.e.log.Warn("missing on the host; it is made again", "entity", x.ID, "kind", k.Term, "host", x.Host)
	w := p.put(x)
	p.task(w, x.Host, verbRemake, fetchParams(p.m, x, params), after)
	p.setState(k, w, k.States.Initial)
	p.say(w, throughRemake)
	return nil
}
