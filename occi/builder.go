package occi

import (
	"fmt"
	"strings"
)

// builder applies a draft to an entity and gathers what is wrong with it.
type builder struct {
	m        *Model
	k        *Kind
	e        *Entity // what it makes
	old      *Entity // as it was; nil when creating
	creating bool
	imported bool // what is created shows an entity as it is elsewhere

	invalid, forbidden []Problem
}

func (b *builder) bad(what string, line int, format string, args ...any) {
	b.invalid = append(b.invalid, Problem{What: what, Line: line, Text: fmt.Sprintf(format, args...)})
}

func (b *builder) forbid(a *DraftAttr, format string, args ...any) {
	b.forbidden = append(b.forbidden, Problem{What: a.Name, Line: a.Line, Text: fmt.Sprintf(format, args...)})
}

func (b *builder) err(message string) error {
	if len(b.invalid) > 0 {
		return Problems(Invalid, message, append(b.invalid, b.forbidden...))
	}
	return Problems(Forbidden, "this may not be changed", b.forbidden)
}

// clear removes what a replacing draft leaves out.
func (b *builder) clear(d *Draft) {
	e := b.e
	e.Title, e.Summary, e.Mixins = "", "", nil
	var kept Attrs
	for _, a := range e.Attributes {
		def := b.m.AttributeOf(b.k, b.old.Mixins, a.Name)
		if def != nil && (def.Internal || !def.Mutable || def.Once) || d.Attr(a.Name) != nil {
			kept = append(kept, a)
		}
	}
	e.Attributes = kept
}

// mixins adds the draft's mixins to the entity's.
func (b *builder) mixins(d *Draft, before []string) {
	bases := map[string]string{}
	for _, id := range d.Mixins {
		b.addMixin(id, bases)
	}
	for i := range d.Attributes {
		b.mixinFor(&d.Attributes[i])
	}
	// A mixin that went takes its attributes along.
	for _, id := range before {
		if b.e.HasMixin(id) {
			continue
		}
		for _, x := range b.m.Closure([]string{id}) {
			for _, a := range x.Attributes {
				if b.m.AttributeOf(b.k, b.e.Mixins, a.Name) == nil {
					b.e.Attributes.Delete(a.Name)
				}
			}
		}
	}
}

// addMixin adds one of the draft's; bases are those that exclude others so far.
func (b *builder) addMixin(id string, bases map[string]string) {
	x := b.m.mixins[id]
	if x == nil {
		if b.m.kinds[id] != nil {
			b.bad(id, 0, "is a kind, not a mixin")
		} else {
			b.bad(id, 0, "unknown mixin")
		}
		return
	}
	for _, needed := range b.m.Closure([]string{id}) {
		if b.m.applies(needed, b.k) {
			continue
		}
		if needed == x {
			b.bad(id, 0, "does not apply to kind %s", b.k.ID())
		} else {
			b.bad(id, 0, "depends on %s, which does not apply to kind %s", needed.ID(), b.k.ID())
		}
		return
	}
	if base := b.m.ExclusiveBase(id); base != "" && id != base {
		if o := bases[base]; o != "" && o != id {
			b.bad(id, 0, "excludes %s: an entity has one %s", o, b.m.mixins[base].Term)
			return
		}
		bases[base] = id
		var kept []string
		for _, have := range b.e.Mixins {
			if have == id || have == base || b.m.ExclusiveBase(have) != base {
				kept = append(kept, have)
			}
		}
		b.e.Mixins = kept
	}
	if !b.e.HasMixin(id) {
		b.e.Mixins = append(b.e.Mixins, id)
	}
}

// mixinFor adds the first mixin that defines an attribute which nothing else of
// the entity does, so that people need not know which mixin a word is of.
// Templates are never added that way.
func (b *builder) mixinFor(a *DraftAttr) {
	if a.Null || b.m.AttributeOf(b.k, b.e.Mixins, a.Name) != nil || b.m.attrs[a.Name] == nil {
		return
	}
	for _, x := range b.m.Mixins {
		if x.Attribute(a.Name) != nil && len(x.Applies) > 0 && b.m.applies(x, b.k) && b.m.ExclusiveBase(x.ID()) == "" {
			b.e.Mixins = append(b.e.Mixins, x.ID())
			return
		}
	}
}

// attributes sets what the draft gives.
func (b *builder) attributes(d *Draft) {
	for i := range d.Attributes {
		a := &d.Attributes[i]
		switch a.Name {
		case AttrID:
		case AttrTitle:
			b.text(a, &b.e.Title)
		case AttrSummary:
			b.text(a, &b.e.Summary)
		case AttrSource, AttrSourceKind, AttrTarget, AttrTargetKind:
			if !b.k.Link {
				b.bad(a.Name, a.Line, "is an attribute of links; a %s is none", b.k.Term)
			}
		default:
			b.attribute(a)
		}
	}
}

// text sets the title or summary.
func (b *builder) text(a *DraftAttr, to *string) {
	if a.Null {
		*to = ""
		return
	}
	def := b.m.AttributeOf(b.k, nil, a.Name)
	if def == nil {
		b.bad(a.Name, a.Line, "unknown attribute of kind %s", b.k.Term)
		return
	}
	v, err := def.Check(a.Value)
	if err != nil {
		b.bad(a.Name, a.Line, "%s", err)
		return
	}
	*to = v.Text
}

