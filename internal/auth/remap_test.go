package auth_test

import (
	"context"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/occid/occid/internal/auth"
	"github.com/occid/occid/occi"
)

// known is a prover that knows one, whose proof counts for an hour.
type known struct{}

func (known) Challenges() []string { return []string{"Known"} }
func (known) Read(*http.Request, auth.From) (auth.Credential, bool) {
	return auth.Credential{Key: "it"}, true
}
func (known) Prove(context.Context, auth.Credential) (*auth.Proof, error) {
	return &auth.Proof{Subjects: []string{"ann"}, Attributes: map[string][]string{"group": {"a"}}, Login: "ann", Until: time.Now().Add(time.Hour)}, nil
}

func rules(t *testing.T, text string) *auth.Mapping {
	t.Helper()
	m, err := mapping(t, text)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// TestRulesReplacedDuringALogin has somebody admitted by rules while others come into
// force: these count from then on.
func TestRulesReplacedDuringALogin(t *testing.T) {
	t.Parallel()
	m, err := occi.NewModel("", []*occi.Kind{{Category: occi.Category{Scheme: occi.CoreScheme, Term: "entity"}}}, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	var granted atomic.Int64
	entered, release := make(chan struct{}), make(chan struct{})
	a, err := auth.New(auth.Config{Mechanisms: []string{"external"}, Provers: map[string]auth.Prover{"external": known{}},
		Accounts: &accounts{hashes: map[string]string{auth.UserName("ann"): ""}}, Model: func() *occi.Model { return m },
		Mapping: rules(t, `[{when: {group: a}, project: lab, role: reader}]`),
		Admit: func(_ context.Context, a auth.Admission) (string, error) {
			if len(a.Grants) > 0 {
				close(entered)
				<-release
			}
			granted.Store(int64(len(a.Grants)))
			return auth.UserName("ann"), nil
		}})
	if err != nil {
		t.Fatal(err)
	}
	login := func() {
		r := (&http.Request{Header: http.Header{}}).WithContext(t.Context())
		if _, err := a.Authenticate(r, auth.From{Address: "198.51.100.7:1"}); err != nil {
			t.Error(err)
		}
	}
	first, replaced := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(first)
		login()
	}()
	<-entered
	none := rules(t, `[{when: {group: a}, make: true}]`)
	go func() {
		defer close(replaced)
		a.Remap(none)
	}()
	close(release)
	<-first
	<-replaced
	login()
	if n := granted.Load(); n != 0 {
		t.Errorf("%d roles are granted by rules that hold no more", n)
	}
}
