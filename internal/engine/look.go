package engine

import (
	"context"

	"github.com/google/uuid"

	"github.com/occid/occid/hypervisor"
)

// found is what a host has.
type found struct {
	domains  map[uuid.UUID]hypervisor.DomainStatus
	networks map[uuid.UUID]bool // active
	volumes  map[uuid.UUID]bool
}

func newFound() *found {
	return &found{domains: map[uuid.UUID]hypervisor.DomainStatus{}, networks: map[uuid.UUID]bool{}, volumes: map[uuid.UUID]bool{}}
}

// look finds all that the host has.
func (h *host) look(ctx context.Context) (*found, error) {
	f := newFound()
	domains, err := h.drv.Domains(ctx)
	if err != nil {
		return nil, err
	}
	for _, d := range domains {
		f.domains[d.ID] = d
	}
	if err := f.addNetworks(ctx, h.drv); err != nil {
		return nil, err
	}
	return f, f.addVolumes(ctx, h.drv)
}

func (f *found) addNetworks(ctx context.Context, drv hypervisor.Driver) error {
	networks, err := drv.Networks(ctx)
	for _, n := range networks {
		f.networks[n.ID] = n.Active
	}
	return err
}

func (f *found) addVolumes(ctx context.Context, drv hypervisor.Driver) error {
	volumes, err := drv.Volumes(ctx)
	for _, v := range volumes {
		f.volumes[v.ID] = true
	}
	return err
}
