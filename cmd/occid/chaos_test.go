package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/occid/occid/hypervisor"
	"github.com/occid/occid/hypervisor/libvirt"
	"github.com/occid/occid/internal/lab"
	"github.com/occid/occid/internal/pgtest"
	"github.com/occid/occid/occi"
	"github.com/occid/occid/store"
)

var (
	chaosTime = flag.Duration("chaos", 20*time.Second, "how long TestChaos kills servers and hosts")
	chaosQEMU = flag.Bool("chaos-guests", false, "TestChaos runs guests in place of what libvirt's test driver has")
)

const (
	chaosServers = 3
	chaosHosts   = 3
	chaosWorkers = 6
	// chaosSettle bounds how long all may take to come true once nothing is killed any
	// more: a claim of a server that does not come back is taken over after a minute.
	chaosSettle = 4 * time.Minute
)

// chaosHost is a host that can be killed and comes back empty under the same URI.
type chaosHost struct {
	*lab.Host
	name, link, uri string
}

func (h *chaosHost) boot(t *testing.T) {
	t.Helper()
	host, err := lab.NewHost(t.Context(), lab.Options{Name: h.name})
	if err != nil {
		t.Fatal(err)
	}
	h.Host = host
	next := h.link + ".next"
	if err := os.Symlink(host.Path("/run/libvirt/libvirt-sock"), next); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(next, h.link); err != nil {
		t.Fatal(err)
	}
}

func (h *chaosHost) kill() {
	if h.Host != nil {
		_ = h.Close()
		h.Host = nil
	}
}

// chaos is a cluster that is disturbed.
type chaos struct {
	t       *testing.T
	dsn     string
	store   *store.Store
	hosts   []*chaosHost
	servers []*program
	args    [][]string

	mu   sync.Mutex
	urls []string // of servers that run
	// present and absent are what was accepted to be there and to be gone; tasks are those
	// that were accepted.
	present, absent map[uuid.UUID]bool
	tasks           map[string]bool
	asked, refused  int
}

// TestChaos kills servers and hosts at random under a load of creates, actions and
// deletes. In the end the rows are as the hosts, and nothing that was accepted is lost.
func TestChaos(t *testing.T) {
	t.Parallel()
	if err := lab.Available(); err != nil {
		t.Skip(err)
	}
	c := newChaos(t)
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	deadline := time.Now().Add(*chaosTime)
	var load sync.WaitGroup
	for i := range chaosWorkers {
		own := rand.New(rand.NewPCG(seed, uint64(i)+1))
		load.Go(func() { c.work(own, deadline) })
	}
	for time.Now().Before(deadline) {
		c.disturb(r)
	}
	load.Wait()
	c.restore()
	c.judge()
}

func newChaos(t *testing.T) *chaos {
	t.Helper()
	c := &chaos{t: t, present: map[uuid.UUID]bool{}, absent: map[uuid.UUID]bool{}, tasks: map[string]bool{}}
	dir := t.TempDir()
	var uris, rules []string
	for i := range chaosHosts {
		h := &chaosHost{name: fmt.Sprintf("chaos%d", i+1)}
		h.link = filepath.Join(dir, h.name)
		h.uri = "test+unix:///default?socket=" + h.link
		if *chaosQEMU {
			h.uri = "qemu+unix:///system?socket=" + h.link
		}
		t.Cleanup(h.kill)
		h.boot(t)
		c.hosts = append(c.hosts, h)
		uris = append(uris, h.uri)
		rules = append(rules, h.uri+",cores=20,cores-overcommit=1,memory=64GiB")
	}
	url := pgtest.Run(t).Empty(t)
	c.dsn = url
	for i := range chaosServers {
		c.args = append(c.args, []string{"--db", url, "--data", filepath.Join(dir, fmt.Sprintf("server%d", i+1)), "--guest-bridges", "none",
			"--libvirt", strings.Join(uris, ","), "--hosts", strings.Join(rules, ";")})
		c.servers = append(c.servers, nil)
		c.urls = append(c.urls, "")
		c.boot(i)
	}
	var err error
	if c.store, err = store.Open(t.Context(), url); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.store.Close() })
	for _, h := range c.hosts {
		c.until("host "+h.name+" is up", func() string { return c.isUp(h) })
	}
	return c
}

func (c *chaos) boot(i int) {
	c.t.Helper()
	c.servers[i] = start(c.t, c.args[i]...)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.urls[i] = c.servers[i].url
}

func (c *chaos) down(i int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.urls[i] = ""
}

