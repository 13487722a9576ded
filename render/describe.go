package render

import "github.com/occid/occid/occi"

// describer makes the descriptors of entities. Its tree is that of the entity
// described last.
type describer struct {
	x     *index
	v     *View
	base  string
	t     tree
	shown []bool // of the attributes of the entity at hand, those that are in the tree
	// portable descriptors are for other servers: without actions, and mixins of
	// users come with their definitions.
	portable bool
}

func newDescriber(v *View) *describer { return &describer{x: indexOf(v.Model), v: v, base: v.Base} }

// describe gives the descriptor of an entity.
func (d *describer) describe(e *occi.Entity) *tree {
	d.t.reset()
	d.entity(e, false)
	return &d.t
}

// entity adds an entity as a dict. An inline link is without its source, which
// is what it is in.
func (d *describer) entity(whole *occi.Entity, inline bool) {
	e, part := whole, !inline && !d.portable
	if part {
		e = d.v.project(whole)
	}
	t, k := &d.t, d.x.kind(e.Kind)
	i := t.open("", dictShape)
	if k.kind == nil {
		t.addText("type", e.Kind)
	} else {
		t.addText("type", k.kind.Term)
	}
	if k.kind != nil && k.kind.Link {
		if !inline {
			d.end("source", occi.AttrSourceKind, e.Source)
		}
		d.end("target", occi.AttrTargetKind, e.Target)
	}
	d.shown = append(d.shown[:0], make([]bool, len(e.Attributes))...)
	d.attributes(e, k.keys)
	for _, id := range whole.Mixins {
		d.attributes(e, d.x.mixin(id).keys)
	}
	from := len(t.buf)
	t.buf = appendID(t.buf, e.ID)
	t.add("id", textShape, from)
	t.addGiven("title", e.Title)
	t.addGiven("summary", e.Summary)
	d.attributes(e, k.state)
	d.unnamed(e)
	d.links(k, e)
	d.mixins(e)
	if !d.portable && (!part || d.v.shows(FieldActions)) && !d.v.Passive {
		d.actions(k, whole)
	}
	t.close(i)
}

func (d *describer) mixins(e *occi.Entity) {
	i := d.t.open("mixins", listShape)
	for _, id := range e.Mixins {
		if x := d.x.model.Mixin(id); d.portable && x != nil && x.User {
			d.t.mixin(x)
		} else {
			d.t.addText("", id)
		}
	}
	d.t.closeFilled(i)
}

// end adds where a link begins or leads to. The kind of what is elsewhere cannot
// be told by its URI.
func (d *describer) end(key, kindKey string, r occi.Ref) {
	from := len(d.t.buf)
	d.t.buf = d.x.appendRef(d.t.buf, r)
	d.t.add(key, textShape, from)
	if r.URI != "" {
		d.t.addGiven(kindKey, r.Kind)
	}
}

// attributes adds the attributes that keys name and that are not in the tree.
func (d *describer) attributes(e *occi.Entity, keys []key) {
	for i := range keys {
		for j := range e.Attributes {
			if e.Attributes[j].Name == keys[i].name && !d.shown[j] {
				d.shown[j] = true
				d.attribute(&keys[i], e.Attributes[j].Value)
				break
			}
		}
	}
}

func (d *describer) attribute(k *key, v occi.Value) {
	if v.Type != occi.Integer && v.Type != occi.Number {
		d.t.addValue(k.key, v)
		return
	}
	s := bareShape
	if k.def.Unit != "" {
		s = textShape
	}
	from := len(d.t.buf)
	d.t.buf = k.def.AppendQuantity(d.t.buf, v)
	d.t.add(k.key, s, from)
}

// unnamed adds the attributes that the registry does not know.
func (d *describer) unnamed(e *occi.Entity) {
	for i := range e.Attributes {
		if !d.shown[i] {
			d.t.addValue(e.Attributes[i].Name, e.Attributes[i].Value)
		}
	}
}

func (d *describer) links(k *kindIndex, e *occi.Entity) {
	i := d.t.open("links", listShape)
	for _, l := range e.Links {
		d.entity(l, true)
	}
	for _, l := range k.tasks(e) {
		d.entity(l, true)
	}
	d.t.closeFilled(i)
}

// actions adds where to POST what can be done now.
func (d *describer) actions(k *kindIndex, e *occi.Entity) {
	t := &d.t
	i := t.open("actions", dictShape)
	for _, a := range d.v.offered(d.x, k, e) {
		if t.close(i); t.find(i, a.action.Term) >= 0 {
			continue
		}
		from := len(t.buf)
		t.buf = k.appendActionURL(t.buf, d.base, e, a.action)
		t.add(a.action.Term, textShape, from)
	}
	t.closeFilled(i)
}

// appendActionURL adds the absolute URL that invokes an action on an entity of
// the kind.
func (k *kindIndex) appendActionURL(dst []byte, base string, e *occi.Entity, a *occi.Action) []byte {
	dst = appendID(append(append(dst, base...), k.location...), e.ID)
	return append(append(dst, "?action="...), a.Term...)
}
