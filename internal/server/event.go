package server

import (
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/google/uuid"

	"github.com/occid/occid/internal/engine"
	"github.com/occid/occid/occi"
	"github.com/occid/occid/render"
)

// eventsPath is where the events are.
const eventsPath = "/events"

const (
	// eventRead is about how many events are read at once.
	eventRead = 256
	// eventLook is how many events a list with a filter looks through.
	eventLook = 20_000
)

// eventStream is the format of events as they come (WHATWG HTML, section 9.2).
var eventStream = &render.Format{Media: "text/event-stream", Type: "text/event-stream"}

// eventFormats are what events can be had as, by default the first.
var eventFormats = []*render.Format{eventStream, render.Named("application/json"), render.Named("application/atom+xml")}

// eventNames are what an event may tell.
var eventNames = []string{occi.EventCreated, occi.EventUpdated, occi.EventState, occi.EventDeleted}

// getEvents answers with events as they come, or with a page of those there are.
func (c *call) getEvents() error {
	f, err := c.eventFormat()
	if err != nil {
		return err
	}
	if f != eventStream {
		c.format = f
		return c.listEvents()
	}
	return c.streamEvents()
}

func (c *call) eventFormat() (*render.Format, error) {
	if f := c.to.suffix; f != nil {
		if !slices.Contains(eventFormats, f) {
			return nil, nothingAt(c.r.URL.Path)
		}
		return f, nil
	}
	return render.Accept(c.r.Header["Accept"], eventFormats)
}

// eventFilter selects events.
type eventFilter struct {
	caller engine.Caller
	// subject reports whether the caller sees what an event is about where the event does
	// not tell.
	subject func(c engine.Caller, kind string, id uuid.UUID) bool
	names   []string    // any of them; none for all
	ids     []uuid.UUID // of entities, or of what tasks and links are about; none for all
	kinds   []string    // any of them; none for all
	// state are conditions on the state.
	state occi.Query
}

// eventFilter reads what a request selects by; more are parameters that it may have
// beside.
func (c *call) eventFilter(more ...string) (*eventFilter, error) {
	var s selection
	read := filters{m: c.reg.model, s: &s}
	if err := read.categories(c.params); err != nil {
		return nil, err
	}
	if len(s.query.Mixins) > 0 {
		return nil, badParam("category", "events are selected by kinds; %s is a mixin", s.query.Mixins[0])
	}
	f := &eventFilter{caller: c.caller, subject: c.subject, kinds: s.query.Kinds}
	for _, p := range c.params {
		name, _, _ := strings.Cut(p.name, ".")
		var err error
		switch {
		case name == "state":
			err = read.attribute(p.name, p)
		case p.name == "category" || slices.Contains(more, p.name):
		case p.op != occi.Eq && (p.name == "id" || p.name == "event"):
			err = badParam(p.name, "takes no comparison")
		case p.name == "id":
			err = read.id(p.value)
		case p.name == "event":
			err = f.named(p.value)
		default:
			err = badParam(p.name, "unknown parameter: it is neither event, category, id, state nor %s", strings.Join(more, ", "))
		}
		if err != nil {
			return nil, err
		}
	}
	f.ids, f.state.Conds = s.query.IDs, s.query.Conds
	return f, nil
}

func (f *eventFilter) named(value string) error {
	for _, name := range strings.Split(value, ",") {
		if !slices.Contains(eventNames, name) {
			return badParam("event", "%.80q is none of %s", name, strings.Join(eventNames, ", "))
		}
		f.names = append(f.names, name)
	}
	return nil
}

// all reports whether every event passes.
func (f *eventFilter) all() bool {
	return f.caller.Free() && len(f.names)+len(f.ids)+len(f.kinds)+len(f.state.Conds) == 0
}

// passes reports whether an event is selected.
func (f *eventFilter) passes(m *occi.Model, e *occi.Event) bool {
	return f.sees(e) && (len(f.names) == 0 || slices.Contains(f.names, e.What)) &&
		(len(f.kinds) == 0 || slices.Contains(f.kinds, e.Kind)) &&
		(len(f.ids) == 0 || slices.Contains(f.ids, e.ID) || slices.Contains(f.ids, e.About.ID)) &&
		(len(f.state.Conds) == 0 || f.state.Selects(m.Entity(e)))
}

// sees reports whether the caller may know of an event.
func (f *eventFilter) sees(e *occi.Event) bool {
	if f.caller.Free() {
		return true
	}
	x := &occi.Entity{Kind: e.Kind, Project: e.Project}
	if e.Project == occi.Everyone {
		x.Project, x.Mixins = "", []string{occi.SharedMixin}
	}
	switch {
	case e.Kind == occi.TaskKind:
		return f.caller.Sees(x) && (f.caller.Plain(e.About.Kind) || f.subject(f.caller, e.About.Kind, e.About.ID))
	case f.caller.Plain(e.Kind):
		return f.caller.Sees(x)
	}
	return f.subject(f.caller, e.Kind, e.ID)
}

