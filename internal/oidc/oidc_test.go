package oidc_test

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/google/go-cmp/cmp"

	"github.com/occid/occid/internal/auth"
	"github.com/occid/occid/internal/oidc"
	"github.com/occid/occid/internal/oidctest"
	"github.com/occid/occid/occi"
)

// clock is a time that tests set.
type clock struct {
	mu    sync.Mutex
	later time.Duration
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Now().Add(c.later)
}

func (c *clock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.later += d
}

func believes(t *testing.T, issuer string, adjust ...func(*oidc.Config)) (*oidc.Provider, *clock) {
	t.Helper()
	k := &clock{}
	c := oidc.Config{Issuer: issuer, Client: oidctest.Client, Secret: oidctest.ClientSecret, Logger: slog.New(slog.DiscardHandler), Now: k.now}
	for _, f := range adjust {
		f(&c)
	}
	p, err := oidc.New(c)
	if err != nil {
		t.Fatal(err)
	}
	return p, k
}

// prove presents a token as a request does.
func prove(t *testing.T, p *oidc.Provider, token string) (*auth.Proof, occi.Class) {
	t.Helper()
	c, ok := p.Read(&http.Request{Header: http.Header{"Authorization": {"Bearer " + token}}}, auth.From{})
	if !ok {
		return nil, "unread"
	}
	proof, err := p.Prove(t.Context(), c)
	if err != nil {
		return nil, occi.ClassOf(err)
	}
	return proof, ""
}

func TestTokens(t *testing.T) {
	t.Parallel()
	is := oidctest.Start(t, "127.0.0.1:0")
	p, _ := believes(t, is.Issuer)
	ends := time.Now().Add(time.Hour).Truncate(time.Second)
	good := is.Token(map[string]any{"exp": ends.Unix(), "name": "Test User", "groups": []any{"a", 1, true, nil}, "realm_access": map[string]any{"roles": []string{"x"}}})
	proof, class := prove(t, p, good)
	if class != "" {
		t.Fatalf("a good token is %q", class)
	}
	for _, name := range []string{"iat", "jti", "exp"} {
		delete(proof.Attributes, name)
	}
	want := &auth.Proof{Subjects: []string{is.Issuer + " id2"}, Login: "test-user2", Title: "Test User", Until: ends, Attributes: map[string][]string{
		"iss": {is.Issuer}, "sub": {"id2"}, "aud": {"occid"}, "preferred_username": {"test-user2"}, "name": {"Test User"}, "groups": {"a", "1", "true"}, "realm_access.roles": {"x"}}}
	if d := cmp.Diff(want, proof); d != "" {
		t.Error(d)
	}
	now := time.Now()
	at := func(d time.Duration) int64 { return now.Add(d).Unix() }
	for name, x := range map[string]struct {
		claims map[string]any
		good   bool
	}{
		"several audiences":             {map[string]any{"aud": []string{"other", "occid"}}, true},
		"a little early":                {map[string]any{"nbf": at(30 * time.Second)}, true},
		"another audience":              {map[string]any{"aud": "other"}, false},
		"a part of the audience":        {map[string]any{"aud": "occi"}, false},
		"no audience":                   {map[string]any{"aud": nil}, false},
		"another issuer":                {map[string]any{"iss": "https://accounts.google.com"}, false},
		"a longer issuer":               {map[string]any{"iss": is.Issuer + "/"}, false},
		"no issuer":                     {map[string]any{"iss": nil}, false},
		"expired":                       {map[string]any{"exp": at(-time.Second)}, false},
		"without an end":                {map[string]any{"exp": nil}, false},
		"an end that is no time":        {map[string]any{"exp": "tomorrow"}, false},
		"not yet":                       {map[string]any{"nbf": at(2 * time.Minute)}, false},
		"nobody":                        {map[string]any{"sub": ""}, false},
		"without a subject":             {map[string]any{"sub": nil}, false},
		"a logout":                      {map[string]any{"events": map[string]any{"http://schemas.openid.net/event/backchannel-logout": map[string]any{}}}, false},
		"a subject that is no text":     {map[string]any{"sub": 1}, false},
		"claims of a source elsewhere":  {map[string]any{"_claim_names": map[string]any{"groups": "src1"}}, false},
		"an audience that is an object": {map[string]any{"aud": map[string]any{"occid": true}}, false},
	} {
		if _, class := prove(t, p, is.Token(x.claims)); (class == "") != x.good || !x.good && class != occi.Unauthorized {
			t.Errorf("%s: %q", name, class)
		}
	}
	other, _ := believes(t, is.Issuer, func(c *oidc.Config) { c.Audiences = []string{"api"} })
	if _, class := prove(t, other, good); class != occi.Unauthorized {
		t.Errorf("a token for the client is taken where one for the API is meant: %q", class)
	}
	if _, class := prove(t, other, is.Token(map[string]any{"aud": "api"})); class != "" {
		t.Errorf("one for the API: %q", class)
	}
	es, _ := believes(t, is.Issuer, func(c *oidc.Config) { c.Algorithms = []string{"ES256"} })
	if _, class := prove(t, es, good); class != occi.Unauthorized {
		t.Errorf("a token of another algorithm: %q", class)
	}
}

