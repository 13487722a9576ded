package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"syscall"

	_ "modernc.org/sqlite" // the driver "sqlite"
)

// openSQLite opens the file at path, making it if it does not exist. The process
// owns it until close: a lock on path.lock keeps others out.
func openSQLite(ctx context.Context, path string, known *reckoning) (db *database, err error) {
	var opened closers
	defer func() {
		if err != nil {
			err = errors.Join(err, opened.close())
		}
	}()
	if path, err = filepath.Abs(path); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, err
	}
	lock, err := lockFile(path + ".lock")
	if err != nil {
		return nil, err
	}
	opened.add(func() error { return unlock(lock) })
	if err := makePrivate(path); err != nil {
		return nil, err
	}
	writes, err := sqlitePool(path, 1)
	if err != nil {
		return nil, err
	}
	opened.add(writes.Close)
	if err := migrate(ctx, writes, &sqliteDialect, known); err != nil {
		return nil, err
	}
	reads, err := sqlitePool(path, 2*runtime.GOMAXPROCS(0), "query_only(1)")
	if err != nil {
		return nil, err
	}
	opened.add(reads.Close)
	conn, err := writes.Conn(ctx)
	if err != nil {
		return nil, err
	}
	opened.add(conn.Close)
	w := &sqliteWriter{conn: conn, prepared: prepared{}}
	r := &sqliteReader{db: reads, prepared: prepared{}}
	// A file whose statements are open is not closed, and its log is left behind.
	opened.add(w.close)
	opened.add(r.close)
	return &database{dialect: sqliteDialect, read: r.read, single: w.single, exclusive: w.exclusive, ping: reads.PingContext,
		connections: func() Connections { return sqlConnections(writes, reads) }, close: opened.close}, nil
}

// readSQLite opens a file that is there to be read, whoever owns it.
func readSQLite(path string) (*database, error) {
	if _, err := os.Stat(path); err != nil {
		return nil, err
	}
	reads, err := sqlitePool(path, 1, "query_only(1)")
	if err != nil {
		return nil, err
	}
	r := &sqliteReader{db: reads, prepared: prepared{}}
	return &database{dialect: sqliteDialect, read: r.read, ping: reads.PingContext, connections: func() Connections { return sqlConnections(reads, reads) },
		close: func() error { return errors.Join(r.close(), reads.Close()) }}, nil
}

// closers undo what was opened, the last first.
type closers []func() error

func (c *closers) add(f func() error) { *c = append(*c, f) }

func (c *closers) close() error {
	var errs []error
	for i := len(*c) - 1; i >= 0; i-- {
		errs = append(errs, (*c)[i]())
	}
	return errors.Join(errs...)
}

// prepared are statements by their text.
type prepared map[string]*sql.Stmt

func (p prepared) close() error {
	var errs []error
	for _, s := range p {
		errs = append(errs, s.Close())
	}
	return errors.Join(errs...)
}

// lockFile makes the file and locks it for as long as it is open.
func lockFile(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return nil, errors.Join(fmt.Errorf("the database is in use by another process, which holds %s: %w", path, err), f.Close())
	}
	return f, nil
}

// unlock ends the lock at once: closing the file alone leaves it to a process that is
// being started and has not let go of it yet.
func unlock(f *os.File) error {
	return errors.Join(syscall.Flock(int(f.Fd()), syscall.LOCK_UN), f.Close())
}

// makePrivate makes the file if it does not exist: what clients entrust to the
// server is for its user only. SQLite gives its other files the same mode.
func makePrivate(path string) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	return f.Close()
}

func sqlitePool(path string, size int, pragmas ...string) (*sql.DB, error) {
	// FULL syncs the log at every commit; NORMAL would lose the last ones with
	// the power (https://sqlite.org/pragma.html#pragma_synchronous).
	pragmas = append(pragmas, "busy_timeout(10000)", "journal_mode(WAL)", "synchronous(FULL)", "cache_size(-4096)")
	q := url.Values{"_dqs": {"0"}, "_pragma": pragmas}
	u := url.URL{Scheme: "file", OmitHost: true, Path: path, RawQuery: q.Encode()}
	db, err := sql.Open("sqlite", u.String())
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(size)
	db.SetMaxIdleConns(size)
	return db, nil
}

// maxPrepared is how many statements stay prepared. Filters that clients make up
// beyond them are prepared each time.
const maxPrepared = 200

