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
func openSQLite(ctx context.Context, path string) (db *database, err error) {
	var opened closers
	defer func() {
		if err != nil {
			err = errors.Join(err, opened.close())
		}
	}()
	if path, err = filepath.Abs(path); err != nil {
		return nil, err
	}
	lock, err := lockFile(path + ".lock")
	if err != nil {
		return nil, err
	}
	opened.add(lock.Close)
	writes, err := sqlitePool(path, 1)
	if err != nil {
		return nil, err
	}
	opened.add(writes.Close)
	if err := migrate(ctx, writes, &sqliteDialect); err != nil {
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
	w := &sqliteWriter{conn: conn, prepared: map[string]*sql.Stmt{}}
	return &database{dialect: sqliteDialect, reads: reads, single: w.single, exclusive: w.exclusive, close: opened.close}, nil
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

// sqliteWriter is the one connection that writes.
type sqliteWriter struct {
	mu       sync.Mutex // held for a transaction
	conn     *sql.Conn
	prepared map[string]*sql.Stmt
}

func (w *sqliteWriter) exclusive(_ context.Context, f func(tx) error) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	// Interrupting the connection would leave it in a state of its own; what one
	// transaction does in memory and on a local disk is bounded.
	ctx := context.Background()
	if err := w.write(ctx, []statement{{sql: "BEGIN IMMEDIATE"}}); err != nil {
		return err
	}
	err := f(w)
	if err == nil {
		err = w.write(ctx, []statement{{sql: "COMMIT"}})
	}
	if err != nil {
		// After some faults SQLite has rolled back by itself and says so.
		_ = w.write(ctx, []statement{{sql: "ROLLBACK"}})
	}
	return err
}

func (w *sqliteWriter) single(_ context.Context, q query) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.read(context.Background(), []query{q})
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

func (w *sqliteWriter) write(ctx context.Context, statements []statement) error {
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
		if err != nil {
			return err
		}
		if err := errors.Join(each(rs, q.scan), rs.Close()); err != nil {
			return err
		}
	}
	return nil
}
