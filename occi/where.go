package occi

import (
	"cmp"
	"slices"
	"strconv"
	"strings"

	"github.com/google/uuid"
)

// WhereOp is what a Where says.
type WhereOp uint8

// What a Where says. All but the first four are about one entity and Where's lists.
const (
	WhereNothing WhereOp = iota // of no entity
	WhereAll                    // Of holds, each of them; so it does of none
	WhereAny                    // any of Of holds
	WhereNot                    // the first of Of does not hold
	WhereKind                   // its kind is any of Names
	WhereProject                // its project is any of Names
	WhereShared                 // it has the mixin that shares it with all
	WhereHost                   // it is on any of Names
	WhereID                     // it is any of IDs
	WhereMixin                  // it has any of the mixins of Names
	WhereHas                    // it has a value of the attribute Cond.Name
	WhereCond                   // Cond holds, which has no alternatives
	WherePrefix                 // it has a text of the attribute Cond.Name that begins with that of Cond.Value
	WhereBelongs                // it is a user with a part in any of the projects of Names
)

// Where is a condition on entities that a store can select by, and Holds decides of one.
// A Where is not changed once it is made. Nil holds of everything.
type Where struct {
	Op    WhereOp
	Of    []*Where
	Names []string
	IDs   []uuid.UUID
	Cond  Cond

	text string
}

// Never holds of nothing.
var Never = sealed(&Where{Op: WhereNothing})

// always holds of everything, where nil cannot say so.
var always = sealed(&Where{Op: WhereAll})

// WhereNames makes a condition on what a list of names is about.
func WhereNames(op WhereOp, names ...string) *Where {
	if len(names) == 0 {
		return Never
	}
	names = slices.Clone(names)
	slices.Sort(names)
	return sealed(&Where{Op: op, Names: slices.Compact(names)})
}

// WhereIs holds of the entities of some UUIDs.
func WhereIs(ids ...uuid.UUID) *Where {
	if len(ids) == 0 {
		return Never
	}
	return sealed(&Where{Op: WhereID, IDs: slices.Clone(ids)})
}

// WhereSharedWithAll holds of what is shared with all projects.
func WhereSharedWithAll() *Where { return sealed(&Where{Op: WhereShared}) }

// WhereAttribute makes a condition on an attribute.
func WhereAttribute(op WhereOp, c Cond) *Where { return sealed(&Where{Op: op, Cond: c}) }

// And holds where all of some conditions do; nil if that is everywhere.
func And(of ...*Where) *Where {
	var all []*Where
	for _, w := range of {
		switch {
		case w == nil || w.Op == WhereAll && len(w.Of) == 0:
		case w.Op == WhereNothing:
			return Never
		case w.Op == WhereAll:
			all = joined(all, w.Of...)
		default:
			all = joined(all, w)
		}
	}
	switch len(all) {
	case 0:
		return nil
	case 1:
		return all[0]
	}
	return sealed(&Where{Op: WhereAll, Of: all})
}

// Or holds where any of some conditions does.
func Or(of ...*Where) *Where {
	var all []*Where
	for _, w := range of {
		switch {
		case w == nil || w.Op == WhereAll && len(w.Of) == 0:
			return nil
		case w.Op == WhereNothing:
		case w.Op == WhereAny:
			all = joined(all, w.Of...)
		default:
			all = joined(all, w)
		}
	}
	switch len(all) {
	case 0:
		return Never
	case 1:
		return all[0]
	}
	return sealed(&Where{Op: WhereAny, Of: merged(all)})
}

// Not holds where a condition does not.
func Not(w *Where) *Where {
	switch {
	case w == nil || w.Op == WhereAll && len(w.Of) == 0:
		return Never
	case w.Op == WhereNothing:
		return nil
	case w.Op == WhereNot:
		return w.Of[0]
	}
	return sealed(&Where{Op: WhereNot, Of: []*Where{w}})
}

// joined adds conditions to a list, each once.
func joined(list []*Where, more ...*Where) []*Where {
	for _, w := range more {
		if !slices.ContainsFunc(list, func(o *Where) bool { return o.text == w.text }) {
			list = append(list, w)
		}
	}
	return list
}

// merged makes one condition of alternatives that are lists of names of one thing.
func merged(all []*Where) []*Where {
	names := map[WhereOp][]string{}
	for _, w := range all {
		if len(w.Names) > 0 {
			names[w.Op] = append(names[w.Op], w.Names...)
		}
	}
	var out []*Where
	for _, w := range all {
		if len(w.Names) > 0 {
			w = WhereNames(w.Op, names[w.Op]...)
		}
		out = joined(out, w)
	}
	slices.SortFunc(out, func(a, b *Where) int { return cmp.Compare(a.text, b.text) })
	return out
}

