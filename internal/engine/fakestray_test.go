package engine_test

import (
	"context"
	"fmt"
	"slices"

	"github.com/google/uuid"

	"github.com/occid/occid/hypervisor"
)

func (f *fakeHost) Strays(ctx context.Context) ([]hypervisor.Stray, error) {
	if err := f.ask(ctx, "strays", uuid.Nil); err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	var out []hypervisor.Stray
	for id, s := range f.strays {
		one := *s
		one.Adopted = f.domains[id] != nil
		out = append(out, one)
	}
	return out, nil
}

func (f *fakeHost) Stray(ctx context.Context, id uuid.UUID) (hypervisor.Stray, error) {
	if err := f.ask(ctx, "stray", id); err != nil {
		return hypervisor.Stray{}, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	s := f.strays[id]
	if s == nil {
		return hypervisor.Stray{}, fmt.Errorf("domain %s: %w", id, hypervisor.ErrNotFound)
	}
	out := *s
	out.Adopted = f.domains[id] != nil
	return out, nil
}

func (f *fakeHost) AdoptDomain(ctx context.Context, d hypervisor.Domain) error {
	return f.change(ctx, "adopt domain", d.ID, func() error {
		s := f.strays[d.ID]
		if s == nil {
			return fmt.Errorf("domain %s: %w", d.ID, hypervisor.ErrNotFound)
		}
		if len(s.Obstacles) > 0 || len(s.Disks) != len(d.Disks) || len(s.NICs) != len(d.NICs) {
			return fmt.Errorf("%w: %v", hypervisor.ErrInvalid, s.Obstacles)
		}
		for _, x := range d.Disks {
			if !slices.ContainsFunc(s.Disks, func(o hypervisor.StrayDisk) bool { return o.Volume == x.Volume }) {
				return fmt.Errorf("%w: no disk of %s", hypervisor.ErrInvalid, x.Volume)
			}
		}
		f.domains[d.ID] = &fakeDomain{spec: d, DomainStatus: hypervisor.DomainStatus{ID: d.ID, Name: d.Name, State: s.State, Managed: true,
			VCPUs: d.VCPUs, MemoryBytes: d.MemoryBytes, LiveVCPUs: d.VCPUs, LiveMemoryBytes: d.MemoryBytes, Disks: d.Disks, NICs: d.NICs}}
		return nil
	})
}

func (f *fakeHost) ReleaseDomain(ctx context.Context, id uuid.UUID) error {
	return f.change(ctx, "release domain", id, func() error {
		if f.strays[id] != nil {
			delete(f.domains, id)
		}
		return nil
	})
}
