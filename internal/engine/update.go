package engine

import (
	"context"

	"github.com/google/uuid"

	"github.com/occid/occid/internal/policy"
	"github.com/occid/occid/occi"
)

// Update changes what a draft names and leaves the rest; inline links that do
// not exist yet are made.
func (e *Engine) Update(ctx context.Context, c Caller, id uuid.UUID, d *occi.Draft, o Options) (*Outcome, error) {
	c = e.as(c)
	return e.keyed(ctx, c, o, func() (*Outcome, error) {
		old, err := e.store.Entity(ctx, id)
		if err != nil {
			return nil, err
		}
		return e.update(ctx, c, old, d, false, o)
	})
}

func (e *Engine) update(ctx context.Context, c Caller, old *occi.Entity, d *occi.Draft, replace bool, o Options) (*Outcome, error) {
	p := e.plan(c)
	if err := may(p.c, old, policy.Update); err != nil {
		return nil, err
	}
	if o.Match != nil {
		if err := o.Match(old); err != nil {
			return nil, final{err}
		}
	}
	if err := p.imported(d); err != nil {
		return nil, err
	}
	d, err := p.unseen(old, d, replace)
	if err != nil {
		return nil, err
	}
	next, err := p.m.Update(old, d, replace)
	if err != nil {
		return nil, err
	}
	if err := p.adjustable(old, next); err != nil {
		return nil, err
	}
	p.known[old.ID] = old
	if err := p.networksOf(ctx, old); err != nil {
		return nil, err
	}
	p.result = []uuid.UUID{old.ID}
	b := creation{plan: p}
	if err := b.inline(ctx, next, d, replace); err != nil {
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
	if err := b.settable(old, next); err != nil {
		return err
	}
	if err := b.sharing(old, next); err != nil {
		return err
	}
	if err := b.identify(ctx, old, next); err != nil {
		return err
	}
	b.keepMade(old, next)
	b.keepAddress(old, next)
	if err := b.shared(ctx, old, next); err != nil {
		return err
	}
	if part(b.m, old).machine {
		if err := b.scratch(next); err != nil {
			return err
		}
	}
	if err := occi.Problems(occi.Invalid, "the change is not possible", b.check(old, next)); err != nil {
		return err
	}
	if same(old, next) && len(b.links) == 0 {
		return nil
	}
	if role(b.m, old, roleSize) != role(b.m, next, roleSize) {
		users, err := b.e.users(ctx, []uuid.UUID{old.ID}, nil)
		if err != nil {
			return err
		}
		if ps := users.readers(b.m); len(ps) > 0 {
			return final{occi.Problems(occi.Conflict, "the change is not possible now", ps)}
		}
	}
	b.puts[next.ID] = next
	b.change.Puts = append([]*occi.Entity{next}, b.change.Puts...)
	if isNIC(b.m, next) || hostedAs(b.m, next, "network") {
		b.changed = append(b.changed, edit{old, next})
	}
	if followed(b.m, old, next) && next.Host != "" && part(b.m, next).update != nil {
		if err := b.renamed(ctx, old, next); err != nil {
			return err
		}
		b.task(next, next.Host, verbUpdate, updateParams(b.m, old, next), nil)
		b.say(next, throughUpdate)
	}
	return nil
}

// updateParams tells a host what the entity does not show: what it was.
func updateParams(m *occi.Model, old, next *occi.Entity) occi.Attrs {
	if isNIC(m, next) && !redescribed(m, old, next) {
		return occi.Attrs{{Name: paramRegroup, Value: occi.Str("true")}}
	}
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
