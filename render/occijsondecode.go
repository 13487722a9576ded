package render

import (
	"fmt"
	"strings"

	"github.com/occid/occid/occi"
)

// decode reads every object of GFD.226 and what older clients send: attribute
// names nested by their dots, ends of links as strings, locations as an object's
// member or a bare array. Descriptors, which OCCI's first drafts sent under this
// type, are read as such.
func (occiJSON) decode(m *occi.Model, body []byte) (*occi.Draft, error) {
	n, err := parseJSON(body)
	if err != nil {
		return nil, err
	}
	if dialectOf(n) == descriptorDialect {
		return descriptorDraft(m, n)
	}
	return standardDraft(m, n)
}

func standardDraft(m *occi.Model, n *jsonNode) (*occi.Draft, error) {
	j := jsonDecoder{m: m}
	switch {
	case n.kind == jsonArray:
		d := &occi.Draft{}
		return d, j.members(d, n, "")
	case n.kind != jsonObject:
		return nil, syntax(n.line, "", "%s where an object is meant", n.kind)
	case isCollection(n):
		return j.collection(n)
	case n.get("term") != nil:
		d := &occi.Draft{}
		return d, j.definition(d, n, occi.ClassMixin)
	case n.get("action") != nil:
		return j.invocation(n)
	}
	return j.entity(n)
}

// isCollection tells a collection (GFD.226 section 5.5) from an entity. Only
// links that say where they begin are a collection of links; others are inline
// links of an entity that is changed in part.
func isCollection(n *jsonNode) bool {
	for _, name := range []string{"kind", "id", "attributes", "source", "target", "action", "term"} {
		if n.get(name) != nil {
			return false
		}
	}
	if n.get("resources") != nil || n.get("kinds") != nil || n.get("locations") != nil {
		return true
	}
	for _, name := range []string{"mixins", "actions"} {
		if v := n.get(name); v != nil && len(v.items) > 0 && v.items[0].kind == jsonObject {
			return true
		}
	}
	links := n.get("links")
	if links == nil || len(n.members) > 1 {
		return false
	}
	for _, l := range links.items {
		if l.get("source") == nil {
			return false
		}
	}
	return true
}

// jsonDecoder makes drafts of JSON values.
type jsonDecoder struct {
	m       *occi.Model
	entered int // members taken in, of all collections
}

func (j *jsonDecoder) collection(n *jsonNode) (*occi.Draft, error) {
	d := &occi.Draft{}
	for _, mb := range n.present() {
		var err error
		switch mb.name {
		case "resources", "links", "locations":
			err = j.members(d, mb.value, mb.name)
		case "kinds":
			err = j.definitions(d, mb, occi.ClassKind)
		case "mixins":
			err = j.definitions(d, mb, occi.ClassMixin)
		case "actions":
			err = j.definitions(d, mb, occi.ClassAction)
		default:
			err = unknownMember(mb, "a collection")
		}
		if err != nil {
			return nil, err
		}
	}
	return d, nil
}

func unknownMember(mb jsonMember, of string) error {
	return syntax(mb.line, mb.name, "%s has no such member", of)
}

// members takes in the elements of an array: locations and entities.
func (j *jsonDecoder) members(d *occi.Draft, n *jsonNode, name string) error {
	if err := want(n, name, jsonArray); err != nil {
		return err
	}
	for _, item := range n.items {
		if item.kind == jsonString {
			if err := addLocation(d, item.text, item.line); err != nil {
				return err
			}
			continue
		}
		if err := want(item, "an element of "+name, jsonObject); err != nil {
			return err
		}
		if j.entered++; j.entered > maxMembers {
			return tooMany(item.line, "members", maxMembers)
		}
		e, err := j.entity(item)
		if err != nil {
			return err
		}
		d.Members = append(d.Members, *e)
	}
	return nil
}

// want refuses a value of another type than is meant.
func want(n *jsonNode, name string, kind jsonKind) error {
	if n.kind == kind {
		return nil
	}
	return syntax(n.line, name, "%s where %s is meant", n.kind, kind)
}

func (j *jsonDecoder) invocation(n *jsonNode) (*occi.Draft, error) {
	e := newEntityDecoder(j)
	for _, mb := range n.present() {
		var err error
		switch mb.name {
		case "action":
			e.d.Action, err = mb.value.text, want(mb.value, mb.name, jsonString)
		case "attributes":
			err = e.attributes(&e.d.Attributes, mb.value, "")
		default:
			err = unknownMember(mb, "an action invocation")
		}
		if err != nil {
			return nil, err
		}
	}
	return e.d, nil
}

// entity reads a Resource or Link object, or the part of one that changes.
func (j *jsonDecoder) entity(n *jsonNode) (*occi.Draft, error) {
	e := newEntityDecoder(j)
	for _, mb := range n.members {
		if mb.value.kind == jsonNull && coreMembers[mb.name] == "" {
			continue
		}
		if err := e.member(mb); err != nil {
			return nil, err
		}
	}
	if e.place != nil && e.d.Attr(occi.AttrID) == nil {
		return e.d, e.set(&e.d.Attributes, occi.AttrID, e.place, e.place.line)
	}
	return e.d, nil
}

