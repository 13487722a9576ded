package render

import (
	"strings"

	"github.com/occid/occid/occi"
)

// formats is every format, the default first. Where a client leaves the choice
// between several open, the earlier one is taken.
var formats = []*Format{
	{Media: "text/plain", Type: "text/plain; charset=utf-8", Standard: true, Reads: true, codec: textCodec{}},
	{Media: "text/occi+plain", Type: "text/occi+plain; charset=utf-8", Standard: true, Reads: true, codec: textCodec{}},
	{Media: "text/occi", Type: "text/occi", Standard: true, InHeaders: true, Reads: true, codec: textCodec{joined: true}},
	{Media: "text/uri-list", Type: "text/uri-list", Suffix: ".uri", Standard: true, Reads: true, codec: uriListCodec{}},
	{Media: "application/occi+json", Type: "application/occi+json", Standard: true, Reads: true, codec: occiJSON{}},
	{Media: "application/occi+text", Type: "application/occi+text; charset=utf-8", Suffix: ".txt", Reads: true, codec: newListed(textSpelling{})},
	{Media: "application/json", Type: "application/json", Suffix: ".json", Reads: true, codec: descriptorJSON{newListed(jsonSpelling{})}},
	{Media: "application/xml", Type: "application/xml; charset=utf-8", Suffix: ".xml", Reads: true, codec: xmlCodec{descriptor{xmlSpelling{}}}},
	{Media: "application/occi+xml", Type: "application/occi+xml; charset=utf-8", Reads: true, codec: xmlCodec{descriptor{xmlSpelling{}}}},
	{Media: "application/yaml", Type: "application/yaml", Suffix: ".yaml", Reads: true, codec: newListed(yamlSpelling{})},
	{Media: "application/atom+xml", Type: "application/atom+xml; charset=utf-8", Suffix: ".atom", Reads: true, codec: atomCodec{}},
	{Media: "application/ovf", Type: "application/ovf", Suffix: ".ovf", Reads: true, Targets: true, codec: ovfCodec{}},
	{Media: "application/ovf+xml", Type: "application/ovf+xml", Reads: true, Targets: true, codec: ovfCodec{}},
}

// Formats lists every format; the first is the default. A media type's other
// names ("text/occi+plain") are formats of their own, so that an answer bears
// the name it was asked for. The list is shared and must not be changed.
func Formats() []*Format { return formats }

// Named gives the format with a media type, in any case and without parameters,
// or nil.
func Named(media string) *Format {
	for _, f := range formats {
		if strings.EqualFold(f.Media, media) {
			return f
		}
	}
	return nil
}

// Suffixed gives the format that a suffix such as ".json" selects, or nil.
func Suffixed(suffix string) *Format {
	for _, f := range formats {
		if suffix != "" && f.Suffix == suffix {
			return f
		}
	}
	return nil
}

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

// Fault appends an error. Every format has a rendering of it; that of a format
// InHeaders is a body, not header fields.
func (f *Format) Fault(dst []byte, v *View, x *Fault) ([]byte, error) {
	return f.codec.fault(dst, v, x)
}

// Decode reads a request body as a draft; of a format InHeaders it reads what
// Header gathered. The error is an *occi.Error: Invalid with the line or header
// field at fault, TooLarge for a body over a limit, or Media if the format is
// not read.
func (f *Format) Decode(m *occi.Model, body []byte) (*occi.Draft, error) {
	if !f.Reads {
		return nil, occi.E(occi.Media, "%s is not read, only written", f.Media)
	}
	if len(body) > maxBody {
		return nil, occi.E(occi.TooLarge, "a body of %d bytes is larger than %d", len(body), maxBody)
	}
	d, err := f.codec.decode(m, body)
	if err != nil {
		return nil, err
	}
	return d, nil
}
