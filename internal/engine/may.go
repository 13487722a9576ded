package engine

import (
	"context"
	"slices"

	"github.com/google/uuid"

	"github.com/occid/occid/internal/auth"
	"github.com/occid/occid/internal/policy"
	"github.com/occid/occid/occi"
)

// as is a caller with what it may do by the policies in force.
func (e *Engine) as(c Caller) Caller {
	if c.Judged() || e.cfg.Policies == nil {
		return c
	}
	return e.cfg.Policies.For(c)
}

// may refuses what a caller may not do with an entity, which is any of what is named: as
// NotFound if it may not see it either.
func may(c Caller, x *occi.Entity, do ...string) error {
	if c.Free() {
		return nil
	}
	switch c.Asks(x, do...) {
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

// shown gives an entity as a caller sees it: links that it does not see are not there,
// and neither are attributes that it is not shown; of what is another project's, nothing
// confidential.
func shown(c Caller, m *occi.Model, x *occi.Entity) *occi.Entity {
	unseen := func(l *occi.Entity) bool { return !c.Sees(l) }
	if c.Free() {
		return x
	}
	if slices.ContainsFunc(x.Links, unseen) {
		w := x.Clone()
		w.Whole, w.Links = x, slices.DeleteFunc(slices.Clone(x.Links), unseen)
		x = w
	}
	private := func(a occi.Attr) bool {
		d := m.Attribute(a.Name)
		return d != nil && d.Confidential
	}
	if !c.Operates() && x.Project != c.Project && x.Project != c.Name && slices.ContainsFunc(x.Attributes, private) {
		w := x.Clone()
		if w.Whole == nil {
			w.Whole = x
		}
		w.Attributes = slices.DeleteFunc(w.Attributes, private)
		x = w
	}
	if c.Hides() {
		x = bared(c, x)
	}
	return x
}

// bared gives an entity and its links without the attributes that a caller is not shown.
func bared(c Caller, x *occi.Entity) *occi.Entity {
	w := x.Clone()
	if w.Whole == nil {
		w.Whole = x
	}
	for _, name := range c.Hidden(x.Kind) {
		unset(w, name)
	}
	for i, l := range w.Links {
		if i == 0 {
			w.Links = slices.Clone(w.Links)
		}
		w.Links[i] = bared(c, l)
	}
	return w
}

// unset takes the value of an attribute away.
func unset(x *occi.Entity, name string) {
	switch name {
	case occi.AttrTitle:
		x.Title = ""
	case occi.AttrSummary:
		x.Summary = ""
	default:
		x.Attributes.Delete(name)
	}
}

// Permit refuses what a caller may not do with the entity of a kind at a UUID, which is
// any of what is named; what does not exist may be made.
func (e *Engine) Permit(ctx context.Context, c Caller, do []string, kind string, id uuid.UUID) error {
	if c = e.as(c); c.Free() {
		return nil
	}
	x, err := e.store.Entity(ctx, id)
	if err != nil {
		if slices.Contains(do, policy.Create) && occi.ClassOf(err) == occi.NotFound {
			return nil
		}
		return err
	}
	if x.Kind != kind && !c.Sees(x) {
		return occi.E(occi.NotFound, "there is no entity %s", id)
	}
	return may(c, x, slices.DeleteFunc(slices.Clone(do), func(a string) bool { return a == policy.Create })...)
}

// new refuses to make an entity of a kind of which none may be made.
func (p *plan) new(kind string) error {
	if p.m.Kind(kind) == nil || p.c.Could(kind, policy.Create) {
		return nil
	}
	if p.c.Project == "" {
		return occi.E(occi.Forbidden, "you have no part in any project, which what you make would belong to")
	}
	return refusal(p.c)
}

// gives notes which attributes a draft gives a new entity.
func (b *creation) gives(x *occi.Entity, d *occi.Draft) {
	if b.c.Free() {
		return
	}
	if b.given == nil {
		b.given = map[uuid.UUID][]string{}
	}
	b.given[x.ID] = b.attributes(x, d)
}

// attributes lists the full names of the attributes that a draft gives or takes away.
func (p *plan) attributes(x *occi.Entity, d *occi.Draft) []string {
	var names []string
	k := p.m.Kind(x.Kind)
	for _, a := range d.Attributes {
		name := a.Name
		if long := p.m.Long(k, name); long != "" {
			name = long
		}
		switch name {
		case occi.AttrID, occi.AttrSource, occi.AttrSourceKind, occi.AttrTarget, occi.AttrTargetKind:
		default:
			names = append(names, name)
		}
	}
	return names
}

// permitted refuses new entities that may not be as they are.
func (b *creation) permitted() error {
	if b.c.Free() {
		return nil
	}
	for _, x := range slices.Concat(b.tops, b.links) {
		if b.c.Asks(x, policy.Create) != auth.Allowed {
			return refusal(b.c)
		}
		if err := b.sets(x, x, b.given[x.ID]); err != nil {
			return err
		}
	}
	return nil
}

// sets refuses attributes that may not be given a value of their own, or be seen.
func (p *plan) sets(old, x *occi.Entity, names []string) error {
	var ps []occi.Problem
	hidden := p.c.Hidden(x.Kind)
	for _, name := range names {
		if ok, called := p.c.Sets(old, name); !ok || slices.Contains(hidden, name) {
			ps = append(ps, occi.Problem{What: called, Text: "your role does not allow to set it; it is " + p.c.Roles.String()})
		}
	}
	return occi.Problems(occi.Forbidden, "the change is not allowed", ps)
}

// unseen refuses to give what a caller does not see a value, and gives the draft with what
// of that a replacement is to leave as it is.
func (p *plan) unseen(old *occi.Entity, d *occi.Draft, replace bool) (*occi.Draft, error) {
	hidden := p.c.Hidden(old.Kind)
	if len(hidden) == 0 {
		return d, nil
	}
	var names []string
	for _, name := range p.attributes(old, d) {
		if slices.Contains(hidden, name) {
			names = append(names, name)
		}
	}
	if err := p.sets(old, old, names); err != nil || !replace {
		return d, err
	}
	whole := *d
	whole.Attributes = slices.Clone(d.Attributes)
	for _, name := range hidden {
		v := old.Attributes.Get(name)
		switch name {
		case occi.AttrTitle:
			v = textValue(old.Title)
		case occi.AttrSummary:
			v = textValue(old.Summary)
		}
		if !v.IsZero() {
			whole.Attributes = append(whole.Attributes, occi.DraftAttr{Name: name, Value: v})
		}
	}
	return &whole, nil
}

// settable refuses a change of attributes that may not be changed.
func (p *plan) settable(old, next *occi.Entity) error {
	if p.c.Free() {
		return nil
	}
	var names []string
	for _, a := range slices.Concat(old.Attributes, next.Attributes, next.Secrets) {
		if (old.Attributes.Get(a.Name) != next.Attributes.Get(a.Name) || !next.Secrets.Get(a.Name).IsZero()) && !slices.Contains(names, a.Name) {
			names = append(names, a.Name)
		}
	}
	if old.Title != next.Title {
		names = append(names, occi.AttrTitle)
	}
	if old.Summary != next.Summary {
		names = append(names, occi.AttrSummary)
	}
	return p.sets(old, next, names)
}

// invoking is what is asked of policies about an action of a term. Of one that nothing
// has, who may invoke others is told so.
func (p *plan) invoking(x *occi.Entity, term string) []string {
	if do := p.c.Action(term); do != policy.Act {
		return []string{do}
	}
	return p.c.Acts(x.Kind)
}

// sharing refuses to share something with all projects, or to end that, unless a policy
// permits it.
func (p *plan) sharing(old, x *occi.Entity) error {
	if p.c.Free() || x.HasMixin(occi.SharedMixin) == (old != nil && old.HasMixin(occi.SharedMixin)) {
		return nil
	}
	of := x
	if old != nil {
		of = old
	}
	if p.c.Asks(of, policy.Share) == auth.Allowed {
		return nil
	}
	return occi.E(occi.Forbidden, "your role does not allow to share with all projects; administrators and managers do")
}

// called names what is in a caller's way; x is it, or the link that has it, nil if it was
// not read.
func (p *plan) called(x *occi.Entity, r occi.Ref) string {
	if p.c.Free() || x != nil && p.c.Sees(x) {
		return p.m.RefPath(r)
	}
	return "something else"
}

// usable reports whether a machine may have a disk of an image: the caller sees that, or
// the provider's template names it.
func (p *plan) usable(x, image *occi.Entity) bool {
	if p.c.Sees(image) {
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
