package policy_test

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cedar-policy/cedar-go"
	"github.com/cedar-policy/cedar-go/types"
	"github.com/google/uuid"
	"pgregory.net/rapid"

	"github.com/occid/occid/internal/dbtest"
	"github.com/occid/occid/internal/pgtest"
	"github.com/occid/occid/internal/policy"
	"github.com/occid/occid/occi"
	"github.com/occid/occid/store"
)

const storage = infra + "storage"

// typeNames are the types of the kinds that the random things are of.
var typeNames = map[string]string{compute: "Compute", network: "Network", storage: "Storage", occi.UserKind: "User", occi.MembershipKind: "Membership", occi.ProjectKind: "Project"}

// typed are attributes that the random things have, by type.
var typed = map[string][]struct{ short, name, is string }{
	compute: {{"cores", "occi.compute.cores", "Long"}, {"memory", "occi.compute.memory", "decimal"}, {"title", occi.AttrTitle, "String"},
		{"hostname", "occi.compute.hostname", "String"}, {"restart_elsewhere", "", "Bool"}},
	network: {{"vlan", "occi.network.vlan", "Long"}, {"title", occi.AttrTitle, "String"}, {"label", "occi.network.label", "String"}},
	storage: {{"size", "occi.storage.size", "decimal"}, {"title", occi.AttrTitle, "String"}},
}

// names of attributes that the registry may spell otherwise are asked of it.
func attributeNames(m *occi.Model) {
	for id, list := range typed {
		for i := range list {
			for _, x := range m.Mixins {
				for _, a := range x.Attributes {
					if list[i].name == "" && a.Short == list[i].short && id == compute {
						list[i].name = a.Name
					}
				}
			}
		}
	}
}

// thing draws an entity.
func thing(n int) *rapid.Generator[*occi.Entity] {
	return rapid.Custom(func(t *rapid.T) *occi.Entity {
		x := &occi.Entity{ID: uuid.NewSHA1(uuid.Nil, []byte(strconv.Itoa(n))), Kind: rapid.SampledFrom([]string{compute, network, storage, occi.UserKind}).Draw(t, "kind"),
			Project: rapid.SampledFrom([]string{mine, other, ann, ""}).Draw(t, "project"), Host: rapid.SampledFrom([]string{"", "one", "two"}).Draw(t, "host")}
		if rapid.Bool().Draw(t, "tagged") {
			x.Mixins = append(x.Mixins, "http://example.com#tag")
		}
		if (x.Kind == network || x.Kind == storage) && rapid.Bool().Draw(t, "shared") {
			x.Mixins = append(x.Mixins, occi.SharedMixin)
		}
		for _, a := range typed[x.Kind] {
			if !rapid.Bool().Draw(t, a.short) {
				continue
			}
			text := rapid.SampledFrom([]string{"a", "ab", "abc", "web-1", "é"}).Draw(t, "text")
			switch {
			case a.short == "title":
				x.Title = text
			case a.is == "String":
				x.Attributes.Set(a.name, occi.Str(text))
			case a.is == "Long":
				x.Attributes.Set(a.name, occi.Int(rapid.Int64Range(-2, 5).Draw(t, "long")))
			case a.is == "decimal":
				x.Attributes.Set(a.name, occi.Float(float64(rapid.IntRange(0, 12).Draw(t, "decimal"))/4))
			case a.is == "Bool":
				x.Attributes.Set(a.name, occi.Bool(rapid.Bool().Draw(t, "bool")))
			}
		}
		return x
	})
}

