package server

import (
	"io/fs"
	"net/http"
	"path"
	"strconv"
	"strings"
	"time"

	"github.com/occid/occid/internal/web"
)

// schemaPath is where the schemas of renderings are.
const schemaPath = "/schema/"

// fileTypes are the media types of files by their extension.
var fileTypes = map[string]string{".json": "application/schema+json", ".xsd": "application/xml; charset=utf-8"}

// schemaOf names the schema of a media type's renderings.
var schemaOf = map[string]string{
	"application/json":     "descriptor.json",
	"application/xml":      "occi.xsd",
	"application/occi+xml": "occi.xsd",
	"application/atom+xml": "occi.xsd",
}

// files reads the files at the top of a file system. One that cannot be read is a
// programmer's mistake: they are part of the program.
func files(from fs.FS) map[string][]byte {
	out := map[string][]byte{}
	if from == nil {
		return out
	}
	entries, err := fs.ReadDir(from, ".")
	if err != nil {
		panic(err)
	}
	for _, e := range entries {
		if out[e.Name()], err = fs.ReadFile(from, e.Name()); err != nil {
			panic(err)
		}
	}
	return out
}

// fileVerbs answer with a file.
func fileVerbs(name string, text []byte) *verbs {
	return &verbs{name: "schema", plain: true, get: func(c *call) error {
		if err := c.params.only(); err != nil {
			return err
		}
		return c.document(fileTypes[path.Ext(name)], text)
	}}
}

// document answers a GET with what has one rendering.
func (c *call) document(media string, text []byte) error {
	tag := `"` + tagOf(string(text)) + `"`
	unchanged, err := web.NotModified(c.r, tag, time.Time{})
	if err != nil {
		return err
	}
	h := c.rec.Header()
	h["Etag"] = []string{tag}
	if unchanged {
		c.rec.WriteHeader(http.StatusNotModified)
		return nil
	}
	h["Content-Type"], h["Content-Length"] = []string{media}, []string{strconv.Itoa(len(text))}
	c.rec.WriteHeader(http.StatusOK)
	_, _ = c.rec.Write(text)
	return nil
}

// schemaLinks lead from what tells of the registry to the schema of its rendering,
// which OCCI's own renderings have no way to name.
func (c *call) schemaLinks() []string {
	name := schemaOf[c.format.Media]
	if name == "" {
		return nil
	}
	media, _, _ := strings.Cut(fileTypes[path.Ext(name)], ";")
	return []string{"<" + c.base() + schemaPath + name + `>; rel="describedby"; type="` + media + `"`}
}
