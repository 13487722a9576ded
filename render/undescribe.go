package render

import "github.com/occid/occid/occi"

// undescriber makes drafts of what was read as a tree.
type undescriber struct {
	m       *occi.Model
	t       *tree
	entered int // members taken in
}

// coreKeys are keys of every descriptor.
var coreKeys = map[string]string{
	"id": occi.AttrID, "title": occi.AttrTitle, "summary": occi.AttrSummary,
	"source": occi.AttrSource, "target": occi.AttrTarget,
}

// draft gives what a whole body says: a descriptor, several of them, or URIs.
func (u *undescriber) draft() (*occi.Draft, error) {
	d := &occi.Draft{}
	var err error
	switch root := &u.t.nodes[0]; root.shape {
	case listShape:
		err = u.members(d, 0)
	case dictShape:
		err = u.document(d)
	default:
		err = syntax(root.line, "", "%s where a descriptor is meant", root.shape)
	}
	if err != nil {
		return nil, err
	}
	return d, nil
}

// document reads a dict that holds other descriptors or is one.
func (u *undescriber) document(d *occi.Draft) error {
	holds := false
	for _, name := range []string{"resources", "resource", "locations", "location"} {
		holds = holds || u.t.find(0, name) >= 0
	}
	if !holds {
		return u.entity(d, 0, 0)
	}
	for c := range u.t.children(0) {
		n := &u.t.nodes[c]
		switch n.key {
		case "resources", "resource", "locations", "location":
			if err := u.members(d, c); err != nil {
				return err
			}
		default:
			return syntax(n.line, n.key, "stands beside resources or locations, which stand alone")
		}
	}
	return nil
}

// members takes in descriptors and URIs.
func (u *undescriber) members(d *occi.Draft, i int) error {
	for c := range u.elements(i) {
		n := &u.t.nodes[c]
		switch n.shape {
		case textShape:
			if err := addLocation(d, string(u.t.text(c)), n.line); err != nil {
				return err
			}
		case dictShape:
			if u.entered++; u.entered > maxMembers {
				return tooMany(n.line, "members", maxMembers)
			}
			d.Members = append(d.Members, occi.Draft{})
			if err := u.entity(&d.Members[len(d.Members)-1], c, 0); err != nil {
				return err
			}
		default:
			return syntax(n.line, n.key, "%s where a descriptor or a URI is meant", n.shape)
		}
	}
	return nil
}

// elements ranges over a list. Spellings that write a list as its elements give
// each on its own, and no value for an empty one.
func (u *undescriber) elements(i int) func(yield func(int) bool) {
	switch n := &u.t.nodes[i]; {
	case n.shape == listShape:
		return u.t.children(i)
	case n.shape == nullShape || n.shape == textShape && n.from == n.to:
		return func(func(int) bool) {}
	}
	return func(yield func(int) bool) { yield(i) }
}

