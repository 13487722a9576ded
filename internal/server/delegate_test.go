package server_test

import (
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/occid/occid/internal/auth"
	"github.com/occid/occid/internal/dbtest"
	"github.com/occid/occid/internal/delegate"
)

// asking is a program that answers for a ticket by the file of its name in a folder: what
// is in it, and its status.
type asking struct {
	t    testing.TB
	dir  string
	with auth.Prover
}

func newAsking(t testing.TB, schemes ...string) *asking {
	t.Helper()
	a := &asking{t: t, dir: t.TempDir()}
	text := "#!/bin/sh\nread -r q; echo >>" + a.dir + "/runs\nk=${q#*'\"credentials\":\"'}; k=${k%%'\"'*}\n[ -f " + a.dir + "/$k ] || exit 1\n. " + a.dir + "/$k\n"
	path := filepath.Join(t.TempDir(), "program")
	if err := os.WriteFile(path, []byte(text), 0o700); err != nil {
		t.Fatal(err)
	}
	var err error
	if a.with, err = delegate.New(delegate.Config{Path: path, Schemes: schemes, Time: 20 * time.Second, Most: 4, Logger: slog.New(slog.DiscardHandler)}); err != nil {
		t.Fatal(err)
	}
	return a
}

// says has the program answer for a ticket.
func (a *asking) says(ticket, answer string) {
	a.t.Helper()
	if err := os.WriteFile(filepath.Join(a.dir, ticket), []byte("echo '"+answer+"'"), 0o600); err != nil {
		a.t.Fatal(err)
	}
}

func (a *asking) runs() int {
	b, _ := os.ReadFile(filepath.Join(a.dir, "runs"))
	return strings.Count(string(b), "\n")
}

