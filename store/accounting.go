package store

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/pressly/goose/v3"

	"github.com/occid/occid/occi"
)

// reckoning tells by the registry what an entity uses.
type reckoning struct {
	charges func(*occi.Entity) []occi.Charge
	uses    func(*occi.Entity) occi.Use // nil if there is no registry
}

// Version and page of the migration that begins to count what is used. It is no file of
// migrations/ since what is there is counted too, by the registry.
const (
	accountingVersion = 10
	accountingPage    = 500
)

func accounting(charges func(*occi.Entity) []occi.Charge) *goose.Migration {
	return goose.NewGoMigration(accountingVersion,
		&goose.GoFunc{RunTx: func(ctx context.Context, tx *sql.Tx) error {
			// What all entities of a project or of a user use together.
			_, err := tx.ExecContext(ctx, `CREATE TABLE uses (owner BYTEA NOT NULL, what BYTEA NOT NULL, amount BIGINT NOT NULL, PRIMARY KEY (owner, what))`)
			if err != nil {
				return err
			}
			return account(ctx, tx, charges)
		}},
		&goose.GoFunc{RunTx: func(ctx context.Context, tx *sql.Tx) error {
			_, err := tx.ExecContext(ctx, `DROP TABLE uses`)
			return err
		}})
}

// account counts what is used by the entities that are there, a page at a time.
func account(ctx context.Context, tx *sql.Tx, charges func(*occi.Entity) []occi.Charge) error {
	sums := map[useKey]int64{}
	err := eachPage(ctx, tx, func(found []*occi.Entity) error {
		for _, e := range found {
			if e.Charges = charges(e); len(e.Charges) == 0 {
				continue
			}
			doc, err := encodeEntity(e)
			if err != nil {
				return err
			}
			if _, err := tx.ExecContext(ctx, `UPDATE entities SET doc = $2 WHERE seq = $1`, e.Seq, doc); err != nil {
				return err
			}
			eachUse(e, func(k useKey, amount int64) { sums[k] += amount })
		}
		return nil
	})
	if err != nil {
		return err
	}
	for k, amount := range sums {
		if _, err := tx.ExecContext(ctx, `INSERT INTO uses (owner, what, amount) VALUES ($1, $2, $3)`, []byte(k.owner), []byte(k.what), amount); err != nil {
			return err
		}
	}
	return nil
}

// eachPage calls f with all entities, some at a time and in order of their numbers.
func eachPage(ctx context.Context, tx *sql.Tx, f func([]*occi.Entity) error) error {
	for after := int64(0); ; {
		found, err := entitiesAfter(ctx, tx, after)
		if err != nil || len(found) == 0 {
			return err
		}
		if err := f(found); err != nil {
			return err
		}
		after = found[len(found)-1].Seq
	}
}

func entitiesAfter(ctx context.Context, tx *sql.Tx, seq int64) ([]*occi.Entity, error) {
	rows, err := tx.QueryContext(ctx, `SELECT seq, doc FROM entities WHERE seq > $1 ORDER BY seq LIMIT $2`, seq, accountingPage)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var found []*occi.Entity
	for rows.Next() {
		var seq int64
		var doc []byte
		if err := rows.Scan(&seq, &doc); err != nil {
			return nil, err
		}
		e, err := decodeEntity(doc)
		if err != nil {
			return nil, fmt.Errorf("entity number %d is kept as what cannot be read: %w", seq, err)
		}
		e.Seq = seq
		found = append(found, e)
	}
	return found, rows.Err()
}
