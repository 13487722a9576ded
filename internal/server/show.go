package server

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/occid/occid/internal/engine"
	"github.com/occid/occid/internal/web"
	"github.com/occid/occid/occi"
	"github.com/occid/occid/render"
)

// entity reads the target's entity; one of another kind is not there.
func (c *call) entity() (*occi.Entity, error) {
	e, err := c.s.engine.Get(c.r.Context(), c.caller, c.to.id)
	if err != nil {
		return nil, err
	}
	if c.reg.model.Kind(e.Kind) != c.to.kind {
		return nil, nothingAt(c.to.path)
	}
	return e, nil
}

func (c *call) getEntity() error {
	if err := c.oneShown(); err != nil {
		return err
	}
	e, err := c.entityShown()
	if err != nil {
		return err
	}
	return c.show(c.entityKey(e), c.modified(e), func(dst []byte, v *render.View) ([]byte, error) {
		c.link(c.format, v, e)
		return c.format.Entity(dst, v, e)
	})
}

// link notes where the links and actions of an entity lead, for formats beside
// which a header can say so.
func (c *call) link(f *render.Format, v *render.View, e *occi.Entity) {
	c.links = nil
	if !f.Standard {
		c.links = render.LinkFields(v, e)
	}
}

func (c *call) entityKey(e *occi.Entity) bodyKey {
	filter := c.linked.tag
	if c.fields != nil {
		filter += "?" + strings.Join(c.fields, ",")
	}
	return bodyKey{id: e.ID, caller: c.who(), filter: filter, revision: e.Revision, registry: c.reg, format: c.format, base: c.base(), content: c.content}
}

// who tells apart those who see different things: everybody but those who may do
// everything.
func (c *call) who() engine.Caller { return c.caller.View() }

// tag is the part of entity tags that tells the registry, and those apart who see
// different things at one URL.
func (c *call) tag() string {
	if c.caller.Free() {
		return c.reg.tag
	}
	return tagOf(c.reg.tag, c.caller.Who(), c.caller.Roles.String(), c.caller.Hosts, c.caller.Version())
}

// show answers a GET with what key names: with nothing if the client has it
// already, from the cache, or as encode makes it.
func (c *call) show(key bodyKey, modified time.Time, encode func([]byte, *render.View) ([]byte, error)) error {
	key.filter += c.signature()
	b := c.s.bodies.get(key)
	tag := ""
	if b != nil {
		tag = b.etag[0]
	} else {
		tag = etag(key.revision, c.tag(), c.format.Media, key.filter)
	}
	unchanged, err := web.NotModified(c.r, tag, modified)
	if err != nil {
		return err
	}
	if unchanged {
		c.unchanged(tag)
		return nil
	}
	if b == nil {
		text, err := encode(nil, c.view())
		if err == nil {
			text, err = c.sign(c.format, text)
		}
		if err != nil {
			return err
		}
		b = newBody(c.format, slices.Clip(text), tag, modified)
		b.link = c.links
		c.s.bodies.put(key, b)
	}
	c.sendBody(b)
	return nil
}

// showText answers a GET with what has no revision: its tag is made of the text.
func (c *call) showText(encode func(*render.View) ([]byte, error)) error {
	text, err := encode(c.view())
	if err != nil {
		return err
	}
	tag := `"` + tagOf(c.format.Media, string(text)+c.signature()) + `"`
	unchanged, err := web.NotModified(c.r, tag, time.Time{})
	if err != nil {
		return err
	}
	if unchanged {
		c.unchanged(tag)
		return nil
	}
	if text, err = c.sign(c.format, text); err != nil {
		return err
	}
	b := newBody(c.format, text, tag, time.Time{})
	b.link = c.links
	c.sendBody(b)
	return nil
}

// unchanged answers with 304.
func (c *call) unchanged(tag string) {
	h := c.rec.Header()
	h["Etag"] = []string{tag}
	c.vary(h)
	c.rec.WriteHeader(http.StatusNotModified)
}

func newBody(f *render.Format, text []byte, tag string, modified time.Time) *body {
	b := &body{etag: []string{tag}, kind: []string{f.Type}}
	if f.InHeaders {
		b.fields, text = render.Fields(text), okBody
	}
	b.bytes, b.length = text, []string{strconv.Itoa(len(text))}
	if !modified.IsZero() {
		b.modified = []string{modified.UTC().Format(http.TimeFormat)}
	}
	return b
}

// okBody is the body of every success in text/occi (GFD.229 section 7).
var okBody = []byte("OK")

func (c *call) sendBody(b *body) {
	h := c.rec.Header()
	h["Content-Type"], h["Content-Length"], h["Etag"] = b.kind, b.length, b.etag
	if b.modified != nil {
		h["Last-Modified"] = b.modified
	}
	if b.link != nil {
		h["Link"] = b.link
	}
	setFields(h, b.fields)
	c.vary(h)
	c.rec.WriteHeader(http.StatusOK)
	_, _ = c.rec.Write(b.bytes)
}

