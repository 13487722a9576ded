package server_test

import (
	"strings"
	"testing"
)

// linked makes a plain link and gives its path.
func (c *cloud) linked(source, target string) string {
	c.t.Helper()
	text := `Category: link; scheme="http://schemas.ogf.org/occi/core#"` + "\n" +
		`X-OCCI-Attribute: occi.core.source="` + source + `", occi.core.target="` + target + `"`
	r := c.do("POST", "/link/", text, plain).want(c.t, 201)
	return strings.TrimPrefix(r.Header.Get("Location"), c.url)
}

func TestPlainLinksEndWithTheirEnds(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, c *cloud) {
		vm, other := c.create("/compute/", `{"title":"a"}`), c.create("/compute/", `{"title":"b"}`)
		network, storage := c.create("/network/", `{"title":"n"}`), c.create("/storage/", `{"size":1}`)
		c.do("POST", vm+"?action=start", "", "Prefer: wait=20").want(t, 200)
		// A link that is no device does not hold on to what it leads to.
		for _, target := range []string{other, network, storage} {
			link := c.linked(vm, target)
			tag := c.do("GET", vm, "").want(t, 200, link, "<"+target+">").Header.Get("ETag")
			c.do("GET", target+"/compute/", "", "Accept: text/uri-list").want(t, 200, vm)
			c.do("DELETE", target, "", "Prefer: wait=20").want(t, 200)
			c.do("GET", link, "").want(t, 404)
			if r := c.do("GET", vm, "").want(t, 200); strings.Contains(r.text, target) || r.Header.Get("ETag") == tag {
				t.Errorf("a link to what is gone is left: %s", r.text)
			}
		}
		link := c.linked(vm, vm)
		c.do("DELETE", vm, "", "Prefer: wait=20").want(t, 200)
		c.do("GET", link, "").want(t, 404)
		c.do("GET", vm, "").want(t, 404)
	})
}

func TestTargetsElsewhereAreKeptAsGiven(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	vm := c.create("/compute/", `{"title":"a"}`)
	for _, uri := range []string{"https://elsewhere.example/thing/1", "https://elsewhere.example/a%20b/?x=1&y=%22#z", "mailto:ann@example.com",
		"urn:isbn:0451450523", "https://elsewhere.example/compute/7f3c0c3e-62a8-4f0c-8b64-0c0b8a2f6a11"} {
		link := c.linked(vm, uri)
		c.do("GET", link, "").want(t, 200, `occi.core.target="`+uri+`"`)
		c.do("GET", vm, "").want(t, 200, "<"+uri+">")
		c.do("GET", link, "", "Accept: application/occi+json").want(t, 200)
		shown := c.do("GET", link, "").text
		c.do("PUT", link, shown, plain).want(t, 200, `occi.core.target="`+uri+`"`)
		c.do("PUT", link, strings.Replace(shown, uri, "https://elsewhere.example/other", 1), plain).want(t, 403, "occi.core.target")
		c.do("GET", "/link/?target="+strings.NewReplacer("%", "%25", "#", "%23", "&", "%26", "?", "%3F").Replace(uri), "",
			"Accept: text/uri-list").want(t, 200, link)
		c.do("DELETE", link, "").want(t, 200)
	}
}

func TestReplacingLeavesLinksAlone(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	network := c.create("/network/", `{"title":"n"}`)
	storage := c.create("/storage/", `{"size":1}`)
	vm := c.create("/compute/", `{"title":"a","links":[{"target":"`+network+`"},{"target":"`+storage+`","deviceid":"vdc"}]}`)
	json := "Content-Type: application/json"
	c.do("PUT", vm, `{"title":"b"}`, json, "Prefer: wait=20").want(t, 200, network, storage)
	c.do("PUT", vm, `{"title":"c","links":[{"target":"`+network+`"}]}`, json, "Prefer: wait=20").want(t, 200, network, storage)
	before := c.revision()
	c.do("PUT", vm, `{"title":"d","links":[{"target":"`+vm+`"}]}`, json).want(t, 400, vm)
	shown := c.do("GET", vm, "").text
	for old, other := range map[string]string{`deviceid="vdc"`: `deviceid="vdd"`, "<" + storage: "<" + network} {
		for _, method := range []string{"PUT", "POST"} {
			c.do(method, vm, strings.Replace(shown, old, other, 1), plain).want(t, 400, "/storagelink/")
		}
	}
	if c.revision() != before {
		t.Error("a refused request changed something")
	}
	c.do("PUT", vm, shown, plain).want(t, 200, `deviceid="vdc"`)
}
