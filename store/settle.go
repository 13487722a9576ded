package store

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/pressly/goose/v3"

	"github.com/occid/occid/occi"
)

// settleVersion is the migration that puts down, of what is there, whose it is and what it
// uses. Like that of version 10 it needs the registry.
const settleVersion = 15

func settling(d *dialect, r *reckoning) *goose.Migration {
	return goose.NewGoMigration(settleVersion,
		&goose.GoFunc{RunTx: func(ctx context.Context, tx *sql.Tx) error { return settle(ctx, tx, d, r, time.Now()) }}, nil)
}

// settle goes through all entities, a page at a time: it fills in the projects of those
// shared with everybody, and begins and ends what each uses.
func settle(ctx context.Context, tx *sql.Tx, d *dialect, r *reckoning, at time.Time) error {
	return eachPage(ctx, tx, func(found []*occi.Entity) error {
		g := &group{usage: newUsageBook(r.uses)}
		if err := g.openUsage(ctx, tx, found[0].Seq, found[len(found)-1].Seq); err != nil {
			return err
		}
		for _, e := range found {
			if e.Project != "" && e.Reach() == occi.Everyone {
				if _, err := tx.ExecContext(ctx, `UPDATE entities SET project = $2 WHERE seq = $1`, e.Seq, []byte(kept(e.Project))); err != nil {
					return err
				}
			}
			g.used(e.Seq, e, micros(at))
		}
		if rows := g.usage.values(); len(rows) > 0 {
			for _, st := range d.insert(usageTable, rows) {
				if _, err := tx.ExecContext(ctx, st.sql, st.args...); err != nil {
					return fmt.Errorf("put down what is used: %w", err)
				}
			}
		}
		return nil
	})
}

// openUsage reads what entities use, of those from one to another.
func (g *group) openUsage(ctx context.Context, tx *sql.Tx, first, last int64) error {
	rows, err := tx.QueryContext(ctx, selectUsage+` WHERE ended = 0 AND entity >= $1 AND entity <= $2`, first, last)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		u, err := scanUsage(rows)
		if err != nil {
			return err
		}
		g.usage.open[u.entity] = u
	}
	return rows.Err()
}
