package server_test

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/occid/occid/internal/auth"
	"github.com/occid/occid/internal/dbtest"
	"github.com/occid/occid/internal/server"
	"github.com/occid/occid/occi"
)

const inJSON = "Content-Type: application/json"

// session logs somebody in as a page of the server's own does, and gives the header lines
// of its cookie and of its token.
func (p *person) session() (cookie, token string) {
	p.t.Helper()
	r := p.do("POST", "/session/", `{"title":"browser"}`, inJSON, "Accept: application/json").want(p.t, 201)
	cookies := r.Cookies()
	if len(cookies) != 1 || r.Header.Get("X-Auth-Token") != "" || strings.Contains(r.text, cookies[0].Value) {
		p.t.Fatalf("the answer has %v and tells %s", r.Header, r.text)
	}
	if c := cookies[0]; !c.HttpOnly || c.SameSite != http.SameSiteLaxMode || c.Path != "/" || c.Domain != "" || time.Until(c.Expires) < 7*time.Hour || time.Until(c.Expires) > 9*time.Hour {
		p.t.Errorf("the cookie is %v", c)
	}
	if r.Header.Get("Cache-Control") != "no-store" {
		p.t.Errorf("the answer may be kept: %v", r.Header)
	}
	return "Cookie: " + cookies[0].Name + "=" + cookies[0].Value, "X-CSRF-Token: " + r.Header.Get("X-Csrf-Token")
}

func TestSessions(t *testing.T) {
	t.Parallel()
	onEachGuarded(t, func(t *testing.T, c *cloud) {
		admin := c.admin()
		ann := admin.user("ann", admin.made("/project/", `{"title":"lab"}`), "member")
		cookie, token := ann.session()
		r := c.do("GET", "/session/.json", "", cookie).want(t, 200, "browser")
		if got := "X-CSRF-Token: " + r.Header.Get("X-Csrf-Token"); got != token || !strings.Contains(strings.Join(r.Header["Vary"], ","), "Cookie") {
			t.Errorf("a page reads %q, want %q: %v", got, token, r.Header)
		}
		vm := strings.TrimPrefix(c.do("POST", "/compute/", `{"title":"a"}`, inJSON, cookie, token).want(t, 201).Header.Get("Location"), c.url)
		ann.do("GET", vm, "").want(t, 200)

		// It is no token, and makes no other session.
		value := cookie[strings.IndexByte(cookie, '=')+1:]
		for _, header := range []string{"Authorization: Bearer " + value, "X-Auth-Token: " + value, "Cookie: occid2=" + value, cookie + "; occid=" + value, "Cookie: __Host-occid=" + value, "Cookie: occid=" + value[1:]} {
			c.do("GET", "/", "", header).want(t, 401)
		}
		c.do("POST", "/session/", `{"title":"x"}`, inJSON, cookie, token).want(t, 403, "log in")
		api := ann.do("POST", "/token/", `{"title":"t"}`, inJSON).want(t, 201).Header.Get("X-Auth-Token")
		c.do("GET", "/", "", "Cookie: occid="+api).want(t, 401)
		c.do("POST", "/session/", `{"title":"x"}`, inJSON, "X-Auth-Token: "+api).want(t, 403, "log in")
		ann.do("POST", "/session/", `{"expires":"2099-01-01T00:00:00Z"}`, inJSON).want(t, 400, "within 7 days")
		ann.do("POST", "/", `{"resources":[{"type":"session"},{"type":"token"}]}`, inJSON).want(t, 400, "one request")

		// What ends it: its own logout, another secret, being kept out, its deletion.
		c.do("POST", "/logout", "", cookie).want(t, 403)
		out := c.do("POST", "/logout", "", cookie, token).want(t, 204)
		if got := out.Cookies(); len(got) != 1 || got[0].MaxAge >= 0 || got[0].Value != "" {
			t.Errorf("after the logout: %v", got)
		}
		c.do("GET", "/", "", cookie).want(t, 401)
		cookie, _ = ann.session()
		listed := strings.Fields(ann.do("GET", "/session/.uri", "").text)
		if len(listed) != 1 {
			t.Fatalf("%v are left", listed)
		}
		ann.do("DELETE", strings.TrimPrefix(listed[0], c.url), "").want(t, 200)
		c.do("GET", "/", "", cookie).want(t, 401)
		cookie, _ = ann.session()
		ann.do("POST", "/user/"+ann.id, `{"secret":"another secret"}`, inJSON).want(t, 200)
		c.do("GET", "/", "", cookie).want(t, 401)
		ann.header = []string{basic("ann", "another secret")}
		cookie, _ = ann.session()
		admin.do("POST", "/user/"+ann.id, `{"disabled":true}`, inJSON).want(t, 200)
		c.do("GET", "/", "", cookie).want(t, 401)
		admin.do("DELETE", "/user/"+ann.id, "").want(t, 200)
		if left := strings.TrimSpace(admin.do("GET", "/session/.uri", "").text); left != "" {
			t.Errorf("%s is left of a user that is not", left)
		}
		if strings.Contains(c.log.String(), value) {
			t.Error("the log has the cookie")
		}
	})
}

