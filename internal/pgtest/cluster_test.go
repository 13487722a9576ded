package pgtest_test

import (
	"os"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/occid/occid/internal/pgtest"
)

func TestCluster(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	c, err := pgtest.Start("max_connections=10")
	if err != nil {
		t.Fatal(err)
	}
	_, dir, _ := strings.Cut(c.URL("x"), "host=")
	_, first, err := c.Create(ctx, "")
	if err != nil {
		t.Fatal(err)
	}
	url, _, err := c.Create(ctx, first)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		t.Fatal(err)
	}
	var have string
	if err := conn.QueryRow(ctx, "SHOW max_connections").Scan(&have); err != nil || have != "10" {
		t.Errorf("max_connections = %q, %v; want 10", have, err)
	}
	if err := c.Crash(); err != nil {
		t.Fatal(err)
	}
	if err := conn.Ping(ctx); err == nil {
		t.Error("a connection outlived a crash")
	}
	if _, err = pgx.Connect(ctx, url); err != nil {
		t.Fatal(err)
	}
	if err := c.Stop(); err != nil {
		t.Errorf("Stop with a connection open: %v", err)
	}
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Errorf("the data is still there: %v", err)
	}
}

func TestStartFails(t *testing.T) {
	t.Parallel()
	if _, err := pgtest.Start("max_connections=none"); err == nil || !strings.Contains(err.Error(), "max_connections") {
		t.Errorf("Start with a bad setting = %v, want an error that names it", err)
	}
}
