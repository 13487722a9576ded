package render_test

import (
	"encoding/xml"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"golang.org/x/tools/blog/atom"

	"github.com/occid/occid/occi"
	"github.com/occid/occid/render"
)

// atomEntry is an entry as a reader sees it: what atom.Entry has, with the
// categories and the content that it leaves out.
type atomEntry struct {
	XMLName xml.Name
	atom.Entry
	Category []struct {
		Term   string `xml:"term,attr"`
		Scheme string `xml:"scheme,attr"`
		Label  string `xml:"label,attr"`
	} `xml:"category"`
	Content struct {
		Type string `xml:"type,attr"`
		Text string `xml:",chardata"`
		XML  string `xml:",innerxml"`
	} `xml:"content"`
}

type atomFeed struct {
	atom.Feed
	Total    int         `xml:"http://a9.com/-/spec/opensearch/1.1/ totalResults"`
	Complete *struct{}   `xml:"http://purl.org/syndication/history/1.0 complete"`
	Archive  *struct{}   `xml:"http://purl.org/syndication/history/1.0 archive"`
	Entry    []atomEntry `xml:"entry"`
}

func writeFeed(t *testing.T, v *render.View, c *render.Collection) (atomFeed, []byte) {
	t.Helper()
	body, err := render.Named(mediaAtom).Collection(nil, v, c)
	if err != nil {
		t.Fatal(err)
	}
	var f atomFeed
	if err := xml.Unmarshal(body, &f); err != nil {
		t.Fatalf("%v\n%s", err, body)
	}
	return f, body
}

// links tells what a relation leads to.
func links(ls []atom.Link) map[string]string {
	out := map[string]string{}
	for _, l := range ls {
		out[l.Rel] = l.Href
	}
	return out
}

// TestFeed reads a feed with the types of a feed reader.
func TestFeed(t *testing.T) {
	t.Parallel()
	m := builtin(t)
	v := &render.View{Model: m, Base: "http://127.0.0.1:8787"}
	e := machine()
	e.Owner = "ann & bob"
	f, _ := writeFeed(t, v, &render.Collection{Path: "/compute/", Query: "a=1&b=%22", Title: "A & B", Total: 1, Updated: epoch, Entities: []*occi.Entity{e}})
	valid(t, f)
	if f.Title != "A & B" || f.Total != 1 || f.Updated != "2026-01-02T04:04:05.6Z" {
		t.Errorf("head %+v", f.Feed)
	}
	want := map[string]string{"self": v.Base + "/compute/.atom?a=1&b=%22", "search": v.Base + "/-/opensearch?collection=%2Fcompute%2F"}
	if diff := gocmp.Diff(want, links(f.Link)); diff != "" {
		t.Error(diff)
	}
	got := f.Entry[0]
	if got.ID != "urn:uuid:"+e.ID.String() || got.Title != e.Title || got.Summary.Body != e.Summary || got.Author.Name != e.Owner ||
		got.Updated != "2026-01-02T04:04:05.6Z" || got.Published != "2026-01-02T03:04:05.6Z" {
		t.Errorf("entry %+v", got.Entry)
	}
	self := v.Base + m.Path(e)
	want = map[string]string{"self": self + ".atom", "alternate": self,
		infra + "network": v.Base + m.RefPath(e.Links[0].Target), infra + "storage": v.Base + m.RefPath(e.Links[1].Target),
		"related": "http://example.com/a%20%22b%22%3E%0A", occi.TaskKind: v.Base + "/task/" + e.Tasks[0].String()}
	for _, a := range m.Possible(e) {
		want[a.ID()] = self + "?action=" + a.Term
		want["http://purl.org/occi/state#"+a.Term] = self + "/state/" + a.Term
	}
	if diff := gocmp.Diff(want, links(got.Link)); diff != "" {
		t.Error(diff)
	}
	var categories []string
	for _, c := range got.Category {
		categories = append(categories, c.Scheme+c.Term+" "+c.Label)
	}
	if diff := gocmp.Diff([]string{e.Kind + " Compute Resource", e.Mixins[0] + " A medium Compute instance",
		e.Mixins[1] + " Contextualisation data for the machine"}, categories); diff != "" {
		t.Error(diff)
	}
}

