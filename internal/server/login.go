package server

import (
	"context"
	"encoding/base64"
	"net/http"
	"net/url"
	"strings"

	"github.com/occid/occid/internal/auth"
	"github.com/occid/occid/internal/engine"
	"github.com/occid/occid/occi"
)

// Paths where a browser begins and ends a login with somebody else.
const (
	loginPath    = "/login"
	callbackPath = loginPath + "/callback"
)

// Browser is somebody else with whom browsers log in.
type Browser interface {
	// Begin gives where a browser goes to log in, from where it comes back to a URL, and
	// what it keeps until then.
	Begin(ctx context.Context, back string) (to, kept string, err error)
	// Finish tells what a browser that came back with a query presents.
	Finish(ctx context.Context, back, kept string, q url.Values) (auth.Credential, error)
	// Mechanism is by what that is recognised.
	Mechanism() string
}

// back is the URL that browsers come back to.
func (c *call) back() string {
	if c.s.callback != "" {
		return c.s.callback
	}
	return c.base() + callbackPath
}

// login sends a browser to log in elsewhere. With "to" it goes on to that path of this
// server afterwards.
func (c *call) login() error {
	to := "/"
	for _, p := range c.params {
		if p.name != "to" || !ownPath(p.value) {
			return occi.E(occi.Invalid, "%.80q: only to=/PATH, of this server, is possible here", p.name)
		}
		to = p.value
	}
	at, kept, err := c.s.browser.Begin(c.r.Context(), c.back())
	if err != nil {
		return err
	}
	h := c.rec.Header()
	h["Set-Cookie"] = append(h["Set-Cookie"], auth.LoginCookie(kept+"~"+base64.RawURLEncoding.EncodeToString([]byte(to)), c.from()).String())
	return c.goTo(at)
}

// ownPath reports whether a browser takes a text for a path of this server.
func ownPath(text string) bool {
	u, err := url.Parse(text)
	return err == nil && u.Scheme == "" && u.Host == "" && u.User == nil && strings.HasPrefix(text, "/") && !strings.HasPrefix(text, "//") &&
		!strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r == '\\' || r == 0x7f })
}

func (c *call) goTo(url string) error {
	h := c.rec.Header()
	h["Location"] = []string{url}
	h["Cache-Control"] = []string{"no-store"}
	c.rec.WriteHeader(http.StatusSeeOther)
	return nil
}

// loggedIn gives a browser that has logged in elsewhere a session.
func (c *call) loggedIn() error {
	h := c.rec.Header()
	kept, to, _ := strings.Cut(auth.LoginCookieOf(c.r, c.from()), "~")
	h["Set-Cookie"] = append(h["Set-Cookie"], auth.LoginCookie("", c.from()).String())
	presented, err := c.s.browser.Finish(c.r.Context(), c.back(), kept, c.r.URL.Query())
	if err != nil {
		return err
	}
	if c.caller, err = c.s.auth.LoginBy(c.r.Context(), c.s.browser.Mechanism(), presented, c.s.client(c.r)); err != nil {
		return err
	}
	c.reg = c.s.registry(c.caller)
	d := &occi.Draft{Kind: occi.SessionKind, Attributes: []occi.DraftAttr{{Name: occi.AttrTitle, Value: occi.Str(loginPath)}}}
	out, err := c.s.engine.Create(c.r.Context(), c.caller, occi.SessionKind, []*occi.Draft{d}, engine.Options{})
	if err != nil {
		return err
	}
	c.hand(out.Token, out.Entities)
	path, err := base64.RawURLEncoding.DecodeString(to)
	if err != nil || !ownPath(string(path)) {
		path = []byte("/")
	}
	return c.goTo(string(path))
}
