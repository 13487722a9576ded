package engine

import (
	"context"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/occid/occid/occi"
)

// How refused requests come to the audit trail: some at a time, and those that are alike
// as one record. What a flood leaves is bounded, in memory as on disk.
const (
	// refusalPause is how long they wait for others. It doubles up to refusalMost as long
	// as more kinds of refusals come than are told apart.
	refusalPause = time.Second
	refusalMost  = time.Minute
	// maxRefusals are told apart by all that is known of them, maxRefused more by address
	// and status; the rest is counted by status.
	maxRefusals = 256
	maxRefused  = 64
)

// refusals are requests that were refused, until they are written. The zero value is
// ready for use.
type refusals struct {
	mu    sync.Mutex
	alike map[refusedAs]*occi.Record
	list  []*occi.Record // of alike, in order
	wake  chan struct{}  // of capacity 1
}

// refusedAs is what refusals have in common that are one record.
type refusedAs struct {
	occi.Origin // without the request
	status      int
	id          uuid.UUID
}

// Refuse notes that a request was refused, for the audit trail. It does not wait until
// that is written.
func (e *Engine) Refuse(r *occi.Record) {
	s := &e.refusals
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.alike == nil {
		s.alike = map[refusedAs]*occi.Record{}
	}
	k := refusedAs{r.Origin, r.Status, r.ID}
	k.Request = ""
	if have := s.alike[k]; have != nil {
		have.Times += max(r.Times, 1)
		return
	}
	w := *r
	w.What, w.Times = occi.AuditRefused, max(r.Times, 1)
	if w.At.IsZero() {
		w.At = e.now()
	}
	if len(s.list) >= maxRefusals {
		w = occi.Record{What: occi.AuditRefused, At: w.At, Status: w.Status, Times: w.Times, Message: "others"}
		if len(s.list) < maxRefusals+maxRefused {
			w.Address = r.Address
		}
		for _, o := range []occi.Origin{{Address: r.Address}, {}} {
			k = refusedAs{Origin: o, status: r.Status}
			if have := s.alike[k]; have != nil {
				have.Times += w.Times
				return
			}
		}
		k = refusedAs{Origin: w.Origin, status: r.Status}
	}
	s.alike[k] = &w
	s.list = append(s.list, &w)
	signal(s.wake)
}

// take gives what is noted, and whether that was more than is told apart.
func (s *refusals) take() (list []*occi.Record, flooded bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	list = s.list
	s.alike, s.list = nil, nil
	return list, len(list) >= maxRefusals
}

// tellRefusals writes what is noted until ctx ends, and then the rest.
func (e *Engine) tellRefusals(ctx context.Context) {
	for pause := refusalPause; ; {
		select {
		case <-e.refusals.wake:
		case <-ctx.Done():
			e.writeRefusals()
			return
		}
		late := time.NewTimer(pause)
		select {
		case <-late.C:
		case <-ctx.Done():
			late.Stop()
		}
		if flooded := e.writeRefusals(); flooded {
			pause = min(2*pause, refusalMost)
		} else {
			pause = refusalPause
		}
	}
}

// refusalTime bounds how long writing them may take.
const refusalTime = 10 * time.Second

// writeRefusals writes what is noted. What cannot be written is noted again.
func (e *Engine) writeRefusals() (flooded bool) {
	list, flooded := e.refusals.take()
	if len(list) == 0 {
		return false
	}
	ctx, cancel := context.WithTimeout(context.Background(), refusalTime)
	defer cancel()
	c := &occi.Change{At: e.now()}
	for _, r := range list {
		c.Records = append(c.Records, *r)
	}
	if err := e.store.Commit(ctx, c); err != nil {
		e.log.Warn("refused requests were not written to the audit trail yet", "records", len(list), "error", err)
		for _, r := range list {
			e.Refuse(r)
		}
	}
	return flooded
}
