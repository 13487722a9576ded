package engine

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/google/uuid"

	"github.com/occid/occid/occi"
)

// isLost reports whether an entity is shown as lost with its host.
func isLost(m *occi.Model, x *occi.Entity) bool { return !role(m, x, roleLost).IsZero() }

// lostBy gives what the registry says of the way from a state to the failed one that
// the server makes itself; "" if there is none.
func lostBy(k *occi.Kind, state string) string {
	for _, t := range k.States.Transitions {
		if t.From == state && t.Action == "" && t.To == k.States.Failed {
			return t.Through
		}
	}
	return ""
}

// markLost shows the machines of a host that no server reaches as lost.
func (h *host) markLost(ctx context.Context) error {
	rows, err := h.machines(ctx)
	if err != nil {
		return err
	}
	for part := range slices.Chunk(rows, observePage) {
		p := h.e.plan(Caller{})
		for _, x := range part {
			p.lose(x)
		}
		if len(p.change.Puts) == 0 {
			continue
		}
		if _, err := p.commit(ctx); err != nil {
			return ignoreConflict(err) // the next look finds them again
		}
	}
	return nil
}

// lose shows a machine as lost, and remembers what state it was in. Which host that is
// tenants need not know. One that moves may be on the other host already.
func (p *plan) lose(x *occi.Entity) {
	k := p.m.Kind(x.Kind)
	if k == nil || k.States == nil || x.Deleted || x.Moving != "" || isLost(p.m, x) || roleAttr(p.m, x, roleLost) == nil {
		return
	}
	state := p.m.State(x)
	through := lostBy(k, state)
	if through == "" {
		return
	}
	p.known[x.ID] = x
	w := p.put(x)
	setRole(p.m, w, roleLost, occi.Str(state))
	p.setState(k, w, k.States.Failed)
	p.say(w, through)
}

// recovered gives an entity as it is when its host is back: in the state that it was in
// before, until something else is found.
func (p *plan) recovered(k *occi.Kind, x *occi.Entity) *occi.Entity {
	if !isLost(p.m, x) {
		return x
	}
	w := p.put(x)
	p.setState(k, w, role(p.m, x, roleLost).Text)
	setRole(p.m, w, roleLost, occi.Value{})
	p.say(w, "")
	return w
}

// moved lists what was moved off a host since it was fenced.
func moved(m *occi.Model, node *occi.Entity) []uuid.UUID {
	var out []uuid.UUID
	for _, text := range strings.Fields(role(m, node, roleNodeMoved).Text) {
		if id, err := uuid.Parse(text); err == nil {
			out = append(out, id)
		}
	}
	return out
}

// cleanse removes from a host that is back what was moved off it.
func (h *host) cleanse(ctx context.Context, m *occi.Model, node *occi.Entity) error {
	for _, id := range moved(m, node) {
		x, err := h.e.anyway(ctx, id)
		if err != nil {
			return err
		}
		if x != nil && (x.Host == h.name || x.Moving == h.name) {
			continue
		}
		if err := h.discard(ctx, id, x); err != nil {
			return err
		}
		h.e.log.Info("removed from a host that is back", "host", h.name, "entity", id)
	}
	return nil
}

// discard removes what the host has of an entity that is not its any more: x, nil if that
// does not exist.
func (h *host) discard(ctx context.Context, id uuid.UUID, x *occi.Entity) error {
	ctx, cancel := context.WithTimeout(ctx, taskTime)
	defer cancel()
	err := errors.Join(gone(h.drv.DeleteDomain(ctx, id)), gone(h.drv.DeleteNetwork(ctx, id)))
	scratch := scratchID(&occi.Entity{ID: id})
	stays, serr := h.leftAlone(ctx, x, scratch)
	if err = errors.Join(err, serr); err != nil || stays {
		return err
	}
	return gone(h.drv.DeleteVolume(ctx, scratch))
}