// condition draws one about things of a type, as Cedar writes it.
func condition(kind string, depth int) *rapid.Generator[string] {
	return rapid.Custom(func(t *rapid.T) string {
		most := 8
		if depth > 0 {
			most = 12
		}
		sub := func() string { return condition(kind, depth-1).Draw(t, "part") }
		text := func(of ...string) string { return strconv.Quote(rapid.SampledFrom(of).Draw(t, "text")) }
		switch rapid.IntRange(0, most).Draw(t, "shape") {
		case 0:
			return "resource.project " + rapid.SampledFrom([]string{"==", "!="}).Draw(t, "op") + " " + rapid.SampledFrom([]string{"principal.project", "principal.id", strconv.Quote(other), `""`}).Draw(t, "with")
		case 1:
			return rapid.SampledFrom([]string{"resource.shared", "resource.tenant", "resource.shared == false"}).Draw(t, "flag")
		case 2:
			return rapid.SampledFrom([]string{"principal.hosts.contains(resource.host)", `resource.host == "one"`, `["one", ""].contains(resource.host)`}).Draw(t, "host")
		case 3:
			return rapid.SampledFrom([]string{`resource.mixins.contains("http://example.com#tag")`, `resource.mixins.containsAny(["http://example.com#tag", "x"])`,
				`resource.mixins.containsAll(["http://example.com#tag", "` + occi.SharedMixin + `"])`}).Draw(t, "mixins")
		case 4:
			return rapid.SampledFrom([]string{`principal in Role::"member"`, `principal.login == "ann"`, "principal.token", `action == Action::"read"`, `action in [Action::"act", Action::"update"]`}).Draw(t, "who")
		case 5:
			return fmt.Sprintf("resource == %s::%q", typeNames[kind], uuid.NewSHA1(uuid.Nil, []byte(strconv.Itoa(rapid.IntRange(0, 9).Draw(t, "n")))))
		case 9:
			return "!(" + sub() + ")"
		case 10:
			return "(" + sub() + " && " + sub() + ")"
		case 11:
			return "(" + sub() + " || " + sub() + ")"
		case 12:
			return "(if " + sub() + " then " + sub() + " else " + sub() + ")"
		}
		if len(typed[kind]) == 0 {
			return rapid.SampledFrom([]string{"resource.projects.contains(principal.project)", `resource.projects.containsAny(["` + other + `"])`}).Draw(t, "projects")
		}
		a := rapid.SampledFrom(typed[kind]).Draw(t, "attribute")
		has, is := "resource has "+a.short, "resource."+a.short
		compare := rapid.SampledFrom([]string{"<", "<=", ">", ">=", "==", "!="}).Draw(t, "op")
		switch a.is {
		case "Long":
			if rapid.Bool().Draw(t, "swapped") {
				return fmt.Sprintf("(%s && %d %s %s)", has, rapid.IntRange(-2, 5).Draw(t, "n"), compare, is)
			}
			return fmt.Sprintf("(%s && %s %s %d)", has, is, compare, rapid.IntRange(-2, 5).Draw(t, "n"))
		case "decimal":
			method := rapid.SampledFrom([]string{"lessThan", "lessThanOrEqual", "greaterThan", "greaterThanOrEqual"}).Draw(t, "method")
			return fmt.Sprintf(`(%s && %s.%s(decimal("%.2f")))`, has, is, method, float64(rapid.IntRange(0, 12).Draw(t, "n"))/4)
		case "Bool":
			return rapid.SampledFrom([]string{"(" + has + " && " + is + ")", "!(" + has + " && " + is + ")", has}).Draw(t, "flag")
		}
		return rapid.SampledFrom([]string{"(" + has + " && " + is + " == " + text("a", "ab", "é", "") + ")", "(" + has + " && " + is + " like " + text("a*", "web*", "*", "ab", "é*") + ")",
			"!(" + has + " && " + is + " != " + text("a", "abc") + ")", has}).Draw(t, "text")
	})
}

// statement draws a policy.
func statement() *rapid.Generator[string] {
	return rapid.Custom(func(t *rapid.T) string {
		kind := rapid.SampledFrom([]string{compute, network, storage, occi.UserKind}).Draw(t, "type")
		effect := rapid.SampledFrom([]string{"permit", "permit", "forbid"}).Draw(t, "effect")
		who := rapid.SampledFrom([]string{"principal", `principal in Role::"member"`, `principal == Caller::"` + ann + `"`, "principal is Caller"}).Draw(t, "principal")
		do := rapid.SampledFrom([]string{"action", `action == Action::"read"`, `action in [Action::"read", Action::"delete"]`}).Draw(t, "action")
		text := fmt.Sprintf("%s (%s, %s, resource is %s)", effect, who, do, typeNames[kind])
		for range rapid.IntRange(0, 2).Draw(t, "conditions") {
			text += " " + rapid.SampledFrom([]string{"when", "unless"}).Draw(t, "when") + " { " + condition(kind, 3).Draw(t, "condition") + " }"
		}
		return text + ";\n"
	})
}

// judge is Cedar's own evaluation of policies about whole things.
type judge struct {
	set      *cedar.PolicySet
	who      policy.Principal
	entities types.EntityMap
}

func newJudge(t *rapid.T, text string, who policy.Principal) *judge {
	set, err := cedar.NewPolicySetFromBytes("test.cedar", []byte(text+string(policy.Default())))
	if err != nil {
		t.Fatal(err)
	}
	j := &judge{set: set, who: who, entities: types.EntityMap{}}
	var parents []types.EntityUID
	for _, r := range strings.Split(who.Roles, ",") {
		parents = append(parents, types.NewEntityUID("Role", types.String(r)))
	}
	var hosts []types.Value
	for _, h := range strings.Fields(who.Hosts) {
		hosts = append(hosts, types.String(h))
	}
	uid := types.NewEntityUID("Caller", types.String(who.ID))
	j.entities[uid] = types.Entity{UID: uid, Parents: types.NewEntityUIDSet(parents...), Attributes: types.NewRecord(types.RecordMap{
		"id": types.String(who.ID), "login": types.String(who.Login), "project": types.String(who.Project), "token": types.Boolean(who.Token), "hosts": types.NewSet(hosts...)})}
	start := types.NewEntityUID("Action", "start")
	j.entities[start] = types.Entity{UID: start, Parents: types.NewEntityUIDSet(types.NewEntityUID("Action", "act"))}
	return j
}

