package store

import (
	"context"
	"database/sql"
)

// database is one of the two, opened and of this program's schema.
type database struct {
	dialect
	// reads serves statements that do not write.
	reads *sql.DB
	// single runs a statement that writes in a transaction of its own.
	single func(context.Context, query) error
	// exclusive runs f in a transaction beside which there is no other one, of
	// any server. It is durable once exclusive returns nil, and without effect if
	// f fails.
	exclusive func(ctx context.Context, f func(tx) error) error
	// shared tells that other servers write too.
	shared bool
	close  func() error
}

// tx is an exclusive transaction. Statements in one call go to the database
// together.
type tx interface {
	read(ctx context.Context, queries []query) error
	write(ctx context.Context, statements []statement) error
}

// statement is SQL with its parameters.
type statement struct {
	sql  string
	args []any
}

// query is a statement whose rows go to scan, one at a time.
type query struct {
	statement
	scan func(row) error
}

// row is a row of a result.
type row interface {
	Scan(dest ...any) error
}

// rows is a result of either driver.
type rows interface {
	row
	Next() bool
	Err() error
}

// each hands the rows to scan.
func each(rs rows, scan func(row) error) error {
	for rs.Next() {
		if err := scan(rs); err != nil {
			return err
		}
	}
	return rs.Err()
}

// run queries a pool.
func run(ctx context.Context, db *sql.DB, q query) error {
	rs, err := db.QueryContext(ctx, q.sql, q.args...)
	if err != nil {
		return err
	}
	defer rs.Close()
	return each(rs, q.scan)
}
