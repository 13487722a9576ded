package spec

import (
	"embed"
	"io/fs"
)

//go:embed schema
var published embed.FS

// Schemas holds the schemas of what is sent over the network, for clients:
// occi.json is a JSON Schema (draft 7) of application/occi+json (GFD.226),
// descriptor.json one of application/json, and occi.xsd an XML Schema of the name
// space http://purl.org/occi.
func Schemas() fs.FS {
	sub, err := fs.Sub(published, "schema")
	if err != nil {
		panic(err) // the name is no path
	}
	return sub
}
