package server_test

import (
	"strings"
	"testing"

	"github.com/occid/occid/hypervisor/libvirt"
	"github.com/occid/occid/internal/dbtest"
	"github.com/occid/occid/internal/engine"
	"github.com/occid/occid/internal/policy"
)

// operated puts an operator's policies in force.
func (c *cloud) operated(text string) {
	c.t.Helper()
	if err := c.policies.Replace(c.engine.Model(), policy.Source{Name: "operator.cedar", Text: []byte(text)}); err != nil {
		c.t.Fatal(err)
	}
	c.auth.Changed()
}

const asJSON = "Content-Type: application/json"

// TestPoliciesOfAttributes: what may not be shown of things is not there, however it is
// asked for, and what may not be set stays as it is.
func TestPoliciesOfAttributes(t *testing.T) {
	t.Parallel()
	onTenants(t, func(t *testing.T, w *tenants) {
		member, admin := w.people["member"], w.people["administrator"]
		vm := w.things["compute"][own]
		admin.do("POST", vm, `{"hostname":"hidden-name","summary":"words"}`, asJSON, "Prefer: wait=20").want(t, 200)
		w.operated(`@id("quiet") forbid (principal, action == Action::"show", resource is Compute) when { context.attribute == "hostname" } unless { principal in Role::"administrator" };
			@id("cores") forbid (principal, action == Action::"set", resource is Compute) when { context.attribute == "cores" } unless { principal in Role::"manager" };`)
		for _, path := range []string{vm, "/compute/", "/", w.things["network"][own] + "/compute/", "/compute/?sort=title"} {
			for _, media := range []string{"text/plain", "application/json", "application/xml", "application/atom+xml", "application/yaml", "application/occi+json", "application/ovf"} {
				if r := member.do("GET", path, "", "Accept: "+media); r.StatusCode != 406 && strings.Contains(r.text, "hidden-name") {
					t.Errorf("%s as %s tells: %s", path, media, r.text)
				}
			}
			admin.do("GET", path, "", "Accept: application/json").want(t, 200, "hidden-name")
		}
		for _, query := range []string{"hostname=hidden-name", "hostname=x", "sort=hostname", "hostname.ne=x", "occi.compute.hostname=hidden-name"} {
			member.do("GET", "/compute/?"+query, "").want(t, 400, "no such attribute")
			member.do("GET", "/?"+query, "").want(t, 400, "no such attribute")
			admin.do("GET", "/compute/?"+query, "").want(t, 200)
		}
		member.do("GET", "/compute/?q=hidden", "").want(t, 403)
		member.do("GET", "/network/?q=n", "").want(t, 200)
		member.do("POST", vm, `{"hostname":"other"}`, asJSON).want(t, 403, "hostname")
		// What leaves it out does not take it away.
		kept := strings.ReplaceAll(member.do("GET", vm+".json", "").want(t, 200).text, `"title": "a"`, `"title": "b"`)
		member.do("PUT", vm, kept, asJSON, "Prefer: wait=20").want(t, 200)
		admin.do("GET", vm, "", "Accept: application/json").want(t, 200, "hidden-name", `"b"`)

		member.do("POST", vm, `{"cores":2}`, asJSON).want(t, 403, "cores")
		member.do("POST", "/compute/", `{"cores":2}`, asJSON).want(t, 403, "cores")
		member.do("POST", vm, `{"cores":1,"title":"c"}`, asJSON, "Prefer: wait=20").want(t, 200)
		w.people["manager"].do("POST", vm, `{"cores":2}`, asJSON, "Prefer: wait=20").want(t, 200)
		if log := w.log.String(); !strings.Contains(log, `"policy":"cores"`) || !strings.Contains(log, `"policy":"project-write"`) {
			t.Error("the log does not tell which policies decided")
		}
	})
}

