package server_test

import (
	"bufio"
	"context"
	"encoding/json"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/occid/occid/hypervisor"
	"github.com/occid/occid/internal/server"
)

// sent is a part of a stream that ends with an empty line.
type sent struct {
	id, event, comment string
	data               struct {
		ID                                                                          int64
		Event, Time, Entity, Kind, Owner, Project, About, Verb, State, Was, Message string
	}
}

// flow is a stream of events that is being read.
type flow struct {
	t     testing.TB
	url   string
	lines *bufio.Scanner
	stop  context.CancelFunc
	got   []string // the events, in short
}

// flow opens a stream, which must give what it has within a minute.
func (c *cloud) flow(path string, header ...string) *flow {
	c.t.Helper()
	return openFlow(c.t, c.url, path, header...)
}

func openFlow(t testing.TB, url, path string, header ...string) *flow {
	t.Helper()
	ctx, stop := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(stop)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range header {
		name, value, _ := strings.Cut(h, ": ")
		req.Header.Set(name, value)
	}
	resp, err := wire.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = resp.Body.Close() })
	if got := resp.Header.Get("Content-Type"); resp.StatusCode != 200 || got != "text/event-stream" {
		t.Fatalf("%s: %s, %s", path, resp.Status, got)
	}
	return &flow{t: t, url: url, lines: bufio.NewScanner(resp.Body), stop: stop}
}

// next reads a part; ok is false at the end.
func (f *flow) next() (s sent, ok bool) {
	f.t.Helper()
	for f.lines.Scan() {
		name, value, _ := strings.Cut(f.lines.Text(), ":")
		value = strings.TrimPrefix(value, " ")
		switch {
		case f.lines.Text() == "":
			return s, true
		case name == "id":
			s.id = value
		case name == "event":
			s.event = value
		case name == "data":
			if err := json.Unmarshal([]byte(value), &s.data); err != nil {
				f.t.Errorf("%s: %v", value, err)
			}
		case name == "":
			s.comment = "heartbeat"
		case f.lines.Text() != "retry: 3000":
			f.t.Errorf("the stream has %q", f.lines.Text())
		}
	}
	return s, false
}

// event reads up to the next event.
func (f *flow) event() sent {
	f.t.Helper()
	for {
		s, ok := f.next()
		if !ok {
			f.t.Fatalf("the stream ends: %v, %v", f.lines.Err(), f.got)
		}
		if s.event != "" {
			return s
		}
	}
}

// until reads events up to one that is meant, and tells of each in short.
func (f *flow) until(last string) []string {
	f.t.Helper()
	f.got = nil
	for range 100 {
		s := f.event()
		short := strings.Join(slices.DeleteFunc([]string{s.event, s.data.Verb, s.data.State}, func(s string) bool { return s == "" }), " ")
		if f.got = append(f.got, short); short == last {
			return f.got
		}
		if s.id != strconv.FormatInt(s.data.ID, 10) || s.event != s.data.Event || !strings.HasPrefix(s.data.Entity, f.url+"/") {
			f.t.Errorf("event %+v", s)
		}
	}
	f.t.Fatalf("no %s among %q", last, f.got)
	return nil
}

