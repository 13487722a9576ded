package store

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
)

// writeLock is the advisory lock that makes transactions exclusive. Its number
// is arbitrary, but all servers must use the same.
const writeLock = 0x6f63636964

func openPostgres(ctx context.Context, dsn string) (*database, error) {
	cfg, err := pgxpool.ParseConfig(dsn)
	if err != nil {
		return nil, err
	}
	cfg.ConnConfig.RuntimeParams["synchronous_commit"] = "on"
	pool, err := pgxpool.NewWithConfig(ctx, cfg)
	if err != nil {
		return nil, err
	}
	reads := stdlib.OpenDBFromPool(pool)
	db := &database{
		dialect: postgresDialect, reads: reads, exclusive: postgresWriter{pool}.exclusive, shared: true,
		single: func(ctx context.Context, q query) error { return run(ctx, reads, q) },
		close: func() error {
			err := reads.Close()
			pool.Close()
			return err
		},
	}
	if err := migrate(ctx, reads, &postgresDialect); err != nil {
		return nil, errors.Join(err, db.close())
	}
	return db, nil
}

type postgresWriter struct{ pool *pgxpool.Pool }

func (w postgresWriter) exclusive(ctx context.Context, f func(tx) error) error {
	// Waiting for the lock in the message that begins saves a round trip. Each
	// statement after it sees what those who had it before committed.
	begin := pgx.TxOptions{BeginQuery: fmt.Sprintf("BEGIN; SELECT pg_advisory_xact_lock(%d)", int64(writeLock))}
	t, err := w.pool.BeginTx(ctx, begin)
	if err != nil {
		return err
	}
	if err := f(postgresTx{t}); err != nil {
		return errors.Join(err, t.Rollback(context.WithoutCancel(ctx)))
	}
	return t.Commit(ctx)
}

type postgresTx struct{ t pgx.Tx }

func (x postgresTx) write(ctx context.Context, statements []statement) error {
	var b pgx.Batch
	for _, st := range statements {
		b.Queue(st.sql, st.args...)
	}
	return x.t.SendBatch(ctx, &b).Close()
}

func (x postgresTx) read(ctx context.Context, queries []query) error {
	var b pgx.Batch
	for _, q := range queries {
		b.Queue(q.sql, q.args...).Query(func(rs pgx.Rows) error { return each(rs, q.scan) })
	}
	return x.t.SendBatch(ctx, &b).Close()
}
