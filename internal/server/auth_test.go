package server_test

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/occid/occid/internal/auth"
	"github.com/occid/occid/internal/dbtest"
	"github.com/occid/occid/internal/engine"
	"github.com/occid/occid/internal/server"
	"github.com/occid/occid/occi"
)

const adminSecret = "open sesame"

// newGuarded starts a server at which people log in, with an administrator.
func newGuarded(t testing.TB, dsn string) *cloud {
	t.Helper()
	return newGuardedBy(t, dsn, nil)
}

// newGuardedBy is newGuarded with ways to log in that guard adjusts.
func newGuardedBy(t testing.TB, dsn string, guard func(*auth.Config)) *cloud {
	t.Helper()
	c := newCloudWith(t, dsn, builtin(t), guard, true)
	if made, err := c.engine.FirstAdministrator(context.Background(), "admin", adminSecret); err != nil || !made {
		t.Fatalf("the administrator: %t, %v", made, err)
	}
	return c
}

// person sends requests as somebody.
type person struct {
	*cloud
	header []string
	id     string // of the user
}

func (p *person) do(method, path, body string, header ...string) reply {
	p.t.Helper()
	return p.cloud.do(method, path, body, append(header, p.header...)...)
}

func basic(login, secret string) string {
	r := &http.Request{Header: http.Header{}}
	r.SetBasicAuth(login, secret)
	return "Authorization: " + r.Header.Get("Authorization")
}

func (c *cloud) admin() *person {
	return &person{cloud: c, header: []string{basic("admin", adminSecret)}}
}

// made creates an entity of a JSON descriptor and gives its path.
func (p *person) made(collection, descriptor string) string {
	p.t.Helper()
	r := p.do("POST", collection, descriptor, "Content-Type: application/json", "Prefer: wait=20").want(p.t, 201)
	return strings.TrimPrefix(r.Header.Get("Location"), p.url)
}

// user makes a user with a role in a project, and logs in as it.
func (p *person) user(name, project, role string) *person {
	p.t.Helper()
	path := p.made("/user/", `{"name":"`+name+`","secret":"secret of `+name+`","links":[{"type":"membership","target":"`+project+`","role":"`+role+`"}]}`)
	return &person{cloud: p.cloud, header: []string{basic(name, "secret of "+name)}, id: strings.TrimPrefix(path, "/user/")}
}

func TestLogin(t *testing.T) {
	t.Parallel()
	onEachGuarded(t, func(t *testing.T, c *cloud) {
		for path, media := range map[string]string{"/": "text/plain", "/compute/.json": "application/json", "/-/": "text/plain", "/nothing": "text/plain",
			"/compute/7b0c2f5e-3d0e-4f5a-9a43-6f0f6a2d9c11.xml": "application/xml", "/metrics": "text/plain"} {
			r := c.do("GET", path, "").want(t, 401)
			if got := strings.Join(r.Header.Values("WWW-Authenticate"), "; "); got != `Basic realm="occid", charset="UTF-8"; Bearer realm="occid"; Cookie realm="occid", form-action="/session/", cookie-name="occid"` {
				t.Errorf("%s is to be logged in to by %q", path, got)
			}
			if !strings.HasPrefix(r.Header.Get("Content-Type"), media) {
				t.Errorf("%s answers in %s", path, r.Header.Get("Content-Type"))
			}
		}
		c.do("GET", "/healthz", "").want(t, 200)
		c.do("GET", "/readyz", "").want(t, 200)
		unknown := c.do("GET", "/", "", basic("nobody", adminSecret)).want(t, 401)
		wrong := c.do("GET", "/", "", basic("admin", "other")).want(t, 401)
		if unknown.text != wrong.text {
			t.Errorf("%q tells an unknown account from %q", unknown.text, wrong.text)
		}
		c.do("GET", "/", "", basic("admin", adminSecret)).want(t, 200)
		c.do("GET", "/user/", "", basic("admin", adminSecret), "Accept: application/json").want(t, 200, `"name":"admin"`, `"administrator":true`)
		if text := c.do("GET", "/.json", "", basic("admin", adminSecret)).text; strings.Contains(text, "admin") {
			t.Errorf("/ lists users: %s", text)
		}
	})
}

