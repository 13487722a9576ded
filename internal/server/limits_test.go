package server_test

import (
	"bufio"
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/occid/occid/internal/server"
	"github.com/occid/occid/internal/web"
)

// gauges count what is open.
type gauges struct{ connections, streams atomic.Int64 }

func (*gauges) Begun()                                      {}
func (*gauges) Answered(string, string, int, time.Duration) {}
func (g *gauges) Connected(n int)                           { g.connections.Add(int64(n)) }
func (g *gauges) Streamed(n int)                            { g.streams.Add(int64(n)) }

// until waits for a number.
func until(t *testing.T, what string, n *atomic.Int64, want int64) {
	t.Helper()
	for end := time.Now().Add(limit); n.Load() != want; {
		if time.Now().After(end) {
			t.Fatalf("%d %s, want %d", n.Load(), what, want)
		}
		time.Sleep(time.Millisecond)
	}
}

// client is one connection.
type client struct {
	t *testing.T
	net.Conn
	in *bufio.Reader
}

func connect(t *testing.T, address string) *client {
	t.Helper()
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	if err := c.SetDeadline(time.Now().Add(limit)); err != nil {
		t.Fatal(err)
	}
	return &client{t, c, bufio.NewReader(c)}
}

func (c *client) ask(method, path string) {
	c.t.Helper()
	if _, err := io.WriteString(c, method+" "+path+" HTTP/1.1\r\nHost: a\r\n\r\n"); err != nil {
		c.t.Fatal(err)
	}
}

// answer reads an answer; the body of one that has an end.
func (c *client) answer() reply {
	c.t.Helper()
	r, err := http.ReadResponse(c.in, nil)
	if err != nil {
		c.t.Fatal(err)
	}
	if r.ContentLength < 0 {
		return reply{Response: r}
	}
	text, err := io.ReadAll(r.Body)
	if err != nil {
		c.t.Fatal(err)
	}
	return reply{r, string(text)}
}

func TestTooManyStreams(t *testing.T) {
	t.Parallel()
	c, g := newCloud(t), &gauges{}
	address := c.listening(server.Config{Streams: 2, Observer: g})
	one, two, three := connect(t, address), connect(t, address), connect(t, address)
	for _, open := range []*client{one, two} {
		open.ask("GET", "/events")
		if r := open.answer(); r.StatusCode != 200 {
			t.Fatal(r.Status)
		}
	}
	until(t, "streams", &g.streams, 2)
	three.ask("GET", "/events")
	r := three.answer()
	if r.StatusCode != 503 || r.Header.Get("Retry-After") != "10" || !strings.Contains(r.text, "2 streams") {
		t.Errorf("one too many: %s, Retry-After %q: %s", r.Status, r.Header.Get("Retry-After"), r.text)
	}
	three.ask("GET", "/events.json")
	if r := three.answer(); r.StatusCode != 200 {
		t.Errorf("a list meanwhile: %s", r.Status)
	}
	if err := one.Close(); err != nil {
		t.Fatal(err)
	}
	until(t, "streams", &g.streams, 1)
	three.ask("GET", "/events")
	if r := three.answer(); r.StatusCode != 200 {
		t.Errorf("once another has ended: %s", r.Status)
	}
	until(t, "streams", &g.streams, 2)
	for _, open := range []*client{two, three} {
		if err := open.Close(); err != nil {
			t.Fatal(err)
		}
	}
	until(t, "streams", &g.streams, 0)
	until(t, "connections", &g.connections, 0)
}

func TestTooManyConnections(t *testing.T) {
	t.Parallel()
	c, g := newCloud(t), &gauges{}
	address := c.listening(server.Config{Bounds: web.Bounds{Connections: 2}, Observer: g})
	one, two := connect(t, address), connect(t, address)
	for _, open := range []*client{one, two, one} {
		open.ask("GET", "/healthz")
		open.answer()
	}
	// Connections that rest make room for one that asks.
	three := connect(t, address)
	three.ask("GET", "/events")
	if r := three.answer(); r.StatusCode != 200 {
		t.Fatal(r.Status)
	}
	for _, resting := range []*client{one, two} {
		if _, err := resting.in.ReadByte(); err != io.EOF {
			t.Errorf("one that rests: %v", err)
		}
	}
	four := connect(t, address)
	four.ask("GET", "/events")
	four.answer()
	five := connect(t, address)
	five.ask("GET", "/healthz")
	if err := five.SetReadDeadline(time.Now().Add(100 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if b, err := five.in.Peek(1); err == nil {
		t.Errorf("one too many is answered: %q", b)
	}
	if n := g.connections.Load(); n != 2 {
		t.Errorf("%d connections", n)
	}
	if err := three.Close(); err != nil {
		t.Fatal(err)
	}
	if err := five.SetReadDeadline(time.Now().Add(limit)); err != nil {
		t.Fatal(err)
	}
	if r := five.answer(); r.StatusCode != 200 {
		t.Errorf("once another has ended: %s", r.Status)
	}
}

// TestStoppingWithAQueue stops a server while somebody waits to be let in.
func TestStoppingWithAQueue(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := server.New(server.Config{Engine: c.engine, Bounds: web.Bounds{Connections: 1}, Logger: slog.New(slog.NewJSONHandler(c.log, nil))})
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(ctx, l) }()
	one := connect(t, l.Addr().String())
	one.ask("GET", "/events")
	one.answer()
	two := connect(t, l.Addr().String())
	for end := time.Now().Add(limit); len(c.log.lines(t, "too many connections are open; who comes must wait")) == 0; {
		if time.Now().After(end) {
			t.Fatal("nobody waits")
		}
		time.Sleep(time.Millisecond)
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if _, err := two.in.ReadByte(); err == nil {
		t.Error("who waits is answered")
	}
}