// disturb does one thing to the cluster, and mends it after a while.
func (c *chaos) disturb(r *rand.Rand) {
	c.t.Helper()
	i, pause := r.IntN(chaosServers), time.Duration(200+r.IntN(2500))*time.Millisecond
	switch r.IntN(4) {
	case 0, 1:
		c.down(i)
		c.servers[i].kill()
		c.rest(pause)
		c.boot(i)
	case 2: // hangs for longer than its leases last
		p := c.servers[i].cmd.Process
		c.down(i)
		_ = p.Signal(syscall.SIGSTOP)
		c.rest(7 * time.Second)
		_ = p.Signal(syscall.SIGCONT)
		c.mu.Lock()
		c.urls[i] = c.servers[i].url
		c.mu.Unlock()
	case 3:
		h := c.hosts[r.IntN(chaosHosts)]
		h.kill()
		if r.IntN(2) == 0 {
			c.down(i)
			c.servers[i].kill()
			c.rest(pause)
			c.boot(i)
		}
		c.rest(pause)
		h.boot(c.t)
	}
	c.rest(pause / 2)
}

func (c *chaos) rest(d time.Duration) {
	select {
	case <-c.t.Context().Done():
	case <-time.After(d):
	}
}

// work asks for things until a time. Answers that are lost leave open what is so.
func (c *chaos) work(r *rand.Rand, until time.Time) {
	var own []uuid.UUID
	for time.Now().Before(until) && c.t.Context().Err() == nil {
		c.rest(time.Duration(r.IntN(40)) * time.Millisecond)
		switch n := r.IntN(10); {
		case n < 4 || len(own) == 0:
			id := uuid.New()
			if c.ask(r, "PUT", "/compute/"+id.String(), `{"type":"compute","cores":1,"memory":"64 MiB"}`, func() { c.present[id] = true }) {
				own = append(own, id)
			}
		case n < 8:
			action := []string{"start", "stop", "restart"}[r.IntN(3)]
			body := ""
			if action == "stop" {
				body = `{"method":"poweroff"}`
			}
			if action == "restart" {
				body = `{"method":"cold"}`
			}
			c.ask(r, "POST", "/compute/"+own[r.IntN(len(own))].String()+"?action="+action, body, nil)
		default:
			i := r.IntN(len(own))
			id := own[i]
			c.mu.Lock()
			delete(c.present, id)
			c.mu.Unlock()
			c.ask(r, "DELETE", "/compute/"+id.String(), "", func() { c.absent[id] = true })
			own = slices.Delete(own, i, i+1)
		}
	}
}

// running gives the URL of a server that runs, if one does.
func (c *chaos) running(r *rand.Rand) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.asked++
	urls := slices.DeleteFunc(slices.Clone(c.urls), func(url string) bool { return url == "" })
	return urls[r.IntN(len(urls))]
}

// ask sends a request to a server that runs, has what it means put down if it is
// accepted, and reports whether that may be so.
func (c *chaos) ask(r *rand.Rand, method, path, body string, accepted func()) bool {
	url := c.running(r)
	p := &program{url: url, ctx: c.t.Context()}
	status, h, text, err := p.ask(method, path, body, asJSON, "Prefer: respond-async", "Accept: application/json")
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case err != nil || status == 503:
		return true
	case status/100 != 2:
		if status != 409 && status != 404 {
			c.t.Errorf("%s %s: %d %s", method, path, status, text)
		}
		c.refused++
		return false
	}
	if accepted != nil {
		accepted()
	}
	if location := h.Get("Location"); status == 202 && strings.Contains(location, "/task/") {
		c.tasks[location[strings.LastIndexByte(location, '/')+1:]] = true
	}
	return true
}

// restore has all run again.
func (c *chaos) restore() {
	c.t.Helper()
	for _, h := range c.hosts {
		if h.Host == nil {
			h.boot(c.t)
		}
	}
	for i, p := range c.servers {
		if p.ended() {
			c.boot(i)
		}
	}
}

// until waits until something is true; what gives what is missing, "" for nothing.
func (c *chaos) until(what string, missing func() string) {
	c.t.Helper()
	text := ""
	for end := time.Now().Add(chaosSettle); time.Now().Before(end) && c.t.Context().Err() == nil; c.rest(100 * time.Millisecond) {
		if text = missing(); text == "" {
			return
		}
	}
	for _, p := range c.servers {
		log := p.log.String()
		c.t.Logf("%s\n%s", p.url, log[max(0, len(log)-6000):])
	}
	c.t.Fatalf("never: %s: %s", what, text)
}

func (c *chaos) isUp(h *chaosHost) string {
	page, err := c.store.List(c.t.Context(), &occi.Query{Kinds: []string{occi.HostKind}})
	if err != nil {
		return err.Error()
	}
	for _, x := range page.Entities {
		if x.Host == h.uri && x.Attributes.Get("occid.host.state").Text == "up" {
			return ""
		}
	}
	return h.uri + " is not up"
}

