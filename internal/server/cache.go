package server

import (
	"container/list"
	"sync"

	"github.com/google/uuid"

	"github.com/occid/occid/internal/engine"
	"github.com/occid/occid/render"
)

// cacheBytes bounds the rendered bodies that are kept, cacheItem one of them.
const (
	cacheBytes = 16 << 20
	cacheItem  = cacheBytes / 4
	// itemOverhead is what a body costs beside its own bytes.
	itemOverhead = 512
)

// bodyKey names a rendered body. What is rendered never changes under a key, so
// nothing is ever removed from a cache because it is out of date.
type bodyKey struct {
	id       uuid.UUID     // of an entity, zero otherwise
	caller   engine.Caller // zero for who sees everything
	path     string        // of a collection with its query, empty otherwise
	filter   string        // in header fields
	revision int64
	registry *registry
	format   *render.Format
	base     string
	content  string
}

// body is a rendering with the header values that go with it, made once.
type body struct {
	bytes    []byte
	fields   []render.Field // of a rendering in header fields
	kind     []string       // Content-Type
	etag     []string
	modified []string
	length   []string
	link     []string // of a page: the neighbouring pages
}

// bodies keeps the rendered bodies that were used last. It is safe for
// concurrent use; the bodies are shared and must not be changed.
type bodies struct {
	mu    sync.Mutex
	used  *list.List // of *bodyItem, the last used in front
	items map[bodyKey]*list.Element
	bytes int
}

type bodyItem struct {
	key  bodyKey
	body *body
}

func newBodies() *bodies {
	return &bodies{used: list.New(), items: map[bodyKey]*list.Element{}}
}

func (b *bodies) get(k bodyKey) *body {
	b.mu.Lock()
	defer b.mu.Unlock()
	e := b.items[k]
	if e == nil {
		return nil
	}
	b.used.MoveToFront(e)
	return e.Value.(*bodyItem).body
}

func (b *bodies) put(k bodyKey, v *body) {
	size := v.size()
	if size > cacheItem {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.items[k] != nil {
		return
	}
	b.items[k] = b.used.PushFront(&bodyItem{key: k, body: v})
	b.bytes += size
	for b.bytes > cacheBytes {
		last := b.used.Back()
		item := b.used.Remove(last).(*bodyItem)
		delete(b.items, item.key)
		b.bytes -= item.body.size()
	}
}

func (v *body) size() int {
	n := len(v.bytes) + itemOverhead
	for _, f := range v.fields {
		n += len(f.Name) + len(f.Value)
	}
	return n
}