// sqliteReader reads through a pool.
type sqliteReader struct {
	db *sql.DB

	mu       sync.RWMutex
	prepared prepared
}

// read is not interrupted: what can be takes two more goroutines for each statement, which
// cost more than most do, and the longest ends soon enough.
func (r *sqliteReader) read(ctx context.Context, q query) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	ctx = context.WithoutCancel(ctx)
	s, err := r.stmt(ctx, q.sql)
	if err != nil {
		return err
	}
	if s == nil {
		rs, err := r.db.QueryContext(ctx, q.sql, q.args...)
		return scanAll(rs, err, q.scan)
	}
	rs, err := s.QueryContext(ctx, q.args...)
	return scanAll(rs, err, q.scan)
}

// stmt gives the prepared statement of a text, nil if there are too many.
func (r *sqliteReader) stmt(ctx context.Context, text string) (*sql.Stmt, error) {
	r.mu.RLock()
	s, full := r.prepared[text], len(r.prepared) >= maxPrepared
	r.mu.RUnlock()
	if s != nil || full {
		return s, nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if s := r.prepared[text]; s != nil {
		return s, nil
	}
	s, err := r.db.PrepareContext(ctx, text)
	if err == nil {
		r.prepared[text] = s
	}
	return s, err
}

func (r *sqliteReader) close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.prepared.close()
}

// sqliteWriter is the one connection that writes.
type sqliteWriter struct {
	mu       sync.Mutex // held for a transaction
	conn     *sql.Conn
	prepared prepared
	// relaxed tells that transactions are not synced.
	relaxed bool
}

func (w *sqliteWriter) exclusive(_ context.Context, f func(reader) ([]statement, error)) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	// Interrupting the connection would leave it in a state of its own; what one
	// transaction does in memory and on a local disk is bounded.
	ctx := context.Background()
	if err := w.relax(ctx, false); err != nil {
		return err
	}
	if err := w.write(ctx, statement{sql: "BEGIN IMMEDIATE"}); err != nil {
		return err
	}
	statements, err := f(func(queries []query) error { return w.read(ctx, queries) })
	if err == nil {
		err = w.write(ctx, append(statements, statement{sql: "COMMIT"})...)
	}
	if err != nil {
		// After some faults SQLite has rolled back by itself; then this one fails.
		_ = w.write(ctx, statement{sql: "ROLLBACK"})
	}
	return err
}

// single does not wait for the disk: what is written in one statement is who works on
// what, and what has had its time. The power that takes it takes the only server that has
// the file, too, and the next one does it again. The next transaction that is synced
// makes it durable.
func (w *sqliteWriter) single(_ context.Context, q query) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	ctx := context.Background()
	if err := w.relax(ctx, true); err != nil {
		return err
	}
	return w.read(ctx, []query{q})
}

// relax chooses whether transactions are synced. SQLite does what the pragmas say when
// they are prepared, so they are not kept.
func (w *sqliteWriter) relax(ctx context.Context, relaxed bool) error {
	if w.relaxed == relaxed {
		return nil
	}
	pragma := "PRAGMA synchronous = FULL"
	if relaxed {
		pragma = "PRAGMA synchronous = NORMAL"
	}
	_, err := w.conn.ExecContext(ctx, pragma)
	if err == nil {
		w.relaxed = relaxed
	}
	return err
}

func (w *sqliteWriter) close() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.prepared.close()
}

// stmt gives the prepared statement of a text.
func (w *sqliteWriter) stmt(ctx context.Context, text string) (*sql.Stmt, error) {
	if s := w.prepared[text]; s != nil {
		return s, nil
	}
	s, err := w.conn.PrepareContext(ctx, text)
	if err == nil {
		w.prepared[text] = s
	}
	return s, err
}

func (w *sqliteWriter) write(ctx context.Context, statements ...statement) error {
	for _, st := range statements {
		s, err := w.stmt(ctx, st.sql)
		if err != nil {
			return err
		}
		if _, err := s.ExecContext(ctx, st.args...); err != nil {
			return err
		}
	}
	return nil
}

func (w *sqliteWriter) read(ctx context.Context, queries []query) error {
	for _, q := range queries {
		s, err := w.stmt(ctx, q.sql)
		if err != nil {
			return err
		}
		rs, err := s.QueryContext(ctx, q.args...)
		if err := scanAll(rs, err, q.scan); err != nil {
			return err
		}
	}
	return nil
}
