// Package oidctest runs a provider of OpenID Connect for tests and figures: one of a library that
// providers are made of, in a process of its own.
package oidctest

import (
	"bufio"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"html"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/google/uuid"
	"github.com/zitadel/oidc/v3/example/server/storage"
	"github.com/zitadel/oidc/v3/pkg/oidc"
	"github.com/zitadel/oidc/v3/pkg/op"
	"golang.org/x/text/language"
)

// The client, and a user, that the provider knows.
const (
	Client       = "occid"
	ClientSecret = "secret of the client"
	User         = "test-user2"
	UserSecret   = "verysecure"
	UserSubject  = "id2"
)

// asProvider is the variable that has a test's program be the provider, at an address.
const asProvider = "OCCID_TEST_PROVIDER"

// Main is to be called first by programs that start a provider, as by TestMain.
func Main() {
	if at := os.Getenv(asProvider); at != "" {
		if err := serve(at); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
}

// provider is what the process serves: the library's, with keys that change and claims that
// tests choose.
type provider struct {
	*storage.Storage
	mu        sync.Mutex
	keys      []*key // the last one signs
	redirects []string
	claims    map[string]any
	fetched   int // how often the keys were
}

type key struct {
	id      string
	private *rsa.PrivateKey
}

func (k *key) ID() string                                  { return k.id }
func (k *key) SignatureAlgorithm() jose.SignatureAlgorithm { return jose.RS256 }
func (k *key) Key() any                                    { return k.private }

type public struct{ *key }

func (k public) Algorithm() jose.SignatureAlgorithm { return jose.RS256 }
func (k public) Use() string                        { return "sig" }
func (k public) Key() any                           { return &k.private.PublicKey }

// client is the library's, which says more in its tokens.
type client struct {
	op.Client
	redirects []string
}

func (c client) RedirectURIs() []string               { return c.redirects }
func (c client) IDTokenUserinfoClaimsAssertion() bool { return true }

// SigningKey implements op.Storage, as do those that follow.
func (p *provider) SigningKey(context.Context) (op.SigningKey, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.keys[len(p.keys)-1], nil
}

func (p *provider) SignatureAlgorithms(context.Context) ([]jose.SignatureAlgorithm, error) {
	return []jose.SignatureAlgorithm{jose.RS256}, nil
}

func (p *provider) KeySet(context.Context) ([]op.Key, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.fetched++
	var all []op.Key
	for _, k := range p.keys {
		all = append(all, public{k})
	}
	return all, nil
}

func (p *provider) GetClientByClientID(ctx context.Context, id string) (op.Client, error) {
	c, err := p.Storage.GetClientByClientID(ctx, id)
	p.mu.Lock()
	defer p.mu.Unlock()
	return client{c, p.redirects}, err
}

func (p *provider) SetUserinfoFromRequest(ctx context.Context, info *oidc.UserInfo, r op.IDTokenRequest, scopes []string) error {
	err := p.Storage.SetUserinfoFromRequest(ctx, info, r, scopes)
	p.mu.Lock()
	defer p.mu.Unlock()
	for name, value := range p.claims {
		info.AppendClaims(name, value)
	}
	return err
}

func (p *provider) rotate() error {
	k, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.keys = append(p.keys[max(0, len(p.keys)-1):], &key{uuid.NewString(), k})
	return nil
}

// serve is the process.
func serve(at string) error {
	l, err := net.Listen("tcp", at)
	if err != nil {
		return err
	}
	issuer := "http://" + l.Addr().String()
	storage.RegisterClients(storage.WebClient(Client, ClientSecret))
	p := &provider{Storage: storage.NewStorage(storage.NewUserStore(issuer)), claims: map[string]any{}}
	if err := errors.Join(p.rotate(), p.rotate()); err != nil {
		return err
	}
	mux := http.NewServeMux()
	known, err := op.NewProvider(&op.Config{CryptoKey: [32]byte{1}, CodeMethodS256: true, AuthMethodPost: true, SupportedUILocales: []language.Tag{language.English}},
		p, op.StaticIssuer(issuer), op.WithAllowInsecure(), op.WithLogger(slog.New(slog.DiscardHandler)))
	if err != nil {
		return err
	}
	mux.Handle("/", known)
	back := op.NewIssuerInterceptor(known.IssuerFromRequest).HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id := r.FormValue("id")
		if err := p.CheckUsernamePassword(r.FormValue("username"), r.FormValue("password"), id); err != nil {
			http.Error(w, err.Error(), http.StatusForbidden)
			return
		}
		http.Redirect(w, r, op.AuthCallbackURL(known)(r.Context(), id), http.StatusFound)
	})
	mux.HandleFunc("/login/username", func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			back(w, r)
			return
		}
		fmt.Fprintf(w, `<form method="post"><input name="id" value="%s"><input name="username"><input name="password"></form>`, html.EscapeString(r.FormValue("authRequestID")))
	})
	mux.HandleFunc("/test/", p.test)
	fmt.Println(issuer)
	go func() {
		// It ends with who started it.
		_, _ = io.Copy(io.Discard, os.Stdin)
		_ = l.Close()
	}()
	if err := http.Serve(l, mux); !errors.Is(err, net.ErrClosed) {
		return err
	}
	return nil
}

