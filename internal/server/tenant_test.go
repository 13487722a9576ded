package server_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/occid/occid/internal/dbtest"
	"github.com/occid/occid/occi"
)

// onTenants runs a test with two projects on either database.
func onTenants(t *testing.T, f func(t *testing.T, w *tenants)) {
	t.Run("sqlite", func(t *testing.T) {
		t.Parallel()
		f(t, newTenants(t, dbtest.SQLite(t)))
	})
	t.Run("postgres", func(t *testing.T) {
		t.Parallel()
		f(t, newTenants(t, emptyPostgres(t)))
	})
}

// foreign lists what no member may read anywhere.
func (w *tenants) foreign() []string {
	var ids []string
	for _, of := range w.things {
		if path := of[foreign]; path != "" {
			ids = append(ids, path[strings.LastIndexByte(path, '/')+1:])
		}
	}
	return ids
}

func TestTenantsReadTheirsAlone(t *testing.T) {
	t.Parallel()
	onTenants(t, func(t *testing.T, w *tenants) {
		member := w.people["member"]
		of := func(kind string, r relation) string { return w.things[kind][r] }
		paths := []string{"/", "/resource/", "/link/", "/compute/", "/network/", "/storage/", "/networkinterface/", "/task/", "/tasklink/", "/events",
			"/mixin/shared/", "/mixin/", "/-/compute", "/?sort=-title", "/?q=a", "/compute/?page=1&number=1", "/user/", "/project/", "/membership/", "/token/", "/session/", "/identity/", "/quota/", "/host/", "/pool/", "/poolmember/",
			of("network", shared) + "/compute/", of("network", shared), of("storage", shared), of("compute", own), of("compute", own) + "/tasks/"}
		for _, path := range paths {
			for _, suffix := range []string{"application/json", "application/atom+xml", "application/xml"} {
				r := member.do("GET", path, "", "Accept: "+suffix)
				if path == "/events" && suffix == "application/xml" {
					continue
				}
				r.want(t, 200)
				for _, id := range w.foreign() {
					if strings.Contains(r.text, id) {
						t.Errorf("%s as %s tells of %s", path, suffix, id)
					}
				}
			}
		}
		for kind, want := range map[string]int{"compute": 1, "network": 2, "storage": 2, "networkinterface": 1, "user": 1, "project": 1, "membership": 1, "token": 0, "quota": 2, "host": 0, "pool": 0, "poolmember": 0} {
			for _, path := range []string{"/" + kind + "/", "/" + kind + "/?sort=-id"} {
				var got struct{ Resources []any }
				if err := json.Unmarshal([]byte(member.do("GET", path, "", "Accept: application/json").want(t, 200).text), &got); err != nil || len(got.Resources) != want {
					t.Errorf("%s lists %d, want %d: %v", path, len(got.Resources), want, err)
				}
			}
		}
		feed := member.do("GET", "/compute/.atom?page=1&number=1", "").want(t, 200).text
		if strings.Contains(feed, `rel="next"`) {
			t.Errorf("the page of all there is has a next one: %s", feed)
		}
	})
}

func TestTenantsAreNotToldOfOthersChanges(t *testing.T) {
	t.Parallel()
	onTenants(t, func(t *testing.T, w *tenants) {
		member, admin := w.people["member"], w.people["administrator"]
		paths := []string{"/", "/compute/", "/network/", "/compute/?q=a", w.things["network"][own] + "/compute/", w.things["compute"][own]}
		tags := map[string]string{}
		for _, path := range paths {
			tags[path] = member.do("GET", path, "").want(t, 200).Header.Get("ETag")
		}
		admin.do("POST", w.things["compute"][foreign], `{"title":"other"}`, "Content-Type: application/json", "Prefer: wait=20").want(t, 200)
		admin.do("DELETE", w.things["networkinterface"][foreign], "", "Prefer: wait=20").want(t, 200)
		for _, path := range paths {
			member.do("GET", path, "", "If-None-Match: "+tags[path]).want(t, 304)
		}
		member.do("DELETE", "/compute/?q=nothing", "", "If-Match: "+tags["/compute/"]).want(t, 200)
		member.do("POST", w.things["compute"][own], `{"title":"mine"}`, "Content-Type: application/json", "Prefer: wait=20").want(t, 200)
		for _, path := range []string{"/", "/compute/", w.things["compute"][own]} {
			member.do("GET", path, "", "If-None-Match: "+tags[path]).want(t, 200)
		}
		member.do("DELETE", "/compute/?q=nothing", "", "If-Match: "+tags["/compute/"]).want(t, 412)
	})
}

