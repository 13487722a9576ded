package server

import (
	"encoding/xml"
	"net/url"

	"github.com/google/uuid"

	"github.com/occid/occid/occi"
	"github.com/occid/occid/render"
)

// search describes how a collection is searched (OpenSearch 1.1).
type search struct {
	XMLName     xml.Name    `xml:"http://a9.com/-/spec/opensearch/1.1/ OpenSearchDescription"`
	ShortName   string      `xml:"ShortName"`
	Description string      `xml:"Description"`
	URL         []searchURL `xml:"Url"`
	Language    string      `xml:"Language"`
	Input       string      `xml:"InputEncoding"`
	Output      string      `xml:"OutputEncoding"`
}

type searchURL struct {
	Type     string `xml:"type,attr"`
	Rel      string `xml:"rel,attr,omitempty"`
	Template string `xml:"template,attr"`
}

const searchType = "application/opensearchdescription+xml"

// getSearch tells how the collection is searched that the query names, everything
// if it names none.
func (c *call) getSearch() error {
	if err := c.params.only("collection"); err != nil {
		return err
	}
	path, given, err := c.params.single("collection")
	if err != nil {
		return err
	}
	if !given {
		path = "/"
	}
	in, err := target{}, error(nil)
	if u, bad := url.Parse(path); bad == nil {
		in, err = resolve(c.reg.model, u.Path)
	}
	if err != nil || !in.lists() {
		return badParam("collection", "there is no collection at %.200s", path)
	}
	text, err := xml.Marshal(c.search(in))
	if err != nil {
		return occi.E(occi.Internal, "encode the description of a search: %w", err)
	}
	return c.document(searchType, append([]byte(xml.Header), text...))
}

// lists reports whether a target is a collection.
func (t target) lists() bool {
	return t.verbs != nil && t.verbs.get != nil && (t.id == uuid.Nil || t.of != nil)
}

// search describes the search of a collection, with and without pages in each
// format that a suffix selects.
func (c *call) search(in target) *search {
	path := c.base() + in.path
	out := &search{ShortName: "occid", Description: "Words in the titles, summaries and texts of " + in.path,
		Language: "*", Input: "UTF-8", Output: "UTF-8"}
	for _, suffix := range []string{".atom", ".json", ".xml", ".yaml", ".txt", ".uri"} {
		to := path + suffix + "?q={searchTerms}"
		for _, template := range []string{to, to + "&page={startPage}&number={count}"} {
			out.URL = append(out.URL, searchURL{Type: render.Suffixed(suffix).Media, Template: template})
		}
	}
	out.URL = append(out.URL, searchURL{Type: searchType, Rel: "self",
		Template: c.base() + "/-/opensearch?collection=" + url.QueryEscape(in.path)})
	return out
}
