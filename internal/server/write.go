package server

import (
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/occid/occid/internal/engine"
	"github.com/occid/occid/internal/policy"
	"github.com/occid/occid/occi"
	"github.com/occid/occid/render"
)

// A write is what every request that changes something has in common.
type write struct {
	options engine.Options
	prefers preferences
}

// entityWrite reads what adjusts a write on the target's entity, which exists.
func (c *call) entityWrite() (write, error) {
	w, err := c.anyWrite()
	if err != nil {
		return w, err
	}
	_, err = c.entity()
	return w, err
}

// collectionWrite reads what adjusts a write on the target's collection, whose
// conditions are about the collection itself.
func (c *call) collectionWrite() (write, error) {
	w, err := c.anyWrite()
	if err != nil || w.options.Match == nil {
		return w, err
	}
	match := w.options.Match
	w.options.Match = nil
	w.options.Collection = &engine.Collection{Kinds: c.memberKinds(), Match: func(now occi.Count) error {
		return match(&occi.Entity{Revision: now.Revision, Updated: now.Updated})
	}}
	return w, nil
}

func (c *call) anyWrite() (w write, err error) {
	if w.prefers, err = c.preferences(); err != nil {
		return w, err
	}
	w.options, err = c.options()
	return w, err
}

// postCollection creates entities, or acts on those there are.
func (c *call) postCollection() error {
	if _, acts, err := c.params.single("action"); err != nil || acts {
		return c.actOnCollection()
	}
	if err := c.params.only(); err != nil {
		return err
	}
	d, err := c.draft()
	if err != nil {
		return err
	}
	if len(d.Locations) > 0 {
		return occi.E(occi.Invalid, "%s takes descriptions of entities, not locations", c.to.path)
	}
	w, err := c.collectionWrite()
	if err != nil {
		return err
	}
	drafts := []*occi.Draft{d}
	if len(d.Members) > 0 {
		drafts = nil
		for i := range d.Members {
			drafts = append(drafts, &d.Members[i])
		}
	}
	kind := ""
	if c.to.kind != nil {
		kind = c.to.kind.ID()
	}
	out, err := c.s.engine.Create(c.r.Context(), c.caller, kind, drafts, w.options)
	if err != nil {
		return err
	}
	return c.created(w, out)
}

func (c *call) created(w write, out *engine.Outcome) error {
	c.reg = c.s.registry(c.caller)
	es, done := c.settled(w, out)
	if !done {
		c.hand(out.Token, out.Entities)
		return c.accepted(out)
	}
	c.locate(es[0])
	if len(es) == 1 {
		es[0] = c.showLinked(es[0])
		c.identify(es[0])
	}
	c.hand(out.Token, es)
	c.answer(http.StatusCreated, func(f *render.Format, v *render.View) ([]byte, error) {
		if len(es) == 1 {
			c.link(f, v, es[0])
		}
		return f.Created(nil, v, es)
	})
	return nil
}

func (c *call) putEntity() error {
	if err := c.params.only(); err != nil {
		return err
	}
	d, err := c.draftOfOne()
	if err != nil {
		return err
	}
	w, err := c.anyWrite()
	if err != nil {
		return err
	}
	out, err := c.s.engine.Put(c.r.Context(), c.caller, c.to.kind.ID(), c.to.id, d, w.options)
	if err != nil {
		return err
	}
	if out.Created {
		return c.created(w, out)
	}
	return c.changed(w, out)
}

// postEntity changes what the request names, or acts.
func (c *call) postEntity() error {
	term, acts, err := c.params.single("action")
	if err != nil {
		return err
	}
	if acts {
		return c.actOnEntity(term)
	}
	if err := c.params.only(); err != nil {
		return err
	}
	d, err := c.draftOfOne()
	if err != nil {
		return err
	}
	w, err := c.entityWrite()
	if err != nil {
		return err
	}
	out, err := c.s.engine.Update(c.r.Context(), c.caller, c.to.id, d, w.options)
	if err != nil {
		return err
	}
	return c.changed(w, out)
}

