package server_test

import (
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/occid/occid/internal/auth"
	"github.com/occid/occid/internal/dbtest"
	"github.com/occid/occid/internal/policy"
	"github.com/occid/occid/occi"
)

// relation is what something is to who asks.
type relation string

const (
	own     relation = "own"
	shared  relation = "shared"
	foreign relation = "foreign"
	none    relation = "" // about nothing in particular
)

// request is a cell of the matrix, but for who makes it.
type request struct {
	method, path string
	kind         *occi.Kind // nil for none
	action       string
	relation     relation
}

// expected derives the status of an answer from the policies: 0 for any that lets the
// request through. x is what the request is about, nil for nothing in particular,
// and subject what a task is about.
func (q *request) expected(c auth.Caller, anonymous bool, need auth.Need, x, subject *occi.Entity) int {
	switch {
	case need.Open:
		return 0
	case anonymous:
		return 401
	case c.Free(), q.method == "OPTIONS": // which says the same of what is not there
		return 0
	}
	do, kind := need.Do, need.Kind
	if q.action != "" {
		do = []string{c.Action(q.action)}
	}
	if kind == "" && q.kind != nil && !q.kind.Abstract {
		kind = q.kind.ID()
	}
	if !need.Reads() && !c.Could(kind, do...) {
		return 403
	}
	if x == nil {
		return 0
	}
	if do[0] == policy.Act {
		do = c.Acts(kind)
	}
	if q.method == "PUT" {
		do = []string{policy.Update} // it is there
	}
	if subject != nil && !c.Sees(subject) {
		return 404
	}
	switch c.May(x, do...) {
	case auth.Hidden:
		return 404
	case auth.Forbidden:
		return 403
	}
	return 0
}

// refusedByRole is what tells a refusal of the policies from others with the same status.
var refusedByRole = regexp.MustCompile(`role|administrators|nobody`)

// TestTenantMatrix makes every request of every role on every route about what is its
// own, shared and another's. The routes are those of the router and of the registry; the
// answers follow from the rules. What would be changed fails for its precondition.
func TestTenantMatrix(t *testing.T) {
	t.Parallel()
	w := newTenants(t, dbtest.SQLite(t))
	requests := w.requests()
	if len(requests) < 500 {
		t.Fatalf("%d requests are no matrix", len(requests))
	}
	for name, text := range map[string]string{"the program's": "", "with the operator's": operators} {
		if err := w.policies.Replace(w.engine.Model(), policy.Source{Name: "operator.cedar", Text: []byte(text)}); err != nil {
			t.Fatal(err)
		}
		w.auth.Changed()
		t.Logf("policies are %s", name)
		w.all(requests)
		w.lists()
	}
}

// operators are policies of an operator: they forbid, also administrators, and permit
// what is others'.
const operators = `
@id("unseen") forbid (principal, action == Action::"read", resource is Compute) when { resource has title && resource.title like "a*" && resource.host == "one" } unless { principal in Role::"manager" };
@id("frozen") forbid (principal, action in [Action::"update", Action::"delete"], resource is Network) when { resource has title && resource.title == "n" };
@id("no-stop") forbid (principal, action == Action::"stop", resource);
@id("auditors") permit (principal in Role::"reader", action == Action::"read", resource is Storage);
@id("no-tokens") forbid (principal, action == Action::"create", resource is Token) unless { principal in Role::"administrator" };
`

// about gives what a path is about, nil for nothing in particular, and what that is about
// if it is a task.
func (w *tenants) about(q *request) (x, subject *occi.Entity) {
	w.t.Helper()
	if q.relation == none {
		return nil, nil
	}
	id, ok := occi.ParseID(strings.TrimPrefix(w.things[q.kind.Term][q.relation], q.kind.Location))
	if !ok {
		w.t.Fatal(q.path)
	}
	if q.kind.ID() == occi.TaskKind {
		task, err := w.store.Task(w.t.Context(), id)
		if err != nil {
			w.t.Fatal(err)
		}
		x, id = task.Resource(), task.Entity
	}
	found, err := w.store.Entity(w.t.Context(), id)
	if err != nil {
		w.t.Fatal(err)
	}
	if x != nil {
		return x, found
	}
	return found, nil
}

