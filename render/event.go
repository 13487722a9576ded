package render

import (
	"bytes"
	"encoding/xml"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/tools/blog/atom"

	"github.com/occid/occid/occi"
)

// EventList is a page of events.
type EventList struct {
	// Events are in the order in which they are shown.
	Events []*occi.Event
	// First is the number of the first event that is kept, Last that of the last there was.
	First, Last int64
	// Path, Query, Total, Page and Number are as of a Collection.
	Path, Query         string
	Total, Page, Number int
}

// Event appends an event as JSON on one line.
func Event(dst []byte, v *View, e *occi.Event) []byte {
	var t tree
	t.event(v, e)
	return appendJSON(dst, &t, 0, compact)
}

// Events appends a page of events as JSON.
func Events(dst []byte, v *View, l *EventList) []byte {
	var t tree
	all := t.open("", dictShape)
	t.addNumber("first", l.First)
	t.addNumber("last", l.Last)
	t.addNumber("total", int64(l.Total))
	list := t.open("events", listShape)
	for _, e := range l.Events {
		t.event(v, e)
	}
	t.close(list)
	t.close(all)
	return append(appendJSON(dst, &t, 0, 0), '\n')
}

func (t *tree) addNumber(key string, n int64) { t.addValue(key, occi.Int(n)) }

func (t *tree) event(v *View, e *occi.Event) {
	d := t.open("", dictShape)
	t.addNumber("id", e.Seq)
	t.addText("event", e.What)
	t.addText("time", e.At.UTC().Format(time.RFC3339Nano))
	t.addText("entity", v.url(occi.Ref{ID: e.ID, Kind: e.Kind}))
	t.addText("kind", e.Kind)
	t.addGiven("owner", e.Owner)
	t.addGiven("project", e.Project)
	if e.About != (occi.Ref{}) {
		t.addText("about", v.url(e.About))
	}
	t.addGiven("verb", e.Verb)
	t.addGiven("state", e.State)
	t.addGiven("was", e.Was)
	t.addGiven("message", e.Message)
	t.close(d)
}

// url is where something of this server is.
func (v *View) url(r occi.Ref) string { return v.Base + v.Model.RefPath(r) }

// EventFeed appends a page of events as an Atom feed. An entry tells of an event, and
// leads to what it is about.
func EventFeed(dst []byte, v *View, l *EventList) ([]byte, error) {
	c := &Collection{Path: l.Path, Query: l.Query, Title: "Events", Total: l.Total, Page: l.Page, Number: l.Number}
	for _, e := range l.Events {
		if e.At.After(c.Updated) {
			c.Updated = e.At
		}
	}
	f := feedHead(v, c)
	f.Link = slices.DeleteFunc(f.Link, func(l atom.Link) bool { return l.Rel == "search" })
	head, err := xml.Marshal(f)
	if err != nil {
		return nil, occi.E(occi.Internal, "encode the head of a feed: %w", err)
	}
	dst = append(append(dst, xmlHead...), bytes.TrimSuffix(head, []byte("</feed>"))...)
	x := indexOf(v.Model)
	for _, e := range l.Events {
		dst = appendEventEntry(dst, v, x, e)
	}
	return append(dst, "\n</feed>\n"...), nil
}

func appendEventEntry(dst []byte, v *View, x *index, e *occi.Event) []byte {
	at := e.At.UTC().Format(time.RFC3339Nano)
	k := x.kind(e.Kind)
	dst = append(append(dst, "\n<entry><id>"...), urlID(v.Base+"/events#"+strconv.FormatInt(e.Seq, 10))...)
	dst = appendXML(append(dst, "</id><title>"...), eventTitle(k, e))
	dst = append(append(append(dst, "</title><updated>"...), at...), "</updated><published>"...)
	dst = append(append(dst, at...), "</published>"...)
	if e.Owner != "" {
		dst = append(appendXML(append(dst, "<author><name>"...), e.Owner), "</name></author>"...)
	}
	dst = append(append(dst, k.atom...), `<category term="`...)
	dst = append(append(dst, e.What...), `"/>`...)
	dst = appendXML(append(dst, `<link rel="alternate" href="`...), v.url(occi.Ref{ID: e.ID, Kind: e.Kind}))
	dst = append(dst, `"/>`...)
	if e.About != (occi.Ref{}) {
		dst = append(appendXML(append(dst, `<link rel="related" href="`...), v.url(e.About)), `"/>`...)
	}
	if text := eventSummary(e); text != "" {
		dst = append(appendXML(append(dst, "<summary>"...), text), "</summary>"...)
	}
	var t tree
	t.event(v, e)
	return append(appendContent(dst, contentText, &t), "</entry>"...)
}

// eventTitle is what a reader lists an event by: "compute UUID: state active".
func eventTitle(k *kindIndex, e *occi.Event) string {
	term := "entity"
	if k.kind != nil {
		term = k.kind.Term
	}
	if e.Verb != "" {
		term += " " + e.Verb
	}
	title := term + " " + e.ID.String() + ": " + e.What
	if e.State != "" {
		title += " " + e.State
	}
	return title
}

// eventSummary says what the title does not.
func eventSummary(e *occi.Event) string {
	var parts []string
	if e.Was != "" {
		parts = append(parts, "was "+e.Was)
	}
	if e.Message != "" {
		parts = append(parts, e.Message)
	}
	return strings.Join(parts, ": ")
}
