package engine

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/google/uuid"

	"github.com/occid/occid/hypervisor"
	"github.com/occid/occid/occi"
)

// straysPage is how many rows of strays are written at once.
const straysPage = 100

// strayID is the UUID under which a machine is shown that a host has and the server did
// not make. Its own is that of the compute which it may become.
func strayID(host string, domain uuid.UUID) uuid.UUID { return uuid.NewSHA1(nodeID(host), domain[:]) }

// showStrays keeps the rows of the host's strays true to what it has.
func (h *host) showStrays(ctx context.Context) error {
	if len(kindsFor(h.e.Model(), "stray")) == 0 {
		return nil
	}
	bounded, cancel := context.WithTimeout(ctx, taskTime)
	defer cancel()
	list, err := h.drv.Strays(bounded)
	if err != nil {
		return err
	}
	found, err := h.unowned(ctx, list)
	if err != nil {
		return err
	}
	rows, err := h.e.strays(ctx, h.e.Model(), h.name)
	if err != nil {
		return err
	}
	ids := slices.Concat(rows, missingIn(found, rows))
	for part := range slices.Chunk(ids, straysPage) {
		if err := h.writeStrays(ctx, part, found); err != nil {
			return err
		}
	}
	return nil
}

// unowned gives the strays, by the UUIDs of their rows, that have not become computes. One
// whose host has it marked all the same can be imported again.
func (h *host) unowned(ctx context.Context, list []hypervisor.Stray) (map[uuid.UUID]*hypervisor.Stray, error) {
	var ids []uuid.UUID
	for _, s := range list {
		if s.Adopted {
			ids = append(ids, s.Domain.ID)
		}
	}
	computes, err := h.e.entities(ctx, ids)
	if err != nil {
		return nil, err
	}
	found := map[uuid.UUID]*hypervisor.Stray{}
	for i := range list {
		id := list[i].Domain.ID
		if list[i].Adopted && computes[id] == nil {
			// It may be on its way out.
			if computes[id], err = h.e.anyway(ctx, id); err != nil {
				return nil, err
			}
		}
		if !list[i].Adopted || computes[id] == nil {
			found[strayID(h.name, id)] = &list[i]
		}
	}
	return found, nil
}

// strays lists the UUIDs of a host's strays that there are rows of.
func (e *Engine) strays(ctx context.Context, m *occi.Model, host string) ([]uuid.UUID, error) {
	var out []uuid.UUID
	of := occi.Either{Kinds: kindsFor(m, "stray")}
	for after := int64(0); len(of.Kinds) > 0; {
		rows, err := e.store.HostMembers(ctx, host, of, after, sweepPage)
		for _, x := range rows {
			out, after = append(out, x.ID), x.Seq
		}
		if err != nil || len(rows) < sweepPage {
			return out, err
		}
	}
	return out, nil
}

// missingIn lists what was found that there are no rows of, in the order of its names.
func missingIn(found map[uuid.UUID]*hypervisor.Stray, rows []uuid.UUID) []uuid.UUID {
	var out []uuid.UUID
	for id := range found {
		if !slices.Contains(rows, id) {
			out = append(out, id)
		}
	}
	slices.SortFunc(out, func(a, b uuid.UUID) int { return cmp.Compare(found[a].Domain.Name, found[b].Domain.Name) })
	return out
}

// writeStrays has rows show what was found, be it that there is nothing. One that has a
// task is left to that.
func (h *host) writeStrays(ctx context.Context, ids []uuid.UUID, found map[uuid.UUID]*hypervisor.Stray) error {
	_, err := retry(ctx, func() (*Outcome, error) {
		rows, err := h.e.entities(ctx, ids)
		if err != nil {
			return nil, err
		}
		p := h.e.plan(Caller{})
		for _, id := range ids {
			x, s := rows[id], found[id]
			switch {
			case x != nil && len(x.Tasks) > 0, x == nil && s == nil:
			case s == nil:
				p.change.Removes = append(p.change.Removes, occi.Removal{ID: id, Revision: x.Revision})
			case x == nil:
				if done, err := h.imported(ctx, p.m, s.Domain.ID); done || err != nil {
					if err != nil {
						return nil, err
					}
					continue
				}
				x = &occi.Entity{ID: id, Kind: kindsFor(p.m, "stray")[0], Host: h.name}
				h.describeStray(p.m, x, s)
				p.put(x)
				p.change.There = append(p.change.There, nodeID(h.name))
			default:
				w := x.Clone()
				if h.describeStray(p.m, w, s); !same(x, w) {
					p.put(w)
				}
			}
		}
		if len(p.change.Puts)+len(p.change.Removes) == 0 {
			return nil, nil
		}
		return nil, h.e.store.Commit(ctx, &p.change)
	})
	// The host may be gone, or not be shown yet.
	return ignoreConflict(err)
}

// imported reports whether a machine has become a compute of the host, be it since the host
// was asked: its row goes with that.
func (h *host) imported(ctx context.Context, m *occi.Model, id uuid.UUID) (bool, error) {
	x, err := h.e.anyway(ctx, id)
	return x != nil && x.Host == h.name && !role(m, x, roleImported).IsZero(), err
}

