package store

import (
	"context"
	"sync"
	"time"

	"github.com/occid/occid/occi"
)

const (
	// followRead is about how many events are read at once for followers.
	followRead = 256
	// followBuffer is how many reads a follower may be behind.
	followBuffer = 64
	// The pauses between attempts to reach a database that does not answer.
	firstPause, longestPause = 100 * time.Millisecond, 10 * time.Second
)

// follows are who is told of events. While there is anybody, a goroutine reads each
// event once for all of them. The zero value is ready for use.
type follows struct {
	runs sync.WaitGroup

	mu     sync.Mutex
	now    *following // nil while nobody follows
	closed bool
}

// following is a time in which somebody follows.
type following struct {
	wake chan struct{} // of capacity 1: there may be events
	stop context.CancelFunc

	// Guarded by follows.mu:
	at        int64 // the followers have had all up to this one
	followers map[chan []*occi.Event]bool
}

// Follow gives every event after a number on a channel, in order, until ctx ends. The
// channel is closed then, and when its reader is far behind or the store is closed.
// The number is that of an event which is there.
func (s *Store) Follow(ctx context.Context) (after int64, events <-chan []*occi.Event, err error) {
	_, last, err := s.EventRange(ctx)
	if err != nil {
		return 0, nil, err
	}
	ch := make(chan []*occi.Event, followBuffer)
	f := &s.follows
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return 0, nil, occi.E(occi.Unavailable, "the store is closed")
	}
	if f.now == nil {
		s.begin(last)
	}
	now := f.now
	now.followers[ch] = true
	context.AfterFunc(ctx, func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.drop(now, ch)
	})
	return now.at, ch, nil
}

// Followers counts who follows.
func (s *Store) Followers() int {
	s.follows.mu.Lock()
	defer s.follows.mu.Unlock()
	if s.follows.now == nil {
		return 0
	}
	return len(s.follows.now.followers)
}

// begin has events after a number read.
func (s *Store) begin(at int64) {
	ctx, stop := context.WithCancel(context.Background())
	now := &following{wake: make(chan struct{}, 1), stop: stop, at: at, followers: map[chan []*occi.Event]bool{}}
	signal(now.wake)
	s.follows.now = now
	s.follows.runs.Go(func() { s.relay(ctx, now) })
	if s.db.listen != nil {
		s.follows.runs.Go(func() { s.listen(ctx, now) })
	}
}

// drop ends one that follows. The mutex is held.
func (f *follows) drop(now *following, ch chan []*occi.Event) {
	if !now.followers[ch] {
		return
	}
	delete(now.followers, ch)
	close(ch)
	if len(now.followers) == 0 {
		now.stop()
		if f.now == now {
			f.now = nil
		}
	}
}

// tell wakes who follows, if anybody does.
func (f *follows) tell() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.now != nil {
		signal(f.now.wake)
	}
}

// close drops all who follow.
func (f *follows) close() {
	f.mu.Lock()
	f.closed = true
	if now := f.now; now != nil {
		for ch := range now.followers {
			f.drop(now, ch)
		}
	}
	f.mu.Unlock()
	f.runs.Wait()
}

// relay reads events for who follows, until ctx ends.
func (s *Store) relay(ctx context.Context, now *following) {
	pause := firstPause
	for {
		select {
		case <-now.wake:
		case <-ctx.Done():
			return
		}
		for {
			events, err := s.Events(ctx, now.at, followRead)
			if err == nil && len(events) == 0 {
				break
			}
			if err == nil {
				s.follows.give(now, events)
				pause = firstPause
			} else if !rest(ctx, &pause) {
				return
			}
		}
	}
}

// give hands events to all who follow and drops those who do not keep up.
func (f *follows) give(now *following, events []*occi.Event) {
	f.mu.Lock()
	defer f.mu.Unlock()
	now.at = events[len(events)-1].Seq
	for ch := range now.followers {
		select {
		case ch <- events:
		default:
			f.drop(now, ch)
		}
	}
}

// listen wakes who follows when another server has written, until ctx ends. After a
// lost connection they look for themselves.
func (s *Store) listen(ctx context.Context, now *following) {
	pause := firstPause
	for {
		// Ends with an error, whatever that is: the connection is made anew.
		_ = s.db.listen(ctx, func(last int64) {
			pause = firstPause
			s.follows.mu.Lock()
			defer s.follows.mu.Unlock()
			if last == 0 || last > now.at {
				signal(now.wake)
			}
		})
		if !rest(ctx, &pause) {
			return
		}
	}
}

// rest pauses, longer each time, and reports whether ctx goes on.
func rest(ctx context.Context, pause *time.Duration) bool {
	timer := time.NewTimer(*pause)
	defer timer.Stop()
	*pause = min(2**pause, longestPause)
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
