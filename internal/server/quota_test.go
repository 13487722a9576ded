package server_test

import (
	"encoding/json"
	"encoding/xml"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/occid/occid/internal/dbtest"
	"github.com/occid/occid/internal/engine"
	"github.com/occid/occid/occi"
)

const isJSON = "Content-Type: application/json"

// bounds sets limits of the quota of a project or a user, by its path.
func (p *person) bounds(of, limits string) {
	p.t.Helper()
	p.do("POST", quotaPath(of), limits, isJSON).want(p.t, 200)
}

// quotaPath is where the quota of a path's project or user is.
func quotaPath(of string) string {
	return "/quota/" + occi.QuotaID(of[strings.LastIndexByte(of, '/')+1:]).String()
}

// quotaOf is what the quota of a path's project or user shows.
func (p *person) quotaOf(of string) map[string]any {
	p.t.Helper()
	var got map[string]any
	if err := json.Unmarshal([]byte(p.do("GET", quotaPath(of), "", "Accept: application/json").want(p.t, 200).text), &got); err != nil {
		p.t.Fatal(err)
	}
	used := map[string]any{}
	for name, v := range got {
		if size, ok := v.(string); ok {
			v, _ = strconv.ParseFloat(strings.TrimSuffix(size, " Gb"), 64)
		}
		if what, ok := strings.CutPrefix(name, "used_"); ok && v != 0.0 {
			used[what] = v
		}
	}
	return used
}

func (p *person) wantUsed(of string, want map[string]any) {
	p.t.Helper()
	if diff := cmp.Diff(want, p.quotaOf(of)); diff != "" {
		p.t.Errorf("%s uses:\n%s", of, diff)
	}
}

// wantCounted compares what is kept of uses with a count of all entities.
func (c *cloud) wantCounted() {
	c.t.Helper()
	m := c.engine.Model()
	page, err := c.store.List(c.t.Context(), &occi.Query{})
	if err != nil {
		c.t.Fatal(err)
	}
	want := map[string]map[string]int64{}
	for _, x := range page.Entities {
		for _, u := range m.Charges(x) {
			for _, owner := range []string{x.Project, x.Owner} {
				if owner == "" {
					continue
				}
				if want[owner] == nil {
					want[owner] = map[string]int64{}
				}
				want[owner][u.What] += u.Amount
			}
		}
	}
	got, err := c.store.Uses(c.t.Context())
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		c.t.Errorf("what is kept differs from what is there: %v\n%s", err, diff)
	}
}

// guardedPair is a project with a member, and an administrator.
func guardedPair(t *testing.T, dsn string) (admin, member *person, project string) {
	t.Helper()
	admin = newGuarded(t, dsn).admin()
	project = admin.made("/project/", `{"title":"lab"}`)
	return admin, admin.user("ann", project, "member"), project
}

// onDatabases runs a test on each database.
func onDatabases(t *testing.T, f func(t *testing.T, dsn string)) {
	t.Run("sqlite", func(t *testing.T) {
		t.Parallel()
		f(t, dbtest.SQLite(t))
	})
	t.Run("postgres", func(t *testing.T) {
		t.Parallel()
		f(t, emptyPostgres(t))
	})
}