// lists compares what everybody is listed with what the policies let them read, and tells
// nothing of else.
func (w *tenants) lists() {
	w.t.Helper()
	for name, p := range w.people {
		if p.header == nil {
			continue
		}
		caller := w.caller(p)
		for _, k := range w.engine.Model().Kinds {
			if k.Abstract || k.ID() == occi.TaskKind || k.ID() == occi.TaskLinkKind || k.ID() == occi.AuditKind {
				continue
			}
			kinds := []string{k.ID()}
			for _, o := range w.engine.Model().Kinds {
				if !o.Abstract && o != k && !o.Own && w.engine.Model().IsA(o, k.ID()) {
					kinds = append(kinds, o.ID())
				}
			}
			page, err := w.store.List(w.t.Context(), &occi.Query{Kinds: kinds})
			if err != nil {
				w.t.Fatal(err)
			}
			var want []string
			for _, x := range page.Entities {
				if caller.Sees(x) {
					want = append(want, w.url+w.engine.Model().Path(x))
				}
			}
			r := p.do("GET", k.Location+".uri", "").want(w.t, 200)
			if got := strings.Fields(r.text); !slices.Equal(got, want) {
				w.t.Errorf("%s is listed %q at %s, want %q", name, got, k.Location, want)
			}
			paged := p.do("GET", k.Location+"?page=1&number=1", "", "Accept: application/json").want(w.t, 200)
			if more := strings.Contains(strings.Join(paged.Header.Values("Link"), ","), `rel="next"`); more != (len(want) > 1) {
				w.t.Errorf("%s is told of another number than %d at %s", name, len(want), k.Location)
			}
		}
	}
}

// caller is a person as the server recognises it.
func (w *tenants) caller(p *person) auth.Caller {
	w.t.Helper()
	c, err := w.auth.Authenticate(&http.Request{Header: fields(p.header)}, auth.From{Address: "127.0.0.1:1"})
	if err != nil {
		w.t.Fatal(err)
	}
	return c
}

func (w *tenants) all(requests []request) {
	t := w.t
	t.Helper()
	cells := 0
	for _, q := range requests {
		route, allow := w.server.Rule(q.path)
		if route == "" {
			t.Errorf("there is nothing at %s", q.path)
			continue
		}
		need, ok := auth.NeedOf(route, q.method)
		if allowed := strings.Contains(allow, q.method); allowed && !ok {
			t.Errorf("%s of the route %q (%s) has no rule", q.method, route, q.path)
			continue
		} else if !allowed {
			continue
		}
		for name, p := range w.people {
			cells++
			w.cell(name, p, q, need)
		}
	}
	t.Logf("%d answers to %d requests", cells, len(requests))
}

func (w *tenants) cell(name string, p *person, q request, need auth.Need) {
	w.t.Helper()
	url := q.path
	header := append([]string{`If-Match: "0.none"`, "Accept: application/json"}, p.header...)
	body := ""
	switch q.method {
	case "POST", "PUT":
		body, header = `{"title":"x"}`, append(header, "Content-Type: application/json")
	}
	if q.path == "/v1.0" {
		header = append(header, "X-Auth-User: admin", "X-Auth-Key: "+adminSecret)
	}
	if q.action != "" && !strings.Contains(q.path, "/state/") {
		url += "?action=" + q.action
		body = ""
	}
	var caller auth.Caller
	if p.header != nil {
		caller = w.caller(p)
	}
	x, subject := w.about(&q)
	want := q.expected(caller, p.header == nil, need, x, subject)
	r := w.asked(q.method, url, body, header)
	refused := r.StatusCode == 401 || r.StatusCode == 404 || r.StatusCode == 403 && (refusedByRole.MatchString(r.text) || q.method == "HEAD")
	if want != 0 && r.StatusCode != want || want == 0 && refused || r.StatusCode >= 500 && r.StatusCode != 501 {
		w.t.Errorf("%s: %s %s (%s): %d, want %d: %s", name, q.method, url, q.relation, r.StatusCode, want, r.text)
	}
}

func fields(lines []string) http.Header {
	h := http.Header{}
	for _, l := range lines {
		name, value, _ := strings.Cut(l, ": ")
		h.Add(name, value)
	}
	return h
}

// asked sends a request, and does not wait for what never ends.
func (w *tenants) asked(method, url, body string, header []string) reply {
	w.t.Helper()
	if strings.HasPrefix(url, "/events") {
		url = "/events.json"
	}
	return w.do(method, url, body, header...)
}

// tenants are two projects, the people of one, and what there is of both.
type tenants struct {
	*cloud
	people map[string]*person
	// things are paths by kind and relation.
	things map[string]map[relation]string
}

