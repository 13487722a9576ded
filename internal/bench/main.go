// Command bench measures the server as a whole: the binary that people run, over
// real sockets, beside what the machine could do at best in the same run. It
// prints one table; a row that misses its goal is marked, and the exit status
// tells. It may import anything and nothing imports it.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/occid/occid/internal/oidctest"
)

// bench is one run.
type bench struct {
	ctx     context.Context
	dir     string // scratch
	binary  string
	rounds  int
	seconds int
	rows    []row
}

// row is one line of the table. ok is nil where there is no goal.
type row struct {
	what, value, beside, ratio, goal string
	ok                               *bool
}

func (b *bench) add(r row) {
	b.rows = append(b.rows, r)
	fmt.Fprintf(os.Stderr, "  %s: %s %s\n", r.what, r.value, r.ratio)
}

// ratio adds a row with got/best against the least it should be.
func (b *bench) ratio(what, value, beside string, got, best, least float64) {
	ok := got/best >= least
	b.add(row{what: what, value: value, beside: beside, ratio: fmt.Sprintf("%.2f", got/best),
		goal: fmt.Sprintf(">= %.2f", least), ok: &ok})
}

// limit adds a row with a figure against the most it should be.
func (b *bench) limit(what string, got, most float64, unit string) {
	ok := got <= most
	b.add(row{what: what, value: fmt.Sprintf("%.1f %s", got, unit), goal: fmt.Sprintf("<= %g %s", most, unit), ok: &ok})
}

func main() {
	oidctest.Main()
	if len(os.Args) > 1 && os.Args[1] == "bare" {
		if err := serveBare(os.Args[2:]); err != nil {
			fmt.Fprintln(os.Stderr, "bench:", err)
			os.Exit(1)
		}
		return
	}
	binary := flag.String("occid", "bin/occid", "the server's binary")
	rounds := flag.Int("rounds", 3, "how often each figure is taken; the median counts")
	seconds := flag.Int("seconds", 2, "length of one measurement")
	only := flag.String("only", "", "measure only the parts whose names hold this")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, &bench{binary: *binary, rounds: *rounds, seconds: *seconds}, *only); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, b *bench, only string) error {
	dir, err := os.MkdirTemp("", "occid-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	ctx, cancel := context.WithTimeout(ctx, 20*time.Minute)
	defer cancel()
	b.ctx, b.dir = ctx, dir
	for _, part := range []struct {
		name string
		do   func() error
	}{{"reads", b.reads}, {"logins", b.logins}, {"creates on SQLite", b.createsSQLite}, {"creates on PostgreSQL", b.createsPostgres},
		{"machines", b.machines}, {"events", b.events}, {"guests", b.guests}, {"100,000 computes", b.large}, {"placement", b.placement}, {"sizes", b.sizes}} {
		if !strings.Contains(part.name, only) {
			continue
		}
		fmt.Fprintln(os.Stderr, part.name)
		if err := part.do(); err != nil {
			return fmt.Errorf("%s: %w", part.name, err)
		}
	}
	return b.print()
}

// print writes the table and reports goals that were missed.
func (b *bench) print() error {
	w := tabwriter.NewWriter(os.Stdout, 0, 4, 2, ' ', 0)
	fmt.Fprintln(w, "what\tmeasured\tbeside\tratio\tgoal\t")
	missed := 0
	for _, r := range b.rows {
		mark := ""
		if r.ok != nil {
			mark = "ok"
			if !*r.ok {
				mark = "MISSED"
				missed++
			}
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", r.what, r.value, r.beside, r.ratio, r.goal, mark)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if missed > 0 {
		return fmt.Errorf("%d goals missed", missed)
	}
	return nil
}
