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
	if !v.shows(FieldActions) {
		return nil
	}
	return v.offered(x, x.kind(e.Kind), e)
}

// offered lists what whoever is shown an entity can invoke on it now.
func (v *View) offered(x *index, k *kindIndex, e *occi.Entity) []actionIndex {
	if v.Passive {
		return nil
	}
	all := x.actions(k, e)
	if v.Offers == nil {
		return all
	}
	var some []actionIndex
	for _, a := range all {
		if v.Offers(e, a.action.Term) {
			some = append(some, a)
		}
	}
	return some
}