func newTenants(t testing.TB, dsn string) *tenants {
	t.Helper()
	w := &tenants{cloud: newGuarded(t, dsn), people: map[string]*person{}, things: map[string]map[relation]string{}}
	admin := w.admin()
	mine, other := admin.made("/project/", `{"title":"mine"}`), admin.made("/project/", `{"title":"other"}`)
	w.people["nobody"], w.people["administrator"] = &person{cloud: w.cloud}, admin
	stranger := admin.user("stranger", other, "member")
	for _, role := range []string{"manager", "member", "reader", "recovery", "auditor"} {
		w.people[role] = admin.user(role, mine, role)
	}
	w.people["recovery at one"] = admin.user("operator", mine, `recovery","hosts":"one`)
	w.thing("host", none, strings.TrimPrefix(strings.TrimSpace(admin.do("GET", "/host/.uri", "").text), w.url))
	w.thing("host", foreign, w.things["host"][none])
	delete(w.things["host"], none)
	store := admin.made("/storagepool/", `{"pool_name":"added","pool_type":"dir","pool_source":"/srv/added","links":[{"type":"poolhost","target":"`+w.things["host"][foreign]+`"}]}`)
	w.thing("storage_pool", foreign, store)
	w.thing("poolhost", foreign, strings.TrimPrefix(strings.TrimSpace(admin.do("GET", "/poolhost/.uri", "").text), w.url))
	w.thing("project", foreign, other)
	w.thing("quota", own, quotaPath(mine))
	w.thing("quota", foreign, quotaPath(other))
	w.thing("user", foreign, "/user/"+stranger.id)
	w.thing("membership", foreign, strings.TrimPrefix(strings.TrimSpace(stranger.do("GET", "/membership/.uri", "").text), w.url))
	w.thing("token", foreign, stranger.made("/token/", `{"title":"t"}`))
	w.thing("identity", foreign, admin.made("/identity/", `{"mechanism":"oidc","subject":"x","user":"`+stranger.id+`"}`))
	w.thing("session", foreign, stranger.made("/session/", `{"title":"t"}`))
	for relation, p := range map[relation]*person{own: w.people["member"], foreign: stranger} {
		vm := p.made("/compute/", `{"title":"a"}`)
		net := p.made("/network/", `{"title":"n"}`)
		disk := p.made("/storage/", `{"title":"d","size":"1 GiB"}`)
		w.thing("compute", relation, vm)
		w.thing("network", relation, net)
		w.thing("storage", relation, disk)
		w.thing("networkinterface", relation, p.made("/networkinterface/", `{"source":"`+vm+`","target":"`+net+`"}`))
		w.thing("storagelink", relation, p.made("/storagelink/", `{"source":"`+vm+`","target":"`+disk+`"}`))
		w.thing("link", relation, p.made("/link/", `{"source":"`+vm+`","target":"http://example.com/`+string(relation)+`"}`))
		set := p.made("/computepool/", `{"title":"s"}`)
		w.thing("compute_pool", relation, set)
		w.thing("computepoolmember", relation, p.made("/computepoolmember/", `{"source":"`+vm+`","target":"`+set+`"}`))
		p.counted(set)
		task := strings.TrimSpace(p.do("GET", vm+"/tasks/.uri", "").text)
		w.thing("task", relation, strings.TrimPrefix(strings.Fields(task)[0], w.url))
	}
	for kind, descriptor := range map[string]string{"network": `{"title":"s","mixins":["http://schemas.occid.org/occi/identity#shared"]}`,
		"storage": `{"title":"s","size":"1 GiB","mixins":["http://schemas.occid.org/occi/identity#shared"]}`} {
		w.thing(kind, shared, admin.made("/"+kind+"/", descriptor))
	}
	return w
}

// counted waits until a pool shows its one member, after which it changes no more.
func (p *person) counted(set string) {
	p.t.Helper()
	deadline := time.Now().Add(time.Minute)
	for tick := time.NewTicker(10 * time.Millisecond); !strings.Contains(p.do("GET", set, "").text, "computepool.members=1"); <-tick.C {
		if time.Now().After(deadline) {
			p.t.Fatalf("%s is not counted", set)
		}
	}
}

func (w *tenants) thing(kind string, r relation, path string) {
	if w.things[kind] == nil {
		w.things[kind] = map[relation]string{}
	}
	w.things[kind][r] = path
}

var suffixed = regexp.MustCompile(`/?\{suffix:.*\}$`)

// requests are all that the router and the registry have routes for.
func (w *tenants) requests() []request {
	w.t.Helper()
	var all []request
	add := func(path string, k *occi.Kind, action string, r relation) {
		for _, method := range []string{"GET", "HEAD", "OPTIONS", "POST", "PUT", "DELETE"} {
			if action != "" && method != "POST" {
				continue
			}
			all = append(all, request{method, path, k, action, r})
		}
	}
	patterns, err := w.server.Fixed()
	if err != nil {
		w.t.Fatal(err)
	}
	for _, pattern := range patterns {
		if path := strings.TrimSuffix(suffixed.ReplaceAllString(pattern, ""), "/"); path != "" && !strings.Contains(path, "*") {
			add(path, nil, "", none)
		}
	}
	m := w.engine.Model()
	for _, x := range m.Mixins {
		add(x.Location, nil, "", none)
	}
	add("/mixin/", nil, "", none)
	add("/-/compute", nil, "", none)
	for _, k := range m.Kinds {
		if k.Location != "" {
			add(k.Location, k, "", none)
		}
		for r, path := range w.things[k.Term] {
			add(path, k, "", r)
			if k.ID() == occi.TaskKind {
				continue
			}
			add(path+"/tasks/", k, "", r)
			add(path+"/tasks/", k, "start", r)
			for _, to := range []string{"/compute/", "/network/", "/host/", "/storagepool/"} {
				add(path+to, k, "", r)
			}
			for _, a := range k.Actions {
				add(path, k, a.Term, r)
				add(path+"/state/"+a.Term, k, a.Term, r)
			}
			if k.Host == "volume" {
				add(path+"/content", k, "", r)
			}
		}
	}
	return all
}
