package auth_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/occid/occid/internal/auth"
)

func mapping(t *testing.T, text string) (*auth.Mapping, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "rules.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return auth.ReadMapping(path)
}

func TestMapping(t *testing.T) {
	t.Parallel()
	m, err := mapping(t, `
# whose addresses are the company's are users by their names
- {mechanism: oidc, when: {email: '(?P<login>[a-z]+)@example\.org', email_verified: 'true'}, login: '${login}', make: true}
- {mechanism: oidc, when: {groups: 'lab-(?P<lab>\w+)-(?P<role>\w+)', site: '(?P<site>.*)'}, project: '${site} ${lab}', role: '${role}'}
- {mechanism: cert, when: {fqan: '/atlas/Role=production'}, project: atlas}
- {when: {admin: 'yes'}, administrator: true}
`)
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range []struct {
		name, mechanism string
		attributes      map[string][]string
		want            auth.Admission
	}{
		{"nothing", "oidc", nil, auth.Admission{Login: "l"}},
		{"a user", "oidc", map[string][]string{"email": {"ann@example.org"}, "email_verified": {"true"}}, auth.Admission{Login: "ann", Make: true}},
		{"one condition of two", "oidc", map[string][]string{"email": {"ann@example.org"}, "email_verified": {"false"}}, auth.Admission{Login: "l"}},
		{"more than the pattern", "oidc", map[string][]string{"email": {"ann@example.org.evil", "x ann@example.org", "ann@example.org\n", "ANN@example.org"}, "email_verified": {"true"}}, auth.Admission{Login: "l"}},
		{"roles", "oidc", map[string][]string{"groups": {"lab-x-member", "lab-y-reader", "lab-z-administrator", "lab-z-king", "lab-x-member"}, "site": {"north"}},
			auth.Admission{Login: "l", Grants: []auth.Grant{{Project: "north x", Role: "member"}, {Project: "north y", Role: "reader"}}}},
		{"another mechanism's", "external", map[string][]string{"fqan": {"/atlas/Role=production"}}, auth.Admission{Login: "l"}},
		{"its own", "cert", map[string][]string{"fqan": {"/atlas", "/atlas/Role=production"}}, auth.Admission{Login: "l", Grants: []auth.Grant{{Project: "atlas", Role: "member"}}}},
		{"any mechanism's", "cert", map[string][]string{"admin": {"no", "yes"}}, auth.Admission{Login: "l", Administrator: true}},
	} {
		got := m.Admission(x.mechanism, &auth.Proof{Subjects: []string{"s"}, Login: "l", Attributes: x.attributes})
		x.want.Mechanism, x.want.Subjects = x.mechanism, []string{"s"}
		if d := cmp.Diff(x.want, got); d != "" {
			t.Errorf("%s: %s", x.name, d)
		}
	}
	long := make([]string, 1000)
	for i := range long {
		long[i] = "lab-" + strings.Repeat("x", i) + "-member"
	}
	if got := m.Admission("oidc", &auth.Proof{Attributes: map[string][]string{"groups": long, "site": long}}); len(got.Grants) > 256 {
		t.Errorf("one rule gives %d roles", len(got.Grants))
	}
}

func TestBadMappings(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		`{}`: "cannot unmarshal", `[{mechanism: basic, make: true}]`: "no mechanism", `[{make: true, sudo: true}]`: "sudo", `[{}]`: "gives nothing",
		`[{administrator: true}]`: "needs a condition", `[{project: x}]`: "needs a condition", `[{join: true}]`: "needs a condition",
		`[{when: {a: b}, project: x, role: king}]`: "no role", `[{when: {a: b}, project: x, role: administrator}]`: "no role", `[{when: {a: b}, role: member}]`: "needs a project",
		`[{when: {a: '('}, make: true}]`: "missing closing", `[{when: {a: b}, project: '${x}'}]`: "has a group x", `[{when: {a: '(?P<x>.)', b: '(?P<x>.)'}, project: '${x}'}]`: "two groups",
	} {
		if _, err := mapping(t, text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
	if _, err := mapping(t, ""); err != nil {
		t.Errorf("no rules: %v", err)
	}
}
