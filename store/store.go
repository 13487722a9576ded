package store

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"github.com/occid/occid/occi"
)

// What is kept in memory, in bytes.
const (
	entityBudget = 48 << 20
	pageBudget   = 24 << 20
	entityShards = 32
)

// Store keeps entities, tasks and idempotency keys.
type Store struct {
	db    *database
	trace func(sql string)
	// committed is told of transactions; see WithCommits.
	committed func(changes int, took time.Duration, err error)

	// model is nil without one; uses too.
	model func() *occi.Model
	uses  func(*occi.Entity) occi.Use
	// own lists the kinds that are the provider's own.
	own func() []string
	// state tells an entity's state and what explains it.
	state func(*occi.Entity) (state, message string)

	jobs   chan *job
	closed chan struct{} // closed when no more jobs are taken
	writer sync.WaitGroup
	once   sync.Once

	notes   notes
	follows follows

	// entities, counters and tallies are what the database holds, where no other server
	// writes it; nil otherwise.
	entities []*cache[uuid.UUID, *occi.Entity]
	tallies  *cache[string, map[string]counter]
	counters atomic.Pointer[map[string]counter]
	pages    *cache[string, *occi.Page]
	seen     *cache[seenKey, occi.Count]
	// mixins is the revision of users' mixins as it was last read.
	mixins atomic.Int64
}

// Option adjusts a Store.
type Option func(*Store)

// WithTrace has f called with every SQL statement before it is run, and with
// "BEGIN" and "COMMIT" of transactions of several. It is called from several
// goroutines.
func WithTrace(f func(sql string)) Option { return func(s *Store) { s.trace = f } }

// Open opens the database that dsn names: "sqlite:PATH", a file that is made if
// it does not exist, or a URL that begins with "postgres://". It brings its
// schema up to date, which takes WithModel and WithUses if it is older. The error is
// Unavailable if another process owns the file or the server does not answer, Unsupported
// if the schema is newer than this program's, or older and the options are not given, and
// Invalid if dsn is neither.
func Open(ctx context.Context, dsn string, options ...Option) (*Store, error) {
	s := newStore()
	for _, o := range options {
		o(s)
	}
	var db *database
	var err error
	scheme, path, _ := strings.Cut(dsn, ":")
	switch {
	case scheme == "sqlite" && path != "":
		db, err = openSQLite(ctx, path, &reckoning{s.charges, s.uses})
	case scheme == "postgres" || scheme == "postgresql":
		db, err = openPostgres(ctx, dsn, &reckoning{s.charges, s.uses})
	default:
		// The value may hold a password, so it is not repeated.
		return nil, occi.E(occi.Invalid, `a database is named by "sqlite:PATH" or "postgres://USER@HOST/NAME"`)
	}
	if err != nil {
		var known *occi.Error
		if errors.As(err, &known) {
			return nil, known
		}
		return nil, occi.E(occi.Unavailable, "open the %s database: %w", scheme, err)
	}
	s.db = db
	if !db.shared {
		s.tallies = newCache[string, map[string]counter](tallyBudget)
		for range entityShards {
			s.entities = append(s.entities, newCache[uuid.UUID, *occi.Entity](entityBudget/entityShards))
		}
		all, err := s.readCounters(ctx)
		if err != nil {
			return nil, errors.Join(s.fault(err), db.close())
		}
		s.counters.Store(&all)
	}
	s.writer.Go(s.write)
	return s, nil
}

// newStore makes a Store that only reads, until its writer is begun.
func newStore() *Store {
	return &Store{trace: func(string) {}, committed: func(int, time.Duration, error) {}, jobs: make(chan *job), closed: make(chan struct{}),
		pages: newCache[string, *occi.Page](pageBudget), seen: newCache[seenKey, occi.Count](seenBudget), notes: notes{due: make(chan struct{}, 1)},
		model: func() *occi.Model { return nil },
		own:   func() []string { return nil },
		state: func(*occi.Entity) (string, string) { return "", "" }}
}

// Close waits for the changes under way and closes the database. Later calls of
// any method fail as Unavailable. It is safe to call more than once.
func (s *Store) Close() error {
	var err error
	s.once.Do(func() {
		close(s.closed)
		s.writer.Wait()
		s.follows.close()
		err = s.db.close()
	})
	return err
}

// Ping reports whether the database answers: nil, or Unavailable.
func (s *Store) Ping(ctx context.Context) error { return s.fault(s.db.ping(ctx)) }

// run reads.
func (s *Store) run(ctx context.Context, q query) error {
	s.trace(q.sql)
	return s.fault(s.db.read(ctx, q))
}

// single writes one statement.
func (s *Store) single(ctx context.Context, q query) error {
	s.trace(q.sql)
	return s.fault(s.db.single(ctx, q))
}

// exclusive reads and writes in a transaction.
func (s *Store) exclusive(ctx context.Context, f func(reader) ([]statement, error)) error {
	s.trace("BEGIN")
	return s.fault(s.db.exclusive(ctx, func(read reader) ([]statement, error) {
		statements, err := f(func(queries []query) error {
			for _, q := range queries {
				s.trace(q.sql)
			}
			return read(queries)
		})
		if err == nil {
			for _, st := range statements {
				s.trace(st.sql)
			}
			s.trace("COMMIT")
		}
		return statements, err
	}))
}

// fault gives an error of the database its class. Errors of contexts, and those
// that have a class, stay as they are.
func (s *Store) fault(err error) error {
	var known *occi.Error
	switch {
	case err == nil, errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded), errors.As(err, &known):
		return err
	case s.db.refused(err):
		return &occi.Error{Class: occi.Internal, Message: "the database refused a statement", Err: err}
	}
	return &occi.Error{Class: occi.Unavailable, Message: "the database does not answer", Err: err}
}
