package engine

import (
	"context"
	"sync"

	"github.com/google/uuid"
)

// lanes keep what is done on one lane from running beside each other: a task, and
// what tasks of other lanes make again that its resource has lost. The zero value is
// ready for use.
type lanes struct {
	mu    sync.Mutex
	taken map[uuid.UUID]chan struct{} // each closed when it is left
}

// take waits until nobody has a lane, or ctx ends.
func (l *lanes) take(ctx context.Context, lane uuid.UUID) (leave func(), err error) {
	for {
		l.mu.Lock()
		left, taken := l.taken[lane]
		if !taken {
			if l.taken == nil {
				l.taken = map[uuid.UUID]chan struct{}{}
			}
			left = make(chan struct{})
			l.taken[lane] = left
			l.mu.Unlock()
			return func() { l.leave(lane, left) }, nil
		}
		l.mu.Unlock()
		select {
		case <-left:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func (l *lanes) leave(lane uuid.UUID, left chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.taken, lane)
	close(left)
}
