package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib" // the database/sql driver "pgx"
	_ "modernc.org/sqlite"             // the database/sql driver "sqlite"

	"github.com/occid/occid/internal/pgtest"
)

// writers is how many write at once, to occid and to the raw database alike.
const writers = 32

func (b *bench) createsSQLite() error {
	raw, err := sql.Open("sqlite", "file:"+filepath.Join(b.dir, "raw.db")+
		"?_pragma=journal_mode(wal)&_pragma=synchronous(full)&_pragma=busy_timeout(10000)&_txlock=immediate")
	if err != nil {
		return err
	}
	defer raw.Close()
	raw.SetMaxOpenConns(1) // SQLite has one writer; more only wait in worse order
	return b.creates("accepted creates, SQLite", "sqlite:"+filepath.Join(b.dir, "creates.db"), raw)
}

func (b *bench) createsPostgres() (err error) {
	cluster, err := pgtest.Start("fsync=on", "synchronous_commit=on")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, cluster.Stop()) }()
	dsn, _, err := cluster.Create(b.ctx, "")
	if err != nil {
		return err
	}
	other, _, err := cluster.Create(b.ctx, "")
	if err != nil {
		return err
	}
	raw, err := sql.Open("pgx", other)
	if err != nil {
		return err
	}
	defer raw.Close()
	raw.SetMaxIdleConns(writers)
	raw.SetMaxOpenConns(writers)
	return b.creates("accepted creates, PostgreSQL", dsn, raw)
}

// creates compares POST /compute/ with single-row commits of the same database.
func (b *bench) creates(what, dsn string, raw *sql.DB) error {
	if _, err := raw.ExecContext(b.ctx, "create table raw (id integer, body text)"); err != nil {
		return err
	}
	p, err := b.occid(dsn)
	if err != nil {
		return err
	}
	defer p.stop()
	var ours, best []load
	for range b.rounds {
		l, err := b.wrkPost(p.url+"/compute/", `{"type":"compute","cores":2}`)
		if err != nil {
			return err
		}
		ours = append(ours, l)
		// The tasks that are left would slow down what stands beside.
		if err := settled(b.ctx, p.url); err != nil {
			return err
		}
		rate, err := b.repeat(func(ctx context.Context) error {
			_, err := raw.ExecContext(ctx, "insert into raw (id, body) values (1, 'a row of about as many bytes as an identifier has')")
			return err
		})
		if err != nil {
			return err
		}
		best = append(best, load{rate: rate})
	}
	mine, top := median(ours).rate, median(best).rate
	b.ratio(what, fmt.Sprintf("%.0f/s", mine), fmt.Sprintf("raw commits %.0f/s", top), mine, top, 0.3)
	return nil
}

// settleTime bounds how long the tasks of a load may take, settlePause is between
// two looks at them.
const settleTime, settlePause = 3 * time.Minute, 500 * time.Millisecond

// settled waits until no task is left.
func settled(ctx context.Context, url string) error {
	ctx, cancel := context.WithTimeout(ctx, settleTime)
	defer cancel()
	for {
		resp, err := get(ctx, url, target{path: "/task/", accept: "text/uri-list"})
		if err != nil {
			return err
		}
		n, err := io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
		if err != nil || n == 0 {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(settlePause):
		}
	}
}

var pool = &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: writers}}

// repeat does something from many goroutines for a while and gives how often a
// second it was done.
func (b *bench) repeat(do func(context.Context) error) (float64, error) {
	end := time.Now().Add(time.Duration(b.seconds) * time.Second)
	began := time.Now()
	var n atomic.Int64
	var failed atomic.Pointer[error]
	var wg sync.WaitGroup
	for range writers {
		wg.Go(func() {
			for time.Now().Before(end) && failed.Load() == nil {
				if err := do(b.ctx); err != nil {
					failed.Store(&err)
					return
				}
				n.Add(1)
			}
		})
	}
	wg.Wait()
	if err := failed.Load(); err != nil {
		return 0, *err
	}
	return float64(n.Load()) / time.Since(began).Seconds(), nil
}
