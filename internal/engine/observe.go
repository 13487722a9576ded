package engine

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/occid/occid/hypervisor"
	"github.com/occid/occid/occi"
)

const (
	// observePage is how many rows are brought up to date at once. All of a page are
	// written by one change, which requests wait for.
	observePage = 100
	// observeTime bounds one question to a host.
	observeTime = 30 * time.Second
	// observeAttempts is how often a page is tried of which something changes
	// meanwhile; what it says will be out of date soon anyway.
	observeAttempts = 3
)

// observe brings what the host tells of entities into their rows, time and again.
// Nobody waits for it.
func (h *host) observe(ctx context.Context) {
	if h.e.cfg.Observe <= 0 {
		return
	}
	tick := time.NewTicker(h.e.cfg.Observe)
	defer tick.Stop()
	for failing := false; ; {
		var err error
		if h.watches() {
			err = h.observeOnce(ctx)
		}
		if ctx.Err() != nil {
			return
		}
		if err != nil && !failing {
			h.e.log.Warn("a host does not tell what its machines have used", "host", h.name, "error", err)
		}
		failing = err != nil
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// observeOnce brings all rows of the host up to date, in pages. The host is asked
// only if there are any.
func (h *host) observeOnce(ctx context.Context) error {
	of := observers(h.e.Model(), h.e.cfg.ObserveAll)
	seen := &observation{h: h}
	for after, more := int64(0), true; more; {
		rows, err := h.e.store.HostMembers(ctx, h.name, of, after, observePage)
		if err != nil {
			return err
		}
		asked, err := seen.ask(ctx, rows)
		if err != nil {
			return err
		}
		if asked {
			// That may have taken long.
			if rows, err = h.e.store.HostMembers(ctx, h.name, of, after, observePage); err != nil {
				return err
			}
		}
		if err := h.put(ctx, of, after, rows, seen); err != nil {
			return err
		}
		if more = len(rows) == observePage; more {
			after = rows[len(rows)-1].Seq
		}
	}
	return nil
}

// put writes what was seen of a page of rows that begins after one, where that is
// news. If rows change meanwhile the page is read again.
func (h *host) put(ctx context.Context, of occi.Either, after int64, rows []*occi.Entity, seen *observation) error {
	for i := 1; ; i++ {
		p := h.e.plan(Caller{})
		for _, x := range rows {
			if w := seen.news(p, x); w != nil {
				p.put(w)
			}
		}
		if len(p.change.Puts) == 0 {
			return nil
		}
		p.needs()
		h.e.traffic.giveWay(ctx)
		err := h.e.store.Commit(ctx, &p.change)
		if !errors.Is(err, occi.Conflict) || i == observeAttempts {
			return ignoreConflict(h.e.stale(ctx, &p.change, err))
		}
		if rows, err = h.e.store.HostMembers(ctx, h.name, of, after, observePage); err != nil {
			return err
		}
	}
}

func ignoreConflict(err error) error {
	if errors.Is(err, occi.Conflict) {
		return nil
	}
	return err
}

// observers selects what is to be observed: what carries a mixin with attributes
// for that or one that depends on such a mixin; with all, every machine too.
func observers(m *occi.Model, all bool) occi.Either {
	var of occi.Either
	for _, x := range m.Mixins {
		if slices.ContainsFunc(m.Closure([]string{x.ID()}), observes) {
			of.Mixins = append(of.Mixins, x.ID())
		}
	}
	for _, k := range m.Kinds {
		if all && parts[k.Host] != nil && parts[k.Host].machine {
			of.Kinds = append(of.Kinds, k.ID())
		}
	}
	return of
}

// observes reports whether a mixin itself has attributes for what is observed.
func observes(x *occi.Mixin) bool {
	return slices.ContainsFunc(x.Attributes, func(a *occi.Attribute) bool { return strings.HasPrefix(a.Role, roleStats) })
}

// observation is what a host told, once it was asked.
type observation struct {
	h       *host
	domains map[uuid.UUID]*hypervisor.Statistics
	volumes map[uuid.UUID]hypervisor.VolumeStatus
}

// ask asks the host for what rows need and it has not told yet, and reports whether
// it was asked for anything.
func (o *observation) ask(ctx context.Context, rows []*occi.Entity) (asked bool, err error) {
	m := o.h.e.Model()
	var domains, volumes bool
	for _, x := range rows {
		k := m.Kind(x.Kind)
		domains = domains || part(m, x).machine
		volumes = volumes || k != nil && k.Host == "volume"
	}
	ctx, cancel := context.WithTimeout(ctx, observeTime)
	defer cancel()
	if domains && o.domains == nil {
		list, err := o.h.drv.Statistics(ctx)
		if err != nil {
			return true, err
		}
		asked, o.domains = true, map[uuid.UUID]*hypervisor.Statistics{}
		for i := range list {
			o.domains[list[i].ID] = &list[i]
		}
	}
	if volumes && o.volumes == nil {
		list, err := o.h.drv.Volumes(ctx)
		if err != nil {
			return true, err
		}
		asked, o.volumes = true, map[uuid.UUID]hypervisor.VolumeStatus{}
		for _, v := range list {
			o.volumes[v.ID] = v
		}
	}
	return asked, nil
}

// news gives an entity as it was observed to be, nil if it shows that already or
// nothing is known of it.
func (o *observation) news(p *plan, x *occi.Entity) *occi.Entity {
	w := x.Clone()
	s, domain := o.domains[x.ID]
	v, volume := o.volumes[x.ID]
	switch {
	case domain:
		if o.h.e.cfg.ObserveAll {
			p.giveObserver(w)
		}
		for _, row := range domainRows {
			row.put(p.m, w, s)
		}
	case volume:
		setRole(p.m, w, roleVolumeAllocated, inGiB(v.AllocatedBytes))
	default:
		return nil
	}
	if same(x, w) {
		return nil
	}
	setRole(p.m, w, roleObserved, occi.Str(p.now.Format(time.RFC3339)))
	return w
}

// giveObserver gives a machine the first mixin there is for what is observed of
// it, unless it has one.
func (p *plan) giveObserver(w *occi.Entity) {
	if slices.ContainsFunc(p.m.Closure(w.Mixins), observes) {
		return
	}
	for _, x := range p.m.Mixins {
		if observes(x) && slices.Contains(x.Applies, w.Kind) {
			w.Mixins = append(w.Mixins, x.ID())
			return
		}
	}
}