func TestSessionsEnd(t *testing.T) {
	t.Parallel()
	c := newGuarded(t, dbtest.SQLite(t))
	cookie, _ := c.admin().session()
	c.do("GET", "/", "", cookie).want(t, 200)
	later := time.Now().Add(9 * time.Hour)
	c.still.Store(&later)
	c.do("GET", "/", "", cookie).want(t, 401)
}

// TestForgedWrites sends what pages of other sites can have a browser send with the cookie
// of a session, and what they cannot.
func TestForgedWrites(t *testing.T) {
	t.Parallel()
	c := newGuarded(t, dbtest.SQLite(t))
	admin := c.admin()
	cookie, token := admin.session()
	_, another := admin.session()
	victim := admin.made("/project/", `{"title":"victim"}`)
	before := c.revision()
	own := "Origin: " + c.url
	for _, x := range []struct {
		name   string
		header []string
		want   int
	}{
		{"nothing but the cookie", nil, 403},
		{"another site", []string{"Origin: https://evil.example", "Sec-Fetch-Site: cross-site"}, 403},
		{"another site of the same domain", []string{"Origin: https://evil.127.0.0.1", "Sec-Fetch-Site: same-site"}, 403},
		{"another site in an older browser", []string{"Origin: https://evil.example"}, 403},
		{"another port", []string{"Origin: http://127.0.0.1:1"}, 403},
		{"a page of nowhere", []string{"Origin: null"}, 403},
		{"another site that has a token", []string{"Origin: https://evil.example", "Sec-Fetch-Site: cross-site", token}, 403},
		{"a token of another session", []string{another}, 403},
		{"no token", []string{"X-CSRF-Token: "}, 403},
		{"two tokens", []string{token, token}, 403},
		{"two tokens, one of them wrong", []string{token, another}, 403},
		{"a wrong token of its own page", []string{own, "Sec-Fetch-Site: same-origin", another}, 403},
		{"empty fields of a browser", []string{"Origin: ", "Sec-Fetch-Site: "}, 403},
		{"an unknown scheme beside the cookie", []string{"Authorization: Nothing x"}, 403},
	} {
		for _, send := range [][3]string{{"POST", "/project/", `{"title":"forged"}`}, {"POST", victim, `{"title":"forged"}`}, {"PUT", victim, `{"title":"forged"}`}, {"DELETE", victim, ""},
			{"POST", "/-/", ""}, {"POST", "/project/?action=start", ""}, {"POST", "/logout", ""}, {"PUT", "/session/7b0c2f5e-3d0e-4f5a-9a43-6f0f6a2d9c11", `{}`}} {
			if r := c.do(send[0], send[1], send[2], append([]string{cookie, inJSON}, x.header...)...); r.StatusCode != x.want {
				t.Errorf("%s: %s %s is %d, want %d: %s", x.name, send[0], send[1], r.StatusCode, x.want, r.text)
			}
		}
		c.do("GET", victim, "", append([]string{cookie}, x.header...)...).want(t, 200)
	}
	if after := c.revision(); after != before {
		t.Errorf("forged requests changed something: %d, was %d", after, before)
	}
	for i, header := range [][]string{{token}, {own}, {own, "Sec-Fetch-Site: same-origin"}, {own, "Sec-Fetch-Site: same-origin", token}} {
		c.do("POST", "/project/", `{"title":"`+strconv.Itoa(i)+`"}`, append(header, cookie, inJSON)...).want(t, 201)
	}
	// Whoever presents something that no browser adds needs none of it.
	admin.do("POST", "/project/", `{"title":"mine"}`, inJSON).want(t, 201)
	admin.do("POST", "/project/", `{"title":"mine, with a cookie too"}`, inJSON, cookie).want(t, 201)
}

