package engine_test

import (
	"context"
	"log/slog"
	"sync/atomic"
	"testing"

	"github.com/google/uuid"

	"github.com/occid/occid/hypervisor"
	"github.com/occid/occid/internal/engine"
	"github.com/occid/occid/occi"
)

// readsOfHosts counts what a sweep asks of a store.
type readsOfHosts struct {
	engine.Store
	pages, most, single atomic.Int64
}

func (s *readsOfHosts) HostEntities(ctx context.Context, host string, after int64, n int) ([]*occi.Entity, error) {
	s.pages.Add(1)
	rows, err := s.Store.HostEntities(ctx, host, after, n)
	s.most.Store(max(s.most.Load(), int64(len(rows))))
	return rows, err
}

func (s *readsOfHosts) Entity(ctx context.Context, id uuid.UUID) (*occi.Entity, error) {
	s.single.Add(1)
	return s.Store.Entity(ctx, id)
}

// TestASweepReadsPages has a server that starts find two machines of many, far
// apart, that are not as their rows say.
func TestASweepReadsPages(t *testing.T) {
	t.Parallel()
	const machines, changed = 1200, 2
	c := newCloud(t)
	var drafts []*occi.Draft
	for range machines {
		drafts = append(drafts, draft(compute))
	}
	out, err := c.Create(c.ctx, engine.Caller{}, compute, drafts, engine.Options{})
	if err != nil {
		t.Fatal(err)
	}
	c.settled(out)
	c.Stop()
	first, last := out.Entities[0].ID, out.Entities[machines-1].ID
	c.host.mu.Lock()
	c.host.domains[first].State = hypervisor.Running
	delete(c.host.domains, last)
	c.host.mu.Unlock()

	st := &readsOfHosts{Store: c.store}
	e := engine.New(engine.Config{Store: st, Model: func() *occi.Model { return c.model }, Worker: "test",
		Hosts: []engine.Host{{Name: "one", Driver: c.host}}, Logger: slog.New(slog.DiscardHandler)})
	if err := e.Start(c.ctx); err != nil {
		t.Fatal(err)
	}
	defer e.Stop()
	c.until("both are right", func() bool {
		_, err := c.host.Domain(c.ctx, last)
		return err == nil && c.state(c.get(first)) == "active" && len(c.get(last).Tasks) == 0
	})
	if most := st.most.Load(); most >= machines || most == 0 {
		t.Errorf("a page has %d rows of %d", most, machines)
	}
	if n := st.pages.Load() + st.single.Load(); n > 4+3*changed {
		t.Errorf("%d queries for %d machines of which %d changed", n, machines, changed)
	}
}
