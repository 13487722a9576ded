package server

import (
	"net/http"
	"time"

	"github.com/google/uuid"

	"github.com/occid/occid/occi"
	"github.com/occid/occid/render"
)

// getTasks lists what was asked of an entity, oldest first.
func (c *call) getTasks() error {
	tasks, err := c.s.engine.Tasks(c.r.Context(), c.caller, c.to.of.ID(), c.to.id)
	if err != nil {
		return err
	}
	es := make([]*occi.Entity, len(tasks))
	for i, t := range tasks {
		es[i] = t.Resource()
	}
	return c.showTasks(es)
}

// asked checks that what tasks are asked for exists.
func (c *call) asked() error {
	e, err := c.s.engine.Get(c.r.Context(), c.caller, c.to.id)
	if err == nil && e.Kind != c.to.of.ID() {
		return nothingAt(c.to.path)
	}
	return err
}

// getUnfinished lists the tasks of all entities that are not over, or their
// links.
func (c *call) getUnfinished() error {
	tasks, err := c.s.engine.Unfinished(c.r.Context(), c.caller)
	if err != nil {
		return err
	}
	es := make([]*occi.Entity, len(tasks))
	for i, t := range tasks {
		if es[i] = t.Resource(); c.to.kind.Link {
			es[i] = linkTo(t)
		}
	}
	return c.showTasks(es)
}

// linkTo is the link to a task from what it is about.
func linkTo(t *occi.Task) *occi.Entity {
	return occi.TaskLink(&occi.Entity{ID: t.Entity, Kind: t.Kind, Owner: t.Who, Updated: t.Created}, t.ID)
}

// showTasks answers with those of tasks, or of links to them, that the query
// selects.
func (c *call) showTasks(es []*occi.Entity) error {
	s, err := c.selects()
	if err != nil {
		return err
	}
	page := s.query.Select(es)
	page.Count.Updated = latest(page.Entities)
	return c.showText(func(v *render.View) ([]byte, error) { return c.page(nil, v, s, page) })
}

func latest(es []*occi.Entity) time.Time {
	var at time.Time
	for _, e := range es {
		if e.Updated.After(at) {
			at = e.Updated
		}
	}
	return at
}

// postTask queues an action, which the URL or the request names, and answers with
// its task; with the entity if there is nothing to do.
func (c *call) postTask() error {
	d, err := c.queued()
	if err != nil {
		return err
	}
	if err := c.params.only(); err != nil {
		return err
	}
	w, err := c.anyWrite()
	if err != nil {
		return err
	}
	if err := c.asked(); err != nil {
		return err
	}
	out, err := c.s.engine.Act(c.r.Context(), c.caller, []uuid.UUID{c.to.id}, d, w.options)
	if err != nil {
		return err
	}
	if len(out.Tasks) == 0 {
		return c.changed(w, out)
	}
	if !c.waited(w, out) {
		return c.accepted(out)
	}
	task, err := c.s.engine.Task(c.r.Context(), c.caller, out.Tasks[0].ID)
	if err != nil {
		return err
	}
	shown := []*occi.Entity{task.Resource()}
	c.locate(shown[0])
	c.answer(http.StatusCreated, func(f *render.Format, v *render.View) ([]byte, error) { return f.Created(nil, v, shown) })
	return nil
}

// queued reads the action that a new task is to carry out.
func (c *call) queued() (*occi.Draft, error) {
	term, given, err := c.params.single("action")
	if err != nil {
		return nil, err
	}
	if given {
		return c.invocation(term)
	}
	d, err := c.given()
	if err == nil && (d == nil || d.Action == "") {
		err = occi.E(occi.Invalid, "the request names no action")
	}
	return d, err
}

func (c *call) getTask() error {
	t, err := c.s.engine.Task(c.r.Context(), c.caller, c.to.id)
	if err != nil {
		return err
	}
	return c.showOne(t.Resource())
}

// getTaskLink shows the link from an entity to a task, which is there until the
// task is over.
func (c *call) getTaskLink() error {
	t, err := c.s.engine.Task(c.r.Context(), c.caller, c.to.id)
	if err != nil {
		return err
	}
	if t.State.Over() {
		return nothingAt(c.to.path)
	}
	return c.showOne(linkTo(t))
}

// showOne shows a task or its link.
func (c *call) showOne(e *occi.Entity) error {
	if err := c.oneShown(); err != nil {
		return err
	}
	return c.showText(func(v *render.View) ([]byte, error) {
		c.link(c.format, v, e)
		return c.format.Entity(nil, v, e)
	})
}

// cancelTask ends a task and answers with what became of it.
func (c *call) cancelTask() error {
	if err := c.params.only(); err != nil {
		return err
	}
	ctx, cancel := c.living()
	defer cancel()
	t, err := c.s.engine.Cancel(ctx, c.caller, c.to.id)
	if err != nil {
		return err
	}
	c.answer(http.StatusOK, func(f *render.Format, v *render.View) ([]byte, error) { return f.Entity(nil, v, t.Resource()) })
	return nil
}