// TestForgedTokens presents what the provider has not signed.
func TestForgedTokens(t *testing.T) {
	t.Parallel()
	is := oidctest.Start(t, "127.0.0.1:0")
	p, _ := believes(t, is.Issuer)
	good := is.Token(nil)
	if _, class := prove(t, p, good); class != "" {
		t.Fatalf("a good token is %q", class)
	}
	parts := strings.Split(good, ".")
	coded := func(text string) string { return base64.RawURLEncoding.EncodeToString([]byte(text)) }
	var set jose.JSONWebKeySet
	resp, err := http.Get(is.Issuer + "/keys")
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(resp.Body)
	resp.Body.Close()
	if err != nil || json.Unmarshal(text, &set) != nil || len(set.Keys) == 0 {
		t.Fatalf("keys: %s, %v", text, err)
	}
	last := set.Keys[len(set.Keys)-1]
	der, err := x509.MarshalPKIXPublicKey(last.Key)
	if err != nil {
		t.Fatal(err)
	}
	mine, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		t.Fatal(err)
	}
	sign := func(alg jose.SignatureAlgorithm, key any, o *jose.SignerOptions) string {
		s, err := jose.NewSigner(jose.SigningKey{Algorithm: alg, Key: key}, o)
		if err != nil {
			t.Fatal(err)
		}
		x, err := s.Sign(payload)
		if err != nil {
			t.Fatal(err)
		}
		compact, err := x.CompactSerialize()
		if err != nil {
			t.Fatal(err)
		}
		return compact
	}
	kid := (&jose.SignerOptions{}).WithHeader("kid", last.KeyID)
	public := jose.JSONWebKey{Key: &mine.PublicKey, KeyID: last.KeyID}
	for name, token := range map[string]string{
		"none":                          coded(`{"alg":"none"}`) + "." + parts[1] + ".",
		"none, with a signature":        coded(`{"alg":"none","kid":"`+last.KeyID+`"}`) + "." + parts[1] + "." + parts[2],
		"NONE":                          coded(`{"alg":"NonE"}`) + "." + parts[1] + ".",
		"no algorithm":                  coded(`{}`) + "." + parts[1] + "." + parts[2],
		"the public key as a secret":    sign(jose.HS256, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}), kid),
		"its bytes as a secret":         sign(jose.HS256, der, kid),
		"its modulus as a secret":       sign(jose.HS256, last.Key.(*rsa.PublicKey).N.Bytes(), kid),
		"another's key of the same id":  sign(jose.RS256, mine, kid),
		"another's key without an id":   sign(jose.RS256, mine, nil),
		"a key in the token":            sign(jose.RS256, mine, &jose.SignerOptions{EmbedJWK: true}),
		"a key in the token, of the id": sign(jose.RS256, jose.JSONWebKey{Key: mine, KeyID: last.KeyID}, (&jose.SignerOptions{}).WithHeader("jwk", public)),
		"a key elsewhere":               sign(jose.RS256, mine, (&jose.SignerOptions{}).WithHeader("jku", is.Issuer+"/test/keys")),
		"another algorithm":             sign(jose.PS256, mine, kid),
		"no signature":                  parts[0] + "." + parts[1] + ".",
		"other claims":                  parts[0] + "." + coded(strings.Replace(string(payload), "id2", "id1", 1)) + "." + parts[2],
		"half a signature":              parts[0] + "." + parts[1] + "." + parts[2][:len(parts[2])/2],
		"no header":                     "." + parts[1] + "." + parts[2],
		"nothing":                       "..",
		"no JSON":                       coded("x") + "." + coded("x") + "." + coded("x"),
		"a nested header":               coded(strings.Repeat(`{"x":`, 1000)+"1"+strings.Repeat("}", 1000)) + "." + parts[1] + "." + parts[2],
		"a very long one":               parts[0] + "." + strings.Repeat("A", 1<<20) + "." + parts[2],
		"a critical header":             sign(jose.RS256, mine, (&jose.SignerOptions{}).WithHeader("crit", []string{"b64"}).WithHeader("b64", false)),
		"zeros":                         parts[0] + "." + parts[1] + "." + coded(string(bytes.Repeat([]byte{0}, 256))),
	} {
		if _, class := prove(t, p, token); class != occi.Unauthorized {
			t.Errorf("%s: %q", name, class)
		}
	}
	for _, token := range []string{"occid_abc", "a.b", "a.b.c.d", "a.b.c.d.e"} {
		if _, class := prove(t, p, token); class != "unread" {
			t.Errorf("%s: %q", token, class)
		}
	}
}