func (j *judge) permits(t *rapid.T, action string, x *occi.Entity) bool {
	record := types.RecordMap{"project": types.String(x.Project), "shared": types.Boolean(x.HasMixin(occi.SharedMixin)),
		"tenant": types.Boolean(!strings.Contains(x.Kind, "identity")), "host": types.String(x.Host)}
	var mixins, projects []types.Value
	for _, id := range x.Mixins {
		mixins = append(mixins, types.String(id))
	}
	for _, l := range x.Links {
		projects = append(projects, types.String(l.Target.ID.String()))
	}
	record["mixins"] = types.NewSet(mixins...)
	if x.Kind == occi.UserKind {
		record["projects"] = types.NewSet(projects...)
	}
	for _, a := range typed[x.Kind] {
		v := x.Attributes.Get(a.name)
		if a.short == "title" && x.Title != "" {
			v = occi.Str(x.Title)
		}
		switch {
		case v.IsZero():
		case a.is == "String":
			record[types.String(a.short)] = types.String(v.Text)
		case a.is == "Long":
			record[types.String(a.short)] = types.Long(int64(v.Num))
		case a.is == "Bool":
			record[types.String(a.short)] = types.Boolean(v.Num != 0)
		default:
			d, err := types.NewDecimalFromFloat(v.Num)
			if err != nil {
				t.Fatal(err)
			}
			record[types.String(a.short)] = d
		}
	}
	uid := types.NewEntityUID(types.EntityType(typeNames[x.Kind]), types.String(x.ID.String()))
	j.entities[uid] = types.Entity{UID: uid, Attributes: types.NewRecord(record)}
	ok, diagnostic := cedar.Authorize(j.set, j.entities, cedar.Request{Principal: types.NewEntityUID("Caller", types.String(j.who.ID)),
		Action: types.NewEntityUID("Action", types.String(action)), Resource: uid, Context: types.Record{}})
	for _, e := range diagnostic.Errors {
		t.Fatalf("policies that were taken in fail: %s", e)
	}
	return bool(ok)
}

// TestDecisionsAgree: of random policies, what is decided of one thing and what both
// databases select are what Cedar says of each.
func TestDecisionsAgree(t *testing.T) {
	m := builtin(t)
	attributeNames(m)
	stores := openStores(t)
	rapid.Check(t, func(t *rapid.T) {
		text := strings.Join(rapid.SliceOfN(statement(), 1, 5).Draw(t, "policies"), "")
		p, err := policy.New(m, policy.Source{Name: "test.cedar", Text: []byte(text)})
		if err != nil {
			// Cedar takes in no condition that is impossible for all.
			t.Skip(err)
		}
		who := policy.Principal{ID: ann, Login: rapid.SampledFrom([]string{"ann", "bob"}).Draw(t, "login"), Project: rapid.SampledFrom([]string{mine, other}).Draw(t, "in"),
			Roles: rapid.SampledFrom([]string{"member", "reader", "manager,member", "recovery", "administrator"}).Draw(t, "roles"),
			Hosts: rapid.SampledFrom([]string{"", "one", "one two"}).Draw(t, "at"), Token: rapid.Bool().Draw(t, "token")}
		var things []*occi.Entity
		for i := range 10 {
			things = append(things, thing(i).Draw(t, "thing"))
		}
		for _, s := range stores {
			s.fill(t, things)
		}
		r, j := p.For(who), newJudge(t, text, who)
		for _, action := range []string{"read", "delete", "start"} {
			for _, kinds := range [][]string{{compute}, {network, storage}, {occi.UserKind}, {compute, network, storage}} {
				if action == "start" && kinds[0] != compute || action == "start" && len(kinds) > 1 {
					continue
				}
				var want []uuid.UUID
				for _, x := range stores[0].all {
					if !slices.Contains(kinds, x.Kind) {
						continue
					}
					ok := j.permits(t, action, x)
					if got, id := r.Rule(action, x.Kind).Decide(x); got != ok {
						t.Fatalf("%s of %s %+v: %t by %q, Cedar says %t\n%s", action, x.Kind, x, got, id, ok, text)
					}
					if ok && j.permits(t, "read", x) {
						want = append(want, x.ID)
					}
				}
				scope := r.Scope(action, kinds)
				for _, s := range stores {
					if got := s.selected(t, kinds, scope); !slices.Equal(got, want) {
						t.Fatalf("%s of %v selects %v of %s, want %v\n%s", action, kinds, got, s.kind, want, text)
					}
				}
			}
		}
	})
}

