package main

import (
	"fmt"
	"path/filepath"
	"time"
)

// reads measures GET: of one compute among 10,000, of 1,000 at once, by a
// filter, and of what has not changed.
func (b *bench) reads() error {
	many, thousand := "sqlite:"+filepath.Join(b.dir, "10000.db"), "sqlite:"+filepath.Join(b.dir, "1000.db")
	one, err := fill(b.ctx, many, 10000)
	if err != nil {
		return err
	}
	if _, err := fill(b.ctx, thousand, 1000); err != nil {
		return err
	}
	path := "/compute/" + one.String()
	single := []target{
		{name: "GET one of 10,000, text/plain", path: path, accept: "text/plain", least: 0.5},
		{name: "GET one of 10,000, application/occi+json", path: path, accept: "application/occi+json", least: 0.5},
	}
	if err := b.against(many, single, func(p *process) error { return b.filter(p, single[1]) }); err != nil {
		return err
	}
	all := "/compute/?number=1000"
	return b.against(thousand, []target{
		{name: "GET 1,000, text/uri-list", path: all, accept: "text/uri-list", least: 0.1},
		{name: "GET 1,000, application/occi+json", path: all, accept: "application/occi+json", least: 0.1},
		{name: "GET 1,000, text/plain", path: all, accept: "text/plain", least: 0.1},
		{name: "GET 1,000, application/atom+xml", path: all, accept: "application/atom+xml", least: 0.05},
		{name: "GET 1,000 unchanged, If-None-Match", path: all, accept: "application/occi+json", least: 0.5, conditional: true},
	}, nil)
}

// against compares targets with a bare handler that sends the same bytes.
func (b *bench) against(dsn string, targets []target, then func(*process) error) error {
	ours, err := b.occid(dsn)
	if err != nil {
		return err
	}
	defer ours.stop()
	bare, err := b.bare(ours.url, targets)
	if err != nil {
		return err
	}
	defer bare.stop()
	for _, t := range targets {
		mine, best, err := b.compare(t, ours, bare)
		if err != nil {
			return err
		}
		b.ratio(t.name, describe(mine), describe(best), mine.rate, best.rate, t.least)
	}
	if then != nil {
		return then(ours)
	}
	return nil
}

func describe(l load) string {
	return fmt.Sprintf("%.0f/s p50 %s p99 %s", l.rate, l.p50.Round(time.Microsecond), l.p99.Round(time.Microsecond))
}

// filter compares the time of a filter that finds one with that of GET one. A
// different value is asked for each time, so that no answer was made before.
func (b *bench) filter(p *process, one target) error {
	var found, direct []time.Duration
	for i := range 400 {
		t := target{path: "/compute/?hostname=" + hostname(5+i*23), accept: one.accept}
		d, err := b.timed(p, t)
		if err != nil {
			return err
		}
		found = append(found, d)
		if d, err = b.timed(p, one); err != nil {
			return err
		}
		direct = append(direct, d)
	}
	f, d := middle(found), middle(direct)
	ok := float64(f) <= 2*float64(d)
	b.add(row{what: "filter that finds 1 of 10,000", value: f.String(), beside: "GET one " + d.String(),
		ratio: fmt.Sprintf("%.2f", float64(f)/float64(d)), goal: "<= 2", ok: &ok})
	return nil
}
