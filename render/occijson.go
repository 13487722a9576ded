package render

import (
	"cmp"
	"maps"
	"slices"
	"strconv"

	"github.com/occid/occid/occi"
)

// occiJSON writes and reads application/occi+json (GFD.226). Entities are
// written without line breaks, the entities of a collection a line each.
type occiJSON struct{}

func (occiJSON) entity(dst []byte, v *View, e *occi.Entity) ([]byte, error) {
	return append(appendViewJSON(dst, v, indexOf(v.Model), e), '\n'), nil
}

// appendViewJSON adds what a view shows of an entity.
func appendViewJSON(dst []byte, v *View, x *index, e *occi.Entity) []byte {
	return appendPartsJSON(dst, x, v.project(e), v.actions(x, e))
}

// appendEntityJSON adds a whole entity.
func appendEntityJSON(dst []byte, x *index, e *occi.Entity) []byte {
	return appendPartsJSON(dst, x, e, x.actions(x.kind(e.Kind), e))
}

// appendPartsJSON adds a Resource or Link object (GFD.226 sections 5.1, 5.2).
func appendPartsJSON(dst []byte, x *index, e *occi.Entity, actions []actionIndex) []byte {
	k := x.kind(e.Kind)
	dst = append(append(dst, `{"kind":`...), k.json...)
	dst = append(appendURN(append(dst, `,"id":"`...), e.ID), '"')
	if e.Title != "" {
		dst = appendJSONString(append(dst, `,"title":`...), e.Title)
	}
	if e.Summary != "" {
		dst = appendJSONString(append(dst, `,"summary":`...), e.Summary)
	}
	for i, id := range e.Mixins {
		dst = append(openArray(dst, i, `,"mixins":[`), x.mixin(id).json...)
	}
	dst = closeArray(dst, len(e.Mixins))
	dst = append(dst, `,"attributes":{`...)
	for i := range e.Attributes {
		if i > 0 {
			dst = append(dst, ',')
		}
		a := &e.Attributes[i]
		dst = append(appendJSONString(dst, a.Name), ':')
		dst = appendJSONValue(dst, a.Value)
	}
	dst = append(dst, '}')
	for i := range actions {
		dst = append(openArray(dst, i, `,"actions":[`), actions[i].json...)
	}
	dst = closeArray(dst, len(actions))
	if k.kind != nil && k.kind.Link {
		dst = appendEndJSON(append(dst, `,"source":`...), x, e.Source)
		dst = appendEndJSON(append(dst, `,"target":`...), x, e.Target)
	}
	tasks := k.tasks(e)
	for i, l := range e.Links {
		dst = appendEntityJSON(openArray(dst, i, `,"links":[`), x, l)
	}
	for i, l := range tasks {
		dst = appendEntityJSON(openArray(dst, len(e.Links)+i, `,"links":[`), x, l)
	}
	return append(closeArray(dst, len(e.Links)+len(tasks)), '}')
}

// openArray goes before element i of an array that is left out when empty.
func openArray(dst []byte, i int, open string) []byte {
	if i > 0 {
		return append(dst, ',')
	}
	return append(dst, open...)
}

func closeArray(dst []byte, n int) []byte {
	if n > 0 {
		return append(dst, ']')
	}
	return dst
}

// appendEndJSON adds the source or target of a link.
func appendEndJSON(dst []byte, x *index, r occi.Ref) []byte {
	dst = append(dst, `{"location":`...)
	if r.URI != "" {
		dst = appendJSONString(dst, r.URI)
	} else {
		dst = append(x.appendRef(append(dst, '"'), r), '"')
	}
	if r.Kind != "" {
		dst = append(append(dst, `,"kind":`...), x.kind(r.Kind).json...)
	}
	return append(dst, '}')
}

// collection writes "resources", "links" or both, as the collection holds.
func (occiJSON) collection(dst []byte, v *View, c *Collection) ([]byte, error) {
	x := indexOf(v.Model)
	dst = append(dst, '{')
	before := len(dst)
	if c.Kind == nil || !c.Kind.Link {
		dst = appendMembersJSON(dst, v, x, `"resources":[`, c.Entities, func(k *kindIndex) bool { return k.kind == nil || !k.kind.Link })
	}
	if c.Kind == nil || c.Kind.Link {
		separate := `"links":[`
		if len(dst) > before {
			separate = `,"links":[`
		}
		dst = appendMembersJSON(dst, v, x, separate, c.Entities, func(k *kindIndex) bool { return k.kind != nil && k.kind.Link })
	}
	if len(dst) == before {
		empty := `"resources":[]`
		if c.Kind != nil && c.Kind.Link {
			empty = `"links":[]`
		}
		dst = append(dst, empty...)
	}
	return append(dst, "}\n"...), nil
}

