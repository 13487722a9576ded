package store

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"

	"github.com/google/uuid"

	"github.com/occid/occid/occi"
)

// allowed restricts a table of entities to what a condition holds of; the text begins
// with AND, and is empty for no condition.
func (x *selection) allowed(table string, w *occi.Where) string {
	if w == nil {
		return ""
	}
	return " AND " + x.whether(table, w)
}

// whether is a condition as SQL has it. It is never NULL, so that NOT means the opposite.
func (x *selection) whether(table string, w *occi.Where) string {
	switch w.Op {
	case occi.WhereAll:
		return x.each(table, w.Of, " AND ", "1 = 1")
	case occi.WhereAny:
		return x.each(table, w.Of, " OR ", "1 = 0")
	case occi.WhereNot:
		return "NOT " + x.whether(table, w.Of[0])
	case occi.WhereKind:
		names := make([]string, len(w.Names))
		for i, n := range w.Names {
			names[i] = x.arg(n)
		}
		return table + ".kind IN (" + strings.Join(names, ", ") + ")"
	case occi.WhereProject:
		return table + ".project IN (" + x.bytesOf(w.Names, func(s string) []byte { return []byte(kept(s)) }) + ")"
	case occi.WhereShared:
		return table + ".reach = " + x.arg([]byte(occi.Everyone))
	case occi.WhereHost:
		return table + ".host IN (" + x.bytesOf(w.Names, indexed) + ")"
	case occi.WhereID:
		ids := make([]string, len(w.IDs))
		for i, id := range w.IDs {
			ids[i] = x.arg(id)
		}
		return table + ".id IN (" + strings.Join(ids, ", ") + ")"
	}
	return x.whetherSays(table, w)
}

// whetherSays is whether of what is looked up in other tables.
func (x *selection) whetherSays(table string, w *occi.Where) string {
	keyed := func(name, on string) string {
		return "EXISTS (SELECT 1 FROM attributes w WHERE w.entity = " + table + ".seq AND w.name " + name + on + ")"
	}
	switch w.Op {
	case occi.WhereMixin:
		return keyed("IN ("+x.bytesOf(w.Names, indexed)+")", " AND w.key = "+x.arg([]byte(mixinKey)))
	case occi.WhereHas:
		return keyed("= "+x.arg(indexed(w.Cond.Name)), "")
	case occi.WhereCond:
		if conditions, err := x.compare(w.Cond); err == nil {
			return keyed("= "+x.arg(indexed(w.Cond.Name)), " AND w.key "+strings.Join(conditions, " AND w.key "))
		}
	case occi.WherePrefix:
		from := append([]byte(textKey), kept(w.Cond.Value.Text)...)
		return keyed("= "+x.arg(indexed(w.Cond.Name)), " AND w.key >= "+x.arg(from)+" AND w.key < "+x.arg(after(from)))
	case occi.WhereBelongs:
		targets := []uuid.UUID{}
		for _, n := range w.Names {
			if id, ok := occi.ParseID(n); ok {
				targets = append(targets, id)
			}
		}
		return "EXISTS (SELECT 1 FROM entities w WHERE w.source = " + table + ".id AND w.kind = " + x.arg(occi.MembershipKind) +
			" AND NOT w.deleted AND " + x.in("w.target", targets) + ")"
	}
	return "(1 = 0)" // of what is not known, nothing is shown
}

func (x *selection) each(table string, of []*occi.Where, between, none string) string {
	if len(of) == 0 {
		return "(" + none + ")"
	}
	texts := make([]string, len(of))
	for i, w := range of {
		texts[i] = x.whether(table, w)
	}
	return "(" + strings.Join(texts, between) + ")"
}

// bytesOf adds a parameter for each of some names.
func (x *selection) bytesOf(names []string, coded func(string) []byte) string {
	params := make([]string, len(names))
	for i, n := range names {
		params[i] = x.arg(coded(n))
	}
	return strings.Join(params, ", ")
}

// after is the first key after all that begin with one. The first byte of a key is
// small, so there always is one.
func after(prefix []byte) []byte {
	next := slices.Clone(prefix)
	for len(next) > 0 && next[len(next)-1] == 0xff {
		next = next[:len(next)-1]
	}
	next[len(next)-1]++
	return next
}

// seenKey names what was counted of what a condition holds of.
type seenKey struct {
	revision     int64 // of everything within reach
	where, kinds string
}

// Visible counts of a query's Kinds what its Where holds of, within its Reach. The
// Revision differs whenever anything of that does, or a link that it holds of, and tells
// nothing of what it does not hold of.
//
// It takes what Count does, and another statement unless nothing has changed since
// the same was counted.
func (s *Store) Visible(ctx context.Context, q *occi.Query) (occi.Count, error) {
	if q.Where == nil {
		return s.Count(ctx, q.Kinds, q.Reach...)
	}
	reach := q.Reach
	if q.Where.Uses(occi.WhereBelongs) {
		reach = nil // memberships are their users'
	}
	counters, err := s.reached(ctx, reach)
	if err != nil {
		return occi.Count{}, err
	}
	key := seenKey{where: q.Where.String() + strings.Join(q.Reach, " "), kinds: strings.Join(q.Kinds, " ")}
	if q.LinkedTo != uuid.Nil {
		key.kinds += " " + q.LinkedTo.String()
	}
	for _, c := range counters {
		key.revision += c.revision
	}
	if c, ok := s.seen.get(key); ok {
		return c, nil
	}
	now, err := s.look(ctx, q)
	if err == nil {
		s.seen.put(key, now, len(key.where)+len(key.kinds)+seenSize, 0)
	}
	return now, err
}

const (
	seenBudget = 4 << 20
	seenSize   = 128
)

// look counts what a query's Where holds of. What is shown of a collection are its
// members and links, so changes of both count. What a look-up by links finds depends on
// more than the members' kinds: everything that the condition holds of counts.
func (s *Store) look(ctx context.Context, q *occi.Query) (occi.Count, error) {
	x := selection{d: &s.db.dialect, q: q, own: s.own()}
	if q.LinkedTo == uuid.Nil {
		x.kinds()
	} else {
		x.where = []string{"NOT e.deleted" + x.within("e")}
	}
	members := strings.Join(x.where, " AND ")
	links := "NOT e.deleted AND e.source IS NOT NULL" + x.within("e")
	sums := `count(*), COALESCE(CAST(sum(e.revision) AS BIGINT), 0), COALESCE(CAST(sum(e.seq) AS BIGINT), 0), COALESCE(max(e.updated), 0),
		COALESCE(CAST(sum(e.updated % 1000003) AS BIGINT), 0) FROM entities e WHERE `
	var now occi.Count
	var seen [2][5]int64
	err := s.run(ctx, query{statement{"SELECT 0, " + sums + members + " UNION ALL SELECT 1, " + sums + links, x.args}, func(from row) error {
		var which int
		var n [5]int64
		err := from.Scan(&which, &n[0], &n[1], &n[2], &n[3], &n[4])
		seen[which&1] = n
		return err
	}})
	now.Members, now.Updated = int(seen[0][0]), fromMicros(max(seen[0][3], seen[1][3]))
	sum := sha256.Sum256(fmt.Append(nil, seen))
	now.Revision = int64(binary.BigEndian.Uint64(sum[:]) >> 1)
	return now, err
}
