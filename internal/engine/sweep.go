package engine

import (
	"context"
	"errors"
	"time"

	"github.com/google/uuid"

	"github.com/occid/occid/hypervisor"
	"github.com/occid/occid/occi"
)

// watch listens to the host's events for as long as the engine works.
func (h *host) watch(ctx context.Context) {
	for i := 1; ctx.Err() == nil; i++ {
		err := h.drv.Watch(ctx, func(ev hypervisor.Event) {
			select {
			case h.events <- ev:
			default:
				// More than can be followed one by one: compare all instead.
				signal(h.resync)
			}
		})
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

// follow keeps the rows true to what the host reports: first everything, then
// each event.
func (h *host) follow(ctx context.Context) {
	signal(h.resync)
	for {
		select {
		case <-ctx.Done():
			return
		case <-h.resync:
			h.sweepUntilDone(ctx)
		case ev := <-h.events:
			h.event(ctx, ev)
		}
	}
}

// sweepUntilDone compares the host with the rows, waiting for a host that does
// not answer.
func (h *host) sweepUntilDone(ctx context.Context) {
	for i := 1; ctx.Err() == nil; i++ {
		err := h.sweep(ctx)
		if err == nil || ctx.Err() != nil {
			return
		}
		h.e.log.Warn("a host cannot be compared with the rows", "host", h.name, "error", err)
		if !transient(err) {
			return
		}
		select {
		case <-ctx.Done():
		case <-time.After(backoff(i)):
		}
	}
}

// event follows one change of a machine's state.
func (h *host) event(ctx context.Context, ev hypervisor.Event) {
	if ev.Reconnected {
		signal(h.resync)
		return
	}
	x, err := h.e.store.Entity(ctx, ev.Domain)
	if err != nil || x.Host != h.name {
		return
	}
	if len(x.Tasks) > 0 {
		h.mu.Lock()
		h.last[ev.Domain] = ev.State
		h.mu.Unlock()
		return
	}
	if ev.Gone {
		signal(h.resync)
		return
	}
	if err := h.drift(ctx, x.ID); err != nil {
		h.e.log.Warn("an event was not followed", "host", h.name, "entity", x.ID, "error", err)
		signal(h.resync)
	}
}

// reconsider looks at what the host reported of a machine while a task ran: if
// it is not what the task left, the host is compared with the rows again.
func (h *host) reconsider(id uuid.UUID) {
	h.mu.Lock()
	last, ok := h.last[id]
	delete(h.last, id)
	h.mu.Unlock()
	if !ok {
		return
	}
	x, err := h.e.store.Entity(context.Background(), id)
	if err != nil || len(x.Tasks) > 0 {
		return
	}
	m := h.e.model()
	if k := m.Kind(x.Kind); k != nil && k.States != nil && stateOf(k, last) != m.State(x) {
		signal(h.resync)
	}
}

// drift sets a machine's row to the state that its host reports now, unless a
// task is under way that will do so. What an event or an earlier look said may
// be out of date by the time it is read.
func (h *host) drift(ctx context.Context, id uuid.UUID) error {
	_, err := retry(ctx, func() (*Outcome, error) {
		x, err := h.e.store.Entity(ctx, id)
		if errors.Is(err, occi.NotFound) || err == nil && len(x.Tasks) > 0 {
			return nil, nil
		}
		if err != nil {
			return nil, err
		}
		d, err := h.drv.Domain(ctx, id)
		if errors.Is(err, hypervisor.ErrNotFound) {
			signal(h.resync)
			return nil, nil
		}
		if err != nil {
			return nil, err
		}
		p := h.e.plan(Caller{})
		k := p.m.Kind(x.Kind)
		if k == nil || k.States == nil {
			return nil, nil
		}
		state := stateOf(k, d.State)
		if state == "" || state == p.m.State(x) {
			return nil, nil
		}
		h.e.log.Info("a machine's state changed on its host", "entity", id, "state", state)
		w := p.put(x)
		p.say(w, "")
		p.setState(k, w, state)
		return nil, h.e.store.Commit(ctx, &p.change)
	})
	return err
}

// sweep compares a host with the rows placed on it. Rows whose state differs
// follow the host; what is missing there is made again. Whatever the rows do not
// know is left alone: it may belong to others.
func (h *host) sweep(ctx context.Context) error {
	bounded, cancel := context.WithTimeout(ctx, taskTime)
	defer cancel()
	// The rows are read before the host: what they say is done must be there.
	rows, err := h.e.store.HostEntities(bounded, h.name)
	if err != nil {
		return err
	}
	f, err := h.look(bounded)
	if err != nil {
		return err
	}
	h.placed.Store(int64(len(rows)))
	return h.repair(bounded, rows, f)
}

// repair goes through the rows, those of machines last: they need what they are
// linked to, which may have been made after them.
func (h *host) repair(ctx context.Context, rows []*occi.Entity, f *found) error {
	var machines, others []*occi.Entity
	for _, x := range rows {
		if part(h.e.model(), x).machine {
			machines = append(machines, x)
		} else {
			others = append(others, x)
		}
	}
	for _, x := range append(others, machines...) {
		if x.Deleted || len(x.Tasks) > 0 {
			continue
		}
		m := h.e.model()
		k := m.Kind(x.Kind)
		if k == nil || k.States == nil {
			continue
		}
		var err error
		switch k.Host {
		case "domain":
			d, ok := f.domains[x.ID]
			if !ok {
				err = h.e.remake(ctx, x.ID)
			} else if state := stateOf(k, d.State); state != "" && state != m.State(x) {
				err = h.drift(ctx, x.ID)
			}
		case "network":
			if active, ok := f.networks[x.ID]; !ok || !active && m.State(x) == stateOf(k, hypervisor.Running) {
				err = h.e.remake(ctx, x.ID)
			}
		case "volume":
			if !f.volumes[x.ID] && m.State(x) != k.States.Failed {
				err = h.e.remake(ctx, x.ID)
			}
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// remake leaves a task that makes what is missing on a host again and brings it
// to the state its row says.
func (e *Engine) remake(ctx context.Context, id uuid.UUID) error {
	_, err := retry(ctx, func() (*Outcome, error) {
		x, err := e.store.Entity(ctx, id)
		if errors.Is(err, occi.NotFound) || err == nil && len(x.Tasks) > 0 {
			return nil, nil
		}
		if err != nil {
			return nil, err
		}
		p := e.plan(Caller{})
		k := p.m.Kind(x.Kind)
		var ids []uuid.UUID
		for _, l := range x.Links {
			ids = append(ids, l.Target.ID)
		}
		if err := p.read(ctx, ids); err != nil {
			return nil, err
		}
		var after []uuid.UUID
		for _, id := range ids {
			if t := p.entity(id); t != nil {
				after = append(after, t.Tasks...)
			}
		}
		w := p.put(x)
		var params occi.Attrs
		if action := leadingTo(k, p.m.State(x)); action != "" {
			params.Set(paramAuto, occi.Str(action))
		}
		e.log.Warn("missing on the host; it is made again", "entity", id, "kind", k.Term, "host", x.Host)
		p.task(w, x.Host, verbCreate, params, after)
		p.setState(k, w, k.States.Initial)
		p.say(w, "missing on the host; "+throughCreate)
		return p.commit(ctx)
	})
	return err
}
