package server_test

import (
	"fmt"
	"net/url"
	"strings"
	"testing"
)

// paths lists the paths of a collection in uri-list form.
func (c *cloud) paths(query string, header ...string) []string {
	c.t.Helper()
	r := c.do("GET", query, "", append(header, "Accept: text/uri-list")...).want(c.t, 200)
	var out []string
	for line := range strings.Lines(r.text) {
		out = append(out, strings.TrimPrefix(strings.TrimSpace(line), c.url))
	}
	return out
}

func TestCollections(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	small := c.create("/compute/", `{"title":"Small one","cores":1,"memory":"1 GiB"}`)
	big := c.create("/compute/", `{"title":"Big one","cores":8,"memory":"16 GiB","publickey":"ssh-ed25519 AAAA"}`)
	network := c.create("/network/", `{"title":"Net, with a comma"}`)
	storage := c.create("/storage/", `{"title":"Disk","size":"0.1 GiB"}`)
	disk := c.create("/storagelink/", fmt.Sprintf(`{"source":%q,"target":%q}`, big, storage))
	id := strings.TrimPrefix(big, "/compute/")
	for _, x := range []struct {
		query string
		want  []string
	}{
		{"/", []string{small, big, network, storage, disk}},
		{"/compute/", []string{small, big}},
		{"/compute", []string{small, big}},
		{"/resource/", []string{small, big, network, storage}},
		{"/link/", []string{disk}},
		{"/mixin/ssh_key/", []string{big}},
		{"/mixin/", []string{big}},
		{storage + "/compute/", []string{big}},
		{big + "/storage/", []string{storage}},
		{network + "/compute/", nil},
		{"/compute/?cores=8", []string{big}},
		{"/compute/?cores=8.0", []string{big}},
		{"/compute/?cores!=8", []string{small}},
		{"/compute/?occi.compute.memory>=4", []string{big}},
		{"/compute/?occi.compute.memory%3E%3D4", []string{big}},
		{"/compute/?memory.ge=4", []string{big}},
		{"/compute/?memory.lt=4%20GiB", []string{small}},
		{"/compute/?memory>1", []string{big}},
		{"/compute/?memory<9999999", []string{small, big}},
		{"/compute/?state=stopped", []string{small, big}},
		{"/compute/?state=active", nil},
		{"/?state=stopped", []string{small, big}},
		{"/?state=inactive", []string{small, big, disk}},
		{"/?state=online", []string{storage}},
		{"/?state!=inactive", []string{network}},
		{"/?state=inactive&category=compute&cores>=2", []string{big}},
		{"/?category=network&state=active", []string{network}},
		{"/resource/?state=active&title=Net,+with+a+comma", []string{network}},
		{"/link/?source=" + big, []string{disk}},
		{"/compute/?memory>=1;cores=1", []string{small}},
		{"/compute/?title=Big+one", []string{big}},
		{"/compute/?q=BIG+one", []string{big}},
		{"/?q=comma", []string{network}},
		{"/compute/?q=", []string{small, big}},
		{"/?category=network", []string{network}},
		{"/?category=" + url.QueryEscape("http://schemas.ogf.org/occi/core#link"), []string{disk}},
		{"/compute/?category=ssh_key", []string{big}},
		{"/compute/?category=network", nil},
		{"/?id=" + id, []string{big}},
		{"/network/?id=" + id, nil},
		{"/compute/?sort=-memory", []string{big, small}},
		{"/compute/?sort=cores,-created", []string{small, big}},
		{"/?sort=-state", []string{storage, small, big, disk, network}},
		{"/?sort=state,-cores&category=compute", []string{big, small}},
		{"/compute/?page=1&number=1", []string{small}},
		{"/compute/?page=2;number=1", []string{big}},
		{"/compute/?page=3&number=1", nil},
	} {
		if got := c.paths(x.query); strings.Join(got, " ") != strings.Join(x.want, " ") {
			t.Errorf("GET %s:\n got %v\nwant %v", x.query, got, x.want)
		}
	}
	for name, x := range map[string]struct {
		header []string
		want   []string
	}{
		"kind":      {[]string{`Category: network; scheme="http://schemas.ogf.org/occi/infrastructure#"; class="kind"`}, []string{network}},
		"attribute": {[]string{`X-OCCI-Attribute: occi.compute.cores=8`}, []string{big}},
		"both": {[]string{`Category: compute; scheme="http://schemas.ogf.org/occi/infrastructure#"`,
			`X-OCCI-Attribute: occi.compute.cores=1, occi.core.title="Small one"`}, []string{small}},
	} {
		if got := c.paths("/", x.header...); strings.Join(got, " ") != strings.Join(x.want, " ") {
			t.Errorf("filter in headers, %s: %v, want %v", name, got, x.want)
		}
	}
}

