package server_test

import (
	"encoding/json"
	"fmt"
	"os/exec"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// readFeeds fetches and parses each URL as feed readers do. It needs Debian's
// python3-feedparser.
const readFeeds = `
import feedparser, json, sys
feeds = []
for url in sys.argv[1:]:
    d = feedparser.parse(url)
    if d.bozo:
        sys.exit("%s: %s" % (url, d.bozo_exception))
    feeds.append({"version": d.version, "title": d.feed.title, "id": d.feed.id,
        "links": {l.rel: l.href for l in d.feed.links},
        "entries": [{"id": e.id, "title": e.title, "link": e.link, "tags": [t.term for t in e.tags],
            "dated": bool(e.updated_parsed and e.published_parsed), "author": e.get("author", d.feed.author),
            "content": e.content[0].type} for e in d.entries]})
print(json.dumps(feeds))
`

// feed is what a reader made of a URL.
type feed struct {
	Version, Title, ID string
	Links              map[string]string // by relation
	Entries            []feedEntry
}

type feedEntry struct {
	ID, Title, Link, Author, Content string
	Tags                             []string
	Dated                            bool
}

func (c *cloud) feeds(urls ...string) []feed {
	c.t.Helper()
	cmd := exec.Command("/usr/bin/python3", append([]string{"-c", readFeeds}, urls...)...)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		c.t.Fatalf("%v: %s", err, stderr.String())
	}
	var feeds []feed
	if err := json.Unmarshal(out, &feeds); err != nil {
		c.t.Fatal(err)
	}
	return feeds
}

func TestFeedReaders(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	titles := []string{`<b>bold</b> & "quoted"`, "]]> ünïcode \U0001F600", "plain", "&amp; once"}
	paths := make([]string, len(titles))
	for i, title := range titles {
		paths[i] = c.create("/compute/", fmt.Sprintf(`{"title":%q,"summary":"one\ntwo","publickey":"ssh-ed25519 AAAA"}`, title))
	}
	network := c.create("/network/", `{"title":"n"}`)
	c.create("/networkinterface/", fmt.Sprintf(`{"source":%q,"target":%q}`, paths[0], network))
	urls := []string{c.url + "/compute/", c.url + "/compute/.xml", c.url + "/compute/.atom?content=json", c.url + "/compute/.atom?content=text"}
	for i, f := range c.feeds(urls...) {
		var got []string
		for j, e := range f.Entries {
			got = append(got, e.Title)
			if e.ID != "urn:uuid:"+paths[j][len("/compute/"):] || e.Link != c.url+paths[j] || !e.Dated || e.Author == "" || e.Tags[0] != "compute" || e.Tags[1] != "ssh_key" {
				t.Errorf("%s: entry %+v", urls[i], e)
			}
		}
		if diff := cmp.Diff(titles, got); diff != "" || f.Version != "atom10" || f.Title == "" || f.ID == "" {
			t.Errorf("%s: %+v\n%s", urls[i], f, diff)
		}
	}
	others := []string{"/", "/mixin/", "/mixin/ssh_key/", "/link/", "/task/", network + "/compute/", paths[0] + "/tasks/", "/storage/"}
	urls = nil
	for _, p := range others {
		urls = append(urls, c.url+p)
		lint := exec.Command("xmllint", "--noout", "--nonet", "-")
		lint.Stdin = strings.NewReader(c.do("GET", p, "", "Accept: application/atom+xml").want(t, 200).text)
		if out, err := lint.CombinedOutput(); err != nil {
			t.Errorf("GET %s: %v: %s", p, err, out)
		}
	}
	c.feeds(urls...)
	// What a page links to is a feed too, whatever its reader accepts.
	next, seen := c.url+"/compute/.atom?number=1", 0
	for range titles {
		f := c.feeds(next)[0]
		if len(f.Entries) != 1 || f.Entries[0].Title != titles[seen] {
			t.Fatalf("%s: %+v", next, f)
		}
		seen++
		c.feeds(f.Links["self"], f.Links["first"], f.Links["last"], f.Links["search"])
		next = f.Links["next"]
	}
	if next != "" {
		t.Errorf("the last page has a next one, %s", next)
	}
}
