package server_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

func TestWhatWasReadCanBeSentBack(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	path := c.create("/compute/", `{"title":"a, \"b\"; c","cores":2,"memory":"1.5 GiB","architecture":"x64","publickey":"ssh-ed25519 AAAA"}`)
	network := c.create("/network/", `{"title":"n"}`)
	c.create("/networkinterface/", fmt.Sprintf(`{"source":%q,"target":%q}`, path, network))
	c.do("POST", path+"?action=start", "", "Prefer: wait=20").want(t, 200)
	tag := c.do("GET", path, "").Header.Get("ETag")
	for _, media := range []string{"text/plain", "text/occi+plain", "application/occi+json", "application/occi+text", "application/json",
		"application/xml", "application/occi+xml", "application/yaml", "application/atom+xml"} {
		for _, method := range []string{"PUT", "POST"} {
			r := c.do("GET", path, "", "Accept: "+media).want(t, 200)
			c.do(method, path, r.text, "Content-Type: "+r.Header.Get("Content-Type")).want(t, 200)
			if now := c.do("GET", path, "").Header.Get("ETag"); now != tag {
				t.Errorf("%s of what was read as %s changed something", method, media)
				tag = now
			}
		}
	}
	r := c.do("GET", path, "", "Accept: text/occi").want(t, 200)
	var header []string
	for name, values := range r.Header {
		if slices.Contains([]string{"Category", "Link", "X-Occi-Attribute"}, name) {
			header = append(header, name+": "+values[0])
		}
	}
	c.do("PUT", path, "", append(header, "Content-Type: text/occi")...).want(t, 200)
	if now := c.do("GET", path, "").Header.Get("ETag"); now != tag {
		t.Error("PUT of what was read in headers changed something")
	}
}

// TestFieldsThatSelectNothing sends with a GET what is no filter.
func TestFieldsThatSelectNothing(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	for _, path := range []string{"/compute/", "/-/"} {
		for _, field := range []string{"Link: no link", "X-OCCI-Link: <", "X-OCCI-Location: /compute/x"} {
			c.do("GET", path, "", field).want(t, 200)
		}
	}
}

func TestClientsOfTheStandard(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	const category = `compute; scheme="http://schemas.ogf.org/occi/infrastructure#"; class="kind"`
	for _, x := range []struct {
		name, method, path, body string
		header                   []string
	}{
		{"text in the body", "POST", "/compute/", "Category: " + category + "\nX-OCCI-Attribute: occi.compute.cores=1\n", []string{"Content-Type: text/plain"}},
		{"no slash", "POST", "/compute", "Category: " + category, []string{"Content-Type: text/plain; charset=utf-8"}},
		{"CRLF and trailing semicolons", "POST", "/compute/", "category:" + category + ";\r\nx-occi-attribute: occi.compute.cores = \"2\"\r\n", []string{"Content-Type: text/plain"}},
		{"headers", "POST", "/compute/", "", []string{"Content-Type: text/occi", "Category: " + category, "X-OCCI-Attribute: occi.compute.cores=2, occi.compute.memory=1.0"}},
		{"headers without a type", "POST", "/compute/", "", []string{"Category: " + category}},
		{"a list of types", "POST", "/compute/", "", []string{"Content-Type: text/plain,text/occi", "Category: " + category}},
		{"older names", "POST", "/compute/", "", []string{"X-OCCI-Category: " + category}},
		{"at the root", "POST", "/", "Category: " + category, []string{"Content-Type: text/plain"}},
		{"JSON without a type", "POST", "/compute/", `{"kind":"http://schemas.ogf.org/occi/infrastructure#compute"}`, nil},
		{"a descriptor without a type", "POST", "/compute/", "type compute\ncores 8\ncpu 3 Ghz\nmemory 16 Gb\n", nil},
		{"XML without a type", "POST", "/compute", "<occi><type>compute</type></occi>", nil},
		{"several types, one known", "POST", "/compute/", `{"type":"compute"}`, []string{"Content-Type: image/png, application/json"}},
		{"older JSON", "POST", "/compute/", `{"kind":"http://schemas.ogf.org/occi/infrastructure#compute","attributes":{"occi":{"compute":{"cores":2}}}}`, []string{"Content-Type: application/occi+json"}},
		{"a URL of the client's", "PUT", "/compute/0a7ad4ff-1f2b-4b1c-9a63-8c9c1a4c4a01", "Category: " + category, []string{"Content-Type: text/plain"}},
	} {
		r := c.do(x.method, x.path, x.body, x.header...)
		location := r.Header.Get("Location")
		if r.StatusCode != 201 || !strings.HasPrefix(location, c.url+"/compute/") || r.text != "X-OCCI-Location: "+location+"\n" {
			t.Errorf("%s: %d, Location %q\n%s", x.name, r.StatusCode, location, r.text)
		}
	}
	r := c.do("POST", "/compute/", "", "Content-Type: text/occi", "Accept: text/occi", "Category: "+category).want(t, 201)
	if r.text != "OK" || r.Header.Get("X-OCCI-Location") != r.Header.Get("Location") {
		t.Errorf("in headers: %q, %v", r.text, r.Header)
	}
	r = c.do("POST", "/compute/", "", "Accept: text/uri-list", "Category: "+category).want(t, 201)
	if strings.TrimSpace(r.text) != r.Header.Get("Location") {
		t.Errorf("as a list: %q", r.text)
	}
	path := strings.TrimPrefix(r.Header.Get("Location"), c.url)
	// The answer to a change shows the whole entity, whatever was accepted.
	c.do("POST", path, "X-OCCI-Attribute: occi.core.title=\"t\"", "Content-Type: text/plain", "Accept: text/uri-list").want(t, 200, `occi.core.title="t"`)
	c.do("POST", path+"?action=start", `Category: start; scheme="http://schemas.ogf.org/occi/infrastructure/compute/action#"; class="action"`,
		"Content-Type: text/plain", "Prefer: wait=20").want(t, 200, `occi.compute.state="active"`)
	c.do("POST", path+"?action=start", "").want(t, 200)
}

