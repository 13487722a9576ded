package render

import (
	"strings"

	"github.com/occid/occid/occi"
)

// headerNames are the header fields of text/occi, under the names by which
// net/http knows them. Those with X-OCCI before them are an older spelling.
var headerNames = []string{"Category", "X-Occi-Category", "Link", "X-Occi-Link", "X-Occi-Attribute", "X-Occi-Location"}

// Header gathers OCCI's fields of a header as text that text/occi decodes; nil
// if there are none. The keys of h are in the canonical form of HTTP libraries.
func Header(h map[string][]string) []byte {
	var out []byte
	for _, name := range headerNames {
		for _, value := range h[name] {
			out = append(append(out, name...), ": "...)
			out = appendLine(out, value)
		}
	}
	return out
}

// Fields parts what a format InHeaders has written into header fields.
func Fields(block []byte) []Field {
	var out []Field
	for line := range strings.Lines(string(block)) {
		name, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ": ")
		out = append(out, Field{Name: name, Value: value})
	}
	return out
}

// Filter is what a GET selects in header fields or in text (GFD.223 section 8).
type Filter struct {
	Categories []string // identifiers of kinds, mixins and actions
	Attributes []occi.DraftAttr
}

// ParseFilter reads what a GET selects: any number of categories, and attributes
// that must be equal. Links and locations select nothing. The text is what
// Header gathers, or a body of text/plain. The error is of class Invalid and
// names the field at fault.
func ParseFilter(text []byte, inHeaders bool) (*Filter, error) {
	f := &Filter{}
	t := newTextDecoder(&occi.Model{})
	t.add = func(c occi.DraftCategory) error { return addMixin(&f.Categories, c.ID, 0) }
	if err := t.read(text, inHeaders); err != nil {
		return nil, err
	}
	f.Attributes = t.d.Attributes
	return f, nil
}