// appendMembersJSON adds the entities whose kind is wanted, nothing if there are
// none.
func appendMembersJSON(dst []byte, v *View, x *index, open string, es []*occi.Entity, want func(*kindIndex) bool) []byte {
	n := 0
	for _, e := range es {
		if want(x.kind(e.Kind)) {
			dst = appendViewJSON(append(openArray(dst, n, open), '\n'), v, x, e)
			n++
		}
	}
	return closeArray(dst, n)
}

// created shows the entity, or the entities as a collection.
func (c occiJSON) created(dst []byte, v *View, es []*occi.Entity) ([]byte, error) {
	if len(es) == 1 {
		return c.entity(dst, v, es[0])
	}
	return c.collection(dst, v, &Collection{Entities: es})
}

// categories writes kinds, mixins and actions (GFD.226 section 5.4).
func (occiJSON) categories(dst []byte, _ *View, c *Categories) ([]byte, error) {
	before := len(dst)
	for i, k := range c.Kinds {
		dst = append(openArray(dst, i, `,"kinds":[`), '\n')
		dst = appendCategoryJSON(dst, &k.Category)
		dst = appendActionsJSON(dst, k.Actions)
		dst = appendMember(dst, "parent", k.Parent)
		dst = append(appendMember(dst, "location", k.Location), '}')
	}
	dst = closeArray(dst, len(c.Kinds))
	for i, m := range c.Mixins {
		dst = append(openArray(dst, i, `,"mixins":[`), '\n')
		dst = appendCategoryJSON(dst, &m.Category)
		dst = appendActionsJSON(dst, m.Actions)
		dst = appendMember(dst, "location", m.Location)
		dst = appendStringsJSON(dst, "depends", m.Depends)
		dst = append(appendStringsJSON(dst, "applies", m.Applies), '}')
	}
	dst = closeArray(dst, len(c.Mixins))
	for i, a := range c.Actions {
		dst = append(openArray(dst, i, `,"actions":[`), '\n')
		dst = append(appendCategoryJSON(dst, &a.Category), '}')
	}
	dst = closeArray(dst, len(c.Actions))
	if len(dst) == before {
		return append(dst, `{"kinds":[]}`+"\n"...), nil
	}
	dst[before] = '{'
	return append(dst, "}\n"...), nil
}

// appendCategoryJSON adds the members that all categories have; the object is
// left open.
func appendCategoryJSON(dst []byte, c *occi.Category) []byte {
	dst = appendJSONString(append(dst, `{"term":`...), c.Term)
	dst = appendMember(dst, "scheme", c.Scheme)
	dst = appendMember(dst, "title", c.Title)
	return appendDefinitionsJSON(dst, c.Attributes)
}

func appendDefinitionsJSON(dst []byte, as []*occi.Attribute) []byte {
	dst = append(dst, `,"attributes":{`...)
	for i, a := range as {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(appendJSONString(dst, a.Name), ':')
		dst = appendDefinitionJSON(dst, a)
	}
	return append(dst, '}')
}

// appendDefinitionJSON adds an attribute description. The members whose defaults
// surprise are always there.
func appendDefinitionJSON(dst []byte, a *occi.Attribute) []byte {
	dst = strconv.AppendBool(append(dst, `{"mutable":`...), !fixed(a))
	dst = strconv.AppendBool(append(dst, `,"required":`...), a.Required)
	kind := a.Type
	if kind == occi.Integer {
		kind = occi.Number
	}
	dst = appendMember(dst, "type", string(kind))
	dst = appendPatternJSON(dst, a)
	if !a.Default.IsZero() {
		dst = appendJSONValue(append(dst, `,"default":`...), a.Default)
	}
	return append(appendMember(dst, "description", a.Description), '}')
}