func TestEventStream(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, c *cloud) {
		c.described()
		f := c.flow("/events")
		begin, _ := f.next()
		if begin.id == "" || begin.event != "" {
			t.Fatalf("the stream begins with %+v", begin)
		}
		path := c.create("/compute/", `{"title":"a"}`)
		want := []string{"created inactive", "created create pending", "state create running", "updated inactive", "state create done"}
		if diff := cmp.Diff(want, f.until("state create done")); diff != "" {
			t.Errorf("a create: -want +got:\n%s", diff)
		}
		c.do("POST", path+"?action=start", "", "Prefer: wait=20").want(t, 200)
		f.until("state active")
		if err := c.host.StopDomain(t.Context(), uuid.MustParse(path[len("/compute/"):]), hypervisor.StopMode{Force: true}); err != nil {
			t.Fatal(err)
		}
		f.until("state inactive")
		c.do("DELETE", path, "", "Prefer: wait=20").want(t, 200)
		if s := f.until("deleted"); len(s) == 0 {
			t.Error("nothing is deleted")
		}
		// From where the first began, in one go, and what is selected of it.
		for query, first := range map[string]string{"": "created inactive", "category=compute&event=state": "state active", "state=active": "state active",
			"event=deleted,state&category=compute&id=" + path[len("/compute/"):]: "state active", "category=task": "created create pending",
			"id=" + path[len("/compute/"):] + "&state.ne=inactive": "state active"} {
			again := c.flow("/events?"+query, "Last-Event-ID: "+begin.id, "Accept: text/event-stream")
			if got := again.until(first); len(got) != 1 {
				t.Errorf("%s: %q, want %q first", query, got, first)
			}
			again.stop()
		}
		s := c.flow("/events?category=compute&since=" + begin.id).event()
		if s.data.Entity != c.url+path || !strings.HasSuffix(s.data.Kind, "#compute") || s.data.Time == "" || s.data.Was != "" {
			t.Errorf("%+v", s)
		}
		s = c.flow("/events?category=task&since=" + begin.id).event()
		if s.data.About != c.url+path || s.data.Verb != "create" || s.data.State != "pending" {
			t.Errorf("%+v", s)
		}
	})
}

// TestEventsOfOtherServers reads at one server what another does.
func TestEventsOfOtherServers(t *testing.T) {
	t.Parallel()
	one, other := newClouds(t)
	f := one.flow("/events?category=network")
	path := other.create("/network/", `{"title":"n"}`)
	if s := f.event(); s.data.Entity != one.url+path || s.event != "created" {
		t.Errorf("%+v", s)
	}
}

// TestForgottenEvents has clients list again that have missed something.
func TestForgottenEvents(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, c *cloud) {
		c.create("/network/", `{"title":"n"}`)
		c.engine.Stop()
		var last int64
		for _, since := range []string{"0", "1000000"} {
			if _, err := c.store.PurgeEvents(t.Context(), time.Now().Add(time.Hour), 1000); err != nil {
				t.Fatal(err)
			}
			var err error
			if _, last, err = c.store.EventRange(t.Context()); err != nil {
				t.Fatal(err)
			}
			s := c.flow("/events", "Last-Event-ID: "+since).event()
			if s.event != "reset" || s.id != strconv.FormatInt(last, 10) || s.data.ID != last {
				t.Errorf("after %s: %+v, want a reset at %d", since, s, last)
			}
		}
		f := c.flow("/events?since=" + strconv.FormatInt(last, 10))
		c.do("POST", "/network/", `{"title":"m"}`, "Content-Type: application/json").want(t, 201)
		if s := f.event(); s.event != "created" || s.data.ID != last+1 {
			t.Errorf("after the last: %+v", s)
		}
	})
}

func TestEventLists(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	for range 3 {
		c.create("/network/", `{"title":"n"}`)
	}
	c.engine.Stop()
	type list struct {
		First, Last int64
		Total       int
		Events      []struct {
			ID          int64
			Event, Kind string
		}
	}
	get := func(path string) (l list) {
		t.Helper()
		if err := json.Unmarshal([]byte(c.do("GET", path, "", "Accept: application/json").want(t, 200).text), &l); err != nil {
			t.Fatal(err)
		}
		return l
	}
	all := get("/events")
	if all.First != 1 || int64(all.Total) != all.Last || len(all.Events) != all.Total || all.Events[0].ID != all.Last || all.Events[all.Total-1].ID != 1 {
		t.Fatalf("%+v", all)
	}
	for path, want := range map[string][2]int{ // in all, and on the page
		"/events?event=created&category=network": {3, 3}, "/events.json?event=created&category=network&number=2&page=2": {3, 1},
		"/events/.json?number=2&page=2": {all.Total, 2}, "/events?page=1000": {all.Total, 0}, "/events?since=" + strconv.Itoa(all.Total-1): {1, 1},
		"/events?category=compute": {0, 0}, "/events?state=done": {3, 3}, "/events?since=" + strconv.Itoa(all.Total): {0, 0},
	} {
		if l := get(path); l.Total != want[0] || len(l.Events) != want[1] || l.Last != all.Last {
			t.Errorf("%s: %+v, want %d, %d of them", path, l, want[0], want[1])
		}
	}
	r := c.do("GET", "/events.json?number=2&page=2&event=created", "").want(t, 200)
	if links := strings.Join(r.Header["Link"], "\n"); !strings.Contains(links, `events.json?event=created&page=3&number=2>; rel="next"`) {
		t.Errorf("Link: %s", links)
	}
	c.do("GET", "/events.json?number=2&page=2&event=created", "", "If-None-Match: "+r.Header.Get("Etag")).want(t, 304)

	next, seen := c.url+"/events.atom?number=2&event=created&category=network", 0
	for next != "" && seen < 10 {
		f := c.feeds(next)[0]
		for _, e := range f.Entries {
			seen++
			if e.Tags[0] != "network" || e.Tags[1] != "created" || !e.Dated || !strings.HasPrefix(e.Link, c.url+"/network/") {
				t.Errorf("%+v", e)
			}
		}
		if f.Version != "atom10" || f.Links["self"] == "" || f.Links["search"] != "" {
			t.Errorf("%+v", f)
		}
		next = f.Links["next"]
	}
	if seen != 3 {
		t.Errorf("%d entries of 3", seen)
	}
}