func TestTenantsFollowTheirsAlone(t *testing.T) {
	t.Parallel()
	onTenants(t, func(t *testing.T, w *tenants) {
		member, stranger := w.people["member"], &person{cloud: w.cloud, header: []string{basic("stranger", "secret of stranger")}}
		foreign := w.foreign()
		for _, path := range []string{"/events", "/events?since=0"} {
			f := w.flow(path, append([]string{"Accept: text/event-stream"}, member.header...)...)
			f.next()
			stranger.do("POST", w.things["compute"]["foreign"], `{"title":"of others `+path+`"}`, "Content-Type: application/json", "Prefer: wait=20").want(t, 200)
			member.do("POST", w.things["network"][own], `{"title":"ours `+path+`"}`, "Content-Type: application/json", "Prefer: wait=20").want(t, 200)
			for range 200 {
				e := f.event()
				for _, id := range foreign {
					if strings.HasSuffix(e.data.Entity, id) {
						t.Errorf("%s tells of %s", path, e.data.Entity)
					}
				}
				if strings.HasSuffix(e.data.Entity, w.things["network"][own]) && e.event == "updated" {
					break
				}
			}
		}
		list := member.do("GET", "/events.json?number=1000", "").want(t, 200).text
		for _, id := range foreign {
			if strings.Contains(list, id) {
				t.Errorf("the list of events tells of %s", id)
			}
		}
	})
}

// TestTenantsTagsDiffer: one revision of two projects' lists, and two roles' view of one
// thing, are not the same to a cache.
func TestTenantsTagsDiffer(t *testing.T) {
	t.Parallel()
	w := newTenants(t, dbtest.SQLite(t))
	stranger := &person{cloud: w.cloud, header: []string{basic("stranger", "secret of stranger")}}
	for path, others := range map[string][]*person{"/storage/": {stranger}, w.things["storage"][shared]: {stranger, w.people["reader"]}, "/-/": {stranger}} {
		r := w.people["member"].do("GET", path, "").want(t, 200)
		if r.Header.Get("Cache-Control") != "private, no-cache" || !strings.Contains(strings.Join(r.Header["Vary"], ","), "Authorization") {
			t.Errorf("%s may be kept for others: %v", path, r.Header)
		}
		for _, p := range others {
			p.do("GET", path, "", "If-None-Match: "+r.Header.Get("ETag")).want(t, 200)
		}
	}
}

