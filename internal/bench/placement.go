package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"time"

	"github.com/google/uuid"

	"github.com/occid/occid/hypervisor"
	"github.com/occid/occid/internal/engine"
	"github.com/occid/occid/occi"
	"github.com/occid/occid/spec"
	"github.com/occid/occid/store"
)

const (
	placedHosts    = 1000
	placedMachines = 100_000
)

// idle is a host that tells what it is and does nothing.
type idle struct{ hypervisor.Driver }

var errIdle = fmt.Errorf("%w: it is for placing alone", hypervisor.ErrUnavailable)

func (idle) Info(context.Context) (hypervisor.Info, error) {
	return hypervisor.Info{Hostname: "idle", CPUs: 128, MemoryBytes: 1 << 40}, nil
}

func (idle) Watch(ctx context.Context, _ func(hypervisor.Event)) error {
	<-ctx.Done()
	return ctx.Err()
}

func (idle) Pools(context.Context) ([]hypervisor.PoolStatus, error) { return nil, nil }

func (idle) Domains(context.Context) ([]hypervisor.DomainStatus, error) { return nil, errIdle }
func (idle) Domain(context.Context, uuid.UUID) (hypervisor.DomainStatus, error) {
	return hypervisor.DomainStatus{}, errIdle
}
func (idle) DefineDomain(context.Context, hypervisor.Domain) error { return errIdle }

// placement measures how long it takes to choose a host for a machine among many, and
// beside it until machine, task and what it takes are stored too.
func (b *bench) placement() error {
	dsn := "sqlite:" + filepath.Join(b.dir, "placement.db")
	if _, err := fill(b.ctx, dsn, placedMachines); err != nil {
		return err
	}
	m, err := spec.Builtin()
	if err != nil {
		return err
	}
	st, err := store.Open(b.ctx, dsn, store.WithModel(func() *occi.Model { return m }), store.WithUses(engine.Uses(func() *occi.Model { return m })))
	if err != nil {
		return err
	}
	defer st.Close()
	var hosts []engine.Host
	for i := range placedHosts {
		hosts = append(hosts, engine.Host{Name: fmt.Sprintf("host-%04d", i), Driver: idle{}})
	}
	if err := place(b.ctx, st, hosts); err != nil {
		return err
	}
	e := engine.New(engine.Config{Store: st, Model: func() *occi.Model { return m }, Hosts: hosts, Worker: "bench",
		Describe: time.Hour, Logger: slog.New(slog.DiscardHandler)})
	if err := e.Start(b.ctx); err != nil {
		return err
	}
	defer e.Stop()
	if err := b.allUp(e); err != nil {
		return err
	}
	for _, part := range []struct {
		what string
		more []occi.DraftAttr
		with []string
	}{
		{"placement: 1,000 hosts, 100,000 computes, median decision", nil, nil},
		{"placement: the same of a group that is apart", []occi.DraftAttr{{Name: "occid.placement.anti_affinity", Value: occi.Str("db")}},
			[]string{"http://schemas.occid.org/occi/placement#anti_affinity"}},
	} {
		draft := func() *occi.Draft { return &occi.Draft{Kind: compute, Attributes: part.more, Mixins: part.with} }
		decided, err := times(500, func() error {
			_, err := e.Place(b.ctx, engine.Caller{}, compute, draft())
			return err
		})
		if err != nil {
			return err
		}
		stored, err := times(100, func() error {
			_, err := e.Create(b.ctx, engine.Caller{}, compute, []*occi.Draft{draft()}, engine.Options{})
			return err
		})
		if err != nil {
			return err
		}
		ms := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
		ok := ms(middle(decided)) <= 5
		b.add(row{what: part.what, value: fmt.Sprintf("%.2f ms (p99 %.1f)", ms(middle(decided)), ms(at(decided, 0.99))),
			beside: fmt.Sprintf("stored, %.1f ms", ms(middle(stored))), goal: "<= 5 ms", ok: &ok})
	}
	return nil
}

// times is how long each of n calls takes.
func times(n int, f func() error) ([]time.Duration, error) {
	var took []time.Duration
	for range n {
		began := time.Now()
		if err := f(); err != nil {
			return nil, err
		}
		took = append(took, time.Since(began))
	}
	return took, nil
}

// place puts the computes of a database on hosts in turn.
func place(ctx context.Context, st *store.Store, hosts []engine.Host) error {
	for n, seq := 0, int64(0); ; {
		page, err := st.HostMembers(ctx, "", occi.Either{Kinds: []string{compute}}, seq, 1000)
		if err != nil || len(page) == 0 {
			return err
		}
		c := &occi.Change{At: time.Now().UTC().Truncate(time.Microsecond)}
		for _, x := range page {
			w := x.Clone()
			w.Host, seq = hosts[n%len(hosts)].Name, x.Seq
			w.Takes = []occi.Take{{What: "cores", Amount: 1}, {What: "memory", Amount: 1 << 30}, {What: "computes", Amount: 1}}
			c.Puts = append(c.Puts, w)
			n++
		}
		if err := st.Commit(ctx, c); err != nil {
			return err
		}
	}
}

// allUp waits until every host has told what it is.
func (b *bench) allUp(e *engine.Engine) error {
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		page, err := e.List(b.ctx, engine.Caller{}, &occi.Query{Kinds: []string{occi.HostKind}, Limit: 1,
			Conds: []occi.Cond{{Name: "occid.host.state", Op: occi.Eq, Value: occi.Str("up")}}})
		if err != nil {
			return err
		}
		if page.Total == placedHosts {
			return nil
		}
	}
	return errors.New("the hosts are not up within a minute")
}
