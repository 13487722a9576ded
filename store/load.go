package store

import (
	"cmp"
	"context"
	"maps"
	"slices"

	"github.com/occid/occid/occi"
)

// Loads gives what all that is placed takes of the hosts together, in one statement.
func (s *Store) Loads(ctx context.Context) ([]occi.Load, error) {
	var found []occi.Load
	err := s.run(ctx, query{statement{sql: selectLoads}, func(from row) error {
		at, amount, err := scanLoad(from)
		found = append(found, occi.Load{Host: at.host, What: at.what, Amount: amount})
		return err
	}})
	return found, err
}

const selectLoads = `SELECT host, what, amount FROM loads`

// loadKey names a row of the table loads.
type loadKey struct{ host, what string }

func scanLoad(from row) (loadKey, int64, error) {
	var host, what []byte
	var amount int64
	err := from.Scan(&host, &what, &amount)
	return loadKey{string(host), string(what)}, amount, err
}

// loadBook is what a group knows of loads: what was read, of what is limited, and by how
// much the group changes any.
type loadBook struct {
	read, more map[loadKey]int64
}

func newLoadBook() loadBook {
	return loadBook{map[loadKey]int64{}, map[loadKey]int64{}}
}

// keyOfTake is where a take of an entity counts.
func keyOfTake(e *occi.Entity, t occi.Take) loadKey {
	switch {
	case t.Shared:
		return loadKey{"", kept(t.What)}
	case t.Host != "":
		return loadKey{kept(t.Host), kept(t.What)}
	}
	return loadKey{kept(e.Host), kept(t.What)}
}

func keyOfLimit(l occi.Limit) loadKey { return loadKey{kept(l.Host), kept(l.What)} }

// loadsIn loads what jobs limit.
func (g *group) loadsIn(jobs []*job) []query {
	hosts, whats := map[string]bool{}, map[string]bool{}
	for _, j := range jobs {
		for _, l := range j.change.Limits {
			at := keyOfLimit(l)
			hosts[at.host], whats[at.what] = true, true
		}
	}
	if len(hosts) == 0 {
		return nil
	}
	sql := selectLoads + ` WHERE ` + g.d.anyOfBytes("host", "$1") + ` AND ` + g.d.anyOfBytes("what", "$2")
	return []query{{statement{sql, []any{g.d.bytes(slices.Sorted(maps.Keys(hosts))), g.d.bytes(slices.Sorted(maps.Keys(whats)))}}, func(from row) error {
		at, amount, err := scanLoad(from)
		g.loads.read[at] = amount
		return err
	}}}
}

// loadChange is by how much a job changes loads, nil if it does not.
func (g *group) loadChange(j *job) map[loadKey]int64 {
	var more map[loadKey]int64
	g.replaced(j, func(e *occi.Entity, sign int64) {
		for _, t := range e.Takes {
			if more == nil {
				more = map[loadKey]int64{}
			}
			more[keyOfTake(e, t)] += sign * t.Amount
		}
	})
	return more
}

// checkLoads finds by how much a job changes loads, and refuses what a host has no room
// for.
func (g *group) checkLoads(j *job) error {
	more := g.loadChange(j)
	j.loads = more
	for _, l := range j.change.Limits {
		at := keyOfLimit(l)
		used := g.loads.read[at] + g.loads.more[at]
		if (more[at] > 0 || l.Gate) && used+more[at] > l.Most {
			return occi.E(occi.Conflict, "it cannot be placed: %w", &occi.Overload{Host: l.Host, What: l.What, Asked: more[at], Free: max(0, l.Most-used)})
		}
	}
	return nil
}

// applyLoads does what a job changes.
func (g *group) applyLoads(j *job) {
	for at, amount := range j.loads {
		g.loads.more[at] += amount
	}
}

// statements deletes what nothing is taken of any more and gives what to add to the
// rows, which are written in one order by all.
func (b *loadBook) statements() (rows [][]any, emptied []statement) {
	for at, amount := range b.more {
		if amount == 0 {
			continue
		}
		key := []any{[]byte(at.host), []byte(at.what)}
		rows = append(rows, append(slices.Clone(key), amount))
		if amount < 0 {
			emptied = append(emptied, statement{`DELETE FROM loads WHERE host = $1 AND what = $2 AND amount <= 0`, key})
		}
	}
	slices.SortFunc(rows, func(a, b []any) int {
		return cmp.Or(slices.Compare(a[0].([]byte), b[0].([]byte)), slices.Compare(a[1].([]byte), b[1].([]byte)))
	})
	return rows, emptied
}