func TestTenantsWriteTheirsAlone(t *testing.T) {
	t.Parallel()
	onTenants(t, func(t *testing.T, w *tenants) {
		member, admin := w.people["member"], w.people["administrator"]
		json := "Content-Type: application/json"
		vm, net := w.things["compute"][own], w.things["network"]
		link := func(target string) string { return `{"source":"` + vm + `","target":"` + target + `"}` }
		member.do("POST", "/networkinterface/", link(net[foreign]), json).want(t, 400, "there is no "+net[foreign])
		member.do("POST", "/networkinterface/", link(net[shared]), json, "Prefer: wait=20").want(t, 201)
		member.do("POST", "/link/", `{"source":"`+net[shared]+`","target":"`+vm+`"}`, json).want(t, 400, "only shared")
		member.do("POST", "/link/", `{"source":"`+w.things["compute"][foreign]+`","target":"`+vm+`"}`, json).want(t, 400, "there is no")
		member.do("POST", "/compute/", `{"title":"b","links":[{"target":"`+net[foreign]+`"}]}`, json).want(t, 400, "there is no")
		member.do("POST", "/mixin/shared/", w.things["network"][own], "Content-Type: text/uri-list").want(t, 403, "administrators")
		member.do("POST", "/network/", `{"mixins":["`+occi.SharedMixin+`"]}`, json).want(t, 403, "administrators")
		id := strings.TrimPrefix(w.things["compute"][foreign], "/compute/")
		taken := member.do("POST", "/compute/", `{"id":"`+id+`"}`, json).want(t, 409, "taken").text
		if strings.Contains(taken, "/compute/"+id) {
			t.Errorf("%q tells what has the identifier", taken)
		}
		member.do("POST", "/host/", `{"title":"x"}`, json).want(t, 403)

		// Sharing begins and ends with the administrator.
		admin.do("POST", "/mixin/shared/", net[foreign], "Content-Type: text/uri-list").want(t, 200)
		member.do("GET", net[foreign], "").want(t, 200)
		member.do("DELETE", net[foreign], "").want(t, 403)
		admin.do("DELETE", "/mixin/shared/", net[foreign], "Content-Type: text/uri-list").want(t, 200)
		member.do("GET", net[foreign], "").want(t, 404)

		// All that a member may delete at once is the project's.
		member.do("DELETE", "/", "", "Prefer: wait=20").want(t, 200)
		for kind, of := range w.things {
			for r, path := range of {
				if r != own && kind != "task" {
					admin.do("GET", path, "").want(t, 200)
				}
			}
		}
		member.do("GET", vm, "").want(t, 404)
	})
}

func TestTenantsHaveNamesOfTheirOwn(t *testing.T) {
	t.Parallel()
	onTenants(t, func(t *testing.T, w *tenants) {
		member, manager := w.people["member"], w.people["manager"]
		stranger := &person{cloud: w.cloud, header: []string{basic("stranger", "secret of stranger")}}
		tag := `Category: web; scheme="http://example.com/tags#"; class="mixin"; location="/tags/web/"` + "\n"
		stranger.do("POST", "/-/", tag, "Content-Type: text/plain").want(t, 200)
		member.do("GET", "/tags/web/", "").want(t, 404)
		if text := member.do("GET", "/-/", "").text; strings.Contains(text, "example.com/tags") {
			t.Error("/-/ tells of others' mixins")
		}
		member.do("DELETE", "/-/", tag, "Content-Type: text/plain").want(t, 404)
		member.do("POST", "/-/", tag, "Content-Type: text/plain").want(t, 409)
		mine := strings.ReplaceAll(tag, "web", "db")
		member.do("POST", "/-/", mine, "Content-Type: text/plain").want(t, 200)
		manager.do("POST", "/tags/db/", w.things["compute"][own], "Content-Type: text/uri-list").want(t, 200)
		manager.do("POST", "/tags/db/", w.things["compute"][foreign], "Content-Type: text/uri-list").want(t, 400, "no such entity")
		manager.do("GET", "/tags/db/", "").want(t, 200, w.things["compute"][own])
		manager.do("DELETE", "/-/", mine, "Content-Type: text/plain", "Prefer: wait=20").want(t, 200)

		// What others define changes no tag of the registry.
		before := member.do("GET", "/-/", "").want(t, 200).Header.Get("ETag")
		stranger.do("POST", "/-/", strings.ReplaceAll(tag, "web", "mail"), "Content-Type: text/plain").want(t, 200)
		member.do("GET", "/-/", "", "If-None-Match: "+before).want(t, 304)
		member.do("POST", "/-/", mine, "Content-Type: text/plain", "If-Match: "+before).want(t, 200)
		member.do("DELETE", "/-/", mine, "Content-Type: text/plain", "If-Match: "+before).want(t, 412)
		member.do("DELETE", "/-/", mine, "Content-Type: text/plain").want(t, 200)

		// A key is its user's.
		made := func(p *person) string {
			return p.do("POST", "/storage/", `{"title":"k","size":"1 GiB"}`, "Content-Type: application/json", "Idempotency-Key: one").want(t, 201).Header.Get("Location")
		}
		if first, again, others := made(member), made(member), made(stranger); first != again || first == others {
			t.Errorf("one key made %s, %s and of another user %s", first, again, others)
		}

		// A template of a storage is of the storage's project.
		disk := member.do("POST", "/storage/", `{"title":"d","size":"1 GiB"}`, "Content-Type: application/json", "Prefer: wait=20").want(t, 201).Header.Get("Location")
		disk = strings.TrimPrefix(disk, w.url)
		member.do("POST", disk+"?action=template&name=ours", "", "Prefer: wait=20").want(t, 200, "Category: ours;")
		member.do("GET", "/-/", "").want(t, 200, "Category: ours;")
		if text := stranger.do("GET", "/-/", "").text; strings.Contains(text, "Category: ours;") {
			t.Error("/-/ tells of a template of another project")
		}
		ours := `Category: ours; scheme="http://schemas.occid.org/occi/os_tpl#"; class="mixin"` + "\n"
		stranger.do("DELETE", "/-/", ours, "Content-Type: text/plain").want(t, 404)
		member.do("DELETE", "/-/", ours, "Content-Type: text/plain").want(t, 200)
		member.do("DELETE", disk, "", "Prefer: wait=20").want(t, 200)

		// A template's image is not another project's.
		image := w.things["storage"][foreign]
		steal := `{"title":"thief","mixins":["http://schemas.ogf.org/occi/infrastructure#os_tpl"],"image":"` + image + `"}`
		if r := member.do("POST", "/compute/", steal, "Content-Type: application/json"); r.StatusCode < 400 {
			t.Errorf("a machine has a disk of another project's image: %s", r.text)
		}
	})
}

