package store

import (
	"context"
	"slices"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"github.com/occid/occid/occi"
)

const (
	// maxGroup is how many changes share a transaction.
	maxGroup = 128
	// groupTime bounds a transaction.
	groupTime = 30 * time.Second
)

// job is a change on its way to the writer. The writer fills in entities and
// tasks; Commit copies them to the change once all is durable.
type job struct {
	change *occi.Change
	origin *occi.Origin // nil for the server itself
	puts   []put
	tasks  []taskPut
	key    []byte            // document of the key, nil for none
	mixins [][]byte          // documents of those to define, then of those to redefine
	loads  map[loadKey]int64 // by how much it changes these, as was found when it was checked
	uses   map[useKey]int64  // likewise
	state  atomic.Int32
	done   chan error // of capacity 1
	err    error      // decided, not told yet
}

// States of a job.
const (
	jobWaiting = iota
	jobTaken
	jobWithdrawn
)

// put is an entity to write, made ready for it.
type put struct {
	e          *occi.Entity
	doc, words []byte
	keys       map[string]string
	columns    // as written
}

// taskPut is a task to write, made ready for it.
type taskPut struct {
	t   *occi.Task
	doc []byte
	seq int64 // as written
	// claimed tells that it was claimed with that.
	claimed bool
}

// Commit writes a change, whole or not at all, and sets what its Puts and Tasks
// document as set by the store. It returns once the change is durable.
//
// The error is Conflict if an entity is not at the revision the change is based
// on, a collection was changed since, a new one exists already, a new link's source or target does not exist or
// is deleted, a link leads to what is to go, the Key or an address is taken, or a task is over or was claimed again
// since it was read. It is Invalid if an entity, task or address is named twice or
// holds what cannot be kept. If ctx ends before the change has begun, nothing is written;
// a change that has begun is waited for. If the connection is lost as a change
// ends, the error is Unavailable, but the change may have been written.
func (s *Store) Commit(ctx context.Context, c *occi.Change) error {
	for _, e := range c.Puts {
		e.Charges = s.charges(e)
	}
	j, err := newJob(s.model(), c)
	if err != nil {
		return err
	}
	j.origin = occi.OriginOf(ctx)
	select {
	case s.jobs <- j:
	case <-s.closed:
		return occi.E(occi.Unavailable, "the store is closed")
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case err = <-j.done:
	case <-ctx.Done():
		if j.state.CompareAndSwap(jobWaiting, jobWithdrawn) {
			return ctx.Err()
		}
		err = <-j.done
	}
	if err == nil {
		j.assign()
	}
	return err
}

// newJob does what needs no database.
func newJob(m *occi.Model, c *occi.Change) (*job, error) {
	j := &job{change: c, done: make(chan error, 1)}
	seen := map[uuid.UUID]bool{}
	for _, e := range c.Puts {
		if seen[e.ID] {
			return nil, occi.E(occi.Invalid, "the change puts %s twice", e.ID)
		}
		seen[e.ID] = true
		doc, err := encodeEntity(e)
		if err != nil {
			return nil, occi.E(occi.Invalid, "%s cannot be kept: %w", e.ID, err)
		}
		j.puts = append(j.puts, put{e: e, doc: doc, words: []byte(wordsOf(m, e)), keys: keysOf(e)})
	}
	for _, t := range c.Tasks {
		if seen[t.ID] {
			return nil, occi.E(occi.Invalid, "the change puts %s twice", t.ID)
		}
		seen[t.ID] = true
		doc, err := encodeTask(t)
		if err != nil {
			return nil, occi.E(occi.Invalid, "task %s cannot be kept: %w", t.ID, err)
		}
		j.tasks = append(j.tasks, taskPut{t: t, doc: doc})
	}
	if err := roomedOnce(c.Rooms); err != nil {
		return nil, err
	}
	if err := heldOnce(c.Holds); err != nil {
		return nil, err
	}
	for _, x := range slices.Concat(c.Define, c.Redefine) {
		doc, err := encodeMixin(x)
		if err != nil {
			return nil, occi.E(occi.Invalid, "the mixin %s cannot be kept: %w", x.ID(), err)
		}
		j.mixins = append(j.mixins, doc)
	}
	if c.Key != nil {
		doc, err := encodeKey(c.Key)
		if err != nil {
			return nil, occi.E(occi.Invalid, "the idempotency key cannot be kept: %w", err)
		}
		j.key = doc
	}
	return j, nil
}