func TestPages(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	for i := range 5 {
		c.create("/compute/", fmt.Sprintf(`{"title":"m%d"}`, i))
	}
	first := c.do("GET", "/compute/?number=2&sort=title", "", "Accept: application/json").want(t, 200, "m0", "m1")
	if got, want := first.Header.Values("Link"), fmt.Sprintf(`<%s/compute/?sort=title&page=2&number=2>; rel="next"`, c.url); len(got) != 1 || got[0] != want {
		t.Errorf("Link is %q, want %q", got, want)
	}
	again := c.do("GET", "/compute/?number=2&sort=title", "", "Accept: application/json").want(t, 200)
	if len(again.Header.Values("Link")) != 1 {
		t.Error("a page from the cache has no Link")
	}
	last := c.do("GET", "/compute/?number=2&sort=title&page=3", "", "Accept: application/json").want(t, 200, "m4")
	if got := strings.Join(last.Header.Values("Link"), " "); strings.Contains(got, "next") || !strings.Contains(got, `page=2&number=2>; rel="prev"`) {
		t.Errorf("Link of the last page is %q", got)
	}
	raw := c.do("GET", "/compute/.json?number=2&title>=m0;q=m", "").want(t, 200).Header.Get("Link")
	if want := fmt.Sprintf(`<%s/compute/.json?title%%3E=m0&q=m&page=2&number=2>; rel="next"`, c.url); raw != want {
		t.Errorf("Link is %q, want %q", raw, want)
	}
	c.do("GET", "/compute/.json?title%3E=m0&q=m&page=2&number=2", "").want(t, 200, "m2", "m3")
	if r := c.do("GET", "/compute/?number=2", "").want(t, 200); r.Header.Get("Link") != "" {
		t.Error("one of OCCI's own renderings has a Link that is none of OCCI's")
	}
	c.do("GET", "/compute/?number=10001", "").want(t, 413, "number", "10000")
}

func TestWritesOnCollections(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	a, b := c.create("/compute/", `{"title":"a"}`), c.create("/compute/", `{"title":"b"}`)
	many := c.do("POST", "/compute/", `{"resources":[{"kind":"http://schemas.ogf.org/occi/infrastructure#compute","title":"x"},
		{"kind":"http://schemas.ogf.org/occi/infrastructure#compute","title":"y"}]}`, "Content-Type: application/occi+json", "Prefer: wait=20").want(t, 201)
	if n := strings.Count(many.text, "X-OCCI-Location: "+c.url+"/compute/"); n != 2 {
		t.Errorf("%d locations of 2: %s", n, many.text)
	}
	c.do("POST", "/compute/?action=start&title=a", "", "Prefer: wait=20").want(t, 200, a)
	if got := c.paths("/compute/?state=active"); len(got) != 1 || got[0] != a {
		t.Errorf("active: %v", got)
	}
	c.do("POST", "/compute/?action=restart", "").want(t, 409, "restart", "possible now: start")
	c.do("POST", "/compute/?action=fly", "").want(t, 400, "fly")
	c.do("POST", "/", `{"type":"network","title":"n"}`, "Content-Type: application/json", "Prefer: wait=20").want(t, 201, "/network/")
	c.do("DELETE", "/compute/", "X-OCCI-Location: "+c.url+b+"\n", "Content-Type: text/plain", "Prefer: wait=20").want(t, 200)
	if got := c.paths("/compute/"); len(got) != 3 || got[0] != a {
		t.Errorf("after deleting one of four: %v", got)
	}
	c.do("DELETE", "/compute/", "X-OCCI-Location: "+b, "Content-Type: text/plain").want(t, 404, b[len("/compute/"):])
	c.do("DELETE", "/compute/?title=x", "", "Accept: application/json", "Prefer: wait=20").want(t, 204)
	c.do("DELETE", "/compute/", "", "Prefer: wait=20").want(t, 200)
	if got := c.paths("/"); len(got) != 1 {
		t.Errorf("after deleting all computes: %v", got)
	}
	c.do("DELETE", "/", "", "Prefer: wait=20").want(t, 200)
	c.do("GET", "/", "").want(t, 200)
}

func TestMixinCollections(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	a, b := c.create("/compute/", `{"title":"a"}`), c.create("/compute/", `{"title":"b"}`)
	members := func(want ...string) {
		t.Helper()
		if got := c.paths("/mixin/ssh_key/"); strings.Join(got, " ") != strings.Join(want, " ") {
			t.Errorf("members %v, want %v", got, want)
		}
	}
	list := func(paths ...string) string {
		text := ""
		for _, p := range paths {
			text += "X-OCCI-Location: " + c.url + p + "\n"
		}
		return text
	}
	c.do("POST", "/mixin/ssh_key/", list(a), plain).want(t, 200, c.url+a)
	members(a)
	c.do("PUT", "/mixin/ssh_key/", list(b), plain).want(t, 200, c.url+b)
	members(b)
	c.do("POST", "/mixin/ssh_key/", "", "Content-Type: text/occi", "X-OCCI-Location: "+c.url+a+", "+b).want(t, 200)
	members(a, b)
	c.do("POST", "/mixin/ssh_key/", `["`+a+`"]`, "Content-Type: application/occi+json").want(t, 200)
	c.do("DELETE", "/mixin/ssh_key/", list(b), plain).want(t, 200)
	members(a)
	c.do("DELETE", "/mixin/ssh_key/", "").want(t, 200)
	members()
	c.do("POST", "/mixin/ssh_key/", "", plain).want(t, 400, "no locations")
	c.do("POST", "/mixin/ssh_key/", list("/compute/nobody"), plain).want(t, 400, "nobody")
	if got := c.paths("/compute/"); len(got) != 2 {
		t.Errorf("entities went with the mixin: %v", got)
	}
}
