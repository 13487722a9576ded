package libvirt

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/occid/occid/hypervisor"
)

// Times of keeping a connection.
const (
	dialTime     = 10 * time.Second // until a silent host counts as unavailable
	closeTime    = 5 * time.Second
	firstBackoff = 250 * time.Millisecond
	maxBackoff   = 30 * time.Second
)

// connection is what a keeper keeps.
type connection interface {
	// lost is closed when the connection has ended by itself.
	lost() <-chan struct{}
	close()
}

// keeper keeps one connection open: it dials, waits for the connection's end
// and dials again, with growing pauses while that fails.
type keeper[C connection] struct {
	dial   func() (C, error) // may hang
	reopen func()            // called after every opening but the first
	log    *slog.Logger

	mu      sync.Mutex
	cur     C
	open    bool
	err     error         // why not open; nil while the first attempt is under way
	changed chan struct{} // closed when one of the above changes

	stop context.CancelFunc
	done chan struct{}
}

func (k *keeper[C]) start() {
	ctx, cancel := context.WithCancel(context.Background())
	k.changed, k.stop, k.done = make(chan struct{}), cancel, make(chan struct{})
	go k.run(ctx)
}

// get gives the open connection. It waits for an attempt under way, and fails
// at once while attempts fail.
func (k *keeper[C]) get(ctx context.Context) (C, error) {
	for {
		k.mu.Lock()
		cur, open, err, changed := k.cur, k.open, k.err, k.changed
		k.mu.Unlock()
		if open || err != nil {
			return cur, err
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return cur, ctx.Err()
		}
	}
}

// connected reports whether the connection is open.
func (k *keeper[C]) connected() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.open
}

// close ends the connection; get fails from then on.
func (k *keeper[C]) close() {
	k.stop()
	<-k.done
}

func (k *keeper[C]) set(c C, open bool, err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.cur, k.open, k.err = c, open, err
	close(k.changed)
	k.changed = make(chan struct{})
}

func (k *keeper[C]) run(ctx context.Context) {
	defer close(k.done)
	var none C
	for failures, opened := 0, 0; ; {
		c, err := k.attempt(ctx)
		if ctx.Err() == nil && err == nil {
			k.set(c, true, nil)
			k.log.Info("host connected")
			if failures, opened = 0, opened+1; opened > 1 {
				k.reopen()
			}
			select {
			case <-c.lost():
				k.log.Warn("host lost")
			case <-ctx.Done():
			}
			k.set(none, false, nil)
			end(c)
			continue
		}
		if ctx.Err() != nil {
			k.set(none, false, fmt.Errorf("%w: closed", hypervisor.ErrUnavailable))
			return
		}
		k.fail(err)
		failures++
		select {
		case <-time.After(pause(failures)):
		case <-ctx.Done():
		}
	}
}

// fail makes known why there is no connection.
func (k *keeper[C]) fail(err error) {
	var none C
	k.set(none, false, fmt.Errorf("%w: %v", hypervisor.ErrUnavailable, err))
	k.log.Warn("host not connected", "error", err)
}

// attempt dials once. It never leaves an attempt that hangs for another one, so
// that there is at most one.
func (k *keeper[C]) attempt(ctx context.Context) (C, error) {
	type result struct {
		c   C
		err error
	}
	if ctx.Err() != nil {
		var none C
		return none, ctx.Err()
	}
	dialled := make(chan result, 1)
	go func() {
		c, err := k.dial()
		dialled <- result{c, err}
	}()
	slow := time.NewTimer(dialTime)
	defer slow.Stop()
	for {
		select {
		case r := <-dialled:
			return r.c, r.err
		case <-slow.C:
			k.fail(fmt.Errorf("no answer within %s", dialTime))
		case <-ctx.Done():
			go func() {
				if r := <-dialled; r.err == nil {
					r.c.close()
				}
			}()
			var none C
			return none, ctx.Err()
		}
	}
}

// end closes a connection, without waiting long for a host that hangs.
func end[C connection](c C) {
	closed := make(chan struct{})
	go func() {
		defer close(closed)
		c.close()
	}()
	select {
	case <-closed:
	case <-time.After(closeTime):
	}
}

// pause gives how long to wait after a number of failures in a row: twice as
// long each time, and by chance up to half less, so that many servers do not
// come back to a host at once.
func pause(failures int) time.Duration {
	d := firstBackoff
	for i := 1; i < failures && d < maxBackoff; i++ {
		d *= 2
	}
	d = min(d, maxBackoff)
	return d - rand.N(d/2)
}
