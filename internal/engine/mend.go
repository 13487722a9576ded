package engine

import (
	"context"
	"errors"
	"fmt"

	"github.com/occid/occid/hypervisor"
	"github.com/occid/occid/occi"
)

// mended does something for a task. If the host lacks what that needs, though
// the rows say that it has it, it is made again first: a host may have lost
// everything since it was last looked at.
func (h *host) mended(ctx context.Context, j *job, do func(context.Context, *job) error) error {
	err := do(ctx, j)
	if !errors.Is(err, hypervisor.ErrNotFound) {
		return err
	}
	// It may have been moved to another host since the task was begun.
	if now, err := h.e.anyway(ctx, j.x.ID); err != nil || now == nil || now.Host != h.name && now.Moving != h.name {
		return errors.Join(err, errGone)
	}
	h.e.log.Warn("missing on the host; it is made again", "host", h.name, "entity", j.x.ID, "error", err)
	whole := *j
	if part(j.m, j.x).device {
		whole.x = j.src
	}
	for _, l := range whole.x.Links {
		if err := h.mendTarget(ctx, j, l); err != nil {
			return err
		}
	}
	if err := part(j.m, whole.x).define(ctx, &whole); err != nil {
		return err
	}
	return do(ctx, j)
}

// mendTarget makes what a device leads to if it is missing, while no task of its
// own lane does something else with it here. It is looked at afterwards: another
// server may have.
func (h *host) mendTarget(ctx context.Context, j *job, l *occi.Entity) error {
	if !part(j.m, l).device || failed(j.m, l) {
		return nil
	}
	wait, cancel := context.WithTimeout(ctx, laneTime)
	leave, err := h.lanes.take(wait, l.Target.ID)
	cancel()
	if err != nil {
		return fmt.Errorf("%s is missing and has another task: %w", j.m.RefPath(l.Target), err)
	}
	defer leave()
	x, err := h.e.store.EntityAny(ctx, l.Target.ID)
	if errors.Is(err, occi.NotFound) || err == nil && (x.Deleted || failed(j.m, x)) {
		return nil
	}
	if err != nil {
		return err
	}
	f, err := h.lookAt(ctx, x)
	if err != nil || f.has(j.m, x) {
		return err
	}
	defer h.notice(hypervisor.Event{Domain: x.ID})
	own := *j
	own.x = x
	if err := part(j.m, x).define(ctx, &own); err != nil {
		return err
	}
	return h.operate(ctx, &own, leadingTo(j.m.Kind(x.Kind), j.m.State(x)), nil)
}

// failed reports whether an entity is in its failed state.
func failed(m *occi.Model, x *occi.Entity) bool {
	k := m.Kind(x.Kind)
	return k != nil && k.States != nil && k.States.Failed != "" && m.State(x) == k.States.Failed
}

// leadingTo gives the term of the action that brings what is new into a state;
// "" if there is none, as for the initial state.
func leadingTo(k *occi.Kind, state string) string {
	if k == nil || k.States == nil || state == k.States.Initial {
		return ""
	}
	for _, t := range k.States.Transitions {
		if t.From == k.States.Initial && t.To == state && t.Action != "" {
			return t.Action
		}
	}
	return ""
}
