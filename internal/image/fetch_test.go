package image_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/pem"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/uuid"

	"github.com/occid/occid/internal/image"
	"github.com/occid/occid/occi"
)

// web is a server of images on a loopback address, whose certificate is for
// example.com and 127.0.0.1.
type web struct {
	*httptest.Server
	ca, port string
	asked    atomic.Int32
}

func newWeb(t *testing.T, h http.HandlerFunc) *web {
	t.Helper()
	w := &web{}
	w.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		w.asked.Add(1)
		h(rw, r)
	}))
	w.Config.ErrorLog = log.New(io.Discard, "", 0)
	w.StartTLS()
	t.Cleanup(w.Close)
	w.ca = filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(w.ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: w.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	_, w.port, _ = net.SplitHostPort(w.Listener.Addr().String())
	return w
}

func openStore(t *testing.T, c image.Config) *image.Store {
	t.Helper()
	c.Dir = filepath.Join(t.TempDir(), "uploads")
	s, err := image.Open(c)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// answering is a resolver that gives names the addresses in turn, the last for ever:
// a DNS server of its own.
func answering(t *testing.T, addresses ...string) *net.Resolver {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	go func() {
		buf := make([]byte, 512)
		for turn := 0; ; {
			n, from, err := conn.ReadFrom(buf)
			if err != nil {
				return
			}
			end := 12 + bytes.IndexByte(buf[12:n], 0) + 5
			reply := append([]byte(nil), buf[:end]...)
			reply[2], reply[3] = 0x81, 0x80
			for i := 6; i < 12; i++ {
				reply[i] = 0
			}
			if kind := binary.BigEndian.Uint16(buf[end-4:]); kind == 1 {
				reply[7] = 1
				reply = append(reply, 0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4)
				reply = append(reply, net.ParseIP(addresses[min(turn, len(addresses)-1)]).To4()...)
				turn++
			}
			if _, err := conn.WriteTo(reply, from); err != nil {
				return
			}
		}
	}()
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "udp", conn.LocalAddr().String())
	}}
}

func TestFetch(t *testing.T) {
	t.Parallel()
	text := bytes.Repeat([]byte("disk"), 1<<16)
	w := newWeb(t, func(rw http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/disk":
			rw.Header().Set("Content-Length", strconv.Itoa(len(text)))
			rw.Write(text)
		case "/moved":
			http.Redirect(rw, r, "/disk", http.StatusFound)
		case "/round":
			http.Redirect(rw, r, "/round", http.StatusFound)
		case "/insecure":
			http.Redirect(rw, r, "http://127.0.0.1/disk", http.StatusFound)
		case "/elsewhere":
			http.Redirect(rw, r, "https://other.example/disk", http.StatusFound)
		case "/large":
			io.Copy(rw, io.LimitReader(zeros{}, 2<<20))
		case "/cut":
			rw.Header().Set("Content-Length", "999999")
			rw.Write(text[:1000])
			panic(http.ErrAbortHandler)
		case "/busy":
			rw.WriteHeader(503)
		default:
			http.NotFound(rw, r)
		}
	})
	s := openStore(t, image.Config{Hosts: []string{"127.0.0.1:" + w.port}, Private: true, CA: w.ca, Most: 1 << 20})
	sum, wrong := sha256.Sum256(text), sha256.Sum256(nil)
	for _, f := range []struct {
		path  string
		sum   []byte
		class occi.Class
		want  string
	}{
		{"/disk", nil, "", ""},
		{"/disk", sum[:], "", ""},
		{"/moved", sum[:], "", ""},
		{"/disk", wrong[:], occi.Invalid, "SHA-256"},
		{"/round", nil, occi.Forbidden, "leads on"},
		{"/insecure", nil, occi.Forbidden, "no https"},
		{"/elsewhere", nil, occi.Forbidden, "--image-hosts"},
		{"/large", nil, occi.TooLarge, "1048576"},
		{"/cut", nil, occi.Unavailable, "EOF"},
		{"/busy", nil, occi.Unavailable, "503"},
		{"/nothing", nil, occi.Invalid, "404"},
	} {
		id := uuid.New()
		var last int64
		err := s.Fetch(t.Context(), id, w.URL+f.path, f.sum, func(done, _ int64) { last = done })
		have, _, statErr := s.Staged(id)
		switch {
		case statErr != nil:
			t.Fatal(statErr)
		case f.class == "" && (err != nil || have != int64(len(text)) || last != have):
			t.Errorf("%s: %d bytes arrived, %d were told, %v", f.path, have, last, err)
		case f.class != "" && (occi.ClassOf(err) != f.class || !strings.Contains(err.Error(), f.want)):
			t.Errorf("%s: got %v, want %s, %q", f.path, err, f.class, f.want)
		case f.class != "" && f.class != occi.Unavailable && have != 0:
			t.Errorf("%s: %d bytes are left", f.path, have)
		}
	}
	untrusting := openStore(t, image.Config{Hosts: []string{"127.0.0.1:" + w.port}, Private: true})
	if err := untrusting.Fetch(t.Context(), uuid.New(), w.URL+"/disk", nil, nil); occi.ClassOf(err) != occi.Invalid || !strings.Contains(err.Error(), "trusted") {
		t.Errorf("a certificate of nobody gives %v", err)
	}
}

