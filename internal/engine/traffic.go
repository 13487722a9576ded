package engine

import (
	"context"
	"sync"
	"time"
)

// courtesy bounds how long work on a host gives way to requests. It is far below
// what a host needs for most of its work, and above what a group of requests takes
// to be stored.
const courtesy = 50 * time.Millisecond

// traffic counts the requests that are being stored.
type traffic struct {
	mu   sync.Mutex
	n    int
	idle chan struct{} // closed when n becomes 0
}

// enter reports whether no other request is being stored.
func (t *traffic) enter() (alone bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.n == 0 {
		t.idle = make(chan struct{})
	}
	t.n++
	return t.n == 1
}

func (t *traffic) leave() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.n--; t.n == 0 {
		close(t.idle)
	}
}

// giveWay waits until no request is being stored, but not for long: whoever asks
// waits for the answer, while tasks were promised for later only.
func (t *traffic) giveWay(ctx context.Context) {
	t.mu.Lock()
	busy, idle := t.n > 0, t.idle
	t.mu.Unlock()
	if !busy {
		return
	}
	timer := time.NewTimer(courtesy)
	defer timer.Stop()
	select {
	case <-idle:
	case <-timer.C:
	case <-ctx.Done():
	}
}
