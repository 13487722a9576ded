package cert_test

import (
	"bytes"
	"crypto/x509"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/occid/occid/internal/cert"
)

const day = 24 * time.Hour

// clock is one that tests set.
type clock struct{ now time.Time }

func (c *clock) pass(d time.Duration) { c.now = c.now.Add(d) }

// place is a directory with a certificate, and what is logged of it.
type place struct {
	t     *testing.T
	clock clock
	log   bytes.Buffer
	cert.Config
}

func newPlace(t *testing.T, names ...string) *place {
	p, dir := &place{t: t}, t.TempDir()
	p.clock.now = time.Now()
	p.Config = cert.Config{Cert: filepath.Join(dir, "tls.crt"), Key: filepath.Join(dir, "tls.key"), Names: names,
		Logger: slog.New(slog.NewTextHandler(&p.log, nil)), Now: func() time.Time { return p.clock.now }}
	return p
}

func (p *place) open() *cert.Keeper {
	p.t.Helper()
	k, err := cert.Open(p.Config)
	if err != nil {
		p.t.Fatal(err)
	}
	return k
}

// logged fails the test unless the log has a line with a text, and forgets the log.
func (p *place) logged(text string) {
	p.t.Helper()
	if !strings.Contains(p.log.String(), text) {
		p.t.Errorf("the log lacks %q: %s", text, &p.log)
	}
	p.log.Reset()
}

// take puts the files of another place here, later than what was there.
func (p *place) take(from *place, files ...string) {
	p.t.Helper()
	for _, name := range files {
		text, err := os.ReadFile(filepath.Join(filepath.Dir(from.Cert), name))
		if err != nil {
			p.t.Fatal(err)
		}
		p.write(name, text)
	}
}

func (p *place) write(name string, text []byte) {
	p.t.Helper()
	path := filepath.Join(filepath.Dir(p.Cert), name)
	if err := os.WriteFile(path, text, 0o600); err != nil {
		p.t.Fatal(err)
	}
	p.clock.pass(time.Second)
	if err := os.Chtimes(path, p.clock.now, p.clock.now); err != nil {
		p.t.Fatal(err)
	}
}

func same(a, b *x509.Certificate) bool { return a.Equal(b) }

func TestSelfSigned(t *testing.T) {
	t.Parallel()
	p := newPlace(t, "cloud.example.org", "192.0.2.1", "2001:db8::1")
	first := p.open().Certificate().Leaf
	p.logged("the certificate was loaded")
	for _, name := range p.Names {
		if err := first.VerifyHostname(name); err != nil {
			t.Error(err)
		}
	}
	roots := x509.NewCertPool()
	roots.AddCert(first)
	if _, err := first.Verify(x509.VerifyOptions{Roots: roots, DNSName: p.Names[0]}); err != nil {
		t.Errorf("who trusts it: %v", err)
	}
	for _, file := range []string{p.Cert, p.Key} {
		if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v %v", file, info.Mode(), err)
		}
	}
	for _, x := range []struct {
		name   string
		do     func()
		others bool // another certificate is to be expected
	}{
		{"a restart", func() {}, false},
		{"half a year", func() { p.clock.pass(180 * day) }, false},
		{"fewer names", func() { p.Names = p.Names[:2] }, false},
		{"another name", func() { p.Names = append(p.Names[:1:1], "other.example.org") }, true},
		{"almost its end", func() { p.clock.pass(370 * day) }, true},
		{"no certificate", func() {
			if err := os.Remove(p.Cert); err != nil {
				t.Fatal(err)
			}
		}, true},
		{"a certificate that is cut", func() { p.write("tls.crt", []byte("-----BEGIN")) }, true},
	} {
		x.do()
		next := p.open().Certificate().Leaf
		if same(first, next) == x.others {
			t.Errorf("%s: another certificate is %v, want %v", x.name, !same(first, next), x.others)
		}
		if !bytes.Equal(first.RawSubjectPublicKeyInfo, next.RawSubjectPublicKeyInfo) {
			t.Errorf("%s: the key is another", x.name)
		}
		first = next
	}
}

