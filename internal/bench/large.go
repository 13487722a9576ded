package main

import (
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// large measures a server with 100,000 computes stored.
func (b *bench) large() error {
	dsn := "sqlite:" + filepath.Join(b.dir, "100000.db")
	if _, err := fill(b.ctx, dsn, 100000); err != nil {
		return err
	}
	p, err := b.occid(dsn)
	if err != nil {
		return err
	}
	defer p.stop()
	b.limit("100,000 computes: cold start", p.start.Seconds(), 2, "s")
	for _, page := range []struct {
		name   string
		number int
	}{{"first", 1}, {"last", 1000}} {
		var ds []time.Duration
		t := target{accept: "application/occi+json"}
		for i := range 20 {
			// Another title of the page each time: nothing was made before.
			t.path = fmt.Sprintf("/compute/?number=%d&page=%d", 100-i%2, page.number)
			d, err := b.timed(p, t)
			if err != nil {
				return err
			}
			ds = append(ds, d)
		}
		b.limit("100,000 computes: "+page.name+" page of 100, first time", float64(ds[0].Microseconds())/1000, 10, "ms")
		b.limit("100,000 computes: "+page.name+" page of 100, median", float64(middle(ds).Microseconds())/1000, 10, "ms")
	}
	mb, err := p.resident()
	if err != nil {
		return err
	}
	b.limit("100,000 computes: resident", mb, 300, "MB")
	return nil
}

// sizes measures the binary and a small server.
func (b *bench) sizes() error {
	info, err := os.Stat(b.binary)
	if err != nil {
		return err
	}
	b.limit("binary", float64(info.Size())/1e6, 40, "MB")
	p, err := b.occid("sqlite:" + filepath.Join(b.dir, "1000.db"))
	if err != nil {
		return err
	}
	defer p.stop()
	for _, t := range []target{{path: "/compute/?number=1000"}, {path: "/.atom?number=1000"}, {path: "/-/"}} {
		if _, err := b.timed(p, t); err != nil {
			return err
		}
	}
	mb, err := p.resident()
	if err != nil {
		return err
	}
	b.limit("1,000 computes: resident", mb, 80, "MB")
	return nil
}
