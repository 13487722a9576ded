package server_test

import (
	"strings"
	"testing"
)

func TestALifeOverHTTP(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	path := c.create("/compute/", `{"type":"compute","title":"web-1","cores":2,"memory":"1 GiB"}`)
	for _, x := range []struct{ suffix, accept, media, text string }{
		{".txt", "", "application/occi+text; charset=utf-8", "type compute\ncores 2\nmemory 1 Gb\n"},
		{".json", "", "application/json", `"memory": "1 Gb"`},
		{".xml", "", "application/xml; charset=utf-8", "<memory>1 Gb</memory>"},
		{".atom", "", "application/atom+xml; charset=utf-8", "<title>web-1</title>"},
		{".yaml", "text/occi", "application/yaml", "memory: 1 Gb"},
		{"", "", "text/plain; charset=utf-8", "X-OCCI-Attribute: occi.compute.memory=1.0\n"},
		{"", "*/*", "text/plain; charset=utf-8", "Category: compute; "},
		{"", "application/occi+json;q=0.9, text/html", "application/occi+json", `"occi.compute.memory":1.0`},
		{"", "text/occi", "text/occi", "OK"},
	} {
		r := c.do("GET", path+x.suffix, "", "Accept: "+x.accept).want(t, 200, x.text)
		if got := r.Header.Get("Content-Type"); got != x.media {
			t.Errorf("%s as %q comes as %s, want %s", x.suffix, x.accept, got, x.media)
		}
	}
	r := c.do("GET", path, "", "Accept: text/occi").want(t, 200)
	if got := r.Header.Get("X-OCCI-Attribute"); r.text != "OK" || !strings.Contains(got, "occi.compute.cores=2, ") {
		t.Errorf("in headers: %q with body %q", got, r.text)
	}
	c.do("POST", path+"?action=start", "", "Prefer: wait=20").want(t, 200, `occi.compute.state="active"`, "?action=stop>")
	c.do("POST", path+"?action=stop", "", "Prefer: wait=20").want(t, 200, `occi.compute.state="inactive"`)
	c.do("POST", path, `{"title":"web-2"}`, "Content-Type: application/json").want(t, 200, `occi.core.title="web-2"`)
	if r := c.do("DELETE", path, "", "Prefer: wait=20").want(t, 200); r.text != "OK" {
		t.Errorf("DELETE says %q", r.text)
	}
	c.do("GET", path, "").want(t, 404, "there is no entity")
}