func (b *builder) attribute(a *DraftAttr) {
	def := b.m.AttributeOf(b.k, b.e.Mixins, a.Name)
	if def == nil {
		b.bad(a.Name, a.Line, "unknown attribute%s", b.hint(a.Name))
		return
	}
	var now Value
	if b.old != nil {
		now = b.old.Attributes.Get(a.Name)
	} else {
		now = b.e.Attributes.Get(a.Name)
	}
	if def.Observed || b.k.States != nil && a.Name == b.k.States.Message {
		return
	}
	var v Value
	if !a.Null {
		var err error
		if b.k.States != nil && a.Name == b.k.States.Attribute && b.k.States.Canonical(a.Value.String()) != "" {
			a.Value = Str(b.k.States.Canonical(a.Value.String()))
		}
		if v, err = def.Check(a.Value); err != nil && (def.Secret || def.Confidential) {
			b.bad(a.Name, a.Line, "is not as it must be: %s", def.Description)
			return
		} else if err != nil {
			b.bad(a.Name, a.Line, "%s", err)
			return
		}
	}
	switch {
	case v == now:
	case b.imported && def.Internal:
		return
	case b.k.States != nil && a.Name == b.k.States.Attribute:
		b.forbid(a, "the state is %s; only actions change it", now)
		return
	case def.Internal:
		b.forbid(a, "only the server sets it")
		return
	case !b.creating && def.Once && !now.IsZero():
		b.forbid(a, "it can be set once only")
		return
	case !b.creating && !def.Mutable && !def.Once:
		b.forbid(a, "it is fixed at creation")
		return
	}
	if def.Secret {
		b.e.Secrets.Set(a.Name, v)
		return
	}
	b.e.Attributes.Set(a.Name, v)
}

// hint names what an unknown attribute may have meant.
func (b *builder) hint(name string) string {
	var names []string
	for _, a := range b.m.KindAttributes(b.k) {
		if a.Internal || strings.HasPrefix(a.Name, "occi.core.") {
			continue
		}
		if strings.EqualFold(a.Short, name) || strings.EqualFold(a.Name, name) {
			return "; did you mean " + a.Name + "?"
		}
		names = append(names, a.Name)
	}
	if len(names) == 0 {
		return " of kind " + b.k.Term
	}
	return " of kind " + b.k.Term + ", which has " + strings.Join(names, ", ")
}

// defaults fills in what the draft left open. A template that was not there
// before sets its values over those of the one it replaces, and those that the
// kind has too, its sizes, over any (GFD.224 section 3.5.2).
func (b *builder) defaults(mixins, before []string) {
	for _, x := range b.m.Closure(mixins) {
		if contains(before, x.ID()) {
			continue
		}
		template := b.m.ExclusiveBase(x.ID()) != ""
		for _, a := range x.Attributes {
			if a.Default.IsZero() || a.Internal || a.Live {
				continue
			}
			now := b.e.Attributes.Get(a.Name)
			size := template && b.m.AttributeOf(b.k, nil, a.Name) != nil
			if now.IsZero() || size || template && b.old != nil && now == b.old.Attributes.Get(a.Name) {
				b.e.Attributes.Set(a.Name, a.Default)
			}
		}
	}
	for _, a := range b.m.KindAttributes(b.k) {
		if b.e.Attributes.Get(a.Name).IsZero() && !a.Default.IsZero() {
			b.e.Attributes.Set(a.Name, a.Default)
		}
	}
}

func (b *builder) required() {
	miss := func(as []*Attribute) {
		for _, a := range as {
			if a.Required && !a.Internal && b.e.Attributes.Get(a.Name).IsZero() && !b.faulty(a.Name) {
				b.bad(a.Name, 0, "is required")
			}
		}
	}
	miss(b.m.KindAttributes(b.k))
	for _, x := range b.m.Closure(b.e.Mixins) {
		miss(x.Attributes)
	}
}

// faulty reports whether a problem was named with an attribute already.
func (b *builder) faulty(name string) bool {
	for _, p := range b.invalid {
		if p.What == name {
			return true
		}
	}
	return false
}

// end reads one end of a new link.
func (b *builder) end(d *Draft, name, kindName string, to *Ref, want string) {
	a := d.Attr(name)
	if a == nil || a.Null || a.Value.String() == "" {
		b.bad(name, 0, "is required")
		return
	}
	if err := checkText(a.Value.String()); err != nil {
		b.bad(name, a.Line, "%s", err)
		return
	}
	*to = b.m.ParseRef(a.Value.String())
	if to.ID == [16]byte{} && (name == AttrSource || want != "") {
		b.bad(name, a.Line, "%q does not name a resource of this server", a.Value)
		return
	}
	if to.ID == [16]byte{} && !isAbsolute(to.URI) {
		b.bad(name, a.Line, "%q is neither a resource of this server nor an absolute URI", a.Value)
		return
	}
	if to.Kind != "" && want != "" && to.Kind != want {
		b.bad(name, a.Line, "%q is a %s, not a %s", a.Value, b.m.kinds[to.Kind].Term, b.m.kinds[want].Term)
	}
	if given := d.Text(kindName); given != "" && to.Kind == "" {
		to.Kind = given
	}
}

// sameEnd refuses to move an end of a link.
func (b *builder) sameEnd(d *Draft, name string, now Ref) {
	a := d.Attr(name)
	if a == nil {
		return
	}
	if !sameEnd(now, b.m.ParseRef(a.Value.String())) {
		b.forbid(a, "the ends of a link are fixed at creation")
	}
}