// database is a store with the things of a run.
type database struct {
	*store.Store
	kind string
	all  []*occi.Entity
}

func openStores(t *testing.T) []*database {
	t.Helper()
	dsn := pgtest.Run(t).Empty(t)
	var all []*database
	for kind, dsn := range map[string]string{"sqlite": dbtest.SQLite(t), "postgres": dsn} {
		s, err := store.Open(t.Context(), dsn)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		})
		all = append(all, &database{Store: s, kind: kind})
	}
	return all
}

// everything are the kinds of the things and of what they need.
var everything = []string{compute, network, storage, occi.UserKind, occi.MembershipKind, occi.ProjectKind}

// fill replaces what there is by other things, the users among which have parts in
// projects.
func (s *database) fill(t *rapid.T, things []*occi.Entity) {
	change := &occi.Change{At: time.Now()}
	for _, x := range s.all {
		change.Removes = append(change.Removes, occi.Removal{ID: x.ID})
		for _, l := range x.Links {
			change.Removes = append(change.Removes, occi.Removal{ID: l.ID})
		}
	}
	if err := s.Commit(t.Context(), change); err != nil {
		t.Fatal(err)
	}
	change = &occi.Change{At: time.Now()}
	for _, p := range []string{mine, other} {
		change.Puts = append(change.Puts, &occi.Entity{ID: uuid.MustParse(p), Kind: occi.ProjectKind, Project: p})
	}
	for i, x := range things {
		x = x.Clone()
		change.Puts = append(change.Puts, x)
		if x.Kind == occi.UserKind && i%3 > 0 {
			change.Puts = append(change.Puts, &occi.Entity{ID: uuid.NewSHA1(x.ID, nil), Kind: occi.MembershipKind, Project: x.Project, Source: occi.Ref{ID: x.ID, Kind: x.Kind},
				Target: occi.Ref{ID: uuid.MustParse([]string{mine, other}[i%2]), Kind: occi.ProjectKind}})
		}
	}
	if err := s.Commit(t.Context(), change); err != nil {
		t.Fatal(err)
	}
	page, err := s.List(t.Context(), &occi.Query{Kinds: everything})
	if err != nil {
		t.Fatal(err)
	}
	s.all = slices.DeleteFunc(page.Entities, func(x *occi.Entity) bool { return x.Kind == occi.MembershipKind })
}

func (s *database) selected(t *rapid.T, kinds []string, scope *policy.Scope) []uuid.UUID {
	page, err := s.List(t.Context(), &occi.Query{Kinds: kinds, Reach: scope.Reach, Where: scope.Where})
	if err != nil {
		t.Fatal(err)
	}
	if page.Total != len(page.Entities) || page.Count.Members != page.Total {
		t.Fatalf("of %d entities %d are counted, and in all %d", len(page.Entities), page.Total, page.Count.Members)
	}
	var ids []uuid.UUID
	for _, x := range page.Entities {
		ids = append(ids, x.ID)
	}
	return ids
}

// FuzzFiles: no text of policies makes the program fall over.
func FuzzFiles(f *testing.F) {
	m := builtin(f)
	f.Add(policy.Default())
	f.Add([]byte(`@id("a") forbid (principal, action, resource is Compute) when { resource has cores && !(resource.cores > 3) || ["x"].contains(resource.host) };`))
	f.Add([]byte(`permit (principal, action, resource) when { if resource.shared then context has attribute else [[1], {a: 2}].isEmpty() };`))
	vm := &occi.Entity{Kind: compute, Project: mine}
	f.Fuzz(func(t *testing.T, text []byte) {
		p, err := policy.New(m, policy.Source{Name: "fuzz.cedar", Text: text})
		if err != nil {
			if !strings.Contains(err.Error(), ".cedar:") {
				t.Errorf("%q does not tell where it is", err)
			}
			return
		}
		r := p.For(policy.Principal{ID: ann, Login: "ann", Project: mine, Roles: "member"})
		ok, _ := r.Rule("read", compute).Decide(vm)
		if w := r.Rule("read", compute).Where(); w.Holds(vm) != ok {
			t.Errorf("%s holds: %t, decided %t", w, w.Holds(vm), ok)
		}
		r.Scope("delete", nil)
		r.Hidden(compute)
	})
}
