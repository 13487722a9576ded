package store

import (
	"context"
	"maps"
	"slices"

	"github.com/occid/occid/occi"
)

// tallyKey names a row of the table tallies.
type tallyKey struct{ reach, kind string }

// tallyBudget bounds the tallies that are kept in memory, in bytes.
const (
	tallyBudget = 4 << 20
	tallySize   = 128 // of one, about
)

// tallyBook is what a group knows of tallies: what was read, of what a job is based on,
// and by how much the group changes any.
type tallyBook struct {
	read, more map[tallyKey]counter
}

func newTallyBook() tallyBook { return tallyBook{map[tallyKey]counter{}, map[tallyKey]counter{}} }

// tally counts a change in the part of a kind's collection that is somebody's.
func (g *group) tally(reach, kind string, members, at int64) {
	if reach == "" || kind == "" {
		return
	}
	k := tallyKey{kept(reach), kind}
	c := g.tallies.more[k]
	c.revision++
	c.members += members
	c.updated = max(c.updated, at)
	g.tallies.more[k] = c
}

// tallyPut counts an entity that is made, replaced or, with a nil now, forgotten.
func (g *group) tallyPut(old, now *occi.Entity, at int64) {
	var from, to string
	var was, is int64
	if old != nil {
		from, was = old.Reach(), live(old)
	}
	if now != nil {
		to, is = now.Reach(), live(now)
	}
	switch {
	case old == nil:
		g.tally(to, now.Kind, is, at)
	case now == nil:
		g.tally(from, old.Kind, -was, at)
	case from != to:
		g.tally(from, old.Kind, -was, at)
		g.tally(to, now.Kind, is, at)
	default:
		g.tally(to, now.Kind, is-was, at)
	}
}

// rows gives what to add to the table, in one order for all.
func (b *tallyBook) rows() [][]any {
	keys := slices.SortedFunc(maps.Keys(b.more), func(a, b tallyKey) int {
		return slices.Compare([]string{a.reach, a.kind}, []string{b.reach, b.kind})
	})
	rows := make([][]any, len(keys))
	for i, k := range keys {
		c := b.more[k]
		rows[i] = []any{[]byte(k.reach), k.kind, c.revision, c.members, c.updated}
	}
	return rows
}

// talliesIn loads the tallies that jobs are based on.
func (g *group) talliesIn(jobs []*job) []query {
	var of []string
	for _, j := range jobs {
		for _, b := range j.change.Based {
			of = append(of, b.Reach...)
		}
	}
	if len(of) == 0 {
		return nil
	}
	return []query{g.d.tallies(of, func(k tallyKey, c counter) { g.tallies.read[k] = c })}
}

// tallies makes a query.
func (d *dialect) tallies(of []string, found func(tallyKey, counter)) query {
	sql := `SELECT reach, kind, revision, members, updated FROM tallies WHERE ` + d.anyOfBytes("reach", "$1")
	return query{statement{sql, []any{d.bytes(of)}}, func(from row) error {
		var reach []byte
		var k tallyKey
		var c counter
		err := from.Scan(&reach, &k.kind, &c.revision, &c.members, &c.updated)
		k.reach = string(reach)
		found(k, c)
		return err
	}}
}

// basedOn gives the counters that a job is based on, as the group leaves them.
func (g *group) basedOn(b occi.Based) map[string]counter {
	if len(b.Reach) == 0 {
		return g.counters
	}
	all := map[string]counter{}
	for _, book := range []map[tallyKey]counter{g.tallies.read, g.tallies.more} {
		for k, c := range book {
			if slices.Contains(b.Reach, k.reach) {
				all[k.kind] = all[k.kind].plus(c)
			}
		}
	}
	return all
}

func (c counter) plus(o counter) counter {
	c.revision += o.revision
	c.members += o.members
	c.updated = max(c.updated, o.updated)
	return c
}

// reached gives the counters of kinds of what is anybody's of reach, of all without it.
func (s *Store) reached(ctx context.Context, reach []string) (map[string]counter, error) {
	if len(reach) == 0 {
		return s.allCounters(ctx)
	}
	all := map[string]counter{}
	add := func(of map[string]counter) {
		for kind, c := range of {
			all[kind] = all[kind].plus(c)
		}
	}
	var missing []string
	var mark uint64
	if s.tallies != nil {
		mark = s.tallies.mark()
	}
	for _, r := range reach {
		if s.tallies != nil {
			if of, ok := s.tallies.get(r); ok {
				add(of)
				continue
			}
		}
		missing = append(missing, r)
	}
	if len(missing) == 0 {
		return all, nil
	}
	read := map[string]map[string]counter{}
	for _, r := range missing {
		read[r] = map[string]counter{}
	}
	if err := s.run(ctx, s.db.tallies(missing, func(k tallyKey, c counter) { read[k.reach][k.kind] = c })); err != nil {
		return nil, err
	}
	for r, of := range read {
		add(of)
		if s.tallies != nil {
			s.tallies.put(r, of, tallySize*(1+len(of)), mark)
		}
	}
	return all, nil
}
