package engine

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/google/uuid"

	"github.com/occid/occid/hypervisor"
	"github.com/occid/occid/occi"
)

// found is what a host has.
type found struct {
	domains  map[uuid.UUID]hypervisor.DomainStatus
	networks map[uuid.UUID]bool // active
	volumes  map[uuid.UUID]bool
	made     map[uuid.UUID]hypervisor.VolumeStatus
	// blind is why the volumes are not all known, nil if they are.
	blind error
}

func newFound() *found {
	return &found{domains: map[uuid.UUID]hypervisor.DomainStatus{}, networks: map[uuid.UUID]bool{}, volumes: map[uuid.UUID]bool{},
		made: map[uuid.UUID]hypervisor.VolumeStatus{}}
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
	err = f.addVolumes(ctx, h.drv)
	if errors.Is(err, hypervisor.ErrUnavailable) && len(h.offers()) > 0 && ctx.Err() == nil {
		// A pool that is away must not keep machines from being followed.
		f.blind, err = err, nil
	}
	return f, err
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
		f.volumes[v.ID], f.made[v.ID] = true, v
	}
	return err
}

// lookAt finds what the host has of one entity.
func (h *host) lookAt(ctx context.Context, x *occi.Entity) (*found, error) {
	f, m := newFound(), h.e.Model()
	switch p, k := part(m, x), m.Kind(x.Kind); {
	case p.machine:
		d, err := h.drv.Domain(ctx, x.ID)
		if errors.Is(err, hypervisor.ErrNotFound) {
			return f, nil
		}
		f.domains[x.ID] = d
		return f, err
	case k != nil && k.Host == "network":
		return f, f.addNetworks(ctx, h.drv)
	case k != nil && k.Host == "volume":
		return f, f.addVolumes(ctx, h.drv)
	}
	return f, nil
}

// agrees reports whether a row, with its links, is true to what was found, as far
// as can be told. One in its failed state may be missing: that is for clients to
// mend.
func (f *found) agrees(m *occi.Model, x *occi.Entity) bool {
	k := m.Kind(x.Kind)
	if k == nil || k.States == nil || part(m, x).define == nil || part(m, x).device {
		return true
	}
	if isLost(m, x) {
		return false
	}
	if !f.has(m, x) {
		return failed(m, x)
	}
	return f.state(m, x) == "" && len(f.lost(m, x)) == 0 && !f.pends(m, x)
}

// has reports whether a resource is there as its row says. A network that is
// down but should not be is not.
func (f *found) has(m *occi.Model, x *occi.Entity) bool {
	switch k := m.Kind(x.Kind); k.Host {
	case "domain":
		_, ok := f.domains[x.ID]
		return ok
	case "network":
		active, ok := f.networks[x.ID]
		return ok && (active || m.State(x) != stateOf(k, hypervisor.Running))
	case "volume":
		return f.volumes[x.ID] || f.blind != nil
	}
	return true
}

// state gives the state of what is there if the row says another; "" if that is
// right. A machine that failed and is off has still failed.
func (f *found) state(m *occi.Model, x *occi.Entity) string {
	k := m.Kind(x.Kind)
	state := ""
	if d, ok := f.domains[x.ID]; ok {
		state = stateOf(k, d.State)
	} else if f.networks[x.ID] {
		state = stateOf(k, hypervisor.Running)
	}
	if state == m.State(x) || state == k.States.Initial && failed(m, x) {
		return ""
	}
	return state
}

// because says why a machine is in a state that nobody here asked for; "" if it
// runs, or the host does not know.
func because(d hypervisor.DomainStatus) string {
	if d.Reason == "" || d.State == hypervisor.Running {
		return ""
	}
	return fmt.Sprintf("%s on the host: %s", d.State, d.Reason)
}

// pending names the attributes of a machine that it runs without, though its
// definition has them; "" if there are none. One that is saved comes back as it was.
func pending(m *occi.Model, x *occi.Entity, d hypervisor.DomainStatus) string {
	var names []string
	differ := func(role string, live, defined int64) {
		if a := roleAttr(m, x, role); a != nil && live != defined {
			names = append(names, a.Name)
		}
	}
	switch d.State {
	case hypervisor.Saved:
		return role(m, x, rolePending).Text
	case hypervisor.Running, hypervisor.Paused:
		differ(roleVCPUs, int64(d.LiveVCPUs), int64(d.VCPUs))
		differ(roleMemory, d.LiveMemoryBytes, d.MemoryBytes)
	}
	return strings.Join(names, " ")
}

// pends reports whether what is pending on a machine is other than its row says.
func (f *found) pends(m *occi.Model, x *occi.Entity) bool {
	d, ok := f.domains[x.ID]
	return ok && pending(m, x, d) != role(m, x, rolePending).Text
}

// lost lists the links of a machine whose devices it lacks.
func (f *found) lost(m *occi.Model, x *occi.Entity) []*occi.Entity {
	d, ok := f.domains[x.ID]
	if !ok {
		return nil
	}
	has := map[uuid.UUID]bool{}
	for _, o := range d.Disks {
		has[o.ID] = true
	}
	for _, o := range d.NICs {
		has[o.ID] = true
	}
	var out []*occi.Entity
	for _, l := range x.Links {
		if part(m, l).device && !has[l.ID] && len(l.Tasks) == 0 && !l.Deleted && !failed(m, l) {
			out = append(out, l)
		}
	}
	return out
}
