package cert_test

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/letsencrypt/pebble/v2/ca"
	"github.com/letsencrypt/pebble/v2/db"
	"github.com/letsencrypt/pebble/v2/va"
	"github.com/letsencrypt/pebble/v2/wfe"
	"github.com/miekg/dns"

	"github.com/occid/occid/internal/cert"
)

// lines is a log that may be read meanwhile.
type lines struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// authority is an ACME server, Pebble, that looks for every name at a port of this host.
type authority struct {
	directory, trust string // its URL, and the file with the certificate of its listener
	roots            *x509.CertPool
	server           *httptest.Server
	said             *lines
}

func newAuthority(t *testing.T, port int) *authority {
	t.Helper()
	a := &authority{said: &lines{}, roots: x509.NewCertPool()}
	quiet := log.New(a.said, "", 0)
	store := db.NewMemoryStore()
	issuer := ca.New(quiet, store, "", "ecdsa", 0, 1, map[string]ca.Profile{"default": {Description: "default", ValidityPeriod: 90 * 24 * 3600}})
	checks := va.New(quiet, 1, port, true, names(t), store)
	web := wfe.New(quiet, store, checks, issuer, []string{"authority.example"}, true, false, 0, 0)
	a.server = httptest.NewTLSServer(web.Handler())
	t.Cleanup(a.server.Close)
	a.directory = a.server.URL + wfe.DirectoryPath
	a.trust = filepath.Join(t.TempDir(), "ca.pem")
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.server.Certificate().Raw})
	if err := os.WriteFile(a.trust, text, 0o600); err != nil {
		t.Fatal(err)
	}
	if !a.roots.AppendCertsFromPEM(issuer.GetRootCert(0).PEM()) {
		t.Fatal("the authority has no root")
	}
	return a
}

// names serves DNS in which every name is this host, and gives its address.
func names(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ready := make(chan struct{})
	s := &dns.Server{Listener: l, NotifyStartedFunc: func() { close(ready) }, Handler: dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
		m := new(dns.Msg)
		m.SetReply(q)
		if asked := q.Question[0]; asked.Qtype == dns.TypeA {
			m.Answer = []dns.RR{&dns.A{Hdr: dns.RR_Header{Name: asked.Name, Rrtype: dns.TypeA, Class: dns.ClassINET, Ttl: 1}, A: net.IPv4(127, 0, 0, 1)}}
		}
		_ = w.WriteMsg(m)
	})}
	ended := make(chan error, 1)
	go func() { ended <- s.ActivateAndServe() }()
	<-ready
	t.Cleanup(func() {
		if err := s.Shutdown(); err != nil {
			t.Error(err)
		}
		<-ended
	})
	return l.Addr().String()
}

// serve answers at a listener with certificates, until what it gives is called.
func serve(t *testing.T, l net.Listener, k *cert.ACME) {
	t.Helper()
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "here") }))
	_ = s.Listener.Close()
	s.Listener = tls.NewListener(l, k.Server())
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.Start()
	t.Cleanup(s.Close)
}

// shake gives the certificate that is shown under a name.
func shake(l net.Listener, name string, roots *x509.CertPool) (*x509.Certificate, error) {
	c, err := tls.DialWithDialer(&net.Dialer{Timeout: time.Minute}, "tcp", l.Addr().String(), &tls.Config{ServerName: name, RootCAs: roots, NextProtos: []string{"h2"}})
	if err != nil {
		return nil, err
	}
	defer c.Close()
	return c.ConnectionState().PeerCertificates[0], nil
}

func listen(t *testing.T) (net.Listener, int) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return l, l.Addr().(*net.TCPAddr).Port
}

// TestACME has certificates of an authority that checks the names.
func TestACME(t *testing.T) {
	t.Setenv("PEBBLE_VA_NOSLEEP", "1")
	l, port := listen(t)
	a := newAuthority(t, port)
	dir, told := filepath.Join(t.TempDir(), "acme"), &lines{}
	config := cert.ACMEConfig{Domains: []string{"cloud.example.org", "www.example.org"}, Directory: a.directory, CA: a.trust, Dir: dir,
		Logger: slog.New(slog.NewTextHandler(told, nil))}
	k, err := cert.OpenACME(config)
	if err != nil {
		t.Fatal(err)
	}
	serve(t, l, k)
	shown := map[string]*x509.Certificate{}
	for _, name := range config.Domains {
		if shown[name], err = shake(l, name, a.roots); err != nil {
			t.Fatalf("%s: %v\n%s\n%s", name, err, told, a.said)
		}
	}
	for _, name := range []string{"evil.example.org", "", "127.0.0.1"} {
		if _, err := shake(l, name, a.roots); err == nil {
			t.Errorf("there is a certificate for %q", name)
		}
	}
	if strings.Contains(a.said.String(), "evil") || told.String() != "" {
		t.Errorf("other names are asked for, or told of: %s", told)
	}
	files, err := os.ReadDir(dir)
	if err != nil || len(files) < 3 {
		t.Fatalf("%d files are kept: %v", len(files), err)
	}
	for _, f := range files {
		if info, err := f.Info(); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v %v", f.Name(), info.Mode(), err)
		}
	}

	// A restart needs no authority.
	a.server.Close()
	again, _ := listen(t)
	if k, err = cert.OpenACME(config); err != nil {
		t.Fatal(err)
	}
	serve(t, again, k)
	for name, was := range shown {
		if c, err := shake(again, name, a.roots); err != nil || !c.Equal(was) {
			t.Errorf("%s after a restart: %v", name, err)
		}
	}
}

// TestACMERefused has an authority that does not find the server at the name.
func TestACMERefused(t *testing.T) {
	t.Setenv("PEBBLE_VA_NOSLEEP", "1")
	other, port := listen(t)
	defer other.Close()
	serve := func(config cert.ACMEConfig) (net.Listener, *lines) {
		told := &lines{}
		config.Domains, config.Dir, config.Logger = []string{"cloud.example.org"}, t.TempDir(), slog.New(slog.NewTextHandler(told, nil))
		k, err := cert.OpenACME(config)
		if err != nil {
			t.Fatal(err)
		}
		l, _ := listen(t)
		serve(t, l, k)
		return l, told
	}
	a := newAuthority(t, port)
	if err := other.Close(); err != nil {
		t.Fatal(err)
	}
	for name, config := range map[string]cert.ACMEConfig{
		"not found at the name": {Directory: a.directory, CA: a.trust},
		"not trusted":           {Directory: a.directory},
		"not there":             {Directory: "https://127.0.0.1:1/dir"},
	} {
		l, told := serve(config)
		for range 3 {
			if _, err := shake(l, "cloud.example.org", a.roots); err == nil {
				t.Errorf("%s: there is a certificate", name)
			}
		}
		if n := strings.Count(told.String(), "there is no certificate"); n != 1 {
			t.Errorf("%s: it is told %d times: %s", name, n, told)
		}
	}
	if _, err := cert.OpenACME(cert.ACMEConfig{CA: "/nowhere"}); err == nil {
		t.Error("a file that is not there is taken")
	}
}
