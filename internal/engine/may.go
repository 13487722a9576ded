package engine

import (
	"context"
	"slices"

	"github.com/google/uuid"

	"github.com/occid/occid/internal/auth"
	"github.com/occid/occid/occi"
)

// may refuses what a caller may not do with an entity: as NotFound if it may not see it
// either.
func may(c Caller, m *occi.Model, do auth.Verb, x *occi.Entity) error {
	switch c.May(do, auth.ThingOf(m, x)) {
	case auth.Hidden:
		return occi.E(occi.NotFound, "there is no entity %s", x.ID)
	case auth.Forbidden:
		return refusal(c)
	}
	return nil
}

func refusal(c Caller) error {
	return occi.E(occi.Forbidden, "your role does not allow this; it is %s", c.Roles)
}

// sees reports whether a caller may know of an entity.
func sees(c Caller, m *occi.Model, x *occi.Entity) bool {
	return c.May(auth.Read, auth.ThingOf(m, x)) == auth.Allowed
}

// within is the reach of what a caller asks for; nil for everything.
func within(c Caller, mine bool) []string {
	switch {
	case c.Operates():
		return nil
	case mine:
		return c.Owns()
	}
	return append(c.Owns(), occi.Everyone)
}

// shown gives an entity as a caller sees it: a link that is another's is not there, and
// of what is only shared with the caller, nothing confidential.
func shown(c Caller, m *occi.Model, x *occi.Entity) *occi.Entity {
	if c.Operates() {
		return x
	}
	foreign := func(l *occi.Entity) bool { return !sees(c, m, l) }
	private := func(a occi.Attr) bool {
		d := m.Attribute(a.Name)
		return d != nil && d.Confidential
	}
	hides := slices.ContainsFunc(x.Links, foreign)
	keeps := x.Project != c.Project && x.Project != c.Name && slices.ContainsFunc(x.Attributes, private)
	if !hides && !keeps {
		return x
	}
	w := x.Clone()
	if hides {
		w.Links = slices.DeleteFunc(slices.Clone(x.Links), foreign)
	}
	if keeps {
		w.Attributes = slices.DeleteFunc(w.Attributes, private)
	}
	return w
}

// Permit refuses what a caller may not do with the entity of a kind at a UUID; what does
// not exist may be made.
func (e *Engine) Permit(ctx context.Context, c Caller, do auth.Verb, kind string, id uuid.UUID) error {
	if c.Operates() {
		return nil
	}
	x, err := e.store.Entity(ctx, id)
	if err != nil {
		if do&auth.Create != 0 && occi.ClassOf(err) == occi.NotFound {
			return nil
		}
		return err
	}
	m := e.Model()
	if x.Kind != kind && !sees(c, m, x) {
		return occi.E(occi.NotFound, "there is no entity %s", id)
	}
	return may(c, m, do, x)
}

// new refuses to make an entity of a kind.
func (p *plan) new(kind string) error {
	k := p.m.Kind(kind)
	if k == nil || p.c.Operates() {
		return nil
	}
	if p.c.May(auth.Create, p.c.Made(k)) == auth.Allowed {
		return nil
	}
	if p.c.Project == "" {
		return occi.E(occi.Forbidden, "you have no part in any project, which what you make would belong to")
	}
	return refusal(p.c)
}

// sharing refuses whoever is no administrator to share something with all projects, or
// to end that.
func (p *plan) sharing(old, x *occi.Entity) error {
	if p.c.Operates() || x.HasMixin(occi.SharedMixin) == (old != nil && old.HasMixin(occi.SharedMixin)) {
		return nil
	}
	return occi.E(occi.Forbidden, "only administrators share with all projects")
}

// called names what is in a caller's way; x is it, or the link that has it, nil if it was
// not read.
func (p *plan) called(x *occi.Entity, r occi.Ref) string {
	if p.c.Operates() || x != nil && sees(p.c, p.m, x) {
		return p.m.RefPath(r)
	}
	return "something else"
}

// usable reports whether a machine may have a disk of an image: the caller sees that, or
// the provider's template names it.
func (p *plan) usable(x, image *occi.Entity) bool {
	if sees(p.c, p.m, image) {
		return true
	}
	a := roleAttr(p.m, x, roleImage)
	return slices.ContainsFunc(p.m.Closure(x.Mixins), func(mx *occi.Mixin) bool {
		d := mx.Attribute(a.Name)
		return d != nil && mx.Project == "" && d.Default == x.Attributes.Get(a.Name)
	})
}

// ModelOf is the registry in force for a caller: without what other projects define.
func (e *Engine) ModelOf(c Caller) *occi.Model {
	m := e.Model()
	if c.Operates() {
		return m
	}
	j := e.registry.current.Load()
	if j == nil || j.model != m {
		return m.For(c.Project)
	}
	if v, ok := j.views.Load(c.Project); ok {
		return v.(*occi.Model)
	}
	v := m.For(c.Project)
	if j.viewed.Add(1) <= maxViews {
		j.views.Store(c.Project, v)
	}
	return v
}

// maxViews bounds the registries that are kept, one for each project that asks.
const maxViews = 1000
