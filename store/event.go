package store

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"

	"github.com/occid/occid/occi"
)

const (
	// seqOfEvents is the kind whose serial numbers the events. It is counted under the
	// lock that makes transactions exclusive, so that numbers become visible in their
	// order, on PostgreSQL too.
	seqOfEvents = "http://schemas.occid.org/occi/core#event"
	// maxEvents is how many events a row holds: most rows are below 2 KB.
	maxEvents = 40
	// noteTime is how long what is noted waits for a transaction to go with.
	noteTime = time.Second
	// closeTime bounds the last transaction of a store.
	closeTime = 5 * time.Second
)

// WithModel names the model by which events tell of states, and that says which kinds
// are the provider's own and what counts where quotas bound it. Without it events tell of
// the states of tasks alone, no kind is, and nothing counts.
func WithModel(model func() *occi.Model) Option {
	return func(s *Store) {
		s.model = model
		s.own = func() []string { return model().Own() }
		s.state = func(e *occi.Entity) (string, string) {
			m := model()
			return m.State(e), m.StateMessage(e)
		}
	}
}

// tell notes what became of an entity; nil stands for none. Entities on their way out
// are gone already.
func (g *group) tell(old, now *occi.Entity, at int64) {
	gone, left := old == nil || old.Deleted, now == nil || now.Deleted
	if gone && left {
		return
	}
	e := now
	if left {
		e = old
	}
	d := eventDocument{At: at, ID: e.ID, Kind: e.Kind, Owner: e.Owner, Project: e.Reach()}
	if isLink(e) {
		d.About, d.AboutKind = e.Source.ID, e.Source.Kind
	}
	if !gone {
		d.Was, _ = g.state(old)
	}
	if !left {
		d.State, d.Message = g.state(now)
	}
	switch {
	case gone:
		d.What = occi.EventCreated
	case left:
		d.What = occi.EventDeleted
	case d.Was != d.State:
		d.What = occi.EventState
	default:
		d.What, d.Was = occi.EventUpdated, ""
	}
	g.events = append(g.events, d)
	g.audited(d.What, old, now)
}

// taskEvent tells that a task is in another state than it was; "" stands for none.
func taskEvent(t *occi.Task, was string, at int64) eventDocument {
	d := eventDocument{At: at, What: occi.EventState, ID: t.ID, Kind: occi.TaskKind, Owner: t.Who, Project: t.Project, About: t.Entity, AboutKind: t.Kind,
		Verb: t.Verb, State: string(t.State), Was: was, Message: t.Error}
	if was == "" {
		d.What = occi.EventCreated
	}
	return d
}

// eventRows numbers the events of the group and gives their rows.
func (g *group) eventRows() [][]any {
	var rows [][]any
	for part := range slices.Chunk(g.events, maxEvents) {
		first := g.next(seqOfEvents)
		last, at := first, part[0].At
		for _, d := range part[1:] {
			last, at = g.next(seqOfEvents), max(at, d.At)
		}
		rows = append(rows, []any{last, first, at, appendEvents(nil, part)})
	}
	return rows
}

// notes are events of what is written by a statement of its own, beside which no
// number can be given: claims of tasks. They go with the next transaction, so that they
// cost none; the one that ends a short task is it.
type notes struct {
	due chan struct{} // of capacity 1: what is noted has waited long enough

	mu     sync.Mutex
	events []eventDocument
	timer  *time.Timer // nil when nothing waits
}

// add notes events, after those noted before.
func (n *notes) add(events ...eventDocument) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.events = append(n.events, events...)
	n.await()
}

// back takes back what could not be written.
func (n *notes) back(events []eventDocument) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.events = append(events, n.events...)
	n.await()
}

func (n *notes) await() {
	if n.timer == nil && len(n.events) > 0 {
		n.timer = time.AfterFunc(noteTime, func() { signal(n.due) })
	}
}

