package occi

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
)

// Select gives what the query selects of entities in memory, which come in the
// order of their Seq, as a store does of its own. It does not look at LinkedTo,
// which is about entities that may not be among them.
func (q *Query) Select(es []*Entity) *Page {
	page := &Page{}
	var found []*Entity
	for _, e := range es {
		switch {
		case e.Deleted || !q.Selects(e):
		case !q.Since.IsZero() && e.Updated.Before(q.Since):
			if e.Updated.After(page.Earlier) {
				page.Earlier = e.Updated
			}
		case q.Until.IsZero() || e.Updated.Before(q.Until):
			found = append(found, e)
		}
	}
	for _, o := range slices.Backward(q.Sort) {
		slices.SortStableFunc(found, o.compare)
	}
	page.Total = len(found)
	page.Entities = found[min(q.Offset, len(found)):]
	if q.Limit > 0 {
		page.Entities = page.Entities[:min(q.Limit, len(page.Entities))]
	}
	return page
}

// Selects reports whether an entity is of those selected, but for LinkedTo and the time
// of its last change.
func (q *Query) Selects(e *Entity) bool {
	return (len(q.Kinds) == 0 || slices.Contains(q.Kinds, e.Kind)) &&
		(len(q.IDs) == 0 || slices.Contains(q.IDs, e.ID)) &&
		(len(q.AnyMixins) == 0 || slices.ContainsFunc(q.AnyMixins, e.HasMixin)) &&
		!slices.ContainsFunc(q.Mixins, func(id string) bool { return !e.HasMixin(id) }) &&
		!slices.ContainsFunc(q.Categories, func(c Either) bool { return !c.holds(e) }) &&
		!slices.ContainsFunc(q.Conds, func(c Cond) bool { return !c.holds(e) }) &&
		!slices.ContainsFunc(q.Text, func(word string) bool { return !says(e, strings.ToLower(word)) })
}

// says reports whether a text of an entity holds a word in lower case.
func says(e *Entity, word string) bool {
	in := func(text string) bool { return strings.Contains(strings.ToLower(text), word) }
	return in(e.Title) || in(e.Summary) ||
		slices.ContainsFunc(e.Attributes, func(a Attr) bool { return a.Value.Type == String && in(a.Value.Text) })
}

func (c Either) holds(e *Entity) bool {
	return slices.Contains(c.Kinds, e.Kind) || slices.ContainsFunc(c.Mixins, e.HasMixin) ||
		slices.ContainsFunc(c.NoMixins, func(id string) bool { return !e.HasMixin(id) })
}

func (c Cond) holds(e *Entity) bool {
	if slices.ContainsFunc(c.Or, func(o Cond) bool { return o.holds(e) }) {
		return true
	}
	want := c.Value
	if c.Name == AttrID || c.Name == AttrSource || c.Name == AttrTarget {
		want = Str(endOf(want.String()))
	}
	has := e.value(c.Name)
	if has.IsZero() || has.isNumber() != want.isNumber() {
		return false
	}
	switch order := has.compare(want); c.Op {
	case Eq:
		return order == 0
	case Ne:
		return order != 0
	case Lt:
		return order < 0
	case Le:
		return order <= 0
	case Gt:
		return order > 0
	case Ge:
		return order >= 0
	}
	return false
}

// value gives an attribute, core attributes included, as conditions compare it.
func (e *Entity) value(name string) Value {
	text := ""
	switch name {
	case AttrID:
		text = e.ID.String()
	case AttrTitle:
		text = e.Title
	case AttrSummary:
		text = e.Summary
	case AttrSource:
		text = e.Source.end()
	case AttrSourceKind:
		text = e.Source.Kind
	case AttrTarget:
		text = e.Target.end()
	case AttrTargetKind:
		text = e.Target.Kind
	case Created:
		return Int(e.Created.UnixMicro())
	case Updated:
		return Int(e.Updated.UnixMicro())
	default:
		return e.Attributes.Get(name)
	}
	if text == "" {
		return Value{}
	}
	return Str(text)
}

// end is how conditions compare a reference.
func (r Ref) end() string {
	if r.ID != uuid.Nil {
		return r.ID.String()
	}
	return endOf(r.URI)
}

// endOf is what counts of a path or URI: the UUID it ends in, else all.
func endOf(uri string) string {
	if id, ok := ParseID(lastSegment(uri)); ok {
		return id.String()
	}
	return uri
}

func (v Value) isNumber() bool { return v.Type == Integer || v.Type == Number }

// compare orders numbers before texts.
func (v Value) compare(w Value) int {
	switch {
	case v.isNumber() && w.isNumber():
		return cmp.Compare(v.Num, w.Num)
	case v.isNumber():
		return -1
	case w.isNumber():
		return 1
	}
	return strings.Compare(v.String(), w.String())
}

// compare orders entities; those without the attribute come last in either
// direction.
func (o Order) compare(a, b *Entity) int {
	direction := 1
	if o.Desc {
		direction = -1
	}
	moment := func(x, y time.Time) int { return direction * x.Compare(y) }
	switch o.Name {
	case Created:
		return moment(a.Created, b.Created)
	case Updated:
		return moment(a.Updated, b.Updated)
	}
	v, w := o.value(a), o.value(b)
	if v.IsZero() || w.IsZero() {
		return cmp.Compare(present(w), present(v))
	}
	return direction * v.compare(w)
}

func (o Order) value(e *Entity) Value {
	v := e.value(o.Name)
	for i := 0; v.IsZero() && i < len(o.Or); i++ {
		v = e.value(o.Or[i])
	}
	return v
}

func present(v Value) int {
	if v.IsZero() {
		return 0
	}
	return 1
}
