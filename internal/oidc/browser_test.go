package oidc_test

import (
	"net/url"
	"strings"
	"testing"

	"github.com/occid/occid/internal/oidc"
	"github.com/occid/occid/internal/oidctest"
	"github.com/occid/occid/occi"
)

// TestBrowser: the login of a browser is its own, with the code, the verifier and the nonce
// of one and the same.
func TestBrowser(t *testing.T) {
	t.Parallel()
	is := oidctest.Start(t, "127.0.0.1:0")
	const back = "http://127.0.0.1:1/login/callback"
	is.Redirect(back)
	p, _ := believes(t, is.Issuer, func(c *oidc.Config) { c.Audiences = []string{"api"} })
	b := oidctest.Browser(t)
	flow := func() (kept string, q url.Values) {
		t.Helper()
		to, kept, err := p.Begin(t.Context(), back)
		if err != nil {
			t.Fatal(err)
		}
		at, err := url.Parse(is.Login(b, to))
		if err != nil {
			t.Fatal(err)
		}
		return kept, at.Query()
	}
	kept, q := flow()
	c, err := p.Finish(t.Context(), back, kept, q)
	if err != nil {
		t.Fatal(err)
	}
	proof, err := p.Prove(t.Context(), c)
	if err != nil || proof.Subjects[0] != is.Issuer+" id2" {
		t.Errorf("%+v, %v", proof, err)
	}
	if _, err := p.Finish(t.Context(), back, kept, q); occi.ClassOf(err) != occi.Unauthorized {
		t.Errorf("a code a second time: %v", err)
	}
	// What one login has is no good for another.
	parts := strings.Split(kept, ".")
	for name, i := range map[string]int{"nonce": 1, "verifier": 2} {
		other, q := flow()
		with := strings.Split(other, ".")
		with[i] = parts[i]
		if _, err := p.Finish(t.Context(), back, strings.Join(with, "."), q); occi.ClassOf(err) != occi.Unauthorized {
			t.Errorf("with the %s of another login: %v", name, err)
		}
	}
	kept, q = flow()
	if _, err := p.Finish(t.Context(), back+"x", kept, q); occi.ClassOf(err) != occi.Unauthorized {
		t.Errorf("back elsewhere: %v", err)
	}
	// A token of a browser's login is none that a request may present where another audience
	// is meant.
	if _, class := prove(t, p, strings.TrimPrefix(c.Key, "login ")); class != occi.Unauthorized {
		t.Errorf("as a bearer token: %q", class)
	}
	if _, class := prove(t, p, c.Key); class != "unread" {
		t.Errorf("as if it came of a browser's login: %q", class)
	}
	kept, q = flow()
	is.Stop()
	if _, err := p.Finish(t.Context(), back, kept, q); occi.ClassOf(err) != occi.Unavailable {
		t.Errorf("without the provider: %v", err)
	}
}
