package store_test

import (
	"database/sql"
	"fmt"
	"net/netip"
	"path/filepath"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/occid/occid/occi"
	"github.com/occid/occid/store"
)

// eachBench runs a benchmark on each database.
func eachBench(b *testing.B, f func(b *testing.B, kind string)) {
	for _, kind := range databases {
		b.Run(kind, func(b *testing.B) { f(b, kind) })
	}
}

// concurrency of the benchmarks of commits.
var concurrency = []int{16, 64}

func parallel(b *testing.B, n int, f func() error) {
	b.SetParallelism((n + runtime.GOMAXPROCS(0) - 1) / runtime.GOMAXPROCS(0))
	b.ResetTimer()
	b.RunParallel(func(p *testing.PB) {
		for p.Next() {
			if err := f(); err != nil {
				b.Error(err)
				return
			}
		}
	})
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "commits/s")
}

// created is what the engine commits for a new compute: the entity and its task.
func created() *occi.Change {
	e := compute("web-1", 2)
	t := &occi.Task{ID: uuid.New(), Entity: e.ID, Kind: e.Kind, Lane: e.ID, Host: "h1", Verb: "create", State: occi.TaskPending,
		Progress: -1, Created: start}
	e.Tasks = []uuid.UUID{t.ID}
	return &occi.Change{At: start, Puts: []*occi.Entity{e}, Tasks: []*occi.Task{t}}
}

func BenchmarkCreate(b *testing.B) {
	eachBench(b, func(b *testing.B, kind string) {
		for _, n := range concurrency {
			b.Run(fmt.Sprint(n), func(b *testing.B) {
				s := open(b, freshDSN(b, kind))
				parallel(b, n, func() error { return s.Commit(b.Context(), created()) })
			})
		}
	})
}

// BenchmarkCreatePlugged is BenchmarkCreate with an interface in a network, of which
// the store finds a free address among those of 60,000 machines.
func BenchmarkCreatePlugged(b *testing.B) {
	eachBench(b, func(b *testing.B, kind string) {
		s := open(b, freshDSN(b, kind))
		n := network("lan")
		put(b, s, n)
		many(b, s, n.ID, 60_000, 100)
		first, last := netip.MustParseAddr("198.18.0.1"), netip.MustParseAddr("198.19.255.254")
		b.Run("free", func(b *testing.B) {
			for b.Loop() {
				if spans, err := s.Free(b.Context(), n.ID, first, last, 1); err != nil || len(spans) == 0 {
					b.Fatalf("%v, %v", spans, err)
				}
			}
		})
		var next atomic.Int64
		b.Run("16", func(b *testing.B) {
			parallel(b, 16, func() error {
				c := created()
				i := next.Add(1)
				nic := &occi.Entity{ID: uuid.New(), Kind: nicKind, Source: occi.Ref{ID: c.Puts[0].ID, Kind: computeKind},
					Target: occi.Ref{ID: n.ID, Kind: networkKind}, Host: "h1"}
				c.Puts = append(c.Puts, nic)
				ip := netip.AddrFrom4([4]byte{198, 20 + byte(i>>16), byte(i >> 8), byte(i)})
				c.Holds = []occi.Hold{{Holder: nic.ID, Addresses: []occi.Address{occi.IPAddress(n.ID, ip),
					mac(n.ID, fmt.Sprintf("02:00:00:%02x:%02x:%02x", byte(i>>16), byte(i>>8), byte(i)))}}}
				return s.Commit(b.Context(), c)
			})
		})
	})
}

// BenchmarkRawCommit is what a program does that inserts rows of one column, each
// in a transaction of its own, as durably as the store.
func BenchmarkRawCommit(b *testing.B) {
	for _, n := range concurrency {
		b.Run(fmt.Sprint("sqlite/", n), func(b *testing.B) {
			path := filepath.Join(b.TempDir(), "raw.db")
			db, err := sql.Open("sqlite", "file:"+path+"?_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&_pragma=busy_timeout(10000)")
			if err != nil {
				b.Fatal(err)
			}
			defer db.Close()
			// SQLite has one writer; a pool of more would only wait in busy loops.
			db.SetMaxOpenConns(1)
			if _, err := db.Exec(`CREATE TABLE raw (id INTEGER PRIMARY KEY, text TEXT)`); err != nil {
				b.Fatal(err)
			}
			insert, err := db.Prepare(`INSERT INTO raw (text) VALUES ($1)`)
			if err != nil {
				b.Fatal(err)
			}
			parallel(b, n, func() error {
				_, err := insert.Exec("a row of one column")
				return err
			})
		})
		b.Run(fmt.Sprint("postgres/", n), func(b *testing.B) {
			url := freshDSN(b, "postgres")
			pool, err := pgxpool.New(b.Context(), url+fmt.Sprint("&pool_max_conns=", n))
			if err != nil {
				b.Fatal(err)
			}
			defer pool.Close()
			if _, err := pool.Exec(b.Context(), `CREATE TABLE raw (id BIGSERIAL PRIMARY KEY, text TEXT)`); err != nil {
				b.Fatal(err)
			}
			parallel(b, n, func() error {
				_, err := pool.Exec(b.Context(), `INSERT INTO raw (text) VALUES ($1)`, "a row of one column")
				return err
			})
		})
	}
}