// test has tests change what the provider does, and sign what it would not.
func (p *provider) test(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	answer := ""
	switch what := strings.TrimPrefix(r.URL.Path, "/test/"); {
	case err != nil:
	case what == "rotate":
		err = p.rotate()
	case what == "redirect":
		p.mu.Lock()
		p.redirects = append(p.redirects, string(body))
		p.mu.Unlock()
	case what == "claims":
		p.mu.Lock()
		p.claims = map[string]any{}
		err = json.Unmarshal(body, &p.claims)
		p.mu.Unlock()
	case what == "fetched":
		p.mu.Lock()
		answer = fmt.Sprint(p.fetched)
		p.mu.Unlock()
	case what == "sign":
		answer, err = p.sign(body)
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	_, _ = io.WriteString(w, answer)
}

func (p *provider) sign(claims []byte) (string, error) {
	p.mu.Lock()
	k := p.keys[len(p.keys)-1]
	p.mu.Unlock()
	s, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.RS256, Key: k.private}, (&jose.SignerOptions{}).WithType("JWT").WithHeader("kid", k.id))
	if err != nil {
		return "", err
	}
	signed, err := s.Sign(claims)
	if err != nil {
		return "", err
	}
	return signed.CompactSerialize()
}

// teller is told of what fails, as testing.TB is.
type teller interface {
	Helper()
	Fatal(args ...any)
	Fatalf(format string, args ...any)
}

// Provider is a running provider.
type Provider struct {
	t      teller
	Issuer string
	cmd    *exec.Cmd
	input  io.Closer
	once   sync.Once
}

// Start starts a provider at an address, which may have the port 0. It ends with the test.
func Start(t testing.TB, address string) *Provider {
	t.Helper()
	p, err := Launch(t, address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Stop)
	return p
}

// Launch starts a provider that Stop ends. What fails then is told to t.
func Launch(t teller, address string) (*Provider, error) {
	p := &Provider{t: t, cmd: exec.Command(os.Args[0])}
	p.cmd.Env = append(os.Environ(), asProvider+"="+address)
	p.cmd.Stderr = os.Stderr
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if p.input, err = p.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		p.Stop()
		return nil, fmt.Errorf("the provider does not start: %w", err)
	}
	p.Issuer = strings.TrimSpace(line)
	return p, nil
}

// Address is where it listens.
func (p *Provider) Address() string {
	return strings.TrimPrefix(p.Issuer, "http://")
}

// Stop ends it.
func (p *Provider) Stop() {
	p.once.Do(func() {
		_ = p.input.Close()
		_ = p.cmd.Wait()
	})
}

func (p *Provider) tell(what, body string) string {
	p.t.Helper()
	r, err := http.Post(p.Issuer+"/test/"+what, "text/plain", strings.NewReader(body))
	if err != nil {
		p.t.Fatal(err)
	}
	defer r.Body.Close()
	text, err := io.ReadAll(r.Body)
	if err != nil || r.StatusCode != http.StatusOK {
		p.t.Fatalf("%s: %s %v", what, text, err)
	}
	return string(text)
}

// Rotate has a new key sign; of those before, the last one is shown still.
func (p *Provider) Rotate() { p.t.Helper(); p.tell("rotate", "") }

// Redirect lets logins end at a URL.
func (p *Provider) Redirect(url string) { p.t.Helper(); p.tell("redirect", url) }

// Claims sets what the provider tells of its users beside what it does.
func (p *Provider) Claims(json string) { p.t.Helper(); p.tell("claims", json) }

// Fetched tells how often its keys were.
func (p *Provider) Fetched() string { p.t.Helper(); return p.tell("fetched", "") }

// Token signs claims, which overwrite those of a good token of the user.
func (p *Provider) Token(claims map[string]any) string {
	p.t.Helper()
	now := time.Now()
	all := map[string]any{"iss": p.Issuer, "sub": UserSubject, "aud": Client, "exp": now.Add(time.Hour).Unix(), "iat": now.Unix(), "jti": uuid.NewString(), "preferred_username": User}
	for name, value := range claims {
		if all[name] = value; value == nil {
			delete(all, name)
		}
	}
	text, err := json.Marshal(all)
	if err != nil {
		p.t.Fatal(err)
	}
	return p.tell("sign", string(text))
}

var requestID = regexp.MustCompile(`name="id" value="([^"]+)"`)

// Browser is a client with cookies that follows no redirection by itself.
func Browser(t testing.TB) *http.Client {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &http.Client{Jar: jar, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

// Login does at the provider what a person does in a browser that was sent to a URL of it,
// and gives the URL that it sends the browser back to.
func (p *Provider) Login(b *http.Client, at string) string {
	p.t.Helper()
	for range 10 {
		r, err := b.Get(at)
		if err != nil {
			p.t.Fatal(err)
		}
		text, err := io.ReadAll(r.Body)
		r.Body.Close()
		if err != nil {
			p.t.Fatal(err)
		}
		if m := requestID.FindSubmatch(text); m != nil {
			r, err := b.PostForm(p.Issuer+"/login/username", url.Values{"id": {string(m[1])}, "username": {User}, "password": {UserSecret}})
			if err != nil {
				p.t.Fatal(err)
			}
			r.Body.Close()
			at = p.at(r)
			continue
		}
		if at = p.at(r); at == "" {
			p.t.Fatalf("the provider says %d: %s", r.StatusCode, text)
		}
		if !strings.HasPrefix(at, p.Issuer+"/") {
			return at
		}
	}
	p.t.Fatal("the provider sends the browser round")
	return ""
}

// at is where an answer leads.
func (p *Provider) at(r *http.Response) string {
	u, err := r.Location()
	if err != nil {
		return ""
	}
	return u.String()
}
