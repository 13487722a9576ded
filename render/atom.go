package render

import (
	"bytes"
	"encoding/base64"
	"encoding/xml"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/google/uuid"
	"golang.org/x/tools/blog/atom"

	"github.com/occid/occid/occi"
)

// Values of View.Content.
const (
	contentXML  = "xml"
	contentJSON = "json"
	contentText = "text"
)

const atomMedia = "application/atom+xml"

// atomCodec is Atom (RFC 4287): an entity is an entry, a collection a feed, with
// the descriptor as content. What is neither is an entry too.
type atomCodec struct{}

// feed is the head of a feed, with what atom.Feed lacks.
type feed struct {
	atom.Feed
	Complete *struct{} `xml:"http://purl.org/syndication/history/1.0 complete"`
	Archive  *struct{} `xml:"http://purl.org/syndication/history/1.0 archive"`
	Total    int       `xml:"http://a9.com/-/spec/opensearch/1.1/ totalResults"`
	Start    int       `xml:"http://a9.com/-/spec/opensearch/1.1/ startIndex,omitempty"`
	PerPage  int       `xml:"http://a9.com/-/spec/opensearch/1.1/ itemsPerPage,omitempty"`
}

// serverName is the author of what has no owner.
const serverName = "occid"

func (atomCodec) entity(dst []byte, v *View, e *occi.Entity) ([]byte, error) {
	w := newEntryWriter(v)
	dst = append(append(dst, xmlHead...), `<entry xmlns="`+atomSpace+`">`...)
	owner := e.Owner
	if owner == "" {
		owner = serverName
	}
	return append(w.entry(dst, e, owner), "</entry>\n"...), nil
}

func (atomCodec) collection(dst []byte, v *View, c *Collection) ([]byte, error) {
	head, err := xml.Marshal(feedHead(v, c))
	if err != nil {
		return nil, occi.E(occi.Internal, "encode the head of a feed: %w", err)
	}
	dst = append(append(dst, xmlHead...), bytes.TrimSuffix(head, []byte("</feed>"))...)
	w := newEntryWriter(v)
	for _, e := range c.Entities {
		dst = w.entry(append(dst, "\n<entry>"...), e, e.Owner)
		dst = append(dst, "</entry>"...)
	}
	return append(dst, "\n</feed>\n"...), nil
}

func feedHead(v *View, c *Collection) feed {
	here := v.Base + c.Path
	f := feed{Total: c.Total}
	f.ID = urlID(withQuery(here, c.Query))
	f.Title = c.Title
	if f.Title == "" {
		f.Title = c.Path
	}
	f.Author = &atom.Person{Name: serverName}
	updated := c.Updated
	for _, e := range c.Entities {
		if e.Updated.After(updated) {
			updated = e.Updated
		}
	}
	f.Updated = moment(updated)
	if c.Complete {
		f.Complete = &struct{}{}
	}
	if c.Page > 0 && c.Number > 0 {
		f.Start, f.PerPage = (c.Page-1)*c.Number+1, c.Number
	}
	if c.Archive != nil && c.Archive.Closed {
		f.Archive = &struct{}{}
	}
	f.Link = feedLinks(v, c)
	return f
}

// searchMedia is the type of what describes a search (OpenSearch 1.1).
const searchMedia = "application/opensearchdescription+xml"

