package server_test

import (
	"bufio"
	"context"
	"io"
	"log/slog"
	"net"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/occid/occid/internal/server"
	"github.com/occid/occid/internal/web"
)

// limit bounds every exchange here.
const limit = 20 * time.Second

// listening serves a cloud's engine at a socket of its own until the test ends.
func (c *cloud) listening(config server.Config) string {
	c.t.Helper()
	config.Engine, config.Version, config.Logger = c.engine, "test", slog.New(slog.DiscardHandler)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		c.t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	s := server.New(config)
	go func() { ended <- s.Serve(ctx, l) }()
	c.t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			c.t.Error(err)
		}
	})
	return l.Addr().String()
}

// raw sends bytes and gives all that comes back until the server ends the connection. Once
// an answer begins, or none has for a time, the server is told that no more will come.
func raw(t *testing.T, address, text string, patience time.Duration) string {
	t.Helper()
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	wait := func(d time.Duration) {
		if err := c.SetDeadline(time.Now().Add(d)); err != nil {
			t.Fatal(err)
		}
	}
	wait(limit)
	// A server that has read enough may close before all is written.
	_, _ = io.WriteString(c, text)
	wait(patience)
	first := make([]byte, 1)
	n, _ := c.Read(first)
	_ = c.(*net.TCPConn).CloseWrite()
	wait(limit)
	rest, err := io.ReadAll(c)
	if e, ok := err.(net.Error); ok && e.Timeout() {
		t.Errorf("the connection stays open after %q", rest)
	}
	return string(first[:n]) + string(rest)
}

// statuses lists those of the answers in a connection.
func statuses(answers string) (list []string) {
	for _, part := range strings.Split(answers, "HTTP/1.")[1:] {
		if len(part) > 5 && (part[0] == '0' || part[0] == '1') && part[1] == ' ' {
			list = append(list, part[2:5])
		}
	}
	return list
}

// hostile has the words of testdata/hostile.tsv. NEXT is a request that must not be
// answered: it is behind one whose end is in doubt.
var hostile = strings.NewReplacer("HEAD", "POST /compute/ HTTP/1.1\r\nHost: cloud.example\r\nContent-Type: application/json\r\n",
	"BODY", `{"title":"x"}`, "LENGTH", "Content-Length: 13\r\n", "CHUNKS", "d\r\n{\"title\":\"x\"}\r\n0\r\n\r\n",
	"NEXT", "DELETE /compute/ HTTP/1.1\r\nHost: cloud.example\r\n\r\n", "BIG", strings.Repeat("x", 200<<10),
	"MANY", strings.Repeat("X-Many: "+strings.Repeat("x", 1000)+"\r\n", 200), "EXT", strings.Repeat("x", 20<<10), "LONGNAME", strings.Repeat("a.", 150)+"a")

// TestHostileRequests sends what no client sends. The columns of the table are the status
// of the only answer ("-" for none), a name and the bytes, escaped as in Go. 501 and 505
// are what RFC 9112 has servers answer to codings and versions that they do not know.
func TestHostileRequests(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	c.create("/compute/", `{"title":"there"}`)
	address := c.listening(server.Config{})
	text, err := os.ReadFile("testdata/hostile.tsv")
	if err != nil {
		t.Fatal(err)
	}
	rows, before := 0, c.revision()
	for in := bufio.NewScanner(strings.NewReader(string(text))); in.Scan(); rows++ {
		column := strings.SplitN(in.Text(), "\t", 3)
		bytes, err := strconv.Unquote(`"` + strings.ReplaceAll(column[2], `"`, `\"`) + `"`)
		if err != nil {
			t.Fatalf("%s: %v", column[1], err)
		}
		answer := raw(t, address, hostile.Replace(bytes), 300*time.Millisecond)
		got := strings.Join(statuses(answer), " ")
		if got != strings.Trim(column[0], "-") {
			t.Errorf("%s: answered %q, want %s\n%.300s", column[1], got, column[0], answer)
		}
		if strings.Contains(answer, "\nSet-Cookie") {
			t.Errorf("%s: the answer has a field of the client's:\n%s", column[1], answer)
		}
		if now := c.revision(); now != before {
			t.Errorf("%s: something changed", column[1])
			before = now
		}
	}
	if rows < 100 {
		t.Errorf("only %d requests", rows)
	}
}