// TestPoliciesOfContent: what an operator forbids by what things have is not there in
// lists, their totals and their tags, nor in events and tasks.
func TestPoliciesOfContent(t *testing.T) {
	t.Parallel()
	onTenants(t, func(t *testing.T, w *tenants) {
		member, admin := w.people["member"], w.people["administrator"]
		hidden := member.made("/compute/", `{"title":"secret-1"}`)
		id := hidden[strings.LastIndexByte(hidden, '/')+1:]
		w.operated(`@id("secrets") forbid (principal, action == Action::"read", resource is Compute)
			when { resource has title && resource.title like "secret*" } unless { principal in Role::"administrator" };`)
		paths := []string{"/", "/compute/", "/compute/?sort=-title", "/task/", "/tasklink/", "/events.json", "/resource/", w.things["network"][own] + "/compute/"}
		tags := map[string]string{}
		for _, path := range paths {
			r := member.do("GET", path, "").want(t, 200)
			if tags[path] = r.Header.Get("ETag"); strings.Contains(r.text, id) {
				t.Errorf("%s tells of %s", path, hidden)
			}
		}
		member.do("GET", hidden, "").want(t, 404)
		member.do("GET", hidden+"/tasks/", "").want(t, 404)
		member.do("POST", hidden+"?action=start", "").want(t, 404)
		member.do("DELETE", hidden, "").want(t, 404)
		member.do("POST", "/networkinterface/", `{"source":"`+hidden+`","target":"`+w.things["network"][own]+`"}`, asJSON).want(t, 400, "there is no")
		admin.do("POST", hidden, `{"summary":"x"}`, asJSON, "Prefer: wait=20").want(t, 200)
		admin.do("POST", hidden+"?action=start", "", "Prefer: wait=20").want(t, 200)
		for _, path := range []string{"/", "/compute/", "/compute/?sort=-title"} {
			member.do("GET", path, "", "If-None-Match: "+tags[path]).want(t, 304)
		}
		member.do("DELETE", "/compute/?q=nothing", "", "If-Match: "+tags["/compute/"]).want(t, 200)
		admin.do("POST", hidden, `{"title":"public"}`, asJSON, "Prefer: wait=20").want(t, 200)
		member.do("GET", "/compute/", "", "If-None-Match: "+tags["/compute/"]).want(t, 200, id)
		member.do("GET", hidden, "").want(t, 200)
	})
}

// TestManagers: managers say who has a part in their project.
func TestManagers(t *testing.T) {
	t.Parallel()
	onTenants(t, func(t *testing.T, w *tenants) {
		manager, member, admin := w.people["manager"], w.people["member"], w.people["administrator"]
		mine := strings.Fields(manager.do("GET", "/project/.uri", "").want(t, 200).text)[0]
		mine = strings.TrimPrefix(mine, w.url)
		bob := admin.made("/user/", `{"name":"bob","secret":"secret of bob"}`)
		part := `{"source":"` + bob + `","target":"` + mine + `","role":"reader"}`
		manager.do("GET", bob, "").want(t, 404)
		member.do("POST", "/membership/", part, asJSON).want(t, 403)
		manager.do("POST", "/membership/", strings.ReplaceAll(part, mine, w.things["project"][foreign]), asJSON).want(t, 400)
		membership := manager.made("/membership/", part)
		manager.do("GET", bob, "").want(t, 200, "bob")
		manager.do("GET", "/user/", "", "Accept: application/json").want(t, 200, `"bob"`)
		if text := manager.do("GET", "/user/", "", "Accept: application/json").text; strings.Contains(text, "stranger") {
			t.Errorf("managers see users of other projects: %s", text)
		}
		member.do("GET", bob, "").want(t, 404)
		manager.do("POST", membership, `{"role":"member"}`, asJSON).want(t, 200)
		manager.do("POST", bob, `{"administrator":true}`, asJSON).want(t, 403)
		reader := &person{cloud: w.cloud, header: []string{basic("bob", "secret of bob")}}
		token := reader.made("/token/", `{"title":"bob's"}`)
		manager.do("GET", "/token/", "", "Accept: application/json").want(t, 200, "bob's")
		member.do("GET", token, "").want(t, 404)
		manager.do("DELETE", token, "").want(t, 200)
		reader.do("GET", w.things["compute"][own], "").want(t, 200)
		manager.do("DELETE", membership, "").want(t, 200)
		reader.do("GET", w.things["compute"][own], "").want(t, 404)

		// They share, and end that.
		net := w.things["network"][own]
		stranger := &person{cloud: w.cloud, header: []string{basic("stranger", "secret of stranger")}}
		manager.do("POST", "/mixin/shared/", net, "Content-Type: text/uri-list").want(t, 200)
		stranger.do("GET", net, "").want(t, 200)
		stranger.do("DELETE", net, "").want(t, 403)
		manager.do("DELETE", "/mixin/shared/", net, "Content-Type: text/uri-list").want(t, 200)
		stranger.do("GET", net, "").want(t, 404)
		manager.do("POST", "/mixin/shared/", w.things["network"][foreign], "Content-Type: text/uri-list").want(t, 400)
	})
}

