package libvirt

import (
	"sync"

	"github.com/google/uuid"

	"github.com/occid/occid/hypervisor"
)

// hub hands the host's events to who watches. The zero value is ready for use.
type hub struct {
	mu      sync.Mutex
	next    int
	watches map[int]func(happening)
}

// happening is an event of the host as waiters inside the driver need it.
type happening struct {
	domain uuid.UUID // zero after a new connection
	kind   happeningKind
	event  hypervisor.Event // with kind changed, redefined or reconnected
}

type happeningKind int

const (
	changed     happeningKind = iota // a domain's state
	rebooted                         // a domain, by its guest or from outside
	unplugged                        // a device of a domain
	reconnected                      // the connection is back
	redefined                        // a domain
)

// watch registers f, which must not block, until the function it gives is called.
func (h *hub) watch(f func(happening)) (stop func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.watches == nil {
		h.watches = map[int]func(happening){}
	}
	id := h.next
	h.next++
	h.watches[id] = f
	return func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		delete(h.watches, id)
	}
}

func (h *hub) publish(x happening) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, f := range h.watches {
		f(x)
	}
}

// signals gives a channel that holds a token whenever something that wants
// accepts has happened to a domain since the last one was taken, or the
// connection is new.
func (h *hub) signals(domain uuid.UUID, wants func(happeningKind) bool) (<-chan struct{}, func()) {
	ch := make(chan struct{}, 1)
	stop := h.watch(func(x happening) {
		if x.kind != reconnected && (x.domain != domain || !wants(x.kind)) {
			return
		}
		select {
		case ch <- struct{}{}:
		default:
		}
	})
	return ch, stop
}
