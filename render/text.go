package render

import (
	"maps"
	"slices"
	"strings"

	"github.com/occid/occid/occi"
)

// Names of the fields of the text rendering (GFD.229). The last two are this
// project's: the standard has no rendering of a state machine.
const (
	fieldCategory   = "Category"
	fieldLink       = "Link"
	fieldAttribute  = "X-OCCI-Attribute"
	fieldLocation   = "X-OCCI-Location"
	fieldStates     = "X-OCCI-States"
	fieldTransition = "X-OCCI-Transition"
)

// maxHeader is how much text/occi may put into header fields, in bytes; more
// than that is cut off on its way by common software.
const maxHeader = 60 << 10

// textCodec writes and reads text/plain (GFD.229) and, with joined set,
// text/occi as a block of header fields, one line for each name.
type textCodec struct{ joined bool }

// fields writes lines "NAME: VALUE". Joined, consecutive values under one name
// share a line.
type fields struct {
	dst    []byte
	joined bool
	last   string
}

func (w *fields) start(name string) {
	switch {
	case w.last == "":
	case w.joined && w.last == name:
		w.dst = append(w.dst, ", "...)
		return
	default:
		w.dst = append(w.dst, '\n')
	}
	w.last = name
	w.dst = append(append(w.dst, name...), ": "...)
}

// end gives what was written. It fails if that cannot be sent as header fields.
func (w *fields) end(before int) ([]byte, error) {
	if w.last != "" {
		w.dst = append(w.dst, '\n')
	}
	if size := len(w.dst) - before; w.joined && size > maxHeader {
		return nil, occi.E(occi.Unacceptable, "%d bytes are more than header fields carry; accept text/plain instead", size)
	}
	return w.dst, nil
}

func (c textCodec) entity(dst []byte, v *View, whole *occi.Entity) ([]byte, error) {
	x := indexOf(v.Model)
	w := fields{dst: dst, joined: c.joined}
	k := x.kind(whole.Kind)
	e := v.project(whole)
	w.start(fieldCategory)
	w.dst = append(w.dst, k.text...)
	for _, id := range e.Mixins {
		w.start(fieldCategory)
		w.dst = append(w.dst, x.mixin(id).text...)
	}
	for _, a := range v.actions(x, whole) {
		w.start(fieldLink)
		w.dst = appendID(append(append(w.dst, '<'), k.location...), e.ID)
		w.dst = append(w.dst, a.text...)
	}
	for _, l := range e.Links {
		w.link(x, l)
	}
	for _, l := range k.tasks(e) {
		w.link(x, l)
	}
	w.attributes(x, k, e)
	return w.end(len(dst))
}

// link writes a link that begins at the entity shown.
func (w *fields) link(x *index, l *occi.Entity) {
	w.start(fieldLink)
	d := append(w.dst, '<')
	if l.Target.URI != "" {
		d = appendURI(d, l.Target.URI)
	} else {
		d = x.appendRef(d, l.Target)
	}
	rel := l.Target.Kind
	if rel == "" {
		rel = occi.ResourceKind
	}
	d = append(append(append(d, `>; rel="`...), rel...), `"; self="`...)
	d = append(x.appendPath(d, l), `"; category="`...)
	d = append(d, l.Kind...)
	for _, id := range l.Mixins {
		d = append(append(d, ' '), id...)
	}
	d = append(d, '"')
	if l.Title != "" {
		d = appendQuoted(append(d, "; "+occi.AttrTitle+"="...), l.Title)
	}
	for i := range l.Attributes {
		d = appendAttribute(append(d, "; "...), &l.Attributes[i])
	}
	w.dst = d
}

func (w *fields) attributes(x *index, k *kindIndex, e *occi.Entity) {
	w.start(fieldAttribute)
	w.dst = append(appendURN(append(w.dst, occi.AttrID+`="`...), e.ID), '"')
	w.text(occi.AttrTitle, e.Title)
	w.text(occi.AttrSummary, e.Summary)
	if k.kind != nil && k.kind.Link {
		w.text(occi.AttrSourceKind, e.Source.Kind)
		w.text(occi.AttrSource, string(x.appendRef(nil, e.Source)))
		w.text(occi.AttrTargetKind, e.Target.Kind)
		w.text(occi.AttrTarget, string(x.appendRef(nil, e.Target)))
	}
	for i := range e.Attributes {
		w.start(fieldAttribute)
		w.dst = appendAttribute(w.dst, &e.Attributes[i])
	}
}

// text writes a core attribute unless it is empty.
func (w *fields) text(name, value string) {
	if value == "" {
		return
	}
	w.start(fieldAttribute)
	w.dst = appendQuoted(append(append(w.dst, name...), '='), value)
}

func appendAttribute(dst []byte, a *occi.Attr) []byte {
	dst = append(append(dst, a.Name...), '=')
	if a.Value.Bare() {
		return a.Value.Append(dst)
	}
	return appendQuoted(dst, a.Value.Text)
}

func (c textCodec) collection(dst []byte, v *View, col *Collection) ([]byte, error) {
	return c.created(dst, v, col.Entities)
}

