package engine

import (
	"context"
	"errors"

	"github.com/occid/occid/internal/auth"
	"github.com/occid/occid/internal/policy"
	"github.com/occid/occid/occi"
)

// Define adds users' mixins to the registry (GFD.223 section 9), all or none, and
// gives them as the Outcome's Defined. One that is there already, defined alike, stays
// as it is; with other defaults, it changes, and hosts follow for all that carry it. See
// occi.Model.UserMixin for what is refused. A repetition is harmless by itself, so o's
// Key is not looked at.
func (e *Engine) Define(ctx context.Context, c Caller, drafts []occi.DraftCategory, o Options) (*Outcome, error) {
	c = e.as(c)
	out, err := retry(ctx, func() (*Outcome, error) {
		if c.Asks(mixin(c.Project), policy.Create) != auth.Allowed {
			return nil, refusal(c)
		}
		if err := e.Renew(ctx, true); err != nil {
			return nil, err
		}
		p, err := e.begin(ctx, c, o)
		if err != nil {
			return nil, err
		}
		var defined []*occi.Mixin
		// Each is judged with those before it in force.
		m := p.m
		for i := range drafts {
			x, err := m.UserMixin(&drafts[i])
			if err != nil {
				return nil, final{err}
			}
			defined = append(defined, x)
			if have := m.Mixin(x.ID()); have == x {
				continue
			} else if have != nil {
				x.Owner, x.Project = have.Owner, have.Project
				if err := p.redefined(x); err != nil {
					return nil, err
				}
				m = m.Redefined(x)
				continue
			}
			x.Owner, x.Project = c.Name, c.Project
			p.change.Define = append(p.change.Define, x)
			m, _ = m.With([]*occi.Mixin{x}, m.Revision)
		}
		return p.defined(ctx, m, defined)
	})
	if err != nil {
		return nil, err
	}
	return out, e.Renew(ctx, true)
}

// mixin is a mixin of a project as policies are asked about it.
func mixin(project string) *occi.Entity {
	return &occi.Entity{Kind: policy.MixinKind, Project: project}
}

// defined commits a plan that defines mixins, which are in force in m.
func (p *plan) defined(ctx context.Context, m *occi.Model, mixins []*occi.Mixin) (out *Outcome, err error) {
	if len(p.change.Define)+len(p.change.Redefine) == 0 {
		out = p.outcome()
	} else {
		b := creation{plan: p}
		if err = b.recarried(ctx, m); err == nil {
			out, err = b.commit(ctx)
		}
	}
	if err != nil {
		return nil, err
	}
	out.Defined = mixins
	return out, nil
}

// imported defines the users' mixins that a draft brings along with their
// locations, which is what tells a definition from a mere mention. A provider's is
// never defined by an entity.
func (p *plan) imported(d *occi.Draft) error {
	for i := range d.Categories {
		c := &d.Categories[i]
		have := p.m.Mixin(c.ID)
		if c.Class != occi.ClassMixin || c.Location == "" || have != nil && !have.User {
			continue
		}
		x, err := p.m.UserMixin(c)
		if err != nil {
			return final{err}
		}
		if x == have {
			continue
		}
		if have != nil {
			return final{occi.E(occi.Conflict, "%s is defined already with other defaults", c.ID)}
		}
		x.Owner, x.Project = p.c.Name, p.c.Project
		p.change.Define = append(p.change.Define, x)
		p.m, _ = p.m.With([]*occi.Mixin{x}, p.m.Revision)
	}
	return nil
}

// Undefine removes users' mixins from the registry, all or none, and takes them
// and what they brought from all entities. It is Forbidden to remove what the
// provider defines, and NotFound what nobody does.
func (e *Engine) Undefine(ctx context.Context, c Caller, ids []string, o Options) (*Outcome, error) {
	c = e.as(c)
	out, err := retry(ctx, func() (*Outcome, error) {
		if !c.Could(policy.MixinKind, policy.Delete) {
			return nil, refusal(c)
		}
		if err := e.Renew(ctx, true); err != nil {
			return nil, err
		}
		p, err := e.begin(ctx, c, o)
		if err != nil {
			return nil, err
		}
		b := creation{plan: p}
		if err := b.undefined(ids); err != nil {
			return nil, final{err}
		}
		if err := b.stripped(ctx); err != nil {
			return nil, err
		}
		return b.commit(ctx)
	})
	if err != nil {
		return nil, err
	}
	return out, e.Renew(ctx, true)
}

// undefined checks what is to be removed.
func (b *creation) undefined(ids []string) error {
	seen := map[string]bool{}
	for _, id := range ids {
		x := b.m.Mixin(id)
		switch {
		case x == nil && b.m.Kind(id) == nil && b.m.Action(id) == nil:
			return occi.E(occi.NotFound, "there is no mixin %s", id)
		case x == nil || !x.User:
			return occi.E(occi.Forbidden, "%s is the provider's; users can remove the mixins that users defined", id)
		case b.c.Asks(mixin(x.Project), policy.Delete) != auth.Allowed:
			return occi.E(occi.Forbidden, "%s is everybody's; only administrators remove it", id)
		case !seen[id]:
			seen[id] = true
			b.change.Undefine = append(b.change.Undefine, id)
		}
	}
	return nil
}

// stripped takes the mixins that go from the entities that have one, or that have
// one which depends on one.
func (b *creation) stripped(ctx context.Context) error {
	next := b.m.But(b.change.Undefine)
	var affected []string
	for _, x := range b.m.Mixins {
		for _, d := range b.m.Closure([]string{x.ID()}) {
			if next.Mixin(d.ID()) == nil {
				affected = append(affected, x.ID())
				break
			}
		}
	}
	page, err := b.e.store.List(ctx, &occi.Query{AnyMixins: affected})
	if err != nil {
		return err
	}
	for _, old := range page.Entities {
		x, err := b.m.Strip(old, next)
		if err == nil {
			b.result = append(b.result, old.ID)
			b.known[old.ID] = old
			err = b.become(ctx, old, x)
		}
		if err == nil {
			b.regroup(old, x, next)
		}
		if err != nil {
			var e *occi.Error
			if errors.As(err, &e) && e.Class == occi.Invalid {
				return final{occi.Problems(occi.Conflict, "the mixin cannot be taken from "+b.m.Path(old), e.Problems)}
			}
			return err
		}
	}
	return nil
}
