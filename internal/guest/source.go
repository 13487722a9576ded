package guest

import (
	"context"
	"net/netip"
	"strings"
	"sync"

	"github.com/google/uuid"

	"github.com/occid/occid/internal/engine"
	"github.com/occid/occid/occi"
)

// Engine is what the package needs of the engine, whose package has the contracts.
type Engine interface {
	Model() *occi.Model
	Renew(ctx context.Context, surely bool) error
	Count(ctx context.Context, c engine.Caller, kinds []string) (occi.Count, error)
	List(ctx context.Context, c engine.Caller, q *occi.Query) (*occi.Page, error)
	Linked(ctx context.Context, c engine.Caller, id uuid.UUID) (*occi.Entity, []*occi.Entity, error)
	Update(ctx context.Context, c engine.Caller, id uuid.UUID, d *occi.Draft, o engine.Options) (*engine.Outcome, error)
}

// Peer is who asks, as the host sees it. Peers compare with ==.
type Peer struct {
	Bridge string     // the interface that the request came in by
	MAC    string     // lower case, with colons
	Addr   netip.Addr // without a zone
}

// String names a peer in logs.
func (p Peer) String() string { return p.Addr.String() + " (" + p.MAC + ") on " + p.Bridge }

// own is a machine as it is now, in OCCI's terms and in none. It is shared and not
// changed.
type own struct {
	model   *occi.Model
	entity  *occi.Entity
	targets map[uuid.UUID]*occi.Entity
	machine *Machine
	// tree, files and seen, the machine as it is shown to itself, are made once, when
	// they are asked for.
	tree  func() *ec2Tree
	files func() map[string][]byte
	seen  func() *occi.Entity

	revision int64 // of all that it was made of
}

// maxKept is how many machines are remembered.
const maxKept = 4096

// source finds machines by their peers, and remembers them for as long as nothing
// that a host has was changed.
type source struct {
	engine  Engine
	bridge  func(network uuid.UUID) string
	bridged func(bridge string, vlan int) (string, error)

	mu    sync.RWMutex
	kept  map[Peer]*own
	model *occi.Model
	kinds []string // what machines are made of, in the model
}

// find gives the machine of a peer; Forbidden if it has none.
func (s *source) find(ctx context.Context, p Peer) (*own, error) {
	if err := s.engine.Renew(ctx, false); err != nil {
		return nil, err
	}
	m := s.engine.Model()
	s.mu.RLock()
	o, kinds := s.kept[p], s.kinds
	known := s.model == m
	s.mu.RUnlock()
	if !known {
		kinds = hosted(m)
		s.mu.Lock()
		s.model, s.kinds = m, kinds
		s.mu.Unlock()
	}
	now, err := s.engine.Count(ctx, engine.Caller{}, kinds)
	if err != nil {
		return nil, err
	}
	if o != nil && o.model == m && o.revision == now.Revision {
		return o, nil
	}
	if o, err = s.read(ctx, m, p); err != nil {
		return nil, err
	}
	o.revision = now.Revision
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.kept == nil || len(s.kept) >= maxKept {
		s.kept = map[Peer]*own{}
	}
	s.kept[p] = o
	return o, nil
}

// hosted lists the kinds of what machines are made of.
func hosted(m *occi.Model) []string {
	var ids []string
	for _, k := range m.Kinds {
		if k.Host != "" {
			ids = append(ids, k.ID())
		}
	}
	return ids
}

