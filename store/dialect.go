package store

import (
	"encoding/json"
	"errors"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/pressly/goose/v3"
	"modernc.org/sqlite"
	sqlitelib "modernc.org/sqlite/lib"
)

// dialect is what differs between the databases' SQL.
type dialect struct {
	goose goose.Dialect
	// anyOf is the condition that a column is in the list that a parameter is,
	// and holds that it holds the parameter's bytes.
	anyOf, holds func(column, param string) string
	// forUpdate and skipLocked end a SELECT that locks its rows.
	forUpdate, skipLocked string
	// insert makes statements that insert rows.
	insert func(*table, [][]any) []statement
	// list makes a parameter of a slice of strings or UUIDs.
	list func(any) any
	// refused reports whether an error means that the database will never do what
	// it was told, rather than not now.
	refused func(error) bool
}

var sqliteDialect = dialect{
	goose:  goose.DialectSQLite3,
	anyOf:  func(column, param string) string { return column + " IN (SELECT value FROM json_each(" + param + "))" },
	holds:  func(column, param string) string { return "instr(" + column + ", " + param + ") > 0" },
	insert: insertRows,
	list: func(v any) any {
		text, err := json.Marshal(v)
		if err != nil {
			panic(err) // strings and UUIDs always marshal
		}
		return string(text)
	},
	refused: func(err error) bool {
		var e *sqlite.Error
		if !errors.As(err, &e) {
			return false
		}
		switch e.Code() & 0xff {
		case sqlitelib.SQLITE_BUSY, sqlitelib.SQLITE_LOCKED, sqlitelib.SQLITE_FULL, sqlitelib.SQLITE_IOERR,
			sqlitelib.SQLITE_CANTOPEN, sqlitelib.SQLITE_READONLY, sqlitelib.SQLITE_NOMEM, sqlitelib.SQLITE_INTERRUPT:
			return false
		}
		return true
	},
}

var postgresDialect = dialect{
	goose:      goose.DialectPostgres,
	anyOf:      func(column, param string) string { return column + " = ANY(" + param + ")" },
	holds:      func(column, param string) string { return "position(" + param + " IN " + column + ") > 0" },
	forUpdate:  " FOR UPDATE",
	skipLocked: " FOR UPDATE OF t SKIP LOCKED",
	insert:     insertArrays,
	list:       func(v any) any { return v },
	refused: func(err error) bool {
		var e *pgconn.PgError
		if !errors.As(err, &e) || len(e.Code) < 2 {
			return false
		}
		// Of connections, resources, the operator, the system and serialization
		// (PostgreSQL manual, appendix A).
		switch e.Code[:2] {
		case "08", "40", "53", "57", "58":
			return false
		}
		return true
	},
}