func TestTokens(t *testing.T) {
	t.Parallel()
	onEachGuarded(t, func(t *testing.T, c *cloud) {
		admin := c.admin()
		project := admin.made("/project/", `{"title":"lab"}`)
		ann := admin.user("ann", project, "member")
		r := ann.do("POST", "/token/", `{"title":"for a script"}`, "Content-Type: application/json", "Accept: application/json").want(t, 201)
		token, path := r.Header.Get("X-Auth-Token"), strings.TrimPrefix(r.Header.Get("Location"), c.url)
		if !strings.HasPrefix(token, "occid_") || !strings.Contains(r.text, token) {
			t.Fatalf("token %q in %s", token, r.text)
		}
		for _, header := range []string{"Authorization: Bearer " + token, "X-Auth-Token: " + token} {
			if got := c.do("GET", path, "", header, "Accept: application/json").want(t, 200, "for a script").text; strings.Contains(got, token) {
				t.Errorf("the token is shown again: %s", got)
			}
		}
		bearer := &person{cloud: c, header: []string{"X-Auth-Token: " + token}}
		vm := bearer.made("/compute/", `{"title":"a"}`)
		ann.do("GET", vm, "").want(t, 200)
		bearer.do("POST", "/token/", `{"project":"`+strings.TrimPrefix(admin.made("/project/", `{"title":"x"}`), "/project/")+`"}`, "Content-Type: application/json").want(t, 403)
		ann.do("POST", "/token/", `{"expires":"2001-01-01T00:00:00Z"}`, "Content-Type: application/json").want(t, 400, "expires")
		admin.do("GET", "/token/", "", "Accept: application/json").want(t, 200, "for a script")
		ann.do("DELETE", path, "").want(t, 200)
		c.do("GET", vm, "", "X-Auth-Token: "+token).want(t, 401)

		c.do("GET", "/v1.0", "", "X-Auth-User: ann", "X-Auth-Key: wrong secret").want(t, 401)
		for _, user := range []string{"ann", "lab:ann"} {
			old := c.do("GET", "/v1.0", "", "X-Auth-User: "+user, "X-Auth-Key: secret of ann").want(t, 204)
			if old.Header.Get("X-Server-Management-Url") != c.url+"/" || old.Header.Get("X-Storage-Url") != "" {
				t.Errorf("%v", old.Header)
			}
			c.do("GET", vm, "", "X-Auth-Token: "+old.Header.Get("X-Auth-Token")).want(t, 200)
		}
		r = ann.do("POST", "/token/", "", "Content-Type: text/occi", `Category: token; scheme="http://schemas.occid.org/occi/identity#"; class="kind"`).want(t, 201)
		last := r.Header.Get("X-Auth-Token")
		admin.do("DELETE", "/user/"+ann.id, "").want(t, 200)
		c.do("GET", vm, "", "X-Auth-Token: "+last).want(t, 401)
		ann.do("GET", vm, "").want(t, 401)
		var left struct{ Resources []any }
		if err := json.Unmarshal([]byte(admin.do("GET", "/token/.json", "").text), &left); err != nil || len(left.Resources) != 0 {
			t.Errorf("%v are left, %v", left, err)
		}
		admin.do("DELETE", project, "").want(t, 409)
		admin.do("DELETE", vm, "", "Prefer: wait=20").want(t, 200)
		admin.do("DELETE", project, "").want(t, 200)
	})
}

func TestChangesOfUsersCountAtOnce(t *testing.T) {
	t.Parallel()
	onEachGuarded(t, func(t *testing.T, c *cloud) {
		admin := c.admin()
		project := admin.made("/project/", `{"title":"lab"}`)
		ann := admin.user("ann", project, "reader")
		ann.do("GET", "/", "").want(t, 200)
		ann.do("POST", "/compute/", `{}`, "Content-Type: application/json").want(t, 403, "reader")
		membership := c.do("GET", "/membership/.uri", "", admin.header...).text
		membership = strings.TrimPrefix(strings.TrimSpace(membership), c.url)
		admin.do("POST", membership, `{"role":"member"}`, "Content-Type: application/json").want(t, 200)
		ann.made("/compute/", `{"title":"a"}`)

		ann.do("POST", "/user/"+ann.id, `{"administrator":true}`, "Content-Type: application/json").want(t, 403)
		ann.do("POST", "/user/"+ann.id, `{"secret":"short"}`, "Content-Type: application/json").want(t, 400, "8 to 256")
		ann.do("POST", "/user/"+ann.id, `{"secret":"another secret"}`, "Content-Type: application/json").want(t, 200)
		ann.do("GET", "/", "").want(t, 401)
		ann.header = []string{basic("ann", "another secret")}
		ann.do("GET", "/", "").want(t, 200)
		admin.do("POST", "/user/"+ann.id, `{"disabled":true}`, "Content-Type: application/json").want(t, 200)
		ann.do("GET", "/", "").want(t, 401)
		admin.do("POST", "/user/"+ann.id, `{"disabled":false}`, "Content-Type: application/json").want(t, 200)
		ann.do("GET", "/", "").want(t, 200)

		admin.do("POST", "/user/", `{"name":"ann"}`, "Content-Type: application/json").want(t, 409, "name ann")
		admin.do("POST", "/user/", `{"name":"bob","secret":"secret of bob"}`, "Content-Type: application/json", "Idempotency-Key: k").want(t, 400, "Idempotency-Key")
		me := strings.TrimPrefix(strings.TrimSpace(admin.do("GET", "/user/.uri?name=admin", "").text), c.url)
		admin.do("DELETE", me, "").want(t, 403, "lock")
		admin.do("POST", me, `{"disabled":true}`, "Content-Type: application/json").want(t, 403, "lock")
		admin.do("GET", "/", "", "X-Project: "+strings.TrimPrefix(project, "/project/")).want(t, 200)
		ann.do("GET", "/", "", "X-Project: lab").want(t, 200)
		ann.do("GET", "/", "", "X-Project: 7b0c2f5e-3d0e-4f5a-9a43-6f0f6a2d9c11").want(t, 403)
	})
}

