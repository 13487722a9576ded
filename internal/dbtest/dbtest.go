// Package dbtest makes databases for tests as copies of one that has this program's
// schema already: to bring an empty one to it takes longer than most tests do.
package dbtest

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/occid/occid/internal/pgtest"
	"github.com/occid/occid/store"
)

// SQLite names a new database in a directory that ends with the test.
func SQLite(t testing.TB) string {
	t.Helper()
	return "sqlite:" + File(t)
}

// File is the path of a new database of SQLite in a directory that ends with the test.
func File(t testing.TB) string {
	t.Helper()
	content, err := file()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "occid.db")
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// file is what is in a database of SQLite with the schema and no rows.
var file = sync.OnceValues(func() (content []byte, err error) {
	dir, err := os.MkdirTemp("", "occid-db-")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	path := filepath.Join(dir, "occid.db")
	if err := migrate(context.Background(), "sqlite:"+path); err != nil {
		return nil, err
	}
	return os.ReadFile(path)
})

// Template makes a database of a cluster that others are made of by [pgtest.Cluster.Create].
func Template(ctx context.Context, c *pgtest.Cluster) (name string, err error) {
	url, name, err := c.Create(ctx, "")
	if err != nil {
		return "", err
	}
	return name, migrate(ctx, url)
}

func migrate(ctx context.Context, dsn string) error {
	s, err := store.Open(ctx, dsn)
	if err != nil {
		return err
	}
	return s.Close()
}