// TestQuotaRefusal looks at the answer to what exceeds a quota, in every format.
func TestQuotaRefusal(t *testing.T) {
	t.Parallel()
	admin, member, project := guardedPair(t, dbtest.SQLite(t))
	admin.bounds(project, `{"max_cores":5,"max_memory":"3 GiB"}`)
	member.made("/compute/", `{"cores":3,"memory":"1.5 GiB"}`)
	const asked = `{"cores":4,"memory":"2 GiB"}`
	const text = "occid.quota.cores: the limit of the project is 5, 3 are used, and 4 more are requested"
	member.do("POST", "/compute/", asked, isJSON, "Accept: text/plain").want(t, 403, text,
		"occid.quota.memory: the limit of the project is 3 GiB, 1.5 GiB are used, and 2 GiB more are requested")
	for _, media := range []string{"application/json", "application/occi+json"} {
		var got struct {
			Problems []struct {
				What, Of               string
				Limit, Used, Requested float64
			}
		}
		r := member.do("POST", "/compute/", asked, isJSON, "Accept: "+media).want(t, 403, text)
		if err := json.Unmarshal([]byte(r.text), &got); err != nil || len(got.Problems) != 2 {
			t.Fatalf("%s: %v", r.text, err)
		}
		if p := got.Problems[0]; p.What != "occid.quota.cores" || p.Of != "project" || p.Limit != 5 || p.Used != 3 || p.Requested != 4 {
			t.Errorf("%s: %s", media, r.text)
		}
		if p := got.Problems[1]; p.Limit != 3 || p.Used != 1.5 || p.Requested != 2 {
			t.Errorf("%s: %s", media, r.text)
		}
	}
	var got struct {
		Problems []struct {
			Limit     string `xml:"limit"`
			Used      string `xml:"used"`
			Requested string `xml:"requested"`
		} `xml:"problem"`
	}
	r := member.do("POST", "/compute/", asked, isJSON, "Accept: application/xml").want(t, 403, text)
	if err := xml.Unmarshal([]byte(r.text), &got); err != nil || len(got.Problems) != 2 || got.Problems[1].Limit != "3.0" || got.Problems[0].Requested != "4" {
		t.Errorf("%s: %v", r.text, err)
	}
	for _, media := range []string{"application/atom+xml", "application/yaml", "text/occi", "text/uri-list"} {
		if r := member.do("POST", "/compute/", asked, isJSON, "Accept: "+media); r.StatusCode != 403 {
			t.Errorf("%s: %d\n%s", media, r.StatusCode, r.text)
		}
	}
	// Of a quota that the caller does not see, no figures.
	other := admin.user("bob", project, "member")
	admin.bounds("/user/"+member.id, `{"max_cores":3}`)
	vm := strings.Fields(member.do("GET", "/compute/.uri", "").text)[0]
	r = other.do("POST", strings.TrimPrefix(vm, other.url), `{"cores":4}`, isJSON).want(t, 403, "the user whose it is has not so much left")
	if strings.Contains(r.text, "limit") {
		t.Errorf("another user's limit is told: %s", r.text)
	}
}