// read finds the one interface that is a peer's, and with it the machine.
func (s *source) read(ctx context.Context, m *occi.Model, p Peer) (*own, error) {
	stranger := occi.E(occi.Forbidden, "no machine has an interface with the address %s and the MAC address %s in this network", p.Addr, p.MAC)
	q := interfaces(m, p.MAC)
	if q == nil {
		return nil, stranger
	}
	page, err := s.engine.List(ctx, engine.Caller{}, q)
	if err != nil {
		return nil, err
	}
	var o *own
	for _, l := range page.Entities {
		if !works(m, l) || !has(m, l, p) {
			continue
		}
		one, err := s.owner(ctx, m, l)
		if err != nil {
			return nil, err
		}
		if one == nil {
			continue
		}
		if at := s.bridgeOf(one, l); at == "" || at != p.Bridge {
			continue
		}
		if o != nil {
			return nil, stranger
		}
		o = one
	}
	if o == nil {
		return nil, stranger
	}
	o.machine = MachineOf(m, o.entity, o.targets)
	o.tree = sync.OnceValue(func() *ec2Tree { return ec2Of(o.machine) })
	o.files = sync.OnceValue(func() map[string][]byte { return NoCloud(o.machine) })
	o.seen = sync.OnceValue(func() *occi.Entity { return o.shown(o.entity) })
	return o, nil
}

// owner reads the machine of an interface, nil if it is gone.
func (s *source) owner(ctx context.Context, m *occi.Model, l *occi.Entity) (*own, error) {
	x, targets, err := s.engine.Linked(ctx, engine.Caller{}, l.Source.ID)
	if err != nil {
		if occi.ClassOf(err) == occi.NotFound {
			return nil, nil
		}
		return nil, err
	}
	o := &own{model: m, entity: x, targets: make(map[uuid.UUID]*occi.Entity, len(targets))}
	for _, t := range targets {
		o.targets[t.ID] = t
	}
	return o, nil
}

// bridgeOf names the bridge that an interface of a machine is at: the one that the
// operator offers for its network's bridge and VLAN, or the network's own; "" if it is
// offered no more.
func (s *source) bridgeOf(o *own, l *occi.Entity) string {
	network := o.targets[l.Target.ID]
	bridge := text(o.model, network, roleBridge)
	if bridge == "" {
		return s.bridge(l.Target.ID)
	}
	if s.bridged == nil {
		return ""
	}
	name, err := s.bridged(bridge, int(value(o.model, network, roleVLAN).Num))
	if err != nil {
		return ""
	}
	return name
}

// interfaces selects those with a MAC address, in the ways that it may have been
// written; nil if no kind has such an attribute.
func interfaces(m *occi.Model, mac string) *occi.Query {
	q := &occi.Query{}
	name := ""
	for _, k := range m.Kinds {
		if k.Host != "nic" {
			continue
		}
		for _, a := range m.KindAttributes(k) {
			if a.Role == roleMAC {
				name = a.Name
				q.Kinds = append(q.Kinds, k.ID())
			}
		}
	}
	if name == "" {
		return nil
	}
	c := occi.Cond{Name: name, Op: occi.Eq, Value: occi.Str(mac)}
	for _, way := range []string{strings.ToUpper(mac), dashed(mac), strings.ToUpper(dashed(mac))} {
		c.Or = append(c.Or, occi.Cond{Name: name, Op: occi.Eq, Value: occi.Str(way)})
	}
	q.Conds = []occi.Cond{c}
	return q
}

func dashed(mac string) string { return strings.ReplaceAll(mac, ":", "-") }

// works reports whether a link is in none of the states that mean it is not there.
func works(m *occi.Model, l *occi.Entity) bool {
	k := m.Kind(l.Kind)
	if k == nil || k.States == nil {
		return true
	}
	state := m.State(l)
	return state != k.States.Initial && state != k.States.Failed
}

// has reports whether a peer's address is an interface's: one on record, or the one
// of its link that follows from its MAC address (RFC 4291 appendix A).
func has(m *occi.Model, l *occi.Entity, p Peer) bool {
	for _, a := range addressesOf(m, l) {
		if a == p.Addr {
			return true
		}
	}
	return p.Addr == linkLocal(p.MAC)
}

// linkLocal is the address of a link that follows from a MAC address; invalid if
// that is none.
func linkLocal(mac string) netip.Addr {
	hw, ok := parseMAC(mac)
	if !ok {
		return netip.Addr{}
	}
	return netip.AddrFrom16([16]byte{0: 0xfe, 1: 0x80, 8: hw[0] ^ 2, 9: hw[1], 10: hw[2], 11: 0xff, 12: 0xfe, 13: hw[3], 14: hw[4], 15: hw[5]})
}
