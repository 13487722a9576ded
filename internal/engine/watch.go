package engine

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/occid/occid/occi"
)

// Times of who watches what. One that dies is followed by another within watchLease and
// two beats.
const (
	// watchLease is how long a server has a host to itself without renewing that.
	watchLease = 6 * time.Second
	// beatTime is how often it is renewed, and what other servers do is looked at.
	beatTime = time.Second
	// handover is how long others have to find that they reach a host which the server
	// that watches it has lost: only then it is down.
	handover = 3 * time.Second
)

// charge is whether this server watches a host.
type charge struct {
	mu sync.Mutex
	// until is when it must have been renewed; zero if another watches the host. at is
	// when it was renewed last: what was asked before that is not news.
	until, at time.Time
	// reached tells whether this server reached the host when it last asked.
	reached bool
	// judged: that no server reaches the host is old enough to be said.
	judged bool
	// lost is since when nobody reaches the host; zero if somebody does, or that is
	// not known.
	lost time.Time
}

// watches reports whether this server watches the host now.
func (h *host) watches() bool {
	if !h.e.store.Shared() {
		return true
	}
	h.charge.mu.Lock()
	defer h.charge.mu.Unlock()
	return time.Now().Before(h.charge.until)
}

// works reports whether this server is to carry out tasks of the host: it reaches it, or
// no server does.
func (h *host) works() bool {
	h.charge.mu.Lock()
	reached := h.charge.reached
	h.charge.mu.Unlock()
	return reached || h.watches()
}

// lostFor is how long no server has reached the host, if this one watches it; else 0.
func (h *host) lostFor() time.Duration {
	if !h.watches() {
		return 0
	}
	h.charge.mu.Lock()
	defer h.charge.mu.Unlock()
	if h.charge.lost.IsZero() {
		return 0
	}
	return time.Since(h.charge.lost)
}

// attend puts down whether this server has reached the host. It reports whether it
// watches it now, and is to say what it has found.
func (h *host) attend(ctx context.Context, reached bool) (watches, certain bool, err error) {
	c := &h.charge
	c.mu.Lock()
	back := reached && !c.reached
	c.reached = reached
	if back && !c.lost.IsZero() {
		// What was said of its machines is not true any more.
		signal(h.resync)
	}
	c.mu.Unlock()
	if back {
		signal(h.wake)
	}
	if !h.e.store.Shared() {
		c.mu.Lock()
		defer c.mu.Unlock()
		if reached {
			c.lost = time.Time{}
		} else if c.lost.IsZero() {
			c.lost = time.Now()
		}
		return true, true, nil
	}
	begun := time.Now()
	w, taken, err := h.e.store.Watch(ctx, h.name, h.e.cfg.Worker, reached, watchLease, handover)
	if err != nil || !taken {
		return false, false, err
	}
	h.took(begun, w)
	return true, reached || w.For >= handover, nil
}

// took puts down a lease that was got or renewed after a time.
func (h *host) took(begun time.Time, w occi.Watch) {
	h.charge.mu.Lock()
	defer h.charge.mu.Unlock()
	c := &h.charge
	if !time.Now().Before(c.until) {
		// Whatever happened before this was for nobody here to see: another watched the
		// host, or this server before it was started again.
		signal(h.resync)
		signal(h.wake)
	}
	c.until, c.at, c.lost = begun.Add(watchLease), time.Now(), time.Time{}
	if w.Reaches {
		c.judged = false
		return
	}
	c.lost = begun.Add(-w.For)
	if !c.judged && w.For >= handover {
		c.judged = true
		signal(h.relook)
	}
}

// beat renews what this server watches and has it look after what others leave, until
// ctx ends. It also finds the tasks that others have left.
func (e *Engine) beat(ctx context.Context) {
	if !e.store.Shared() {
		return
	}
	tick := time.NewTicker(beatTime)
	defer tick.Stop()
	for failing := false; ; {
		err := e.beatOnce(ctx)
		if err != nil && ctx.Err() == nil && !failing {
			e.log.Warn("who watches the hosts cannot be looked at", "error", err)
		}
		failing = err != nil
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func (e *Engine) beatOnce(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, watchLease)
	defer cancel()
	begun := time.Now()
	list, err := e.store.Watches(ctx, e.cfg.Worker, watchLease)
	if err != nil {
		return err
	}
	all := make(map[string]occi.Watch, len(list))
	for _, w := range list {
		all[w.Host] = w
	}
	for _, h := range e.all() {
		h.learn(begun, all[h.name], e.cfg.Worker)
	}
	if now, err := e.store.Count(ctx, slices.Concat(kindsFor(e.Model(), "node"), kindsFor(e.Model(), "storepool"))); err != nil {
		return err
	} else if now.Revision != e.reviewed {
		e.reviewed = now.Revision
		signal(e.regather)
	}
	due, err := e.store.Due(ctx, e.now())
	for _, name := range due {
		e.wake(name)
	}
	for _, h := range e.all() {
		for _, id := range h.waiting() {
			h.renotice(id)
		}
	}
	return err
}

// learn takes in who watches the host. What this server could take it looks at again.
func (h *host) learn(begun time.Time, w occi.Watch, worker string) {
	if w.Worker == worker && w.Left > 0 {
		h.took(begun, w)
		return
	}
	c := &h.charge
	c.mu.Lock()
	defer c.mu.Unlock()
	if begun.Before(c.at) {
		return
	}
	c.until, c.judged, c.lost = time.Time{}, false, time.Time{}
	if w.Left > 0 && !w.Reaches {
		c.lost = begun.Add(-w.For)
	}
	if w.Left <= 0 || !w.Reaches && c.reached {
		signal(h.relook)
	}
}

// leave gives back what this server watches.
func (e *Engine) leave(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), settleTime)
	defer cancel()
	if err := e.store.Unwatch(ctx, e.cfg.Worker, ""); err != nil {
		e.log.Warn("the hosts were not left to other servers", "error", err)
	}
}

// watched names the hosts that some server watches now.
func (e *Engine) watched(ctx context.Context) (map[string]bool, error) {
	if !e.store.Shared() {
		return nil, nil
	}
	list, err := e.store.Watches(ctx, e.cfg.Worker, watchLease)
	now := map[string]bool{}
	for _, w := range list {
		now[w.Host] = now[w.Host] || w.Left > 0
	}
	return now, err
}
