package server_test

import (
	"context"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

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
		c.feeds(f.Links["self"], f.Links["first"], f.Links["last"])
		next = f.Links["next"]
	}
	if next != "" {
		t.Errorf("the last page has a next one, %s", next)
	}
}

// TestFeedArchives follows a feed back through its archives.
func TestFeedArchives(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	path := c.create("/compute/", `{"title":"old"}`)
	c.create("/network/", `{"title":"n"}`)
	if f := c.feeds(c.url + "/compute/.atom?archive=current")[0]; len(f.Entries) != 1 || f.Links["current"] == "" || f.Links["prev-archive"] != "" {
		t.Errorf("in the month of the change: %+v", f)
	}
	changed, err := http.ParseTime(c.do("GET", path, "").Header.Get("Last-Modified"))
	if err != nil {
		t.Fatal(err)
	}
	month := changed.UTC().Format("2006-01")
	tag := c.do("GET", "/compute/.atom?archive="+month, "").want(t, 200).Header.Get("ETag")
	c.later.Store(int64(100 * 24 * time.Hour))
	current := c.do("GET", "/compute/.atom?archive=current", "").want(t, 200)
	f := c.feeds(c.url + "/compute/.atom?archive=current")[0]
	if len(f.Entries) != 0 || strings.Contains(current.text, "archive xmlns") || f.Links["prev-archive"] != c.url+"/compute/.atom?archive="+month {
		t.Fatalf("three months later: %+v", f)
	}
	closed := c.do("GET", "/compute/.atom?archive="+month, "", "If-None-Match: "+tag).want(t, 200, "<archive xmlns", `rel="next-archive"`)
	old := c.feeds(f.Links["prev-archive"])[0]
	if len(old.Entries) != 1 || old.Entries[0].Title != "old" || old.ID != f.ID || old.Links["current"] != f.Links["current"] {
		t.Errorf("the archive: %+v\n%s", old, closed.text)
	}
	if none := c.feeds(c.url + "/compute/.atom?archive=current&title=other")[0]; none.Links["prev-archive"] != "" {
		t.Errorf("a filter that nothing passes has an archive: %+v", none)
	}
	c.do("GET", "/compute/.atom", "").want(t, 200, "<complete xmlns")
	if page := c.do("GET", "/compute/.atom?page=1", "").want(t, 200); strings.Contains(page.text, "<complete") {
		t.Error("a page is said to be all")
	}
	for query, want := range map[string]int{"updated.ge=" + changed.Format("2006-01-02"): 1, "created<2020-01-01": 0, "updated=" + changed.Format(time.RFC3339): 0,
		"created.lt=" + changed.Add(time.Hour).Format(time.RFC3339): 1} {
		if got := c.paths("/compute/?" + query); len(got) != want {
			t.Errorf("%s: %v", query, got)
		}
	}
}

// TestOpenSearch searches as what describes the search says.
func TestOpenSearch(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	c.create("/compute/", `{"title":"web server"}`)
	c.create("/compute/", `{"title":"mail server"}`)
	c.create("/storage/", `{"title":"web pages","size":1}`)
	for path, want := range map[string]int{"/compute/": 1, "/": 2, "/compute/?page=1": 1} {
		from, _, _ := strings.Cut(path, "?")
		where := c.feeds(c.url + strings.Replace(path, "?", ".atom?", 1))[0].Links["search"]
		r := c.do("GET", strings.TrimPrefix(where, c.url), "").want(t, 200)
		var d struct {
			XMLName   xml.Name `xml:"http://a9.com/-/spec/opensearch/1.1/ OpenSearchDescription"`
			ShortName string
			URL       []struct {
				Type     string `xml:"type,attr"`
				Template string `xml:"template,attr"`
			} `xml:"Url"`
		}
		if err := xml.Unmarshal([]byte(r.text), &d); err != nil || r.Header.Get("Content-Type") != "application/opensearchdescription+xml" || len(d.ShortName) > 16 {
			t.Fatalf("%s: %v\n%s", where, err, r.text)
		}
		feeds := 0
		for _, u := range d.URL {
			to := strings.NewReplacer("{searchTerms}", "WEB", "{startPage}", "1", "{count}", "20").Replace(u.Template)
			got := c.do("GET", strings.TrimPrefix(to, c.url), "").want(t, 200)
			if media, _, _ := strings.Cut(got.Header.Get("Content-Type"), ";"); media != u.Type {
				t.Errorf("%s is %s, not %s", to, media, u.Type)
			}
			if u.Type == "application/atom+xml" {
				feeds++
				if f := c.feeds(to)[0]; len(f.Entries) != want {
					t.Errorf("%s: %+v", to, f)
				}
			}
		}
		if feeds != 2 {
			t.Errorf("%s: %d feeds of %s", where, feeds, from)
		}
	}
}

// TestNewsboat reads a feed with a person's reader: the list of feeds, the entries
// of the first, the first of those.
func TestNewsboat(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	for _, title := range []string{"web-1", "größe <b> & co"} {
		c.create("/compute/", fmt.Sprintf(`{"title":%q,"cores":3}`, title))
	}
	home := t.TempDir()
	for name, text := range map[string]string{"urls": c.url + "/compute/.atom?content=text\n", "config": "auto-reload no\n"} {
		if err := os.WriteFile(filepath.Join(home, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	const newsboat = "newsboat -u urls -C config -c cache.db"
	run := func(keys string, command ...string) string {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		cmd := exec.CommandContext(ctx, command[0], command[1:]...)
		cmd.Dir, cmd.Env = home, append(os.Environ(), "HOME="+home, "TERM=vt100", "LC_ALL=C.UTF-8")
		cmd.Stdin = strings.NewReader(keys)
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %v\n%s", command, err, out)
		}
		return string(out)
	}
	run("", "sh", "-c", newsboat+" -x reload")
	if out := run("", "sh", "-c", newsboat+" -x print-unread"); !strings.HasPrefix(out, "2 unread") {
		t.Errorf("print-unread: %s", out)
	}
	// A terminal is what it shows things in.
	shown := run("\n\nqqq", "script", "-qec", "stty rows 40 cols 120; "+newsboat, "/dev/null")
	for _, words := range []string{"Compute Resource", "web-1", "größe <b> & co", "cores 3", c.url + "/compute/"} {
		if !strings.Contains(shown, words) {
			t.Errorf("it does not show %q:\n%q", words, shown)
		}
	}
}