func (c textCodec) created(dst []byte, v *View, es []*occi.Entity) ([]byte, error) {
	x := indexOf(v.Model)
	w := fields{dst: dst, joined: c.joined}
	for _, e := range es {
		w.start(fieldLocation)
		w.dst = x.appendPath(append(w.dst, v.Base...), e)
	}
	return w.end(len(dst))
}

func (c textCodec) categories(dst []byte, v *View, cs *Categories) ([]byte, error) {
	w := fields{dst: dst, joined: c.joined}
	for _, k := range cs.Kinds {
		w.start(fieldCategory)
		w.category(&k.Category, occi.ClassKind)
		w.parameter("rel", k.Parent)
		w.parameter("location", k.Location)
		w.definitions("attributes", inherited(v.Model, k))
		w.parameter("actions", actionIDs(k.Actions))
	}
	for _, mx := range cs.Mixins {
		w.start(fieldCategory)
		w.category(&mx.Category, occi.ClassMixin)
		if len(mx.Depends) > 0 {
			w.parameter("rel", mx.Depends[0])
		}
		w.parameter("location", mx.Location)
		w.definitions("attributes", mx.Attributes)
		w.parameter("actions", actionIDs(mx.Actions))
	}
	for _, a := range cs.Actions {
		w.start(fieldCategory)
		w.category(&a.Category, occi.ClassAction)
		w.definitions("attributes", a.Attributes)
	}
	return w.end(len(dst))
}

func (w *fields) category(c *occi.Category, class string) {
	w.dst = appendCategoryHead(w.dst, c, class)
}

func appendCategoryHead(dst []byte, c *occi.Category, class string) []byte {
	dst = append(append(dst, c.Term...), `; scheme="`...)
	dst = append(append(dst, c.Scheme...), `"; class="`...)
	dst = append(append(dst, class...), '"')
	if c.Title != "" {
		dst = appendQuoted(append(dst, "; title="...), c.Title)
	}
	return dst
}

// parameter writes "; NAME=VALUE" unless the value is empty.
func (w *fields) parameter(name, value string) {
	if value != "" {
		w.dst = append(append(append(w.dst, "; "...), name...), '=')
		w.dst = appendQuoted(w.dst, value)
	}
}

// inherited lists a kind's attributes behind its parents': many clients look for
// them at the kind alone.
func inherited(m *occi.Model, k *occi.Kind) []*occi.Attribute {
	var out []*occi.Attribute
	for ; k != nil; k = m.Kind(k.Parent) {
		out = append(slices.Clone(k.Attributes), out...)
	}
	return out
}

// definitions writes attribute definitions: names with their properties. A name
// that extends another with a dot goes before it, as in occi.Attrs.
func (w *fields) definitions(name string, as []*occi.Attribute) {
	as = slices.Clone(as)
	for i := range as {
		for j := i + 1; j < len(as); j++ {
			if strings.HasPrefix(as[j].Name, as[i].Name+".") {
				longer := as[j]
				as = slices.Insert(slices.Delete(as, j, j+1), i, longer)
			}
		}
	}
	words := make([]string, len(as))
	for i, a := range as {
		words[i] = a.Name
		switch {
		case fixed(a) && a.Required:
			words[i] += "{immutable required}"
		case fixed(a):
			words[i] += "{immutable}"
		case a.Required:
			words[i] += "{required}"
		}
	}
	w.parameter(name, strings.Join(words, " "))
}

// fixed tells of attributes that a client cannot change later. Those that may be
// set once are not fixed until they are.
func fixed(a *occi.Attribute) bool { return a.Internal || !a.Mutable && !a.Once }

func actionIDs(as []*occi.Action) string {
	ids := make([]string, len(as))
	for i, a := range as {
		ids[i] = a.ID()
	}
	return strings.Join(ids, " ")
}

func (c textCodec) states(dst []byte, v *View) ([]byte, error) {
	w := fields{dst: dst, joined: c.joined}
	for _, k := range v.Model.Kinds {
		s := k.States
		if s == nil {
			continue
		}
		w.start(fieldStates)
		w.dst = append(w.dst, k.Term...)
		w.parameter("scheme", k.Scheme)
		w.parameter("attribute", s.Attribute)
		w.parameter("message", s.Message)
		w.parameter("initial", s.Initial)
		w.parameter("failed", s.Failed)
		w.parameter("states", strings.Join(s.Values, " "))
		for _, alias := range slices.Sorted(maps.Keys(s.Aliases)) {
			w.parameter("alias."+alias, s.Aliases[alias])
		}
	}
	for _, k := range v.Model.Kinds {
		if k.States == nil {
			continue
		}
		for _, t := range k.States.Transitions {
			w.start(fieldTransition)
			w.dst = append(w.dst, t.From...)
			w.parameter("kind", k.ID())
			if a := v.Model.ActionOf(k, nil, t.Action); a != nil {
				w.parameter("action", a.ID())
				w.definitions("attributes", a.Attributes)
			}
			w.parameter("through", t.Through)
			w.parameter("to", t.To)
		}
	}
	return w.end(len(dst))
}

func (textCodec) fault(dst []byte, _ *View, f *Fault) ([]byte, error) {
	return appendFault(dst, "", f), nil
}
