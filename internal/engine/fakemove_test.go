package engine_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/google/uuid"

	"github.com/occid/occid/hypervisor"
)

// MigrateDomain moves a domain with its volumes to another fakeHost. What is set by before
// is asked of both hosts: "migrate domain" of this one, with what is told of its progress,
// and "receive domain" of the other.
func (f *fakeHost) MigrateDomain(ctx context.Context, d hypervisor.Domain, to hypervisor.Driver, m hypervisor.Migration) error {
	o, ok := to.(*fakeHost)
	if !ok {
		o = to.(*port).fakeHost
	}
	if m.Progress != nil {
		m.Progress(1<<20, 4<<20)
	}
	if err := f.ask(ctx, "migrate domain", d.ID); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return errors.New("it stays where it is: " + err.Error())
	}
	if err := o.ask(ctx, "receive domain", d.ID); err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	o.mu.Lock()
	defer o.mu.Unlock()
	have := f.domains[d.ID]
	switch {
	case have == nil && o.domains[d.ID] != nil:
		return nil
	case have == nil:
		return fmt.Errorf("domain %s: %w", d.ID, hypervisor.ErrNotFound)
	case have.State != hypervisor.Running && have.State != hypervisor.Stopped && !(m.Paused && have.State == hypervisor.Paused):
		return fmt.Errorf("it is %s", have.State)
	}
	for _, n := range d.NICs {
		if n := o.networks[n.Network]; n == nil || !n.Active {
			return errors.New("a network is missing on the target")
		}
	}
	f.log = append(f.log, "migrate domain "+d.ID.String())
	delete(f.domains, d.ID)
	o.domains[d.ID] = have
	have.spec = d
	for _, x := range d.Disks {
		take(f.volumes, o.volumes, x.Volume)
		take(f.contents, o.contents, x.Volume)
		delete(f.backings, x.Volume)
	}
	return nil
}

// take moves what one map holds to another.
func take[T any](from, to map[uuid.UUID]T, id uuid.UUID) {
	if v, ok := from[id]; ok {
		to[id] = v
		delete(from, id)
	}
}