// assign tells the change what was written.
func (j *job) assign() {
	for _, p := range j.puts {
		p.set(p.e)
	}
	for _, t := range j.tasks {
		t.t.Seq = t.seq
		if t.claimed {
			t.t.State, t.t.Attempts, t.t.Started = occi.TaskRunning, 1, fromMicros(micros(j.change.At))
		}
	}
}

// write commits jobs until the store is closed: whatever came while the last
// transaction was under way shares the next.
func (s *Store) write() {
	for {
		select {
		case <-s.closed:
			s.commitNotes(closeTime)
			return
		case j := <-s.jobs:
			s.commit(s.gather(j))
		case <-s.notes.due:
			s.commitNotes(groupTime)
		}
	}
}

// commitNotes writes what is noted if nothing came to go with it. What is not written
// now is tried again.
func (s *Store) commitNotes(most time.Duration) {
	ctx, cancel := context.WithTimeout(context.Background(), most)
	defer cancel()
	_ = s.transact(ctx, nil)
}

// gather takes the jobs that wait, the first of which it is given.
func (s *Store) gather(j *job) []*job {
	var jobs []*job
	for {
		if j.state.CompareAndSwap(jobWaiting, jobTaken) {
			jobs = append(jobs, j)
		}
		if len(jobs) == maxGroup {
			return jobs
		}
		select {
		case j = <-s.jobs:
		default:
			return jobs
		}
	}
}

// commit writes jobs in one transaction and answers each. If the database refuses
// what one of them made of it, each has a transaction of its own.
func (s *Store) commit(jobs []*job) {
	ctx, cancel := context.WithTimeout(context.Background(), groupTime)
	defer cancel()
	began := time.Now()
	err := s.transact(ctx, jobs)
	if ctx.Err() != nil {
		err = &occi.Error{Class: occi.Unavailable, Message: "the database does not answer", Err: err}
	}
	if len(jobs) > 0 {
		s.committed(len(jobs), time.Since(began), err)
	}
	if err != nil && len(jobs) > 1 && occi.ClassOf(err) == occi.Internal {
		for _, j := range jobs {
			s.commit([]*job{j})
		}
		return
	}
	for _, j := range jobs {
		if j.err == nil {
			j.err = err
		}
		j.done <- j.err
	}
}

// transact writes what does not conflict of the jobs, with what is noted, and leaves an
// error with each of the others.
func (s *Store) transact(ctx context.Context, jobs []*job) error {
	noted := s.notes.take()
	if len(jobs)+len(noted) == 0 {
		return nil
	}
	var g *group
	remember := func(bool) {}
	err := s.exclusive(ctx, func(read reader) ([]statement, error) {
		var err error
		if g, err = load(read, &s.db.dialect, jobs, s.uses); err != nil {
			return nil, err
		}
		g.state, g.events, g.own, g.audit.model = s.state, slices.Clone(noted), s.own(), s.model()
		g.quotas = s.quotas()
		for _, j := range jobs {
			if j.err = g.check(j); j.err == nil {
				g.apply(j)
			}
		}
		if err := g.settleUses(); err != nil {
			return nil, err
		}
		remember = s.hold(g)
		// Told before it is so: who claims a task of the change is to look at the mixins
		// anew. To look too early or in vain does no harm.
		s.sawMixins(g.counters)
		return g.statements(), nil
	})
	remember(err == nil)
	switch {
	case err != nil:
		s.notes.back(noted)
	case len(g.events) > 0:
		s.follows.tell()
	}
	return err
}

// hold forgets what is in memory of what a group changes, so that whoever has seen
// a part of the change in the database sees the rest too. The function it gives
// ends that, once the change was written or has failed.
func (s *Store) hold(g *group) func(written bool) {
	if s.entities == nil {
		return func(bool) {}
	}
	for id := range g.touched {
		s.shard(id).hold(id)
	}
	for k := range g.tallies.more {
		s.tallies.hold(k.reach)
	}
	counters := s.counters.Swap(nil)
	return func(written bool) {
		if written {
			counters = &g.counters
		}
		s.counters.Store(counters)
		for id := range g.touched {
			s.shard(id).release(id)
		}
		for k := range g.tallies.more {
			s.tallies.release(k.reach)
		}
	}
}

func (s *Store) shard(id uuid.UUID) *cache[uuid.UUID, *occi.Entity] {
	return s.entities[int(id[15])%len(s.entities)]
}
