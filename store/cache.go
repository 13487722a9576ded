package store

import (
	"sync"
)

// cache keeps values within a bounded size; when it is full, arbitrary ones go.
// It is safe for concurrent use.
type cache[K comparable, V any] struct {
	limit int // bytes

	mu    sync.RWMutex
	items map[K]item[V]
	size  int // of all items
	// drops counts the calls of drop: a value read before one may be out of date.
	drops uint64
	// held counts the changes of a key that are on their way: until their end
	// nothing is kept for it.
	held map[K]int
}

type item[V any] struct {
	value V
	size  int
}

func newCache[K comparable, V any](limit int) *cache[K, V] {
	return &cache[K, V]{limit: limit, items: map[K]item[V]{}, held: map[K]int{}}
}

func (c *cache[K, V]) get(key K) (V, bool) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	it, ok := c.items[key]
	return it.value, ok
}

// mark is to be taken before reading what put will keep.
func (c *cache[K, V]) mark() uint64 {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.drops
}

// put keeps a value of a size in bytes, unless something was dropped since mark
// or it would fill more than an eighth of the cache.
func (c *cache[K, V]) put(key K, value V, size int, mark uint64) {
	if size > c.limit/8 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.drops != mark || c.held[key] > 0 {
		return
	}
	c.size += size - c.items[key].size
	c.items[key] = item[V]{value, size}
	for k, it := range c.items {
		if c.size <= c.limit {
			break
		}
		delete(c.items, k)
		c.size -= it.size
	}
}

// hold forgets a value, and keeps none until release.
func (c *cache[K, V]) hold(key K) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.held[key]++
	c.forget(key)
}

// release ends a hold. Whatever is being read now is not kept.
func (c *cache[K, V]) release(key K) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.held[key]--; c.held[key] == 0 {
		delete(c.held, key)
	}
	c.forget(key)
}

func (c *cache[K, V]) forget(key K) {
	c.drops++
	c.size -= c.items[key].size
	delete(c.items, key)
}
