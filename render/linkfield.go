package render

import (
	"net/url"
	"strconv"

	"github.com/occid/occid/occi"
)

// stateRelation is what relations of actions begin with in OCCI's original draft;
// the action's term follows.
const stateRelation = "http://purl.org/occi/state#"

// maxLinkFields is how many bytes the links of one answer may take; software on
// the way bounds header fields.
const maxLinkFields = 16 << 10

// LinkFields gives the values of Link header fields (RFC 8288) for the links of an
// entity and what can be done with it: one each, none if they would take more than
// 16 KiB, for the body has them all. They are not for OCCI's own renderings, in
// which such a field means something else.
func LinkFields(v *View, e *occi.Entity) []string {
	x, p := indexOf(v.Model), v.project(e)
	k := x.kind(e.Kind)
	var out []string
	size := 0
	add := func(field []byte) {
		out = append(out, string(field))
		size += len(field)
	}
	for _, l := range append(p.Links[:len(p.Links):len(p.Links)], k.tasks(p)...) {
		add(linkField(v, x, l))
	}
	for _, a := range v.actions(x, e) {
		field := k.appendActuator(append([]byte(nil), '<'), v.Base, e, a.action)
		field = append(append(field, `>; rel="`...), a.action.ID()...)
		add(appendTitle(append(append(append(field, ' '), stateRelation+a.action.Term...), '"'), a.action.Title))
	}
	if size > maxLinkFields {
		return nil
	}
	return out
}

// linkField leads to what a link leads to; self is the link.
func linkField(v *View, x *index, l *occi.Entity) []byte {
	dst := []byte{'<'}
	if l.Target.URI != "" {
		dst = appendURI(dst, l.Target.URI)
	} else {
		dst = x.appendRef(append(dst, v.Base...), l.Target)
	}
	rel := l.Target.Kind
	if rel == "" {
		rel = "related"
	}
	dst = append(append(append(dst, `>; rel="`...), rel...), `"; self="`...)
	return appendTitle(append(x.appendPath(append(dst, v.Base...), l), '"'), linkTitle(x, l))
}

// appendTitle adds a title unless it is empty. What is not ASCII goes into its
// extended form (RFC 8187).
func appendTitle(dst []byte, title string) []byte {
	if title == "" {
		return dst
	}
	for _, c := range title {
		if c < ' ' || c > '~' {
			return append(append(dst, "; title*=UTF-8''"...), url.PathEscape(title)...)
		}
	}
	return strconv.AppendQuote(append(dst, "; title="...), title)
}

// appendActuator adds the absolute URL at which OCCI's original draft has an
// action.
func (k *kindIndex) appendActuator(dst []byte, base string, e *occi.Entity, a *occi.Action) []byte {
	dst = appendID(append(append(dst, base...), k.location...), e.ID)
	return append(append(dst, "/state/"...), a.Term...)
}
