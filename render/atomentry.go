package render

import (
	"time"

	"github.com/occid/occid/occi"
)

// entryWriter writes entities as entries. A feed has many: they are appended
// rather than marshalled by reflection.
type entryWriter struct {
	v *View
	d *describer
}

func newEntryWriter(v *View) *entryWriter { return &entryWriter{v: v, d: newDescriber(v)} }

// entry adds what an entry holds. An owner is named unless it is empty.
func (w *entryWriter) entry(dst []byte, e *occi.Entity, owner string) []byte {
	k := w.d.x.kind(e.Kind)
	dst = append(appendURN(append(dst, "<id>"...), e.ID), "</id><title>"...)
	dst = append(w.title(dst, k, e), "</title><updated>"...)
	dst = append(e.Updated.UTC().AppendFormat(dst, time.RFC3339Nano), "</updated><published>"...)
	dst = append(e.Created.UTC().AppendFormat(dst, time.RFC3339Nano), "</published>"...)
	if owner != "" {
		dst = append(appendXML(append(dst, "<author><name>"...), owner), "</name></author>"...)
	}
	dst = append(appendXML(append(dst, "<summary>"...), w.summary(k, e)), "</summary>"...)
	dst = append(dst, k.atom...)
	for _, id := range e.Mixins {
		dst = append(dst, w.d.x.mixin(id).atom...)
	}
	dst = w.links(dst, k, e)
	return appendContent(dst, w.v.Content, w.d.describe(e))
}

// title adds an entity's title. An entry has one, an entity need not.
func (w *entryWriter) title(dst []byte, k *kindIndex, e *occi.Entity) []byte {
	if e.Title != "" {
		return appendXML(dst, e.Title)
	}
	if k.kind != nil {
		dst = append(append(dst, k.kind.Term...), ' ')
	}
	return appendID(dst, e.ID)
}

// summary gives an entity's summary, or its state: an entry whose content is
// base64 must have one.
func (w *entryWriter) summary(k *kindIndex, e *occi.Entity) string {
	if e.Summary != "" || k.kind == nil || k.kind.States == nil {
		return e.Summary
	}
	return e.Attributes.Get(k.kind.States.Attribute).Text
}

// categoryAtom is a category element (RFC 4287 section 4.2.2).
func categoryAtom(c *occi.Category) string {
	dst := appendXML([]byte(`<category term="`), c.Term)
	if c.Scheme != "" {
		dst = appendXML(append(dst, `" scheme="`...), c.Scheme)
	}
	if c.Title != "" {
		dst = appendXML(append(dst, `" label="`...), c.Title)
	}
	return string(append(dst, `"/>`...))
}

// links adds where the entity is, what it is linked to and what can be done with
// it now.
func (w *entryWriter) links(dst []byte, k *kindIndex, e *occi.Entity) []byte {
	x, base := w.d.x, w.v.Base
	dst = append(append(dst, `<link rel="self" type="`+atomMedia+`" href="`...), base...)
	dst = append(x.appendPath(dst, e), `.atom"/><link rel="alternate" href="`...)
	dst = append(x.appendPath(append(dst, base...), e), `"/>`...)
	if k.kind != nil && k.kind.Link {
		dst = w.link(dst, e.Source, "source")
		dst = w.link(dst, e.Target, "target")
	}
	for _, l := range e.Links {
		dst = w.link(dst, l.Target, linkTitle(x, l))
	}
	for _, l := range k.tasks(e) {
		dst = w.link(dst, l.Target, linkTitle(x, l))
	}
	for _, a := range w.actions(k, e) {
		dst = k.appendActionURL(append(dst, a.atomRel...), base, e, a.action)
		dst = append(dst, a.atomTitle...)
		dst = k.appendActuator(append(dst, a.stateRel...), base, e, a.action)
		dst = append(dst, a.atomTitle...)
	}
	return dst
}

// actions lists what can be done with an entity by whoever it is shown to.
func (w *entryWriter) actions(k *kindIndex, e *occi.Entity) []actionIndex {
	return w.v.offered(w.d.x, k, e)
}

// link adds a link to a resource; its relation is the resource's kind.
func (w *entryWriter) link(dst []byte, r occi.Ref, title string) []byte {
	rel := r.Kind
	if rel == "" {
		rel = "related"
	}
	dst = append(appendXML(append(dst, `<link rel="`...), rel), `" href="`...)
	if r.URI != "" {
		dst = appendXML(dst, appendURI(nil, r.URI))
	} else {
		dst = w.d.x.appendRef(append(dst, w.v.Base...), r)
	}
	return append(appendXML(append(dst, `" title="`...), title), `"/>`...)
}

func linkTitle(x *index, l *occi.Entity) string {
	if k := x.kind(l.Kind).kind; l.Title == "" && k != nil {
		return k.Title
	}
	return l.Title
}
