// Package clientcert tells who is asking by the certificate that a client shows over TLS.
//
// A certificate is judged when a request comes, not when the connection is made, so that
// who shows none, or one that is no good, can log in otherwise. Proxies of certificates
// (RFC 3820), and what a VOMS server says of their owners, are taken if the operator names
// the servers.
package clientcert

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/occid/occid/internal/auth"
	"github.com/occid/occid/occi"
)

const (
	// glance is how often the files are looked at, at most.
	glance = time.Second
	// judged is how long a judgement counts: what files say since counts after that.
	judged = time.Minute
	// maxChain bounds how many certificates are looked at, maxBytes how large they are.
	maxChain = 10
	maxBytes = 64 << 10
)

// Config says which certificates are taken. CA and Logger are required.
type Config struct {
	// CA is a file of the authorities, CRL one of what they have revoked, empty for none,
	// both PEM.
	CA, CRL string
	// VOMS is a directory of the VOMS servers that are believed: VO/HOST.lsc has the
	// subject of a server's certificate and that of its authority on a line each, as
	// OpenSSL writes them. Empty means that neither they nor proxies are taken.
	VOMS   string
	Logger *slog.Logger
	Now    func() time.Time // nil means time.Now
}

// Authorities is an auth.Prover by certificates of authorities.
type Authorities struct {
	config Config

	mu     sync.Mutex // guards what follows
	now    authorities
	marks  [2]mark
	looked time.Time
}

var _ auth.Prover = (*Authorities)(nil)

// authorities are what the files have.
type authorities struct {
	pool    *x509.CertPool
	revoked []*x509.RevocationList
}

type mark struct {
	at   time.Time
	size int64
}

// Open reads the files.
func Open(c Config) (*Authorities, error) {
	if c.Now == nil {
		c.Now = time.Now
	}
	a := &Authorities{config: c, looked: c.Now()}
	a.marks = a.mark()
	var err error
	if a.now, err = read(c); err != nil {
		return nil, err
	}
	if c.VOMS != "" {
		if info, err := os.Stat(c.VOMS); err != nil {
			return nil, err
		} else if !info.IsDir() {
			return nil, fmt.Errorf("%s is no directory", c.VOMS)
		}
	}
	return a, nil
}

// Reload reads the files again, changed or not.
func (a *Authorities) Reload() { a.look(true) }

func (a *Authorities) mark() (m [2]mark) {
	for i, path := range []string{a.config.CA, a.config.CRL} {
		if info, err := os.Stat(path); err == nil {
			m[i] = mark{info.ModTime(), info.Size()}
		}
	}
	return m
}

// look reads the files if they have changed, or surely, and gives what is in force. If
// they are no good, that is what was before.
func (a *Authorities) look(surely bool) authorities {
	now := a.config.Now()
	a.mu.Lock()
	have := a.now
	if !surely && now.Sub(a.looked) < glance && !now.Before(a.looked) {
		a.mu.Unlock()
		return have
	}
	a.looked = now
	before := a.marks
	a.mu.Unlock()
	is := a.mark()
	if !surely && is == before {
		return have
	}
	read, err := read(a.config)
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.marks = is; err != nil {
		a.config.Logger.Error("the authorities of clients stay as they were", "error", err)
		return a.now
	}
	a.now = read
	a.config.Logger.Info("the authorities of clients were loaded")
	return a.now
}

func read(c Config) (authorities, error) {
	found := authorities{pool: x509.NewCertPool()}
	text, err := os.ReadFile(c.CA)
	if err != nil {
		return found, err
	}
	if !found.pool.AppendCertsFromPEM(text) {
		return found, fmt.Errorf("%s has no certificate", c.CA)
	}
	if c.CRL == "" {
		return found, nil
	}
	if text, err = os.ReadFile(c.CRL); err != nil {
		return found, err
	}
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		list, err := x509.ParseRevocationList(block.Bytes)
		if err != nil {
			return found, fmt.Errorf("%s: %w", c.CRL, err)
		}
		found.revoked = append(found.revoked, list)
	}
	if found.revoked == nil {
		return found, fmt.Errorf("%s has no list", c.CRL)
	}
	return found, nil
}

// Ask has a listener ask its clients for certificates of the authorities in force.
func (a *Authorities) Ask(c *tls.Config) *tls.Config {
	asks := func() *tls.Config {
		with := c.Clone()
		with.ClientAuth, with.ClientCAs = tls.RequestClientCert, a.look(false).pool
		return with
	}
	with := asks()
	with.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) { return asks(), nil }
	return with
}

// Challenges implements auth.Prover. No scheme is registered for what TLS does.
func (a *Authorities) Challenges() []string { return []string{`Certificate realm="occid"`} }

// Read implements auth.Prover.
func (a *Authorities) Read(r *http.Request, _ auth.From) (auth.Credential, bool) {
	if r.TLS == nil || len(r.TLS.PeerCertificates) == 0 {
		return auth.Credential{}, false
	}
	var chain []byte
	for _, c := range r.TLS.PeerCertificates {
		chain = append(chain, c.Raw...)
	}
	return auth.Credential{Key: string(chain)}, true
}

// Prove implements auth.Prover.
func (a *Authorities) Prove(_ context.Context, c auth.Credential) (*auth.Proof, error) {
	now := a.config.Now()
	proof, err := a.judge([]byte(c.Key), now)
	switch {
	case errors.Is(err, errStale):
		a.config.Logger.Warn("whether clients' certificates are revoked cannot be told", "error", err)
		return nil, occi.E(occi.Unavailable, "whether your certificate is revoked cannot be told now")
	case err != nil:
		a.config.Logger.Info("a client's certificate was refused", "error", err)
		return nil, occi.E(occi.Unauthorized, "the certificate that you show is not taken here")
	}
	return proof, nil
}

func (a *Authorities) judge(raw []byte, now time.Time) (*auth.Proof, error) {
	if len(raw) > maxBytes {
		return nil, errors.New("the certificates are too large")
	}
	chain, err := x509.ParseCertificates(raw)
	if err != nil {
		return nil, err
	}
	if len(chain) > maxChain {
		return nil, fmt.Errorf("%d certificates are too many", len(chain))
	}
	in := a.look(false)
	proxies, rest, err := split(chain)
	if err != nil {
		return nil, err
	}
	owner := rest[0]
	if len(proxies) > 0 {
		if a.config.VOMS == "" {
			return nil, errors.New("it is a proxy of a certificate, and those are not taken")
		}
		if err := delegated(proxies, owner, now); err != nil {
			return nil, err
		}
	}
	if err := in.verify(owner, rest[1:], now, x509.ExtKeyUsageClientAuth); err != nil {
		return nil, err
	}
	proof, err := describe(owner)
	if err != nil {
		return nil, err
	}
	proof.Until = earliest(now.Add(judged), owner.NotAfter)
	for _, p := range proxies {
		proof.Until = earliest(proof.Until, p.NotAfter)
	}
	if a.config.VOMS != "" {
		ends, err := a.attributes(proof, proxies, owner, in, now)
		if err != nil {
			return nil, fmt.Errorf("what a VOMS server says: %w", err)
		}
		proof.Until = earliest(proof.Until, ends)
	}
	return proof, nil
}

func earliest(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}
