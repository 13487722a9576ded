package engine

import (
	"context"
	"slices"

	"github.com/google/uuid"

	"github.com/occid/occid/internal/auth"
	"github.com/occid/occid/occi"
)

// Get gives an entity with its links, or NotFound.
func (e *Engine) Get(ctx context.Context, c Caller, id uuid.UUID) (*occi.Entity, error) {
	x, err := e.store.Entity(ctx, id)
	if err != nil || c.Operates() {
		return x, err
	}
	m := e.Model()
	return shown(c, m, x), may(c, m, auth.Read, x)
}

// Linked gives an entity with its links, and the resources of this server that
// they lead to, or NotFound.
func (e *Engine) Linked(ctx context.Context, c Caller, id uuid.UUID) (*occi.Entity, []*occi.Entity, error) {
	x, targets, err := e.store.Linked(ctx, id)
	if err != nil || c.Operates() {
		return x, targets, err
	}
	m := e.Model()
	targets = slices.DeleteFunc(slices.Clone(targets), func(t *occi.Entity) bool { return !sees(c, m, t) })
	for i, t := range targets {
		targets[i] = shown(c, m, t)
	}
	return shown(c, m, x), targets, may(c, m, auth.Read, x)
}

// List gives the entities that a query selects, of those that the caller may see.
func (e *Engine) List(ctx context.Context, c Caller, q *occi.Query) (*occi.Page, error) {
	if reach := within(c, q.Do != ""); reach != nil {
		own := *q
		own.Reach, q = reach, &own
	}
	page, err := e.store.List(ctx, q)
	if err != nil || c.Operates() {
		return page, err
	}
	m := e.Model()
	own := *page
	own.Entities = slices.Clone(page.Entities)
	for i, x := range own.Entities {
		own.Entities[i] = shown(c, m, x)
	}
	return &own, nil
}

// Count gives what is counted of the kinds' collections; no kinds means all.
func (e *Engine) Count(ctx context.Context, c Caller, kinds []string) (occi.Count, error) {
	return e.store.Count(ctx, kinds, within(c, false)...)
}

// Tasks gives the tasks of an entity of a kind, oldest first; NotFound if there is
// no such entity. What is only shared shows none.
func (e *Engine) Tasks(ctx context.Context, c Caller, kind string, entity uuid.UUID) ([]*occi.Task, error) {
	x, err := e.Get(ctx, c, entity)
	if err != nil {
		return nil, err
	}
	if x.Kind != kind {
		return nil, occi.E(occi.NotFound, "there is no %s %s", kind, entity)
	}
	if !c.Operates() && x.Project != c.Project {
		return nil, nil
	}
	return e.store.Tasks(ctx, entity)
}

// Unfinished gives the tasks of all entities that are not over, oldest first.
func (e *Engine) Unfinished(ctx context.Context, c Caller) ([]*occi.Task, error) {
	return e.store.Unfinished(ctx, nil, within(c, true)...)
}

// Task gives one task, or NotFound.
func (e *Engine) Task(ctx context.Context, c Caller, id uuid.UUID) (*occi.Task, error) {
	return e.taskFor(ctx, c, auth.Read, id)
}

// taskFor gives a task that a caller may do something with.
func (e *Engine) taskFor(ctx context.Context, c Caller, do auth.Verb, id uuid.UUID) (*occi.Task, error) {
	t, err := e.store.Task(ctx, id)
	if err != nil {
		return nil, err
	}
	switch c.May(do, auth.Thing{Kind: occi.TaskKind, Project: t.Project}) {
	case auth.Hidden:
		return nil, occi.E(occi.NotFound, "there is no task %s", id)
	case auth.Forbidden:
		return nil, refusal(c)
	}
	return t, nil
}

// Ready reports whether requests can be served: nil, or Unavailable.
func (e *Engine) Ready(ctx context.Context) error { return e.store.Ping(ctx) }

// entities reads several entities in one query. Missing ones are left out.
func (e *Engine) entities(ctx context.Context, ids []uuid.UUID) (map[uuid.UUID]*occi.Entity, error) {
	found := make(map[uuid.UUID]*occi.Entity, len(ids))
	switch len(ids) {
	case 0:
		return found, nil
	case 1:
		x, err := e.store.Entity(ctx, ids[0])
		if occi.ClassOf(err) == occi.NotFound && err != nil {
			return found, nil
		}
		if err != nil {
			return nil, err
		}
		found[x.ID] = x
		return found, nil
	}
	page, err := e.store.List(ctx, &occi.Query{IDs: ids})
	if err != nil {
		return nil, err
	}
	for _, x := range page.Entities {
		found[x.ID] = x
	}
	return found, nil
}
