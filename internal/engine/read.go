package engine

import (
	"context"
	"slices"

	"github.com/google/uuid"

	"github.com/occid/occid/internal/policy"
	"github.com/occid/occid/occi"
)

// As gives a caller with what it may do by the policies in force.
func (e *Engine) As(c Caller) Caller { return e.as(c) }

// Get gives an entity with its links, or NotFound.
func (e *Engine) Get(ctx context.Context, c Caller, id uuid.UUID) (*occi.Entity, error) {
	c = e.as(c)
	x, err := e.store.Entity(ctx, id)
	if err != nil || c.Free() {
		return x, err
	}
	return shown(c, e.Model(), x), may(c, x, policy.Read)
}

// Linked gives an entity with its links, and the resources of this server that
// they lead to, or NotFound.
func (e *Engine) Linked(ctx context.Context, c Caller, id uuid.UUID) (*occi.Entity, []*occi.Entity, error) {
	c = e.as(c)
	x, targets, err := e.store.Linked(ctx, id)
	if err != nil || c.Free() {
		return x, targets, err
	}
	var seen []*occi.Entity
	for _, t := range targets {
		// What is seen of some may depend on their links, which are not read with them.
		if c.ByLinks(t.Kind) {
			if t, err = e.store.Entity(ctx, t.ID); occi.ClassOf(err) == occi.NotFound && err != nil {
				continue
			}
			if err != nil {
				return nil, nil, err
			}
		}
		if c.Sees(t) {
			seen = append(seen, shown(c, e.Model(), t))
		}
	}
	return shown(c, e.Model(), x), seen, may(c, x, policy.Read)
}

// List gives the entities that a query selects, of those that the caller may see, and
// with which it may do what the query says.
func (e *Engine) List(ctx context.Context, c Caller, q *occi.Query) (*occi.Page, error) {
	if c = e.as(c); c.Free() {
		return e.store.List(ctx, q)
	}
	if err := asksOf(c, e.Model(), q); err != nil {
		return nil, err
	}
	do := q.Do
	if do == "" {
		do = policy.Read
	}
	scope := c.Scope(do, q.Kinds)
	if q.LinkedTo != uuid.Nil {
		scope = c.Scope(do, e.linkable(q))
	}
	own := *q
	own.Reach, own.Where = scope.Reach, scope.Where
	page, err := e.store.List(ctx, &own)
	if err != nil {
		return nil, err
	}
	seen, m := *page, e.Model()
	seen.Entities = make([]*occi.Entity, len(page.Entities))
	for i, x := range page.Entities {
		seen.Entities[i] = shown(c, m, x)
	}
	if seen.LinkedTo != nil {
		seen.LinkedTo = shown(c, m, seen.LinkedTo)
	}
	return &seen, nil
}

// linkable lists the kinds that a look-up by links has to do with.
func (e *Engine) linkable(q *occi.Query) []string {
	ids := slices.Clone(q.Kinds)
	for _, k := range e.Model().Kinds {
		if k.ID() == q.LinkedKind || len(q.Kinds) == 0 && !k.Own && !k.Abstract {
			ids = append(ids, k.ID())
		}
	}
	return ids
}

// asksOf refuses to select or order by what a caller is not shown: the answer would tell.
func asksOf(c Caller, m *occi.Model, q *occi.Query) error {
	if !c.Hides() {
		return nil
	}
	var names []string
	for _, cond := range q.Conds {
		for _, o := range append([]occi.Cond{cond}, cond.Or...) {
			names = append(names, o.Name)
		}
	}
	for _, o := range q.Sort {
		names = append(append(names, o.Name), o.Or...)
	}
	for _, k := range m.Kinds {
		if len(q.Kinds) > 0 && !slices.Contains(q.Kinds, k.ID()) {
			continue
		}
		hidden := c.Hidden(k.ID())
		for _, name := range hidden {
			if slices.Contains(names, name) {
				return occi.E(occi.Invalid, "%s: there is no such attribute", name)
			}
		}
		if len(hidden) > 0 && len(q.Text) > 0 {
			return occi.E(occi.Forbidden, "your role does not allow to search for words: not all of what there is is shown to it")
		}
	}
	return nil
}

