package store_test

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/occid/occid/occi"
)

// TestClaimLooksAtFew counts how many tasks PostgreSQL looks at to claim one of
// many, with a plan that it made when there were few.
func TestClaimLooksAtFew(t *testing.T) {
	t.Parallel()
	dsn := freshDSN(t, "postgres")
	s := open(t, dsn)
	finish := func(ts []*occi.Task) {
		for _, x := range ts {
			x.State = occi.TaskDone
		}
		putTasks(t, s, start, ts...)
	}
	add := func(n int) {
		var ts []*occi.Task
		for range n {
			ts = append(ts, task(uuid.New()))
		}
		putTasks(t, s, start, ts...)
	}
	const few, waiting, claims = 8, 1000, 5
	add(few)
	execute(t, dsn, `ANALYZE`)
	for range 10 {
		got, _ := claim(t, s, "w", few, start)
		finish(got)
		add(few)
	}
	add(waiting)
	for range claims {
		if got, _ := claim(t, s, "w", few, start); len(got) != few {
			t.Errorf("%d of %d tasks were claimed", len(got), few)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	// The lane of each task that is looked at is looked up.
	if n := indexed(t, dsn, "tasks_lane", "idx_scan"); n >= waiting {
		t.Errorf("%d tasks were looked at for %d claims of %d", n, claims, few)
	}
}

// indexed gives what PostgreSQL counted of an index by connections that are closed:
// idx_scan are look-ups, idx_tup_read entries that were read.
func indexed(t *testing.T, dsn, index, count string) (n int) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	deadline := time.Now().Add(time.Minute)
	for others := 1; others > 0; {
		if time.Now().After(deadline) {
			t.Fatal("connections of a closed store stay open")
		}
		err := conn.QueryRow(t.Context(), `SELECT count(*) FROM pg_stat_activity
			WHERE datname = current_database() AND backend_type = 'client backend' AND pid <> pg_backend_pid()`).Scan(&others)
		if err != nil {
			t.Fatal(err)
		}
	}
	err = conn.QueryRow(t.Context(), `SELECT `+count+` FROM pg_stat_user_indexes WHERE indexrelname = $1`, index).Scan(&n)
	if err != nil {
		t.Fatal(err)
	}
	return n
}