// actuate invokes the action that the path names.
func (c *call) actuate() error {
	if _, given, err := c.params.single("action"); err != nil || given {
		return badParam("action", "the path names the action already")
	}
	return c.actOnEntity(c.to.action)
}

func (c *call) actOnEntity(term string) error {
	d, err := c.invocation(term)
	if err != nil {
		return err
	}
	if err := c.params.only(); err != nil {
		return err
	}
	w, err := c.entityWrite()
	if err != nil {
		return err
	}
	out, err := c.s.engine.Act(c.r.Context(), c.caller, []uuid.UUID{c.to.id}, d, w.options)
	if err != nil {
		return err
	}
	return c.changed(w, out)
}

// changed answers a write on one entity with the entity.
func (c *call) changed(w write, out *engine.Outcome) error {
	if len(out.Entities) != 1 || out.Entities[0].ID != c.to.id {
		// It was about the members of what is at the path.
		return c.several(w, out)
	}
	c.reg = c.s.registry(c.caller)
	es, done := c.settled(w, out)
	if !done {
		return c.accepted(out)
	}
	if len(out.Defined) > 0 {
		return c.showDefined(out.Defined)
	}
	es[0] = c.showLinked(es[0])
	c.locate(append(out.Made, es[0])[0])
	c.identify(es[0])
	c.answer(http.StatusOK, func(f *render.Format, v *render.View) ([]byte, error) {
		c.link(f, v, es[0])
		return f.Entity(nil, v, es[0])
	})
	return nil
}

// actOnCollection invokes an action on all members that the query selects.
func (c *call) actOnCollection() error {
	term, _, err := c.params.single("action")
	if err != nil {
		return err
	}
	d, err := c.invocation(term)
	if err != nil {
		return err
	}
	w, err := c.collectionWrite()
	if err != nil {
		return err
	}
	s, err := c.selects()
	if err != nil {
		return err
	}
	if c.to.kind != nil && c.reg.model.ActionOf(c.to.kind, s.query.Mixins, term) == nil {
		return badParam("action", "a %s has no action %q", c.to.kind.Term, term)
	}
	out, err := c.onChosen(s, c.caller.Action(term), func(ids []uuid.UUID) (*engine.Outcome, error) {
		return c.s.engine.Act(c.r.Context(), c.caller, ids, d, w.options)
	})
	if err != nil {
		return err
	}
	return c.several(w, out)
}

// onChosen writes to the members that a selection finds. If one of them is gone
// before it is written, that is tried again a few times.
func (c *call) onChosen(s *selection, do string, write func(ids []uuid.UUID) (*engine.Outcome, error)) (*engine.Outcome, error) {
	const attempts = 5
	for i := 1; ; i++ {
		ids, err := c.ids(s, do)
		if err != nil {
			return nil, err
		}
		out, err := write(ids)
		if !errors.Is(err, occi.NotFound) || i == attempts {
			return out, err
		}
	}
}

// several answers a write on a collection with the entities it was about.
func (c *call) several(w write, out *engine.Outcome) error {
	es, done := c.settled(w, out)
	if !done {
		return c.accepted(out)
	}
	if c.reg = c.s.registry(c.caller); len(out.Defined) > 0 {
		return c.showDefined(out.Defined)
	}
	return c.showSeveral(es)
}

func (c *call) showSeveral(es []*occi.Entity) error {
	page := &occi.Page{Entities: es, Total: len(es)}
	col := c.collection(&selection{}, page, time.Now())
	if c.to.id != uuid.Nil && len(es) > 0 {
		col.Kind = c.reg.model.Kind(es[0].Kind)
	}
	c.answer(http.StatusOK, func(f *render.Format, v *render.View) ([]byte, error) { return f.Collection(nil, v, col) })
	return nil
}

