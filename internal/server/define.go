package server

import (
	"net/http"
	"slices"
	"strings"

	"github.com/occid/occid/internal/engine"
	"github.com/occid/occid/occi"
	"github.com/occid/occid/render"
)

// defineMixins adds the mixins that a request describes to the registry (GFD.223
// section 9).
func (c *call) defineMixins() error {
	w, described, err := c.mixins()
	if err != nil {
		return err
	}
	if err := c.s.placed(described); err != nil {
		return err
	}
	out, err := c.s.engine.Define(c.r.Context(), c.caller, described, w.options)
	if err != nil {
		return err
	}
	if !c.waited(w, out) {
		return c.accepted(out)
	}
	c.reg = c.s.registry(c.caller)
	if c.sayOK() {
		return nil
	}
	return c.showMixins(out.Defined)
}

// showDefined answers an action that made templates with these (GFD.224 section
// 3.1).
func (c *call) showDefined(defined []*occi.Mixin) error {
	c.rec.Header()["Location"] = []string{c.base() + defined[0].Location}
	return c.showMixins(defined)
}

func (c *call) showMixins(defined []*occi.Mixin) error {
	c.answer(http.StatusOK, func(f *render.Format, v *render.View) ([]byte, error) {
		return f.Categories(nil, v, &render.Categories{Mixins: defined})
	})
	return nil
}

// removeMixins removes the users' mixins that a request names from the registry,
// and from what has them.
func (c *call) removeMixins() error {
	w, described, err := c.mixins()
	if err != nil {
		return err
	}
	var ids []string
	for _, d := range described {
		ids = append(ids, d.ID)
	}
	out, err := c.s.engine.Undefine(c.r.Context(), c.caller, ids, w.options)
	if err != nil {
		return err
	}
	return c.gone(w, out)
}

// mixins reads the descriptions of categories that a request on the registry
// carries, in order, and what adjusts the write.
func (c *call) mixins() (w write, out []occi.DraftCategory, err error) {
	if err = c.params.only(); err != nil {
		return w, nil, err
	}
	w, err = c.anyWrite()
	if err != nil {
		return w, nil, err
	}
	d, err := c.given()
	if err != nil {
		return w, nil, err
	}
	if match := w.options.Match; match != nil {
		w.options.Match = nil
		w.options.Collection = &engine.Collection{Kinds: []string{occi.UserMixins}, Match: func(now occi.Count) error {
			return match(&occi.Entity{Revision: registryRevision(now.Revision), Updated: now.Updated})
		}}
	}
	if d != nil {
		if out, err = c.categoriesOf(out, d); err != nil {
			return w, nil, err
		}
	}
	if len(out) == 0 {
		return w, nil, occi.E(occi.Invalid, "the request names no mixin, in its body or in Category header fields")
	}
	return w, out, nil
}

// categoriesOf adds the categories that a draft and its members name. What is
// only named is described by its class. Attributes beside the description of one mixin
// are defaults that it gives, for renderings whose descriptions have none.
func (c *call) categoriesOf(out []occi.DraftCategory, d *occi.Draft) ([]occi.DraftCategory, error) {
	switch {
	case len(d.Attributes) > 0 && (len(d.Categories) != 1 || len(d.Mixins) != 1):
		return nil, c.notHere(d.Attributes[0].Name)
	case len(d.Links) > 0:
		return nil, c.notHere("a link to " + d.Links[0].Target)
	case len(d.Locations) > 0:
		return nil, c.notHere(d.Locations[0])
	}
	described := map[string]bool{}
	for _, x := range d.Categories {
		described[x.ID] = true
		x.Attributes = slices.Concat(x.Attributes, d.Attributes)
		out = append(out, x)
	}
	name := func(id, class string) {
		if id != "" && !described[id] {
			out = append(out, occi.DraftCategory{ID: id, Class: class})
		}
	}
	name(d.Kind, occi.ClassKind)
	name(d.Action, occi.ClassAction)
	for _, id := range d.Mixins {
		name(id, occi.ClassMixin)
	}
	for i := range d.Members {
		var err error
		if out, err = c.categoriesOf(out, &d.Members[i]); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func (c *call) notHere(what string) error {
	return occi.E(occi.Invalid, "the request gives %s; %s takes descriptions of mixins", what, c.to.path)
}

// placed refuses mixins whose collections would be where the server itself has
// something.
func (s *Server) placed(described []occi.DraftCategory) error {
	for i := range described {
		if other := s.fixedAt(occi.LocationPath(described[i].Location)); other != "" {
			return occi.E(occi.Conflict, "%s: the location %s is taken by %s", described[i].ID, described[i].Location, other)
		}
	}
	return nil
}

// fixedAt gives what the server itself has at or below a location, "" if nothing.
func (s *Server) fixedAt(location string) string {
	if strings.HasPrefix(location, "/.well-known/") {
		return "/.well-known"
	}
	for path := range s.fixed {
		if strings.HasPrefix(location, path+"/") {
			return path
		}
	}
	return ""
}
