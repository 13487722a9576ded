package main

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// trusting gives a client that trusts one certificate, and speaks HTTP/2 where it can.
func trusting(t *testing.T, file string) *http.Client {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(text) {
		t.Fatalf("%s holds no certificate", file)
	}
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}, ForceAttemptHTTP2: true}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

// shown gives the certificate that a program shows.
func (p *program) shown() *x509.Certificate {
	p.t.Helper()
	c, err := tls.Dial("tcp", strings.TrimPrefix(p.url, "https://"), &tls.Config{InsecureSkipVerify: true})
	if err != nil {
		p.t.Fatal(err)
	}
	defer c.Close()
	return c.ConnectionState().PeerCertificates[0]
}

// TestTLS serves with a certificate of the server's own making.
func TestTLS(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	args := []string{"--db", "sqlite:" + filepath.Join(dir, "x.db"), "--data", dir, "--tls-self-signed", "--metrics-listen", "127.0.0.1:0"}
	p := start(t, args...)
	if !strings.HasPrefix(p.url, "https://127.0.0.1:") {
		t.Fatalf("it listens on %s", p.url)
	}
	p.client = trusting(t, filepath.Join(dir, "tls.crt"))
	h, _ := p.curl(201, "POST", "/compute/", `{"title":"a"}`, asJSON, waiting)
	location := h.Get("Location")
	if h.Get("Strict-Transport-Security") == "" {
		t.Error("browsers are not told to use TLS")
	}
	if !strings.HasPrefix(location, p.url+"/compute/") {
		t.Errorf("Location is %q", location)
	}
	for _, media := range []string{"application/json", "application/atom+xml", "text/uri-list", "application/occi+json"} {
		if _, body := p.curl(200, "GET", "/compute/", "", "Accept: "+media); strings.Contains(body, "http://127.0.0.1") {
			t.Errorf("%s has links without TLS: %s", media, body)
		}
	}
	for _, x := range []struct {
		name   string
		config *tls.Config
		fails  bool
		proto  string
	}{
		{"TLS 1.1", &tls.Config{MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}, true, ""},
		{"TLS 1.2", &tls.Config{MaxVersion: tls.VersionTLS12}, false, ""},
		{"TLS 1.3", &tls.Config{MinVersion: tls.VersionTLS13}, false, ""},
		{"HTTP/2", &tls.Config{NextProtos: []string{"h2", "http/1.1"}}, false, "h2"},
		{"HTTP/1.1", &tls.Config{NextProtos: []string{"http/1.1"}}, false, "http/1.1"},
	} {
		x.config.InsecureSkipVerify = true
		c, err := tls.Dial("tcp", strings.TrimPrefix(p.url, "https://"), x.config)
		if (err != nil) != x.fails {
			t.Errorf("%s: %v", x.name, err)
		}
		if err != nil {
			continue
		}
		if got := c.ConnectionState().NegotiatedProtocol; got != x.proto {
			t.Errorf("%s: the protocol is %q", x.name, got)
		}
		c.Close()
	}
	resp, err := p.client.Get(p.url + "/compute/")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.ProtoMajor != 2 {
		t.Errorf("a client of HTTP/2 is answered in %s", resp.Proto)
	}
	if resp, err = p.client.Get(p.url + "/events"); err != nil {
		t.Fatal(err)
	}
	began := make([]byte, len("retry:"))
	if _, err := io.ReadFull(resp.Body, began); err != nil || string(began) != "retry:" {
		t.Errorf("events begin with %q: %v", began, err)
	}
	resp.Body.Close()
	if got := plain(t, strings.TrimPrefix(p.url, "https://")); !strings.HasPrefix(got, "HTTP/1.0 400 ") {
		t.Errorf("a client without TLS reads %q", got)
	}
	p.scraped()
	made := p.shown()
	p.client.CloseIdleConnections()
	p.stop()
	if p = start(t, args...); !p.shown().Equal(made) {
		t.Error("after a restart the certificate is another")
	}
	p.stop()
}

// scraped asks for metrics where they are, with the certificate of the server itself.
func (p *program) scraped() {
	p.t.Helper()
	p.curl(404, "GET", "/metrics", "")
	at := *p
	select {
	case at.url = <-p.metrics:
	case <-p.ctx.Done():
		p.t.Fatal("it does not say where the metrics are")
	}
	if !strings.HasPrefix(at.url, "https://") {
		p.t.Errorf("the metrics are at %s", at.url)
	}
	at.curl(200, "GET", "/metrics", "")
}

// plain asks a server without TLS, and gives the answer.
func plain(t *testing.T, address string) string {
	t.Helper()
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	answer, _ := io.ReadAll(c)
	return string(answer)
}

// TestCertificateIsReadAgain replaces the files of a server that runs.
func TestCertificateIsReadAgain(t *testing.T) {
	t.Parallel()
	files := func(name string) (certFile, keyFile string) {
		dir := t.TempDir()
		o := &options{Data: dir, Listen: name + ":0", LogFormat: "text", Web: webOptions{SelfSigned: true}}
		if err := (&service{options: o, log: logger(o, io.Discard)}).openTLS(); err != nil {
			t.Fatal(err)
		}
		return filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key")
	}
	certFile, keyFile := files("one.example.org")
	otherCert, otherKey := files("two.example.org")
	p := start(t, "--data", t.TempDir(), "--tls-cert", certFile, "--tls-key", keyFile)
	read := func(file string) []byte {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	first := p.shown()
	if b, _ := pem.Decode(read(certFile)); string(b.Bytes) != string(first.Raw) {
		t.Fatal("it shows another certificate than that of the file")
	}
	replace := func(file string, text []byte) {
		if err := os.WriteFile(file, text, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := p.cmd.Process.Signal(syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
	}
	replace(certFile, []byte("nonsense"))
	p.logged("the certificate stays as it was")
	if !p.shown().Equal(first) {
		t.Error("a file that is broken changes what is shown")
	}
	if err := os.Rename(otherKey, keyFile); err != nil {
		t.Fatal(err)
	}
	replace(certFile, read(otherCert))
	for p.shown().Equal(first) {
		if p.ctx.Err() != nil {
			t.Fatal("the certificate is still the first one")
		}
	}
	p.stop()
}

func TestCertNames(t *testing.T) {
	t.Parallel()
	for address, want := range map[string]string{
		"cloud.example.org:443": "cloud.example.org", "192.0.2.1:1": "192.0.2.1", "[2001:db8::1]:1": "2001:db8::1",
		"[fe80::1%eth0]:1": "fe80::1", "127.0.0.2:1": "127.0.0.2", ":1": "localhost", "0.0.0.0:1": "127.0.0.1", "[::]:1": "::1",
	} {
		names, err := certNames(address)
		if err != nil {
			t.Fatal(err)
		}
		if all := " " + strings.Join(names, " ") + " "; !strings.Contains(all, " "+want+" ") || strings.Contains(all, "  ") {
			t.Errorf("%s: %q lacks %s", address, names, want)
		}
		for _, n := range names {
			if ip, err := netip.ParseAddr(n); err == nil && ip.IsUnspecified() {
				t.Errorf("%s: %q", address, names)
			}
		}
	}
}
