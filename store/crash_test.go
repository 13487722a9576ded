package store_test

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"sync"
	"testing"

	"github.com/google/uuid"

	"github.com/occid/occid/occi"
	"github.com/occid/occid/store"
)

// crashDSN is the variable that makes this program the one to be killed.
const crashDSN = "OCCID_TEST_CRASH_DSN"

// writeUntilKilled creates entities from several goroutines and prints the
// identifier of each that was acknowledged.
func writeUntilKilled(dsn string) int {
	s, err := store.Open(context.Background(), dsn)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	const most = 1 << 20 // should nobody kill it
	var out sync.Mutex
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range most {
				a, b := compute("a", 1), network("b")
				l := link(a, b)
				if err := s.Commit(context.Background(), &occi.Change{At: start, Puts: []*occi.Entity{a, b, l}}); err != nil {
					fmt.Fprintln(os.Stderr, err)
					return
				}
				out.Lock()
				fmt.Println(a.ID)
				out.Unlock()
			}
		})
	}
	all.Wait()
	return 0
}

func TestKilledWriterLosesNothing(t *testing.T) {
	for _, kind := range databases {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			dsn := freshDSN(t, kind)
			acknowledged := killAfter(t, dsn, 200)
			s := open(t, dsn)
			for _, id := range acknowledged {
				if e := get(t, s, id); len(e.Links) != 1 {
					t.Errorf("%s has %d links, want 1", id, len(e.Links))
				}
			}
			// What was not acknowledged is wholly there or not at all.
			page, err := s.List(t.Context(), &occi.Query{})
			if err != nil {
				t.Fatal(err)
			}
			if len(page.Entities)%3 != 0 || len(page.Entities) < 3*len(acknowledged) || page.Total != len(page.Entities) {
				t.Errorf("%d entities, %d counted, after %d changes of 3", len(page.Entities), page.Total, len(acknowledged))
			}
			wantRange(t, s, 1, int64(page.Total))
			put(t, s, compute("next", 1))
		})
	}
}

// killAfter runs this program on a database and kills it when so many changes
// were acknowledged. It gives all that were.
func killAfter(t *testing.T, dsn string, n int) []uuid.UUID {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	child := exec.CommandContext(t.Context(), self)
	child.Env = append(os.Environ(), crashDSN+"="+dsn)
	child.Stderr = os.Stderr
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
			if err := child.Process.Kill(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := child.Wait(); err == nil {
		t.Error("the writer ended by itself")
	}
	if len(acknowledged) < n {
		t.Fatalf("%d changes were acknowledged, want %d", len(acknowledged), n)
	}
	return acknowledged
}