// setFields sets fields under their names as OCCI spells them.
func setFields(h http.Header, fields []render.Field) {
	for _, f := range fields {
		h[f.Name] = []string{f.Value}
	}
}

// getCollection answers with a selection, whose content changes only with the
// revision of its kinds.
func (c *call) getCollection() error {
	s, err := c.selects()
	if err != nil {
		return err
	}
	now, err := c.s.engine.Count(c.r.Context(), c.caller, s.query.Kinds)
	if err != nil {
		return err
	}
	s.query.Count = &now
	return c.show(c.pageKey(s, now), now.Updated, func(dst []byte, v *render.View) ([]byte, error) {
		page, err := c.list(s)
		if err != nil {
			return nil, err
		}
		return c.page(dst, v, s, page)
	})
}

// getReverse lists the resources linked with one. A link can come and go without
// a change to what it leads to, so the page is read before it is known whether
// the client has it.
func (c *call) getReverse() error {
	s, err := c.selects()
	if err != nil {
		return err
	}
	page, err := c.list(s)
	if err != nil {
		return err
	}
	if page.LinkedTo == nil || page.LinkedTo.Kind != c.to.of.ID() {
		return nothingAt(c.to.path)
	}
	return c.show(c.pageKey(s, page.Count), page.Count.Updated, func(dst []byte, v *render.View) ([]byte, error) {
		return c.page(dst, v, s, page)
	})
}

// pageKey names the rendering of a selection.
func (c *call) pageKey(s *selection, now occi.Count) bodyKey {
	path, filter := c.to.path, s.described
	if c.r.URL.RawQuery != "" {
		path += "?" + c.r.URL.RawQuery
	}
	if s.archive != nil {
		// What the same URL shows changes with time.
		filter += "\n" + s.query.Since.String() + strconv.FormatBool(s.archive.Closed) + s.archive.Next
	}
	return bodyKey{path: path, caller: c.who(), filter: filter, revision: now.Revision, registry: c.reg, format: c.format, base: c.base(), content: c.content}
}

// page renders a page of a selection, and notes the links to those around it.
func (c *call) page(dst []byte, v *render.View, s *selection, page *occi.Page) ([]byte, error) {
	if s.page > 0 && !c.format.Standard {
		c.links = c.neighbours(s, page.Total)
	}
	col := c.collection(s, page, page.Count.Updated)
	col.Complete = s.page == 0 && s.archive == nil
	if s.archive != nil {
		col.Archive = before(s.archive, page.Earlier)
	}
	return c.format.Collection(dst, v, col)
}

// list runs the query of a selection.
func (c *call) list(s *selection) (*occi.Page, error) {
	return c.s.engine.List(c.r.Context(), c.caller, &s.query)
}

func (c *call) collection(s *selection, page *occi.Page, updated time.Time) *render.Collection {
	col := &render.Collection{Path: c.to.path, Query: s.rest, Title: c.title(), Entities: page.Entities, Total: page.Total,
		Page: s.page, Number: s.number, Updated: updated, Archive: s.archive}
	if c.to.kind != nil && !c.to.kind.Abstract {
		col.Kind = c.to.kind
	}
	return col
}

// title names a collection for people.
func (c *call) title() string {
	switch {
	case c.to.mixin != nil && c.to.mixin.Title != "":
		return c.to.mixin.Title
	case c.to.kind != nil:
		return c.to.kind.Title
	}
	return "Everything at " + c.to.path
}

// ids lists the entities that a request on a collection is about: with which the caller
// may do something.
func (c *call) ids(s *selection, do string) ([]uuid.UUID, error) {
	s.query.Do = do
	page, err := c.list(s)
	if err != nil {
		return nil, err
	}
	if len(page.Entities) > maxPageSize {
		return nil, occi.E(occi.TooLarge, "%d entities are more than the %d that one request may change", len(page.Entities), maxPageSize)
	}
	ids := make([]uuid.UUID, len(page.Entities))
	for i, e := range page.Entities {
		ids[i] = e.ID
	}
	return ids, nil
}

// neighbours are the links to the pages around one.
func (c *call) neighbours(s *selection, total int) []string {
	link := func(page int, rel string) string {
		var b strings.Builder
		b.WriteString("<" + c.base() + c.r.URL.EscapedPath() + "?")
		if s.rest != "" {
			b.WriteString(s.rest + "&")
		}
		b.WriteString("page=" + strconv.Itoa(page) + "&number=" + strconv.Itoa(s.number) + `>; rel="` + rel + `"`)
		return b.String()
	}
	var out []string
	if s.page > 1 {
		out = append(out, link(s.page-1, "prev"))
	}
	if s.page*s.number < total {
		out = append(out, link(s.page+1, "next"))
	}
	return out
}