func (c *call) deleteEntity() error {
	if err := c.params.only(); err != nil {
		return err
	}
	w, err := c.entityWrite()
	if err != nil {
		return err
	}
	out, err := c.s.engine.Delete(c.r.Context(), c.caller, []uuid.UUID{c.to.id}, w.options)
	if err != nil {
		return err
	}
	return c.gone(w, out)
}

// deleteCollection deletes the members that the query selects, or of those the
// ones whose locations the request lists.
func (c *call) deleteCollection() error {
	listed, given, err := c.listed()
	if err != nil {
		return err
	}
	w, err := c.collectionWrite()
	if err != nil {
		return err
	}
	s, err := c.selects()
	if err != nil {
		return err
	}
	if given {
		if len(listed) == 0 {
			return occi.E(occi.Invalid, "the request lists no locations; without a body it deletes all of %s", c.to.path)
		}
		ids := idsOf(listed)
		s.query.IDs = append(s.query.IDs, ids...)
		if err := c.allThere(s, ids); err != nil {
			return err
		}
	}
	out, err := c.onChosen(s, policy.Delete, func(ids []uuid.UUID) (*engine.Outcome, error) {
		return c.s.engine.Delete(c.r.Context(), c.caller, ids, w.options)
	})
	if err != nil {
		return err
	}
	return c.gone(w, out)
}

func idsOf(refs []occi.Ref) []uuid.UUID {
	ids := make([]uuid.UUID, len(refs))
	for i, r := range refs {
		ids[i] = r.ID
	}
	return ids
}

// allThere refuses a list that names what the selection does not hold.
func (c *call) allThere(s *selection, listed []uuid.UUID) error {
	found, err := c.ids(s, policy.Delete)
	if err != nil {
		return err
	}
	there := make(map[uuid.UUID]bool, len(found))
	for _, id := range found {
		there[id] = true
	}
	for _, id := range listed {
		if !there[id] {
			return occi.E(occi.NotFound, "there is no entity %s in %s", id, c.to.path)
		}
	}
	return nil
}

// gone answers a deletion.
func (c *call) gone(w write, out *engine.Outcome) error {
	if !c.waited(w, out) {
		return c.accepted(out)
	}
	c.ok()
	return nil
}

// ok answers a success that has nothing to show. Formats that could not hold the
// word get no content.
func (c *call) ok() {
	if c.sayOK() {
		return
	}
	h := c.rec.Header()
	h["Content-Type"] = []string{c.format.Type}
	c.vary(h)
	c.rec.WriteHeader(http.StatusNoContent)
}

// sayOK answers with the word in formats that can hold it, and reports whether it
// did.
func (c *call) sayOK() bool {
	can := c.format.InHeaders || strings.HasSuffix(c.format.Media, "plain")
	if can {
		c.send(http.StatusOK, c.format, okBody)
	}
	return can
}

// locate tells where an entity is.
func (c *call) locate(e *occi.Entity) {
	c.rec.Header()["Location"] = []string{c.base() + c.reg.model.Path(e)}
}

// identify tells which version of an entity an answer is about.
func (c *call) identify(e *occi.Entity) {
	h := c.rec.Header()
	h["Etag"] = []string{etag(e.Revision, c.tag(), c.format.Media, c.linked.tag)}
	h["Last-Modified"] = []string{c.modified(e).UTC().Format(http.TimeFormat)}
}

// answer answers a write that has been carried out. It must not fail any more, so
// what the format asked for cannot show is answered in the default one.
func (c *call) answer(status int, encode func(*render.Format, *render.View) ([]byte, error)) {
	f := c.format
	text, err := encode(f, c.view())
	if err != nil {
		f = render.Formats()[0]
		delete(c.rec.Header(), "Etag")
		if text, err = encode(f, c.view()); err != nil {
			c.s.log.Error("a write was not shown", "request_id", c.id, "error", err)
			text = okBody
		}
	}
	if c.links != nil {
		c.rec.Header()["Link"] = c.links
	}
	if f.InHeaders {
		setFields(c.rec.Header(), render.Fields(text))
		text = okBody
	}
	c.send(status, f, text)
}
