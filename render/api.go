package render

import (
	"github.com/occid/occid/occi"
)

// Formats lists every format; the first is the default.
func Formats() []*Format { return formats }

// Named gives the format with a media type, in any case and without parameters,
// or nil. Other names of a media type are known ("text/occi+plain").
func Named(media string) *Format { return nil }

// Suffixed gives the format that a suffix such as ".json" selects, or nil.
func Suffixed(suffix string) *Format { return nil }

// Entity appends one resource or link.
func (f *Format) Entity(dst []byte, v *View, e *occi.Entity) ([]byte, error) {
	return f.codec.entity(dst, v, e)
}

// Collection appends a page of entities.
func (f *Format) Collection(dst []byte, v *View, c *Collection) ([]byte, error) {
	return f.codec.collection(dst, v, c)
}

// Categories appends kinds, mixins and actions.
func (f *Format) Categories(dst []byte, v *View, c *Categories) ([]byte, error) {
	return f.codec.categories(dst, v, c)
}

// Created appends the answer to a creation: where the entities are, or, in
// formats that show whole entities, the entity.
func (f *Format) Created(dst []byte, v *View, es []*occi.Entity) ([]byte, error) {
	return f.codec.created(dst, v, es)
}

// States appends the registry of states and transitions of v.Model.
func (f *Format) States(dst []byte, v *View) ([]byte, error) { return f.codec.states(dst, v) }

// Fault appends an error. Every format has a rendering of it.
func (f *Format) Fault(dst []byte, v *View, x *Fault) ([]byte, error) { return f.codec.fault(dst, v, x) }

// Decode reads a request body as a draft. The error is an *occi.Error of class
// Invalid that names the line at fault, or Media if the format is not read.
func (f *Format) Decode(m *occi.Model, body []byte) (*occi.Draft, error) {
	return f.codec.decode(m, body)
}

var formats []*Format
