package server_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestSearches(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, c *cloud) {
		plain := c.create("/compute/", `{"title":"plain","cores":2}`)
		keyed := c.create("/compute/", `{"title":"keyed","cores":4,"memory":"2 GiB","publickey":"ssh-ed25519 AAAA"}`)
		network := c.create("/network/", `{"title":"10:30 net"}`)
		storage := c.create("/storage/", `{"title":"disk","size":1}`)
		link := c.create("/networkinterface/", fmt.Sprintf(`{"source":%q,"target":%q}`, keyed, network))
		c.do("POST", keyed+"?action=start", "", "Prefer: wait=20").want(t, 200)
		const infra, core = "{http://schemas.ogf.org/occi/infrastructure%23}", "{http://schemas.ogf.org/occi/core}"
		for _, x := range []struct {
			query string
			want  []string
		}{
			{"/-/compute", []string{plain, keyed}},
			{"/-/compute/", []string{plain, keyed}},
			{"/-/server", []string{plain, keyed}},
			{"/?category=drive", []string{storage}},
			{"/-/compute/ssh_key", []string{keyed}},
			{"/-/compute/-ssh_key", []string{plain}},
			{"/-/network|storage", []string{network, storage}},
			{"/-/network%7Cssh_key", []string{keyed, network}},
			{"/-/" + infra + "compute", []string{plain, keyed}},
			{"/-/-" + infra + "compute|ssh_key/" + core + "resource", []string{keyed, network, storage}},
			{"/-/resource/-compute/-storage", []string{network}},
			{"/-/link", []string{link}},
			{"/-/compute/network", nil},
			{"/-/-entity", nil},
			{"/-/-compute|-ssh_key/compute", []string{plain}},
			{"/-/compute?cores.ge=3", []string{keyed}},
			{"/-/compute?page=2&number=1", []string{keyed}},
			{"/compute/?q=cores:2", []string{plain}},
			{"/?q=cpu.cores:4", []string{keyed}},
			{"/?q=occi.compute.cores:4+KEY", []string{keyed}},
			{"/?q=memory:2GiB", []string{keyed}},
			{"/?q=title:plain", []string{plain}},
			{"/?q=10:30", []string{network}},
			{"/?q=nothing:2", nil},
			{"/compute/?state=defined", []string{plain}},
			{"/compute/?state=initial", []string{plain}},
			{"/compute/?state=running", []string{keyed}},
			{"/compute/?state=starting", nil},
			{"/compute/?state=final", nil},
			{"/compute/?state!=final", []string{plain, keyed}},
			{"/compute/?q=state:stopped", []string{plain}},
		} {
			if diff := cmp.Diff(x.want, c.paths(x.query)); diff != "" {
				t.Errorf("GET %s: -want +got:\n%s", x.query, diff)
			}
		}
		for _, path := range []string{"/-/compute/-ssh_key", "/-/" + infra + "compute|storage"} {
			c.statements.take()
			c.do("GET", path, "").want(t, 200)
			if sql := c.statements.take(); len(sql) > 2 {
				t.Errorf("GET %s: %d statements:\n%s", path, len(sql), strings.Join(sql, "\n"))
			}
		}
	})
}

// TestASearchIsAFeed holds the feed of a search to lead to itself.
func TestASearchIsAFeed(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	c.create("/compute/", `{"title":"a"}`)
	c.create("/storage/", `{"title":"b","size":1}`)
	const search = "/-/{http://schemas.ogf.org/occi/infrastructure%23}compute|storage"
	for _, path := range []string{search + ".atom", search + "/.atom", "/-/compute%7Cstorage.atom"} {
		f := c.feeds(c.url + path)[0]
		if len(f.Entries) != 2 {
			t.Fatalf("%s: %+v", path, f)
		}
		if again := c.feeds(f.Links["self"])[0]; again.ID != f.ID || len(again.Entries) != 2 {
			t.Errorf("%s: %+v", f.Links["self"], again)
		}
		words := c.do("GET", strings.TrimPrefix(f.Links["search"], c.url), "").want(t, 200, ".atom?q={searchTerms}").text
		_, template, _ := strings.Cut(words, `template="`)
		template, _, _ = strings.Cut(template, `"`)
		if found := c.feeds(strings.Replace(template, "{searchTerms}", "B", 1))[0]; len(found.Entries) != 1 || found.Entries[0].Title != "b" {
			t.Errorf("%s: %+v", template, found)
		}
	}
}
