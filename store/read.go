package store

import (
	"cmp"
	"context"
	"slices"
	"strings"

	"github.com/google/uuid"

	"github.com/occid/occid/occi"
)

// Entity gives an entity that is not deleted, with its links, or NotFound. It
// takes one statement, on SQLite none if the entity is in memory.
func (s *Store) Entity(ctx context.Context, id uuid.UUID) (*occi.Entity, error) {
	e, err := s.EntityAny(ctx, id)
	if err == nil && e.Deleted {
		return nil, noEntity(id)
	}
	return e, err
}

func noEntity(id uuid.UUID) error { return occi.E(occi.NotFound, "there is no entity %s", id) }

// EntityAny is Entity for deleted ones too. The links of a deleted entity are all
// that are left, since they share its fate; those of another are the ones not
// deleted.
func (s *Store) EntityAny(ctx context.Context, id uuid.UUID) (*occi.Entity, error) {
	if s.entities == nil {
		e, _, err := s.readEntity(ctx, id)
		return e, err
	}
	c := s.shard(id)
	if e, ok := c.get(id); ok {
		return e, nil
	}
	mark := c.mark()
	e, size, err := s.readEntity(ctx, id)
	if err == nil {
		c.put(id, e, size, mark)
	}
	return e, err
}

// readEntity reads an entity with its links, and tells about how much memory
// they take.
func (s *Store) readEntity(ctx context.Context, id uuid.UUID) (*occi.Entity, int, error) {
	var found *occi.Entity
	var links []*occi.Entity
	size := 0
	q := entities(selectEntities+` WHERE id = $1 UNION ALL `+selectEntities+` WHERE source = $1`,
		func(e *occi.Entity) {
			size += sizeOf(e)
			if e.ID == id {
				found = e
			} else {
				links = append(links, e)
			}
		}, id)
	if err := s.run(ctx, q); err != nil {
		return nil, 0, err
	}
	if found == nil {
		return nil, 0, noEntity(id)
	}
	if !found.Deleted {
		links = slices.DeleteFunc(links, func(l *occi.Entity) bool { return l.Deleted })
	}
	slices.SortFunc(links, func(a, b *occi.Entity) int { return cmp.Compare(a.Seq, b.Seq) })
	found.Links = links
	return found, size, nil
}

// Linked gives an entity that is not deleted, with its links, and the resources
// of this server that they lead to, without theirs; or NotFound. It takes one
// statement.
func (s *Store) Linked(ctx context.Context, id uuid.UUID) (*occi.Entity, []*occi.Entity, error) {
	var found *occi.Entity
	var links, targets []*occi.Entity
	q := entities(selectEntities+` WHERE id = $1 UNION ALL `+selectEntities+` WHERE source = $1 UNION ALL `+
		selectEntities+` WHERE id <> $1 AND id IN (SELECT target FROM entities WHERE source = $1)`,
		func(e *occi.Entity) {
			switch {
			case e.ID == id:
				found = e
			case e.Deleted:
			case e.Source.ID == id:
				links = append(links, e)
			default:
				targets = append(targets, e)
			}
		}, id)
	if err := s.run(ctx, q); err != nil {
		return nil, nil, err
	}
	if found == nil || found.Deleted {
		return nil, nil, noEntity(id)
	}
	bySeq := func(a, b *occi.Entity) int { return cmp.Compare(a.Seq, b.Seq) }
	slices.SortFunc(links, bySeq)
	slices.SortFunc(targets, bySeq)
	found.Links = links
	return found, targets, nil
}

// Incoming gives the links, deleted or not, that lead to any of the targets, in
// order of creation.
func (s *Store) Incoming(ctx context.Context, targets ...uuid.UUID) ([]*occi.Entity, error) {
	var found []*occi.Entity
	among, list := s.db.anyOf("target", "$1", targets)
	err := s.run(ctx, entities(selectEntities+` WHERE `+among+` ORDER BY seq`, func(e *occi.Entity) { found = append(found, e) }, list))
	return found, err
}

// HostEntities gives the first n resources placed on a host whose Seq is after
// one, deleted or not, in order of creation, with all their links, deleted or not.
func (s *Store) HostEntities(ctx context.Context, host string, after int64, n int) ([]*occi.Entity, error) {
	found := newHits()
	x := selection{where: []string{"host = $1 AND seq > $2 AND source IS NULL"}, args: []any{indexed(host), after, n}}
	x.without("kind", s.own())
	sql := `WITH page AS (SELECT seq, seq AS rank FROM entities WHERE ` + strings.Join(x.where, " AND ") + ` ORDER BY seq LIMIT ` + bigint("$3") + `)` + pageRows("")
	err := s.run(ctx, query{statement{sql, x.args}, func(from row) error {
		rank, _, x, l, err := found.scan(from)
		if err == nil {
			found.add(rank, x.e, l.e)
		}
		return err
	}})
	if err != nil {
		return nil, err
	}
	return found.join(), nil
}

// HostMembers gives the first n resources placed on a host, not deleted, that a
// selection includes and whose Seq is after one, in order of creation and without
// their links.
func (s *Store) HostMembers(ctx context.Context, host string, of occi.Either, after int64, n int) ([]*occi.Entity, error) {
	x := selection{d: &s.db.dialect}
	sql := `SELECT ` + entityColumns("e") + ` FROM entities e WHERE e.host = ` + x.arg(indexed(host)) + ` AND e.seq > ` + x.arg(after) +
		` AND e.source IS NULL AND NOT e.deleted AND ` + x.either(of) + ` ORDER BY e.seq LIMIT ` + x.bound(int64(n))
	var found []*occi.Entity
	err := s.run(ctx, entities(sql, func(e *occi.Entity) { found = append(found, e) }, x.args...))
	return found, err
}

// HostRevisions gives the revision of every resource that is placed on a host and
// not deleted.
func (s *Store) HostRevisions(ctx context.Context, host string) (map[uuid.UUID]int64, error) {
	found := map[uuid.UUID]int64{}
	x := selection{where: []string{"host = $1 AND source IS NULL AND NOT deleted"}, args: []any{indexed(host)}}
	x.without("kind", s.own())
	err := s.run(ctx, query{statement{`SELECT id, revision FROM entities WHERE ` + strings.Join(x.where, " AND "), x.args}, func(from row) error {
		var id uuid.UUID
		var revision int64
		err := from.Scan(&id, &revision)
		found[id] = revision
		return err
	}})
	return found, err
}

// entities makes a query on the columns of selectEntities.
func entities(sql string, found func(*occi.Entity), args ...any) query {
	return query{statement{sql, args}, func(from row) error {
		var r entityRow
		if err := r.scan(from); err != nil {
			return err
		}
		found(r.e)
		return nil
	}}
}

// sizeOf is about the memory an entity takes, without its links. Names are shared.
func sizeOf(e *occi.Entity) int {
	const fixed, perAttribute, perString = 512, 64, 16
	n := fixed + len(e.Title) + len(e.Summary) + len(e.Source.URI) + len(e.Target.URI)
	n += perAttribute*len(e.Attributes) + perString*(len(e.Mixins)+len(e.Tasks)+len(e.Links))
	for _, a := range e.Attributes {
		n += len(a.Value.Text)
	}
	return n
}