// TestTokensEndWithTheSecret: who has taken a token is out once the user's secret is another.
func TestTokensEndWithTheSecret(t *testing.T) {
	t.Parallel()
	onEachGuarded(t, func(t *testing.T, c *cloud) {
		admin := c.admin()
		ann := admin.user("ann", admin.made("/project/", `{"title":"lab"}`), "member")
		json := "Content-Type: application/json"
		token := func() string {
			return "X-Auth-Token: " + ann.do("POST", "/token/", `{"title":"t"}`, json).want(t, 201).Header.Get("X-Auth-Token")
		}
		first := token()
		c.do("GET", "/", "", first).want(t, 200)
		ann.do("POST", "/user/"+ann.id, `{"secret":"another secret"}`, json).want(t, 200)
		c.do("GET", "/", "", first).want(t, 401)
		ann.header = []string{basic("ann", "another secret")}
		second := token()
		c.do("GET", "/", "", second).want(t, 200)
		admin.do("POST", "/user/"+ann.id, `{"title":"Ann"}`, json).want(t, 200)
		c.do("GET", "/", "", second).want(t, 200)
		// The same secret, given anew, is a change: it is how to be rid of tokens.
		admin.do("POST", "/user/"+ann.id, `{"secret":"another secret"}`, json).want(t, 200)
		c.do("GET", "/", "", second).want(t, 401)
		third := token()
		admin.do("POST", "/user/"+ann.id, `{"disabled":true}`, json).want(t, 200)
		c.do("GET", "/", "", third).want(t, 401)

		// Who never had a secret has tokens that end when one is given.
		bob := admin.made("/user/", `{"name":"bob"}`)
		x, err := c.engine.Get(t.Context(), engine.Caller{}, uuid.MustParse(strings.TrimPrefix(bob, "/user/")))
		if err != nil {
			t.Fatal(err)
		}
		out, err := c.engine.Create(t.Context(), engine.Caller{Name: x.ID.String(), Login: "bob", Roles: auth.Member}, occi.TokenKind, []*occi.Draft{{Kind: occi.TokenKind}}, engine.Options{})
		if err != nil {
			t.Fatal(err)
		}
		c.do("GET", bob, "", "X-Auth-Token: "+out.Token).want(t, 200)
		admin.do("POST", bob, `{"secret":"secret of bob"}`, json).want(t, 200)
		c.do("GET", bob, "", "X-Auth-Token: "+out.Token).want(t, 401)
	})
}

func TestGuessing(t *testing.T) {
	t.Parallel()
	c := newGuarded(t, dbtest.SQLite(t))
	admin := c.admin()
	project := admin.made("/project/", `{"title":"lab"}`)
	ann := admin.user("ann", project, "member")
	locked := false
	for i := range 10 {
		r := c.do("GET", "/", "", basic("ann", "guess "+strconv.Itoa(i)))
		if r.StatusCode == 429 {
			seconds, err := strconv.Atoi(r.Header.Get("Retry-After"))
			if locked = err == nil && seconds > 0; !locked {
				t.Errorf("Retry-After: %q", r.Header.Get("Retry-After"))
			}
			continue
		}
		r.want(t, 401)
	}
	if !locked {
		t.Fatal("guesses are never slowed")
	}
	ann.do("GET", "/", "").want(t, 429)
	admin.do("GET", "/", "").want(t, 200)
	// Elsewhere nobody has guessed.
	caller, err := c.auth.Login(t.Context(), "ann", "secret of ann", "", "198.51.100.7:4711")
	if err != nil || caller.Login != "ann" {
		t.Errorf("from elsewhere: %+v, %v", caller, err)
	}
}

