package policy_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/occid/occid/internal/policy"
	"github.com/occid/occid/occi"
	"github.com/occid/occid/spec"
)

const (
	infra   = "http://schemas.ogf.org/occi/infrastructure#"
	compute = infra + "compute"
	network = infra + "network"
	mine    = "aaaaaaaa-0000-4000-8000-000000000001"
	other   = "bbbbbbbb-0000-4000-8000-000000000002"
	ann     = "cccccccc-0000-4000-8000-000000000003"
)

func builtin(t testing.TB) *occi.Model {
	t.Helper()
	m, err := spec.Builtin()
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func loaded(t testing.TB, texts ...string) *policy.Policies {
	t.Helper()
	var sources []policy.Source
	for _, text := range texts {
		sources = append(sources, policy.Source{Name: "test.cedar", Text: []byte(text)})
	}
	p, err := policy.New(builtin(t), sources...)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func as(role string) policy.Principal {
	return policy.Principal{ID: ann, Login: "ann", Project: mine, Roles: role}
}

// TestDefaults is the table of roles: what each may do with a machine and a network of
// its project, of another, and what is shared, and with what says who may do what.
func TestDefaults(t *testing.T) {
	t.Parallel()
	p := loaded(t)
	vm := &occi.Entity{ID: uuid.New(), Kind: compute, Project: mine, Host: "one"}
	foreign := &occi.Entity{ID: uuid.New(), Kind: compute, Project: other}
	provider := &occi.Entity{ID: uuid.New(), Kind: compute}
	shared := &occi.Entity{ID: uuid.New(), Kind: network, Project: other, Mixins: []string{occi.SharedMixin}}
	lent := &occi.Entity{ID: uuid.New(), Kind: network, Project: mine, Mixins: []string{occi.SharedMixin}}
	me := &occi.Entity{ID: uuid.MustParse(ann), Kind: occi.UserKind, Project: ann}
	part := func(in string) *occi.Entity {
		return &occi.Entity{ID: uuid.New(), Kind: occi.MembershipKind, Project: other, Target: occi.Ref{ID: uuid.MustParse(in), Kind: occi.ProjectKind}}
	}
	colleague := &occi.Entity{ID: uuid.New(), Kind: occi.UserKind, Project: other, Links: []*occi.Entity{part(mine)}}
	project := &occi.Entity{ID: uuid.MustParse(mine), Kind: occi.ProjectKind, Project: mine}
	token := &occi.Entity{ID: uuid.New(), Kind: occi.TokenKind, Project: other}
	token.Attributes.Set("occid.token.project", occi.Str(mine))
	things := map[string]*occi.Entity{"own": vm, "foreign": foreign, "provider": provider, "shared": shared, "lent": lent, "me": me,
		"membership": part(mine), "elsewhere": part(other), "colleague": colleague, "project": project, "token": token}
	actions := []string{"read", "create", "update", "delete", "start", "migrate", "share"}
	all := strings.Join(actions, " ")
	for role, want := range map[string]map[string]string{
		"administrator": {"own": all, "foreign": all, "provider": all, "shared": all, "lent": all, "me": all, "membership": all, "elsewhere": all, "colleague": all, "project": all, "token": all},
		"manager": {"own": "read create update delete start share", "shared": "read", "lent": "read create update delete start share", "me": "read update",
			"membership": "read create update delete", "colleague": "read", "project": "read", "token": "read delete"},
		"member":   {"own": "read create update delete start", "shared": "read", "lent": "read create update delete start", "me": "read update", "project": "read"},
		"reader":   {"own": "read", "shared": "read", "lent": "read", "me": "read update", "project": "read"},
		"recovery": {"own": "read", "shared": "read", "lent": "read", "me": "read update", "project": "read"},
		"":         {"own": "read", "shared": "read", "lent": "read", "me": "read update", "project": "read"},
	} {
		r := p.For(as(role))
		for name, x := range things {
			var got []string
			for _, a := range actions {
				if ok, _ := r.Rule(a, x.Kind).Decide(x); ok {
					got = append(got, a)
				}
			}
			if strings.Join(got, " ") != want[name] {
				t.Errorf("%q may %q with what is %s, want %q", role, got, name, want[name])
			}
		}
	}
	at := as("recovery")
	at.Hosts = "one two"
	if ok, id := p.For(at).Rule("start", compute).Decide(vm); !ok || id != "recovery-start" {
		t.Errorf("at its host a recovery operator starts: %t by %q", ok, id)
	}
	at.Hosts = "two"
	if ok, _ := p.For(at).Rule("start", compute).Decide(vm); ok {
		t.Error("a recovery operator starts at another host")
	}
	nobody := p.For(policy.Principal{ID: ann})
	for name, x := range things {
		if ok, id := nobody.Rule("read", x.Kind).Decide(x); ok && name != "me" {
			t.Errorf("who has a part in no project reads what is %s by %s", name, id)
		}
	}
}

// TestScopes: with the program's own policies lists of a project are found by whose they
// are, without a look at each thing.
func TestScopes(t *testing.T) {
	t.Parallel()
	p := loaded(t)
	for _, role := range []string{"manager", "member", "reader", "recovery"} {
		for _, kinds := range [][]string{nil, {compute}, {network}} {
			if s := p.For(as(role)).Scope("read", kinds); s.Where != nil || strings.Join(s.Reach, " ") != mine+" *" {
				t.Errorf("%s reads %q of %q where %s", role, s.Reach, kinds, s.Where)
			}
		}
	}
	if s := p.For(as("administrator")).Scope("read", nil); s.Reach != nil || s.Where != nil || s.None {
		t.Errorf("an administrator reads %+v", s)
	}
	if s := p.For(as("member")).Scope("delete", []string{network}); strings.Join(s.Reach, " ") != mine+" *" && s.Where == nil {
		t.Errorf("a member deletes %+v", s)
	}
	limited := loaded(t, `@id("no-web") forbid (principal, action == Action::"read", resource is Compute) when { resource has title && resource.title like "web*" };`)
	if s := limited.For(as("member")).Scope("read", []string{compute}); s.Where == nil || len(s.Reach) != 2 {
		t.Errorf("with a policy of the operator a member reads %+v", s)
	}
	if s := limited.For(as("member")).Scope("read", []string{network}); s.Where != nil {
		t.Errorf("of what the policy is not about a member reads %+v", s)
	}
	for text, want := range map[string]bool{
		`forbid (principal, action, resource is Compute) when { action == Action::"read" };`:                                                   false,
		`forbid (principal, action, resource is Compute) when { action in Action::"act" };`:                                                    false,
		`forbid (principal, action == Action::"set", resource is Compute) when { context.attribute == "cores" };`:                              false,
		`forbid (principal, action, resource is Compute) when { action == Action::"read" } unless { principal in Role::"administrator" };`:     true,
		`forbid (principal, action == Action::"read", resource is Compute) when { action == Action::"update" };`:                               true,
		`forbid (principal, action == Action::"set", resource) unless { principal in Role::"administrator" || context.attribute == "cores" };`: true,
	} {
		if free, _ := loaded(t, text).For(as("administrator")).Everything(); free != want {
			t.Errorf("with %s an administrator may do everything: %t", text, free)
		}
	}
	if free, _ := limited.For(as("administrator")).Everything(); free {
		t.Error("administrators are bound by nothing that forbids")
	}
}

// TestAttributes: policies decide of attributes, too.
func TestAttributes(t *testing.T) {
	t.Parallel()
	p := loaded(t, `@id("quiet") forbid (principal, action in [Action::"show", Action::"set"], resource is Compute)
		when { ["userdata", "cores"].contains(context.attribute) } unless { principal in Role::"administrator" };`)
	member, admin := p.For(as("member")), p.For(as("administrator"))
	if len(member.Hidden(compute)) != 2 || len(admin.Hidden(compute)) != 0 || len(member.Hidden(network)) != 0 {
		t.Errorf("hidden are %q, of an administrator %q", member.Hidden(compute), admin.Hidden(compute))
	}
	vm := &occi.Entity{Kind: compute, Project: mine}
	if ok, id := member.Attribute(policy.Set, compute, "occi.compute.cores").Decide(vm); ok || id != "quiet" {
		t.Errorf("cores may be set: %t, %q", ok, id)
	}
	if ok, _ := member.Attribute(policy.Set, compute, "occi.compute.memory").Decide(vm); !ok {
		t.Error("memory may not be set")
	}
	self := &occi.Entity{Kind: occi.UserKind, Project: ann}
	for name, want := range map[string]bool{"occid.user.secret": true, "occid.user.administrator": false, occi.AttrTitle: false} {
		if ok, _ := p.For(as("member")).Attribute(policy.Set, occi.UserKind, name).Decide(self); ok != want {
			t.Errorf("users set their own %s: %t", name, ok)
		}
	}
}

// TestRefused: what is wrong is told with its file and line, and nothing of it is used.
func TestRefused(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ text, want string }{
		"syntax":             {"\n permit (principal", "test.cedar:2:"},
		"action":             {`permit (principal, action == Action::"fly", resource);`, `test.cedar:1: policy test.cedar:1: unrecognized action`},
		"kind":               {"\n\npermit (principal, action, resource is Rocket);", `test.cedar:3: policy test.cedar:3: unrecognized entity type`},
		"attribute":          {`@id("a") permit (principal, action, resource is Compute) when { resource.wings == "two" };`, "test.cedar:1: policy a: attribute `wings`"},
		"unguarded":          {`permit (principal, action, resource is Compute) when { resource.cores > 1 };`, "optional attribute `cores`"},
		"type":               {`permit (principal, action, resource is Compute) when { resource has cores && resource.cores > "one" };`, "expected Long"},
		"role":               {`permit (principal in Role::"king", action, resource);`, `no role "king"`},
		"role in condition":  {`permit (principal, action, resource) when { principal in Role::"king" };`, `no role "king"`},
		"attribute asked of": {`forbid (principal, action == Action::"set", resource) when { context.attribute == "coers" };`, `attribute "coers"`},
		"pattern":            {`forbid (principal, action, resource is Compute) when { resource has title && resource.title like "*web" };`, "cannot be made a selection"},
		"pattern, short":     {`forbid (principal, action, resource is Compute) when { principal.login == "x" && resource has title && resource.title like "*web" };`, "cannot be made a selection"},
		"arithmetic":         {`forbid (principal, action, resource is Compute) when { resource has cores && resource.cores * 2 > 4 };`, "cannot be made a selection"},
		"two attributes":     {`forbid (principal, action, resource is Compute) when { resource has title && resource has hostname && resource.title == resource.hostname };`, "cannot be made a selection"},
		"set":                {`forbid (principal, action, resource is Compute) when { ["x"].containsAll(resource.mixins) };`, "cannot be made a selection"},
		"shown by content":   {`forbid (principal, action == Action::"show", resource is Compute) when { resource.host == "one" };`, "whether an attribute is shown"},
		"twice":              {`@id("a") permit (principal, action, resource is Compute); @id("a") permit (principal, action, resource is Network);`, "policy a is already at test.cedar:1"},
		"overflow":           {`permit (principal, action, resource is Compute) when { 9223372036854775807 + 1 == 2 };`, "overflow"},
	} {
		_, err := policy.New(builtin(t), policy.Source{Name: "test.cedar", Text: []byte(c.text)})
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}

// TestReplaced: a policy of the operator takes the place of the program's of that name.
func TestReplaced(t *testing.T) {
	t.Parallel()
	p := loaded(t, `@id("manager-share") permit (principal in Role::"administrator", action == Action::"share", resource);`)
	x := &occi.Entity{Kind: network, Project: mine}
	if ok, _ := p.For(as("manager")).Rule(policy.Share, network).Decide(x); ok {
		t.Error("managers share still")
	}
}

func TestFiles(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for name, text := range map[string]string{"b.cedar": `@id("b") permit (principal, action, resource is Network);`, "a.cedar": `@id("a") permit (principal, action, resource is Network);`, "note.txt": "none"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	all, err := policy.Files(dir)
	if err != nil || len(all) != 2 || filepath.Base(all[0].Name) != "a.cedar" {
		t.Errorf("%d files, %v", len(all), err)
	}
	if _, err := policy.Files(filepath.Join(dir, "none")); err == nil {
		t.Error("a directory that does not exist has files")
	}
}

// TestSchema: the schema can be read by whoever reads Cedar's, and has what the registry has.
func TestSchema(t *testing.T) {
	t.Parallel()
	text, err := policy.Schema(builtin(t))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"cores?: Long", "memory?: decimal", "entity Caller in Role", "action start in act", `"recovery"`, "restart_elsewhere?: Bool"} {
		if !strings.Contains(string(text), want) {
			t.Errorf("the schema lacks %q", want)
		}
	}
	if strings.Contains(string(text), "secret?") {
		t.Error("policies can compare secrets")
	}
}
