package store

import (
	"context"
	"fmt"
	"strconv"

	"github.com/google/uuid"

	"github.com/occid/occid/occi"
)

// List gives the entities that a query selects, with their links, and how many
// there are without Offset and Limit. Conditions on occi.core.source and
// occi.core.target compare the UUIDs that paths and URIs end in. Texts longer
// than 240 bytes are ordered by their first 240.
//
// It takes one statement that reads a revision (none on SQLite), and another one
// unless the same was asked before and nothing has changed since. The error is
// Invalid for more than 40 conditions, mixins and orders or an unknown
// comparison.
func (s *Store) List(ctx context.Context, q *occi.Query) (*occi.Page, error) {
	kinds := q.Kinds
	if q.LinkedTo != uuid.Nil {
		kinds = nil // the links are of other kinds
	}
	now, err := s.counter(ctx, kinds)
	if err != nil {
		return nil, err
	}
	key := fmt.Sprintf("%d %#v", now.revision, *q)
	if page, ok := s.pages.get(key); ok {
		return page, nil
	}
	page, size, err := s.readPage(ctx, q, now.members)
	// Those who know what they want seldom ask for it again.
	if err == nil && len(q.IDs) == 0 {
		s.pages.put(key, page, size+len(key), 0)
	}
	return page, err
}

// readPage reads what a query selects, members being in its kinds' collections.
func (s *Store) readPage(ctx context.Context, q *occi.Query, members int64) (*occi.Page, int, error) {
	sel := selection{d: &s.db.dialect, q: q}
	page := &occi.Page{Total: int(members)}
	if isPlain(q) {
		sel.plain(members)
	} else if err := sel.filtered(); err != nil {
		return nil, 0, err
	}
	size := 0
	var last *occi.Entity
	err := s.run(ctx, query{sel.statement(), func(from row) error {
		var rank int64
		var what int
		var r entityRow
		if err := r.scan(from, &rank, &what); err != nil {
			return err
		}
		switch strconv.Itoa(what) {
		case rowTotal:
			page.Total = int(r.seq)
			return nil
		case rowEntity:
			last = r.e
			page.Entities = append(page.Entities, r.e)
		case rowLink:
			last.Links = append(last.Links, r.e)
		}
		size += sizeOf(r.e)
		return nil
	}})
	return page, size, err
}
