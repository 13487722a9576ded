package auth_test

import (
	"testing"

	"github.com/google/uuid"

	"github.com/occid/occid/internal/auth"
	"github.com/occid/occid/internal/policy"
	"github.com/occid/occid/occi"
	"github.com/occid/occid/spec"
)

func judged(t testing.TB, c auth.Caller, texts ...string) (auth.Caller, *auth.Policies) {
	t.Helper()
	m, err := spec.Builtin()
	if err != nil {
		t.Fatal(err)
	}
	var sources []policy.Source
	for _, text := range texts {
		sources = append(sources, policy.Source{Name: "test.cedar", Text: []byte(text)})
	}
	p, err := auth.NewPolicies(m, sources...)
	if err != nil {
		t.Fatal(err)
	}
	return p.For(c), p
}

// vm is a compute of a project.
func vm(project string) *occi.Entity {
	return &occi.Entity{ID: uuid.New(), Kind: "http://schemas.ogf.org/occi/infrastructure#compute", Project: project}
}

// TestDecisionsCostLittle: what a GET asks of the policies takes no memory once it was
// asked before.
func TestDecisionsCostLittle(t *testing.T) {
	c, _ := judged(t, auth.Caller{Name: uuid.NewString(), Login: "ann", Project: "mine", Roles: auth.Member},
		`forbid (principal, action == Action::"read", resource is Compute) when { resource has title && resource.title like "secret*" };`)
	x := vm("mine")
	x.Title = "web"
	c.May(x, policy.Read)
	if n := testing.AllocsPerRun(1000, func() { c.Sees(x) }); n != 0 {
		t.Errorf("a decision takes memory %g times", n)
	}
	c.Scope(policy.Read, nil)
}

// TestUnjudgedCallersMayNothing: who was not judged by policies is refused everything, the
// server itself nothing.
func TestUnjudgedCallersMayNothing(t *testing.T) {
	t.Parallel()
	unjudged := auth.Caller{Name: "ann", Project: "mine", Roles: auth.Administrator}
	x := vm("mine")
	if unjudged.May(x, policy.Read) != auth.Hidden || unjudged.Could("", policy.Create) || unjudged.Free() || !unjudged.Scope(policy.Read, nil).None || unjudged.Judged() {
		t.Error("who was not judged may do something")
	}
	var server auth.Caller
	if server.May(x, policy.Delete) != auth.Allowed || !server.Free() || server.Scope(policy.Read, nil).Where != nil {
		t.Error("the server is refused something")
	}
}

// TestNotes: a refusal counts more than what was permitted before it.
func TestNotes(t *testing.T) {
	t.Parallel()
	c, p := judged(t, auth.Caller{Name: uuid.NewString(), Login: "ann", Project: "mine", Roles: auth.Reader}, `@id("frozen") forbid (principal, action == Action::"update", resource);`)
	var n auth.Note
	c.Note = &n
	if c.Asks(vm("mine"), policy.Read) != auth.Allowed || n.Policy != "project-read" {
		t.Errorf("reading is decided by %q", n.Policy)
	}
	if c.Asks(vm("mine"), policy.Update) != auth.Forbidden || n.Policy != "frozen" {
		t.Errorf("changing is decided by %q", n.Policy)
	}
	if c.Asks(vm("mine"), policy.Read); n.Policy != "frozen" {
		t.Errorf("what follows is decided by %q", n.Policy)
	}
	n = auth.Note{}
	if c.Asks(vm("other"), policy.Read) != auth.Hidden || n.Policy != "none" {
		t.Errorf("what nothing permits is refused by %q", n.Policy)
	}
	m, err := spec.Builtin()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Replace(m, policy.Source{Name: "bad.cedar", Text: []byte("permit")}); err == nil {
		t.Error("policies that are wrong are in force")
	}
	if again := p.For(auth.Caller{Name: c.Name, Login: "ann", Project: "mine", Roles: auth.Reader}); again.May(vm("mine"), policy.Update) != auth.Forbidden {
		t.Error("policies that are wrong take others away")
	}
}

// BenchmarkSees is what a GET asks of the policies.
func BenchmarkSees(b *testing.B) {
	c, _ := judged(b, auth.Caller{Name: uuid.NewString(), Login: "ann", Project: "mine", Roles: auth.Member})
	x := vm("mine")
	for b.Loop() {
		if !c.Sees(x) {
			b.Fatal("it is not seen")
		}
	}
}
