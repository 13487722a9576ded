// Package oidc tells who is asking by tokens of a provider of OpenID Connect, and has
// browsers log in there.
//
// The provider is asked for its configuration and its keys when they are needed first, and
// again when they are old; it need not answer when the server starts.
package oidc

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	standard "github.com/coreos/go-oidc/v3/oidc"
	"github.com/go-jose/go-jose/v4"
	"golang.org/x/sync/singleflight"

	"github.com/occid/occid/internal/auth"
	"github.com/occid/occid/occi"
)

const (
	// askTime bounds a question to the provider, maxAnswer what it answers, in bytes.
	askTime   = 10 * time.Second
	maxAnswer = 1 << 20
	// configured is how long its configuration counts, pause how long it is left alone
	// after it has not answered.
	configured = time.Hour
	pause      = 5 * time.Second
	// skew is how far its clock may be ahead.
	skew = time.Minute
	// maxToken bounds what is looked at, in bytes; maxValues how many claims are.
	maxToken  = 16 << 10
	maxValues = 1000
)

// Algorithms are those by which tokens may be signed: all of public keys, so that who can
// verify a token can sign none.
var Algorithms = []string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"}

// Config says which provider is believed. Issuer, Client and Logger are required.
type Config struct {
	// Issuer is the provider's URL, Client by what it knows this server.
	Issuer, Client string
	// Secret is that of the client, empty for a public one.
	Secret string
	// Audiences are those of tokens that are taken; nil means Client.
	Audiences []string
	// Algorithms are those that tokens may be signed by; nil means RS256, PS256, ES256 and
	// EdDSA.
	Algorithms []string
	// Scopes are asked for when browsers log in, beside openid.
	Scopes []string
	// Login is the claim that a user's login is made of; empty means preferred_username.
	Login string
	// CA is a file of certificates to trust beside the system's; empty for none.
	CA     string
	Logger *slog.Logger
	Now    func() time.Time // nil means time.Now
}

// Provider is an auth.Prover by tokens of a provider.
type Provider struct {
	config     Config
	algorithms []jose.SignatureAlgorithm
	client     *http.Client
	flights    singleflight.Group
	keys       keys

	mu    sync.Mutex // guards what follows
	found *standard.Provider
	at    time.Time // it was
	tried time.Time // to find it, in vain
}

var _ auth.Prover = (*Provider)(nil)

// New makes a Provider, or tells what is wrong with its configuration. It asks nobody.
func New(c Config) (*Provider, error) {
	u, err := url.Parse(c.Issuer)
	switch {
	case err != nil || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "":
		return nil, fmt.Errorf("%q is no URL of a provider", c.Issuer)
	case !private(u):
		return nil, fmt.Errorf("%s is no https URL", c.Issuer)
	case c.Client == "":
		return nil, errors.New("the provider knows this server by no client")
	}
	if c.Algorithms == nil {
		c.Algorithms = []string{"RS256", "PS256", "ES256", "EdDSA"}
	}
	if c.Audiences == nil {
		c.Audiences = []string{c.Client}
	}
	c.Login = cmp.Or(c.Login, "preferred_username")
	p := &Provider{config: c}
	for _, a := range c.Algorithms {
		if !slices.Contains(Algorithms, a) {
			return nil, fmt.Errorf("%q is no algorithm to take; there are %s", a, strings.Join(Algorithms, ", "))
		}
		p.algorithms = append(p.algorithms, jose.SignatureAlgorithm(a))
	}
	if p.config.Now == nil {
		p.config.Now = time.Now
	}
	p.client, err = client(c.CA)
	return p, err
}

// private reports whether nobody reads along who asks a URL.
func private(u *url.URL) bool {
	a, err := netip.ParseAddr(u.Hostname())
	return u.Scheme == "https" || u.Scheme == "http" && (u.Hostname() == "localhost" || err == nil && a.IsLoopback())
}

func client(ca string) (*http.Client, error) {
	t := http.DefaultTransport.(*http.Transport).Clone()
	if ca != "" {
		pool, err := x509.SystemCertPool()
		if err != nil {
			pool = x509.NewCertPool()
		}
		text, err := os.ReadFile(ca)
		if err != nil {
			return nil, err
		}
		if !pool.AppendCertsFromPEM(text) {
			return nil, fmt.Errorf("%s has no certificate", ca)
		}
		t.TLSClientConfig = &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
	}
	return &http.Client{Transport: short{t}, Timeout: askTime, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}, nil
}

// short ends answers that are too long, and asks nobody in the open.
type short struct{ next http.RoundTripper }

func (s short) RoundTrip(r *http.Request) (*http.Response, error) {
	if !private(r.URL) {
		return nil, fmt.Errorf("%s is no https URL", r.URL.Host)
	}
	resp, err := s.next.RoundTrip(r)
	if err == nil {
		resp.Body = struct {
			io.Reader
			io.Closer
		}{io.LimitReader(resp.Body, maxAnswer), resp.Body}
	}
	return resp, err
}

// provider gives the provider's configuration. A new one is waited for only if there is
// none.
func (p *Provider) provider(ctx context.Context) (*standard.Provider, error) {
	now := p.config.Now()
	p.mu.Lock()
	found, at, tried := p.found, p.at, p.tried
	p.mu.Unlock()
	if found != nil && now.Sub(at) < configured {
		return found, nil
	}
	if now.Sub(tried) < pause && !now.Before(tried) {
		if found != nil {
			return found, nil
		}
		return nil, p.unavailable(nil)
	}
	_, err, _ := p.flights.Do("provider", func() (any, error) {
		asking, cancel := context.WithTimeout(context.WithoutCancel(ctx), askTime)
		defer cancel()
		is, err := standard.NewProvider(standard.ClientContext(asking, p.client), p.config.Issuer)
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.tried = now; err == nil {
			p.found, p.at, p.tried = is, now, time.Time{}
		}
		return nil, err
	})
	p.mu.Lock()
	found = p.found
	p.mu.Unlock()
	if found == nil {
		return nil, p.unavailable(err)
	}
	return found, nil
}

