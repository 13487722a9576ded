package server_test

import (
	"strings"
	"testing"
)

func TestNegotiation(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	path := c.create("/compute/", `{"title":"web"}`)
	for _, x := range []struct{ path, accept, want string }{
		{path, "", "text/plain; charset=utf-8"},
		{path, "*", "text/plain; charset=utf-8"},
		{path, "text/*", "text/plain; charset=utf-8"},
		{path, "text/plain, text/occi", "text/plain; charset=utf-8"},
		{path, "text/occi, text/plain", "text/occi"},
		{path, "text/occi+plain", "text/occi+plain; charset=utf-8"},
		{path, "application/json;q=0.5, application/occi+json", "application/occi+json"},
		{path, "image/png, application/*;q=0.1, text/occi;q=0.05", "application/occi+json"},
		{path, "text/plain;q=0, */*", "text/occi+plain; charset=utf-8"},
		{path, "APPLICATION/JSON; charset=utf-8", "application/json"},
		{path + ".txt", "application/json", "application/occi+text; charset=utf-8"},
		{path + ".json", "image/png", "application/json"},
		{"/compute.json", "", "application/json"},
		{"/compute/.atom", "", "application/atom+xml; charset=utf-8"},
		{"/.atom", "", "application/atom+xml; charset=utf-8"},
		{"/compute/.uri", "", "text/uri-list"},
		{"/-/.json", "", "application/json"},
		{"/-.json", "", "application/json"},
		{"/-/states.xml", "", "application/xml; charset=utf-8"},
		{"/.well-known/org/ogf/occi/-/", "text/occi+plain", "text/occi+plain; charset=utf-8"},
		{"/healthz", "image/png", "text/plain; charset=utf-8"},
		{path + "/tasks.json", "", "application/json"},
		{path + "/network.yaml", "", "application/yaml"},
	} {
		r := c.do("GET", x.path, "", accepting(x.accept)...).want(t, 200)
		if got := r.Header.Get("Content-Type"); got != x.want {
			t.Errorf("GET %s, Accept %q: %s, want %s", x.path, x.accept, got, x.want)
		}
		if err := wellFormed(r); err != nil {
			t.Errorf("GET %s, Accept %q: %v", x.path, x.accept, err)
		}
	}
}

func accepting(media string) []string {
	if media == "" {
		return nil
	}
	return []string{"Accept: " + media}
}

func TestEverythingReadHasAnEntityTag(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	path := c.create("/compute/", `{"title":"web"}`)
	task := c.paths(path + "/tasks/")[0]
	category := `Category: network; scheme="http://schemas.ogf.org/occi/infrastructure#"; class="kind"`
	seen := map[string]string{}
	for _, x := range []struct{ path, header string }{
		{path, "Accept: */*"}, {path + ".json", "Accept: */*"}, {"/compute/", "Accept: */*"}, {"/", "Accept: */*"}, {"/", category},
		{"/compute/.json", "Accept: */*"}, {"/-/", "Accept: */*"}, {"/-/", category}, {"/-/states", "Accept: */*"},
		{path + "/tasks/", "Accept: */*"}, {task, "Accept: */*"}, {path + "/network/", "Accept: */*"},
	} {
		r := c.do("GET", x.path, "", x.header).want(t, 200)
		tag := r.Header.Get("ETag")
		if !strings.HasPrefix(tag, `"`) {
			t.Errorf("GET %s, %s: ETag %s is not strong", x.path, x.header, tag)
		}
		if seen[x.path+tag] != "" {
			t.Errorf("GET %s, %s: ETag %s is that for %s", x.path, x.header, tag, seen[x.path+tag])
		}
		seen[x.path+tag] = x.header
		for _, match := range []string{tag, `"x", W/` + tag, "*"} {
			if r := c.do("GET", x.path, "", x.header, "If-None-Match: "+match).want(t, 304); r.Header.Get("ETag") != tag {
				t.Errorf("GET %s, %s: 304 with ETag %s", x.path, x.header, r.Header.Get("ETag"))
			}
		}
		c.do("GET", x.path, "", x.header, `If-None-Match: "x"`).want(t, 200)
		c.do("GET", x.path, "", x.header, "If-Modified-Since: Mon, 02 Jan 2006 15:04:05 GMT").want(t, 200)
	}
	for _, p := range []string{"/compute/", "/", path} {
		before := c.do("GET", p, "").Header.Get("ETag")
		c.do("POST", path, `{"title":"for `+p+`"}`, "Content-Type: application/json").want(t, 200)
		if r := c.do("GET", p, "", "If-None-Match: "+before).want(t, 200); r.Header.Get("ETag") == before {
			t.Errorf("%s keeps its tag through a change", p)
		}
	}
}
