package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"libvirt.org/go/libvirt"

	"github.com/occid/occid/internal/lab"
	"github.com/occid/occid/internal/pgtest"
)

const (
	// eventChanges is how many changes on a host are waited for.
	eventChanges = 300
	// eventMost bounds one.
	eventMost = 10 * time.Second
)

// events measures how long it takes from a change that is made on a host, of which it
// tells, until the row shows it to who asks over HTTP. The host is libvirt's test driver
// in a libvirtd of its own.
func (b *bench) events() error {
	if err := lab.Available(); err != nil {
		fmt.Fprintln(os.Stderr, "  not measured:", err)
		return nil
	}
	host, err := lab.NewHost(b.ctx, lab.Options{Name: "events"})
	if err != nil {
		return err
	}
	defer host.Close()
	uri := strings.Replace(host.URI, "qemu+unix:///system", "test+unix:///default", 1)
	cluster, err := pgtest.Start("fsync=on")
	if err != nil {
		return err
	}
	defer func() { _ = cluster.Stop() }()
	url, _, err := cluster.Create(b.ctx, "")
	if err != nil {
		return err
	}
	for _, on := range []struct{ name, dsn string }{{"SQLite", "sqlite:" + filepath.Join(b.dir, "events.db")}, {"PostgreSQL", url}} {
		took, err := b.eventsOn(on.dsn, uri)
		if err != nil {
			return err
		}
		b.limit("event to visible row, "+on.name+", p99", float64(at(took, 0.99).Microseconds())/1000, 200, "ms")
	}
	return nil
}

// eventsOn starts and stops a machine behind the server's back, time and again.
func (b *bench) eventsOn(dsn, uri string) ([]time.Duration, error) {
	p, err := b.occidWith(dsn, uri)
	if err != nil {
		return nil, err
	}
	defer p.stop()
	location, _, err := b.send(p, "/compute/", `{"type":"compute","memory":"64 MiB"}`)
	if err != nil {
		return nil, err
	}
	path := strings.TrimPrefix(location, p.url)
	conn, err := libvirt.NewConnect(uri)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	d, err := conn.LookupDomainByUUIDString(path[strings.LastIndexByte(path, '/')+1:])
	if err != nil {
		return nil, err
	}
	defer func() { _ = d.Free() }()
	var took []time.Duration
	for i := range eventChanges {
		change, want := d.Create, `state="active"`
		if i%2 == 1 {
			change, want = d.Destroy, `state="inactive"`
		}
		began := time.Now()
		if err := change(); err != nil {
			return nil, err
		}
		if err := b.shows(p, path, want); err != nil {
			return nil, err
		}
		took = append(took, time.Since(began))
	}
	return took, nil
}

// shows waits until what is at a path holds a text.
func (b *bench) shows(p *process, path, want string) error {
	for began := time.Now(); time.Since(began) < eventMost; time.Sleep(time.Millisecond) {
		resp, err := get(b.ctx, p.url, target{path: path, accept: "text/plain"})
		if err != nil {
			return err
		}
		text, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil {
			return err
		}
		if strings.Contains(string(text), want) {
			return nil
		}
	}
	return fmt.Errorf("%s does not show %s within %s", path, want, eventMost)
}