// TestRotation: a key that is not known is looked for once, and not again for a while,
// whatever is presented.
func TestRotation(t *testing.T) {
	t.Parallel()
	is := oidctest.Start(t, "127.0.0.1:0")
	p, k := believes(t, is.Issuer)
	good := func(want occi.Class) {
		t.Helper()
		if _, class := prove(t, p, is.Token(nil)); class != want {
			t.Errorf("%q, want %q", class, want)
		}
	}
	fetched := func(want string) {
		t.Helper()
		if got := is.Fetched(); got != want {
			t.Errorf("the keys were fetched %s times, want %s", got, want)
		}
	}
	old := is.Token(nil)
	for range 3 {
		good("")
	}
	fetched("1")
	is.Rotate()
	good(occi.Unauthorized) // too soon after the first look
	fetched("1")
	k.pass(31 * time.Second)
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() { good("") })
	}
	all.Wait()
	fetched("2")
	if _, class := prove(t, p, old); class != "" {
		t.Errorf("by the key before: %q", class)
	}
	mine, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	made := func(kid string) string {
		s, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.RS256, Key: mine}, (&jose.SignerOptions{}).WithHeader("kid", kid))
		if err != nil {
			t.Fatal(err)
		}
		x, err := s.Sign([]byte(`{}`))
		if err != nil {
			t.Fatal(err)
		}
		text, err := x.CompactSerialize()
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	k.pass(31 * time.Second)
	for i := range 50 {
		if _, class := prove(t, p, made(strings.Repeat("x", i+1))); class != occi.Unauthorized {
			t.Errorf("a token that is made up: %q", class)
		}
	}
	fetched("3")
	// Keys that the provider has put away count no longer once they are looked at again.
	is.Rotate()
	is.Rotate()
	k.pass(time.Hour)
	still := is.Token(map[string]any{"exp": k.now().Add(time.Hour).Unix()})
	if _, class := prove(t, p, still); class != "" {
		t.Errorf("after an hour: %q", class)
	}
	fetched("4")
	if _, class := prove(t, p, old); class != occi.Unauthorized {
		t.Errorf("by a key that is put away: %q", class)
	}
}

// TestOutage: without its provider the server says so at once, and goes on when it is back.
func TestOutage(t *testing.T) {
	t.Parallel()
	is := oidctest.Start(t, "127.0.0.1:0")
	p, k := believes(t, is.Issuer)
	known := is.Token(nil)
	if _, class := prove(t, p, known); class != "" {
		t.Fatalf("%q", class)
	}
	fresh, later := believes(t, is.Issuer)
	is.Stop()
	if _, class := prove(t, p, known); class != "" {
		t.Errorf("with the keys that are known: %q", class)
	}
	for range 3 {
		if _, class := prove(t, fresh, known); class != occi.Unavailable {
			t.Errorf("without any: %q", class)
		}
	}
	k.pass(2 * time.Hour)
	if _, class := prove(t, p, known); class != occi.Unauthorized { // it has expired
		t.Errorf("with old keys: %q", class)
	}
	k.pass(30 * time.Hour)
	if _, class := prove(t, p, known); class != occi.Unavailable {
		t.Errorf("with keys that are too old: %q", class)
	}
	back := oidctest.Start(t, is.Address())
	if _, class := prove(t, fresh, back.Token(nil)); class != occi.Unavailable {
		t.Errorf("too soon: %q", class)
	}
	later.pass(6 * time.Second)
	if _, class := prove(t, fresh, back.Token(nil)); class != "" {
		t.Errorf("once it is back: %q", class)
	}
}

func TestRefusedConfigurations(t *testing.T) {
	t.Parallel()
	for _, c := range []oidc.Config{{}, {Issuer: "https://idp.example.org"}, {Issuer: "http://idp.example.org", Client: "x"}, {Issuer: "idp.example.org", Client: "x"}, {Issuer: "https://u@idp.example.org", Client: "x"},
		{Issuer: "https://idp.example.org?x", Client: "x"}, {Issuer: "https://idp.example.org", Client: "x", Algorithms: []string{"HS256"}}, {Issuer: "https://idp.example.org", Client: "x", Algorithms: []string{"none"}},
		{Issuer: "https://idp.example.org", Client: "x", CA: "oidc.go"}, {Issuer: "https://idp.example.org", Client: "x", CA: "missing"}} {
		if _, err := oidc.New(c); err == nil {
			t.Errorf("%+v is taken", c)
		}
	}
	p, err := oidc.New(oidc.Config{Issuer: "https://idp.example.org", Client: "x"})
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]string{`Bearer realm="occid", issuer="https://idp.example.org"`}, p.Challenges()); d != "" {
		t.Error(d)
	}
}
