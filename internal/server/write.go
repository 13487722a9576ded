package server

import (
	"context"
	"net/http"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/occid/occid/internal/engine"
	"github.com/occid/occid/occi"
	"github.com/occid/occid/render"
)

// A write is what every request that changes something has in common.
type write struct {
	options  engine.Options
	patience time.Duration
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

// collectionWrite reads what adjusts a write on the target's collection and
// checks its conditions against the collection itself.
func (c *call) collectionWrite() (write, error) {
	w, err := c.anyWrite()
	if err != nil || w.options.Match == nil {
		return w, err
	}
	now, err := c.s.engine.Count(c.r.Context(), c.caller, c.memberKinds())
	if err != nil {
		return w, err
	}
	err = w.options.Match(&occi.Entity{Revision: now.Revision, Updated: now.Updated})
	w.options.Match = nil
	return w, err
}

func (c *call) anyWrite() (w write, err error) {
	if w.patience, err = c.patience(); err != nil {
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
	es, err := c.settled(w, out)
	if err != nil {
		return err
	}
	c.locate(es[0])
	c.answer(http.StatusCreated, func(f *render.Format, v *render.View) ([]byte, error) { return f.Created(nil, v, es) })
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
	es, err := c.settled(w, out)
	if err != nil {
		return err
	}
	c.locate(es[0])
	c.answer(http.StatusOK, func(f *render.Format, v *render.View) ([]byte, error) { return f.Entity(nil, v, es[0]) })
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
	ids, s, err := c.chosen()
	if err != nil {
		return err
	}
	if c.to.kind != nil && c.reg.model.ActionOf(c.to.kind, s.query.Mixins, term) == nil {
		return badParam("action", "a %s has no action %q", c.to.kind.Term, term)
	}
	out, err := c.s.engine.Act(c.r.Context(), c.caller, ids, d, w.options)
	if err != nil {
		return err
	}
	return c.several(w, out)
}

// several answers a write on a collection with the entities it was about.
func (c *call) several(w write, out *engine.Outcome) error {
	es, err := c.settled(w, out)
	if err != nil {
		return err
	}
	page := &occi.Page{Entities: es, Total: len(es)}
	c.answer(http.StatusOK, func(f *render.Format, v *render.View) ([]byte, error) {
		return f.Collection(nil, v, c.collection(&selection{}, page, time.Now()))
	})
	return nil
}

// chosen lists the members of the target's collection that a write is about:
// those the query selects.
func (c *call) chosen() ([]uuid.UUID, *selection, error) {
	s, err := c.selects()
	if err != nil {
		return nil, nil, err
	}
	ids, err := c.ids(s)
	return ids, s, err
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
		s.query.IDs = append(s.query.IDs, listed...)
		if err := c.allThere(s, listed); err != nil {
			return err
		}
	}
	ids, err := c.ids(s)
	if err != nil {
		return err
	}
	out, err := c.s.engine.Delete(c.r.Context(), c.caller, ids, w.options)
	if err != nil {
		return err
	}
	return c.gone(w, out)
}

// allThere refuses a list that names what the selection does not hold.
func (c *call) allThere(s *selection, listed []uuid.UUID) error {
	found, err := c.ids(s)
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

// gone answers a deletion. Formats that could not hold the word get no content.
func (c *call) gone(w write, out *engine.Outcome) error {
	if _, err := c.waited(w, out); err != nil {
		return err
	}
	c.ok()
	return nil
}

// ok answers a success that has nothing to show.
func (c *call) ok() {
	if c.format == render.Formats()[0] || c.format.InHeaders {
		c.send(http.StatusOK, c.format, okBody)
		return
	}
	c.vary(c.rec.Header())
	c.rec.WriteHeader(http.StatusNoContent)
}

// settled waits for the outcome of a write as long as the client likes and gives
// the entities as they are then. One that is gone by then is given as it was.
func (c *call) settled(w write, out *engine.Outcome) ([]*occi.Entity, error) {
	waited, err := c.waited(w, out)
	if err != nil || !waited || len(out.Entities) == 0 {
		return out.Entities, err
	}
	q := &occi.Query{}
	for _, e := range out.Entities {
		q.IDs = append(q.IDs, e.ID)
	}
	page, err := c.s.engine.List(c.r.Context(), c.caller, q)
	if err != nil {
		return nil, err
	}
	now := make(map[uuid.UUID]*occi.Entity, len(page.Entities))
	for _, e := range page.Entities {
		now[e.ID] = e
	}
	es := make([]*occi.Entity, len(out.Entities))
	for i, e := range out.Entities {
		if es[i] = now[e.ID]; es[i] == nil {
			es[i] = e
		}
	}
	return es, nil
}

// waited names the tasks of a write in the header and waits for them if the
// client prefers that.
func (c *call) waited(w write, out *engine.Outcome) (bool, error) {
	if len(out.Tasks) == 0 {
		return false, nil
	}
	h := c.rec.Header()
	urls := make([]string, len(out.Tasks))
	for i, t := range out.Tasks {
		urls[i] = c.base() + c.taskPath(t.ID)
	}
	h["X-Task-Location"] = []string{strings.Join(urls, ", ")}
	if w.patience == 0 {
		return false, nil
	}
	ctx, cancel := context.WithTimeout(c.r.Context(), w.patience)
	defer cancel()
	defer context.AfterFunc(c.s.life, cancel)()
	if err := c.s.engine.Wait(ctx, out.IDs()); err != nil && ctx.Err() == nil {
		return false, err
	}
	h["Preference-Applied"] = []string{"wait"}
	return true, nil
}

func (c *call) taskPath(id uuid.UUID) string {
	return c.reg.model.RefPath(occi.Ref{ID: id, Kind: occi.TaskKind})
}

// locate tells where an entity is.
func (c *call) locate(e *occi.Entity) {
	c.rec.Header()["Location"] = []string{c.base() + c.reg.model.Path(e)}
}

// answer answers a write that has been carried out. It must not fail any more, so
// what the format asked for cannot show is answered in the default one.
func (c *call) answer(status int, encode func(*render.Format, *render.View) ([]byte, error)) {
	f := c.format
	text, err := encode(f, c.view())
	if err != nil {
		f = render.Formats()[0]
		if text, err = encode(f, c.view()); err != nil {
			c.s.log.Error("a write was not shown", "request_id", c.id, "error", err)
			text = okBody
		}
	}
	if f.InHeaders {
		setFields(c.rec.Header(), render.Fields(text))
		text = okBody
	}
	c.send(status, f, text)
}
