package server_test

import (
	"fmt"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/occid/occid/render"
)

// TestAnImportBringsTags takes over computes with mixins of users. An envelope
// defines them; elsewhere they must be there.
func TestAnImportBringsTags(t *testing.T) {
	t.Parallel()
	const rack = "http://example.com/u/ann/tags#rack"
	from := newCloud(t)
	for _, tag := range []string{
		`"term":"web","title":"Web & more","location":"/tags/web/","depends":["` + rack + `"]`,
		`"term":"rack","applies":["http://schemas.ogf.org/occi/infrastructure#networkinterface","http://schemas.ogf.org/occi/infrastructure#compute"]`,
	} {
		from.do("POST", "/-/", `{"mixins":[{"scheme":"http://example.com/u/ann/tags#",`+tag+`}]}`, "Content-Type: application/json").want(t, 200)
	}
	network := from.create("/network/", `{"title":"lan"}`)
	compute := from.create("/compute/", fmt.Sprintf(`{"title":"a","mixins":[%q],"links":[{"target":%q,"mixins":[%q]}]}`, webTag, network, rack))
	registry := func(c *cloud, term string) string {
		return c.do("GET", "/-/?category="+term, "", "Accept: application/json").want(t, 200).text
	}
	for _, f := range render.Formats() {
		if !f.Reads || f.Media == "text/uri-list" {
			continue
		}
		t.Run(f.Media, func(t *testing.T) {
			to := newCloud(t)
			body, header := from.show(network, "application/json")
			to.do("POST", "/network/", body, header...).want(t, 201)
			body, header = from.show(compute, f.Media)
			if !f.Targets {
				before := to.revision()
				to.do("POST", "/compute/", body, header...).want(t, 400, webTag, "unknown mixin")
				if to.revision() != before {
					t.Error("something changed")
				}
				for _, term := range []string{"web", "rack"} {
					to.do("POST", "/-/", registry(from, term), "Content-Type: application/json").want(t, 200)
				}
			}
			to.do("POST", "/compute/", body, header...).want(t, 201)
			if diff := gocmp.Diff(from.identity(compute), to.identity(compute)); diff != "" {
				t.Errorf("(-there +here):\n%s", diff)
			}
			for _, term := range []string{"web", "rack"} {
				want(t, registry(to, term), registry(from, term))
			}
			want(t, to.paths("/tags/web/"), []string{compute})
		})
	}
}

// TestATagBroughtAlongMayClash holds that an import defines nothing that is in the
// way of what there is, and nothing if it is refused itself.
func TestATagBroughtAlongMayClash(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	tag := func(term, more string) string {
		return `{"type":"compute","mixins":[{"term":"` + term + `","scheme":"http://example.com/u/ann/tags#"` + more + `}]}`
	}
	post := func(body string) reply {
		return c.do("POST", "/compute/", body, "Content-Type: application/json", "Prefer: wait=20")
	}
	post(tag("web", `,"location":"/tags/web/"`)).want(t, 201)
	before, registry := c.revision(), c.do("GET", "/-/", "").text
	db := tag("db", `,"location":"/tags/db/"`)
	for _, x := range []struct {
		body   string
		status int
		says   string
	}{
		{tag("web", `,"location":"/tags/other/"`), 409, webTag},
		{tag("web", `,"location":"/tags/web/","title":"Another"`), 409, webTag},
		{tag("db", `,"location":"/tags/web/"`), 409, "is taken by " + webTag},
		{tag("db", `,"location":"/compute/db/"`), 409, "is taken by"},
		{tag("db", `,"location":"/healthz/db/"`), 409, "is taken by /healthz"},
		{tag("db", ""), 400, "unknown mixin"},
		{tag("db", `,"title":"DB"`), 400, "unknown mixin"},
		{tag("db", `,"location":"/tags/db/","attributes":["a.b"]`), 400, "a.b"},
		{tag("db", `,"location":"tags"`), 400, "location"},
		{tag("db", `,"location":"/tags/db/","applies":["http://schemas.ogf.org/occi/infrastructure#network"]`), 400, "does not apply"},
		{strings.Replace(db, `{"type"`, `{"cores":"many","type"`, 1), 400, "cores"},
		{strings.Replace(db, "example.com", "schemas.ogf.org", 1), 403, "is not for users"},
	} {
		post(x.body).want(t, x.status, x.says)
		if now := c.do("GET", "/-/", "").text; now != registry || c.revision() != before {
			t.Errorf("%s: something changed", x.body)
		}
	}
	// The same definition again is none.
	post(tag("web", `,"location":"/tags/web/"`)).want(t, 201)
	compute := c.paths("/compute/")[0]
	asJSON := []string{"Content-Type: application/json", "Accept: application/json"}
	c.do("POST", compute, db, asJSON...).want(t, 200, "tags#db")
	want(t, c.paths("/tags/db/"), []string{compute})
	c.do("PUT", compute, tag("dc", `,"location":"/tags/dc/"`), asJSON...).want(t, 200, "tags#dc")
	c.do("PUT", "/compute/"+uuid.NewString(), tag("dd", `,"location":"/tags/dd/"`), asJSON...).want(t, 201, "tags#dd")
	want(t, len(c.paths("/tags/dd/")), 1)
}
