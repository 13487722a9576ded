package server

import (
	"github.com/occid/occid/internal/engine"
	"github.com/occid/occid/occi"
)

// postMixin gives the mixin to the entities listed, or acts on the members.
func (c *call) postMixin() error {
	if _, acts, err := c.params.single("action"); err != nil || acts {
		return c.actOnCollection()
	}
	return c.associate(func(listed []occi.Ref, _ bool) (engine.Members, error) {
		if len(listed) == 0 {
			return engine.Members{}, occi.E(occi.Invalid, "the request lists no locations")
		}
		return engine.Members{Add: listed}, nil
	})
}

// putMixin makes the entities listed the members.
func (c *call) putMixin() error {
	return c.associate(func(listed []occi.Ref, _ bool) (engine.Members, error) {
		return engine.Members{Add: listed, Only: true}, nil
	})
}

// deleteMixin takes the mixin from the entities listed, from all members if none
// is. The entities themselves stay.
func (c *call) deleteMixin() error {
	return c.associate(func(listed []occi.Ref, given bool) (engine.Members, error) {
		if given && len(listed) == 0 {
			return engine.Members{}, occi.E(occi.Invalid, "the request lists no locations; without a body it empties %s", c.to.path)
		}
		return engine.Members{Drop: listed, Only: !given}, nil
	})
}

// associate changes the members of the target mixin by the locations that the
// request lists, if it has any content, and answers with the collection (GFD.223
// section 11.3).
func (c *call) associate(change func(listed []occi.Ref, given bool) (engine.Members, error)) error {
	if err := c.params.only(); err != nil {
		return err
	}
	listed, given, err := c.listed()
	if err != nil {
		return err
	}
	members, err := change(listed, given)
	if err != nil {
		return err
	}
	w, err := c.collectionWrite()
	if err != nil {
		return err
	}
	out, err := c.s.engine.Associate(c.r.Context(), c.caller, c.to.mixin.ID(), members, w.options)
	if err != nil {
		return err
	}
	if !c.waited(w, out) {
		return c.accepted(out)
	}
	s, err := c.selects()
	if err != nil {
		return err
	}
	page, err := c.list(s)
	if err != nil {
		return err
	}
	return c.showSeveral(page.Entities)
}