func TestQueryInterface(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	all := c.do("GET", "/-/", "").want(t, 200, `Category: compute; scheme="http://schemas.ogf.org/occi/infrastructure#"; class="kind"`, "ssh_key", `class="action"`)
	for _, path := range []string{"/-", "/.well-known/org/ogf/occi/-/", "/.well-known/org/ogf/occi/-"} {
		if r := c.do("GET", path, ""); r.text != all.text {
			t.Errorf("%s is not the query interface: %d %.100s", path, r.StatusCode, r.text)
		}
	}
	head := c.do("HEAD", "/-/", "").want(t, 200)
	if head.text != "" || head.Header.Get("Content-Length") != fmt.Sprint(len(all.text)) || head.Header.Get("ETag") != all.Header.Get("ETag") {
		t.Errorf("HEAD differs from GET: %v, %v", head.Header, all.Header)
	}
	c.do("GET", "/-/", "", "If-None-Match: "+all.Header.Get("ETag")).want(t, 304)
	one := `Category: network; scheme="http://schemas.ogf.org/occi/infrastructure#"; class="kind"`
	for name, r := range map[string]reply{
		"header": c.do("GET", "/-/", "", one), "identifier": c.do("GET", "/-/?category=http://schemas.ogf.org/occi/infrastructure%23network", ""),
	} {
		if n := strings.Count(r.text, "Category:"); n != 1 || !strings.Contains(r.text, "Category: network;") {
			t.Errorf("filtered by %s: %d categories\n%s", name, n, r.text)
		}
	}
	c.do("GET", "/-/.json", "").want(t, 200, "compute")
	c.do("GET", "/-/", "", "Accept: application/occi+json").want(t, 200, `"kinds":[`, `"mixins":[`, `"actions":[`)
	for _, path := range []string{"/-/states", "/-/states/", "/-/states.json", "/-/states.txt", "/-/states.xml", "/-/states.yaml", "/-/states.atom"} {
		c.do("GET", path, "").want(t, 200, "suspended", "restart")
	}
}

func TestOptionsAndHead(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	path := c.create("/compute/", `{"title":"a"}`)
	for target, allow := range map[string]string{
		"/": "GET, HEAD, OPTIONS, POST, DELETE", "/compute/": "GET, HEAD, OPTIONS, POST, DELETE", path: "GET, HEAD, OPTIONS, POST, PUT, DELETE",
		"/mixin/ssh_key/": "GET, HEAD, OPTIONS, POST, PUT, DELETE", "/-/": "GET, HEAD, OPTIONS, POST, DELETE", "/task/": "GET, HEAD, OPTIONS",
		path + "/tasks/": "GET, HEAD, OPTIONS, POST", path + "/network/": "GET, HEAD, OPTIONS",
	} {
		if got := c.do("OPTIONS", target, "").want(t, 204).Header.Get("Allow"); got != allow {
			t.Errorf("OPTIONS %s: %q, want %q", target, got, allow)
		}
		if got := c.do("PATCH", target, "").want(t, 405).Header.Get("Allow"); got != allow {
			t.Errorf("PATCH %s: Allow is %q, want %q", target, got, allow)
		}
		get, head := c.do("GET", target, ""), c.do("HEAD", target, "")
		for _, name := range []string{"ETag", "Content-Type", "Content-Length", "Last-Modified", "Vary"} {
			if g, h := get.Header.Get(name), head.Header.Get(name); g != h || head.text != "" || head.StatusCode != get.StatusCode {
				t.Errorf("HEAD %s: %s is %q, GET's %q", target, name, h, g)
			}
		}
	}
	c.do("OPTIONS", "/nowhere/", "").want(t, 404)
}

func TestURIsFollowTheHostOfTheRequest(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	path := c.create("/compute/", `{"title":"a"}`)
	for _, host := range []string{"cloud.example.com", "cloud.example.com:8443", "[2001:db8::1]:80"} {
		for range 2 {
			if r := c.do("GET", "/compute/", "", "Host: "+host).want(t, 200); r.text != "X-OCCI-Location: http://"+host+path+"\n" {
				t.Errorf("for %s: %s", host, r.text)
			}
		}
	}
}

func TestWhatDoesNotFitIntoHeadersIsRefused(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	members := make([]string, 1000)
	for i := range members {
		members[i] = `{"kind":"http://schemas.ogf.org/occi/infrastructure#compute"}`
	}
	c.do("POST", "/compute/", `{"resources":[`+strings.Join(members, ",")+`]}`, "Content-Type: application/occi+json", "Accept: text/occi").want(t, 201)
	c.do("GET", "/compute/", "", "Accept: text/occi").want(t, 406)
	c.do("GET", "/compute/?page=1&number=100", "", "Accept: text/occi").want(t, 200)
	if n := len(c.paths("/compute/")); n != 1000 {
		t.Errorf("%d of 1000 are listed", n)
	}
}