// take gives all that is noted.
func (n *notes) take() []eventDocument {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.timer != nil {
		n.timer.Stop()
		n.timer = nil
	}
	events := n.events
	n.events = nil
	return events
}

func signal(ch chan struct{}) {
	select {
	case ch <- struct{}{}:
	default:
	}
}

// Events gives events after a number, in order: n of them or, since those committed
// together are read together, a few more, or fewer if the rest are not many; none if
// there are none. If the first is not the next one, those between are forgotten.
func (s *Store) Events(ctx context.Context, after int64, n int) ([]*occi.Event, error) {
	var found []*occi.Event
	// Numbers have no gaps, so that a bound on them bounds how many are read.
	sql := `SELECT first, doc FROM events WHERE seq > $1
		AND seq <= (SELECT seq FROM events WHERE seq > $1 ORDER BY seq LIMIT 1) + ` + bigint("$2") + ` ORDER BY seq`
	err := s.run(ctx, query{statement{sql, []any{after, n}}, eventsInto(&found, func(seq int64) bool { return seq > after })})
	return found, err
}

// EventsBefore gives the n events before a number, the newest first; fewer if those
// before them are forgotten.
func (s *Store) EventsBefore(ctx context.Context, before int64, n int) ([]*occi.Event, error) {
	var found []*occi.Event
	from := before - int64(n)
	sql := `SELECT first, doc FROM events WHERE seq >= $1 AND seq < $2 ORDER BY seq`
	err := s.run(ctx, query{statement{sql, []any{from, before + maxEvents}},
		eventsInto(&found, func(seq int64) bool { return seq >= from && seq < before })})
	slices.SortFunc(found, func(a, b *occi.Event) int { return cmp.Compare(b.Seq, a.Seq) })
	return found, err
}

func eventsInto(found *[]*occi.Event, wanted func(seq int64) bool) func(row) error {
	return func(r row) error {
		var first int64
		var text []byte
		if err := r.Scan(&first, &text); err != nil {
			return err
		}
		docs, err := decodeEvents(text)
		if err != nil {
			return occi.E(occi.Internal, "the events from %d are kept as what cannot be read: %w", first, err)
		}
		for i := range docs {
			if seq := first + int64(i); wanted(seq) {
				*found = append(*found, docs[i].event(seq))
			}
		}
		return nil
	}
}

// EventRange gives the number of the first event that is kept and of the last there
// was. If none is kept, the first is the one to come.
func (s *Store) EventRange(ctx context.Context) (first, last int64, err error) {
	sql := `SELECT COALESCE((SELECT first FROM events ORDER BY seq LIMIT 1), 0), COALESCE((SELECT serial FROM kinds WHERE kind = $1), 0)`
	err = s.run(ctx, query{statement{sql, []any{seqOfEvents}}, func(r row) error { return r.Scan(&first, &last) }})
	if first == 0 {
		first = last + 1
	}
	return first, last, err
}

// PurgeEvents forgets events from before a time, the oldest first, as they were
// committed: of up to n commits. It gives of how many. What is kept has no gap.
func (s *Store) PurgeEvents(ctx context.Context, before time.Time, n int) (int, error) {
	// Servers' clocks differ a little, so times may not be in the order of numbers.
	var old int64
	recent := false
	sql := `SELECT seq, at FROM events ORDER BY seq LIMIT ` + bigint("$1")
	err := s.run(ctx, query{statement{sql, []any{n}}, func(r row) error {
		var seq, at int64
		err := r.Scan(&seq, &at)
		if recent = recent || at >= micros(before); !recent {
			old = seq
		}
		return err
	}})
	if err != nil || old == 0 {
		return 0, err
	}
	forgotten := 0
	err = s.single(ctx, query{statement{`DELETE FROM events WHERE seq <= $1 RETURNING seq`, []any{old}}, func(row) error {
		forgotten++
		return nil
	}})
	return forgotten, err
}