type zeros struct{}

func (zeros) Read(b []byte) (int, error) { clear(b); return len(b), nil }

// TestNothingPrivateIsReached asks for what only the server could reach: by address,
// by names that stand for one, at first or later, and by the way of a redirect. Nobody
// is asked anything.
func TestNothingPrivateIsReached(t *testing.T) {
	t.Parallel()
	secret := newWeb(t, func(rw http.ResponseWriter, _ *http.Request) { io.WriteString(rw, "secret") })
	all := []string{"example.com", "*.example.com", "2130706433", "0x7f000001", "127.1", "localhost",
		"127.0.0.1", "169.254.169.254", "10.0.0.1", "192.168.0.1", "172.16.0.1", "100.64.0.1", "0.0.0.0", "198.18.0.1",
		"[::1]", "[::]", "[fe80::1]", "[fd00:ec2::254]", "[::ffff:127.0.0.1]", "[64:ff9b::7f00:1]", "[2002:7f00:1::]"}
	var hosts []string
	for _, host := range all {
		hosts = append(hosts, host+":"+secret.port)
	}
	for _, host := range all {
		s := openStore(t, image.Config{Hosts: hosts, CA: secret.ca, Resolver: answering(t, "127.0.0.1")})
		id := uuid.New()
		err := s.Fetch(t.Context(), id, "https://"+strings.Replace(host, "*", "a", 1)+":"+secret.port+"/", nil, nil)
		if err == nil {
			t.Errorf("%s is fetched from", host)
		}
		if have, _, _ := s.Staged(id); have != 0 {
			t.Errorf("%s: %d bytes arrived", host, have)
		}
	}
	for _, addresses := range [][]string{{"127.0.0.1"}, {"169.254.169.254"}, {"10.1.2.3"}, {"203.0.113.1", "127.0.0.1"}} {
		s := openStore(t, image.Config{Hosts: []string{"example.com:" + secret.port}, CA: secret.ca, Resolver: answering(t, addresses...)})
		for range addresses {
			err := s.Fetch(t.Context(), uuid.New(), "https://example.com:"+secret.port+"/", nil, nil)
			if occi.ClassOf(err) != occi.Forbidden || !strings.Contains(err.Error(), "not a public address") {
				t.Errorf("%v: got %v", addresses, err)
			}
		}
	}
	if n := secret.asked.Load(); n != 0 {
		t.Errorf("what is private was asked %d times", n)
	}
	// That it would have been reached is shown by allowing it.
	s := openStore(t, image.Config{Hosts: []string{"example.com:" + secret.port}, CA: secret.ca, Private: true, Resolver: answering(t, "127.0.0.1")})
	if err := s.Fetch(t.Context(), uuid.New(), "https://example.com:"+secret.port+"/", nil, nil); err != nil || secret.asked.Load() != 1 {
		t.Errorf("what is allowed is not fetched: %v", err)
	}
}

// TestRedirectsStayWhereTheyMay leads from a host that is allowed to one that is not,
// though its address is the same.
func TestRedirectsStayWhereTheyMay(t *testing.T) {
	t.Parallel()
	secret := newWeb(t, func(rw http.ResponseWriter, _ *http.Request) { io.WriteString(rw, "secret") })
	for target, want := range map[string]string{"https://127.0.0.1:" + secret.port: "--image-hosts", "https://169.254.169.254/": "--image-hosts",
		"https://[::1]:" + secret.port: "--image-hosts", "http://example.com/": "no https", "https://u:p@example.com/": "password", "file:///etc/passwd": "no https"} {
		front := newWeb(t, func(rw http.ResponseWriter, r *http.Request) { http.Redirect(rw, r, target, http.StatusFound) })
		s := openStore(t, image.Config{Hosts: []string{"example.com:" + front.port}, CA: front.ca, Private: true, Resolver: answering(t, "127.0.0.1")})
		err := s.Fetch(t.Context(), uuid.New(), "https://example.com:"+front.port+"/", nil, nil)
		if occi.ClassOf(err) != occi.Forbidden || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", target, err, want)
		}
	}
	if n := secret.asked.Load(); n != 0 {
		t.Errorf("what is not allowed was asked %d times", n)
	}
}
