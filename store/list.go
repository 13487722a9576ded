package store

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/google/uuid"

	"github.com/occid/occid/occi"
)

// List gives the entities that a query selects, with their links, and how many
// there are without Offset and Limit. Conditions on occi.core.source and
// occi.core.target compare the UUIDs that paths and URIs end in. Texts longer
// than 240 bytes are ordered by their first 240.
//
// It takes one statement that reads a count (none on SQLite, and none if the query
// has it), and another one unless the same was asked before and nothing has
// changed since. The error is Invalid for more than 40 conditions, mixins and
// orders or an unknown comparison.
func (s *Store) List(ctx context.Context, q *occi.Query) (*occi.Page, error) {
	now := q.Count
	if now == nil {
		count, err := s.countFor(ctx, q)
		if err != nil {
			return nil, err
		}
		now = &count
	}
	asked := *q
	asked.Count = nil
	key := fmt.Sprintf("%d %#v", now.Revision, asked)
	if page, ok := s.pages.get(key); ok {
		return page, nil
	}
	page, size, err := s.readPage(ctx, q, now)
	// Those who know what they want seldom ask for it again.
	if err == nil && len(q.IDs) == 0 {
		s.pages.put(key, page, size+len(key), 0)
	}
	return page, err
}

// countFor counts all that what a query selects depends on.
func (s *Store) countFor(ctx context.Context, q *occi.Query) (occi.Count, error) {
	if q.Where != nil {
		return s.Visible(ctx, q)
	}
	if q.LinkedTo == uuid.Nil {
		return s.Count(ctx, q.Kinds, q.Reach...)
	}
	// The links are of other kinds, and so is what may have been moved.
	counters, err := s.reached(ctx, q.Reach)
	all, own := s.sum(counters, nil), s.own()
	for _, kind := range append(slices.Clone(q.Kinds), q.Pooled) {
		if slices.Contains(own, kind) {
			all.revision += counters[kind].revision
			all.updated = max(all.updated, counters[kind].updated)
		}
	}
	return all.count(), err
}

// readPage reads what a query selects, given the count of its kinds.
func (s *Store) readPage(ctx context.Context, q *occi.Query, now *occi.Count) (*occi.Page, int, error) {
	sel := selection{d: &s.db.dialect, q: q, own: s.own()}
	page := &occi.Page{Total: now.Members, Count: *now}
	if isPlain(q) {
		sel.plain(int64(now.Members))
	} else if err := sel.filtered(); err != nil {
		return nil, 0, err
	}
	found := newHits()
	size := 0
	err := s.run(ctx, query{sel.statement(), func(from row) error {
		rank, what, x, l, err := found.scan(from)
		if err != nil {
			return err
		}
		switch what {
		case rowTotal:
			page.Total = int(x.seq)
		case rowEntity:
			size += found.add(rank, x.e, l.e)
		case rowLinked:
			page.LinkedTo = x.e
			size += sizeOf(x.e)
		case rowBefore:
			page.Earlier = fromMicros(x.seq)
		}
		return nil
	}})
	page.Entities = found.join()
	return page, size, err
}

// hit is an entity with the rank of the one that a selection found, which it is
// or is a link of.
type hit struct {
	rank int64
	e    *occi.Entity
}

// hits are what a selection found, in any order.
type hits struct {
	entities, links []hit
	known           map[int64]*occi.Entity // by number
}

func newHits() *hits { return &hits{known: map[int64]*occi.Entity{}} }

// scan reads a row: the entity that it is of, and the link. An entity that is known is not
// made again.
func (h *hits) scan(from row) (rank int64, what string, x, l entityRow, err error) {
	var doc, link []byte
	var number int
	err = from.Scan(&rank, &number, &x.seq, &x.serial, &x.revision, &x.created, &x.updated, &doc, &l.seq, &l.serial, &l.revision, &l.created, &l.updated, &link)
	if err != nil {
		return 0, "", x, l, err
	}
	what = strconv.Itoa(number)
	if x.e = h.known[x.seq]; x.e == nil || what != rowEntity {
		err = x.decode(doc)
	}
	return rank, what, x, l, errors.Join(err, l.decode(link))
}

// add takes in an entity and a link of it, if any, and tells how many bytes are new.
func (h *hits) add(rank int64, x, link *occi.Entity) (size int) {
	if h.known[x.Seq] == nil {
		h.known[x.Seq] = x
		h.entities = append(h.entities, hit{rank, x})
		size = sizeOf(x)
	}
	if link != nil {
		h.links = append(h.links, hit{rank, link})
		size += sizeOf(link)
	}
	return size
}

// join gives the entities in the order of their rank, with their links in the
// order of creation.
func (h *hits) join() []*occi.Entity {
	before := func(a, b hit) int { return cmp.Or(cmp.Compare(a.rank, b.rank), cmp.Compare(a.e.Seq, b.e.Seq)) }
	slices.SortFunc(h.entities, before)
	slices.SortFunc(h.links, before)
	var out []*occi.Entity
	links := h.links
	for _, x := range h.entities {
		for len(links) > 0 && links[0].rank == x.rank {
			x.e.Links = append(x.e.Links, links[0].e)
			links = links[1:]
		}
		out = append(out, x.e)
	}
	return out
}
