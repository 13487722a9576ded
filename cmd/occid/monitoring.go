package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/occid/occid/hypervisor/libvirt"
	"github.com/occid/occid/internal/engine"
	"github.com/occid/occid/internal/metrics"
	"github.com/occid/occid/internal/server"
	"github.com/occid/occid/internal/trace"
	"github.com/occid/occid/internal/web"
	"github.com/occid/occid/store"
)

// monitoring is what the server tells of itself. The zero monitoring tells nothing.
type monitoring struct {
	metrics  *metrics.Metrics
	listener net.Listener // of its own, nil without one
	tracer   *trace.Tracer

	mu      sync.Mutex
	drivers []*monitored
}

// monitored is the driver of a host, by the host's name.
type monitored struct {
	name string
	*libvirt.Driver
	of *monitoring
}

// monitor has a driver be told of until it is closed.
func (m *monitoring) monitor(name string, d *libvirt.Driver) *monitored {
	m.mu.Lock()
	defer m.mu.Unlock()
	own := &monitored{name, d, m}
	m.drivers = append(m.drivers, own)
	return own
}

// Close implements hypervisor.Driver.
func (d *monitored) Close() error {
	d.of.mu.Lock()
	d.of.drivers = slices.DeleteFunc(d.of.drivers, func(o *monitored) bool { return o == d })
	d.of.mu.Unlock()
	return d.Driver.Close()
}

// withoutMetrics is the value of the option that switches them off.
const withoutMetrics = "none"

// openMonitoring begins to count and to trace, and listens where the options say.
func (s *service) openMonitoring(ctx context.Context) error {
	tracer, err := trace.Open(ctx, version, s.log)
	if err != nil {
		return err
	}
	if tracer != nil {
		s.monitoring.tracer = tracer
		s.closers = append(s.closers, tracer.Close)
	}
	where := s.options.MetricsListen
	if where == withoutMetrics {
		return nil
	}
	s.monitoring.metrics = metrics.New(version)
	if where == "" {
		return nil
	}
	l, err := listenAt(where)
	if err != nil {
		return fmt.Errorf("--metrics-listen: %w", err)
	}
	if _, local := l.(*net.UnixListener); !local {
		l = s.secured(l)
	}
	s.monitoring.listener = l
	s.closers = append(s.closers, func() error {
		// Serving has closed it, unless it was never begun.
		_ = l.Close()
		return nil
	})
	return nil
}

// store gives the options of a store that is observed.
func (m *monitoring) store() []store.Option {
	if m.metrics == nil {
		return nil
	}
	return []store.Option{store.WithCommits(m.metrics.Committed), store.WithTrace(m.metrics.Statement)}
}

// host gives the observer of a host's driver.
func (m *monitoring) host(name string) libvirt.Observer {
	switch {
	case m.tracer == nil && m.metrics == nil:
		return nil
	case m.tracer == nil:
		return m.metrics.Host(name)
	case m.metrics == nil:
		return m.tracer.Host(name)
	}
	return both{m.metrics.Host(name), m.tracer.Host(name)}
}

// both tells two observers.
type both struct{ first, second libvirt.Observer }

// Call implements libvirt.Observer.
func (b both) Call(ctx context.Context, operation string) (context.Context, func(error)) {
	ctx, end1 := b.first.Call(ctx, operation)
	ctx, end2 := b.second.Call(ctx, operation)
	return ctx, func(err error) { end2(err); end1(err) }
}

// Change implements libvirt.Observer.
func (b both) Change(ctx context.Context, op string) (context.Context, func(error)) {
	ctx, end1 := b.first.Change(ctx, op)
	ctx, end2 := b.second.Change(ctx, op)
	return ctx, func(err error) { end2(err); end1(err) }
}

// traces gives what follows tasks.
func (m *monitoring) traces() engine.Tracer {
	if m.tracer == nil {
		return nil
	}
	return m.tracer
}

// tasks gives the observer of tasks.
func (m *monitoring) tasks() engine.Observer {
	if m.metrics == nil {
		return nil
	}
	return m.metrics
}

// show has a server show the metrics, or prepares to show them elsewhere.
func (m *monitoring) show(c *server.Config, st *store.Store, eng *engine.Engine) {
	if m.tracer != nil {
		c.Tracer = m.tracer
	}
	if m.metrics == nil {
		return
	}
	m.metrics.Show(metrics.Sources{
		Hosts: func() []metrics.HostState { return m.hosts(eng) }, Followers: st.Followers, Pools: poolsOf(eng), Queues: st.Queues, Promised: st.Promised, Entities: entitiesOf(st, eng),
		Connections: func() metrics.Connections { return metrics.Connections(st.Connections()) },
	})
	c.Observer = m.metrics
	if m.listener == nil {
		c.Metrics = m.metrics.Handler()
	}
}

func (m *monitoring) hosts(eng *engine.Engine) []metrics.HostState {
	m.mu.Lock()
	defer m.mu.Unlock()
	list := make([]metrics.HostState, len(m.drivers))
	for i, d := range m.drivers {
		u := d.Usage()
		list[i] = metrics.HostState{Name: d.name, Connected: u.Connected, Watched: eng.Watches(d.name), Calls: u.Calls, Hung: u.Hung}
		if use, ok := eng.HostUse(d.name); ok {
			capacity := metrics.HostCapacity(use)
			list[i].Capacity = &capacity
		}
	}
	return list
}

func poolsOf(eng *engine.Engine) func() []metrics.PoolState {
	return func() []metrics.PoolState {
		var list []metrics.PoolState
		for _, p := range eng.Pools() {
			list = append(list, metrics.PoolState{Key: p.Key(), Host: p.Host, Pool: p.Pool,
				CapacityBytes: p.CapacityBytes, AllocatedBytes: p.AllocatedBytes, LimitBytes: p.LimitBytes})
		}
		return list
	}
}

// entitiesOf names kinds by where their collections are, as in "compute".
func entitiesOf(st *store.Store, eng *engine.Engine) func(context.Context) (map[string]int, error) {
	return func(ctx context.Context) (map[string]int, error) {
		members, err := st.Members(ctx)
		if err != nil {
			return nil, err
		}
		named := map[string]int{}
		for _, k := range eng.Model().Kinds {
			if n, kept := members[k.ID()]; kept && !k.Abstract {
				named[strings.Trim(k.Location, "/")] = n
			}
		}
		return named, nil
	}
}

// serve shows the metrics at the listener of their own until ctx ends.
func (m *monitoring) serve(ctx context.Context, s *service) error {
	if m.listener == nil {
		return nil
	}
	routes := http.NewServeMux()
	routes.Handle("GET /metrics", m.metrics.Handler())
	times := web.Bounds{Header: 10 * time.Second, Read: 10 * time.Second, Write: time.Minute, Idle: 2 * time.Minute, Stop: time.Second}
	return web.Serve(ctx, m.listener, web.Protected(routes), times, s.log, func() {})
}