func TestQuotaIsShown(t *testing.T) {
	t.Parallel()
	onDatabases(t, func(t *testing.T, dsn string) {
		admin, member, project := guardedPair(t, dsn)
		stranger := admin.user("eve", admin.made("/project/", `{"title":"other"}`), "manager")
		admin.bounds(project, `{"max_computes":7}`)
		count := func(p *person, query string) int {
			var got struct{ Resources []any }
			if err := json.Unmarshal([]byte(p.do("GET", "/quota/"+query, "", "Accept: application/json").want(t, 200).text), &got); err != nil {
				t.Fatal(err)
			}
			return len(got.Resources)
		}
		for p, want := range map[*person]int{member: 2, stranger: 2, admin: 5} {
			if n := count(p, ""); n != want {
				t.Errorf("%d quotas are shown, want %d", n, want)
			}
		}
		for path, status := range map[string]int{quotaPath(project): 200, quotaPath("/user/" + member.id): 200, quotaPath("/user/" + stranger.id): 404} {
			for _, media := range []string{"text/plain", "text/occi", "application/json", "application/occi+json", "application/xml", "application/atom+xml", "application/yaml"} {
				r := member.do("GET", path, "", "Accept: "+media).want(t, status)
				if media != "text/occi" && status == 200 && !strings.Contains(r.text, "-1") {
					t.Errorf("%s as %s shows no limit: %s", path, media, r.text)
				}
			}
			member.do("HEAD", path, "").want(t, status)
		}
		list := member.do("GET", "/quota/", "").want(t, 200).Header.Get("ETag")
		one := member.do("GET", quotaPath(project), "").want(t, 200).Header.Get("ETag")
		foreign := stranger.do("GET", "/quota/", "").want(t, 200).Header.Get("ETag")
		member.do("GET", quotaPath(project), "", "If-None-Match: "+one).want(t, 304)
		vm := member.made("/compute/", `{"cores":3}`)
		member.do("GET", "/quota/", "", "If-None-Match: "+list).want(t, 200)
		member.do("GET", quotaPath(project), "", "If-None-Match: "+one).want(t, 200, "occid.quota.cores.used")
		stranger.do("GET", "/quota/", "", "If-None-Match: "+foreign).want(t, 304)
		member.wantUsed(project, map[string]any{"computes": 1.0, "cores": 3.0, "memory": 1.0})
		if n := count(member, "?used_cores>=3&max_computes=7"); n != 1 {
			t.Errorf("%d quotas are found, want 1", n)
		}
		member.do("DELETE", vm, "", "Prefer: wait=20").want(t, 200)
		member.wantUsed(project, map[string]any{})
		member.wantUsed("/user/"+member.id, map[string]any{})
		// Only administrators change it, and nobody makes or deletes it.
		for _, method := range []string{"POST", "PUT"} {
			member.do(method, quotaPath(project), `{"max_cores":1}`, isJSON).want(t, 403)
			stranger.do(method, quotaPath(project), `{"max_cores":1}`, isJSON).want(t, 403)
		}
		admin.do("POST", "/quota/", `{"max_cores":1}`, isJSON).want(t, 403, "comes with its project")
		admin.do("PUT", "/quota/"+uuid.NewString(), `{"max_cores":1}`, isJSON).want(t, 403, "comes with its project")
		admin.do("DELETE", quotaPath(project), "").want(t, 403, "goes with its project")
		admin.do("POST", quotaPath(project), `{"used_cores":1}`, isJSON).want(t, 403)
		// What a PUT does not name is as for a new project.
		admin.do("PUT", quotaPath(project), `{"max_cores":4}`, isJSON, "Accept: application/json").want(t, 200, `"max_computes": -1`, `"max_cores": 4`)
		admin.do("DELETE", "/user/"+stranger.id, "").want(t, 200)
		admin.do("GET", quotaPath("/user/"+stranger.id), "").want(t, 404)
		admin.do("DELETE", project, "").want(t, 200)
		admin.do("GET", quotaPath(project), "").want(t, 404)
	})
}

