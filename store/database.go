package store

import (
	"context"
	"database/sql"
	"errors"
)

// database is one of the two, opened and of this program's schema.
type database struct {
	dialect
	// read runs a query.
	read func(context.Context, query) error
	ping func(context.Context) error
	// single runs a statement that writes in a transaction of its own. What it wrote may be
	// lost with the power as long as the server is, too.
	single func(context.Context, query) error
	// exclusive runs f in a transaction beside which there is no other one, of
	// any server, and writes what f gives. It is durable once exclusive returns
	// nil, and without effect if f fails.
	exclusive func(ctx context.Context, f func(read reader) ([]statement, error)) error
	// listen tells of events that any server commits, nil where no other does: see
	// listener.
	listen func(ctx context.Context, heard func(last int64)) error
	// shared tells that other servers write too.
	shared      bool
	connections func() Connections
	close       func() error
}

// reader runs queries within a transaction, all together.
type reader func(queries []query) error

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

// scanAll hands what a pool or statement answers to scan.
func scanAll(rs *sql.Rows, err error, scan func(row) error) error {
	if err != nil {
		return err
	}
	return errors.Join(each(rs, scan), rs.Close())
}
