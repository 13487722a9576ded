// Package store keeps entities, tasks, users' mixins and idempotency keys in SQL: in
// a file of SQLite that one server owns, or in PostgreSQL, which several servers
// share.
//
// A write is an occi.Change, committed whole or not at all. Changes that come at
// the same time share one durable transaction (group commit): a goroutine
// gathers them, reads what they are based on, leaves out those that conflict
// and writes the others. Commit returns after the database has synced.
//
// Every entity is one row: the columns that are searched, and a JSON document of
// the rest. Attributes are in a table of their own as well, as keys that compare
// bytewise in the order of their values; filters and sorting use its index.
// Collections have a counter per kind, which changes with every change to their
// members, so that what a query found can be kept for as long as it is true.
//
// What changes is told by events, which are written with the change, numbered in the
// order in which they become visible, and can be followed.
//
// On SQLite the process alone writes the file, so entities are kept in bounded
// memory and counters are; reading those takes no statement. On PostgreSQL every
// read asks the database.
//
// What a Store returns is shared; nobody may change it. All methods are safe for
// concurrent use. Errors are of class Unavailable when the database does not
// answer and Internal when it refuses; a context that ends gives its own error.
// Text that is not UTF-8 is kept with U+FFFD in place of what is not.
package store
