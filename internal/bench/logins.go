package main

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"

	"github.com/google/uuid"

	"github.com/occid/occid/internal/oidctest"
)

// benchSecret is that of the users of the server that is measured.
const benchSecret = "correct horse battery staple"

// logins measures what it costs to ask who is asking: the same GETs of a member of a
// project at a server where people log in, and at one where nobody does.
func (b *bench) logins() error {
	many, thousand := filepath.Join(b.dir, "members.db"), filepath.Join(b.dir, "members1000.db")
	project := uuid.New()
	one, err := fillFor(b.ctx, "sqlite:"+many, 10000, project.String())
	if err != nil {
		return err
	}
	if _, err := fillFor(b.ctx, "sqlite:"+thousand, 1000, project.String()); err != nil {
		return err
	}
	path, all := "/compute/"+one.String(), "/compute/?number=1000"
	if err := b.loggedIn(many, project, func(l login) []target {
		return []target{
			{name: "GET one of 10,000, with Basic", path: path, accept: "text/plain", least: 0.8, login: l.basic},
			{name: "GET one of 10,000, with a token", path: path, accept: "text/plain", least: 0.8, login: l.token},
			{name: "GET one of 10,000, with OpenID", path: path, accept: "text/plain", least: 0.8, login: l.openID},
			{name: "GET one of 10,000, with a session", path: path, accept: "text/plain", least: 0.8, login: l.session},
		}
	}); err != nil {
		return err
	}
	counted := func(l login) []target {
		return []target{{name: "GET one of 10,000, with a token and a limit of requests", path: path, accept: "text/plain", least: 0.8, login: l.token}}
	}
	if err := b.loggedIn(many, project, counted, "--user-quota", "requests=1000000"); err != nil {
		return err
	}
	return b.loggedIn(thousand, project, func(l login) []target {
		return []target{
			{name: "GET 1,000, with Basic", path: all, accept: "application/occi+json", least: 0.91, login: l.basic},
			{name: "GET 1,000, with a token", path: all, accept: "application/occi+json", least: 0.91, login: l.token},
			{name: "GET 1,000, with OpenID", path: all, accept: "application/occi+json", least: 0.91, login: l.openID},
		}
	})
}

// login has the header fields of one member, by each way to log in.
type login struct{ basic, token, openID, session string }

// loud ends the figures with what fails about a provider.
type loud struct{}

func (loud) Helper()                   {}
func (loud) Fatal(args ...any)         { panic(fmt.Sprint(args...)) }
func (loud) Fatalf(f string, a ...any) { panic(fmt.Sprintf(f, a...)) }

// loggedIn compares targets at two servers with one content, of which that where people log
// in has more options.
func (b *bench) loggedIn(content string, project uuid.UUID, targets func(login) []target, more ...string) error {
	file, copied := content+".guarded", content+".open"
	text, err := os.ReadFile(content)
	if err != nil {
		return err
	}
	if err := errors.Join(os.WriteFile(file, text, 0o600), os.WriteFile(copied, text, 0o600)); err != nil {
		return err
	}
	open, err := b.occid("sqlite:" + copied)
	if err != nil {
		return err
	}
	defer open.stop()
	data, err := os.MkdirTemp(b.dir, "data-")
	if err != nil {
		return err
	}
	secret := filepath.Join(data, "secret")
	if err := os.WriteFile(secret, []byte(benchSecret), 0o600); err != nil {
		return err
	}
	rules := filepath.Join(data, "rules")
	if err := os.WriteFile(rules, fmt.Appendf(nil, "[{mechanism: oidc, when: {sub: '.*'}, make: true, project: %s, role: member}]", project), 0o600); err != nil {
		return err
	}
	is, err := oidctest.Launch(loud{}, "127.0.0.1:0")
	if err != nil {
		return err
	}
	defer is.Stop()
	guarded, err := b.serve("sqlite:"+file, data, append([]string{"--admin-secret-file", secret, "--auth", "basic,token,oidc,session",
		"--oidc-issuer", is.Issuer, "--oidc-client", oidctest.Client, "--auth-rules", rules}, more...)...)
	if err != nil {
		return err
	}
	defer guarded.stop()
	l, err := b.member(guarded.url, project)
	if err != nil {
		return err
	}
	l.openID = "Authorization: Bearer " + is.Token(map[string]any{"groups": []string{"bench", "and", "others"}, "email": "member@example.org"})
	for _, t := range targets(l) {
		mine, best, err := b.compare(t, guarded, open)
		if err != nil {
			return err
		}
		b.ratio(t.name, describe(mine), describe(best), mine.rate, best.rate, t.least)
	}
	return nil
}

// member makes a project and a member, and gives how the member logs in.
func (b *bench) member(url string, project uuid.UUID) (l login, err error) {
	send := func(login, method, path, body string) (*http.Response, error) {
		req, err := http.NewRequestWithContext(b.ctx, method, url+path, strings.NewReader(body))
		if err != nil {
			return nil, err
		}
		req.Header.Set("Content-Type", "application/json")
		req.SetBasicAuth(login, benchSecret)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return nil, err
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusCreated {
			return nil, fmt.Errorf("%s %s: %s", method, path, resp.Status)
		}
		return resp, nil
	}
	if _, err := send("admin", http.MethodPut, "/project/"+project.String(), `{"title":"bench"}`); err != nil {
		return l, err
	}
	user := fmt.Sprintf(`{"name":"member","secret":%q,"links":[{"type":"membership","target":"/project/%s","role":"member"}]}`, benchSecret, project)
	if _, err := send("admin", http.MethodPost, "/user/", user); err != nil {
		return l, err
	}
	token, err := send("member", http.MethodPost, "/token/", `{"title":"bench"}`)
	if err != nil {
		return l, err
	}
	session, err := send("member", http.MethodPost, "/session/", `{"title":"bench"}`)
	if err != nil {
		return l, err
	}
	cookies := session.Cookies()
	if len(cookies) != 1 {
		return l, fmt.Errorf("a session has %d cookies", len(cookies))
	}
	basic := &http.Request{Header: http.Header{}}
	basic.SetBasicAuth("member", benchSecret)
	return login{basic: "Authorization: " + basic.Header.Get("Authorization"), token: "Authorization: Bearer " + token.Header.Get("X-Auth-Token"),
		session: "Cookie: " + cookies[0].Name + "=" + cookies[0].Value}, nil
}