// TestRenewal has a server run for longer than its certificate is good for.
func TestRenewal(t *testing.T) {
	t.Parallel()
	p := newPlace(t, "localhost")
	k := p.open()
	for range 5 {
		before := k.Certificate().Leaf
		p.clock.pass(before.NotAfter.Sub(p.clock.now) - 31*day)
		if !same(before, k.Certificate().Leaf) {
			t.Error("it is replaced a month and a day before its end")
		}
		p.clock.pass(2 * day)
		if after := k.Certificate().Leaf; same(before, after) || after.NotAfter.Sub(p.clock.now) < 300*day {
			t.Errorf("at %s it is still one that ends at %s", p.clock.now, after.NotAfter)
		}
	}
}

func TestFilesAreReadAgain(t *testing.T) {
	t.Parallel()
	one, two := newPlace(t, "one.example.org"), newPlace(t, "two.example.org")
	one.open()
	two.open()
	p := newPlace(t)
	p.take(one, "tls.crt", "tls.key")
	k := p.open()
	p.log.Reset()
	shows := func(after, name string) {
		t.Helper()
		if err := k.Certificate().Leaf.VerifyHostname(name); err != nil {
			t.Errorf("after %s: %v", after, err)
		}
	}
	shows("the start", "one.example.org")
	p.take(two, "tls.crt")
	shows("a certificate without its key", "one.example.org")
	p.logged("the certificate stays as it was")
	p.clock.pass(time.Minute)
	shows("a minute", "one.example.org")
	if p.log.Len() > 0 {
		t.Errorf("files that are no good are told of again: %s", &p.log)
	}
	p.take(two, "tls.key")
	shows("its key", "two.example.org")
	p.logged("two.example.org")
	p.write("tls.key", []byte("nothing"))
	shows("a key that is none", "two.example.org")
	if err := os.Remove(p.Cert); err != nil {
		t.Fatal(err)
	}
	p.clock.pass(time.Second)
	shows("a file is gone", "two.example.org")
	p.take(one, "tls.crt", "tls.key")
	shows("all is well", "one.example.org")

	p.take(two, "tls.crt", "tls.key")
	k.Certificate()
	// What is changed within a second is seen by who is told.
	for _, name := range []string{"tls.crt", "tls.key"} {
		text, err := os.ReadFile(filepath.Join(filepath.Dir(one.Cert), name))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(filepath.Dir(p.Cert), name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	shows("less than a second", "two.example.org")
	k.Reload()
	shows("it is told", "one.example.org")
}

func TestBadFiles(t *testing.T) {
	t.Parallel()
	good := newPlace(t, "localhost")
	good.open()
	for name, x := range map[string]struct {
		names []string
		do    func(p *place)
		words string
	}{
		"nothing there":      {nil, func(*place) {}, "tls.crt"},
		"no key":             {nil, func(p *place) { p.take(good, "tls.crt") }, "tls.key"},
		"a key that is none": {[]string{"localhost"}, func(p *place) { p.write("tls.key", []byte("x")) }, "tls.key"},
		"no name":            {[]string{"ü"}, func(*place) {}, "IA5"},
		"nowhere":            {[]string{"localhost"}, func(p *place) { p.Key = "/nowhere/tls.key" }, "/nowhere"},
	} {
		p := newPlace(t, x.names...)
		x.do(p)
		if _, err := cert.Open(p.Config); err == nil || !strings.Contains(err.Error(), x.words) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestWarning warns of a certificate that is about to end.
func TestWarning(t *testing.T) {
	t.Parallel()
	made := newPlace(t, "localhost")
	made.open()
	p := newPlace(t)
	p.take(made, "tls.crt", "tls.key")
	p.open()
	p.logged("level=INFO")
	p.clock.pass(390 * day)
	p.open()
	p.logged("level=WARN")
}
