// Package pgtest runs PostgreSQL clusters for tests and benchmarks, from the
// server that Debian's package installs.
package pgtest