// TestQuotaBoundsWhateverGrows has each request that uses more of something meet its limit.
func TestQuotaBoundsWhateverGrows(t *testing.T) {
	t.Parallel()
	onDatabases(t, func(t *testing.T, dsn string) {
		admin, member, project := guardedPair(t, dsn)
		vm := member.made("/compute/", `{"cores":2,"memory":"2 GiB"}`)
		network := member.made("/network/", `{"title":"lan","address":"198.18.0.0/24","allocation":"dynamic"}`)
		disk := member.made("/storage/", `{"title":"d","size":"2 GiB"}`)
		nic := `{"type":"networkinterface","source":"` + vm + `","target":"` + network + `"}`
		image := member.made("/storage/", `{"title":"i","size":"3 GiB"}`)
		member.do("POST", image+"?action=template&name=mine", "", "Prefer: wait=20").want(t, 200)
		const os = "http://schemas.occid.org/occi/os_tpl#mine"
		member.wantUsed(project, map[string]any{"computes": 1.0, "cores": 2.0, "memory": 2.0, "storage": 5.0, "images": 1.0})
		admin.bounds(project, `{"max_computes":1,"max_cores":2,"max_memory":2,"max_storage":5,"max_images":1,"max_addresses":0}`)
		for _, r := range []struct{ what, method, path, body string }{
			{"computes", "POST", "/compute/", `{"cores":1,"memory":0}`},
			{"computes", "PUT", "/compute/" + uuid.NewString(), `{"cores":1,"memory":0}`},
			{"cores", "POST", vm, `{"cores":3}`},
			{"memory", "POST", vm, `{"memory":"2.5 GiB"}`},
			{"cores", "PUT", vm, `{"cores":4}`},
			{"cores", "POST", vm, `{"mixins":["http://schemas.ogf.org/occi/infrastructure/compute/template/1.1#large"]}`},
			{"storage", "POST", "/storage/", `{"size":0.5}`},
			{"storage", "POST", disk, `{"size":"2.5 GiB"}`},
			{"storage", "POST", disk + "?action=resize", `{"action":"resize","size":"2.5 GiB"}`},
			{"storage", "POST", disk + "?action=snapshot", `{"action":"snapshot"}`},
			{"images", "POST", "/storage/", `{"size":0.001,"mixins":["http://schemas.occid.org/occi/storage#image"]}`},
			{"images", "POST", disk + "?action=template", `{"action":"template","name":"t"}`},
			{"addresses", "POST", "/networkinterface/", nic},
			{"addresses", "POST", vm, `{"links":[{"type":"networkinterface","target":"` + network + `"}]}`},
		} {
			member.do(r.method, r.path, r.body, isJSON).want(t, 403, "occid.quota."+r.what)
		}
		member.do("POST", "/mixin/resource_tpl/large/", vm, "Content-Type: text/uri-list").want(t, 403, "occid.quota.cores")
		member.wantUsed(project, map[string]any{"computes": 1.0, "cores": 2.0, "memory": 2.0, "storage": 5.0, "images": 1.0})
		admin.bounds(project, `{"max_addresses":1,"max_storage":6.5}`)
		member.do("POST", "/networkinterface/", nic, isJSON).want(t, 201)
		member.do("POST", "/networkinterface/", nic, isJSON).want(t, 403, "occid.quota.addresses")
		member.do("POST", disk+"?action=resize", `{"action":"resize","size":"3 GiB"}`, isJSON).want(t, 200)
		member.do("POST", "/storage/", `{"size":0.75}`, isJSON).want(t, 403, "occid.quota.storage")
		member.do("POST", disk, `{"title":"grown"}`, isJSON, "Prefer: wait=20").want(t, 200)
		member.wantUsed(project, map[string]any{"computes": 1.0, "cores": 2.0, "memory": 2.0, "storage": 6.0, "images": 1.0, "addresses": 1.0})
		// The own disk of a machine is as large as its image.
		admin.bounds(project, `{"max_computes":3,"max_cores":-1,"max_memory":-1}`)
		member.do("POST", "/compute/", `{"memory":0,"mixins":["`+os+`"]}`, isJSON).want(t, 403, "occid.quota.storage", "3 GiB more")
		admin.bounds(project, `{"max_storage":10}`)
		of := member.made("/compute/", `{"memory":0,"mixins":["`+os+`"]}`)
		member.do("POST", of, `{"occid.compute.disk.size":"4.5 GiB"}`, isJSON).want(t, 403, "occid.quota.storage", "1.5 GiB more")
		member.do("POST", of, `{"occid.compute.disk.size":"4 GiB"}`, isJSON, "Prefer: wait=20").want(t, 200)
		member.wantUsed(project, map[string]any{"computes": 2.0, "cores": 3.0, "memory": 2.0, "storage": 10.0, "images": 1.0, "addresses": 1.0})
		member.wantUsed("/user/"+member.id, member.quotaOf(project))
		member.wantCounted()
		member.do("DELETE", "/compute/", "", "Prefer: wait=20").want(t, 200)
		member.wantUsed(project, map[string]any{"storage": 6.0, "images": 1.0})
		member.wantCounted()
	})
}

