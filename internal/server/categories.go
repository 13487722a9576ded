package server

import (
	"net/http"
	"time"

	"github.com/occid/occid/occi"
	"github.com/occid/occid/render"
)

// getCategories is the query interface (GFD.223 section 9): all kinds, mixins
// and actions, or exactly those that the request names.
func (c *call) getCategories() error {
	if err := c.params.only("category"); err != nil {
		return err
	}
	if err := c.renew(true); err != nil {
		return err
	}
	c.filtered = true
	var names []string
	for _, p := range c.params {
		names = append(names, p.value)
	}
	given, text, err := c.filter()
	if err != nil {
		return err
	}
	names = append(names, given.Categories...)
	found, err := choose(c.reg.model, names)
	if err != nil {
		return err
	}
	key := c.registryKey("/-/?" + c.r.URL.RawQuery)
	key.filter = text
	c.links = c.schemaLinks()
	return c.show(key, time.Time{}, func(dst []byte, v *render.View) ([]byte, error) {
		return c.format.Categories(dst, v, found)
	})
}

// getStates shows the registry of states and transitions.
func (c *call) getStates() error {
	if err := c.params.only(); err != nil {
		return err
	}
	c.links = c.schemaLinks()
	return c.show(c.registryKey("/-/states"), time.Time{}, c.format.States)
}

// registryKey names a rendering of the registry, which changes with it alone.
func (c *call) registryKey(path string) bodyKey {
	return bodyKey{path: path, revision: registryRevision(c.reg.model.Revision), registry: c.reg, format: c.format, base: c.base()}
}

// registryRevision makes one of the registry, which there always is, of that of
// users' mixins.
func registryRevision(mixins int64) int64 { return mixins + 1 }

// choose gives the categories with identifiers or terms, all for none.
func choose(m *occi.Model, names []string) (*render.Categories, error) {
	if len(names) == 0 {
		return &render.Categories{Kinds: m.Kinds, Mixins: m.Mixins, Actions: m.Actions}, nil
	}
	out := &render.Categories{}
	for _, name := range names {
		before := len(out.Kinds) + len(out.Mixins) + len(out.Actions)
		named := func(c *occi.Category) bool { return c.ID() == name || c.Term == name }
		for _, k := range m.Kinds {
			if named(&k.Category) {
				out.Kinds = append(out.Kinds, k)
			}
		}
		for _, x := range m.Mixins {
			if named(&x.Category) {
				out.Mixins = append(out.Mixins, x)
			}
		}
		for _, a := range m.Actions {
			if named(&a.Category) {
				out.Actions = append(out.Actions, a)
			}
		}
		if len(out.Kinds)+len(out.Mixins)+len(out.Actions) == before {
			return nil, badParam("category", "there is no category %q", name)
		}
	}
	return out, nil
}

// getHealth tells that the server answers at all.
func (c *call) getHealth() error {
	c.send(http.StatusOK, render.Formats()[0], okBody)
	return nil
}

// getReady tells that requests can be served.
func (c *call) getReady() error {
	if c.s.life.Err() != nil {
		return occi.E(occi.Unavailable, "the server is stopping")
	}
	if err := c.s.engine.Ready(c.r.Context()); err != nil {
		return err
	}
	c.send(http.StatusOK, render.Formats()[0], okBody)
	return nil
}
