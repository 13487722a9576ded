package server_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/occid/occid/render"
)

const (
	webTag = "http://example.com/u/ann/tags#web"
	plain  = "Content-Type: text/plain"
)

// asHeader makes header lines of a text/occi request.
func asHeader(media, text string) (body string, header []string) {
	header = []string{"Content-Type: " + media}
	if f := render.Named(media); f == nil || !f.InHeaders {
		return text, header
	}
	for line := range strings.Lines(text) {
		header = append(header, strings.TrimSpace(line))
	}
	return "", header
}

// definitions gives a definition of the same mixin in each format, by media type.
func definitions(t *testing.T) map[string]string {
	t.Helper()
	out := map[string]string{}
	for _, f := range render.Formats() {
		_, name, _ := strings.Cut(f.Media, "/")
		for name, media := range map[string]string{name: f.Media, strings.ReplaceAll(f.Media, "/", "-"): f.Media} {
			text, err := os.ReadFile(filepath.Join("../../testdata/renderings/user-mixin", name))
			if err == nil {
				out[media] = string(text)
			}
		}
	}
	if len(out) < 7 {
		t.Fatalf("only %d formats define a mixin", len(out))
	}
	return out
}

func TestUsersDefineAndRemoveMixinsInEveryRendering(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, c *cloud) {
		path := c.create("/compute/", `{"type":"compute"}`)
		registries := []string{"/-/", "/.well-known/org/ogf/occi/-/"}
		i := 0
		for media, text := range definitions(t) {
			body, header := asHeader(media, text)
			at := registries[i%2]
			i++
			c.do("POST", at, body, header...).want(t, 200)
			before := c.revision()
			c.do("POST", at, body, append(header, "Accept: "+media)...).want(t, 200)
			if c.revision() != before {
				t.Errorf("%s: the same definition again changed something", media)
			}
			if i == 1 {
				c.seen(registries)
			}
			c.do("GET", "/-/?category=web", "").want(t, 200, `title="Web servers"; rel="http://example.com/u/ann/tags#servers"; location="/tag/ann/web/"`)
			c.do("POST", "/tag/ann/web/", c.url+path, "Content-Type: text/uri-list").want(t, 200)
			c.do("GET", "/compute/?category="+strings.ReplaceAll(webTag, "#", "%23"), "", "Accept: text/uri-list").want(t, 200, path)
			c.do("GET", path, "").want(t, 200, `Category: web; scheme="http://example.com/u/ann/tags#"`)
			if r := c.do("DELETE", at, body, append(header, "Accept: "+media)...); r.StatusCode != 200 && r.StatusCode != 204 {
				t.Fatalf("%s: a mixin cannot be removed: %d %s", media, r.StatusCode, r.text)
			}
			c.do("GET", "/tag/ann/web/", "").want(t, 404)
			if r := c.do("GET", path, "").want(t, 200); strings.Contains(r.text, "web") {
				t.Errorf("%s: a removed mixin is left: %s", media, r.text)
			}
		}
	})
}

// seen fails the test unless each registry shows the mixin in every rendering,
// among all categories and alone.
func (c *cloud) seen(registries []string) {
	c.t.Helper()
	for _, f := range render.Formats() {
		if f.Targets { // of machines
			continue
		}
		for _, path := range registries {
			for _, query := range []string{"", "?category=web"} {
				r := c.do("GET", path+query, "", "Accept: "+f.Media).want(c.t, 200)
				if seen := r.text + strings.Join(r.Header["Category"], ""); !strings.Contains(seen, "/tag/ann/web/") && !strings.Contains(seen, webTag) {
					c.t.Errorf("%s does not show a mixin of users: %s", f.Media, seen)
				}
			}
		}
	}
}

func TestSeveralMixinsAreDefinedTogetherOrNotAtAll(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	a := `Category: a; scheme="http://example.com/u/ann/tags#"; class="mixin"; location="/t/a/"; rel="http://example.com/u/ann/tags#b"` + "\n"
	b := `Category: b; scheme="http://example.com/u/ann/tags#"; class="mixin"; location="/t/b/"; title="B, \"the\"; other"` + "\n"
	taken := `Category: c; scheme="http://example.com/u/ann/tags#"; class="mixin"; location="/t/b/"` + "\n"
	c.do("POST", "/-/", a+b+taken, plain).want(t, 409, "/t/b/", "#b")
	c.do("GET", "/t/a/", "").want(t, 404)
	c.do("POST", "/-/", a+b, plain).want(t, 200)
	c.do("GET", "/t/", "").want(t, 200)
	c.do("GET", "/-/", "").want(t, 200, strings.TrimSpace(b[strings.Index(b, "title"):strings.Index(b, "other")]), `rel="http://example.com/u/ann/tags#b"`)
	c.do("DELETE", "/-/", a+taken, plain).want(t, 404, "#c")
	c.do("GET", "/t/a/", "").want(t, 200)
	c.do("DELETE", "/-/", a+b, plain).want(t, 200, "OK")
	c.do("GET", "/t/", "").want(t, 404)
}

func TestTheRegistryHasVersions(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	tag := `Category: web; scheme="http://example.com/u/ann/tags#"; class="mixin"`
	path := c.create("/compute/", `{"type":"compute"}`)
	entity := c.do("GET", path, "").Header.Get("ETag")
	first := c.do("GET", "/-/", "").Header.Get("ETag")
	c.do("GET", "/-/", "", "If-None-Match: "+first).want(t, 304)
	c.do("POST", "/-/", tag, plain, "If-Match: "+first).want(t, 200)
	c.do("GET", "/-/", "", "If-None-Match: "+first).want(t, 200)
	c.do("DELETE", "/-/", tag, plain, "If-Match: "+first).want(t, 412)
	c.do("GET", path, "", "If-None-Match: "+entity).want(t, 304)
	c.do("GET", "/mixin/example.com/u/ann/tags/web/", "").want(t, 200)
}

// TestMixinsAreKnownToEveryServer has two servers share a database.
func TestMixinsAreKnownToEveryServer(t *testing.T) {
	t.Parallel()
	one, other := newClouds(t)
	mention := `Category: web; scheme="http://example.com/u/ann/tags#"; class="mixin"`
	tag := mention + `; location="/tag/web/"`
	path := one.create("/compute/", `{"type":"compute"}`)
	for range 2 {
		one.do("POST", "/-/", tag, plain).want(t, 200)
		other.do("GET", "/compute/", "", "Accept: text/uri-list", tag).want(t, 200)
		other.do("POST", "/tag/web/", path, "Content-Type: text/uri-list").want(t, 200, path)
		one.do("GET", "/tag/web/", "").want(t, 200, path)
		one.do("DELETE", "/-/", tag, plain).want(t, 200)
		other.do("POST", path, mention, plain).want(t, 400, "web")
		other.do("GET", "/tag/web/", "").want(t, 404)
	}
}