// appendPatternJSON adds what restricts a value as a JSON Schema, nothing if it
// is free.
func appendPatternJSON(dst []byte, a *occi.Attribute) []byte {
	if a.Type != occi.Integer && len(a.Enum) == 0 && a.Min == nil && a.Max == nil && a.Pattern == "" {
		return dst
	}
	dst = append(dst, `,"pattern":{"$schema":"http://json-schema.org/draft-04/schema#"`...)
	dst = appendMember(dst, "type", string(a.Type))
	dst = appendStringsJSON(dst, "enum", a.Enum)
	if a.Min != nil {
		dst = strconv.AppendFloat(append(dst, `,"minimum":`...), *a.Min, 'f', -1, 64)
	}
	if a.Max != nil {
		dst = strconv.AppendFloat(append(dst, `,"maximum":`...), *a.Max, 'f', -1, 64)
	}
	if a.Pattern != "" {
		dst = appendMember(dst, "pattern", "^(?:"+a.Pattern+")$")
	}
	return append(dst, '}')
}

// appendMember adds a member that is left out when empty.
func appendMember(dst []byte, name, value string) []byte {
	if value == "" {
		return dst
	}
	dst = append(append(append(dst, `,"`...), name...), `":`...)
	return appendJSONString(dst, value)
}

func appendStringsJSON(dst []byte, name string, values []string) []byte {
	for i, s := range values {
		dst = appendJSONString(openArray(dst, i, `,"`+name+`":[`), s)
	}
	return closeArray(dst, len(values))
}

func appendActionsJSON(dst []byte, as []*occi.Action) []byte {
	for i, a := range as {
		dst = appendJSONString(openArray(dst, i, `,"actions":[`), a.ID())
	}
	return closeArray(dst, len(as))
}

func (occiJSON) states(dst []byte, v *View) ([]byte, error) {
	dst = append(dst, `{"states":[`...)
	n := 0
	for _, k := range v.Model.Kinds {
		if k.States != nil {
			dst = appendStatesJSON(openArray(dst, n, ""), v.Model, k)
			n++
		}
	}
	return append(dst, "]}\n"...), nil
}

func appendStatesJSON(dst []byte, m *occi.Model, k *occi.Kind) []byte {
	s := k.States
	dst = appendJSONString(append(dst, "\n"+`{"kind":`...), k.ID())
	dst = appendMember(dst, "attribute", s.Attribute)
	dst = appendMember(dst, "message", s.Message)
	dst = appendMember(dst, "initial", s.Initial)
	dst = appendMember(dst, "failed", s.Failed)
	dst = appendStringsJSON(dst, "states", s.Values)
	for i, alias := range slices.Sorted(maps.Keys(s.Aliases)) {
		dst = append(appendJSONString(openArray(dst, i, `,"aliases":{`), alias), ':')
		dst = appendJSONString(dst, s.Aliases[alias])
	}
	if len(s.Aliases) > 0 {
		dst = append(dst, '}')
	}
	for i, t := range s.Transitions {
		dst = appendJSONString(append(openArray(dst, i, `,"transitions":[`), `{"from":`...), t.From)
		if a := m.ActionOf(k, nil, t.Action); a != nil {
			dst = appendMember(dst, "action", a.ID())
			if len(a.Attributes) > 0 {
				dst = appendDefinitionsJSON(dst, a.Attributes)
			}
		}
		dst = appendMember(dst, "through", t.Through)
		dst = append(appendMember(dst, "to", t.To), '}')
	}
	return append(closeArray(dst, len(s.Transitions)), '}')
}

// fault writes an object with the status as "code", the whole text as "message"
// and each problem as an object.
func (occiJSON) fault(dst []byte, _ *View, f *Fault) ([]byte, error) {
	dst = strconv.AppendInt(append(dst, `{"code":`...), int64(f.Status), 10)
	dst = appendMember(dst, "reason", f.Reason)
	text := occi.Error{Message: cmp.Or(f.Message, f.Reason), Problems: f.Problems}
	dst = appendMember(dst, "message", text.Public())
	for i, p := range f.Problems {
		dst = append(openArray(dst, i, `,"problems":[`), '{')
		before := len(dst)
		if p.Line > 0 {
			dst = strconv.AppendInt(append(dst, `,"line":`...), int64(p.Line), 10)
		}
		dst = appendMember(dst, "what", p.What)
		dst = appendMember(dst, "text", p.Text)
		if b := p.Bound; b != nil {
			dst = appendMember(dst, "of", b.Of)
			dst = b.Limit.Append(append(dst, `,"limit":`...))
			dst = b.Used.Append(append(dst, `,"used":`...))
			dst = b.Requested.Append(append(dst, `,"requested":`...))
		}
		if len(dst) > before {
			dst = append(dst[:before], dst[before+1:]...)
		}
		dst = append(dst, '}')
	}
	return append(closeArray(dst, len(f.Problems)), "}\n"...), nil
}