// TestRecoveryAtNamedHosts: recovery operators start machines at the hosts that their
// membership names, and do nothing else.
func TestRecoveryAtNamedHosts(t *testing.T) {
	t.Parallel()
	c := newCloudWith(t, dbtest.SQLite(t), builtin(t), nil, true, func(config *engine.Config) {
		driver, err := libvirt.Open(libvirt.Config{URI: ownHost(t), Logger: config.Logger})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { closes(t, driver) })
		config.Hosts = append(config.Hosts, engine.Host{Name: "two", Driver: driver})
	})
	if _, err := c.engine.FirstAdministrator(t.Context(), "admin", adminSecret); err != nil {
		t.Fatal(err)
	}
	admin := c.admin()
	project := admin.made("/project/", `{"title":"lab"}`)
	member := admin.user("ann", project, "member")
	at := map[string]string{}
	for range 20 {
		vm := member.made("/compute/", `{"title":"a"}`)
		for _, host := range []string{"one", "two"} {
			hosted := admin.do("GET", vm+"/host/", "", "Accept: application/json").want(t, 200).text
			if strings.Contains(hosted, `"title":"`+host+`"`) || strings.Contains(hosted, `"title": "`+host+`"`) {
				at[host] = vm
			}
		}
		if len(at) == 2 {
			break
		}
	}
	if len(at) != 2 {
		t.Fatalf("machines are on %v", at)
	}
	one := admin.user("operator", project, `recovery","hosts":"one`)
	one.do("POST", at["two"]+"?action=start", "").want(t, 403)
	one.do("GET", at["two"], "").want(t, 200)
	one.do("POST", at["one"]+"?action=start", "", "Prefer: wait=20").want(t, 200)
	one.do("POST", at["one"]+"?action=stop", "").want(t, 403)
	one.do("POST", at["one"], `{"title":"b"}`, asJSON).want(t, 403)
	one.do("DELETE", at["one"], "").want(t, 403)
	one.do("GET", "/-/permissions?entity="+at["two"], "").want(t, 200)
	if text := one.do("GET", "/-/permissions?entity="+at["two"], "").text; strings.Contains(text, "start") {
		t.Errorf("at another host one may %s", text)
	}
	// What is started all at once are those that may be.
	member.do("POST", at["one"]+"?action=stop", "", "Prefer: wait=20").want(t, 200)
	started := one.do("POST", "/compute/?action=start", "", "Prefer: wait=20", "Accept: application/json").want(t, 200).text
	if strings.Contains(started, at["two"][len("/compute/"):]) || !strings.Contains(started, at["one"][len("/compute/"):]) {
		t.Errorf("started are %s", started)
	}
	nowhere := admin.user("idle", project, "recovery")
	nowhere.do("POST", at["one"]+"?action=start", "").want(t, 403)
	admin.do("POST", "/user/", `{"name":"x","links":[{"type":"membership","target":"`+project+`","role":"recovery","hosts":"nowhere"}]}`, asJSON).want(t, 400, "no host nowhere")
	host := strings.TrimSpace(strings.Split(admin.do("GET", "/host/.uri?title=two", "").want(t, 200).text, "\n")[0])
	two := admin.user("second", project, `recovery","hosts":"`+strings.TrimPrefix(host, c.url))
	two.do("POST", at["two"]+"?action=start", "", "Prefer: wait=20").want(t, 200)
	two.do("POST", at["one"]+"?action=start", "").want(t, 403)
}
