package store

import (
	"context"
	"errors"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
)

// writeLock is the advisory lock that makes transactions exclusive. Its number
// is arbitrary, but all servers must use the same.
const writeLock = 0x6f63636964

func openPostgres(ctx context.Context, dsn string, r *reckoning) (*database, error) {
	cfg, err := pgxpool.ParseConfig(dsn)
	if err != nil {
		return nil, err
	}
	cfg.ConnConfig.RuntimeParams["synchronous_commit"] = "on"
	// Everything is reached by an index. A plan that reads a table whole, because
	// that was small when the plan was made, would be kept when it has grown.
	cfg.ConnConfig.RuntimeParams["enable_seqscan"] = "off"
	// The first few in the order of an index are wanted of many. A bitmap has no
	// order: a plan with one, made when there were few, looks at all and sorts.
	cfg.ConnConfig.RuntimeParams["enable_bitmapscan"] = "off"
	// A plan that cannot do without such a scan costs so much on paper that it
	// would be compiled to machine code first, which takes longer than to run it.
	cfg.ConnConfig.RuntimeParams["jit"] = "off"
	cfg.AfterConnect = func(_ context.Context, conn *pgx.Conn) error {
		m := conn.TypeMap()
		m.TryWrapEncodePlanFuncs = append([]pgtype.TryWrapEncodePlanFunc{wrapUUID}, m.TryWrapEncodePlanFuncs...)
		return nil
	}
	pool, err := pgxpool.NewWithConfig(ctx, cfg)
	if err != nil {
		return nil, err
	}
	if err := migratePostgres(ctx, pool, r); err != nil {
		pool.Close()
		return nil, err
	}
	read := func(ctx context.Context, q query) error {
		rs, err := pool.Query(ctx, q.sql, q.args...)
		if err != nil {
			return err
		}
		defer rs.Close()
		return each(rs, q.scan)
	}
	return &database{
		dialect: postgresDialect, read: read, single: read, exclusive: postgresWriter{pool}.exclusive, shared: true, ping: pool.Ping,
		listen: listener{cfg.ConnConfig}.listen,
		connections: func() Connections {
			st := pool.Stat()
			return Connections{Open: int(st.TotalConns()), InUse: int(st.AcquiredConns()), Waits: st.EmptyAcquireCount(), Waited: st.EmptyAcquireWaitTime()}
		},
		close: func() error {
			pool.Close()
			return nil
		},
	}, nil
}

// wrapUUID has UUIDs sent as they are; pgx would make each a text first.
func wrapUUID(value any) (pgtype.WrappedEncodePlanNextSetter, any, bool) {
	id, ok := value.(uuid.UUID)
	if !ok {
		return nil, nil, false
	}
	return &uuidPlan{}, [16]byte(id), true
}

type uuidPlan struct{ next pgtype.EncodePlan }

func (p *uuidPlan) SetNext(next pgtype.EncodePlan) { p.next = next }

// Encode appends a uuid.UUID, which is all that it is used for.
func (p *uuidPlan) Encode(value any, buf []byte) ([]byte, error) {
	return p.next.Encode([16]byte(value.(uuid.UUID)), buf)
}

func migratePostgres(ctx context.Context, pool *pgxpool.Pool, r *reckoning) error {
	db := stdlib.OpenDBFromPool(pool)
	return errors.Join(migrate(ctx, db, &postgresDialect, r), db.Close())
}

type postgresWriter struct{ pool *pgxpool.Pool }

// exclusive takes two round trips if f reads once: what begins goes with the
// first statements, what commits with the last.
func (w postgresWriter) exclusive(ctx context.Context, f func(reader) ([]statement, error)) error {
	conn, err := w.pool.Acquire(ctx)
	if err != nil {
		return err
	}
	// A connection whose transaction is not over is closed, not used again.
	defer conn.Release()
	first := true
	statements, err := f(func(queries []query) error {
		var b pgx.Batch
		if first {
			// Each statement after the lock sees what those who had it before
			// committed.
			b.Queue("BEGIN")
			b.Queue("SELECT pg_advisory_xact_lock($1)", int64(writeLock))
			first = false
		}
		for _, q := range queries {
			b.Queue(q.sql, q.args...).Query(func(rs pgx.Rows) error { return each(rs, q.scan) })
		}
		return conn.SendBatch(ctx, &b).Close()
	})
	if err != nil {
		return err
	}
	var b pgx.Batch
	for _, st := range statements {
		b.Queue(st.sql, st.args...)
	}
	// After a statement that fails the server skips the rest.
	b.Queue("COMMIT")
	return conn.SendBatch(ctx, &b).Close()
}
