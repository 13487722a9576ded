package render

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/occid/occid/occi"
)

// decode reads fields. A text/plain body that does not begin with one is a
// descriptor: that is what OCCI's first drafts sent under this type.
func (c textCodec) decode(m *occi.Model, body []byte) (*occi.Draft, error) {
	if !c.joined && !isFields(body) {
		return descriptor{textSpelling{}}.decode(m, body)
	}
	t := newTextDecoder(m)
	if err := t.read(body, c.joined); err != nil {
		return nil, err
	}
	return t.d, nil
}

// isFields reports whether the first line that is not blank begins with a field's
// name, or there is none.
func isFields(body []byte) bool {
	body = bytes.TrimLeft(body, " \t\r\n")
	name, _, ok := bytes.Cut(body[:min(len(body), 32)], []byte(":"))
	return len(body) == 0 || ok && fieldNames[strings.ToLower(string(bytes.TrimRight(name, " \t")))] != ""
}

// textDecoder gathers a draft from fields.
type textDecoder struct {
	m    *occi.Model
	d    *occi.Draft
	add  func(occi.DraftCategory) error // takes in a category
	seen map[string]int                 // attribute -> the line it is on
	line int                            // of the field at hand; 0 in header fields
}

func newTextDecoder(m *occi.Model) *textDecoder {
	t := &textDecoder{m: m, d: &occi.Draft{}, seen: map[string]int{}}
	t.add = t.addCategory
	return t
}

// read takes in lines NAME: VALUE. In header fields lines are not counted.
func (t *textDecoder) read(body []byte, header bool) error {
	if line, text := textFault(body); text != "" {
		if header {
			line = 0
		}
		return syntax(line, "", "%s", text)
	}
	number := 0
	for line := range strings.Lines(string(body)) {
		number++
		line = strings.Trim(line, " \t\r\n")
		if line == "" {
			continue
		}
		if !header {
			t.line = number
		}
		name, value, ok := strings.Cut(line, ":")
		if !ok {
			return syntax(t.line, "", "%.40q is not of the form NAME: VALUE", line)
		}
		if err := t.field(strings.TrimRight(name, " \t"), value); err != nil {
			return err
		}
	}
	return nil
}

// fieldNames gives the names of fields that are read by their spellings in lower
// case, of which some are older.
var fieldNames = map[string]string{
	"category":         fieldCategory,
	"x-occi-category":  fieldCategory,
	"link":             fieldLink,
	"x-occi-link":      fieldLink,
	"x-occi-attribute": fieldAttribute,
	"x-occi-location":  fieldLocation,
}

func (t *textDecoder) field(name, value string) error {
	field := fieldNames[strings.ToLower(name)]
	var read func(*scanner) error
	switch field {
	case fieldCategory:
		read = t.category
	case fieldLink:
		read = t.link
	case fieldAttribute:
		read = t.attribute
	case fieldLocation:
		return t.locations(value)
	default:
		return syntax(t.line, "", "there is no field %.40q; there are %s, %s, %s and %s", name,
			fieldCategory, fieldLink, fieldAttribute, fieldLocation)
	}
	s := &scanner{s: value}
	for s.more() {
		if err := read(s); err != nil {
			if _, ok := err.(*occi.Error); ok {
				return err
			}
			return syntax(t.line, field, "%s", err)
		}
	}
	return nil
}

// category reads one element of a Category field.
func (t *textDecoder) category(s *scanner) error {
	term := s.word()
	if term == "" {
		return fmt.Errorf("no term where %s is", s.rest())
	}
	c := occi.DraftCategory{Line: t.line}
	scheme := ""
	for {
		p, ok, err := s.next()
		if err != nil {
			return fmt.Errorf("%s: %w", term, err)
		}
		if !ok {
			break
		}
		switch strings.ToLower(p.name) {
		case "scheme":
			scheme = p.value
		case "class":
			c.Class = strings.ToLower(p.value)
		case "title":
			c.Title = p.value
		case "location":
			c.Location = p.value
		case "rel":
			c.Depends = strings.Fields(p.value)
		case "attributes":
			for _, name := range attributeNames(p.value) {
				c.Attributes = append(c.Attributes, occi.DraftAttr{Name: name, Line: t.line})
			}
		case "actions":
			c.Actions = strings.Fields(p.value)
		}
	}
	if scheme == "" {
		return fmt.Errorf("%s has no scheme", term)
	}
	c.ID = scheme + term
	return t.add(c)
}

// attributeNames reads attribute definitions without their properties.
func attributeNames(s string) []string {
	var b strings.Builder
	inside := false
	for _, r := range s {
		switch {
		case r == '{':
			inside = true
		case r == '}':
			inside = false
		case !inside:
			b.WriteRune(r)
		}
	}
	return strings.Fields(b.String())
}

