// Package render turns entities, collections, the registry and errors into
// OCCI's renderings and this project's descriptors, and request bodies into
// drafts.
//
// A Format is found by media type (Named), URL suffix (Suffixed), a request's
// Accept fields (Accept) or its Content-Type (Request), and then encodes with
// Entity, Collection, Categories, Created, States and Fault, and decodes with
// Decode. The content of text/occi is in header fields: what it encodes is parted
// by Fields, what it decodes is gathered by Header. ParseFilter reads
// what a GET selects by.
//
// Codecs are pure: they know occi and nothing of HTTP, stores or hosts. They do
// not validate; a decoder makes an occi.Draft of whatever is well-formed, and
// occi.Model judges it. Decoders bound what hostile input costs (see limits.go).
//
// A new format is a codec and an entry in the list of api.go.
package render
