package server_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/occid/occid/render"
)

// tagged defines a mixin of a user that depends on others and gives its collection.
func (c *cloud) tagged(term string, depends ...string) string {
	c.t.Helper()
	location := "/tags/" + term + "/"
	text := `Category: ` + term + `; scheme="http://example.com/u/ann/tags#"; class="mixin"; location="` + location + `"`
	if len(depends) > 0 {
		text += `; rel="` + strings.Join(depends, " ") + `"`
	}
	c.do("POST", "/-/", text, plain).want(c.t, 200)
	return location
}

// asRequest makes a request's body and header of an answer.
func asRequest(f *render.Format, r reply) (body string, header []string) {
	if !f.InHeaders {
		return r.text, []string{"Content-Type: " + f.Media}
	}
	header = []string{"Content-Type: " + f.Media}
	for _, name := range []string{"Category", "Link", "X-OCCI-Attribute", "X-OCCI-Location"} {
		for _, v := range r.Header[http.CanonicalHeaderKey(name)] {
			header = append(header, name+": "+v)
		}
	}
	return "", header
}

// TestMembersAreListedInEveryRendering sends what a collection shows to the
// collection of a mixin.
func TestMembersAreListedInEveryRendering(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	tag := c.tagged("web")
	network := c.create("/network/", `{"title":"n"}`)
	compute := c.create("/compute/", `{"title":"c","links":[{"target":"`+network+`"}]}`)
	other := c.create("/compute/", `{"title":"d"}`)
	for _, f := range render.Formats() {
		if f.Targets {
			continue // it shows no collections
		}
		accept := "Accept: " + f.Media
		all, header := asRequest(f, c.do("GET", "/", "", accept).want(t, 200))
		members := func(what string, want ...string) {
			t.Helper()
			got := c.paths(tag)
			slices.Sort(got)
			slices.Sort(want)
			if !slices.Equal(got, want) {
				t.Errorf("%s: %s leaves %v, want %v", f.Media, what, got, want)
			}
		}
		c.do("PUT", tag, all, append(header, accept)...).want(t, 200)
		members("PUT", c.paths("/")...)
		body, header := asRequest(f, c.do("GET", "/compute/", "", accept).want(t, 200))
		c.do("DELETE", tag, body, append(header, accept)...).want(t, 200)
		members("DELETE", network, c.paths("/networkinterface/")[0])
		c.do("POST", tag, body, append(header, accept)...).want(t, 200)
		members("POST", append(c.paths("/networkinterface/"), network, compute, other)...)
		one, header := asRequest(f, c.do("GET", compute, "", "Accept: "+f.Media))
		if f.Media != "text/uri-list" && !f.InHeaders && !strings.HasSuffix(f.Media, "plain") {
			c.do("PUT", tag, one, header...).want(t, 200)
			members("PUT of one", compute)
		}
		c.do("DELETE", tag, "", accept).want(t, 200)
		members("DELETE of all")
	}
}

func TestAssociationIsAllOrNothing(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, c *cloud) {
		tag := c.tagged("web")
		a, b := c.create("/compute/", `{"type":"compute"}`), c.create("/compute/", `{"type":"compute"}`)
		uris := "Content-Type: text/uri-list"
		missing := "/compute/00000000-0000-4000-8000-000000000001"
		asNetwork := strings.Replace(b, "compute", "network", 1)
		c.do("POST", tag, a, uris).want(t, 200)
		for _, bad := range []string{missing, asNetwork, "/compute/", "http://elsewhere.example/x"} {
			before := c.revision()
			for _, method := range []string{"POST", "PUT", "DELETE"} {
				c.do(method, tag, a+"\n"+b+"\n"+bad, uris).want(t, 400, bad)
			}
			if c.revision() != before {
				t.Errorf("a list with %s changed something", bad)
			}
		}
		if got := c.paths(tag); len(got) != 1 || got[0] != a {
			t.Errorf("the members are %v", got)
		}
	})
}

func TestWhatComesAndGoesWithAMixin(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	uris := "Content-Type: text/uri-list"
	const sshKey = "http://schemas.ogf.org/occi/infrastructure/credentials#ssh_key"
	keyed := c.tagged("keyed", sshKey)
	more := c.tagged("more", "http://example.com/u/ann/tags#keyed")
	path := c.create("/compute/", `{"type":"compute"}`)
	c.do("POST", more, path, uris).want(t, 200)
	c.do("POST", path, `{"publickey":"ssh-ed25519 AAAA"}`, "Content-Type: application/json").want(t, 200, "ssh-ed25519 AAAA")
	if got := c.paths("/mixin/ssh_key/"); len(got) != 0 {
		t.Errorf("an attribute that is of a mixin's dependency added another mixin: %v", got)
	}
	// Not a member by itself: nothing to take.
	c.do("DELETE", keyed, path, uris).want(t, 200)
	c.do("GET", path, "").want(t, 200, "ssh-ed25519 AAAA", "Category: more")
	c.do("POST", keyed, path, uris).want(t, 200)
	c.do("DELETE", keyed, path, uris).want(t, 200)
	if r := c.do("GET", path, ""); strings.Contains(r.text, "ssh-ed25519") || strings.Contains(r.text, "more") || strings.Contains(r.text, "keyed") {
		t.Errorf("what depends on a mixin stays without it: %s", r.text)
	}
	network := c.create("/network/", `{"type":"network"}`)
	c.do("POST", more, network, uris).want(t, 400, sshKey, "does not apply")
	c.do("POST", "/mixin/ssh_key/", path+"\n"+network, uris).want(t, 400, "does not apply")
	if got := c.paths("/mixin/ssh_key/"); len(got) != 0 {
		t.Errorf("members %v of what applies to other kinds", got)
	}
}
