package metrics

import (
	"context"
	"time"
)

// Host observes the calls of one host's driver.
type Host struct {
	m    *Metrics
	name string
}

// Host gives the observer of the driver of a host.
func (m *Metrics) Host(name string) *Host { return &Host{m, name} }

// Call times a call of the driver.
func (h *Host) Call(ctx context.Context, operation string) (context.Context, func(error)) {
	return ctx, h.time(&h.m.calls, operation)
}

// Change times a libvirt call that changes the host.
func (h *Host) Change(ctx context.Context, op string) (context.Context, func(error)) {
	return ctx, h.time(&h.m.changes, op)
}

func (h *Host) time(calls *callMetrics, operation string) func(error) {
	began := time.Now()
	return func(err error) {
		calls.duration.WithLabelValues(h.name, operation).Observe(time.Since(began).Seconds())
		if err != nil {
			calls.failures.WithLabelValues(h.name, operation).Inc()
		}
	}
}