// TestProxiesAreNotLockedOut: who guesses behind a proxy is told from others there by what
// the proxy says, which is believed of no one else.
func TestProxiesAreNotLockedOut(t *testing.T) {
	t.Parallel()
	c := newGuarded(t, dbtest.SQLite(t))
	s := server.New(server.Config{Engine: c.engine, Version: "test", Auth: c.auth, Proxies: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")},
		Logger: slog.New(slog.DiscardHandler)})
	ask := func(remote, forwarded, login, secret string) int {
		r := httptest.NewRequest("GET", "/", nil)
		r.RemoteAddr = remote
		r.Header.Set("X-Forwarded-For", forwarded)
		r.SetBasicAuth(login, secret)
		w := httptest.NewRecorder()
		s.ServeHTTP(w, r)
		return w.Code
	}
	guess := func(remote string, forwarded func(i int) string) (last int) {
		for i := range 20 {
			last = ask(remote, forwarded(i), "user"+strconv.Itoa(i), "guess")
		}
		return last
	}
	if got := guess("192.0.2.1:1", func(int) string { return "203.0.113.9, 198.51.100.7, 192.0.2.2" }); got != 429 {
		t.Errorf("who guesses behind proxies gets %d", got)
	}
	if got := ask("192.0.2.1:1", "198.51.100.8", "admin", adminSecret); got != 200 {
		t.Errorf("another one behind the proxy gets %d", got)
	}
	if got := guess("198.51.100.9:1", func(i int) string { return "203.0.113." + strconv.Itoa(i) }); got != 429 {
		t.Errorf("who only says to be a proxy gets %d", got)
	}
}

// TestStreamsEndWithTheLogin: who is kept out sees no more of what it follows.
func TestStreamsEndWithTheLogin(t *testing.T) {
	t.Parallel()
	c := newGuarded(t, dbtest.SQLite(t))
	admin := c.admin()
	ann := admin.user("ann", admin.made("/project/", `{"title":"lab"}`), "member")
	web := httptest.NewServer(server.New(server.Config{Engine: c.engine, Version: "test", Auth: c.auth, Heartbeat: 20 * time.Millisecond,
		Logger: slog.New(slog.DiscardHandler)}))
	t.Cleanup(web.Close)
	f := openFlow(t, web.URL, "/events", append([]string{"Accept: text/event-stream"}, ann.header...)...)
	for range 3 {
		if _, ok := f.next(); !ok {
			t.Fatal("the stream ends while the login is good")
		}
	}
	admin.do("POST", "/user/"+ann.id, `{"disabled":true}`, "Content-Type: application/json").want(t, 200)
	for range 1000 {
		if _, ok := f.next(); !ok {
			return
		}
	}
	t.Error("the stream goes on")
}

// TestSecretsAreNotTold looks for secrets wherever something is told.
func TestSecretsAreNotTold(t *testing.T) {
	t.Parallel()
	c := newGuarded(t, dbtest.SQLite(t))
	admin := c.admin()
	project := admin.made("/project/", `{"title":"lab"}`)
	ann := admin.user("ann", project, "member")
	secrets := []string{adminSecret, "secret of ann"}
	for _, media := range []string{"text/plain", "application/occi+text", "application/json", "application/xml", "application/yaml", "application/atom+xml", "application/occi+json"} {
		secret := "planted " + media
		secrets = append(secrets, secret)
		admin.do("POST", "/user/", `{"name":"`+strings.NewReplacer("/", "-", "+", "-").Replace(media)+`","secret":"`+secret+`"}`, "Content-Type: application/json", "Accept: "+media).want(t, 201)
		secrets = append(secrets, ann.do("POST", "/token/", `{"title":"t"}`, "Content-Type: application/json", "Accept: "+media).want(t, 201).Header.Get("X-Auth-Token"))
	}
	cookie, csrf := ann.session()
	secrets = append(secrets, cookie[strings.IndexByte(cookie, '=')+1:], strings.TrimPrefix(csrf, "X-CSRF-Token: "))
	secrets = append(secrets, "x\x01y planted", "five5")
	told := []string{admin.do("POST", "/user/", `{"name":"bad","secret":"x\u0001y planted"}`, "Content-Type: application/json").want(t, 400).text,
		admin.do("POST", "/user/", `{"name":"bad","secret":"five5"}`, "Content-Type: application/json").want(t, 400).text, c.log.String()}
	for _, path := range []string{"/user/", "/token/", "/session/", "/membership/", "/project/", "/events", "/"} {
		for _, suffix := range []string{".json", ".xml", ".atom", ".txt", ".yaml"} {
			r := admin.do("GET", path+suffix, "")
			told = append(told, r.text)
		}
	}
	for _, secret := range secrets {
		for _, text := range told {
			if strings.Contains(text, secret) {
				t.Errorf("%q is told in %.200s", secret, text)
			}
		}
	}
}

// onEachGuarded is onEach of servers at which people log in.
func onEachGuarded(t *testing.T, f func(t *testing.T, c *cloud)) {
	t.Run("sqlite", func(t *testing.T) {
		t.Parallel()
		f(t, newGuarded(t, dbtest.SQLite(t)))
	})
	t.Run("postgres", func(t *testing.T) {
		t.Parallel()
		f(t, newGuarded(t, emptyPostgres(t)))
	})
}