// entity reads a dict as a descriptor. depth counts the entities it is in.
func (u *undescriber) entity(d *occi.Draft, i, depth int) error {
	k, err := u.kind(d, i)
	if err != nil {
		return err
	}
	seen := map[string]int{}
	for c := range u.t.children(i) {
		n := &u.t.nodes[c]
		switch n.key {
		case "type", "kind", "action", "actions":
		case "mixins", "mixin":
			err = u.mixins(d, c)
		case "links", "link":
			err = u.links(d, c, depth)
		default:
			err = u.attribute(d, c, k, seen)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// kind reads what decides about the other keys: the kind, and the action
// invoked.
func (u *undescriber) kind(d *occi.Draft, i int) (*occi.Kind, error) {
	for c := range u.t.children(i) {
		n := &u.t.nodes[c]
		to := &d.Kind
		switch n.key {
		case "type", "kind":
		case "action":
			to = &d.Action
		default:
			continue
		}
		if n.shape != textShape || n.from == n.to {
			return nil, syntax(n.line, n.key, "%s where a name is meant", n.what())
		}
		word := string(u.t.text(c))
		if k := u.m.KindNamed(word); k != nil && to == &d.Kind {
			word = k.ID()
		}
		if *to != "" && *to != word {
			return nil, syntax(n.line, n.key, "%s stands beside %s", word, *to)
		}
		*to = word
	}
	return u.m.Kind(d.Kind), nil
}

// what names a value that is not the text it should be.
func (n *node) what() string {
	if n.shape == textShape {
		return "nothing"
	}
	return string(n.shape)
}

func (u *undescriber) mixins(d *occi.Draft, i int) error {
	for c := range u.elements(i) {
		n := &u.t.nodes[c]
		switch n.shape {
		case textShape:
			if err := addMixin(&d.Mixins, u.mixin(string(u.t.text(c))), n.line); err != nil {
				return err
			}
		case dictShape:
			if err := u.definition(d, c); err != nil {
				return err
			}
		default:
			return syntax(n.line, "mixins", "%s where a mixin is meant", n.shape)
		}
	}
	return nil
}

// mixin gives the identifier of the one mixin with a term; other words are
// identifiers.
func (u *undescriber) mixin(word string) string {
	found := word
	for _, x := range u.m.Mixins {
		if x.Term != word {
			continue
		}
		if found != word {
			return word
		}
		found = x.ID()
	}
	return found
}

// definition reads a mixin as the registry shows it.
func (u *undescriber) definition(d *occi.Draft, i int) error {
	c := occi.DraftCategory{Class: occi.ClassMixin, Line: u.t.nodes[i].line}
	term, scheme := "", ""
	texts := map[string]*string{"term": &term, "scheme": &scheme, "title": &c.Title, "location": &c.Location}
	lists := map[string]*[]string{"depends": &c.Depends, "applies": &c.Applies, "actions": &c.Actions, "action": &c.Actions}
	for j := range u.t.children(i) {
		n := &u.t.nodes[j]
		var err error
		switch text, list := texts[n.key], lists[n.key]; {
		case text != nil && n.shape == textShape:
			*text = string(u.t.text(j))
		case text != nil:
			err = syntax(n.line, n.key, "%s where text is meant", n.shape)
		case list != nil:
			err = u.names(list, j)
		case n.key == "attributes" || n.key == "attribute":
			err = u.defaults(&c.Attributes, j)
		default:
			err = syntax(n.line, n.key, "a mixin's definition has no such key")
		}
		if err != nil {
			return err
		}
	}
	if term == "" || scheme == "" {
		return syntax(c.Line, "mixins", "a definition has no term or no scheme")
	}
	c.ID = scheme + term
	if u.entered++; u.entered > maxMembers {
		return tooMany(c.Line, "definitions", maxMembers)
	}
	d.Categories = append(d.Categories, c)
	return addMixin(&d.Mixins, c.ID, c.Line)
}

// names takes in a list of names, or of definitions with names.
func (u *undescriber) names(to *[]string, i int) error {
	for c := range u.elements(i) {
		n := &u.t.nodes[c]
		if name := u.t.find(c, "name"); n.shape == dictShape && name >= 0 {
			c, n = name, &u.t.nodes[name]
		}
		if n.shape != textShape {
			return syntax(n.line, n.key, "%s where a name is meant", n.shape)
		}
		*to = append(*to, string(u.t.text(c)))
	}
	return nil
}

// defaults takes in attributes of a definition: names, or definitions with names and
// perhaps defaults.
func (u *undescriber) defaults(to *[]occi.DraftAttr, i int) error {
	for c := range u.elements(i) {
		at, given := c, -1
		if u.t.nodes[c].shape == dictShape {
			at, given = u.t.find(c, "name"), u.t.find(c, "default")
		}
		if at < 0 || u.t.nodes[at].shape != textShape {
			n := &u.t.nodes[c]
			return syntax(n.line, "attributes", "%s where a name is meant", n.shape)
		}
		a := occi.DraftAttr{Name: string(u.t.text(at)), Line: u.t.nodes[at].line}
		if given >= 0 && u.t.nodes[given].shape != nullShape {
			var err error
			if a.Value, err = u.value(given, u.m.Attribute(a.Name)); err != nil {
				return syntax(u.t.nodes[given].line, a.Name, "%s", err)
			}
		}
		*to = append(*to, a)
	}
	return nil
}

// links reads inline links: descriptors, or URIs of links there are or of what a
// new link leads to.
func (u *undescriber) links(d *occi.Draft, i, depth int) error {
	for c := range u.elements(i) {
		n := &u.t.nodes[c]
		if depth > 0 {
			return syntax(n.line, "links", "a link has no links")
		}
		if len(d.Links) == maxLinks {
			return tooMany(n.line, "links", maxLinks)
		}
		l := occi.DraftLink{Line: n.line}
		switch n.shape {
		case textShape:
			l.Target = string(u.t.text(c))
			if k := u.m.Kind(u.m.ParseRef(l.Target).Kind); k != nil && k.Link {
				l.ID, l.Target = l.Target, ""
			}
		case dictShape:
			var err error
			if l, err = u.link(d, c, ""); err != nil {
				return err
			}
		default:
			return syntax(n.line, "links", "%s where a link is meant", n.shape)
		}
		if l.TargetKind == "" {
			l.TargetKind = u.m.ParseRef(l.Target).Kind
		}
		d.Links = append(d.Links, l)
	}
	return nil
}

// link reads a link's descriptor. Its identifier becomes its path, which tells
// of what kind of link it is.
// It is of a kind, unless it says another. What it describes of categories
// is its source's, as a link has no such.
func (u *undescriber) link(source *occi.Draft, i int, kind string) (occi.DraftLink, error) {
	var d occi.Draft
	if u.t.find(i, "type") < 0 && u.t.find(i, "kind") < 0 {
		d.Kind = kind
	}
	if err := u.entity(&d, i, 1); err != nil {
		return occi.DraftLink{}, err
	}
	source.Categories = append(source.Categories, d.Categories...)
	l := inlineLink(&d, u.t.nodes[i].line)
	if id, ok := occi.ParseID(l.ID); ok && u.m.Kind(l.Kind) != nil {
		l.ID = u.m.Kind(l.Kind).Location + id.String()
	}
	return l, nil
}

// attribute takes in what is under any other key.
func (u *undescriber) attribute(d *occi.Draft, i int, k *occi.Kind, seen map[string]int) error {
	n := &u.t.nodes[i]
	a := occi.DraftAttr{Name: n.key, Line: n.line, Null: n.shape == nullShape}
	if core := coreKeys[n.key]; core != "" && d.Action == "" {
		a.Name = core
	} else if k != nil {
		a.Name = u.m.Long(k, n.key)
	}
	if first, ok := seen[a.Name]; ok {
		return syntax(n.line, n.key, "is given twice%s", before(first))
	}
	if len(d.Attributes) == maxAttributes {
		return tooMany(n.line, "attributes", maxAttributes)
	}
	seen[a.Name] = n.line
	if !a.Null {
		var err error
		if a.Value, err = u.value(i, u.m.Attribute(a.Name)); err != nil {
			return syntax(n.line, n.key, "%s", err)
		}
	}
	d.Attributes = append(d.Attributes, a)
	return nil
}

// jsonKindOf tells how the values of a type are written in JSON.
var jsonKindOf = map[occi.Type]jsonKind{occi.Array: jsonArray, occi.Object: jsonObject}

// value gives an attribute's value. A list or dict may be spelled as JSON where
// the registry knows that one is meant.
func (u *undescriber) value(i int, def *occi.Attribute) (occi.Value, error) {
	text := u.t.text(i)
	switch u.t.nodes[i].shape {
	case bareShape:
		return bareValue(string(text))
	case listShape:
		return occi.Value{Type: occi.Array, Text: string(appendJSON(nil, u.t, i, compact))}, nil
	case dictShape:
		return occi.Value{Type: occi.Object, Text: string(appendJSON(nil, u.t, i, compact))}, nil
	}
	if def != nil && jsonKindOf[def.Type] != "" {
		if n, err := parseJSON(text); err == nil && n.kind == jsonKindOf[def.Type] {
			return occi.Value{Type: def.Type, Text: string(n.compact(nil))}, nil
		}
	}
	return occi.Str(string(text)), nil
}