// TestCookiesOverTLS: the cookie is this host's alone, and what came without TLS is none.
func TestCookiesOverTLS(t *testing.T) {
	t.Parallel()
	c := newGuarded(t, dbtest.SQLite(t))
	s := server.New(server.Config{Engine: c.engine, Version: "test", Auth: c.auth, Proxies: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}, Logger: slog.New(slog.DiscardHandler)})
	ask := func(direct bool, method, path string, header ...string) *http.Response {
		body := ""
		if method == "POST" {
			body = `{"title":"x"}`
		}
		r := httptest.NewRequest(method, path, strings.NewReader(body))
		for k, v := range fields(header) {
			r.Header[k] = v
		}
		if body != "" {
			r.Header.Set("Content-Type", "application/json")
		}
		if r.TLS = nil; direct {
			r.TLS = &tls.ConnectionState{}
		} else {
			r.Header.Set("X-Forwarded-Proto", "https")
		}
		r.RemoteAddr = "192.0.2.1:1"
		w := httptest.NewRecorder()
		s.ServeHTTP(w, r)
		return w.Result()
	}
	for _, direct := range []bool{true, false} {
		made := ask(direct, "POST", "/session/", basic("admin", adminSecret))
		if made.StatusCode != 201 || len(made.Cookies()) != 1 {
			t.Fatalf("%d, %v", made.StatusCode, made.Header)
		}
		cookie := made.Cookies()[0]
		if cookie.Name != "__Host-occid" || !cookie.Secure {
			t.Errorf("the cookie is %v", cookie)
		}
		if got := ask(direct, "GET", "/", "Cookie: __Host-occid="+cookie.Value); got.StatusCode != 200 {
			t.Errorf("with it: %d", got.StatusCode)
		}
		if got := ask(direct, "GET", "/", "Cookie: occid="+cookie.Value); got.StatusCode != 401 {
			t.Errorf("as one that any site of the domain can set: %d", got.StatusCode)
		}
	}
}

// nowhere is with whom no browser can log in.
type nowhere struct{}

func (nowhere) Mechanism() string { return "oidc" }
func (nowhere) Begin(context.Context, string) (to, kept string, err error) {
	return "", "", occi.E(occi.Unavailable, "away")
}
func (nowhere) Finish(context.Context, string, string, url.Values) (auth.Credential, error) {
	return auth.Credential{}, auth.Unknown()
}

// TestRoutesOfLogins: each route that ways to log in add has a rule, and those that nobody
// needs to be known for are these alone.
func TestRoutesOfLogins(t *testing.T) {
	t.Parallel()
	c := newGuarded(t, dbtest.SQLite(t))
	s := server.New(server.Config{Engine: c.engine, Version: "test", Auth: c.auth, Browser: nowhere{}, Logger: slog.New(slog.DiscardHandler)})
	patterns, err := s.Fixed()
	if err != nil {
		t.Fatal(err)
	}
	open := map[string]bool{}
	for _, path := range patterns {
		route, allow := s.Rule(strings.TrimSuffix(path, "/"))
		if route == "" || strings.ContainsAny(path, "{*") {
			continue
		}
		for _, method := range []string{"GET", "HEAD", "OPTIONS", "POST", "PUT", "DELETE"} {
			need, ok := auth.NeedOf(route, method)
			if strings.Contains(allow, method) && !ok {
				t.Errorf("%s %s (%s) has no rule", method, path, route)
			}
			if ok && need.Open {
				open[route] = true
			}
		}
		w := httptest.NewRecorder()
		s.ServeHTTP(w, httptest.NewRequest("GET", path, nil))
		if need, ok := auth.NeedOf(route, "GET"); (!ok || !need.Open) && w.Code != 401 {
			t.Errorf("GET %s by nobody is %d", path, w.Code)
		}
	}
	if d := cmp.Diff(map[string]bool{"health": true, "ready": true, "exchange": true, "login": true, "callback": true}, open); d != "" {
		t.Error(d)
	}
}
