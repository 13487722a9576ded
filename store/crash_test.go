package store_test

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/uuid"

	"github.com/occid/occid/internal/pgtest"
	"github.com/occid/occid/occi"
	"github.com/occid/occid/spec"
	"github.com/occid/occid/store"
)

// crashDSN is the variable that makes this program the one to be killed.
const crashDSN = "OCCID_TEST_CRASH_DSN"

// writeUntilKilled creates entities from several goroutines, until one cannot, and prints
// the identifier of each that was acknowledged.
func writeUntilKilled(dsn string) int {
	m, err := spec.Builtin()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	s, err := store.Open(context.Background(), dsn, store.WithModel(func() *occi.Model { return m }))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	const most = 1 << 20 // should nobody kill it
	var out sync.Mutex
	var all sync.WaitGroup
	var failed atomic.Bool
	for range 8 {
		all.Go(func() {
			for range most {
				if failed.Load() {
					return
				}
				a, b := compute("a", 1), network("b")
				l := link(a, b)
				if err := s.Commit(context.Background(), &occi.Change{At: start, Puts: []*occi.Entity{a, b, l}}); err != nil {
					fmt.Fprintln(os.Stderr, err)
					failed.Store(true)
					return
				}
				out.Lock()
				fmt.Println(a.ID)
				out.Unlock()
			}
		})
	}
	all.Wait()
	return 1
}

func TestKilledWriterLosesNothing(t *testing.T) {
	for _, kind := range databases {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			dsn := freshDSN(t, kind)
			acknowledged := killAfter(t, dsn, 200)
			s := counting(t, dsn)
			wantWhole(t, s, acknowledged)
			put(t, s, quota("lab", -1, -1))
			page, err := s.List(t.Context(), &occi.Query{})
			if err != nil {
				t.Fatal(err)
			}
			wantCounted(t, s, page.Entities)
		})
	}
}

// TestCrashedDatabaseLosesNothing has PostgreSQL lose what it has not written yet.
func TestCrashedDatabaseLosesNothing(t *testing.T) {
	t.Parallel()
	cluster := pgtest.Run(t)
	for range 3 {
		dsn := cluster.Empty(t)
		acknowledged := failAfter(t, dsn, 200, func(*os.Process) error { return cluster.Crash() })
		wantWhole(t, open(t, dsn), acknowledged)
	}
}

// wantWhole has all be there that was acknowledged, and the rest wholly or not at all.
func wantWhole(t *testing.T, s *store.Store, acknowledged []uuid.UUID) {
	t.Helper()
	for _, id := range acknowledged {
		if e := get(t, s, id); len(e.Links) != 1 {
			t.Errorf("%s has %d links, want 1", id, len(e.Links))
		}
	}
	page, err := s.List(t.Context(), &occi.Query{})
	if err != nil {
		t.Fatal(err)
	}
	if len(page.Entities)%3 != 0 || len(page.Entities) < 3*len(acknowledged) || page.Total != len(page.Entities) {
		t.Errorf("%d entities, %d counted, after %d changes of 3", len(page.Entities), page.Total, len(acknowledged))
	}
	wantRange(t, s, 1, int64(page.Total))
	put(t, s, compute("next", 1))
}

// killAfter has a program write until so many changes were acknowledged, and kills it.
func killAfter(t *testing.T, dsn string, n int) []uuid.UUID {
	t.Helper()
	return failAfter(t, dsn, n, (*os.Process).Kill)
}

// failAfter runs this program on a database and does what has it fail when so many
// changes were acknowledged. It gives all that were.
func failAfter(t *testing.T, dsn string, n int, fail func(*os.Process) error) []uuid.UUID {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	child := exec.CommandContext(t.Context(), self)
	child.Env = append(os.Environ(), crashDSN+"="+dsn)
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	var acknowledged []uuid.UUID
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		// The last line may be cut off.
		if id, err := uuid.Parse(lines.Text()); err == nil {
			acknowledged = append(acknowledged, id)
		}
		if len(acknowledged) == n {
			if err := fail(child.Process); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := child.Wait(); err == nil {
		t.Error("the writer ended without an error")
	}
	if len(acknowledged) < n {
		t.Fatalf("%d changes were acknowledged, want %d", len(acknowledged), n)
	}
	return acknowledged
}
