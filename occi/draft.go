package occi

// Draft is what a request body says, before anybody has judged it. Decoders
// fill it; Model alone makes entities of it. Names are as the model spells them
// where the decoder can know (descriptor keys become attribute names, terms
// become identifiers), otherwise as they came.
type Draft struct {
	Kind       string          // identifier of the kind; empty if none was named
	Mixins     []string        // identifiers
	Action     string          // identifier of the action invoked; empty if none
	Categories []DraftCategory // those described beyond their identifiers
	Attributes []DraftAttr
	Links      []DraftLink
	Locations  []string // URIs: members of a collection
	Members    []Draft  // a body that holds several entities
}

// DraftAttr is an attribute as it came. Core attributes (id, title, summary,
// source, target and their kinds) are among them under their own names.
type DraftAttr struct {
	Name string
	// Value is as typed as the format: text formats make String values of
	// quoted and Number values of bare numbers.
	Value Value
	// Null asks for the attribute to be removed (JSON null).
	Null bool
	Line int // in the body, from 1; 0 if unknown
}

// DraftLink is an inline link.
type DraftLink struct {
	Kind       string // identifier of the link's kind; empty if not given
	Mixins     []string
	ID         string // UUID, urn or path of an existing link
	Target     string // URI
	TargetKind string // identifier; the text form's rel
	Attributes []DraftAttr
	Line       int
}

// DraftCategory describes a category in a request, as to define a user's mixin
// (GFD.223 section 9). It is beside the draft's Kind, Mixins and Action: a
// described mixin is named there too.
type DraftCategory struct {
	ID       string // identifier
	Class    string // ClassKind, ClassMixin or ClassAction
	Title    string
	Location string   // path or URI of its collection
	Depends  []string // identifiers; of a kind its parent
	Applies  []string // identifiers of kinds
	// Attributes are those it lists; their values are the defaults it gives, zero for
	// none.
	Attributes []DraftAttr
	Actions    []string // identifiers
	Line       int
}

// Attr gives the last value under a name, or nil.
func (d *Draft) Attr(name string) *DraftAttr {
	for i := len(d.Attributes) - 1; i >= 0; i-- {
		if d.Attributes[i].Name == name {
			return &d.Attributes[i]
		}
	}
	return nil
}

// Text gives the named attribute's text, or "".
func (d *Draft) Text(name string) string {
	if a := d.Attr(name); a != nil {
		return a.Value.String()
	}
	return ""
}
