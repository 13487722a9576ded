package guest

import (
	"slices"
	"strings"

	"github.com/google/uuid"

	"github.com/occid/occid/internal/auth"
	"github.com/occid/occid/internal/engine"
	"github.com/occid/occid/occi"
	"github.com/occid/occid/render"
)

// everything, in the list of what a guest may read, means just that.
const everything = "*"

// names reads a list of attributes by their full or short names, for entities of a
// kind.
func names(m *occi.Model, k *occi.Kind, list string) []string {
	var out []string
	for _, word := range strings.FieldsFunc(list, separates) {
		out = append(out, m.Long(k, word))
	}
	return out
}

// shown is what a guest sees of an entity of its own: what its kind has, what is
// meant for guests, and what its owner lets it read or write. Tasks are its owner's.
func (o *own) shown(x *occi.Entity) *occi.Entity {
	k := o.model.Kind(x.Kind)
	readable := names(o.model, k, text(o.model, o.entity, roleReadable)+" "+text(o.model, o.entity, roleWritable))
	see := func(name string) bool {
		if slices.Contains(readable, name) || slices.Contains(readable, everything) {
			return true
		}
		if k != nil && o.model.AttributeOf(k, nil, name) != nil {
			return true
		}
		a := o.model.Attribute(name)
		return a != nil && (strings.HasPrefix(a.Role, "guest.") || strings.HasPrefix(a.Role, "nic.") || strings.HasPrefix(a.Role, "disk."))
	}
	c := x.Clone()
	c.Tasks, c.Owner, c.Project, c.Host = nil, "", "", ""
	c.Attributes = slices.DeleteFunc(c.Attributes, func(a occi.Attr) bool { return !see(a.Name) })
	c.Links = nil
	for _, l := range x.Links {
		if !l.Deleted {
			c.Links = append(c.Links, o.shown(l))
		}
	}
	return c
}

// view is how a guest is shown things of its own.
func (o *own) view(base string) *render.View {
	return &render.View{Model: o.model, Base: base, Targets: o.targets, Passive: true}
}

// link gives a link of the machine, nil if it has none with an identifier.
func (o *own) link(id uuid.UUID) *occi.Entity {
	for _, l := range o.entity.Links {
		if l.ID == id && !l.Deleted {
			return l
		}
	}
	return nil
}

// categories are those that say nothing of others: not what users have defined,
// unless the machine has it.
func (o *own) categories() *render.Categories {
	c := &render.Categories{Kinds: o.model.Kinds, Actions: o.model.Actions}
	for _, x := range o.model.Mixins {
		if !x.User || o.entity.HasMixin(x.ID()) {
			c.Mixins = append(c.Mixins, x)
		}
	}
	return c
}

// change makes of what a guest sends the change that it may make: what is as it was
// is left out, and Forbidden names all that its owner has not allowed.
func (o *own) change(d *occi.Draft) (*occi.Draft, error) {
	if len(d.Members) == 1 && len(d.Attributes)+len(d.Links)+len(d.Mixins) == 0 && d.Kind == "" {
		d = &d.Members[0]
	}
	var ps []occi.Problem
	no := func(what, text string) { ps = append(ps, occi.Problem{What: what, Text: text}) }
	if d.Kind != "" && d.Kind != o.entity.Kind {
		no(d.Kind, "is not the kind of this machine")
	}
	for _, id := range d.Mixins {
		if !o.entity.HasMixin(id) {
			no(id, "is not a mixin of this machine")
		}
	}
	if d.Action != "" {
		no(d.Action, "is an action, which a guest does not invoke")
	}
	for _, l := range d.Links {
		if o.linked(l) == nil {
			no(l.Target, "is not linked to this machine")
		}
	}
	if len(d.Members)+len(d.Locations) > 0 {
		no("", "the request is about several entities")
	}
	k := o.model.Kind(o.entity.Kind)
	writable := names(o.model, k, text(o.model, o.entity, roleWritable))
	next := &occi.Draft{}
	for _, a := range d.Attributes {
		switch name := o.model.Long(k, a.Name); {
		case o.unchanged(name, a):
		case slices.Contains(writable, name) && !guarded(o.model, name):
			a.Name = name
			next.Attributes = append(next.Attributes, a)
		default:
			ps = append(ps, occi.Problem{What: name, Line: a.Line, Text: "may not be changed by the machine itself; its owner has not allowed it"})
		}
	}
	return next, occi.Problems(occi.Forbidden, "the change is not allowed", ps)
}

// guarded reports whether an attribute says what the guest may do, which it never
// changes itself.
func guarded(m *occi.Model, name string) bool {
	a := m.Attribute(name)
	return a != nil && (a.Role == roleReadable || a.Role == roleWritable || a.Role == roleToken)
}

// linked gives the link that a draft describes as it is shown, nil if there is none.
func (o *own) linked(d occi.DraftLink) *occi.Entity {
	want := o.model.ParseRef(d.Target)
	for _, l := range o.entity.Links {
		if id, ok := occi.ParseID(d.ID[strings.LastIndexByte(d.ID, '/')+1:]); ok && id == l.ID || d.ID == "" && want.ID != uuid.Nil && want.ID == l.Target.ID {
			return l
		}
	}
	return nil
}

// unchanged reports whether a draft gives an attribute the value that it has.
func (o *own) unchanged(name string, a occi.DraftAttr) bool {
	x := o.entity
	switch given := a.Value.Text0(); name {
	case occi.AttrID:
		id, ok := occi.ParseID(given)
		return ok && id == x.ID
	case occi.AttrTitle:
		return given == x.Title
	case occi.AttrSummary:
		return given == x.Summary
	}
	have := x.Attributes.Get(name)
	if a.Null {
		return have.IsZero()
	}
	k := o.model.Kind(x.Kind)
	def := o.model.AttributeOf(k, x.Mixins, name)
	if def == nil {
		return false
	}
	v, err := def.Check(a.Value)
	return err == nil && v == have
}

// caller is the guest as one who changes things, of which it was found out already what
// it may change.
func (o *own) caller() engine.Caller {
	c := engine.Caller{Name: "guest " + o.entity.ID.String(), Project: o.entity.Project, Roles: auth.Member}
	if c.Project == "" {
		c.Roles = auth.Administrator
	}
	return c
}

// origin is the guest as the audit trail knows it.
func (c *call) origin() *occi.Origin {
	by := c.own.caller()
	return &occi.Origin{User: by.Name, Login: by.Name, Project: by.Project, Address: c.peer.Addr.String(), Method: c.r.Method, Path: c.r.URL.Path}
}
