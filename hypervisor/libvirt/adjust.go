package libvirt

import (
	"context"
	"errors"
	"time"

	"github.com/google/uuid"
	"libvirt.org/go/libvirt"

	"github.com/occid/occid/hypervisor"
)

// Times of waiting for a guest to give memory back, or to take it.
const (
	balloonTime = 3 * time.Second
	balloonLook = 50 * time.Millisecond
)

// AdjustDomain implements hypervisor.Driver. Memory can shrink, and grow back to
// what the domain was started with.
func (d *Driver) AdjustDomain(ctx context.Context, id uuid.UUID) error {
	return d.onDomain(ctx, "adjust domain", id, func(ctx context.Context, m *machine) error {
		if err := m.refilter(ctx); err != nil {
			return err
		}
		want, err := m.status(nil)
		if err != nil || want.LiveVCPUs == 0 {
			return err
		}
		if want.LiveVCPUs != want.VCPUs {
			err := m.change(ctx, opDomainVCPUs, func() error {
				return m.dom.SetVcpusFlags(uint(want.VCPUs), libvirt.DOMAIN_VCPU_LIVE)
			})
			if err = m.declined(ctx, err); err != nil {
				return err
			}
		}
		if want.LiveMemoryBytes == want.MemoryBytes {
			return nil
		}
		err = m.change(ctx, opDomainMemory, func() error {
			return m.dom.SetMemoryFlags(uint64(want.MemoryBytes/kib), libvirt.DOMAIN_MEM_LIVE)
		})
		if err != nil || want.State != hypervisor.Running {
			return m.declined(ctx, err)
		}
		return m.balloon(ctx, want.MemoryBytes)
	})
}

// declined forgives that host or guest cannot do something now: what the domain
// has tells.
func (m *machine) declined(ctx context.Context, err error) error {
	e, ok := errors.AsType[libvirt.Error](err)
	if !ok || transport(e) || ctx.Err() != nil || code(err, libvirt.ERR_NO_DOMAIN) {
		return err
	}
	m.cfg.Logger.Debug("a running domain does not follow its definition", "domain", m.id, "error", err)
	return nil
}

// balloon waits until the guest has as much memory as it was asked to; not for
// long, since many have no driver for that.
func (m *machine) balloon(ctx context.Context, want int64) error {
	timeout := time.NewTimer(balloonTime)
	defer timeout.Stop()
	tick := time.NewTicker(balloonLook)
	defer tick.Stop()
	for {
		info, err := m.dom.GetInfo()
		if err != nil || int64(info.Memory)*kib == want {
			return err
		}
		select {
		case <-tick.C:
		case <-timeout.C:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
