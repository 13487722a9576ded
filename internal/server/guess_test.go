package server_test

import (
	"log/slog"
	"net/http/httptest"
	"net/netip"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/occid/occid/internal/auth"
	"github.com/occid/occid/internal/dbtest"
	"github.com/occid/occid/internal/server"
)

// TestGuessingEverywhere guesses by each way to log in that has something to guess, from one
// address, and looks who else notices.
func TestGuessingEverywhere(t *testing.T) {
	t.Parallel()
	a := newAsking(t, "Ticket")
	c := newGuardedBy(t, dbtest.SQLite(t), func(g *auth.Config) {
		g.Mechanisms = append(g.Mechanisms, "external")
		g.Provers = map[string]auth.Prover{"external": a.with}
		g.Mapping = rulesOf(t, `[{mechanism: external, make: true}]`)
	})
	now := time.Now()
	c.still.Store(&now)
	a.says("good", `{"user":"tim"}`)
	admin := c.admin()
	lab := admin.made("/project/", `{"title":"lab"}`)
	ann := admin.user("ann", lab, "member")
	admin.user("bob", lab, "member")
	token := "X-Auth-Token: " + ann.do("POST", "/token/", `{"title":"t"}`, inJSON).want(t, 201).Header.Get("X-Auth-Token")
	cookie, _ := ann.session()
	s := server.New(server.Config{Engine: c.engine, Version: "test", Auth: c.auth, Proxies: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}, Logger: slog.New(slog.DiscardHandler)})
	ask := func(from, path string, header ...string) int {
		r := httptest.NewRequest("GET", path, nil)
		for k, v := range fields(header) {
			r.Header[k] = v
		}
		r.RemoteAddr = "192.0.2.1:1"
		r.Header.Set("X-Forwarded-For", from)
		w := httptest.NewRecorder()
		s.ServeHTTP(w, r)
		return w.Code
	}
	for i, x := range []struct {
		name        string
		guess       func(i int) []string
		right       []string // of whom is guessed
		path        string
		status      int
		account     bool // its secret is guessed, not just anybody's
		free        int
		other, away []string // what another one from the same address, and who is elsewhere, present
	}{
		{"cookies", func(i int) []string { return []string{"Cookie: occid=guess" + strconv.Itoa(i)} }, []string{cookie}, "/", 200, false, 17, nil, []string{cookie}},
		{"Basic", func(i int) []string { return []string{basic("ann", "guess "+strconv.Itoa(i))} }, ann.header, "/", 200, true, 5, []string{basic("bob", "secret of bob")}, ann.header},
		{"the exchange", func(i int) []string { return []string{"X-Auth-User: ann", "X-Auth-Key: guess " + strconv.Itoa(i)} }, []string{"X-Auth-User: ann", "X-Auth-Key: secret of ann"}, "/v1.0", 204, true, 5,
			[]string{"X-Auth-User: bob", "X-Auth-Key: secret of bob"}, []string{"X-Auth-User: ann", "X-Auth-Key: secret of ann"}},
		{"logins that are not", func(i int) []string { return []string{basic("nobody"+strconv.Itoa(i), "guess")} }, []string{basic("bob", "secret of bob")}, "/", 200, false, 17, nil, []string{basic("bob", "secret of bob")}},
		{"tokens", func(i int) []string { return []string{"X-Auth-Token: occid_guess" + strconv.Itoa(i)} }, []string{token}, "/", 200, false, 17, nil, []string{token}},
		{"bearers", func(i int) []string { return []string{"Authorization: Bearer occid_guess" + strconv.Itoa(i)} }, []string{strings.Replace(token, "X-Auth-Token: ", "Authorization: Bearer ", 1)}, "/", 200, false, 17, nil, []string{token}},
		{"a program's", func(i int) []string { return []string{"Authorization: Ticket guess" + strconv.Itoa(i)} }, []string{"Authorization: Ticket good"}, "/", 200, false, 17, nil, []string{"Authorization: Ticket good"}},
	} {
		// Nobody is known from before: that would not be asked again.
		now = now.Add(time.Hour)
		c.still.Store(&now)
		from := "203.0.113." + strconv.Itoa(i+1)
		tried := 0
		for tried < 40 && ask(from, x.path, x.guess(tried)...) == 401 {
			tried++
		}
		if tried != x.free {
			t.Errorf("%s: %d guesses are free, want %d", x.name, tried, x.free)
		}
		if got := ask(from, x.path, x.right...); got != 429 {
			t.Errorf("%s: what is right from the same address is %d", x.name, got)
		}
		if got := ask("198.51.100.9", x.path, x.away...); got != x.status {
			t.Errorf("%s: from elsewhere it is %d, want %d", x.name, got, x.status)
		}
		if x.other != nil {
			if got := ask(from, x.path, x.other...); got != x.status {
				t.Errorf("%s: another one from the same address gets %d, want %d", x.name, got, x.status)
			}
		}
		// It is locked longer each time, and not for ever.
		for wait := time.Second; wait < 15*time.Minute; wait *= 2 {
			now = now.Add(wait - time.Millisecond)
			c.still.Store(&now)
			if got := ask(from, x.path, x.guess(100)...); got != 429 {
				t.Fatalf("%s: %d just before %s are over", x.name, got, wait)
			}
			now = now.Add(time.Millisecond)
			c.still.Store(&now)
			if got := ask(from, x.path, x.guess(101)...); got != 401 {
				t.Fatalf("%s: %d once %s are over", x.name, got, wait)
			}
		}
		now = now.Add(time.Hour)
		c.still.Store(&now)
	}
}
