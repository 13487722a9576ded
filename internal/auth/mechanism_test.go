package auth_test

import (
	"context"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/occid/occid/internal/auth"
)

// nothing is a prover that knows nobody.
type nothing struct{}

func (nothing) Challenges() []string { return []string{"One", "Two"} }
func (nothing) Read(*http.Request, auth.From) (auth.Credential, bool) {
	return auth.Credential{}, false
}
func (nothing) Prove(context.Context, auth.Credential) (*auth.Proof, error) {
	return nil, auth.Unknown()
}

func TestMechanisms(t *testing.T) {
	t.Parallel()
	one := map[string]auth.Prover{"external": nothing{}}
	for _, x := range []struct {
		names   []string
		provers map[string]auth.Prover
		want    string // of the error
	}{
		{nil, nil, "no mechanism is on"}, {[]string{"kerberos"}, nil, `no mechanism "kerberos"`}, {[]string{"basic", "basic"}, nil, "named twice"}, {[]string{""}, nil, "no mechanism"},
		{[]string{"basic", "oidc"}, nil, "not configured"}, {[]string{"basic"}, one, "not on"}, {[]string{"session"}, nil, "another mechanism"},
		{[]string{"external"}, one, ""}, {[]string{"session", "basic"}, nil, ""},
	} {
		if _, err := auth.New(auth.Config{Mechanisms: x.names, Provers: x.provers}); (err == nil) != (x.want == "") || err != nil && !strings.Contains(err.Error(), x.want) {
			t.Errorf("%v: %v, want %q", x.names, err, x.want)
		}
	}
	a, err := auth.New(auth.Config{Mechanisms: []string{"token", "external", "basic"}, Provers: one})
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]string{`Bearer realm="occid"`, "One", "Two", `Basic realm="occid", charset="UTF-8"`}, a.Challenges()); d != "" {
		t.Error(d)
	}
}