// addCategory adds a category to the draft. Without a class the registry tells what it is; what
// the registry does not know is taken for a mixin.
func (t *textDecoder) addCategory(c occi.DraftCategory) error {
	d := t.d
	if c.Class == "" {
		switch {
		case t.m.Kind(c.ID) != nil:
			c.Class = occi.ClassKind
		case t.m.Action(c.ID) != nil:
			c.Class = occi.ClassAction
		default:
			c.Class = occi.ClassMixin
		}
	}
	switch c.Class {
	case occi.ClassKind:
		if d.Kind != "" && d.Kind != c.ID {
			return fmt.Errorf("%s is a second kind beside %s", c.ID, d.Kind)
		}
		d.Kind = c.ID
	case occi.ClassMixin:
		if err := addMixin(&d.Mixins, c.ID, t.line); err != nil {
			return err
		}
	case occi.ClassAction:
		if d.Action != "" && d.Action != c.ID {
			return fmt.Errorf("%s is a second action beside %s", c.ID, d.Action)
		}
		d.Action = c.ID
	default:
		return fmt.Errorf("%s: class %q is none of kind, mixin and action", c.ID, c.Class)
	}
	known := t.m.Kind(c.ID) != nil || t.m.Mixin(c.ID) != nil || t.m.Action(c.ID) != nil
	if c.Location != "" || len(c.Depends)+len(c.Attributes)+len(c.Actions) > 0 || c.Title != "" && !known {
		if len(d.Categories) == maxMembers {
			return tooMany(t.line, "categories", maxMembers)
		}
		d.Categories = append(d.Categories, c)
	}
	return nil
}

// addMixin adds an identifier unless it is there.
func addMixin(to *[]string, id string, line int) error {
	for _, have := range *to {
		if have == id {
			return nil
		}
	}
	if len(*to) == maxMixins {
		return tooMany(line, "mixins", maxMixins)
	}
	*to = append(*to, id)
	return nil
}

// link reads one element of a Link field. Links to actions are what a client
// sends back of an entity it was shown; they say nothing.
func (t *textDecoder) link(s *scanner) error {
	if !s.at('<') {
		return fmt.Errorf("no <URI> where %s is", s.rest())
	}
	end := strings.IndexByte(s.s[s.i:], '>')
	if end < 0 {
		return fmt.Errorf("the closing > is missing")
	}
	l := occi.DraftLink{Target: strings.TrimSpace(s.s[s.i : s.i+end]), Line: t.line}
	s.i += end + 1
	isAction := strings.Contains(l.Target, "?action=")
	seen := map[string]int{}
	for {
		p, ok, err := s.next()
		if err != nil {
			return fmt.Errorf("<%s>: %w", l.Target, err)
		}
		if !ok {
			break
		}
		switch strings.ToLower(p.name) {
		case "rel":
			if ids := strings.Fields(p.value); len(ids) > 0 {
				l.TargetKind = ids[0]
				isAction = isAction || t.m.Action(ids[0]) != nil
			}
		case "self":
			l.ID = p.value
		case "category":
			err = t.linkCategories(&l, strings.Fields(p.value))
		default:
			err = t.addAttribute(&l.Attributes, seen, p)
		}
		if err != nil {
			return err
		}
	}
	if isAction {
		return nil
	}
	if len(t.d.Links) == maxLinks {
		return tooMany(t.line, "links", maxLinks)
	}
	t.d.Links = append(t.d.Links, l)
	return nil
}

// linkCategories takes in a link's kind, which comes first, and its mixins.
func (t *textDecoder) linkCategories(l *occi.DraftLink, ids []string) error {
	for i, id := range ids {
		if l.Kind == "" && (t.m.Kind(id) != nil || i == 0 && t.m.Mixin(id) == nil) {
			l.Kind = id
			continue
		}
		if err := addMixin(&l.Mixins, id, t.line); err != nil {
			return err
		}
	}
	return nil
}

// attribute reads one element of an X-OCCI-Attribute field.
func (t *textDecoder) attribute(s *scanner) error {
	p, err := s.pair()
	if err != nil {
		return err
	}
	if s.blanks(); s.i < len(s.s) && s.s[s.i] != ',' && s.s[s.i] != ';' {
		return fmt.Errorf("%s: no separator where %s is", p.name, s.rest())
	}
	return t.addAttribute(&t.d.Attributes, t.seen, p)
}

func (t *textDecoder) addAttribute(to *[]occi.DraftAttr, seen map[string]int, p parameter) error {
	if _, ok := seen[p.name]; ok {
		return syntax(t.line, p.name, "is given twice%s", before(seen[p.name]))
	}
	if len(*to) == maxAttributes {
		return tooMany(t.line, "attributes", maxAttributes)
	}
	v, err := p.draft()
	if err != nil {
		return syntax(t.line, p.name, "%s", err)
	}
	seen[p.name] = t.line
	*to = append(*to, occi.DraftAttr{Name: p.name, Value: v, Line: t.line})
	return nil
}

// before says where something was first.
func before(line int) string {
	if line == 0 {
		return ""
	}
	return fmt.Sprintf(", first on line %d", line)
}

// locations reads an X-OCCI-Location field. Commas part URIs; an URI may be in
// quotes or in <>.
func (t *textDecoder) locations(value string) error {
	for uri := range splitOutside(value, ',') {
		uri = strings.Trim(uri, " \t;")
		if n := len(uri); n > 1 && (uri[0] == '<' && uri[n-1] == '>' || uri[0] == '"' && uri[n-1] == '"') {
			uri = uri[1 : n-1]
		}
		if uri == "" {
			continue
		}
		if strings.ContainsAny(uri, " \t\"<>") {
			return syntax(t.line, fieldLocation, "%.80q is not a URI", uri)
		}
		if err := addLocation(t.d, uri, t.line); err != nil {
			return err
		}
	}
	return nil
}

func addLocation(d *occi.Draft, uri string, line int) error {
	if len(d.Locations) == maxLocations {
		return tooMany(line, "locations", maxLocations)
	}
	d.Locations = append(d.Locations, uri)
	return nil
}
