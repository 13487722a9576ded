package main

import (
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/occid/occid/internal/pgtest"
	"github.com/occid/occid/occi"
	"github.com/occid/occid/store"
)

const (
	rollingServers = 3
	rollingWorkers = 4
	// rollingDelay is how long a server that is to stop goes on; it is looked at every
	// rollingLook whether it is ready.
	rollingDelay = time.Second
	rollingLook  = 25 * time.Millisecond
)

// balancer spreads requests over the servers that are ready, and sends none twice.
type balancer struct {
	mu    sync.Mutex
	ready map[int]string // URLs
	next  int
}

func (b *balancer) set(i int, url string, ready bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if delete(b.ready, i); ready {
		b.ready[i] = url
	}
}

func (b *balancer) pick() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	for {
		if b.next++; b.ready[b.next%rollingServers] != "" {
			return b.ready[b.next%rollingServers]
		}
	}
}

// rolling is a cluster whose servers are started again one by one.
type rolling struct {
	t        *testing.T
	balancer balancer
	client   *http.Client
	answered atomic.Int64

	mu    sync.Mutex
	made  []uuid.UUID
	tasks []uuid.UUID
}

// TestRollingRestart stops three servers of one database in turn, as an operator does, and
// starts them again under a load of requests of which none is sent twice: none fails, and
// no task is lost.
func TestRollingRestart(t *testing.T) {
	t.Parallel()
	dsn := pgtest.Run(t).Empty(t)
	r := &rolling{t: t, balancer: balancer{ready: map[int]string{}}, client: &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}}
	dir := t.TempDir()
	var servers [rollingServers]*program
	boot := func(i int) {
		servers[i] = start(t, "--db", dsn, "--data", filepath.Join(dir, fmt.Sprint(i)), "--guest-bridges", "none", "--libvirt", "test:///default", "--stop-delay", rollingDelay.String())
	}
	for i := range servers {
		boot(i)
		r.balancer.set(i, servers[i].url, true)
	}
	var looks, load sync.WaitGroup
	over := make(chan struct{})
	for range rollingWorkers {
		load.Go(func() { r.work(over) })
	}
	for i := range servers {
		gone := make(chan struct{})
		looks.Go(func() { r.look(i, servers[i].url, gone) })
		r.progress()
		servers[i].stop()
		close(gone)
		looks.Wait()
		boot(i)
		r.balancer.set(i, servers[i].url, true)
		r.progress()
	}
	close(over)
	load.Wait()
	r.judge(dsn, servers[0])
}

// progress waits until some more requests are answered.
func (r *rolling) progress() {
	r.t.Helper()
	for want, end := r.answered.Load()+30, time.Now().Add(time.Minute); r.answered.Load() < want; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			r.t.Fatal("requests are not answered any more")
		}
	}
}

// look keeps the balancer informed whether a server is ready, until it is gone.
func (r *rolling) look(i int, url string, gone <-chan struct{}) {
	for {
		select {
		case <-gone:
			return
		case <-time.After(rollingLook):
		}
		resp, err := r.client.Get(url + "/readyz")
		if err == nil {
			_ = resp.Body.Close()
		}
		r.balancer.set(i, url, err == nil && resp.StatusCode == http.StatusOK)
	}
}

// work asks for things until it is over.
func (r *rolling) work(over <-chan struct{}) {
	for n := 0; ; n++ {
		select {
		case <-over:
			return
		case <-r.t.Context().Done():
			return
		default:
		}
		p := &program{t: r.t, url: r.balancer.pick(), client: r.client, ctx: r.t.Context()}
		if n%2 == 0 {
			status, _, text, err := p.ask("GET", "/compute/.uri?number=5", "")
			r.check("GET", p.url, 200, status, text, err)
			continue
		}
		id := uuid.New()
		status, h, text, err := p.ask("PUT", "/compute/"+id.String(), `{"type":"compute","cores":1,"memory":"64 MiB"}`, asJSON)
		if !r.check("PUT", p.url, 201, status, text, err) {
			continue
		}
		r.mu.Lock()
		r.made = append(r.made, id)
		for _, at := range strings.Split(h.Get("X-Task-Location"), ", ") {
			if task, err := uuid.Parse(at[strings.LastIndexByte(at, '/')+1:]); err == nil {
				r.tasks = append(r.tasks, task)
			}
		}
		r.mu.Unlock()
	}
}

func (r *rolling) check(method, url string, want, status int, text string, err error) bool {
	if r.answered.Add(1); err != nil || status != want {
		r.t.Errorf("%s at %s: %d %s, %v", method, url, status, text, err)
		return false
	}
	return true
}

// judge checks that all that was asked for is done.
func (r *rolling) judge(dsn string, p *program) {
	r.t.Helper()
	p.settled()
	st, err := store.Open(r.t.Context(), dsn)
	if err != nil {
		r.t.Fatal(err)
	}
	defer func() { _ = st.Close() }()
	for _, id := range r.tasks {
		if task, err := st.Task(r.t.Context(), id); err != nil || task.State != occi.TaskDone {
			r.t.Errorf("the task %s is %+v, %v", id, task, err)
		}
	}
	for _, id := range r.made {
		if _, err := st.Entity(r.t.Context(), id); err != nil {
			r.t.Errorf("%s was made and is not there: %v", id, err)
		}
	}
	if len(r.made) == 0 || len(r.tasks) != len(r.made) {
		r.t.Errorf("%d machines were made in %d tasks", len(r.made), len(r.tasks))
	}
	r.t.Logf("%d requests were answered, %d machines made", r.answered.Load(), len(r.made))
}