// entityDecoder gathers the draft of one entity or link. seen has the values
// that attributes were given: clients repeat the core ones in two places.
type entityDecoder struct {
	j     *jsonDecoder
	d     *occi.Draft
	seen  map[string]occi.DraftAttr
	place *jsonNode // where the client has it; its identifier if it gives no other
}

func newEntityDecoder(j *jsonDecoder) *entityDecoder {
	return &entityDecoder{j: j, d: &occi.Draft{}, seen: map[string]occi.DraftAttr{}}
}

// coreMembers are the members that other renderings show as attributes.
var coreMembers = map[string]string{"id": occi.AttrID, "title": occi.AttrTitle, "summary": occi.AttrSummary}

func (e *entityDecoder) member(mb jsonMember) error {
	v := mb.value
	switch mb.name {
	case "kind":
		e.d.Kind = v.text
		return want(v, mb.name, jsonString)
	case "mixins":
		return e.mixins(&e.d.Mixins, v)
	case "id", "title", "summary":
		return e.set(&e.d.Attributes, coreMembers[mb.name], v, mb.line)
	case "attributes":
		return e.attributes(&e.d.Attributes, v, "")
	case "links":
		return e.links(v)
	case "source":
		return e.end(&e.d.Attributes, v, occi.AttrSource, occi.AttrSourceKind)
	case "target":
		return e.end(&e.d.Attributes, v, occi.AttrTarget, occi.AttrTargetKind)
	case "location", "self":
		e.place = v
		return want(v, mb.name, jsonString)
	case "actions", "rel":
		return nil // what the server showed
	}
	return unknownMember(mb, "an entity")
}

func (e *entityDecoder) mixins(to *[]string, n *jsonNode) error {
	if err := want(n, "mixins", jsonArray); err != nil {
		return err
	}
	for _, item := range n.items {
		if item.kind != jsonString {
			return syntax(item.line, "mixins", "%s where an identifier is meant", item.kind)
		}
		if err := addMixin(to, item.text, item.line); err != nil {
			return err
		}
	}
	return nil
}

