package server_test

import (
	"log/slog"
	"net/http"
	"testing"
	"time"

	"github.com/occid/occid/internal/auth"
	"github.com/occid/occid/internal/dbtest"
	"github.com/occid/occid/internal/oidc"
	"github.com/occid/occid/internal/oidctest"
)

// BenchmarkAuthenticate measures who is known already, by each way to log in.
func BenchmarkAuthenticate(b *testing.B) {
	is := oidctest.Start(b, "127.0.0.1:0")
	c := newGuardedBy(b, dbtest.SQLite(b), func(g *auth.Config) {
		p, err := oidc.New(oidc.Config{Issuer: is.Issuer, Client: oidctest.Client, Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			b.Fatal(err)
		}
		g.Mechanisms = []string{"basic", "token", "oidc", "session"}
		g.Provers = map[string]auth.Prover{"oidc": p}
		g.Mapping = rulesOf(b, `[{mechanism: oidc, make: true}]`)
	})
	now := time.Now()
	c.still.Store(&now)
	admin := c.admin()
	cookie, _ := admin.session()
	for name, line := range map[string]string{"basic": basic("admin", adminSecret), "session": cookie,
		"token":  "Authorization: Bearer " + admin.do("POST", "/token/", `{"title":"t"}`, inJSON).want(b, 201).Header.Get("X-Auth-Token"),
		"openid": "Authorization: Bearer " + is.Token(map[string]any{"groups": []string{"bench", "and", "others"}, "email": "member@example.org"})} {
		b.Run(name, func(b *testing.B) {
			r := (&http.Request{Header: fields([]string{line})}).WithContext(b.Context())
			for b.Loop() {
				if _, err := c.auth.Authenticate(r, auth.From{Address: "192.0.2.1:1"}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