// valid holds a feed to what RFC 4287 section 4.1 asks for.
func valid(t *testing.T, f atomFeed) {
	t.Helper()
	if f.ID == "" || f.Title == "" || f.Author == nil || f.Author.Name == "" {
		t.Errorf("the feed lacks something: %+v", f.Feed)
	}
	dated(t, f.Updated)
	ids := map[string]bool{f.ID: true}
	for _, e := range f.Entry {
		if ids[e.ID] || e.Title == "" {
			t.Errorf("entry %q is there twice or has no title", e.ID)
		}
		ids[e.ID] = true
		dated(t, e.Updated)
		dated(t, e.Published)
		switch e.Content.Type {
		case "application/occi+xml":
			if strings.TrimSpace(e.Content.Text) != "" || !strings.HasPrefix(e.Content.XML, `<occi:occi xmlns:occi="http://purl.org/occi">`) {
				t.Errorf("content is not one element: %s", e.Content.XML)
			}
		case "text":
			if strings.Contains(e.Content.XML, "<") {
				t.Errorf("content is not text: %s", e.Content.XML)
			}
		case "application/json":
			if e.Summary == nil || e.Summary.Body == "" {
				t.Errorf("entry %q has base64 and no summary", e.ID)
			}
		default:
			t.Errorf("content of type %q", e.Content.Type)
		}
	}
}

func dated(t *testing.T, s atom.TimeStr) {
	t.Helper()
	if _, err := time.Parse(time.RFC3339, string(s)); err != nil {
		t.Error(err)
	}
}

// TestFeedPages leads from page to page (RFC 5005 section 3).
func TestFeedPages(t *testing.T) {
	t.Parallel()
	v := &render.View{Model: builtin(t), Base: "http://a"}
	at := func(n int) string { return fmt.Sprintf("http://a/.atom?x=1&page=%d&number=10", n) }
	for _, tt := range []struct {
		page, total int
		want        map[string]string
	}{
		{1, 0, map[string]string{"self": at(1), "first": at(1), "last": at(1)}},
		{1, 10, map[string]string{"self": at(1), "first": at(1), "last": at(1)}},
		{1, 11, map[string]string{"self": at(1), "first": at(1), "last": at(2), "next": at(2)}},
		{2, 25, map[string]string{"self": at(2), "first": at(1), "last": at(3), "next": at(3), "previous": at(1)}},
		{3, 25, map[string]string{"self": at(3), "first": at(1), "last": at(3), "previous": at(2)}},
		{9, 25, map[string]string{"self": at(9), "first": at(1), "last": at(3), "previous": at(3)}},
	} {
		f, _ := writeFeed(t, v, &render.Collection{Path: "/", Query: "x=1", Title: "All", Total: tt.total, Page: tt.page, Number: 10, Updated: epoch})
		valid(t, f)
		tt.want["search"] = "http://a/-/opensearch?collection=%2F"
		if diff := gocmp.Diff(tt.want, links(f.Link)); diff != "" {
			t.Errorf("page %d of %d: %s", tt.page, tt.total, diff)
		}
	}
}