// attributes reads an object of attributes. Objects are names nested by their
// dots, unless the registry knows an attribute that has an object for a value.
func (e *entityDecoder) attributes(to *[]occi.DraftAttr, n *jsonNode, prefix string) error {
	if err := want(n, strings.TrimSuffix("attributes."+prefix, "."), jsonObject); err != nil {
		return err
	}
	for _, mb := range n.members {
		name := prefix + mb.name
		var err error
		if def := e.j.m.Attribute(name); mb.value.kind == jsonObject && len(mb.value.members) > 0 && (def == nil || def.Type != occi.Object) {
			err = e.attributes(to, mb.value, name+".")
		} else {
			err = e.set(to, name, mb.value, mb.line)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// set takes in one attribute.
func (e *entityDecoder) set(to *[]occi.DraftAttr, name string, n *jsonNode, line int) error {
	a := occi.DraftAttr{Name: name, Line: line, Null: n.kind == jsonNull}
	var err error
	switch n.kind {
	case jsonString:
		a.Value = occi.Str(n.text)
	case jsonNumber:
		a.Value, err = numberValue(n.text)
	case jsonBoolean:
		a.Value = occi.Bool(n.text == "true")
	case jsonArray:
		a.Value = occi.Value{Type: occi.Array, Text: string(n.compact(nil))}
	case jsonObject:
		a.Value = occi.Value{Type: occi.Object, Text: string(n.compact(nil))}
	}
	if err != nil {
		return syntax(line, name, "%s", err)
	}
	if first, ok := e.seen[name]; ok {
		if first.Value == a.Value && first.Null == a.Null || name == occi.AttrID {
			return nil
		}
		return syntax(line, name, "has another value than before%s", before(first.Line))
	}
	if len(*to) == maxAttributes {
		return tooMany(line, "attributes", maxAttributes)
	}
	e.seen[name] = a
	*to = append(*to, a)
	return nil
}

// end reads the source or target of a link: an object or, as older clients
// write it, a URI.
func (e *entityDecoder) end(to *[]occi.DraftAttr, n *jsonNode, name, kindName string) error {
	if n.kind != jsonObject {
		if err := want(n, name, jsonString); err != nil {
			return err
		}
		return e.set(to, name, n, n.line)
	}
	for _, mb := range n.present() {
		if err := want(mb.value, name+"."+mb.name, jsonString); err != nil {
			return err
		}
		var err error
		switch mb.name {
		case "location":
			err = e.set(to, name, mb.value, mb.line)
		case "kind":
			err = e.set(to, kindName, mb.value, mb.line)
		default:
			err = unknownMember(mb, "an end of a link")
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// links reads the inline links of a resource: objects, or URIs of links there
// are.
func (e *entityDecoder) links(n *jsonNode) error {
	if err := want(n, "links", jsonArray); err != nil {
		return err
	}
	for _, item := range n.items {
		if len(e.d.Links) == maxLinks {
			return tooMany(item.line, "links", maxLinks)
		}
		if item.kind == jsonString {
			e.d.Links = append(e.d.Links, occi.DraftLink{ID: item.text, Line: item.line})
			continue
		}
		if err := want(item, "an element of links", jsonObject); err != nil {
			return err
		}
		d, err := e.j.entity(item)
		if err != nil {
			return err
		}
		if len(d.Links) > 0 {
			return syntax(item.line, "links", "a link has no links")
		}
		e.d.Links = append(e.d.Links, inlineLink(d, item.line))
	}
	return nil
}

// inlineLink turns the draft of a link into one of an inline link: it begins at
// the entity that holds it, whatever source it names.
func inlineLink(d *occi.Draft, line int) occi.DraftLink {
	l := occi.DraftLink{Kind: d.Kind, Mixins: d.Mixins, Line: line}
	for _, a := range d.Attributes {
		switch a.Name {
		case occi.AttrID:
			l.ID = a.Value.String()
		case occi.AttrTarget:
			l.Target = a.Value.String()
		case occi.AttrTargetKind:
			l.TargetKind = a.Value.String()
		case occi.AttrSource, occi.AttrSourceKind:
		default:
			l.Attributes = append(l.Attributes, a)
		}
	}
	return l
}

func (j *jsonDecoder) definitions(d *occi.Draft, mb jsonMember, class string) error {
	if err := want(mb.value, mb.name, jsonArray); err != nil {
		return err
	}
	for _, item := range mb.value.items {
		if err := want(item, "an element of "+mb.name, jsonObject); err != nil {
			return err
		}
		if err := j.definition(d, item, class); err != nil {
			return err
		}
	}
	return nil
}

// definition reads the description of a category (GFD.226 section 5.4).
func (j *jsonDecoder) definition(d *occi.Draft, n *jsonNode, class string) error {
	c := occi.DraftCategory{Class: class, Line: n.line}
	term, scheme := "", ""
	text := map[string]*string{"term": &term, "scheme": &scheme, "title": &c.Title, "location": &c.Location}
	lists := map[string]*[]string{"depends": &c.Depends, "applies": &c.Applies, "actions": &c.Actions}
	for _, mb := range n.present() {
		var err error
		switch to, list := text[mb.name], lists[mb.name]; {
		case to != nil:
			*to = mb.value.text
			err = want(mb.value, mb.name, jsonString)
		case list != nil:
			*list, err = stringItems(mb)
		case mb.name == "parent":
			c.Depends = []string{mb.value.text}
			err = want(mb.value, mb.name, jsonString)
		case mb.name == "attributes":
			c.Attributes, err = j.defaults(mb.value)
		default:
			err = unknownMember(mb, "a category")
		}
		if err != nil {
			return err
		}
	}
	if term == "" || scheme == "" {
		return syntax(n.line, fmt.Sprintf("category %s%s", scheme, term), "has no term or no scheme")
	}
	c.ID = scheme + term
	if j.entered++; j.entered > maxMembers {
		return tooMany(n.line, "categories", maxMembers)
	}
	d.Categories = append(d.Categories, c)
	if class == occi.ClassMixin {
		return addMixin(&d.Mixins, c.ID, n.line)
	}
	return nil
}

// defaults reads the attributes of a category with the defaults that it gives them;
// what else it says of them follows from their names. Those of a descriptor are in an
// array, with their names among their members.
func (j *jsonDecoder) defaults(n *jsonNode) ([]occi.DraftAttr, error) {
	e := newEntityDecoder(j)
	var out []occi.DraftAttr
	add := func(name string, def *jsonNode) error {
		given := def.get("default")
		if def.kind != jsonObject || given == nil || given.kind == jsonNull {
			out = append(out, occi.DraftAttr{Name: name, Line: def.line})
			return nil
		}
		return e.set(&out, name, given, given.line)
	}
	if n.kind != jsonArray {
		if err := want(n, "attributes", jsonObject); err != nil {
			return nil, err
		}
		for _, mb := range n.members {
			if err := add(mb.name, mb.value); err != nil {
				return nil, err
			}
		}
		return out, nil
	}
	for _, item := range n.items {
		name := item
		if item.kind == jsonObject {
			name = item.get("name")
		}
		if name == nil || name.kind != jsonString {
			return nil, syntax(item.line, "attributes", "%s where a name is meant", item.kind)
		}
		if err := add(name.text, item); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func stringItems(mb jsonMember) ([]string, error) {
	if err := want(mb.value, mb.name, jsonArray); err != nil {
		return nil, err
	}
	var out []string
	for _, item := range mb.value.items {
		if item.kind != jsonString {
			return nil, syntax(item.line, mb.name, "%s where a string is meant", item.kind)
		}
		out = append(out, item.text)
	}
	return out, nil
}
