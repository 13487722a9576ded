package store

import (
	"context"
	"database/sql"
	"time"

	"github.com/occid/occid/occi"
)

// WithCommits has f called after every transaction of changes: how many shared it,
// how long it took, and why it failed. It is called by the one goroutine that writes.
func WithCommits(f func(changes int, took time.Duration, err error)) Option {
	return func(s *Store) { s.committed = f }
}

// Connections tells how the connections to the database are used now.
type Connections struct {
	Open, InUse int
	Waits       int64         // for a free connection, since the start
	Waited      time.Duration // in all, for one
}

// Connections counts those that the store holds. It asks the database nothing.
func (s *Store) Connections() Connections { return s.db.connections() }

// sqlConnections adds up the connections of pools.
func sqlConnections(pools ...*sql.DB) Connections {
	var c Connections
	for _, p := range pools {
		st := p.Stats()
		c.Open += st.OpenConnections
		c.InUse += st.InUse
		c.Waits += st.WaitCount
		c.Waited += st.WaitDuration
	}
	return c
}

// Members counts the entities of each kind. It takes one statement on PostgreSQL,
// and on SQLite none but while a change is being written.
func (s *Store) Members(ctx context.Context) (map[string]int, error) {
	all, err := s.allCounters(ctx)
	if err != nil {
		return nil, err
	}
	members := make(map[string]int, len(all))
	for kind, c := range all {
		members[kind] = int(c.members)
	}
	return members, nil
}

// Queues counts the tasks that are not over, in one statement which looks at no
// others.
func (s *Store) Queues(ctx context.Context) ([]occi.Queue, error) {
	var found []occi.Queue
	// When a task was accepted is in its document only, so that of the first one is read.
	sql := `SELECT q.host, q.state, q.n, t.doc FROM
		(SELECT host, state, count(*) AS n, min(seq) AS first FROM tasks WHERE NOT over GROUP BY host, state) q
		JOIN tasks t ON t.seq = q.first ORDER BY q.host, q.state`
	err := s.run(ctx, query{statement{sql, nil}, func(from row) error {
		var host, doc []byte
		var state string
		var q occi.Queue
		if err := from.Scan(&host, &state, &q.Tasks, &doc); err != nil {
			return err
		}
		t, err := decodeTask(doc)
		if err != nil {
			return err
		}
		q.Host, q.State, q.Oldest = t.Host, occi.TaskState(intern(state)), t.Created
		found = append(found, q)
		return nil
	}})
	return found, err
}

// Promised tells how many bytes volumes take of each pool together, in one statement.
func (s *Store) Promised(ctx context.Context) (map[string]int64, error) {
	found := map[string]int64{}
	err := s.run(ctx, poolsInto(func(pool string, bytes int64) { found[pool] = bytes }))
	return found, err
}
