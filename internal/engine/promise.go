package engine

import (
	"context"
	"errors"
	"net/netip"
	"sync"

	"github.com/google/uuid"

	"github.com/occid/occid/occi"
)

// promises are the addresses that requests under way have chosen, until they are
// stored: without them all of many requests would choose the lowest, and all but one
// begin again.
type promises struct {
	mu       sync.Mutex
	networks map[uuid.UUID]*promised
}

// promised are those of a network.
type promised struct {
	users int // requests that are about to look at it; of promises' lock
	mu    sync.Mutex
	by    map[occi.Address]*promise
}

// promise is what one request has chosen.
type promise struct {
	of        *promises
	addresses []occi.Address
	over      chan struct{} // closed once it is stored, or will not be
}

func (ps *promises) promise() *promise { return &promise{of: ps, over: make(chan struct{})} }

// in runs f with the promises of a network, alone.
func (ps *promises) in(network uuid.UUID, f func(by map[occi.Address]*promise) error) error {
	ps.mu.Lock()
	if ps.networks == nil {
		ps.networks = map[uuid.UUID]*promised{}
	}
	n := ps.networks[network]
	if n == nil {
		n = &promised{by: map[occi.Address]*promise{}}
		ps.networks[network] = n
	}
	n.users++
	ps.mu.Unlock()

	n.mu.Lock()
	err := f(n.by)
	n.mu.Unlock()

	ps.mu.Lock()
	defer ps.mu.Unlock()
	if n.users--; n.users == 0 && len(n.by) == 0 {
		delete(ps.networks, network)
	}
	return err
}

// release ends a promise.
func (p *promise) release() {
	byNetwork := map[uuid.UUID][]occi.Address{}
	for _, a := range p.addresses {
		byNetwork[a.Network] = append(byNetwork[a.Network], a)
	}
	for network, as := range byNetwork {
		_ = p.of.in(network, func(by map[occi.Address]*promise) error {
			for _, a := range as {
				delete(by, a)
			}
			return nil
		})
	}
	close(p.over)
}

// choose promises the n lowest free addresses of a range that are not in mine.
// Nothing is chosen if there are fewer: the error is shortage.
func (p *promise) choose(ctx context.Context, st Store, r ipRange, mine map[occi.Address]uuid.UUID, n int) ([]netip.Addr, error) {
	var out []netip.Addr
	err := p.of.in(r.network, func(by map[occi.Address]*promise) error {
		// What another request has stored meanwhile is either read or still promised,
		// since its promise cannot end while this runs.
		spans, err := st.Free(ctx, r.network, r.first(), r.last(), n+len(mine)+len(by)+len(r.reserved()))
		if err != nil {
			return err
		}
		others := map[*promise]bool{}
		out = pick(spans, n, func(ip netip.Addr) bool {
			a := occi.IPAddress(r.network, ip)
			_, own := mine[a]
			if o := by[a]; o != nil && o != p {
				others[o] = true
			}
			return !own && by[a] == nil && r.refusal(ip) == ""
		})
		if len(out) < n {
			return shortage{len(out), others}
		}
		for _, ip := range out {
			a := occi.IPAddress(r.network, ip)
			by[a] = p
			p.addresses = append(p.addresses, a)
		}
		return nil
	})
	return out, err
}

// pick gives the first n addresses of spans that are good.
func pick(spans []occi.Span, n int, good func(netip.Addr) bool) []netip.Addr {
	var out []netip.Addr
	for _, s := range spans {
		for ip := s.First; ; ip = ip.Next() {
			if len(out) == n {
				return out
			}
			if good(ip) {
				out = append(out, ip)
			}
			if ip == s.Last {
				break
			}
		}
	}
	return out
}

// shortage tells that fewer addresses are free than are needed, beside those that
// are promised to others.
type shortage struct {
	free   int
	others map[*promise]bool
}

func (shortage) Error() string { return "too few addresses are free" }

// await waits until it is known what became of the promises that a shortage comes
// of; false if it comes of none.
func await(ctx context.Context, err error) bool {
	var s shortage
	if !errors.As(err, &s) || len(s.others) == 0 {
		return false
	}
	for o := range s.others {
		select {
		case <-o.over:
		case <-ctx.Done():
		}
	}
	return true
}