// Count gives what is counted of the kinds' collections, as far as the caller sees them;
// no kinds means all.
func (e *Engine) Count(ctx context.Context, c Caller, kinds []string) (occi.Count, error) {
	scope := e.as(c).Scope(policy.Read, kinds)
	if scope.Where == nil {
		return e.store.Count(ctx, kinds, scope.Reach...)
	}
	return e.store.Visible(ctx, &occi.Query{Kinds: kinds, Reach: scope.Reach, Where: scope.Where})
}

// Tasks gives the tasks of an entity of a kind, oldest first; NotFound if there is
// no such entity. What is only shared shows none.
func (e *Engine) Tasks(ctx context.Context, c Caller, kind string, entity uuid.UUID) ([]*occi.Task, error) {
	c = e.as(c)
	x, err := e.Get(ctx, c, entity)
	if err != nil {
		return nil, err
	}
	if x.Kind != kind {
		return nil, occi.E(occi.NotFound, "there is no %s %s", kind, entity)
	}
	if !c.Sees(taskOf(x.Project)) {
		return nil, nil
	}
	return e.store.Tasks(ctx, entity)
}

// taskOf is a task of a project as policies are asked about it.
func taskOf(project string) *occi.Entity { return &occi.Entity{Kind: occi.TaskKind, Project: project} }

// Unfinished gives the tasks of all entities that are not over, oldest first.
func (e *Engine) Unfinished(ctx context.Context, c Caller) ([]*occi.Task, error) {
	if c = e.as(c); c.Free() {
		return e.store.Unfinished(ctx, nil)
	}
	if !c.Could(occi.TaskKind, policy.Read) {
		return nil, nil
	}
	reach := c.Within(occi.TaskKind)
	plain := true
	for _, k := range e.Model().Kinds {
		plain = plain && (k.Abstract || k.Own || c.Plain(k.ID()))
	}
	var tasks []*occi.Task
	var err error
	if plain {
		tasks, err = e.store.Unfinished(ctx, nil, reach...)
	} else {
		tasks, err = e.store.UnfinishedOf(ctx, c.Scope(policy.Read, nil).Where, reach...)
	}
	return slices.DeleteFunc(tasks, func(t *occi.Task) bool { return !c.Sees(taskOf(t.Project)) }), err
}

// Task gives one task, or NotFound.
func (e *Engine) Task(ctx context.Context, c Caller, id uuid.UUID) (*occi.Task, error) {
	return e.taskFor(ctx, e.as(c), policy.Read, id)
}

// taskFor gives a task that a caller may do something with.
func (e *Engine) taskFor(ctx context.Context, c Caller, do string, id uuid.UUID) (*occi.Task, error) {
	t, err := e.store.Task(ctx, id)
	if err != nil || c.Free() {
		return t, err
	}
	x := taskOf(t.Project)
	x.ID = id
	if err := may(c, x, do); err != nil {
		return nil, err
	}
	seen, err := e.SeesSubject(ctx, c, t.Kind, t.Entity)
	if err == nil && !seen {
		err = occi.E(occi.NotFound, "there is no task %s", id)
	}
	return t, err
}

// SeesSubject reports whether a caller sees what something is about that tells whose it
// is, but not all that policies may ask. What is gone is not seen then.
func (e *Engine) SeesSubject(ctx context.Context, c Caller, kind string, id uuid.UUID) (bool, error) {
	if c = e.as(c); c.Free() || c.Plain(kind) {
		return true, nil
	}
	x, err := e.store.Entity(ctx, id)
	if err != nil {
		if occi.ClassOf(err) == occi.NotFound {
			err = nil
		}
		return false, err
	}
	return c.Sees(x), nil
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
