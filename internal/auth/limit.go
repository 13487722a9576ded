package auth

import (
	"net/netip"
	"sync"
	"time"
)

// After so many failures each further one locks what failed, twice as long as the one
// before, from lockFirst up to lockMost. What did not fail for forgetAfter is as new.
const (
	freePair    = 4   // of an account from an address
	freeAddress = 16  // of an address, whatever the account
	freeAccount = 128 // of an account, wherever from
	lockFirst   = time.Second
	lockMost    = 15 * time.Minute
	forgetAfter = 15 * time.Minute
	// maxWatched bounds what is remembered.
	maxWatched = 20_000
)

// limiter slows who guesses, then locks it for a time. Failures are counted for an
// account from an address first, so that nobody locks out others who come from elsewhere.
// The zero limiter is ready for use.
type limiter struct {
	mu      sync.Mutex
	watched map[watchKey]*strikes
}

// watchKey is an account from an address, or either for any of the other.
type watchKey struct {
	address netip.Prefix
	account string
}

type strikes struct {
	failures int
	last     time.Time
	until    time.Time // locked
}

// watch is what an attempt counts for, and how many failures of it are free.
type watch struct {
	watchKey
	free int
}

// watches lists what an attempt counts for. What is presented may be about no account.
func watches(address netip.Prefix, account string) []watch {
	if account == "" {
		return []watch{{watchKey{address: address}, freeAddress}}
	}
	return []watch{{watchKey{address, account}, freePair}, {watchKey{address: address}, freeAddress}, {watchKey{account: account}, freeAccount}}
}

// over reports whether nothing has failed for so long that it is forgotten.
func (s *strikes) over(now time.Time) bool {
	return now.Sub(s.last) > forgetAfter && now.Sub(s.until) > forgetAfter
}

// attempt counts an attempt as failed until it has succeeded, so that many at once are no
// way around. It gives for how long the attempt is refused, 0 if it may be made.
func (l *limiter) attempt(address netip.Prefix, account string, now time.Time) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.watched == nil {
		l.watched = map[watchKey]*strikes{}
	}
	all := watches(address, account)
	var wait time.Duration
	for _, k := range all {
		if s := l.watched[k.watchKey]; s != nil {
			wait = max(wait, s.until.Sub(now))
		}
	}
	if wait > 0 {
		return wait
	}
	for _, k := range all {
		s := l.watched[k.watchKey]
		if s == nil || s.over(now) {
			l.room(now)
			s = &strikes{}
			l.watched[k.watchKey] = s
		}
		s.failures++
		s.last = now
		if over := s.failures - k.free; over > 0 {
			s.until = now.Add(min(lockFirst<<min(over-1, 20), lockMost))
		}
	}
	return 0
}

// succeeded takes back what attempt has counted, and forgets the failures of an account
// from an address.
func (l *limiter) succeeded(address netip.Prefix, account string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, k := range watches(address, account) {
		s := l.watched[k.watchKey]
		if s == nil {
			continue
		}
		if s.failures--; s.failures <= k.free {
			s.until = time.Time{}
		}
	}
	if account != "" {
		delete(l.watched, watchKey{address, account})
	}
}

// room forgets what is long over, or anything, if too much is remembered.
func (l *limiter) room(now time.Time) {
	if len(l.watched) < maxWatched {
		return
	}
	for k, s := range l.watched {
		if s.over(now) {
			delete(l.watched, k)
		}
	}
	for k := range l.watched {
		if len(l.watched) < maxWatched*9/10 {
			return
		}
		delete(l.watched, k)
	}
}

// origin is the part of an address that one client has for itself: of IPv6, a /64.
func origin(remote string) netip.Prefix {
	at, err := netip.ParseAddrPort(remote)
	if err != nil {
		return netip.Prefix{}
	}
	ip := at.Addr().Unmap().WithZone("")
	bits := 32
	if ip.Is6() {
		bits = 64
	}
	p, _ := ip.Prefix(bits)
	return p
}
