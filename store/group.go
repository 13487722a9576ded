package store

import (
	"context"

	"github.com/google/uuid"

	"github.com/occid/occid/occi"
)

// group is what the jobs of one transaction find, and what they leave. Jobs are
// applied one after the other, so that each sees what those before it did.
type group struct {
	d        *dialect
	counters map[string]counter
	entities map[uuid.UUID]*entityRow
	tasks    map[uuid.UUID]*taskRow
	keys     map[string]bool // by keyID
	out      []statement
	touched  []uuid.UUID // entities whose rows, or whose links', changed
	counted  map[string]bool
}

const selectEntities = `SELECT seq, serial, revision, created, updated, doc FROM entities`

// entityRow is a row of the table entities. The columns count, not what the
// entity says of them.
type entityRow struct {
	columns
	e *occi.Entity
}

// scan reads a row of the columns of selectEntities, after others for head. The
// entity is nil if the document is.
func (r *entityRow) scan(from row, head ...any) error {
	var doc []byte
	err := from.Scan(append(head, &r.seq, &r.serial, &r.revision, &r.created, &r.updated, &doc)...)
	if err != nil || doc == nil {
		return err
	}
	if r.e, err = decodeEntity(doc); err != nil {
		return occi.E(occi.Internal, "entity number %d is kept as what cannot be read: %w", r.seq, err)
	}
	r.set(r.e)
	return nil
}

// load reads what the jobs are based on: two rounds at most, however many.
func load(ctx context.Context, t tx, d *dialect, jobs []*job) (*group, error) {
	g := &group{d: d, counters: map[string]counter{}, entities: map[uuid.UUID]*entityRow{}, tasks: map[uuid.UUID]*taskRow{},
		keys: map[string]bool{}, counted: map[string]bool{}}
	queries := []query{countersInto(g.counters)}
	entities, tasks, keys := mentioned(jobs)
	if len(entities) > 0 {
		queries = append(queries, g.entitiesIn(entities))
	}
	if len(tasks) > 0 {
		queries = append(queries, g.tasksIn(tasks))
	}
	if len(keys) > 0 {
		queries = append(queries, g.keysIn(keys))
	}
	if err := t.read(ctx, queries); err != nil {
		return nil, err
	}
	if sources := g.sourcesOfRemoved(jobs); len(sources) > 0 {
		return g, t.read(ctx, []query{g.entitiesIn(sources)})
	}
	return g, nil
}

// mentioned lists what the jobs name: entities, tasks and the keys.
func mentioned(jobs []*job) (entities, tasks []uuid.UUID, keys []string) {
	for _, j := range jobs {
		for _, e := range j.change.Puts {
			entities = append(entities, e.ID)
			for _, end := range []uuid.UUID{e.Source.ID, e.Target.ID} {
				if end != uuid.Nil {
					entities = append(entities, end)
				}
			}
		}
		for _, r := range j.change.Removes {
			entities = append(entities, r.ID)
		}
		for _, t := range j.change.Tasks {
			tasks = append(tasks, t.ID)
		}
		if j.change.Key != nil {
			keys = append(keys, keyID(j.change.Key.Who, j.change.Key.Name))
		}
	}
	return entities, tasks, keys
}

// sourcesOfRemoved lists the sources of links to remove that are not loaded.
func (g *group) sourcesOfRemoved(jobs []*job) []uuid.UUID {
	var ids []uuid.UUID
	for _, j := range jobs {
		for _, r := range j.change.Removes {
			if x := g.entities[r.ID]; x != nil && x.e.Source.ID != uuid.Nil && g.entities[x.e.Source.ID] == nil {
				ids = append(ids, x.e.Source.ID)
			}
		}
	}
	return ids
}

func (g *group) entitiesIn(ids []uuid.UUID) query {
	sql := selectEntities + ` WHERE ` + g.d.anyOf("id", "$1")
	return query{statement{sql, []any{g.d.list(ids)}}, func(from row) error {
		r := &entityRow{}
		if err := r.scan(from); err != nil {
			return err
		}
		g.entities[r.e.ID] = r
		return nil
	}}
}

func (g *group) add(sql string, args ...any) { g.out = append(g.out, statement{sql, args}) }

// check reports why a job cannot be applied, nil if it can.
func (g *group) check(j *job) error {
	if k := j.change.Key; k != nil && g.keys[keyID(k.Who, k.Name)] {
		return occi.E(occi.Conflict, "the idempotency key %q is taken", k.Name)
	}
	own := map[uuid.UUID]bool{}
	for _, e := range j.change.Puts {
		own[e.ID] = true
		if err := g.checkRevision(e.ID, e.Revision); err != nil {
			return err
		}
	}
	for _, e := range j.change.Puts {
		for _, end := range []uuid.UUID{e.Source.ID, e.Target.ID} {
			if x := g.entities[end]; e.Revision == 0 && end != uuid.Nil && !own[end] && (x == nil || x.e.Deleted) {
				return occi.E(occi.Conflict, "link %s has an end %s that does not exist", e.ID, end)
			}
		}
	}
	for _, r := range j.change.Removes {
		if r.Revision == 0 {
			continue
		}
		if err := g.checkRevision(r.ID, r.Revision); err != nil {
			return err
		}
	}
	for _, t := range j.change.Tasks {
		if err := g.checkTask(t); err != nil {
			return err
		}
	}
	return nil
}