// TestFeedParts marks feeds as RFC 5005 has it, and leads from archive to archive.
func TestFeedParts(t *testing.T) {
	t.Parallel()
	v := &render.View{Model: builtin(t), Base: "http://a"}
	at := func(name string) string { return "http://a/.atom?x=1&archive=" + name }
	for name, tt := range map[string]struct {
		complete bool
		archive  *render.Archive
		want     map[string]string
	}{
		"complete": {true, nil, map[string]string{"self": "http://a/.atom?x=1"}},
		"current":  {false, &render.Archive{Name: "current", Previous: "2025-12"}, map[string]string{"self": at("current"), "current": at("current"), "prev-archive": at("2025-12")}},
		"middle": {false, &render.Archive{Name: "2025-12", Closed: true, Previous: "2025-10", Next: "2026-01"},
			map[string]string{"self": at("2025-12"), "current": at("current"), "prev-archive": at("2025-10"), "next-archive": at("2026-01")}},
		"first": {false, &render.Archive{Name: "2025-10", Closed: true}, map[string]string{"self": at("2025-10"), "current": at("current")}},
	} {
		f, _ := writeFeed(t, v, &render.Collection{Path: "/", Query: "x=1", Title: "All", Updated: epoch, Complete: tt.complete, Archive: tt.archive})
		valid(t, f)
		tt.want["search"] = "http://a/-/opensearch?collection=%2F"
		if diff := gocmp.Diff(tt.want, links(f.Link)); diff != "" || (f.Complete != nil) != tt.complete || (f.Archive != nil) != (tt.archive != nil && tt.archive.Closed) {
			t.Errorf("%s: complete %v, archive %v\n%s", name, f.Complete, f.Archive, diff)
		}
	}
}

// TestFeedID holds a feed to one identifier for one collection, whatever is in
// it and whichever page it is.
func TestFeedID(t *testing.T) {
	t.Parallel()
	m := builtin(t)
	id := func(base string, c *render.Collection) string {
		f, _ := writeFeed(t, &render.View{Model: m, Base: base}, c)
		return f.ID
	}
	first := id("http://a", &render.Collection{Path: "/compute/", Title: "a"})
	if again := id("http://a", &render.Collection{Path: "/compute/", Title: "b", Page: 2, Number: 1, Total: 9, Entities: []*occi.Entity{machine()}}); again != first {
		t.Errorf("%s became %s", first, again)
	}
	seen := map[string]bool{first: true}
	for _, other := range []string{id("http://b", &render.Collection{Path: "/compute/"}), id("http://a", &render.Collection{Path: "/storage/"}),
		id("http://a", &render.Collection{Path: "/compute/", Query: "cores=2"})} {
		if seen[other] {
			t.Errorf("%s names two feeds", other)
		}
		seen[other] = true
	}
}

// TestContents embeds each of the descriptors, which all say the same.
func TestContents(t *testing.T) {
	t.Parallel()
	m := builtin(t)
	c := &render.Collection{Path: "/", Title: "Everything", Entities: []*occi.Entity{machine(), entity(5, "storage", "occi.storage.size", occi.Float(0.1),
		"occi.storage.state", occi.Str("offline"))}}
	var want plainDraft
	for _, content := range []string{"", "xml", "json", "text"} {
		f, body := writeFeed(t, &render.View{Model: m, Base: "http://a", Content: content}, c)
		valid(t, f)
		d, err := render.Named(mediaAtom).Decode(m, body)
		if err != nil {
			t.Fatalf("%q: %v\n%s", content, err, body)
		}
		got := plain(m, d)
		if want.Members == nil {
			want = got
		}
		if diff := gocmp.Diff(want, got); diff != "" || len(got.Members) != 2 {
			t.Errorf("%q: %s", content, diff)
		}
	}
}

// TestXMLIsWellFormed parses everything that is written as XML, with xmllint too
// where it is installed.
func TestXMLIsWellFormed(t *testing.T) {
	t.Parallel()
	m := builtin(t)
	lint, _ := exec.LookPath("xmllint")
	for what, write := range shown(m) {
		for _, media := range []string{mediaXML, mediaAtom} {
			body, err := write(render.Named(media), &render.View{Model: m, Base: "http://a"})
			if err != nil {
				t.Fatalf("%s: %v", what, err)
			}
			dec := xml.NewDecoder(strings.NewReader(string(body)))
			for err == nil {
				_, err = dec.Token()
			}
			if err != io.EOF {
				t.Errorf("%s as %s: %v", what, media, err)
			}
			if lint == "" {
				continue
			}
			cmd := exec.Command(lint, "--noout", "--nonet", "-")
			cmd.Stdin = strings.NewReader(string(body))
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("%s as %s: %v: %s", what, media, err, out)
			}
		}
	}
}
