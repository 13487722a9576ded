package store

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/pressly/goose/v3"
	"modernc.org/sqlite"
	sqlitelib "modernc.org/sqlite/lib"

	"github.com/occid/occid/occi"
)

// dialect is what differs between the databases' SQL.
type dialect struct {
	goose goose.Dialect
	// anyOf is the condition that a column is in a list of strings, numbers or UUIDs, which
	// the parameter of a name is given as.
	anyOf func(column, param string, list any) (condition string, arg any)
	// anyOfBytes is the same of a list that bytes made, and holds that a column holds the
	// parameter's bytes.
	anyOfBytes, holds func(column, param string) string
	// pairs is a table w of networks and addresses that parameters list.
	pairs func([]occi.Address) (table string, params []any)
	// tables tells that a table that is made for a statement costs little.
	tables bool
	// clock is what time it is, in microseconds since 1970, as the database sees it.
	clock string
	// forUpdate ends a SELECT that locks its rows.
	forUpdate string
	// insert makes statements that insert rows.
	insert func(*table, [][]any) []statement
	// events is the table of that name.
	events *table
	// guards is the SQL by which the audit trail is kept, see guard.go.
	guards string
	// bytes makes a parameter of a list of bytes.
	bytes func([]string) any
	// refused reports whether an error means that the database will never do what
	// it was told, rather than not now.
	refused func(error) bool
}

var sqliteDialect = dialect{
	goose: goose.DialectSQLite3,
	anyOf: func(column, param string, list any) (string, any) {
		// Most lists are of one, which needs no table.
		if v := reflect.ValueOf(list); v.Len() == 1 {
			return column + " = " + param, v.Index(0).Interface()
		}
		return column + " IN (SELECT value FROM json_each(" + param + "))", jsonList(list)
	},
	anyOfBytes: func(column, param string) string {
		return column + " IN (SELECT unhex(value) FROM json_each(" + param + "))"
	},
	holds:  func(column, param string) string { return "instr(" + column + ", " + param + ") > 0" },
	clock:  "CAST(unixepoch('subsec') * 1000000 AS INTEGER)",
	insert: insertRows,
	events: eventsTable,
	guards: sqliteGuards,
	pairs: func(as []occi.Address) (string, []any) {
		list := make([][2]string, len(as))
		for i, a := range as {
			list[i] = [2]string{a.Network.String(), hex.EncodeToString([]byte(a.Key))}
		}
		return `(SELECT value ->> 0 AS network, unhex(value ->> 1) AS address FROM json_each($1)) AS w`, []any{jsonList(list)}
	},
	bytes: func(list []string) any {
		coded := make([]string, len(list))
		for i, s := range list {
			coded[i] = hex.EncodeToString([]byte(s))
		}
		return jsonList(coded)
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

// jsonList writes what always marshals: strings or UUIDs.
func jsonList(v any) any {
	text, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return string(text)
}

func anyOfArray(column, param string) string { return column + " = ANY(" + param + ")" }

var postgresDialect = dialect{
	goose:      goose.DialectPostgres,
	tables:     true,
	anyOf:      func(column, param string, list any) (string, any) { return anyOfArray(column, param), list },
	anyOfBytes: anyOfArray,
	holds:      func(column, param string) string { return "position(" + param + " IN " + column + ") > 0" },
	clock:      "CAST(extract(epoch FROM clock_timestamp()) * 1000000 AS BIGINT)",
	forUpdate:  " FOR UPDATE",
	insert:     insertArrays,
	events:     toldEvents,
	guards:     fmt.Sprintf(postgresGuards, writeLock),
	pairs: func(as []occi.Address) (string, []any) {
		networks, keys := make([]uuid.UUID, len(as)), make([][]byte, len(as))
		for i, a := range as {
			networks[i], keys[i] = a.Network, []byte(a.Key)
		}
		return `unnest($1::uuid[], $2::bytea[]) AS w(network, address)`, []any{networks, keys}
	},
	bytes: func(list []string) any {
		array := make([][]byte, len(list))
		for i, s := range list {
			array[i] = []byte(s)
		}
		return array
	},
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