// unavailable is the error about a provider that does not answer; why is for the log.
func (p *Provider) unavailable(why error) error {
	if why != nil {
		p.config.Logger.Warn("the provider does not answer as it should", "issuer", p.config.Issuer, "error", why)
	}
	return occi.E(occi.Unavailable, "who you are cannot be told now: the provider %s does not answer; other ways to log in go on", p.config.Issuer)
}

// Challenges implements auth.Prover.
func (p *Provider) Challenges() []string {
	return []string{`Bearer realm="occid", issuer=` + strconv.Quote(p.config.Issuer)}
}

// fromBrowser begins the key of a token that came of a browser's login, not of a request.
const fromBrowser = "login "

// Read implements auth.Prover: it reads a token of three parts (RFC 7515, section 7.1).
func (p *Provider) Read(r *http.Request, _ auth.From) (auth.Credential, bool) {
	for _, f := range r.Header["Authorization"] {
		if scheme, text, _ := strings.Cut(f, " "); strings.EqualFold(scheme, "Bearer") {
			return compact(text)
		}
	}
	if f := r.Header["X-Auth-Token"]; len(f) == 1 {
		return compact(f[0])
	}
	return auth.Credential{}, false
}

// compact reads the text of a token. There is no space in one, as in what came of a
// browser's login.
func compact(text string) (auth.Credential, bool) {
	text = strings.TrimSpace(text)
	return auth.Credential{Key: text}, strings.Count(text, ".") == 2 && !strings.Contains(text, " ")
}

// Prove implements auth.Prover.
func (p *Provider) Prove(ctx context.Context, c auth.Credential) (*auth.Proof, error) {
	raw, audiences := c.Key, p.config.Audiences
	if token, ok := strings.CutPrefix(raw, fromBrowser); ok {
		raw, audiences = token, []string{p.config.Client}
	}
	t, claims, err := p.verify(ctx, raw, audiences)
	if err != nil {
		return nil, err
	}
	proof := &auth.Proof{Subjects: []string{t.Issuer + " " + t.Subject}, Attributes: map[string][]string{}, Until: t.Expiry}
	flatten(proof.Attributes, "", claims)
	if v := proof.Attributes[p.config.Login]; len(v) == 1 {
		proof.Login = v[0]
	}
	if v := proof.Attributes["name"]; len(v) == 1 {
		proof.Title = v[0]
	}
	return proof, nil
}

// verify checks all of a token, and gives its claims.
func (p *Provider) verify(ctx context.Context, raw string, audiences []string) (*standard.IDToken, map[string]any, error) {
	refused := func(why error) (*standard.IDToken, map[string]any, error) {
		p.config.Logger.Debug("a token was refused", "issuer", p.config.Issuer, "error", why)
		return nil, nil, auth.Unknown()
	}
	if len(raw) > maxToken {
		return refused(errors.New("it is too long"))
	}
	signed, err := jose.ParseSignedCompact(raw, p.algorithms)
	if err != nil {
		return refused(err)
	}
	if typ, _ := signed.Signatures[0].Protected.ExtraHeaders[jose.HeaderType].(string); strings.EqualFold(typ, "logout+jwt") {
		return refused(errors.New("it is for a logout"))
	}
	found, err := p.provider(ctx)
	if err != nil {
		return nil, nil, err
	}
	by, err := p.keysOf(ctx, found, signed)
	if err != nil {
		return nil, nil, err
	}
	verifier := standard.NewVerifier(p.config.Issuer, by, &standard.Config{SkipClientIDCheck: true, SupportedSigningAlgs: p.config.Algorithms, Now: p.config.Now})
	t, err := verifier.Verify(ctx, raw)
	if err != nil {
		return refused(err)
	}
	claims := map[string]any{}
	if err := t.Claims(&claims); err != nil {
		return refused(err)
	}
	var nbf struct {
		NotBefore float64         `json:"nbf"`
		Events    json.RawMessage `json:"events"`
	}
	if err := t.Claims(&nbf); err != nil {
		return refused(err)
	}
	switch {
	case t.Subject == "":
		err = errors.New("it is of nobody")
	case !slices.ContainsFunc(t.Audience, func(a string) bool { return slices.Contains(audiences, a) }):
		err = fmt.Errorf("it is for %q", t.Audience)
	case nbf.NotBefore > float64(p.config.Now().Add(skew).Unix()):
		err = errors.New("it does not count yet")
	case nbf.Events != nil:
		err = errors.New("it is about events")
	}
	if err != nil {
		return refused(err)
	}
	return t, claims, nil
}

// flatten gives claims as attributes, those within others with a dot.
func flatten(to map[string][]string, name string, value any) {
	if len(to) > maxValues || len(to[name]) > maxValues {
		return
	}
	add := func(text string) { to[name] = append(to[name], text) }
	switch v := value.(type) {
	case string:
		add(v)
	case bool:
		add(strconv.FormatBool(v))
	case float64:
		add(strconv.FormatFloat(v, 'f', -1, 64))
	case []any:
		for _, x := range v {
			flatten(to, name, x)
		}
	case map[string]any:
		for k, x := range v {
			if name != "" {
				k = name + "." + k
			}
			flatten(to, k, x)
		}
	}
}
