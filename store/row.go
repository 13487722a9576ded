package store

import (
	"github.com/google/uuid"

	"github.com/occid/occid/occi"
)

const selectEntities = `SELECT seq, serial, revision, created, updated, doc FROM entities`

// entityColumns are those of selectEntities, of a table of a name.
func entityColumns(t string) string {
	return t + ".seq, " + t + ".serial, " + t + ".revision, " + t + ".created, " + t + ".updated, " + t + ".doc"
}

// columns are what the store itself gives an entity.
type columns struct {
	seq, serial, revision, created, updated int64
}

func (c *columns) set(e *occi.Entity) {
	e.Seq, e.Serial, e.Revision = c.seq, c.serial, c.revision
	e.Created, e.Updated = fromMicros(c.created), fromMicros(c.updated)
}

// entityRow is a row of the table entities: as it was read, and, in a group, as
// that leaves it. The columns count, not what the entity says of them.
type entityRow struct {
	columns
	e *occi.Entity

	stored  *occi.Entity // as it was read; nil if the group makes it
	content *put         // what replaces the content, nil for nothing
	changed bool         // it is to be written
	removed bool
}

// exists reports whether there is such an entity.
func (x *entityRow) exists() bool { return x != nil && !x.removed }

// scan reads a row of the columns of selectEntities. The
// entity is nil if the document is.
func (x *entityRow) scan(from row) error {
	var doc []byte
	if err := from.Scan(&x.seq, &x.serial, &x.revision, &x.created, &x.updated, &doc); err != nil {
		return err
	}
	return x.decode(doc)
}

// decode makes the entity of its document, and none of none.
func (x *entityRow) decode(doc []byte) (err error) {
	if doc == nil {
		return nil
	}
	if x.e, err = decodeEntity(doc); err != nil {
		return occi.E(occi.Internal, "entity number %d is kept as what cannot be read: %w", x.seq, err)
	}
	x.set(x.e)
	return nil
}

// entitiesIn loads rows.
func (g *group) entitiesIn(ids []uuid.UUID) query {
	return g.entitiesWhere(g.d.anyOf("id", "$1", ids))
}

func (g *group) entitiesWhere(condition string, arg any) query {
	sql := selectEntities + ` WHERE ` + condition
	return query{statement{sql, []any{arg}}, func(from row) error {
		x := &entityRow{}
		if err := x.scan(from); err != nil {
			return err
		}
		x.stored = x.e
		g.entities[x.e.ID] = x
		return nil
	}}
}

// change marks a row as one to write.
func (g *group) change(x *entityRow) {
	if !x.changed {
		x.changed = true
		g.changed = append(g.changed, x)
	}
}

// put makes or replaces an entity.
func (g *group) put(p *put, at int64) {
	id := p.e.ID
	x := g.entities[id]
	members := live(p.e)
	var old *occi.Entity
	if x.exists() {
		old = x.e
		members -= live(x.e)
	} else {
		x = &entityRow{columns: columns{seq: g.next(seqOfEntities), serial: g.next(p.e.Kind), created: at}}
		g.entities[id] = x
	}
	x.e, x.content = p.e, p
	x.revision++
	x.updated = at
	p.columns = x.columns
	if p.e.Kind == occi.QuotaKind {
		p.e.Written = x.revision
	}
	g.change(x)
	g.count(p.e.Kind, members, at)
	g.tallyPut(old, p.e, at)
	g.tell(old, p.e, at)
	g.used(x.seq, p.e, at)
	g.touched[id] = true
	if led := g.leading[p.e.Target.ID]; led != nil {
		led[id] = true
	}
}

// remove forgets an entity and gives what it was, nil if there was none.
func (g *group) remove(id uuid.UUID, at int64) *occi.Entity {
	x := g.entities[id]
	if !x.exists() {
		return nil
	}
	x.removed = true
	g.change(x)
	g.count(x.e.Kind, -live(x.e), at)
	g.tallyPut(x.e, nil, at)
	g.dropSecret(x.e)
	g.tell(x.e, nil, at)
	g.used(x.seq, nil, at)
	g.touched[id] = true
	return x.e
}

// bump brings an entity to its next revision.
func (g *group) bump(id uuid.UUID, at int64) {
	x := g.entities[id]
	if !x.exists() {
		return
	}
	x.revision++
	x.updated = at
	g.change(x)
	g.count(x.e.Kind, 0, at)
	g.tally(x.e.Reach(), x.e.Kind, 0, at)
	if isLink(x.e) {
		// Another entity is shown with it.
		g.touched[x.e.Source.ID] = true
		g.count(x.e.Source.Kind, 0, at)
		g.tally(x.e.Reach(), x.e.Source.Kind, 0, at)
	}
}

// live is what an entity counts for among the members of its collection.
func live(e *occi.Entity) int64 {
	if e.Deleted {
		return 0
	}
	return 1
}

// values gives the values of a row that has content.
func (x *entityRow) values() []any {
	e := x.e
	return []any{x.seq, e.ID, e.Kind, x.serial, x.revision, x.created, x.updated, e.Deleted, indexed(e.Host),
		orNull(e.Source.ID), orNull(e.Target.ID), x.content.words, x.content.doc, []byte(kept(e.Reach())), []byte(kept(e.Project))}
}

// rewrite deletes a row that was there, or changes it without its content.
func (x *entityRow) rewrite() []statement {
	if x.removed {
		return []statement{
			{`DELETE FROM entities WHERE seq = $1`, []any{x.seq}},
			{`DELETE FROM attributes WHERE entity = $1`, []any{x.seq}},
		}
	}
	return []statement{{`UPDATE entities SET revision = $2, updated = $3 WHERE seq = $1`, []any{x.seq, x.revision, x.updated}}}
}

// reindex brings the keys of a row whose content changed from those it had to
// those it has: what goes, and the rows of attributes that change and that come.
func (x *entityRow) reindex() (gone []statement, changed, added [][]any) {
	if x.removed || x.content == nil {
		return nil, nil, nil
	}
	var had map[string]string
	if x.stored != nil {
		had = keysOf(x.stored)
	}
	for name := range had {
		if _, ok := x.content.keys[name]; !ok {
			gone = append(gone, statement{`DELETE FROM attributes WHERE entity = $1 AND name = $2`, []any{x.seq, indexed(name)}})
		}
	}
	for name, key := range x.content.keys {
		row := []any{x.seq, indexed(name), []byte(key)}
		switch old, ok := had[name]; {
		case !ok:
			added = append(added, row)
		case old != key:
			changed = append(changed, row)
		}
	}
	return gone, changed, added
}

func orNull(id uuid.UUID) any {
	if id == uuid.Nil {
		return nil
	}
	return id
}
