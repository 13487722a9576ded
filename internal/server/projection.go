package server

import (
	"net/http"
	"slices"
	"strings"

	"github.com/occid/occid/occi"
	"github.com/occid/occid/render"
)

// maxFields bounds what one projection names.
const maxFields = 128

// always are shown whatever is asked for.
var always = []string{"type", "id", occi.AttrID}

// shownOnly reads which parts of entities are asked for: attributes by their short
// or full names, and links, mixins and actions.
func (f *filters) shownOnly(c *call) error {
	text, given, err := c.params.single("attributes")
	if err != nil || !given {
		return err
	}
	if c.r.Method != http.MethodGet && c.r.Method != http.MethodHead {
		return badParam("attributes", "chooses what a GET shows")
	}
	names := strings.Split(text, ",")
	if len(names) > maxFields {
		return badParam("attributes", "names more than %d", maxFields)
	}
	c.fields = []string{}
	for _, name := range names {
		name = strings.TrimSpace(name)
		switch as := f.meant(name); {
		case slices.Contains(always, name):
		case slices.Contains([]string{render.FieldLinks, render.FieldMixins, render.FieldActions}, name):
			c.fields = append(c.fields, name)
		case len(as) == 0:
			return badParam("attributes", "%.200q is neither an attribute nor links, mixins or actions", name)
		default:
			for _, a := range as {
				c.fields = append(c.fields, a.Name)
			}
		}
	}
	slices.Sort(c.fields)
	c.fields = slices.Compact(c.fields)
	return nil
}

// oneShown reads how a single entity of the target's kind is asked for.
func (c *call) oneShown() error {
	if c.params == nil {
		return nil
	}
	if err := c.params.only("content", "attributes"); err != nil {
		return err
	}
	if err := c.embedded(); err != nil {
		return err
	}
	f := filters{m: c.reg.model, s: &selection{query: occi.Query{Kinds: []string{c.to.kind.ID()}}}}
	return f.shownOnly(c)
}
