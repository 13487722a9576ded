// Package render turns entities, collections, the registry and errors into
// OCCI's renderings and this project's descriptors, and request bodies into
// drafts.
//
// Codecs are pure: they know occi and nothing of HTTP, stores or hosts. They do
// not validate; a decoder makes an occi.Draft of whatever is well-formed, and
// occi.Model judges it. Decoders bound what hostile input costs.
package render
