package server_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// TestActuators invokes actions at their own URLs.
func TestActuators(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	path := c.create("/compute/", `{"title":"a"}`)
	const wait, json = "Prefer: wait=20", "Content-Type: application/json"
	for _, x := range []struct{ path, body, state string }{
		{"/state/start", "", "active"},
		{"/state/start.json", "", "active"},
		{"/state/stop/", `{"method":"poweroff"}`, "inactive"},
		{"/sc/start", "", "active"},
		{"/state/suspend?method=suspend", "", "suspended"},
		{"/state/stop", `{"action":"http://schemas.ogf.org/occi/infrastructure/compute/action#stop","attributes":{"method":"poweroff"}}`, "inactive"},
	} {
		c.do("POST", path+x.path, x.body, wait, json, "Accept: application/json").want(t, 200, `"state": "`+x.state+`"`)
	}
	options := c.do("OPTIONS", path+"/state/start", "")
	if options.StatusCode != 204 || options.Header.Get("Allow") != "OPTIONS, POST" {
		t.Errorf("OPTIONS: %s %v", options.Status, options.Header)
	}
	network := c.create("/network/", `{"title":"n"}`)
	c.do("POST", network+"/state/down", "", wait, "Accept: application/json").want(t, 200, `"inactive"`)
}

// TestLinkHeaders holds descriptors and entries to saying in the header where links
// and actions lead, and OCCI's own renderings to saying nothing.
func TestLinkHeaders(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	path := c.create("/compute/", `{"title":"a"}`)
	network := c.create("/network/", `{"title":"n"}`)
	nic := c.create("/networkinterface/", fmt.Sprintf(`{"source":%q,"target":%q,"title":"größe"}`, path, network))
	c.create("/link/", fmt.Sprintf(`{"source":%q,"target":"http://example.com/a>b","title":"a \"b\""}`, path))
	const infra = "http://schemas.ogf.org/occi/infrastructure"
	want := []string{
		"<" + c.url + network + `>; rel="` + infra + `#network"; self="` + c.url + nic + `"; title*=UTF-8''gr%C3%B6%C3%9Fe`,
		"<" + c.url + path + `/state/start>; rel="` + infra + `/compute/action#start http://purl.org/occi/state#start"; title="Start the machine"`,
	}
	for _, suffix := range []string{".json", ".xml", ".txt", ".yaml", ".atom"} {
		for range 2 { // made, and from memory
			got := c.do("GET", path+suffix, "").want(t, 200).Header["Link"]
			if len(got) != 5 || got[0] != want[0] || got[2] != want[1] || !strings.HasPrefix(got[1], "<http://example.com/a%3Eb>; ") || !strings.HasSuffix(got[1], `; title="a \"b\""`) {
				t.Errorf("GET %s%s: Link: %q", path, suffix, got)
			}
		}
	}
	r := c.do("POST", path, `{"title":"b"}`, "Content-Type: application/json", "Accept: application/json").want(t, 200)
	if !slices.Contains(r.Header["Link"], want[1]) {
		t.Errorf("POST: Link: %q", r.Header["Link"])
	}
	if got := c.do("POST", "/compute/", `{"type":"compute"}`, "Content-Type: application/json", "Accept: application/yaml").want(t, 201).Header["Link"]; len(got) == 0 {
		t.Error("created: no Link")
	}
	if got := c.do("GET", path+".json?attributes=cores", "").Header["Link"]; got != nil {
		t.Errorf("a part without links: %q", got)
	}
	for _, media := range []string{"text/plain", "application/occi+json"} {
		for _, method := range []string{"GET", "PUT"} {
			body := map[string]string{"PUT": `{"title":"b"}`}[method]
			if got := c.do(method, path, body, "Accept: "+media, "Content-Type: application/json").want(t, 200).Header["Link"]; got != nil {
				t.Errorf("%s as %s: Link: %q", method, media, got)
			}
		}
	}
	full := c.create("/compute/", `{"links":[`+linksTo(200)+`]}`)
	if got := c.do("GET", full+".json", "").want(t, 200, fmt.Sprintf("%0100d", 199)).Header["Link"]; got != nil {
		t.Errorf("%d links in the header", len(got))
	}
}

// linksTo spells links to elsewhere, in JSON.
func linksTo(n int) string {
	links := make([]string, n)
	for i := range links {
		links[i] = fmt.Sprintf(`{"type":"link","target":"http://example.com/%0100d"}`, i)
	}
	return strings.Join(links, ",")
}

// TestHeadersCarryAllOrNothing refuses in text/occi what header fields could not
// carry whole, with the advice to ask for another rendering, and does what is asked
// all the same.
func TestHeadersCarryAllOrNothing(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	const inHeaders, inText, json = "Accept: text/occi", "Accept: text/plain", "Content-Type: application/json"
	some := c.create("/compute/", `{"title":"some","links":[`+linksTo(100)+`]}`)
	if r := c.do("GET", some, "", inHeaders).want(t, 200); strings.Count(r.Header.Get("Link"), "example.com") != 100 || r.text != "OK" {
		t.Errorf("%d bytes of links, body %q", len(r.Header.Get("Link")), r.text)
	}
	many := c.create("/compute/", `{"title":"many","links":[`+linksTo(400)+`]}`)
	for _, method := range []string{"GET", "HEAD"} {
		r := c.do(method, many, "", inHeaders).want(t, 406)
		for _, name := range []string{"Link", "Category", "X-OCCI-Attribute", "ETag"} {
			if r.Header[name] != nil {
				t.Errorf("%s: %s came with 406", method, name)
			}
		}
	}
	c.do("GET", many, "", inHeaders).want(t, 406, "accept text/plain instead")
	if r := c.do("GET", many, "", inText).want(t, 200); strings.Count(r.text, "example.com") != 400 {
		t.Error("text/plain lacks links")
	}
	c.do("GET", many+"?attributes=title", "", inHeaders).want(t, 200)
	if r := c.do("POST", many, `{"title":"changed"}`, json, inHeaders).want(t, 200, "changed"); !strings.HasPrefix(r.Header.Get("Content-Type"), "text/plain") {
		t.Errorf("a change is answered in %s", r.Header.Get("Content-Type"))
	}
	c.do("POST", "/link/", `{"resources":[`+strings.ReplaceAll(linksTo(800), `{"type"`, `{"source":"`+some+`","type"`)+`]}`, json, inText).want(t, 201)
	c.do("GET", "/link/", "", inHeaders).want(t, 406, "accept text/plain instead")
	if n := len(c.paths("/link/")); n != 1300 {
		t.Errorf("%d links of 1300", n)
	}
	c.do("GET", "/link/?page=1&number=100", "", inHeaders).want(t, 200)
	c.do("GET", "/-/", "", inHeaders).want(t, 200)
}
