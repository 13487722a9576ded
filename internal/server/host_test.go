package server_test

import (
	"context"
	"sync"

	"github.com/google/uuid"

	"github.com/occid/occid/hypervisor"
)

// host is a host whose machines can be made to fail or hang when they start.
type host struct {
	hypervisor.Driver
	mu sync.Mutex
	// starting, when set, is asked before a machine is started; its error is what
	// starting it ends with.
	starting func(ctx context.Context) error
	// content, when set, is what every volume holds.
	content []byte
}

// onStart sets starting.
func (h *host) onStart(f func(ctx context.Context) error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.starting = f
}

func (h *host) StartDomain(ctx context.Context, id uuid.UUID) error {
	h.mu.Lock()
	starting := h.starting
	h.mu.Unlock()
	if starting != nil {
		if err := starting(ctx); err != nil {
			return err
		}
	}
	return h.Driver.StartDomain(ctx, id)
}