// describeStray puts down what a host tells of a stray.
func (h *host) describeStray(m *occi.Model, w *occi.Entity, s *hypervisor.Stray) {
	d := &s.Domain
	w.Title = cmp.Or(d.Title, d.Name)
	var disks, nics []string
	for _, x := range s.Disks {
		text := fmt.Sprintf("%s: %s in pool %s, %s", x.Target, x.Name, x.Pool, sizeText(x.SizeBytes))
		if x.Pool == "" {
			text = x.Target
		}
		disks = append(disks, text)
	}
	for _, x := range s.NICs {
		nics = append(nics, fmt.Sprintf("%s: %s", x.MAC, cmp.Or(x.Name, x.Bridge, "elsewhere")))
	}
	obstacles := h.obstacles(s)
	for _, row := range []struct {
		role  string
		value occi.Value
	}{
		{roleStrayID, occi.Str(d.ID.String())}, {roleStrayName, textValue(d.Name)}, {roleStrayHost, occi.Str(nodeID(h.name).String())},
		{roleStrayCores, occi.Int(int64(d.VCPUs))}, {roleStrayMemory, inGiB(d.MemoryBytes)},
		{roleStrayDisks, listValue(disks)}, {roleStrayNICs, listValue(nics)},
		{roleStrayImportable, occi.Bool(len(obstacles) == 0)}, {roleStrayObstacles, listValue(obstacles)},
	} {
		setRole(m, w, row.role, row.value)
	}
	if k := m.Kind(w.Kind); k.States != nil {
		w.Attributes.Set(k.States.Attribute, occi.Str(stateOf(k, s.State)))
	}
}

// listValue is a list of texts as a value, the zero Value of none.
func listValue(texts []string) occi.Value {
	if len(texts) == 0 {
		return occi.Value{}
	}
	list, err := json.Marshal(texts)
	if err != nil {
		return occi.Value{}
	}
	return occi.Value{Type: occi.Array, Text: string(list)}
}

// obstacles say why a stray cannot be imported, as far as that follows from what its host
// tells.
func (h *host) obstacles(s *hypervisor.Stray) []string {
	out := slices.Clone(s.Obstacles)
	if a := s.Domain.Arch; a != "" && archOf(a) == "" {
		out = append(out, "it is of the architecture "+a)
	}
	for _, n := range s.NICs {
		if _, ok := h.e.cfg.wireOf(n.Bridge); n.Bridge != "" && !ok {
			out = append(out, fmt.Sprintf("its interface %s is on the bridge %s, which is not offered to networks", n.MAC, n.Bridge))
		}
	}
	return out
}

// archOf gives what the registry calls an architecture of hosts; "" if it does not know it.
func archOf(arch string) string {
	for name, theirs := range arches {
		if theirs == arch {
			return name
		}
	}
	return ""
}

// wireOf gives by what a bridge of the hosts is offered to networks.
func (c *Config) wireOf(bridge string) (w hypervisor.Wire, ok bool) {
	for wire, name := range c.Bridges {
		if name == bridge && (!ok || wire.VLAN < w.VLAN || wire.VLAN == w.VLAN && wire.Bridge < w.Bridge) {
			w, ok = wire, true
		}
	}
	return w, ok
}

// strayed follows an event of a machine that there is no compute of here; x is the one of
// its UUID that is elsewhere, if there is one.
func (h *host) strayed(ctx context.Context, ev hypervisor.Event, x *occi.Entity) error {
	if ev.Domain == uuid.Nil || x != nil && x.Moving != "" || len(kindsFor(h.e.Model(), "stray")) == 0 {
		return nil
	}
	row, err := h.e.anyway(ctx, strayID(h.name, ev.Domain))
	if err != nil || row == nil && ev.Gone {
		return err
	}
	return h.lookAtStray(ctx, ev.Domain)
}

// reviewStray looks again at what a row of a stray stands for.
func (h *host) reviewStray(ctx context.Context, row *occi.Entity) error {
	id, err := uuid.Parse(role(h.e.Model(), row, roleStrayID).Text)
	if err != nil {
		return nil
	}
	return h.lookAtStray(ctx, id)
}

func (h *host) lookAtStray(ctx context.Context, id uuid.UUID) error {
	bounded, cancel := context.WithTimeout(ctx, taskTime)
	defer cancel()
	var list []hypervisor.Stray
	switch s, err := h.drv.Stray(bounded, id); {
	case err == nil:
		list = append(list, s)
	case !errors.Is(err, hypervisor.ErrNotFound):
		return err
	}
	found, err := h.unowned(ctx, list)
	if err != nil {
		return err
	}
	return h.writeStrays(ctx, []uuid.UUID{strayID(h.name, id)}, found)
}

// straysGo has the strays of a host that is deleted go with it.
func (r *removal) straysGo(ctx context.Context, host string) error {
	rows, err := r.e.strays(ctx, r.m, host)
	for _, id := range rows {
		r.change.Removes = append(r.change.Removes, occi.Removal{ID: id})
	}
	return err
}