// judge compares what there is with what was accepted.
func (c *chaos) judge() {
	c.t.Helper()
	began := time.Now()
	c.until("no task is left", func() string {
		left, err := c.store.Unfinished(c.t.Context(), nil)
		if err != nil || len(left) > 0 {
			return fmt.Sprintf("%d tasks are left, %v", len(left), err)
		}
		return ""
	})
	c.t.Logf("the last task was over after %s", time.Since(began))
	drivers := map[string]*libvirt.Driver{}
	for _, h := range c.hosts {
		d, err := libvirt.Open(libvirt.Config{URI: h.uri})
		if err != nil {
			c.t.Fatal(err)
		}
		defer d.Close()
		drivers[h.uri] = d
		c.until("host "+h.name+" is up", func() string { return c.isUp(h) })
	}
	c.until("the rows are as the hosts", func() string { return c.differences(drivers) })
	c.t.Logf("rows and hosts agreed after %s", time.Since(began))
	c.accepted()
	c.reserved()
	c.t.Logf("%d requests, %d refused, %d machines are there, %d were deleted, %d tasks were told of", c.asked, c.refused, len(c.present), len(c.absent), len(c.tasks))
}

// differences tells what rows and hosts do not have alike.
func (c *chaos) differences(drivers map[string]*libvirt.Driver) string {
	where := map[uuid.UUID]string{}
	states := map[uuid.UUID]hypervisor.State{}
	for uri, d := range drivers {
		all, err := d.Domains(c.t.Context())
		if err != nil {
			return err.Error()
		}
		for _, x := range all {
			if !x.Managed {
				continue
			}
			if where[x.ID] != "" {
				return fmt.Sprintf("%s is on %s and on %s", x.ID, where[x.ID], uri)
			}
			where[x.ID], states[x.ID] = uri, x.State
		}
	}
	rows, err := c.computes()
	if err != nil {
		return err.Error()
	}
	var out []string
	for id, x := range rows {
		state := x.Attributes.Get("occi.compute.state").Text
		switch {
		case where[id] == "" && state == "error":
		case where[id] != x.Host:
			out = append(out, fmt.Sprintf("%s is on %q, its row says %q", id, where[id], x.Host))
		case (state == "active") != (states[id] == hypervisor.Running):
			out = append(out, fmt.Sprintf("%s is %s, its row says %s", id, states[id], state))
		}
	}
	for id, uri := range where {
		if rows[id] == nil {
			out = append(out, fmt.Sprintf("%s is on %s and has no row", id, uri))
		}
	}
	return strings.Join(out, "; ")
}

func (c *chaos) computes() (map[uuid.UUID]*occi.Entity, error) {
	page, err := c.store.List(c.t.Context(), &occi.Query{Kinds: []string{"http://schemas.ogf.org/occi/infrastructure#compute"}})
	if err != nil {
		return nil, err
	}
	rows := map[uuid.UUID]*occi.Entity{}
	for _, x := range page.Entities {
		rows[x.ID] = x
	}
	return rows, nil
}

// accepted checks that all that was accepted came to pass.
func (c *chaos) accepted() {
	c.t.Helper()
	rows, err := c.computes()
	if err != nil {
		c.t.Fatal(err)
	}
	for id := range c.present {
		if rows[id] == nil {
			c.t.Errorf("%s was accepted and is not there", id)
		}
	}
	for id := range c.absent {
		if rows[id] != nil {
			c.t.Errorf("%s was accepted to be deleted and is there", id)
		}
	}
	for id := range c.tasks {
		task, err := c.store.Task(c.t.Context(), uuid.MustParse(id))
		if err != nil || !task.State.Over() {
			c.t.Errorf("the task %s was accepted and is %+v, %v", id, task, err)
		}
	}
	if len(c.absent) == 0 || len(c.present) == 0 || len(c.tasks) == 0 {
		c.t.Errorf("too little was asked for: %d creates, %d deletes, %d tasks", len(c.present), len(c.absent), len(c.tasks))
	}
}

// reserved checks that what is taken of hosts is what their machines have.
func (c *chaos) reserved() {
	c.t.Helper()
	rows, err := c.computes()
	if err != nil {
		c.t.Fatal(err)
	}
	want := map[string]int64{}
	for _, x := range rows {
		for _, take := range x.Takes {
			want[x.Host+" "+take.What] += take.Amount
		}
	}
	loads, err := c.store.Loads(c.t.Context())
	if err != nil {
		c.t.Fatal(err)
	}
	got := map[string]int64{}
	for _, l := range loads {
		if l.What != "closed" {
			got[l.Host+" "+l.What] = l.Amount
		}
	}
	was, _ := json.Marshal(want)
	is, _ := json.Marshal(got)
	if string(was) != string(is) {
		c.t.Errorf("what is taken is %s, the machines have %s", is, was)
	}
}
