package engine

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/occid/occid/hypervisor"
	"github.com/occid/occid/occi"
)

// Observer is told of the tasks that this server works on. It is called from several
// goroutines, must not block, and must not change what it is given.
type Observer interface {
	// TaskBegun is told of a task that is worked on for the first time.
	TaskBegun(t *occi.Task)
	// TaskPostponed is told of one that is to be tried again.
	TaskPostponed(t *occi.Task)
	// TaskOver is told of one that is over, as it is then.
	TaskOver(t *occi.Task)
	// EventFollowed is told of an event of a host that was followed: its row says the same
	// by then, or a task is under way that will see to it. It took so long from when
	// the server heard of it. With an error the whole host is looked at instead.
	EventFollowed(host string, took time.Duration, err error)
}

// unobserved observes nothing.
type unobserved struct{}

func (unobserved) TaskBegun(*occi.Task)     {}
func (unobserved) TaskPostponed(*occi.Task) {}
func (unobserved) TaskOver(*occi.Task)      {}

func (unobserved) EventFollowed(string, time.Duration, error) {}

// Watches reports whether this server watches a host.
func (e *Engine) Watches(host string) bool {
	h := e.host(host)
	return h != nil && h.watches()
}

// PoolUse is what is known of a storage pool of a host.
type PoolUse struct {
	Host, Pool string
	// CapacityBytes is its size, AllocatedBytes what is in use of it, as its host told
	// last.
	CapacityBytes, AllocatedBytes int64
	// LimitBytes is what volumes may take of it together; 0 for no limit.
	LimitBytes int64
}

// Key names the pool among those of all hosts, as the store does.
func (u PoolUse) Key() string { return poolKey(u.Host, u.Pool) }

// Pools tells of the pools that hosts have told of, without asking them.
func (e *Engine) Pools() []PoolUse {
	var out []PoolUse
	for _, h := range e.all() {
		for name, p := range h.poolsTold() {
			out = append(out, PoolUse{Host: h.name, Pool: name, CapacityBytes: p.CapacityBytes, AllocatedBytes: p.AllocatedBytes, LimitBytes: h.limit(name)})
		}
	}
	slices.SortFunc(out, func(a, b PoolUse) int { return cmp.Or(cmp.Compare(a.Host, b.Host), cmp.Compare(a.Pool, b.Pool)) })
	return out
}

// HostUse is what machines have of a host, and the most that they may have; 0 for no limit.
type HostUse struct {
	Open                          bool // machines are placed on it
	Cores, CoresLimit             int64
	MemoryBytes, MemoryLimitBytes int64
	Computes                      int64
}

// HostUse tells how far a host is taken, as this server knows it; ok is false until
// something is known of it. It asks neither a host nor the store.
func (e *Engine) HostUse(name string) (u HostUse, ok bool) {
	h := e.host(name)
	if h == nil {
		return u, false
	}
	v := h.view.Load()
	if v == nil {
		return u, false
	}
	l := &e.ledger
	l.mu.Lock()
	defer l.mu.Unlock()
	return HostUse{Open: v.open, Cores: l.kept(name, takeCores), CoresLimit: v.cores, MemoryBytes: l.kept(name, takeMemory),
		MemoryLimitBytes: v.memory, Computes: l.kept(name, takeMachines)}, true
}

// poolsTold gives what the host told of its pools, by name.
func (h *host) poolsTold() map[string]hypervisor.PoolStatus {
	h.mu.Lock()
	defer h.mu.Unlock()
	return maps.Clone(h.told)
}
