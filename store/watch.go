package store

import (
	"context"
	"time"

	"github.com/occid/occid/occi"
)

// Shared reports whether other servers may use the database too.
func (s *Store) Shared() bool { return s.db.shared }

// Watch makes a worker the one that watches a host, for the time of the lease, or
// renews that, and says whether it reaches the host. One that does gets the host unless
// another has it that does too. One that does not gets it only once nobody has had it
// for a time. taken is false if it is another's.
func (s *Store) Watch(ctx context.Context, host, worker string, reaches bool, lease, patience time.Duration) (w occi.Watch, taken bool, err error) {
	if reaches {
		patience = 0
	}
	// All times are the database's: servers need not agree on theirs.
	now := s.db.clock
	sql := `INSERT INTO watches (host, worker, reaches, since, until) VALUES ($1, $2, $3, ` + now + `, ` + now + ` + $4)
		ON CONFLICT (host) DO UPDATE SET worker = excluded.worker, reaches = excluded.reaches, until = excluded.until,
			since = CASE WHEN watches.reaches = excluded.reaches THEN watches.since ELSE excluded.since END
		WHERE watches.worker = excluded.worker OR watches.until + $5 <= ` + now + ` OR excluded.reaches AND NOT watches.reaches
		RETURNING ` + watchColumns(now)
	err = s.single(ctx, query{statement{sql, []any{indexed(host), []byte(worker), reaches, lease.Microseconds(), patience.Microseconds()}}, func(r row) (err error) {
		w, err = scanWatch(r)
		taken = true
		return err
	}})
	return w, taken, err
}

func watchColumns(now string) string {
	return `host, worker, reaches, ` + now + ` - since, until - ` + now
}

func scanWatch(from row) (occi.Watch, error) {
	var host, worker []byte
	var w occi.Watch
	var been, left int64
	err := from.Scan(&host, &worker, &w.Reaches, &been, &left)
	w.Host, w.Worker = string(host), string(worker)
	w.For, w.Left = time.Duration(been)*time.Microsecond, time.Duration(left)*time.Microsecond
	return w, err
}

// Watches renews what a worker watches, and tells who watches which host.
func (s *Store) Watches(ctx context.Context, worker string, lease time.Duration) ([]occi.Watch, error) {
	var found []occi.Watch
	now := s.db.clock
	// What has ended is not renewed: another may be about to take it.
	err := s.single(ctx, query{statement{`UPDATE watches SET until = ` + now + ` + $2 WHERE worker = $1 AND until > ` + now,
		[]any{[]byte(worker), lease.Microseconds()}}, func(row) error { return nil }})
	if err != nil {
		return nil, err
	}
	err = s.run(ctx, query{statement{sql: `SELECT ` + watchColumns(now) + ` FROM watches`}, func(r row) error {
		w, err := scanWatch(r)
		found = append(found, w)
		return err
	}})
	return found, err
}

// Unwatch gives back what a worker watches, so that others need not wait for the end of
// its lease; of one host, or of all if host is empty.
func (s *Store) Unwatch(ctx context.Context, worker, host string) error {
	sql, args := `UPDATE watches SET until = 0 WHERE worker = $1`, []any{[]byte(worker)}
	if host != "" {
		sql, args = sql+` AND host = $2`, append(args, indexed(host))
	}
	return s.single(ctx, query{statement{sql, args}, func(row) error { return nil }})
}

// Due names the hosts that have tasks which may be claimed, as far as those before them
// let them.
func (s *Store) Due(ctx context.Context, now time.Time) ([]string, error) {
	var found []string
	err := s.run(ctx, query{statement{`SELECT host FROM tasks WHERE NOT over
		AND (state = 'pending' AND not_before <= $1 OR state = 'running' AND until <= $1) GROUP BY host`, []any{micros(now)}}, func(r row) error {
		var host []byte
		err := r.Scan(&host)
		found = append(found, string(host))
		return err
	}})
	return found, err
}
