package server_test

import (
	"strings"
	"testing"

	"github.com/occid/occid/render"
)

// changes is one change of the title in each format; BAD is where another line of
// the format may say more.
var changes = map[string]struct{ text, bad string }{
	"text/plain":            {`X-OCCI-Attribute: occi.core.title="new"` + "\nBAD", "X-OCCI-Attribute: occi.compute.cores=-1\n"},
	"text/occi+plain":       {`X-OCCI-Attribute: occi.core.title="new"` + "\nBAD", "X-OCCI-Attribute: occi.compute.cores=-1\n"},
	"text/occi":             {`X-OCCI-Attribute: occi.core.title="new"BAD`, ", occi.compute.cores=-1"},
	"application/occi+json": {`{"title":"new"BAD}`, `,"attributes":{"occi.compute.cores":-1}`},
	"application/occi+text": {"title new\nBAD", "cores -1\n"},
	"application/json":      {`{"title":"new"BAD}`, `,"cores":-1`},
	"application/xml":       {`<occi xmlns="http://purl.org/occi"><title>new</title>BAD</occi>`, "<cores>-1</cores>"},
	"application/occi+xml":  {`<occi xmlns="http://purl.org/occi"><title>new</title>BAD</occi>`, "<cores>-1</cores>"},
	"application/yaml":      {"title: new\nBAD", "cores: -1\n"},
	"application/atom+xml": {`<entry xmlns="http://www.w3.org/2005/Atom"><id>urn:uuid:00000000-0000-4000-8000-000000000000</id><title>new</title>` +
		`<updated>2026-01-01T00:00:00Z</updated><content type="application/occi+xml"><occi xmlns="http://purl.org/occi">` +
		`<title>new</title>BAD</occi></content></entry>`, "<cores>-1</cores>"},
}

func TestPostMergesAndPutReplacesInEveryRendering(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	tag := c.tagged("web")
	network := c.create("/network/", `{"title":"n"}`)
	for _, f := range render.Formats() {
		change, ok := changes[f.Media]
		if !f.Reads || f.Media == "text/uri-list" || f.Targets {
			continue // an envelope is always a whole machine
		}
		if !ok {
			t.Errorf("no change in %s", f.Media)
			continue
		}
		vm := c.create("/compute/", `{"title":"old","summary":"s","cores":4,"hostname":"h","publickey":"ssh-ed25519 AAAA","mixins":["web"],`+
			`"links":[{"target":"`+network+`"}]}`)
		send := func(method, bad string) reply {
			body, header := asHeader(f.Media, strings.Replace(change.text, "BAD", bad, 1))
			return c.do(method, vm, body, append(header, "Prefer: wait=20")...)
		}
		kept := []string{"summary=", "cores=4", "hostname=", "publickey=", "Category: web"}
		before := c.revision()
		send("POST", change.bad).want(t, 400, "occi.compute.cores")
		send("PUT", change.bad).want(t, 400, "occi.compute.cores")
		if c.revision() != before {
			t.Errorf("%s: a bad change changed something", f.Media)
		}
		send("POST", "").want(t, 200, append(kept, `title="new"`, network)...)
		r := send("PUT", "").want(t, 200, "cores=1", `title="new"`, network)
		for _, word := range kept {
			if strings.Contains(r.text, word) {
				t.Errorf("%s: %s is left by a PUT without it", f.Media, word)
			}
		}
		if got := c.paths(tag); len(got) != 0 {
			t.Errorf("%s: the mixin's members are %v", f.Media, got)
		}
	}
}
