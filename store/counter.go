package store

import (
	"context"
	"slices"

	"github.com/occid/occid/occi"
)

// counter is a row of the table kinds.
type counter struct {
	serial   int64 // the last one given
	revision int64
	members  int64 // not deleted
	updated  int64 // microseconds
}

const selectCounters = `SELECT kind, serial, revision, members, updated FROM kinds`

// Count gives what is counted of the kinds' collections; no kinds means all but the provider's own. It
// takes one statement on PostgreSQL, and on SQLite none but while a change is
// being written. With reach, only what is in the lists of those counts.
func (s *Store) Count(ctx context.Context, kinds []string, reach ...string) (occi.Count, error) {
	all, err := s.reached(ctx, reach)
	return s.sum(all, kinds).count(), err
}

func (c counter) count() occi.Count {
	return occi.Count{Revision: c.revision, Members: int(c.members), Updated: fromMicros(c.updated)}
}

// allCounters gives those of all kinds, from memory where no other server writes.
func (s *Store) allCounters(ctx context.Context) (map[string]counter, error) {
	if all := s.counters.Load(); all != nil {
		return *all, nil
	}
	return s.readCounters(ctx)
}

// sum adds up those of kinds, of all but the provider's own for none.
func (s *Store) sum(all map[string]counter, kinds []string) counter { return sum(all, kinds, s.own()) }

// sum adds up those of kinds, of all but own ones for none.
func sum(all map[string]counter, kinds, own []string) counter {
	var total counter
	add := func(c counter) {
		total.revision += c.revision
		total.members += c.members
		total.updated = max(total.updated, c.updated)
	}
	if len(kinds) == 0 {
		for kind, c := range all {
			if !slices.Contains(own, kind) {
				add(c)
			}
		}
		return total
	}
	seen := map[string]bool{}
	for _, k := range kinds {
		if !seen[k] {
			seen[k] = true
			add(all[k])
		}
	}
	return total
}

// readCounters reads all: there are as few as kinds.
func (s *Store) readCounters(ctx context.Context) (map[string]counter, error) {
	all := map[string]counter{}
	err := s.run(ctx, countersInto(all))
	if err == nil {
		s.sawMixins(all)
	}
	return all, err
}

func countersInto(all map[string]counter) query {
	return query{statement{sql: selectCounters}, func(r row) error {
		var kind string
		var c counter
		if err := r.Scan(&kind, &c.serial, &c.revision, &c.members, &c.updated); err != nil {
			return err
		}
		all[kind] = c
		return nil
	}}
}

// Kinds whose serials number more than their own entities.
const (
	seqOfEntities = occi.EntityKind
	seqOfTasks    = occi.TaskKind
)