func TestPermissions(t *testing.T) {
	t.Parallel()
	w := newTenants(t, dbtest.SQLite(t))
	vm, net := w.things["compute"], w.things["network"]
	for _, c := range []struct {
		role, entity string
		want         string
	}{
		{"member", vm[own], "read update delete ?action=start ?action=save"},
		{"reader", vm[own], "read"},
		{"recovery", vm[own], "read"},
		{"recovery at one", vm[own], "read ?action=start"},
		{"manager", net[own], "read update delete share ?action=down"},
		{"member", net[shared], "read"},
		{"administrator", vm[foreign], "read update delete ?action=start ?action=save ?action=migrate"},
	} {
		p := w.people[c.role]
		for _, named := range []string{c.entity, w.url + c.entity} {
			text := p.do("GET", "/-/permissions?entity="+named, "").want(t, 200).text
			if got := strings.Join(strings.Fields(text), " "); got != c.want {
				t.Errorf("%s may %q with %s, want %q", c.role, got, c.entity, c.want)
			}
		}
		// What is shown leads to what may be done.
		for _, media := range []string{"text/plain", "application/json", "application/xml", "application/atom+xml", "application/occi+json", "application/occi+text"} {
			shown := p.do("GET", c.entity, "", "Accept: "+media).want(t, 200)
			for _, term := range []string{"start", "save"} {
				links := shown.text + strings.Join(shown.Header.Values("Link"), " ")
				if got, want := strings.Contains(links, "action="+term) || strings.Contains(links, "action#"+term), strings.Contains(c.want, term); got != want && media != "application/json" {
					t.Errorf("%s as %s is shown that %s is possible: %t, want %t\n%s", c.role, media, term, got, want, links)
				}
			}
		}
	}
	w.people["member"].do("GET", "/-/permissions?entity="+vm[foreign], "").want(t, 404)
	w.people["reader"].do("GET", "/-/permissions.json", "").want(t, 200, `"user":"reader"`, `"roles":["reader"]`, `"permitted":["create /token/","create /session/"]`)
	w.people["member"].do("GET", "/-/permissions", "").want(t, 200, "create /compute/")
}
