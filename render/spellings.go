package render

import "github.com/occid/occid/occi"

// spelling is a syntax of descriptors. It writes and reads trees and knows
// nothing of what they say.
type spelling interface {
	// document adds a whole document.
	document(dst []byte, t *tree) []byte
	// read reads a document.
	read(body []byte) (*tree, error)
}

// listing is a spelling that has documents of one tree after another.
type listing interface {
	spelling
	begin(dst []byte) []byte
	element(dst []byte, t *tree, n int) []byte // the nth, from 0
	end(dst []byte, n int) []byte              // behind n of them
}

// descriptor writes and reads descriptors in one spelling.
type descriptor struct{ spelling }

// listed is a descriptor whose spelling has collections.
type listed struct {
	descriptor
	listing listing
}

func newListed(l listing) listed { return listed{descriptor{l}, l} }

func (c descriptor) entity(dst []byte, v *View, e *occi.Entity) ([]byte, error) {
	return c.document(dst, newDescriber(v).describe(e)), nil
}

func (c descriptor) categories(dst []byte, _ *View, cs *Categories) ([]byte, error) {
	var t tree
	t.categories(cs)
	return c.document(dst, &t), nil
}

func (c descriptor) states(dst []byte, v *View) ([]byte, error) {
	var t tree
	t.states(v.Model)
	return c.document(dst, &t), nil
}

func (c descriptor) fault(dst []byte, _ *View, f *Fault) ([]byte, error) {
	var t tree
	t.fault(f)
	return c.document(dst, &t), nil
}

func (c descriptor) decode(m *occi.Model, body []byte) (*occi.Draft, error) {
	t, err := c.read(body)
	if err != nil {
		return nil, err
	}
	return (&undescriber{m: m, t: t}).draft()
}

func (c listed) collection(dst []byte, v *View, col *Collection) ([]byte, error) {
	d := newDescriber(v)
	dst = c.listing.begin(dst)
	for i, e := range col.Entities {
		dst = c.listing.element(dst, d.describe(e), i)
	}
	return c.listing.end(dst, len(col.Entities)), nil
}

// created shows the entity, or the entities as a collection.
func (c listed) created(dst []byte, v *View, es []*occi.Entity) ([]byte, error) {
	if len(es) == 1 {
		return c.entity(dst, v, es[0])
	}
	return c.collection(dst, v, createdCollection(es))
}

// createdCollection holds what a request created.
func createdCollection(es []*occi.Entity) *Collection {
	return &Collection{Path: "/", Title: "Created", Entities: es, Total: len(es)}
}
