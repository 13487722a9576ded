package engine_test

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/occid/occid/hypervisor"
	"github.com/occid/occid/internal/engine"
	"github.com/occid/occid/internal/pgtest"
	"github.com/occid/occid/occi"
	"github.com/occid/occid/store"
)

// port is a fake host as one server reaches it, which can be cut off.
type port struct {
	*fakeHost
	mu     sync.Mutex
	cut    bool
	events chan hypervisor.Event
}

func newPort(f *fakeHost) *port { return &port{fakeHost: f, events: make(chan hypervisor.Event, 64)} }

// plug cuts the server off, or lets it reach the host again.
func (p *port) plug(in bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cut = !in
	if in {
		p.events <- hypervisor.Event{Reconnected: true}
	}
}

func (p *port) fault() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cut {
		return fmt.Errorf("%w: cut off", hypervisor.ErrUnavailable)
	}
	return nil
}

func (p *port) Info(ctx context.Context) (hypervisor.Info, error) {
	if err := p.fault(); err != nil {
		return hypervisor.Info{}, err
	}
	return p.fakeHost.Info(ctx)
}

func (p *port) DefineDomain(ctx context.Context, d hypervisor.Domain) error {
	if err := p.fault(); err != nil {
		return err
	}
	return p.fakeHost.DefineDomain(ctx, d)
}

func (p *port) StartDomain(ctx context.Context, id uuid.UUID) error {
	if err := p.fault(); err != nil {
		return err
	}
	return p.fakeHost.StartDomain(ctx, id)
}

func (p *port) Domains(ctx context.Context) ([]hypervisor.DomainStatus, error) {
	if err := p.fault(); err != nil {
		return nil, err
	}
	return p.fakeHost.Domains(ctx)
}

func (p *port) Watch(ctx context.Context, fn func(hypervisor.Event)) error {
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case ev := <-p.events:
			if ev.Reconnected || p.fault() == nil {
				fn(ev)
			}
		}
	}
}

// server is one of several on a database. It can lose that, as if it had died.
type server struct {
	*engine.Engine
	name  string
	ports []*port
	kept  *losable
}

// losable is a store that can be lost, and counts what is committed through it.
type losable struct {
	*store.Store
	lost    atomic.Bool
	commits atomic.Int64
}

var errLosable = occi.E(occi.Unavailable, "the database is gone")

func (l *losable) Commit(ctx context.Context, c *occi.Change) error {
	if l.lost.Load() {
		return errLosable
	}
	l.commits.Add(1)
	return l.Store.Commit(ctx, c)
}

func (l *losable) Claim(ctx context.Context, host, worker string, n int, now time.Time, lease time.Duration) ([]*occi.Task, time.Time, error) {
	if l.lost.Load() {
		return nil, time.Time{}, errLosable
	}
	return l.Store.Claim(ctx, host, worker, n, now, lease)
}

func (l *losable) Watch(ctx context.Context, host, worker string, reaches bool, lease, patience time.Duration) (occi.Watch, bool, error) {
	if l.lost.Load() {
		return occi.Watch{}, false, errLosable
	}
	return l.Store.Watch(ctx, host, worker, reaches, lease, patience)
}

func (l *losable) Watches(ctx context.Context, worker string, lease time.Duration) ([]occi.Watch, error) {
	if l.lost.Load() {
		return nil, errLosable
	}
	return l.Store.Watches(ctx, worker, lease)
}

func (l *losable) Unwatch(ctx context.Context, worker, host string) error {
	if l.lost.Load() {
		return errLosable
	}
	return l.Store.Unwatch(ctx, worker, host)
}

// fleet is several servers on one PostgreSQL, which share hosts. The cloud asks the
// database, and is no server.
type fleet struct {
	*cloud
	servers []*server
	names   []string
	fakes   []*fakeHost
}

// newFleet starts n servers, each with all the hosts. configure, unless it is nil,
// changes their configuration.
func newFleet(t *testing.T, n int, configure func(*engine.Config), names ...string) *fleet {
	t.Helper()
	dsn := pgtest.Run(t).Empty(t)
	f := &fleet{cloud: newCloudOn(t, dsn), names: names}
	f.Stop()
	for range names {
		f.fakes = append(f.fakes, newFakeHost())
	}
	for i := range n {
		st, err := store.Open(f.ctx, dsn, store.WithModel(func() *occi.Model { return f.model }))
		if err != nil {
			t.Fatal(err)
		}
		s := &server{name: fmt.Sprintf("s%d", i+1), kept: &losable{Store: st}}
		cfg := engine.Config{Store: s.kept, Model: func() *occi.Model { return f.model }, Worker: s.name, Describe: 50 * time.Millisecond,
			Logger: slog.New(slog.DiscardHandler)}
		for j, name := range names {
			p := newPort(f.fakes[j])
			s.ports = append(s.ports, p)
			cfg.Hosts = append(cfg.Hosts, engine.Host{Name: name, Driver: p})
		}
		if configure != nil {
			configure(&cfg)
		}
		s.Engine = engine.New(cfg)
		if err := s.Start(f.ctx); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			s.Stop()
			if err := st.Close(); err != nil {
				t.Error(err)
			}
		})
		f.servers = append(f.servers, s)
	}
	f.Engine = f.servers[0].Engine
	return f
}

// watcher gives the server that watches a host, nil if none does.
func (f *fleet) watcher(host string) *server {
	f.t.Helper()
	list, err := f.store.Watches(f.ctx, "nobody", time.Second)
	if err != nil {
		f.t.Fatal(err)
	}
	for _, w := range list {
		for _, s := range f.servers {
			if w.Host == host && w.Left > 0 && w.Worker == s.name {
				return s
			}
		}
	}
	return nil
}

// watchedBy waits until another server watches a host, and gives it.
func (f *fleet) watchedBy(host string, within time.Duration, suits func(*server) bool) *server {
	f.t.Helper()
	var s *server
	begun := time.Now()
	f.until("another server watches the host", func() bool {
		s = f.watcher(host)
		return s != nil && suits(s)
	})
	if took := time.Since(begun); took > within {
		f.t.Errorf("%s took over after %s", s.name, took)
	}
	return s
}

// tell reports an event to all servers, as a host does.
func (f *fleet) tell(host int, ev hypervisor.Event) {
	for _, s := range f.servers {
		s.ports[host].events <- ev
	}
}

// flips lists the states that a host has been in since an event.
func (f *fleet) flips(id uuid.UUID, since int64) []string {
	f.t.Helper()
	var out []string
	for {
		events, err := f.store.Events(f.ctx, since, 1000)
		if err != nil {
			f.t.Fatal(err)
		}
		if len(events) == 0 {
			return out
		}
		for _, e := range events {
			if since = e.Seq; e.ID == id && e.What == occi.EventState {
				out = append(out, e.State)
			}
		}
	}
}

func (f *fleet) lastEvent() int64 {
	f.t.Helper()
	_, last, err := f.store.EventRange(f.ctx)
	if err != nil {
		f.t.Fatal(err)
	}
	return last
}

func ids(xs ...*occi.Entity) []uuid.UUID {
	var out []uuid.UUID
	for _, x := range xs {
		out = append(out, x.ID)
	}
	return out
}
