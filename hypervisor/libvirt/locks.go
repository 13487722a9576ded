package libvirt

import (
	"context"
	"sync"

	"github.com/google/uuid"
)

// locks are locks by UUID, to be waited for under a context. The zero value is
// ready for use.
type locks struct {
	mu sync.Mutex
	m  map[uuid.UUID]*lock
}

type lock struct {
	held  chan struct{} // of capacity 1
	users int           // who holds it or waits; guarded by locks.mu
}

// lock waits until nobody holds id, or ctx ends.
func (l *locks) lock(ctx context.Context, id uuid.UUID) (unlock func(), err error) {
	l.mu.Lock()
	k := l.m[id]
	if k == nil {
		k = &lock{held: make(chan struct{}, 1)}
		if l.m == nil {
			l.m = map[uuid.UUID]*lock{}
		}
		l.m[id] = k
	}
	k.users++
	l.mu.Unlock()
	select {
	case k.held <- struct{}{}:
		return func() { <-k.held; l.leave(id, k) }, nil
	case <-ctx.Done():
		l.leave(id, k)
		return nil, ctx.Err()
	}
}

func (l *locks) leave(id uuid.UUID, k *lock) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if k.users--; k.users == 0 {
		delete(l.m, id)
	}
}