// subject reports whether a caller sees what an event is about.
func (c *call) subject(caller engine.Caller, kind string, id uuid.UUID) bool {
	seen, err := c.s.engine.SeesSubject(c.r.Context(), caller, kind, id)
	return err == nil && seen
}

// since reads the number of the event after which others are asked for.
func (c *call) since() (n int64, given bool, err error) {
	text, given, err := c.params.single("since")
	if err != nil || !given {
		return 0, false, err
	}
	if n, err = eventNumber(text); err != nil {
		return 0, false, badParam("since", "%.80q is no number of an event", text)
	}
	return n, true, nil
}

func eventNumber(text string) (int64, error) {
	n, err := strconv.ParseUint(text, 10, 63)
	return int64(n), err
}

// listEvents answers with a page of events, the newest first.
func (c *call) listEvents() error {
	f, err := c.eventFilter("since", "page", "number")
	if err != nil {
		return err
	}
	since, _, err := c.since()
	if err != nil {
		return err
	}
	s := &selection{page: 1, number: pageSize, rest: withoutPaging(c.r.URL.RawQuery)}
	if err := s.paging(c.params); err != nil {
		return err
	}
	list, err := c.eventPage(f, since, s)
	if err != nil {
		return err
	}
	c.links = c.neighbours(s, list.Total)
	return c.showText(func(v *render.View) ([]byte, error) {
		if c.format == eventFormats[1] {
			return render.Events(nil, v, list), nil
		}
		return render.EventFeed(nil, v, list)
	})
}

// eventPage reads a page of the events after a number. Without a filter their numbers
// tell where it is; with one, the newest events are looked through.
func (c *call) eventPage(f *eventFilter, since int64, s *selection) (*render.EventList, error) {
	first, last, err := c.s.engine.EventRange(c.r.Context(), c.caller)
	if err != nil {
		return nil, err
	}
	list := &render.EventList{First: first, Last: last, Path: eventsPath, Query: s.rest, Page: s.page, Number: s.number}
	from := max(first, since+1)
	skip := int64(s.page-1) * int64(s.number)
	if f.all() {
		list.Total = int(max(0, last+1-from))
		end := last + 1 - skip
		if n := min(end-from, int64(s.number)); n > 0 {
			list.Events, err = c.s.engine.EventsBefore(c.r.Context(), c.caller, end, int(n))
		}
		return list, err
	}
	from = max(from, last+1-eventLook)
	for end := last + 1; end > from; {
		n := min(end-from, eventRead)
		events, err := c.s.engine.EventsBefore(c.r.Context(), c.caller, end, int(n))
		if err != nil {
			return nil, err
		}
		for _, e := range events {
			if !f.passes(c.reg.model, e) {
				continue
			}
			if int64(list.Total) >= skip && len(list.Events) < s.number {
				list.Events = append(list.Events, e)
			}
			list.Total++
		}
		end -= n
	}
	return list, nil
}

// lastEventID gives the number of the last event that a client has had, by the field
// that it sends when it comes again, or else by the query.
func (c *call) lastEventID() (n int64, given bool, err error) {
	n, given, err = c.since()
	field := c.r.Header["Last-Event-Id"]
	if err != nil || len(field) == 0 || field[0] == "" {
		return n, given, err
	}
	if n, err = eventNumber(field[0]); err != nil {
		return 0, false, occi.E(occi.Invalid, "Last-Event-ID: %.80q is no number of an event", field[0])
	}
	return n, true, nil
}

// streamEvents answers with events as they come, until the client goes or the server
// stops.
func (c *call) streamEvents() error {
	f, err := c.eventFilter("since")
	if err != nil {
		return err
	}
	since, given, err := c.lastEventID()
	if err != nil {
		return err
	}
	if c.r.Method == http.MethodGet {
		if err := c.openStream(); err != nil {
			return err
		}
		defer c.s.closeStream()
	}
	ctx, cancel := c.living()
	defer cancel()
	first, last, err := c.s.engine.EventRange(ctx, c.caller)
	if err != nil {
		return err
	}
	s := &stream{c: c, filter: f, at: last, control: http.NewResponseController(&c.rec)}
	s.open()
	if c.r.Method == http.MethodHead {
		return nil
	}
	switch {
	case !given:
		s.mark()
	case since < first-1 || since > last:
		s.reset()
	default:
		s.at = since
	}
	return s.run(ctx)
}