// sealed notes what a Where says.
func sealed(w *Where) *Where {
	b := append(strconv.AppendUint(nil, uint64(w.Op), 10), '(')
	for _, o := range w.Of {
		b = append(append(b, o.text...), ' ')
	}
	for _, n := range w.Names {
		b = strconv.AppendQuote(b, n)
	}
	for _, id := range w.IDs {
		b = append(append(b, id.String()...), ' ')
	}
	if w.Cond.Name != "" {
		b = strconv.AppendQuote(b, w.Cond.Name)
		b = append(append(append(b, w.Cond.Op...), w.Cond.Value.Type...), ' ')
		b = strconv.AppendQuote(b, w.Cond.Value.String())
	}
	w.text = string(append(b, ')'))
	return w
}

// String tells a Where from any that says something else.
func (w *Where) String() string {
	if w == nil {
		w = always
	}
	return w.text
}

// GoString is String: what is printed of a Query tells it from others.
func (w *Where) GoString() string { return w.String() }

// Holds reports whether the condition holds of an entity, which has its links.
func (w *Where) Holds(e *Entity) bool {
	if w == nil {
		return true
	}
	switch w.Op {
	case WhereAll:
		for _, o := range w.Of {
			if !o.Holds(e) {
				return false
			}
		}
		return true
	case WhereAny:
		for _, o := range w.Of {
			if o.Holds(e) {
				return true
			}
		}
	case WhereNot:
		return !w.Of[0].Holds(e)
	case WhereKind:
		return slices.Contains(w.Names, e.Kind)
	case WhereProject:
		return slices.Contains(w.Names, e.Project)
	case WhereShared:
		return e.HasMixin(SharedMixin)
	case WhereHost:
		return slices.Contains(w.Names, e.Host)
	case WhereID:
		return slices.Contains(w.IDs, e.ID)
	default:
		return w.says(e)
	}
	return false
}

// says is Holds of what is about mixins, attributes and links.
func (w *Where) says(e *Entity) bool {
	switch w.Op {
	case WhereMixin:
		return slices.ContainsFunc(w.Names, e.HasMixin)
	case WhereHas:
		return !e.value(w.Cond.Name).IsZero()
	case WhereCond:
		return w.Cond.holds(e)
	case WherePrefix:
		v := e.value(w.Cond.Name)
		return !v.IsZero() && !v.isNumber() && strings.HasPrefix(v.String(), w.Cond.Value.Text)
	case WhereBelongs:
		return slices.ContainsFunc(e.Links, func(l *Entity) bool {
			return l.Kind == MembershipKind && !l.Deleted && l.Target.ID != uuid.Nil && slices.Contains(w.Names, l.Target.ID.String())
		})
	}
	return false
}

// Within gives lists of whose an entity must be, as Entity.Reach tells, for the condition
// to hold; nil if it may be anybody's. Exactly tells that this is all the condition says.
func (w *Where) Within() (reach []string, exactly bool) {
	if w == nil {
		return nil, true
	}
	switch w.Op {
	case WhereProject:
		// What a project shares is in the lists of all.
		return append(slices.Clone(w.Names), Everyone), false
	case WhereShared:
		return []string{Everyone}, true
	case WhereAny:
		return w.anyWithin()
	case WhereAll:
		for _, o := range w.Of {
			if r, _ := o.Within(); r != nil && (reach == nil || len(r) < len(reach)) {
				reach = r
			}
		}
	}
	return reach, false
}

func (w *Where) anyWithin() (reach []string, exactly bool) {
	shared, owned := false, true
	for _, o := range w.Of {
		r, _ := o.Within()
		if r == nil {
			return nil, false
		}
		reach = append(reach, r...)
		shared = shared || o.Op == WhereShared
		owned = owned && (o.Op == WhereShared || o.Op == WhereProject)
	}
	slices.Sort(reach)
	reach = slices.Compact(reach)
	return reach, shared && owned && !slices.Contains(reach, "")
}

// Uses reports whether a condition says something of a sort anywhere.
func (w *Where) Uses(op WhereOp) bool {
	if w == nil {
		return false
	}
	return w.Op == op || slices.ContainsFunc(w.Of, func(o *Where) bool { return o.Uses(op) })
}
