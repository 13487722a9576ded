package engine

import (
	"context"

	"github.com/google/uuid"

	"github.com/occid/occid/occi"
)

// Get gives an entity with its links, or NotFound.
func (e *Engine) Get(ctx context.Context, c Caller, id uuid.UUID) (*occi.Entity, error) {
	x, err := e.store.Entity(ctx, id)
	if err == nil {
		err = c.mayOperate(e.Model(), x)
	}
	return x, err
}

// Linked gives an entity with its links, and the resources of this server that
// they lead to, or NotFound.
func (e *Engine) Linked(ctx context.Context, c Caller, id uuid.UUID) (*occi.Entity, []*occi.Entity, error) {
	x, targets, err := e.store.Linked(ctx, id)
	if err == nil {
		err = c.mayOperate(e.Model(), x)
	}
	return x, targets, err
}

// List gives the entities that a query selects.
func (e *Engine) List(ctx context.Context, _ Caller, q *occi.Query) (*occi.Page, error) {
	return e.store.List(ctx, q)
}

// Count gives what is counted of the kinds' collections; no kinds means all.
func (e *Engine) Count(ctx context.Context, _ Caller, kinds []string) (occi.Count, error) {
	return e.store.Count(ctx, kinds)
}

// Tasks gives the tasks of an entity of a kind, oldest first; NotFound if there is
// no such entity.
func (e *Engine) Tasks(ctx context.Context, _ Caller, kind string, entity uuid.UUID) ([]*occi.Task, error) {
	x, err := e.store.Entity(ctx, entity)
	if err != nil {
		return nil, err
	}
	if x.Kind != kind {
		return nil, occi.E(occi.NotFound, "there is no %s %s", kind, entity)
	}
	return e.store.Tasks(ctx, entity)
}

// Unfinished gives the tasks of all entities that are not over, oldest first.
func (e *Engine) Unfinished(ctx context.Context, _ Caller) ([]*occi.Task, error) {
	return e.store.Unfinished(ctx, nil)
}

// Task gives one task, or NotFound.
func (e *Engine) Task(ctx context.Context, _ Caller, id uuid.UUID) (*occi.Task, error) {
	return e.store.Task(ctx, id)
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