// rulesOf reads rules of a text.
func rulesOf(t testing.TB, text string) *auth.Mapping {
	t.Helper()
	path := filepath.Join(t.TempDir(), "rules.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	m, err := auth.ReadMapping(path)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// TestDelegated: the users of a program that the operator believes.
func TestDelegated(t *testing.T) {
	t.Parallel()
	for _, dsn := range []string{dbtest.SQLite(t), emptyPostgres(t)} {
		a := newAsking(t, "Ticket")
		c := newGuardedBy(t, dsn, func(g *auth.Config) {
			g.Mechanisms = append(g.Mechanisms, "external")
			g.Provers = map[string]auth.Prover{"external": a.with}
			g.Mapping = rulesOf(t, `
- {mechanism: external, when: {group: staff}, make: true}
- {mechanism: external, when: {group: 'lab-(?P<name>\w+)'}, project: '${name}', role: reader}
- {mechanism: external, when: {group: ops}, administrator: true, make: true, login: operator}
- {mechanism: external, when: {group: local}, join: true}
`)
		})
		admin := c.admin()
		lab := admin.made("/project/", `{"title":"lab"}`)
		other := admin.made("/project/", `{"title":"other"}`)
		ticket := func(name string) string { return "Authorization: Ticket " + name }
		if got := c.do("GET", "/", "").want(t, 401).Header.Values("WWW-Authenticate"); got[len(got)-1] != `Ticket realm="occid"` {
			t.Errorf("%q", got)
		}
		c.do("GET", "/", "", ticket("unknown")).want(t, 401)

		// Nobody is let in who may not be made; then ann is, with what is granted.
		a.says("one", `{"user":"ann","title":"Ann","cache":60}`)
		c.do("GET", "/", "", ticket("one")).want(t, 403, "no user here")
		a.says("two", `{"user":"ann","title":"Ann","projects":["`+strings.TrimPrefix(lab, "/project/")+`"],"roles":["member"],"cache":60,"attributes":{"group":["staff","lab-other","lab-nowhere"]}}`)
		before := a.runs()
		vm := strings.TrimPrefix(c.do("POST", "/compute/", `{"title":"a"}`, inJSON, ticket("two"), "X-Project: lab").want(t, 201).Header.Get("Location"), c.url)
		for range 5 {
			c.do("GET", vm, "", ticket("two"), "X-Project: lab").want(t, 200)
		}
		if n := a.runs() - before; n != 1 {
			t.Errorf("the program ran %d times for what it lets count", n)
		}
		c.do("GET", vm, "", ticket("two"), "X-Project: other").want(t, 404)
		c.do("GET", "/identity/.json", "", ticket("two")).want(t, 200, `"subject":"ann"`, `"mechanism":"external"`)
		c.do("GET", "/membership/.json", "", ticket("two")).want(t, 200, `"by":"external"`, lab, other)
		c.do("POST", "/identity/", `{"mechanism":"oidc","subject":"x","user":"`+lab+`"}`, inJSON, ticket("two")).want(t, 403)
		session := c.do("POST", "/session/", `{"title":"s"}`, inJSON, ticket("two")).want(t, 201).Cookies()[0]

		// What is granted no more is gone, what an administrator gave stays.
		user := strings.TrimPrefix(strings.TrimSpace(admin.do("GET", "/user/.uri?name=ann", "").text), c.url)
		admin.made("/membership/", `{"source":"`+user+`","target":"`+other+`","role":"manager"}`)
		a.says("three", `{"user":"ann","cache":60}`)
		c.do("GET", vm, "", ticket("three")).want(t, 404)
		text := c.do("GET", "/membership/.json", "", ticket("three")).want(t, 200, `"manager"`, other).text
		if strings.Contains(text, lab) || strings.Contains(text, "external") {
			t.Errorf("roles that were taken back: %s", text)
		}
		c.do("GET", vm, "", "Cookie: occid="+session.Value, "X-Project: lab").want(t, 403)

		// Nobody becomes who has a login by a name alone, nor an administrator.
		a.says("four", `{"user":"admin","cache":60,"attributes":{"group":["staff"]}}`)
		c.do("GET", "/-/permissions.json", "", ticket("four")).want(t, 200, `"user":"admin-`, `"roles":["none"]`)
		c.do("POST", "/project/", `{"title":"x"}`, inJSON, ticket("four")).want(t, 403)
		admin.user("carl", lab, "reader")
		a.says("five", `{"user":"carl","attributes":{"group":["local"]}}`)
		c.do("GET", "/-/permissions.json", "", ticket("five")).want(t, 200, `"user":"carl"`, `"roles":["reader"]`)
		bob := admin.made("/user/", `{"name":"bob","links":[{"type":"membership","target":"`+lab+`","role":"reader"}]}`)
		admin.made("/identity/", `{"mechanism":"external","subject":"robert","user":"`+bob+`"}`)
		admin.do("POST", "/identity/", `{"mechanism":"external","subject":"robert","user":"`+user+`"}`, inJSON).want(t, 409, "user's already")
		admin.do("POST", "/identity/", `{"mechanism":"external","subject":"r","user":"`+strings.TrimPrefix(lab, "/project/")+`"}`, inJSON).want(t, 400, "no such user")
		a.says("six", `{"user":"robert","title":"x","cache":60}`)
		c.do("GET", vm, "", ticket("six")).want(t, 200)

		// Administrators are so as long as the rules say.
		a.says("seven", `{"user":"root","attributes":{"group":["ops"]}}`)
		c.do("POST", "/project/", `{"title":"y"}`, inJSON, ticket("seven")).want(t, 201)
		c.do("GET", "/-/permissions.json", "", ticket("seven")).want(t, 200, `"user":"operator"`, "administrator")
		a.says("seven", `{"user":"root"}`)
		c.do("GET", "/-/permissions.json", "", ticket("seven")).want(t, 200, `"user":"operator"`, `"roles":["none"]`)

		admin.do("POST", bob, `{"disabled":true}`, inJSON).want(t, 200)
		c.do("GET", vm, "", ticket("six")).want(t, 401)
		admin.do("POST", bob, `{"disabled":false}`, inJSON).want(t, 200)
		c.do("GET", vm, "", ticket("six")).want(t, 200)
		admin.do("DELETE", bob, "").want(t, 200)
		c.do("GET", vm, "", ticket("six")).want(t, 401)
		c.do("GET", vm, "", ticket("six")).want(t, 403, "no user here")
		if text := admin.do("GET", "/identity/.json", "").text; strings.Contains(text, "robert") {
			t.Errorf("%s outlives the user", text)
		}
		if err := os.WriteFile(filepath.Join(a.dir, "eight"), []byte("exit 3"), 0o600); err != nil {
			t.Fatal(err)
		}
		for range 20 {
			c.do("GET", "/", "", ticket("eight")).want(t, 503, "cannot be told now")
		}
		admin.do("GET", "/", "").want(t, 200)
	}
}

// TestGuessingDelegated: who guesses secrets that only a program knows is slowed like others,
// and harms nobody else.
func TestGuessingDelegated(t *testing.T) {
	t.Parallel()
	a := newAsking(t, "Ticket", "Basic")
	c := newGuardedBy(t, dbtest.SQLite(t), func(g *auth.Config) {
		g.Mechanisms = []string{"external", "token"}
		g.Provers = map[string]auth.Prover{"external": a.with}
		g.Mapping = rulesOf(t, `[{mechanism: external, make: true}]`)
	})
	a.says("good", `{"user":"ann","cache":60}`)
	ann := strings.TrimPrefix(basic("ann", "right"), "Authorization: Basic ")
	bob := strings.TrimPrefix(basic("bob", "right"), "Authorization: Basic ")
	a.says(ann, `{"user":"ann"}`)
	a.says(bob, `{"user":"bob"}`)
	c.do("GET", "/", "", "Authorization: Ticket good").want(t, 200)
	locked := 0
	for i := range 10 {
		if c.do("GET", "/", "", basic("ann", strconv.Itoa(i))).StatusCode == 429 {
			locked++
		}
	}
	if runs := a.runs(); locked < 4 || runs > 7 {
		t.Errorf("of 10 guesses %d were refused, and the program ran %d times", locked, runs)
	}
	c.do("GET", "/", "", basic("ann", "right")).want(t, 429)
	c.do("GET", "/", "", basic("bob", "right")).want(t, 200)
	for i := range 40 {
		c.do("GET", "/", "", "Authorization: Ticket guess"+strconv.Itoa(i))
	}
	c.do("GET", "/", "", "Authorization: Ticket guess").want(t, 429)
	// Who is known goes on.
	c.do("GET", "/", "", "Authorization: Ticket good").want(t, 200)
}
