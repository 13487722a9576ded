package server_test

import (
	"slices"
	"strings"
	"testing"
)

func TestComputePools(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	c.described()
	web := c.create("/computepool/", `{"type":"compute_pool","title":"web"}`)
	a := c.create("/compute/", `{"title":"a","links":[{"type":"computepoolmember","target":"`+web+`"}]}`)
	b := c.create("/compute/", `{"title":"b"}`)
	link := c.create("/computepoolmember/", `{"source":"`+b+`","target":"`+web+`"}`)
	lists := func(want map[string][]string) {
		t.Helper()
		for path, want := range want {
			if got := c.paths(path); !slices.Equal(got, want) {
				t.Errorf("%s lists %q, want %q", path, got, want)
			}
		}
	}
	lists(map[string][]string{"/computepool/": {web}, web + "/compute/": {a, b}, b + "/computepool/": {web}, web + "/network/": nil, "/computepool/?title=web": {web}})
	for _, media := range []string{"application/json", "text/plain", "application/xml", "application/occi+json", "application/atom+xml", "text/uri-list"} {
		got := c.do("POST", web+"?action=start", "", "Prefer: wait=20", "Accept: "+media).want(t, 200, a[len("/compute/"):], b[len("/compute/"):])
		if n := len(strings.Split(got.Header.Get("X-Task-Location"), ", ")); media == "application/json" && n != 2 {
			t.Errorf("it names %d tasks", n)
		}
	}
	c.do("POST", web+"/state/stop", `{"method":"poweroff"}`, "Content-Type: application/json", "Prefer: respond-async", "Accept: application/json").want(t, 202, "stop", a[len("/compute/"):], b[len("/compute/"):])
	c.settle()
	c.do("POST", web+"?action=suspend", "").want(t, 409, a, b, "cannot suspend while it is inactive")
	c.do("POST", "/computepool/?action=start", "", "Prefer: wait=20", "Accept: text/uri-list").want(t, 200, a, b)
	lists(map[string][]string{web + "/compute/?state=active": {a, b}})
	c.shows(web, "computepool.members=2", "computepool.active=2")
	tag := c.do("GET", web, "", "Accept: application/json").want(t, 200).Header.Get("ETag")
	c.do("POST", web+"?action=restart", "", `If-Match: "0.none"`).want(t, 412)
	c.do("POST", web+"?action=restart&method=cold", "", "If-Match: "+tag, "Idempotency-Key: k", "Prefer: wait=20", "Accept: text/uri-list").want(t, 200, a, b)
	c.do("POST", web+"?action=restart&method=cold", "", "If-Match: "+tag, "Idempotency-Key: k", "Prefer: wait=20", "Accept: text/uri-list").want(t, 200, a, b)
	c.do("DELETE", link, "").want(t, 200)
	lists(map[string][]string{web + "/compute/": {a}})
	c.do("DELETE", web, "").want(t, 200)
	lists(map[string][]string{"/compute/": {a, b}, "/computepoolmember/": nil, a + "/computepool/": nil})
	c.do("POST", web+"?action=start", "").want(t, 404)
}
