package render

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"encoding/xml"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"golang.org/x/tools/blog/atom"

	"github.com/occid/occid/occi"
)

// UsageList is what was used between two times.
type UsageList struct {
	Usage    []*occi.Usage
	From, To time.Time
	// Path and Query are as of a Collection.
	Path, Query string
}

// usageLine is a Usage as it is shown. Amounts are whole numbers of any size.
type usageLine struct {
	Project string      `json:"project,omitempty"`
	User    string      `json:"user,omitempty"`
	Entity  string      `json:"entity,omitempty"`
	Kind    string      `json:"entity_kind,omitempty"`
	What    string      `json:"kind"`
	Unit    string      `json:"unit"`
	Seconds json.Number `json:"seconds"`
	Amount  json.Number `json:"amount"`
	From    string      `json:"from"`
	To      string      `json:"to"`
}

func usageLineOf(v *View, u *occi.Usage) usageLine {
	l := usageLine{Project: u.Project, User: u.Owner, Kind: u.Kind, What: u.What, Unit: u.Unit(), Seconds: json.Number(u.Seconds.String()),
		Amount: json.Number(u.Amount.String()), From: u.From.Format(time.RFC3339), To: u.To.Format(time.RFC3339)}
	if u.Entity != uuid.Nil {
		l.Entity = v.url(occi.Ref{ID: u.Entity, Kind: u.Kind})
	}
	return l
}

// UsageJSON appends what was used as JSON.
func UsageJSON(dst []byte, v *View, l *UsageList) ([]byte, error) {
	all := struct {
		From  string      `json:"from"`
		To    string      `json:"to"`
		Usage []usageLine `json:"usage"`
	}{l.From.UTC().Format(time.RFC3339), l.To.UTC().Format(time.RFC3339), []usageLine{}}
	for _, u := range l.Usage {
		all.Usage = append(all.Usage, usageLineOf(v, u))
	}
	text, err := json.Marshal(all)
	if err != nil {
		return nil, occi.E(occi.Internal, "encode what was used: %w", err)
	}
	return append(append(dst, text...), '\n'), nil
}

// UsageCSV appends what was used as comma-separated values (RFC 4180), with a header.
func UsageCSV(dst []byte, v *View, l *UsageList) ([]byte, error) {
	b := bytes.NewBuffer(dst)
	w := csv.NewWriter(b)
	w.UseCRLF = true
	lines := [][]string{{"project", "user", "entity", "entity_kind", "kind", "unit", "seconds", "amount", "from", "to"}}
	for _, u := range l.Usage {
		x := usageLineOf(v, u)
		lines = append(lines, []string{x.Project, x.User, x.Entity, x.Kind, x.What, x.Unit, x.Seconds.String(), x.Amount.String(), x.From, x.To})
	}
	if err := w.WriteAll(lines); err != nil {
		return nil, occi.E(occi.Internal, "encode what was used: %w", err)
	}
	return b.Bytes(), nil
}

// UsageFeed appends what was used as an Atom feed, an entry for each amount.
func UsageFeed(dst []byte, v *View, l *UsageList) ([]byte, error) {
	f := feedHead(v, &Collection{Path: l.Path, Query: l.Query, Title: "Usage", Total: len(l.Usage), Updated: l.To})
	f.Link = slices.DeleteFunc(f.Link, func(l atom.Link) bool { return l.Rel == "search" })
	head, err := xml.Marshal(f)
	if err != nil {
		return nil, occi.E(occi.Internal, "encode the head of a feed: %w", err)
	}
	dst = append(append(dst, xmlHead...), bytes.TrimSuffix(head, []byte("</feed>"))...)
	for _, u := range l.Usage {
		x := usageLineOf(v, u)
		name := strings.Join([]string{x.Project, x.User, u.Entity.String(), x.What, x.From, x.To}, "/")
		dst = appendXML(append(dst, "\n<entry><id>"...), urlID(v.Base+l.Path+"#"+name))
		dst = appendXML(append(dst, "</id><title>"...), x.Amount.String()+" "+x.Unit+" of "+x.What)
		dst = append(append(append(dst, "</title><updated>"...), x.To...), "</updated>"...)
		if x.User != "" {
			dst = append(appendXML(append(dst, "<author><name>"...), x.User), "</name></author>"...)
		}
		dst = append(append(append(dst, `<category term="`...), x.What...), `"/>`...)
		if x.Entity != "" {
			dst = append(appendXML(append(dst, `<link rel="related" href="`...), x.Entity), `"/>`...)
		}
		text, err := json.Marshal(x)
		if err != nil {
			return nil, occi.E(occi.Internal, "encode what was used: %w", err)
		}
		dst = append(appendXML(append(dst, `<content type="text">`...), string(text)), "</content></entry>"...)
	}
	return append(dst, "\n</feed>\n"...), nil
}