// stored is a store of each database with so many computes.
func stored(b *testing.B, kind string, n int, options ...store.Option) (*store.Store, string, []*occi.Entity) {
	b.Helper()
	dsn := freshDSN(b, kind)
	s := open(b, dsn, options...)
	all := make([]*occi.Entity, n)
	const at = 500
	for i := 0; i < n; i += at {
		for j := i; j < min(i+at, n); j++ {
			all[j] = compute(fmt.Sprint("web-", j), int64(1+j%8))
			all[j].Attributes.Set("occi.compute.hostname", occi.Str(fmt.Sprint("host-", j)))
		}
		put(b, s, all[i:min(i+at, n)]...)
	}
	return s, dsn, all
}

func BenchmarkGet(b *testing.B) {
	eachBench(b, func(b *testing.B, kind string) {
		s, _, all := stored(b, kind, 10_000)
		i := 0
		for b.Loop() {
			get(b, s, all[i%len(all)].ID)
			i++
		}
	})
}

func list(b *testing.B, s *store.Store, q *occi.Query, want int) {
	b.Helper()
	page, err := s.List(b.Context(), q)
	if err != nil || len(page.Entities) != want {
		b.Fatalf("%d entities, %v; want %d", len(page.Entities), err, want)
	}
}

// BenchmarkFilter finds 1 of 10,000 by an attribute: another one each time, so
// that no page is in memory, and the same.
func BenchmarkFilter(b *testing.B) {
	eachBench(b, func(b *testing.B, kind string) {
		s, _, all := stored(b, kind, 10_000)
		q := func(i int) *occi.Query {
			return &occi.Query{Kinds: []string{computeKind}, Limit: 100, Conds: []occi.Cond{
				{Name: "occi.compute.hostname", Op: occi.Eq, Value: all[i%len(all)].Attributes.Get("occi.compute.hostname")}}}
		}
		b.Run("other", func(b *testing.B) {
			i := 0
			for b.Loop() {
				list(b, s, q(i), 1)
				i++
			}
		})
		b.Run("same", func(b *testing.B) {
			for b.Loop() {
				list(b, s, q(1), 1)
			}
		})
	})
}

// Benchmark100000 opens a store with 100,000 computes and reads pages of it that
// are not in memory.
func Benchmark100000(b *testing.B) {
	const n = 100_000
	eachBench(b, func(b *testing.B, kind string) {
		s, dsn, _ := stored(b, kind, n)
		if err := s.Close(); err != nil {
			b.Fatal(err)
		}
		began := time.Now()
		s = open(b, dsn)
		list(b, s, &occi.Query{Limit: 100}, 100)
		cold := time.Since(began)
		b.Run("cold", func(b *testing.B) { b.ReportMetric(cold.Seconds()*1000, "ms-to-first-page") })
		var limit atomic.Int64
		limit.Store(100)
		for name, q := range map[string]occi.Query{
			"first": {}, "middle": {Offset: n / 2}, "last": {Offset: n - 100}, "sorted": {Sort: []occi.Order{{Name: occi.AttrTitle}}},
			"filtered": {Conds: []occi.Cond{{Name: "occi.compute.cores", Op: occi.Ge, Value: occi.Int(8)}}},
			"words":    {Text: []string{"WEB-99999"}},
		} {
			b.Run(name, func(b *testing.B) {
				for b.Loop() {
					q := q
					q.Kinds = []string{computeKind}
					// A limit not used before makes it another page.
					q.Limit = 100 + int(limit.Add(1)%7)
					put(b, s, network("moves the revision of all"))
					q.Kinds = nil
					if _, err := s.List(b.Context(), &q); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	})
}