func TestEventsRefuse(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	for _, x := range []struct {
		path, accept string
		status       int
		names        string
	}{
		{"/events?colour=red", "", 400, "colour"},
		{"/events?q=a", "", 400, "q"},
		{"/events?cores=2", "application/json", 400, "cores"},
		{"/events?page=1", "", 400, "page"},
		{"/events?event=made", "", 400, "made"},
		{"/events?event!=created", "", 400, "event"},
		{"/events?since=-1", "application/json", 400, "since"},
		{"/events?since=1&since=2", "", 400, "since"},
		{"/events?id=1", "", 400, "id"},
		{"/events?category=ssh_key", "", 400, "category"},
		{"/events?category=nothing", "", 400, "category"},
		{"/events?category=compute&state=colourful", "", 400, "state"},
		{"/events.json?number=0", "", 400, "number"},
		{"/events", "image/png", 406, "text/event-stream"},
		{"/events.yaml", "", 404, "/events.yaml"},
	} {
		c.do("GET", x.path, "", accepting(x.accept)...).want(t, x.status, x.names)
	}
	c.do("GET", "/events", "", "Last-Event-ID: x").want(t, 400, "Last-Event-ID")
	c.do("POST", "/events", "").want(t, 405)
	if r := c.do("HEAD", "/events", "").want(t, 200); r.Header.Get("Content-Type") != "text/event-stream" || r.text != "" {
		t.Errorf("HEAD: %v", r.Header)
	}
}

// TestEventStreamsLast has a stream outlive the times that bound other answers, show
// that it is alive, and end with the server.
func TestEventStreamsLast(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	const short = 100 * time.Millisecond
	s := server.New(server.Config{Engine: c.engine, Version: "test", Heartbeat: short, Logger: slog.New(slog.DiscardHandler)})
	web := httptest.NewUnstartedServer(s)
	web.Config.ReadTimeout, web.Config.WriteTimeout = short, short
	web.Start()
	t.Cleanup(web.Close)
	f := openFlow(t, web.URL, "/events?category=network")
	at, _ := f.next()
	for beats := 0; beats < 5; {
		s, ok := f.next()
		switch {
		case !ok:
			t.Fatal(f.lines.Err())
		case s.comment != "":
			beats++
		default:
			at = s // the host of the test has just been seen
		}
	}
	// What passes unseen is not asked for again.
	c.create("/storage/", `{"size":"1 GiB"}`)
	for range 100 {
		if s, ok := f.next(); !ok {
			t.Fatal(f.lines.Err())
		} else if s.id != "" && s.id != at.id {
			break
		}
	}
	c.create("/network/", `{"title":"n"}`)
	f.event()

	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(ctx, l) }()
	last := openFlow(t, "http://"+l.Addr().String(), "/events")
	last.next()
	stop()
	for {
		if _, ok := last.next(); !ok {
			break
		}
	}
	if err := last.lines.Err(); err != nil {
		t.Errorf("the stream of a server that stops: %v", err)
	}
	if err := <-ended; err != nil {
		t.Errorf("Serve: %v", err)
	}
}
