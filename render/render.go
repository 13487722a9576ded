package render

import (
	"time"

	"github.com/google/uuid"

	"github.com/occid/occid/occi"
)

// A Format is one rendering: a media type and what can be written and read in
// it. Formats are values of the package (see Formats) and hold no state.
//
// The functions that encode append to dst and return it; they fail with an
// *occi.Error of class Unacceptable when the format has no such rendering or
// cannot carry it whole, and of class Invalid for a single entity as
// text/uri-list (GFD.229 section 8).
type Format struct {
	// Media is the media type, without parameters: "application/occi+json".
	Media string
	// Type is the value of Content-Type: the media type with its parameters.
	Type string
	// Suffix selects the format in a URL: ".json"; empty if none does.
	Suffix string
	// Standard marks OCCI's own renderings, beside which no response header may
	// look like OCCI (no Link header of another meaning).
	Standard bool
	// InHeaders marks text/occi, whose content goes into header fields (see
	// Fields) with the body "OK".
	InHeaders bool
	// Reads tells that Decode works.
	Reads bool
	// Targets tells that the format shows nothing but single machines, for which
	// Entity needs View.Targets.
	Targets bool

	codec codec
}

// codec is what a format implements.
type codec interface {
	entity(dst []byte, v *View, e *occi.Entity) ([]byte, error)
	collection(dst []byte, v *View, c *Collection) ([]byte, error)
	categories(dst []byte, v *View, c *Categories) ([]byte, error)
	created(dst []byte, v *View, es []*occi.Entity) ([]byte, error)
	states(dst []byte, v *View) ([]byte, error)
	fault(dst []byte, v *View, f *Fault) ([]byte, error)
	decode(m *occi.Model, body []byte) (*occi.Draft, error)
}

// View is what a rendering depends on beside the things it shows.
type View struct {
	Model *occi.Model
	// Base is the scheme and authority that absolute URIs begin with, without a
	// slash at the end: "http://127.0.0.1:8787".
	Base string
	// Content is the rendering embedded in Atom entries: "xml" (also when empty),
	// "json" or "text".
	Content string
	// Targets are the resources of this server that the entity shown is linked to,
	// for formats that say more of them than where they are.
	Targets map[uuid.UUID]*occi.Entity
	// Passive leaves out the actions: whoever is shown an entity may not invoke any.
	Passive bool
	// Offers, if set, tells which actions are shown of an entity, by their terms.
	Offers func(e *occi.Entity, term string) bool
	// Fields names the attributes that are shown of entities, by their full names,
	// and of FieldLinks, FieldMixins and FieldActions those that are; nil shows all.
	// Kind, identifier and a link's ends are always shown. What an Atom entry has
	// beside its content stays as it is, and an OVF envelope is always whole.
	Fields []string
}

// Collection is a page of entities.
type Collection struct {
	// Path is the collection's own path, "/compute/"; Query the query it was
	// asked with, without "page" and "number", raw and without the "?".
	Path, Query string
	Title       string
	// Kind is set on the collection of one kind; Mixed collections may hold
	// resources and links.
	Kind     *occi.Kind
	Entities []*occi.Entity
	Total    int
	Page     int // from 1; 0 if not paged
	Number   int // entities on a page
	Updated  time.Time
	// Complete tells that these are all there are (RFC 5005 section 2).
	Complete bool
	Archive  *Archive // nil for what is no part of an archive
}

// Archive is a part of a collection that is told apart by when its members changed
// last (RFC 5005 section 4). Parts are named by the value of a URL's parameter
// "archive".
type Archive struct {
	Name string
	// Closed parts get no new members.
	Closed         bool
	Previous, Next string // names of the parts around it, empty for none
}

// CurrentArchive names the part that is not yet closed.
const CurrentArchive = "current"

// Categories is a selection of the registry: the query interface.
type Categories struct {
	Kinds   []*occi.Kind
	Mixins  []*occi.Mixin
	Actions []*occi.Action
}

// Fault is an error as a client sees it.
type Fault struct {
	Status   int
	Reason   string // of the status: "Not Found"
	Message  string
	Problems []occi.Problem
}

// A Field is a header field.
type Field struct{ Name, Value string }

// ID is how OCCI's JSON and Atom name an entity. Descriptors show the UUID alone,
// as URLs do.
func ID(id uuid.UUID) string { return occi.URN(id) }
