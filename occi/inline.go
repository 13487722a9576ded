package occi

import (
	"fmt"
	"slices"
	"strings"

	"github.com/google/uuid"
)

// LinkDrafts turns a resource's inline links into drafts of links from it. Those
// that name a link it has are left out, if they show it as it is, and so are links
// to tasks, which are the server's.
//
// When the resource is replaced its links stay (GFD.223 section 10.2.2): one that
// leads where a link of its kind does already is that link, others are faults.
func (m *Model) LinkDrafts(source *Entity, d *Draft, replaced bool) ([]*Draft, error) {
	var out []*Draft
	var ps []Problem
	for i := range d.Links {
		l := &d.Links[i]
		bad := func(format string, args ...any) {
			ps = append(ps, Problem{What: "link " + l.Target, Line: l.Line, Text: fmt.Sprintf(format, args...)})
		}
		if m.isTask(source, l) {
			continue
		}
		if have := ownLink(source, l); have != nil {
			for _, what := range m.differing(have, l) {
				bad("%s is not as at %s; a link is changed there", what, m.Path(have))
			}
			continue
		}
		ld, err := m.linkDraft(source, l)
		switch {
		case err != nil:
			bad("%s", err)
		case !replaced:
			out = append(out, ld)
		case !m.leadsThere(source, ld):
			bad("is new; links stay as they are when a resource is replaced, and are made with POST")
		}
	}
	return out, Problems(Invalid, "the links are not valid", ps)
}

// isTask reports whether a link leads to a task: clients send these back with the
// rest.
func (m *Model) isTask(source *Entity, l *DraftLink) bool {
	if l.Kind == TaskLinkKind {
		return true
	}
	if k := m.kinds[TaskLinkKind]; k != nil && strings.HasPrefix(l.ID, k.Location) {
		return true
	}
	id, ok := ParseID(lastSegment(l.ID))
	return ok && slices.Contains(source.Tasks, id)
}

// ownLink gives the link of a resource that an inline link names, or nil.
func ownLink(source *Entity, l *DraftLink) *Entity {
	id, ok := ParseID(lastSegment(l.ID))
	i := slices.IndexFunc(source.Links, func(x *Entity) bool { return ok && x.ID == id })
	if i < 0 {
		return nil
	}
	return source.Links[i]
}

// leadsThere reports whether a resource has a link of a draft's kind to its target.
func (m *Model) leadsThere(source *Entity, ld *Draft) bool {
	to := m.ParseRef(ld.Text(AttrTarget))
	return slices.ContainsFunc(source.Links, func(x *Entity) bool { return x.Kind == ld.Kind && sameEnd(x.Target, to) })
}

// sameEnd reports whether a reference names an end of a link.
func sameEnd(end, r Ref) bool {
	if end.ID != uuid.Nil {
		return end.ID == r.ID
	}
	return end.URI == r.URI
}

// differing names what an inline link says otherwise than the link it names, of
// what clients can say. What the server sets may have changed since it was shown.
func (m *Model) differing(have *Entity, l *DraftLink) []string {
	var out []string
	k := m.kinds[have.Kind]
	if l.Kind != "" && l.Kind != have.Kind {
		out = append(out, "the kind "+l.Kind)
	}
	if l.Target != "" && !sameEnd(have.Target, m.ParseRef(l.Target)) {
		out = append(out, AttrTarget)
	}
	for _, id := range l.Mixins {
		if !have.HasMixin(id) {
			out = append(out, id)
		}
	}
	for _, a := range l.Attributes {
		if !strings.Contains(a.Name, ".") {
			a.Name = m.Long(k, a.Name)
		}
		if !m.shows(k, have, &a) {
			out = append(out, a.Name)
		}
	}
	return out
}

// shows reports whether an attribute is as a link has it.
func (m *Model) shows(k *Kind, have *Entity, a *DraftAttr) bool {
	switch a.Name {
	case AttrID, AttrSource, AttrSourceKind, AttrTargetKind:
		return true
	case AttrTarget:
		return sameEnd(have.Target, m.ParseRef(a.Value.String()))
	case AttrTitle:
		return a.Value.String() == have.Title
	}
	def := m.AttributeOf(k, have.Mixins, a.Name)
	if def == nil || def.Internal {
		return def != nil
	}
	v, err := def.Check(a.Value)
	return a.Null && have.Attributes.Get(a.Name).IsZero() || err == nil && v == have.Attributes.Get(a.Name)
}

func (m *Model) linkDraft(source *Entity, l *DraftLink) (*Draft, error) {
	d := &Draft{Kind: l.Kind, Mixins: l.Mixins}
	target := l.Target
	for _, a := range l.Attributes {
		switch a.Name {
		case AttrSource, AttrSourceKind, AttrTargetKind:
		case AttrTarget:
			if target == "" {
				target = a.Value.String()
			}
		default:
			d.Attributes = append(d.Attributes, a)
		}
	}
	if target == "" {
		return nil, fmt.Errorf("has no target")
	}
	if d.Kind == "" {
		d.Kind = m.linkKind(m.ParseRef(target), l.TargetKind)
	}
	if d.Kind == "" {
		return nil, fmt.Errorf("has no kind, and its target does not tell which")
	}
	if _, ok := ParseID(lastSegment(l.ID)); ok && d.Attr(AttrID) == nil {
		d.Attributes = append(d.Attributes, DraftAttr{Name: AttrID, Value: Str(l.ID), Line: l.Line})
	}
	// The text rendering must name a kind; it says of what is of no known kind that
	// it is a resource.
	if d.Kind == LinkKind && l.TargetKind != "" && l.TargetKind != ResourceKind {
		d.Attributes = append(d.Attributes, DraftAttr{Name: AttrTargetKind, Value: Str(l.TargetKind), Line: l.Line})
	}
	d.Attributes = append(d.Attributes,
		DraftAttr{Name: AttrSource, Value: Str(m.Path(source)), Line: l.Line},
		DraftAttr{Name: AttrTarget, Value: Str(target), Line: l.Line})
	return d, nil
}

// linkKind gives the one kind of link that leads to what a target is, that of
// all links for a target elsewhere.
func (m *Model) linkKind(r Ref, targetKind string) string {
	if r.ID == uuid.Nil && isAbsolute(r.URI) {
		return LinkKind
	}
	if r.Kind != "" {
		targetKind = r.Kind
	}
	found := ""
	for _, k := range m.Kinds {
		if k.Link && !k.Abstract && k.TargetKind != "" && k.TargetKind == targetKind {
			if found != "" {
				return ""
			}
			found = k.ID()
		}
	}
	return found
}
