package server

import (
	"testing"

	"github.com/google/uuid"
)

func TestTheCacheIsBounded(t *testing.T) {
	t.Parallel()
	c := newBodies()
	big := &body{bytes: make([]byte, cacheItem-itemOverhead)}
	keys := make([]bodyKey, 6)
	for i := range keys {
		keys[i] = bodyKey{id: uuid.New(), revision: 1}
		c.put(keys[i], big)
		c.get(keys[0])
	}
	if c.get(keys[0]) == nil {
		t.Error("what was used last was dropped")
	}
	if c.get(keys[1]) != nil {
		t.Error("what was not used is kept over the bound")
	}
	if c.bytes > cacheBytes || len(c.items) != c.used.Len() {
		t.Errorf("%d bytes in %d bodies, %d in order", c.bytes, len(c.items), c.used.Len())
	}
	key := bodyKey{path: "/"}
	c.put(key, &body{bytes: make([]byte, cacheItem)})
	if c.get(key) != nil {
		t.Error("a body over the bound of one is kept")
	}
}
