package render

import (
	"strings"

	"github.com/occid/occid/occi"
)

// uriListCodec writes and reads text/uri-list (GFD.229 section 8): one absolute
// URI a line. Lines end with LF, as widely used clients keep a CR.
type uriListCodec struct{}

func (uriListCodec) entity([]byte, *View, *occi.Entity) ([]byte, error) {
	return nil, occi.E(occi.Invalid, "text/uri-list lists collections; a single entity has no rendering in it")
}

func (c uriListCodec) collection(dst []byte, v *View, col *Collection) ([]byte, error) {
	return c.created(dst, v, col.Entities)
}

func (uriListCodec) created(dst []byte, v *View, es []*occi.Entity) ([]byte, error) {
	x := indexOf(v.Model)
	for _, e := range es {
		dst = append(x.appendPath(append(dst, v.Base...), e), '\n')
	}
	return dst, nil
}

// categories lists the collections of kinds and mixins; actions have none.
func (uriListCodec) categories(dst []byte, v *View, c *Categories) ([]byte, error) {
	for _, k := range c.Kinds {
		dst = appendLocation(dst, v, k.Location)
	}
	for _, mx := range c.Mixins {
		dst = appendLocation(dst, v, mx.Location)
	}
	return dst, nil
}

// states lists the collections of the kinds that have states.
func (uriListCodec) states(dst []byte, v *View) ([]byte, error) {
	for _, k := range v.Model.Kinds {
		if k.States != nil {
			dst = appendLocation(dst, v, k.Location)
		}
	}
	return dst, nil
}

func appendLocation(dst []byte, v *View, path string) []byte {
	if path == "" {
		return dst
	}
	return append(append(append(dst, v.Base...), path...), '\n')
}

// fault is written as comments, so that no reader takes it for URIs.
func (uriListCodec) fault(dst []byte, _ *View, f *Fault) ([]byte, error) {
	return appendFault(dst, "# ", f), nil
}

func (uriListCodec) decode(_ *occi.Model, body []byte) (*occi.Draft, error) {
	if line, text := textFault(body); text != "" {
		return nil, syntax(line, "", "%s", text)
	}
	d := &occi.Draft{}
	number := 0
	for line := range strings.Lines(string(body)) {
		number++
		line = strings.Trim(line, " \t\r\n")
		if line == "" || line[0] == '#' {
			continue
		}
		if strings.ContainsAny(line, " \t\"<>") {
			return nil, syntax(number, "", "%.80q is not a URI", line)
		}
		if err := addLocation(d, line, number); err != nil {
			return nil, err
		}
	}
	return d, nil
}
