package occi

import (
	"net/url"
	"strings"

	"github.com/google/uuid"
)

// Build makes a new entity of a draft: its kind's, with mixins, attributes and
// defaults (those of mixins before those of the kind) and its kind's initial
// state. id is its UUID unless the draft names one. A draft that does shows an
// entity as it is elsewhere: its state there is none of its state here, nor is what
// else only a server says of it. Inline links are not looked at; see LinkDrafts.
//
// The error lists every problem at once: Forbidden when the only fault is that
// attributes are set which clients may not set, Invalid otherwise.
func (m *Model) Build(d *Draft, id uuid.UUID) (*Entity, error) {
	k := m.kinds[d.Kind]
	switch {
	case d.Kind == "":
		return nil, E(Invalid, "the request names no kind")
	case k == nil:
		return nil, E(Invalid, "unknown kind %s", d.Kind)
	case k.Abstract:
		return nil, E(Invalid, "kind %s has no instances of its own", d.Kind)
	}
	d = m.spelledOut(k, d)
	e := &Entity{ID: id, Kind: k.ID()}
	given, imported := ParseID(lastSegment(d.Text(AttrID)))
	if imported {
		e.ID = given
	}
	if k.States != nil {
		e.Attributes.Set(k.States.Attribute, Str(k.States.Initial))
	}
	b := &builder{m: m, k: k, e: e, creating: true, imported: imported}
	b.mixins(d, nil)
	b.attributes(d)
	b.defaults(e.Mixins, nil)
	b.required()
	if k.Link {
		b.end(d, AttrSource, AttrSourceKind, &e.Source, "")
		b.end(d, AttrTarget, AttrTargetKind, &e.Target, k.TargetKind)
	}
	return e, b.err("the request is not a valid " + k.Term)
}

// Update makes the entity that e becomes when a draft is applied to it. With
// replace the draft says all that clients may say: what it leaves out is removed
// where that is allowed. Without, it adds and changes, and a null removes. e
// itself is not changed; what is unchanged may be repeated even if it is not a
// client's to change. Errors are as for Build.
func (m *Model) Update(e *Entity, d *Draft, replace bool) (*Entity, error) {
	k := m.kinds[e.Kind]
	if k == nil {
		return nil, E(Conflict, "the registry has no kind %s any more", e.Kind)
	}
	if d.Kind != "" && d.Kind != e.Kind {
		return nil, E(Forbidden, "the kind of an entity never changes: %s is a %s", m.Path(e), e.Kind)
	}
	d = m.spelledOut(k, d)
	b := &builder{m: m, k: k, e: e.Clone(), old: e}
	before := b.e.Mixins
	if replace {
		b.clear(d)
	}
	b.mixins(d, before)
	b.attributes(d)
	b.defaults(b.e.Mixins, before)
	b.required()
	if id, ok := ParseID(lastSegment(d.Text(AttrID))); ok && id != e.ID {
		b.forbid(d.Attr(AttrID), "an identifier never changes")
	}
	if k.Link {
		b.sameEnd(d, AttrSource, e.Source)
		b.sameEnd(d, AttrTarget, e.Target)
	}
	return b.e, b.err("the request is not a valid change of " + m.Path(e))
}

// spelledOut gives a draft with the full names of attributes. A decoder leaves
// the keys of a descriptor that does not name its kind as they came.
func (m *Model) spelledOut(k *Kind, d *Draft) *Draft {
	c := *d
	c.Attributes = append([]DraftAttr(nil), d.Attributes...)
	for i := range c.Attributes {
		if a := &c.Attributes[i]; !strings.Contains(a.Name, ".") {
			a.Name = m.Long(k, a.Name)
		}
	}
	return &c
}

// Parameters checks the attributes of an action's invocation and fills in
// defaults.
func (m *Model) Parameters(a *Action, d *Draft) (Attrs, error) {
	var out Attrs
	var ps []Problem
	for _, da := range d.Attributes {
		def := a.Attribute(da.Name)
		if def == nil {
			ps = append(ps, Problem{What: da.Name, Line: da.Line, Text: "unknown attribute of action " + a.Term + known(a.Attributes)})
			continue
		}
		v, err := def.Check(da.Value)
		if err != nil {
			ps = append(ps, Problem{What: da.Name, Line: da.Line, Text: err.Error()})
			continue
		}
		out.Set(def.Name, v)
	}
	for _, def := range a.Attributes {
		if out.Get(def.Name).IsZero() {
			if def.Required && d.Attr(def.Name) == nil {
				ps = append(ps, Problem{What: def.Name, Text: "is required"})
			}
			out.Set(def.Name, def.Default)
		}
	}
	return out, Problems(Invalid, "the action "+a.Term+" cannot be invoked like this", ps)
}

func known(as []*Attribute) string {
	if len(as) == 0 {
		return ", which has none"
	}
	names := make([]string, len(as))
	for i, a := range as {
		names[i] = a.Name
	}
	return "; it has " + strings.Join(names, ", ")
}

// ParseRef reads a path, an absolute URI, a urn or a bare UUID. A path below a
// kind's location gives ID and Kind, with URI set as well when it was absolute:
// only who knows what exists can tell whose it is. Anything else gives the URI
// alone.
func (m *Model) ParseRef(s string) Ref {
	if id, ok := ParseID(s); ok {
		return Ref{ID: id}
	}
	u, err := url.Parse(s)
	if err != nil {
		return Ref{URI: s}
	}
	i := strings.LastIndexByte(strings.TrimSuffix(u.Path, "/"), '/')
	if i < 0 {
		return Ref{URI: s}
	}
	id, ok := ParseID(strings.TrimSuffix(u.Path[i+1:], "/"))
	if !ok {
		return Ref{URI: s}
	}
	r := Ref{ID: id}
	if k, isKind := m.locations[u.Path[:i+1]].(*Kind); isKind && !k.Abstract {
		r.Kind = k.ID()
	}
	if u.IsAbs() {
		r.URI = s
	}
	return r
}

// isAbsolute reports whether a text is a URI with a scheme.
func isAbsolute(s string) bool {
	u, err := url.Parse(s)
	return err == nil && u.IsAbs()
}

func lastSegment(s string) string {
	s = strings.TrimSuffix(s, "/")
	return s[strings.LastIndexByte(s, '/')+1:]
}

// ExclusiveBase gives the mixin of which an entity has at most one descendant,
// among a mixin and what it depends on; "" if there is none.
func (m *Model) ExclusiveBase(id string) string {
	for _, x := range m.Closure([]string{id}) {
		if x.Exclusive {
			return x.ID()
		}
	}
	return ""
}
