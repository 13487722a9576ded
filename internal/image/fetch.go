package image

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/google/uuid"

	"github.com/occid/occid/occi"
)

// Limits of what is fetched.
const (
	redirects  = 5
	dialTime   = 15 * time.Second
	answerTime = 30 * time.Second
	// stallTime is how long a server may send nothing.
	stallTime = time.Minute
)

// newClient makes a client that reaches what it may and nothing else: every address
// is judged when it is dialled, whatever name it came from.
func (s *Store) newClient() (*http.Client, error) {
	roots, err := x509.SystemCertPool()
	if err != nil {
		return nil, err
	}
	if s.cfg.CA != "" {
		text, err := os.ReadFile(s.cfg.CA)
		if err != nil {
			return nil, err
		}
		if !roots.AppendCertsFromPEM(text) {
			return nil, fmt.Errorf("%s holds no certificates", s.cfg.CA)
		}
	}
	dialer := &net.Dialer{Timeout: dialTime, Resolver: s.cfg.Resolver, Control: func(_, address string, _ syscall.RawConn) error {
		return s.reachable(address)
	}}
	return &http.Client{
		Transport: &http.Transport{DialContext: dialer.DialContext, TLSHandshakeTimeout: dialTime, ResponseHeaderTimeout: answerTime,
			TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}, DisableKeepAlives: true, DisableCompression: true,
			MaxResponseHeaderBytes: 64 << 10},
		CheckRedirect: func(req *http.Request, via []*http.Request) error {
			if len(via) > redirects {
				return occi.E(occi.Forbidden, "it leads on more than %d times", redirects)
			}
			return s.permitted(req.URL)
		},
	}, nil
}

// reachable refuses an address that is not a public one.
func (s *Store) reachable(address string) error {
	at, err := netip.ParseAddrPort(address)
	if err != nil {
		return occi.E(occi.Forbidden, "%s is no address", address)
	}
	if !s.cfg.Private && !public(at.Addr()) {
		return occi.E(occi.Forbidden, "%s is not a public address; --image-private allows such", at.Addr())
	}
	return nil
}

// apart are the ranges of addresses that are not of the public Internet, beside
// those that netip knows, or that stand for an address of the other family (the IANA
// IPv4 and IPv6 Special-Purpose Address Registries).
var apart = func() []netip.Prefix {
	var all []netip.Prefix
	for _, text := range strings.Fields(`0.0.0.0/8 100.64.0.0/10 192.0.0.0/24 192.0.2.0/24 192.88.99.0/24 198.18.0.0/15 198.51.100.0/24
		203.0.113.0/24 240.0.0.0/4 ::/96 64:ff9b::/96 64:ff9b:1::/48 100::/64 2001::/23 2001:db8::/32 2002::/16 3fff::/20 5f00::/16 fec0::/10`) {
		all = append(all, netip.MustParsePrefix(text))
	}
	return all
}()

func public(a netip.Addr) bool {
	a = a.Unmap()
	if !a.IsGlobalUnicast() || a.IsPrivate() || a.Zone() != "" {
		return false
	}
	for _, p := range apart {
		if p.Contains(a) {
			return false
		}
	}
	return true
}

// Permitted refuses a URL that nothing is fetched from.
func (s *Store) Permitted(source string) error {
	u, err := url.Parse(source)
	if err != nil || u.Host == "" || u.Scheme != "https" || u.Opaque != "" {
		return occi.E(occi.Invalid, "the source is no https URL")
	}
	return s.permitted(u)
}

func (s *Store) permitted(u *url.URL) error {
	if u.Scheme != "https" || u.User != nil {
		return occi.E(occi.Forbidden, "it leads to %s, which is no https URL without a password", shown(u))
	}
	host, port := strings.ToLower(strings.TrimSuffix(u.Hostname(), ".")), u.Port()
	if port == "" {
		port = "443"
	}
	for _, allowed := range s.cfg.Hosts {
		name, number, err := net.SplitHostPort(allowed)
		if err != nil {
			name, number = strings.Trim(allowed, "[]"), "443"
		}
		name = strings.ToLower(name)
		below, wild := strings.CutPrefix(name, "*.")
		if number == port && (host == name || wild && strings.HasSuffix(host, "."+below)) {
			if a, err := netip.ParseAddr(host); err == nil {
				return s.reachable(netip.AddrPortFrom(a, 443).String())
			}
			return nil
		}
	}
	return occi.E(occi.Forbidden, "images are not fetched from %s; --image-hosts names the hosts they are fetched from", net.JoinHostPort(host, port))
}

// Fetch has what a URL names arrive under id, anew, and compares it with its SHA-256
// unless that is empty. What may be there later is occi.Unavailable.
func (s *Store) Fetch(ctx context.Context, id uuid.UUID, source string, sum []byte, progress func(done, total int64)) error {
	if err := s.Permitted(source); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, source, nil)
	if err != nil {
		return err
	}
	source = shown(req.URL)
	resp, err := s.client.Do(req)
	if err != nil {
		return fetchFault(ctx, err)
	}
	defer resp.Body.Close()
	switch {
	case resp.StatusCode >= 500 || resp.StatusCode == http.StatusTooManyRequests:
		return occi.E(occi.Unavailable, "GET %s: %s", source, resp.Status)
	case resp.StatusCode != http.StatusOK:
		return occi.E(occi.Invalid, "GET %s: %s", source, resp.Status)
	}
	body := &watched{r: resp.Body, total: resp.ContentLength, progress: progress, stalled: time.AfterFunc(stallTime, cancel)}
	defer body.stalled.Stop()
	if _, err := s.Receive(ctx, id, 0, resp.ContentLength, body); err != nil {
		return fetchFault(ctx, err)
	}
	if have, total, err := s.Staged(id); err != nil || total >= 0 && have != total {
		return occi.E(occi.Unavailable, "GET %s ended after %d of %d bytes", source, have, total)
	}
	if len(sum) == 0 {
		return nil
	}
	return s.Verify(ctx, id, sum)
}

// shown is a URL without what may be a secret in it: a user, a password, and the
// parameters of a signed URL.
func shown(u *url.URL) string {
	return (&url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path}).String()
}

// fetchFault tells a refusal, which stays, from a fault of the way, which may pass.
func fetchFault(ctx context.Context, err error) error {
	var known *occi.Error
	var cert *tls.CertificateVerificationError
	if of := (*url.Error)(nil); errors.As(err, &of) {
		// Its text has the whole URL, and that of a redirection.
		err = of.Err
	}
	switch {
	case errors.As(err, &known):
		return known
	case errors.As(err, &cert):
		return occi.E(occi.Invalid, "the source is not to be trusted: %w", err)
	case ctx.Err() != nil && context.Cause(ctx) != context.Canceled:
		return context.Cause(ctx)
	}
	return occi.E(occi.Unavailable, "the source does not answer: %w", err)
}

// watched is a reader that reports how far it is, and ends when nothing comes.
type watched struct {
	r           io.Reader
	done, total int64
	progress    func(done, total int64)
	stalled     *time.Timer
}

func (w *watched) Read(b []byte) (int, error) {
	n, err := w.r.Read(b)
	w.stalled.Reset(stallTime)
	w.done += int64(n)
	if w.total > 0 && w.progress != nil {
		w.progress(w.done, w.total)
	}
	return n, err
}