// TestRequestsReadOneWay sends what may be read in two ways. The server takes one of them,
// does what that says once, and reads nothing behind it.
func TestRequestsReadOneWay(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	address := c.listening(server.Config{})
	for _, x := range []struct{ name, text, answers, title string }{
		{"chunked beside a shorter length", "HEADContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\nCHUNKSNEXT", "201", "x"},
		{"chunked beside a longer length", "HEADTransfer-Encoding: chunked\r\nContent-Length: 200\r\n\r\nCHUNKSNEXT", "201", "x"},
		{"chunked alone", "HEADTransfer-Encoding: chunked\r\n\r\nCHUNKSNEXT", "201", "x"},
		{"a coding of HTTP/1.0", "POST /compute/ HTTP/1.0\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\nLENGTH\r\nBODYNEXT", "201", "x"},
		{"the same length twice", "HEADLENGTHLENGTHConnection: close\r\n\r\nBODYNEXT", "201", "x"},
		{"a field that is folded", "HEADX-Other: a\r\n Content-Length: 0\r\nLENGTHConnection: close\r\n\r\nBODYNEXT", "201", "x"},
		{"bare LF", "POST /compute/ HTTP/1.1\nHost: cloud.example\nContent-Type: application/json\nContent-Length: 13\nConnection: close\n\nBODYNEXT", "201", "x"},
		{"an absolute target", "POST http://cloud.example/compute/ HTTP/1.1\r\nHost: evil.example\r\nContent-Type: application/json\r\nLENGTHConnection: close\r\n\r\nBODY", "201", "x"},
	} {
		answer := raw(t, address, hostile.Replace(x.text), limit)
		if got := strings.Join(statuses(answer), " "); got != x.answers {
			t.Errorf("%s: answered %q, want %q\n%s", x.name, got, x.answers, answer)
		}
		if strings.Contains(answer, "evil") {
			t.Errorf("%s: it leads elsewhere: %s", x.name, answer)
		}
		c.do("GET", "/compute/?title="+x.title, "").want(t, 200)
	}
	if r := c.do("GET", "/compute/.uri", "").want(t, 200); strings.Count(r.text, "/compute/") != 8 {
		t.Errorf("8 were made and none deleted:\n%s", r.text)
	}
}

// TestSlowClients has clients that never come to an end; the server ends with them.
func TestSlowClients(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	storage := c.create("/storage/", `{"title":"s","size":1}`)
	address := c.listening(server.Config{Bounds: web.Bounds{Header: 300 * time.Millisecond, Read: 600 * time.Millisecond, Write: 2 * time.Second, Idle: 300 * time.Millisecond}})
	head := hostile.Replace("HEAD")
	before := c.revision()
	for _, x := range []struct{ name, first, drop string }{
		{"nothing at all", "", ""},
		{"the request line", "GET /", "a"},
		{"fields", head, "X-a: b\r\n"},
		{"one field", head + "X-a: ", "b"},
		{"lines before the request", "", "\r\n"},
		{"a body", head + "Content-Length: 1000000\r\n\r\n{", " "},
		{"chunks", head + "Transfer-Encoding: chunked\r\n\r\n", "1\r\n \r\n"},
		{"a chunk's extension", head + "Transfer-Encoding: chunked\r\n\r\n1;", "a"},
		{"trailers", head + "Transfer-Encoding: chunked\r\n\r\n1\r\n{\r\n0\r\n", "X-a: b\r\n"},
		{"an upload", "PUT " + storage + "/content HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n", "x"},
		{"nothing more", "GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n", ""},
	} {
		t.Run(x.name, func(t *testing.T) {
			t.Parallel()
			dribble(t, address, x.first, x.drop)
		})
	}
	t.Cleanup(func() {
		if now := c.revision(); now != before {
			t.Error("something changed")
		}
	})
}

// dribble sends a little at a time until the server ends the connection.
func dribble(t *testing.T, address, first, drop string) {
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(limit)); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() {
		_, err := io.Copy(io.Discard, c)
		ended <- err
	}()
	if _, err := io.WriteString(c, first); err != nil {
		t.Fatal(err)
	}
	for {
		select {
		case err := <-ended:
			if e, ok := err.(net.Error); ok && e.Timeout() {
				t.Error("it is served for as long as it likes")
			}
			return
		case <-time.After(10 * time.Millisecond):
			// The server may be gone; the other goroutine tells.
			_, _ = io.WriteString(c, drop)
		}
	}
}