// TestUsesAgreeWithWhatIsThere does at random what changes uses, some of it refused or
// failing on the host, and counts.
func TestUsesAgreeWithWhatIsThere(t *testing.T) {
	t.Parallel()
	onDatabases(t, func(t *testing.T, dsn string) {
		admin, member, project := guardedPair(t, dsn)
		admin.bounds(project, `{"max_computes":6,"max_cores":20,"max_storage":12}`)
		random := rand.New(rand.NewPCG(7, 7))
		var things []string
		for range 150 {
			switch n := random.IntN(8); {
			case n < 2:
				r := member.do("POST", "/compute/", fmt.Sprintf(`{"cores":%d}`, 1+random.IntN(5)), isJSON)
				if r.StatusCode == 201 {
					things = append(things, strings.TrimPrefix(r.Header.Get("Location"), member.url))
				}
			case n < 4:
				r := member.do("POST", "/storage/", fmt.Sprintf(`{"size":%d}`, 1+random.IntN(4)), isJSON)
				if r.StatusCode == 201 {
					things = append(things, strings.TrimPrefix(r.Header.Get("Location"), member.url))
				}
			case len(things) == 0:
			case n < 6:
				path := things[random.IntN(len(things))]
				body := fmt.Sprintf(`{"cores":%d}`, 1+random.IntN(5))
				if strings.HasPrefix(path, "/storage/") {
					body = fmt.Sprintf(`{"action":"resize","size":%d}`, 1+random.IntN(4))
					path += "?action=resize"
				}
				if r := member.do("POST", path, body, isJSON); r.StatusCode >= 500 {
					t.Errorf("%s %s: %s", path, body, r.text)
				}
			default:
				i := random.IntN(len(things))
				member.do("DELETE", things[i], "").want(t, 200)
				things = append(things[:i], things[i+1:]...)
			}
		}
		for end := time.Now().Add(30 * time.Second); strings.TrimSpace(member.do("GET", "/task/.uri", "").want(t, 200).text) != ""; time.Sleep(5 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatal("tasks are not over after 30 s")
			}
		}
		member.wantCounted()
	})
}

// TestQuotaHoldsBetweenServers has many create at once through two servers.
func TestQuotaHoldsBetweenServers(t *testing.T) {
	t.Parallel()
	const asked, allowed = 60, 23
	dsn := emptyPostgres(t)
	admin, member, project := guardedPair(t, dsn)
	other := &person{cloud: newCloudWith(t, dsn, builtin(t), nil, true, func(c *engine.Config) { c.Worker = "other" }), header: member.header}
	admin.bounds(project, fmt.Sprintf(`{"max_computes":%d}`, allowed))
	var made, refused atomic.Int64
	var all sync.WaitGroup
	for i := range asked {
		all.Go(func() {
			r := []*person{member, other}[i%2].do("POST", "/compute/", `{"cores":1}`, isJSON)
			switch r.StatusCode {
			case 201:
				made.Add(1)
			case 403:
				refused.Add(1)
			default:
				t.Errorf("%d %s", r.StatusCode, r.text)
			}
		})
	}
	all.Wait()
	if made.Load() != allowed || refused.Load() != asked-allowed {
		t.Errorf("%d were made and %d refused, of which %d are allowed", made.Load(), refused.Load(), allowed)
	}
	for _, p := range []*person{member, other} {
		if got := p.quotaOf(project)["computes"]; got != float64(allowed) {
			t.Errorf("%v are shown to be used", got)
		}
	}
	member.wantCounted()
}

// TestQuotaOfNewOnes looks at what new projects and users may use.
func TestQuotaOfNewOnes(t *testing.T) {
	t.Parallel()
	c := newCloudWith(t, dbtest.SQLite(t), builtin(t), nil, true, func(c *engine.Config) {
		c.ProjectQuota = engine.Allowance{"cores": "3", "memory": "1.5 GiB"}
		c.UserQuota = engine.Allowance{"computes": "2"}
	})
	if _, err := c.engine.FirstAdministrator(t.Context(), "admin", adminSecret); err != nil {
		t.Fatal(err)
	}
	admin := c.admin()
	project := admin.made("/project/", `{"title":"lab"}`)
	member := admin.user("ann", project, "member")
	member.do("GET", quotaPath(project), "", "Accept: application/json").want(t, 200, `"max_cores": 3`, `"max_memory": "1.5 Gb"`, `"max_computes": -1`, `"title": "Quota of lab"`)
	member.do("GET", quotaPath("/user/"+member.id), "", "Accept: application/json").want(t, 200, `"max_cores": -1`, `"max_computes": 2`, `"quota_of": "/user/`+member.id+`"`)
	member.do("POST", "/compute/", `{"cores":4}`, isJSON).want(t, 403, "occid.quota.cores")
}