// checkRevision compares an entity with the revision a change is based on, 0 for
// one that is to be new.
func (g *group) checkRevision(id uuid.UUID, based int64) error {
	switch x := g.entities[id]; {
	case x == nil && based == 0:
		return nil
	case x == nil:
		return occi.E(occi.Conflict, "entity %s does not exist any more", id)
	case based == 0:
		return occi.E(occi.Conflict, "entity %s exists already", id)
	case x.revision != based:
		return occi.E(occi.Conflict, "entity %s is at revision %d, the change is based on %d", id, x.revision, based)
	}
	return nil
}

// apply writes a job that was checked.
func (g *group) apply(j *job) {
	at := micros(j.change.At)
	own := map[uuid.UUID]bool{}
	for _, e := range j.change.Puts {
		own[e.ID] = true
	}
	for i := range j.puts {
		g.put(&j.puts[i], at)
	}
	var links []*occi.Entity
	for _, e := range j.change.Puts {
		if isLink(e) {
			links = append(links, e)
		}
	}
	for _, r := range j.change.Removes {
		if e := g.remove(r.ID, at); e != nil && isLink(e) {
			links = append(links, e)
		}
	}
	for _, l := range links {
		if !own[l.Source.ID] {
			own[l.Source.ID] = true
			g.bump(l.Source.ID, at)
		}
		g.touched = append(g.touched, l.Source.ID)
		// Whoever looks for what is linked to a resource looks in the target's
		// collection.
		g.count(l.Target.Kind, 0, at)
	}
	for i := range j.tasks {
		g.putTask(&j.tasks[i], at)
	}
	if k := j.change.Key; k != nil {
		g.keys[keyID(k.Who, k.Name)] = true
		g.add(`INSERT INTO keys (id, doc) VALUES ($1, $2)`, keyID(k.Who, k.Name), j.key)
	}
}

func isLink(e *occi.Entity) bool { return e.Source.ID != uuid.Nil }

// put writes an entity.
func (g *group) put(p *put, at int64) {
	e := p.e
	old := g.entities[e.ID]
	var had map[string]string
	members := int64(0)
	if old == nil {
		p.columns = columns{seq: next(g.counters, seqOfEntities), serial: next(g.counters, e.Kind), created: at}
		g.counted[seqOfEntities] = true
	} else {
		p.columns = old.columns
		had = keysOf(old.e)
		members -= live(old.e)
	}
	p.revision, p.updated = p.revision+1, at
	if old == nil {
		g.add(`INSERT INTO entities (seq, id, kind, serial, revision, created, updated, deleted, host, source, target, words, doc)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)`,
			p.seq, e.ID, e.Kind, p.serial, p.revision, p.created, p.updated, e.Deleted, indexed(e.Host),
			orNull(e.Source.ID), orNull(e.Target.ID), p.words, p.doc)
	} else {
		g.add(`UPDATE entities SET revision = $2, updated = $3, deleted = $4, host = $5, source = $6, target = $7, words = $8, doc = $9
			WHERE seq = $1`,
			p.seq, p.revision, p.updated, e.Deleted, indexed(e.Host),
			orNull(e.Source.ID), orNull(e.Target.ID), p.words, p.doc)
	}
	g.index(p.seq, had, p.keys)
	g.count(e.Kind, members+live(e), at)
	g.touched = append(g.touched, e.ID)
	g.entities[e.ID] = &entityRow{p.columns, e}
}

// live is what an entity counts for among the members of its collection.
func live(e *occi.Entity) int64 {
	if e.Deleted {
		return 0
	}
	return 1
}

func orNull(id uuid.UUID) any {
	if id == uuid.Nil {
		return nil
	}
	return id
}

// remove forgets an entity and gives what it was, nil if there was none.
func (g *group) remove(id uuid.UUID, at int64) *occi.Entity {
	x := g.entities[id]
	if x == nil {
		return nil
	}
	g.add(`DELETE FROM entities WHERE seq = $1`, x.seq)
	g.add(`DELETE FROM attributes WHERE entity = $1`, x.seq)
	g.count(x.e.Kind, -live(x.e), at)
	g.touched = append(g.touched, id)
	delete(g.entities, id)
	return x.e
}

// bump counts up the revision of a link's source.
func (g *group) bump(id uuid.UUID, at int64) {
	x := g.entities[id]
	if x == nil {
		return
	}
	x.revision++
	x.updated = at
	g.add(`UPDATE entities SET revision = $2, updated = $3 WHERE seq = $1`, x.seq, x.revision, at)
	g.count(x.e.Kind, 0, at)
}

// count notes a change in a kind's collection.
func (g *group) count(kind string, members, at int64) {
	if kind == "" {
		return
	}
	c := g.counters[kind]
	c.revision++
	c.members += members
	c.updated = max(c.updated, at)
	g.counters[kind] = c
	g.counted[kind] = true
}

// finish gives all that is to be written.
func (g *group) finish() []statement {
	for kind := range g.counted {
		c := g.counters[kind]
		g.add(`INSERT INTO kinds (kind, serial, revision, members, updated) VALUES ($1, $2, $3, $4, $5)
			ON CONFLICT (kind) DO UPDATE SET serial = excluded.serial, revision = excluded.revision,
			members = excluded.members, updated = excluded.updated`,
			kind, c.serial, c.revision, c.members, c.updated)
	}
	return g.out
}
