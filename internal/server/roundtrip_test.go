package server_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/occid/occid/render"
)

// texts are what a rendering may stumble over.
var texts = rapid.StringOf(rapid.SampledFrom([]rune("aZ09 .,;:=#?&<>{}[]()'\"\\/|-_+%@!~é漢😀"))).Filter(func(s string) bool { return len(s) < 200 })

// lines are texts of several lines.
var lines = rapid.StringOf(rapid.SampledFrom([]rune("aZ #:=\"\\{}<&-\n\t\ré漢")))

// anyOf is a random descriptor of an entity of each kind.
func (c *cloud) anyOf(t *rapid.T, network, storage string) (collection string, d map[string]any) {
	d = map[string]any{}
	maybe := func(key string, g *rapid.Generator[any]) {
		if rapid.Bool().Draw(t, key+"?") {
			d[key] = g.Draw(t, key)
		}
	}
	maybe("title", texts.AsAny())
	collection = rapid.SampledFrom([]string{"/compute/", "/network/", "/storage/"}).Draw(t, "collection")
	d["type"] = strings.Trim(collection, "/")
	maybe("summary", lines.AsAny())
	switch collection {
	case "/compute/":
		maybe("cores", rapid.IntRange(1, 8).AsAny())
		maybe("memory", rapid.SampledFrom([]any{0.1, 0.25, 1, 1.5, "512 MiB", "2 Gb"}))
		maybe("cpu", rapid.SampledFrom([]any{0.1, 3, 2.4}))
		maybe("hostname", rapid.SampledFrom([]any{"web-1", "a b", "Web_1.example.com"}))
		maybe("architecture", rapid.SampledFrom([]any{"x86", "x64"}))
		maybe("publickey", lines.AsAny())
		maybe("userdata", lines.AsAny())
		d["mixins"] = rapid.SampledFrom([][]string{{}, {"http://example.com/u/ann/tags#web"}, {"large"}, {"mem_small", "http://example.com/u/ann/tags#web"}}).
			Draw(t, "mixins")
		var links []any
		if rapid.Bool().Draw(t, "network?") {
			links = append(links, map[string]any{"target": network, "title": texts.Draw(t, "link's title")})
		}
		if rapid.Bool().Draw(t, "storage?") {
			links = append(links, map[string]any{"target": storage, "deviceid": "vdq", "mountpoint": texts.Draw(t, "mountpoint")})
		}
		if rapid.Bool().Draw(t, "elsewhere?") {
			links = append(links, map[string]any{"target": "https://elsewhere.example/a?b=c&d='e'#f"})
		}
		d["links"] = links
	case "/network/":
		maybe("vlan", rapid.IntRange(0, 4095).AsAny())
		maybe("label", texts.AsAny())
		if rapid.Bool().Draw(t, "ip?") {
			d["address"], d["allocation"] = "10.1.0.0/16", "static"
		}
	case "/storage/":
		d["size"] = rapid.SampledFrom([]any{0.01, 1, 1.5}).Draw(t, "size")
	}
	return collection, d
}

// TestWhatIsShownCanBeSentBack holds that in every rendering a PUT of what a GET
// shows changes nothing, and brings back what others have changed meanwhile.
func TestWhatIsShownCanBeSentBack(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	c.do("POST", "/-/", `Category: web; scheme="http://example.com/u/ann/tags#"; class="mixin"; title="Web, \"the\"; other"`, plain).want(t, 200)
	network, storage := c.create("/network/", `{"title":"n"}`), c.create("/storage/", `{"size":1}`)
	formats := slices.DeleteFunc(slices.Clone(render.Formats()), func(f *render.Format) bool { return !f.Reads || f.Media == "text/uri-list" })
	rapid.Check(t, func(rt *rapid.T) {
		collection, d := c.anyOf(rt, network, storage)
		body, err := json.Marshal(d)
		if err != nil {
			rt.Fatal(err)
		}
		r := c.do("POST", collection, string(body), "Content-Type: application/json", "Prefer: wait=20")
		if r.StatusCode != 201 {
			rt.Fatalf("%s: %d %s", body, r.StatusCode, r.text)
		}
		path := strings.TrimPrefix(r.Header.Get("Location"), c.url)
		paths := append(c.paths("/link/"), path)
		f := rapid.SampledFrom(formats).Draw(rt, "format")
		for _, p := range paths {
			if f.Targets && !strings.HasPrefix(p, "/compute/") {
				continue // it shows machines alone
			}
			if fault := c.sentBack(p, f); fault != "" {
				rt.Fatalf("%s as %s: %s", p, f.Media, fault)
			}
		}
		c.do("DELETE", path, "", "Prefer: wait=20")
	})
}

// sentBack sends back what a path shows in a format, at once and after a change,
// and says what is wrong then.
func (c *cloud) sentBack(path string, f *render.Format) string {
	accept := "Accept: " + f.Media
	shown := c.do("GET", path, "", accept)
	if shown.StatusCode == 404 {
		return "" // a link of another case, whose end has gone
	}
	body, header := asRequest(f, shown)
	header = append(header, accept, "Prefer: wait=20")
	state := func(r reply) string { return r.text + fmt.Sprint(asRequest(f, r)) }
	r := c.do("PUT", path, body, header...)
	if r.StatusCode != 200 || r.Header.Get("ETag") != shown.Header.Get("ETag") || state(r) != state(shown) {
		return fmt.Sprintf("PUT %s\n%v\ngives %d %s %s", body, header, r.StatusCode, r.Header.Get("ETag"), state(r))
	}
	r = c.do("POST", path, `{"title":"other"}`, "Content-Type: application/json", "Prefer: wait=20")
	if r.StatusCode != 200 {
		return "POST: " + r.text
	}
	r = c.do("PUT", path, body, header...)
	if r.StatusCode != 200 {
		return fmt.Sprintf("PUT after a change %s\n%v\ngives %d %s", body, header, r.StatusCode, r.text)
	}
	// A feed tells when it was changed.
	if now := c.do("GET", path, "", accept); f.Media != "application/atom+xml" && state(now) != state(shown) {
		return fmt.Sprintf("%s\n is after a change and its PUT\n%s", state(shown), state(now))
	}
	return ""
}
