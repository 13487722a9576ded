package main

import (
	"fmt"
	"net/url"
	"strings"

	"github.com/occid/occid/occi"
	"github.com/occid/occid/render"
)

// formatNames are the formats that the command line names.
const formatNames = "text,json,xml,yaml,atom,uri,occi"

// formatNamed gives a format by its name on the command line or by the suffix
// of a file, or nil.
func formatNamed(name string) *render.Format {
	switch name {
	case "text":
		name = "txt"
	case "yml":
		name = "yaml"
	case "occi":
		return render.Named("text/plain")
	}
	return render.Suffixed("." + name)
}

var (
	textFormat = formatNamed("text")
	jsonFormat = formatNamed("json")
	yamlFormat = formatNamed("yaml")
	uriFormat  = formatNamed("uri")
	occiFormat = formatNamed("occi")
)

// collection is the place of entities on a server.
type collection struct{ path string } // "/compute/"

// UnmarshalText reads a kind's term or a path, with or without its slashes.
func (c *collection) UnmarshalText(text []byte) error {
	name := strings.Trim(string(text), "/")
	if strings.ContainsAny(name, "=?#:") {
		return fmt.Errorf("%q is not a kind", text)
	}
	if c.path = "/"; name != "" {
		c.path = "/" + name + "/"
	}
	return nil
}

// entity names one entity.
type entity struct{ name string }

// UnmarshalText reads KIND/UUID, a UUID or a URL. What names no entity is
// refused, for the path of a collection would mean all that is in it.
func (e *entity) UnmarshalText(text []byte) error {
	e.name = string(text)
	path := e.name
	if e.isURL() {
		u, err := url.Parse(e.name)
		if err != nil || u.Host == "" || u.RawQuery != "" {
			return fmt.Errorf("%q is not the URL of an entity", text)
		}
		path = u.Path
	}
	if _, ok := occi.ParseID(path[strings.LastIndexByte(path, '/')+1:]); !ok {
		return fmt.Errorf("%q does not name an entity by KIND/UUID, a UUID or a URL", text)
	}
	return nil
}

func (e entity) isURL() bool {
	return strings.HasPrefix(e.name, "http://") || strings.HasPrefix(e.name, "https://")
}

// filter is a condition as part of a query.
type filter struct{ query string }

// UnmarshalText reads a key, a comparison and a value: "cores=2", "memory>=4".
func (f *filter) UnmarshalText(text []byte) error {
	if strings.IndexAny(string(text), "=<>!") < 1 {
		return fmt.Errorf("%q is not a condition KEY=VALUE", text)
	}
	key, value, equal := strings.Cut(string(text), "=")
	if f.query = url.QueryEscape(key); equal {
		f.query += "=" + url.QueryEscape(value)
	}
	return nil
}

// setting is an attribute and its value; an empty value removes it.
type setting struct{ key, value string }

// UnmarshalText reads KEY=VALUE.
func (s *setting) UnmarshalText(text []byte) error {
	var ok bool
	if s.key, s.value, ok = strings.Cut(string(text), "="); !ok || s.key == "" {
		return fmt.Errorf("%q is not KEY=VALUE", text)
	}
	return nil
}

// link is a link to be made.
type link struct {
	kind   string
	target entity
}

// UnmarshalText reads KIND:ENTITY.
func (l *link) UnmarshalText(text []byte) error {
	kind, target, ok := strings.Cut(string(text), ":")
	if !ok || kind == "" {
		return fmt.Errorf("%q is not KIND:ENTITY", text)
	}
	l.kind = kind
	return l.target.UnmarshalText([]byte(target))
}

// member is the value in a descriptor as JSON.
func (s setting) member() any {
	if s.value == "" {
		return nil
	}
	return s.value
}
