package store

import (
	"context"
	"maps"
	"slices"

	"github.com/google/uuid"

	"github.com/occid/occid/occi"
)

// WithUses has the store keep how long entities use what: uses tells by an entity how much
// that is. It depends on nothing but the entity and the registry.
func WithUses(uses func(*occi.Entity) occi.Use) Option {
	return func(s *Store) { s.uses = uses }
}

// usageKey names a row of the table usage.
type usageKey struct{ entity, began int64 }

// usageRow is a row of it, ended being 0 if it is open.
type usageRow struct {
	usageKey
	ended          int64
	id             uuid.UUID
	kind           string
	project, owner string
	use            occi.Use
}

// usageBook is what a group knows of the table usage.
type usageBook struct {
	uses func(*occi.Entity) occi.Use // nil if nothing is kept
	open map[int64]*usageRow         // by entity
	rows map[usageKey]*usageRow      // to write
}

// usageIn loads the open rows of the entities that jobs change.
func (g *group) usageIn(jobs []*job) []query {
	if g.usage.uses == nil {
		return nil
	}
	var ids []uuid.UUID
	for _, j := range jobs {
		for _, e := range j.change.Puts {
			if e.Revision > 0 {
				ids = append(ids, e.ID)
			}
		}
		for _, r := range j.change.Removes {
			ids = append(ids, r.ID)
		}
	}
	if len(ids) == 0 {
		return nil
	}
	among, list := g.d.anyOf("e.id", "$1", ids)
	sql := selectUsage + ` CROSS JOIN entities e WHERE u.entity = e.seq AND u.ended = 0 AND ` + among
	return []query{{statement{sql, []any{list}}, func(from row) error {
		r, err := scanUsage(from)
		g.usage.open[r.entity] = r
		return err
	}}}
}

const selectUsage = `SELECT u.entity, u.id, u.began, u.ended, u.kind, u.project, u.owner, u.computes, u.cores, u.memory, u.storage, u.addresses FROM usage u`

func scanUsage(from row) (*usageRow, error) {
	r := &usageRow{}
	var project, owner []byte
	u := &r.use
	err := from.Scan(&r.entity, &r.id, &r.began, &r.ended, &r.kind, &project, &owner, &u.Computes, &u.Cores, &u.Memory, &u.Storage, &u.Addresses)
	r.kind, r.project, r.owner = intern(r.kind), intern(string(project)), intern(string(owner))
	return r, err
}

// used begins and ends what an entity uses, nil standing for none.
func (g *group) used(seq int64, now *occi.Entity, at int64) {
	b := &g.usage
	if b.uses == nil {
		return
	}
	var use occi.Use
	if now != nil && !now.Deleted {
		use = b.uses(now)
	}
	open := b.open[seq]
	switch {
	case open == nil && use == (occi.Use{}):
		return
	case open != nil && use == open.use:
		return
	case open != nil && open.began >= at:
		// It has lasted no time, or another server's clock is ahead of this one's.
		at = open.began
		open.use = use
		if open.ended = 0; use == (occi.Use{}) {
			open.ended = at
			delete(b.open, seq)
		}
		b.rows[open.usageKey] = open
		return
	case open != nil:
		open.ended = at
		b.rows[open.usageKey] = open
		delete(b.open, seq)
	}
	if use == (occi.Use{}) {
		return
	}
	r := &usageRow{usageKey: usageKey{seq, at}, id: now.ID, kind: now.Kind, project: now.Project, owner: now.Owner, use: use}
	b.open[seq], b.rows[r.usageKey] = r, r
}

// values gives what to write, in one order for all.
func (b *usageBook) values() [][]any {
	keys := slices.SortedFunc(maps.Keys(b.rows), func(a, b usageKey) int {
		return slices.Compare([]int64{a.entity, a.began}, []int64{b.entity, b.began})
	})
	out := make([][]any, len(keys))
	for i, k := range keys {
		r := b.rows[k]
		out[i] = []any{r.entity, r.id, r.began, r.ended, r.kind, []byte(kept(r.project)), []byte(kept(r.owner)),
			r.use.Computes, r.use.Cores, r.use.Memory, r.use.Storage, r.use.Addresses}
	}
	return out
}

// Usage hands the intervals that a query selects to f, in no order.
func (s *Store) Usage(ctx context.Context, q *occi.UsageQuery, f func(*occi.Interval)) error {
	from, to := micros(q.From), micros(q.To)
	args := []any{from, to}
	more := ""
	if q.Project != "" {
		args = append(args, []byte(kept(q.Project)))
		more += " AND project = $3"
	}
	if q.Owner != "" {
		args = append(args, []byte(kept(q.Owner)))
		more += " AND owner = $" + string(rune('0'+len(args)))
	}
	// Each half is a range of the index.
	sql := selectUsage + ` WHERE ended > $1 AND began < $2` + more + ` UNION ALL ` + selectUsage + ` WHERE ended = 0 AND began < $2` + more
	return s.run(ctx, query{statement{sql, args}, func(from row) error {
		r, err := scanUsage(from)
		if err != nil {
			return err
		}
		f(&occi.Interval{Entity: r.id, Kind: r.kind, Project: r.project, Owner: r.owner, Use: r.use, Began: fromMicros(r.began), Ended: fromMicros(r.ended)})
		return nil
	}})
}

func newUsageBook(uses func(*occi.Entity) occi.Use) usageBook {
	return usageBook{uses: uses, open: map[int64]*usageRow{}, rows: map[usageKey]*usageRow{}}
}