// feedLinks lead to the parts of a feed (RFC 5005) and to how it is searched.
func feedLinks(v *View, c *Collection) []atom.Link {
	// The suffix makes a feed of it for whoever asks, whatever they accept.
	here := withQuery(v.Base+c.Path+".atom", c.Query)
	links := []atom.Link{{Rel: "search", Href: v.Base + "/-/opensearch?collection=" + url.QueryEscape(c.Path), Type: searchMedia}}
	link := func(rel, query string) {
		links = append(links, atom.Link{Rel: rel, Href: withQuery(here, query), Type: atomMedia})
	}
	page := func(n int) string { return fmt.Sprintf("page=%d&number=%d", n, c.Number) }
	switch a := c.Archive; {
	case a != nil:
		link("self", "archive="+a.Name)
		link("current", "archive="+CurrentArchive)
		if a.Previous != "" {
			link("prev-archive", "archive="+a.Previous)
		}
		if a.Next != "" {
			link("next-archive", "archive="+a.Next)
		}
	case c.Page < 1 || c.Number < 1:
		link("self", "")
	default:
		last := max(1, (c.Total+c.Number-1)/c.Number)
		link("self", page(c.Page))
		link("first", page(1))
		if c.Page > 1 {
			link("previous", page(min(c.Page-1, last)))
		}
		if c.Page < last {
			link("next", page(c.Page+1))
		}
		link("last", page(last))
	}
	return links
}

// withQuery adds a query to a URL that may have one.
func withQuery(to, query string) string {
	switch {
	case query == "":
		return to
	case strings.Contains(to, "?"):
		return to + "&" + query
	}
	return to + "?" + query
}

// urlID is an identifier that lasts as long as the URL.
func urlID(url string) string { return ID(uuid.NewSHA1(uuid.NameSpaceURL, []byte(url))) }

// moment is a date construct (RFC 4287 section 3.3); unknown times are the epoch.
func moment(t time.Time) atom.TimeStr {
	if t.IsZero() {
		t = time.Unix(0, 0)
	}
	return atom.TimeStr(t.UTC().Format(time.RFC3339Nano))
}

func (c atomCodec) created(dst []byte, v *View, es []*occi.Entity) ([]byte, error) {
	if len(es) == 1 {
		return c.entity(dst, v, es[0])
	}
	return c.collection(dst, v, createdCollection(es))
}

func (atomCodec) categories(dst []byte, v *View, cs *Categories) ([]byte, error) {
	var t tree
	t.categories(cs)
	return appendDocument(dst, v, "/-/", "Query interface", &t), nil
}

func (atomCodec) states(dst []byte, v *View) ([]byte, error) {
	var t tree
	t.states(v.Model)
	return appendDocument(dst, v, "/-/states", "States and transitions", &t), nil
}

func (atomCodec) fault(dst []byte, v *View, f *Fault) ([]byte, error) {
	var t tree
	t.fault(f)
	return appendDocument(dst, v, "/#"+f.Message, fmt.Sprintf("%d %s", f.Status, f.Reason), &t), nil
}

// appendDocument adds an entry that is no entity's. path identifies it.
func appendDocument(dst []byte, v *View, path, title string, t *tree) []byte {
	dst = append(append(dst, xmlHead...), `<entry xmlns="`+atomSpace+`"><id>`...)
	dst = appendXML(append(append(dst, urlID(v.Base+path)...), "</id><title>"...), title)
	dst = append(append(dst, "</title><updated>"...), moment(time.Time{})...)
	dst = append(dst, "</updated><author><name>"+serverName+"</name></author><summary>"...)
	dst = append(appendXML(dst, title), "</summary>"...)
	return append(appendContent(dst, v.Content, t), "</entry>\n"...)
}

// appendContent adds a tree as an entry's content. JSON must be base64 (RFC 4287
// section 4.1.3.3).
func appendContent(dst []byte, content string, t *tree) []byte {
	switch content {
	case contentJSON:
		dst = append(dst, `<content type="application/json">`...)
		dst = base64.StdEncoding.AppendEncode(dst, appendJSON(nil, t, 0, compact))
	case contentText:
		dst = append(dst, `<content type="text">`...)
		dst = appendXML(dst, appendText(nil, t, 0, 0))
	default:
		dst = append(dst, `<content type="application/occi+xml">`...)
		dst = appendOCCI(dst, t, inAtom)
	}
	return append(dst, "</content>"...)
}

func (atomCodec) decode(m *occi.Model, body []byte) (*occi.Draft, error) {
	return descriptor{xmlSpelling{}}.decode(m, body)
}
