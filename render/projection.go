package render

import (
	"slices"

	"github.com/occid/occid/occi"
)

// What a View's Fields may name beside attributes.
const (
	FieldLinks   = "links"
	FieldMixins  = "mixins"
	FieldActions = "actions"
)

// shows reports whether a part of entities is shown.
func (v *View) shows(field string) bool { return v.Fields == nil || slices.Contains(v.Fields, field) }

// project gives what is shown of an entity.
func (v *View) project(e *occi.Entity) *occi.Entity {
	if v.Fields == nil {
		return e
	}
	p := *e
	p.Attributes = nil
	for _, a := range e.Attributes {
		if v.shows(a.Name) {
			p.Attributes = append(p.Attributes, a)
		}
	}
	for field, drop := range map[string]func(){
		occi.AttrTitle:   func() { p.Title = "" },
		occi.AttrSummary: func() { p.Summary = "" },
		FieldMixins:      func() { p.Mixins = nil },
		FieldLinks:       func() { p.Links, p.Tasks = nil, nil },
	} {
		if !v.shows(field) {
			drop()
		}
	}
	return &p
}

// actions lists what is shown of what can be invoked on an entity, which is whole.
func (v *View) actions(x *index, e *occi.Entity) []actionIndex {
	if v.Passive || !v.shows(FieldActions) {
		return nil
	}
	return x.actions(x.kind(e.Kind), e)
}
