package server_test

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
)

// BenchmarkGET compares reads with a bare handler that sends the same bytes;
// both include the client.
func BenchmarkGET(b *testing.B) {
	c := newCloud(b)
	self := c.create("/compute/", `{"title":"a"}`)
	for range 20 {
		var members []string
		for i := range 50 {
			members = append(members, fmt.Sprintf(`{"kind":"http://schemas.ogf.org/occi/infrastructure#compute","title":"m%d"}`, i))
		}
		c.do("POST", "/compute/", `{"resources":[`+strings.Join(members, ",")+`]}`, "Content-Type: application/occi+json", "Prefer: wait=60").want(b, 201)
	}
	tag := c.do("GET", "/compute/", "").Header.Get("ETag")
	for _, x := range []struct{ name, path, header string }{
		{"entity as text", self, "Accept: text/plain"},
		{"entity as JSON", self, "Accept: application/occi+json"},
		{"1000 as JSON", "/compute/", "Accept: application/occi+json"},
		{"1000 as Atom", "/compute/", "Accept: application/atom+xml"},
		{"unchanged", "/compute/", "If-None-Match: " + tag},
	} {
		r := c.do("GET", x.path, "", x.header)
		text := []byte(r.text)
		bare := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			if r.StatusCode == http.StatusNotModified {
				w.WriteHeader(r.StatusCode)
				return
			}
			w.Header().Set("Content-Type", r.Header.Get("Content-Type"))
			w.Header().Set("Content-Length", strconv.Itoa(len(text)))
			_, _ = w.Write(text)
		}))
		b.Run(x.name+"/bare", func(b *testing.B) { load(b, bare.URL, x.path, x.header) })
		b.Run(x.name+"/occid", func(b *testing.B) { load(b, c.url, x.path, x.header) })
		bare.Close()
	}
}

// load repeats a GET on connections that are kept.
func load(b *testing.B, url, path, header string) {
	address := strings.TrimPrefix(url, "http://")
	request := []byte("GET " + path + " HTTP/1.1\r\nHost: " + address + "\r\n" + header + "\r\n\r\n")
	b.RunParallel(func(pb *testing.PB) {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			b.Error(err)
			return
		}
		defer conn.Close()
		answers := bufio.NewReaderSize(conn, 64<<10)
		for pb.Next() {
			if _, err := conn.Write(request); err != nil {
				b.Error(err)
				return
			}
			if err := skip(answers); err != nil {
				b.Error(err)
				return
			}
		}
	})
}

// skip reads past one answer.
func skip(r *bufio.Reader) error {
	length := 0
	for {
		line, err := r.ReadSlice('\n')
		if err != nil {
			return err
		}
		if len(line) <= 2 {
			break
		}
		if rest, ok := strings.CutPrefix(string(line), "Content-Length: "); ok {
			if length, err = strconv.Atoi(strings.TrimSpace(rest)); err != nil {
				return err
			}
		}
	}
	_, err := r.Discard(length)
	return err
}
