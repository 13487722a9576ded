package store

import (
	"context"
	"time"
)

// PurgeTasks forgets up to n tasks that were over before a time, the oldest
// first, and gives how many it forgot. Tasks that were to come after one are not
// held up by that. Any number of servers may purge at once.
func (s *Store) PurgeTasks(ctx context.Context, before time.Time, n int) (int, error) {
	var old []int64
	err := s.exclusive(ctx, func(read reader) ([]statement, error) {
		old = nil
		err := read([]query{{statement{`SELECT seq FROM tasks WHERE over AND finished < $1 ORDER BY finished LIMIT ` + bigint("$2"),
			[]any{micros(before), n}}, func(from row) error {
			var seq int64
			err := from.Scan(&seq)
			old = append(old, seq)
			return err
		}}})
		if err != nil || len(old) == 0 {
			return nil, err
		}
		after, list := s.db.anyOf("task", "$1", old)
		among, _ := s.db.anyOf("seq", "$1", old)
		return []statement{
			{`DELETE FROM task_after WHERE ` + after, []any{list}},
			{`DELETE FROM tasks WHERE ` + among, []any{list}},
		}, nil
	})
	return len(old), err
}

// PurgeKeys frees up to n idempotency keys that were made before a time, the
// oldest first, and gives how many it freed. Any number of servers may purge at
// once.
func (s *Store) PurgeKeys(ctx context.Context, before time.Time, n int) (int, error) {
	freed := 0
	err := s.single(ctx, query{statement{`DELETE FROM keys WHERE id IN (
			SELECT id FROM keys WHERE created < $1 ORDER BY created LIMIT ` + bigint("$2") + `)
		RETURNING id`, []any{micros(before), n}}, func(row) error {
		freed++
		return nil
	}})
	return freed, err
}

// bigint is a parameter that limits rows. PostgreSQL is told its type; SQLite plans
// a statement again for each value of a parameter that is a limit by itself,
// which takes longer than most queries.
func bigint(param string) string { return "CAST(" + param + " AS BIGINT)" }
