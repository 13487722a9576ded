package server_test

import (
	"encoding/json"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/occid/occid/internal/dbtest"
	"github.com/occid/occid/occi"
)

// auditRecord is a record of the audit trail in JSON.
type auditRecord struct {
	ID                                  string
	Record                              int
	What, User, Login, Project, Address string
	Request, Path, Entity, Owner, Verb  string
	Method                              string `json:"http_method"`
	Status, Times                       int
	Task, Message, Before, After        string
}

// records reads a page of the audit trail.
func (p *person) records(query string) []auditRecord {
	p.t.Helper()
	var got struct{ Resources []auditRecord }
	text := p.do("GET", "/audit/?"+query, "", "Accept: application/json").want(p.t, 200).text
	if err := json.Unmarshal([]byte(text), &got); err != nil {
		p.t.Fatalf("%v: %s", err, text)
	}
	return got.Resources
}

// recorded waits for a record.
func (p *person) recorded(query string) auditRecord {
	p.t.Helper()
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if got := p.records(query); len(got) > 0 {
			return got[0]
		}
	}
	p.t.Fatalf("there is no record of %s", query)
	return auditRecord{}
}

func TestAuditTrail(t *testing.T) {
	t.Parallel()
	onTenants(t, func(t *testing.T, w *tenants) {
		admin, member, auditor := w.people["administrator"], w.people["member"], w.people["auditor"]
		vm := w.things["compute"][own]
		id := vm[strings.LastIndexByte(vm, '/')+1:]
		created := auditor.recorded("what=created&entity=" + id)
		if created.Login != "member" || created.User != member.id || created.Address != "127.0.0.1" || created.Method != "POST" || created.Path != "/compute/" ||
			created.Request == "" || !strings.Contains(created.After, `"occi.core.title":"a"`) || created.Before != "" || created.Owner != created.Project {
			t.Errorf("created: %+v", created)
		}
		done := auditor.recorded("what=done&verb=create&entity=" + id)
		if done.User != member.id || done.Request != created.Request || done.Task == "" {
			t.Errorf("done: %+v", done)
		}
		member.do("POST", vm, `{"cores":3,"title":"b"}`, "Content-Type: application/json", "Prefer: wait=20", "X-Request-Id: mine-1").want(t, 200)
		updated := auditor.recorded("what=updated&request=mine-1")
		if updated.Before != `{"occi.compute.cores":"1","occi.core.title":"a"}` || updated.After != `{"occi.compute.cores":"3","occi.core.title":"b"}` {
			t.Errorf("updated: %+v", updated)
		}
		member.do("POST", vm+"?action=start", "", "Prefer: wait=20").want(t, 200)
		if got := auditor.recorded("what=done&verb=start&entity=" + id); got.After != `{"occi.compute.state":"active"}` || got.Before != `{"occi.compute.state":"inactive"}` {
			t.Errorf("started: %+v", got)
		}

		// What is refused.
		reader := w.people["reader"]
		reader.do("DELETE", vm, "").want(t, 403)
		reader.do("DELETE", vm, "").want(t, 403)
		if got := auditor.recorded("status=403&login=reader"); got.Entity != id || got.Method != "DELETE" || got.Message != "forbidden" || got.Times == 0 {
			t.Errorf("refused: %+v", got)
		}
		others := w.things["compute"][foreign]
		member.do("GET", others, "").want(t, 404)
		if got := auditor.recorded("status=404&login=member"); !strings.HasSuffix(others, got.Entity) || got.Entity == "" {
			t.Errorf("refused: %+v", got)
		}
		for login, want := range map[string]string{"member": "member", "hunter2-typed-as-a-name": ""} {
			w.do("GET", "/", "", basic(login, "wrong secret")).want(t, 401)
			query := "status=401&path=/"
			if want != "" {
				query += "&login=" + want
			}
			if got := admin.recorded(query); got.User != "" || got.Message != "unauthorized" {
				t.Errorf("of %q: %+v", login, got)
			}
		}
		if text := admin.do("GET", "/audit/?number=1000", "").text; strings.Contains(text, "hunter2") {
			t.Error("the trail tells what was given as a login and is none")
		}

		// Whose it is.
		for _, r := range auditor.records("number=1000") {
			if r.Owner != created.Project && r.Project != created.Project {
				t.Errorf("an auditor is told of %+v", r)
			}
		}
		foreignRecord := admin.recorded("what=created&entity=" + others[strings.LastIndexByte(others, '/')+1:])
		auditor.do("GET", "/audit/"+strings.TrimPrefix(foreignRecord.ID, "urn:uuid:"), "").want(t, 404)
		mine := "/audit/" + strings.TrimPrefix(updated.ID, "urn:uuid:")
		if text := auditor.do("GET", mine+".atom", "").want(t, 200).text; !strings.Contains(text, "<summary>by member from 127.0.0.1; ") || !strings.Contains(text, "; occi.compute.cores: &#34;1&#34; → &#34;3&#34;") {
			t.Errorf("a reader of the feed is told %s", text)
		}
		for _, media := range []string{"text/plain", "text/occi", "application/json", "application/xml", "application/yaml", "application/occi+json", "application/occi+text", "application/atom+xml"} {
			for _, path := range []string{mine, "/audit/?request=mine-1&what=updated"} {
				r := auditor.do("GET", path, "", "Accept: "+media).want(t, 200)
				if all := r.text + strings.Join(r.Header.Values("X-OCCI-Location"), "") + strings.Join(r.Header.Values("X-OCCI-Attribute"), ""); !strings.Contains(all, mine[len("/audit/"):]) && !strings.Contains(all, "mine-1") {
					t.Errorf("%s as %s: %s", path, media, all)
				}
			}
		}
		feed := auditor.do("GET", "/audit/.atom?page=1&number=2", "").want(t, 200).text
		if strings.Count(feed, "<entry>") != 2 || !strings.Contains(feed, `rel="next"`) {
			t.Errorf("the feed: %s", feed)
		}
		for _, p := range []*person{member, reader} {
			p.do("GET", "/audit/", "").want(t, 403)
			p.do("GET", mine, "").want(t, 403)
		}
		for _, method := range []string{"POST", "PUT", "DELETE"} {
			admin.do(method, "/audit/", `{"title":"x"}`, "Content-Type: application/json").want(t, 405)
			admin.do(method, mine, `{"title":"x"}`, "Content-Type: application/json").want(t, 405)
		}
		admin.do("POST", "/", `{"type":"audit","title":"x"}`, "Content-Type: application/json", "X-Request-Id: refused-last").want(t, 403)
		// What is refused is put down soon, in order.
		admin.recorded("request=refused-last")

		// Pages and filters.
		all := admin.records("number=1000")
		for i, r := range all {
			if r.Record != len(all)-i {
				t.Fatalf("record %d is %d of %d", r.Record, i, len(all))
			}
		}
		if second := admin.records("number=3&page=2"); len(second) != 3 || second[0].Record > all[3].Record+5 || second[1].Record != second[0].Record-1 {
			t.Errorf("the second page: %+v", second)
		}
		if got := admin.records("sort=record&number=2"); len(got) != 2 || got[0].Record != 1 {
			t.Errorf("the first ones: %+v", got)
		}
		if got := admin.records("created.ge=" + url.QueryEscape(time.Now().Add(time.Hour).Format(time.RFC3339))); len(got) != 0 {
			t.Errorf("of the future: %+v", got)
		}
		if got := admin.records("created.ge=2020-01-01&created.lt=" + url.QueryEscape(time.Now().Add(time.Hour).Format(time.RFC3339)) + "&what=created&login=member"); len(got) == 0 {
			t.Error("nothing of the present")
		}
		admin.do("GET", "/audit/?colour=red", "").want(t, 400)
		admin.do("GET", "/audit/?archive=current", "").want(t, 400)
	})
}

// TestAuditOfAFlood refuses more than is told apart.
func TestAuditOfAFlood(t *testing.T) {
	t.Parallel()
	w := newTenants(t, dbtest.SQLite(t))
	admin := w.people["administrator"]
	const n = 2000
	for i := range n {
		o := occi.Origin{Address: "192.0.2.1", Path: "/" + strings.Repeat("x", i%1000), Method: "GET"}
		if i%2 == 0 {
			o.Address = "198.51.100." + string(rune('0'+i%10))
		}
		w.engine.Refuse(&occi.Record{Origin: o, Status: 403})
	}
	got := admin.recorded("status=403&message=others")
	all := admin.records("status=403&number=1000")
	times := 0
	for _, r := range all {
		times += r.Times
	}
	if len(all) > 350 || times != n || got.Path != "" {
		t.Errorf("%d records of %d refusals, as of %+v", len(all), times, got)
	}
}
