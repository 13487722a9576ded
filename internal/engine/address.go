package engine

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/google/uuid"

	"github.com/occid/occid/occi"
)

// isNIC reports whether an entity is an interface of a machine in a network.
func isNIC(m *occi.Model, x *occi.Entity) bool { return hostedAs(m, x, "nic") }

func hostedAs(m *occi.Model, x *occi.Entity, what string) bool {
	k := m.Kind(x.Kind)
	return k != nil && k.Host == what
}

// edit is an entity before and after.
type edit struct{ old, next *occi.Entity }

// networksOf makes the networks known that interfaces are in.
func (p *plan) networksOf(ctx context.Context, xs ...*occi.Entity) error {
	var ids []uuid.UUID
	for _, x := range xs {
		if isNIC(p.m, x) {
			ids = append(ids, x.Target.ID)
		}
	}
	return p.read(ctx, ids)
}

// keepAddress gives an interface that is changed the addresses back that the change
// leaves out: in a network with a range, which is to be known, it keeps them until
// it is given others.
func (p *plan) keepAddress(old, next *occi.Entity) {
	network := p.entity(next.Target.ID)
	if network == nil || !isNIC(p.m, next) {
		return
	}
	for _, f := range families {
		had := role(p.m, old, f.address)
		if _, ok := rangeOf(p.m, network, f); !ok || had.IsZero() {
			continue
		}
		p.extend(next, f.address)
		a := roleAttr(p.m, next, f.address)
		if a == nil {
			continue
		}
		if ip, err := netip.ParseAddr(next.Attributes.Get(a.Name).Text); err == nil {
			next.Attributes.Set(a.Name, occi.Str(ip.Unmap().String()))
		}
		kept := next.Attributes.Get(a.Name).IsZero()
		for _, r := range []string{f.address, f.gateway, f.allocation} {
			if was := role(p.m, old, r); kept && role(p.m, next, r).IsZero() && !was.IsZero() {
				p.set(next, r, was.Text)
			}
		}
		if !kept && role(p.m, next, f.address) != had && f.allocation != "" && role(p.m, next, f.allocation) == role(p.m, old, f.allocation) {
			p.set(next, f.allocation, allocationStatic)
		}
	}
}

// How an interface gets its address, values of roleNICAllocation.
const (
	allocationStatic  = "static"
	allocationDynamic = "dynamic"
)

// extend gives an entity the first mixin for its kind which has an attribute of a
// role, unless it has such an attribute.
func (p *plan) extend(x *occi.Entity, role string) {
	if roleAttr(p.m, x, role) != nil {
		return
	}
	k := p.m.Kind(x.Kind)
	for _, mx := range p.m.Mixins {
		applies := slices.ContainsFunc(mx.Applies, func(id string) bool { return p.m.IsA(k, id) })
		if applies && slices.ContainsFunc(mx.Attributes, func(a *occi.Attribute) bool { return a.Role == role }) {
			x.Mixins = append(x.Mixins, mx.ID())
			return
		}
	}
}

// addressing settles the addresses of the interfaces that a plan makes or changes.
type addressing struct {
	*creation
	nics []*nicPlan
	mine map[occi.Address]uuid.UUID // what they have, by whom
	// wanted are what they lack, by range.
	wanted []*wanted
	bad    []occi.Problem // with the request
	taken  []occi.Problem // by others
}

// nicPlan is one of these interfaces.
type nicPlan struct {
	edit // old is nil if it is new
	has  []occi.Address
}

// wanted are the interfaces that need an address of a range.
type wanted struct {
	ipRange
	family
	nics []*nicPlan
}

// addresses gives the interfaces of a plan their addresses, those they ask for or
// the lowest free ones, and notes them in the change. What it has chosen is promised
// to the plan until release is called, which must come after the commit.
func (b *creation) addresses(ctx context.Context) (release func(), err error) {
	a := &addressing{creation: b, mine: map[occi.Address]uuid.UUID{}}
	none := func() {}
	if err := a.collect(ctx); err != nil || len(a.nics) == 0 {
		return none, err
	}
	for _, n := range a.nics {
		a.given(n)
	}
	if err := occi.Problems(occi.Invalid, "the addresses are not possible", a.bad); err != nil {
		return none, err
	}
	if err := a.clashes(ctx); err != nil {
		return none, err
	}
	if release, err = a.choose(ctx); err != nil {
		return none, err
	}
	a.note()
	return release, nil
}

// collect finds the interfaces.
func (a *addressing) collect(ctx context.Context) error {
	for _, l := range a.links {
		if isNIC(a.m, l) {
			a.nics = append(a.nics, &nicPlan{edit: edit{next: l}})
		}
	}
	var ranged []edit
	for _, c := range a.changed {
		switch {
		case isNIC(a.m, c.next):
			a.nics = append(a.nics, &nicPlan{edit: c})
		case hostedAs(a.m, c.next, "network") && differentRanges(a.m, c.old, c.next):
			ranged = append(ranged, c)
		}
	}
	return a.renumbered(ctx, ranged)
}

func differentRanges(m *occi.Model, old, next *occi.Entity) bool {
	for _, f := range families {
		was, had := rangeOf(m, old, f)
		is, has := rangeOf(m, next, f)
		if had != has || was != is {
			return true
		}
	}
	return false
}

// renumbered takes in the interfaces in networks whose ranges change. Those that
// would be outside are named, and those that are being deleted and show something
// else: they come back as they are if their host keeps them.
func (a *addressing) renumbered(ctx context.Context, networks []edit) error {
	if len(networks) == 0 {
		return nil
	}
	var ids []uuid.UUID
	for _, c := range networks {
		ids = append(ids, c.next.ID)
	}
	if err := a.basedOnNICs(ctx); err != nil {
		return err
	}
	incoming, err := a.e.store.Incoming(ctx, ids...)
	if err != nil {
		return err
	}
	var leaving []occi.Problem
	for _, l := range incoming {
		if !isNIC(a.m, l) || a.puts[l.ID] != nil {
			continue
		}
		network := a.entity(l.Target.ID)
		a.outside(l, network)
		if !a.lacks(l, network) {
			continue
		}
		if l.Deleted {
			leaving = append(leaving, occi.Problem{What: a.m.Path(l), Text: "is being deleted; try again once it is gone"})
			continue
		}
		w := a.put(l)
		a.changed = append(a.changed, edit{l, w})
		a.nics = append(a.nics, &nicPlan{edit: edit{l, w}})
	}
	err = cmp.Or(occi.Problems(occi.Conflict, "addresses are in use that would not be in the range", first(a.taken, maxNamed)),
		occi.Problems(occi.Conflict, "interfaces are not out of the network yet", first(leaving, maxNamed)))
	if err != nil {
		return final{err}
	}
	return nil
}

// basedOnNICs makes the change a Conflict if interfaces come or go meanwhile.
func (a *addressing) basedOnNICs(ctx context.Context) error {
	kinds := kindsFor(a.m, "nic")
	now, err := a.e.store.Count(ctx, kinds)
	a.change.Based = append(a.change.Based, occi.Based{Kinds: kinds, Revision: now.Revision})
	return err
}

// maxNamed is how many of the same are named in an error.
const maxNamed = 10

// first gives the first n problems, and how many more there are.
func first(ps []occi.Problem, n int) []occi.Problem {
	if len(ps) <= n {
		return ps
	}
	return append(slices.Clone(ps[:n]), occi.Problem{Text: fmt.Sprintf("and %d more", len(ps)-n)})
}

// outside names an interface whose address a network's new range does not allow.
func (a *addressing) outside(l, network *occi.Entity) {
	for _, f := range families {
		ip, err := netip.ParseAddr(role(a.m, l, f.address).Text)
		if err != nil {
			continue
		}
		r, ok := rangeOf(a.m, network, f)
		text := "is in use, and the network would have no range"
		if ok {
			text = r.refusal(ip)
		} else if old := a.known[network.ID]; old != nil && role(a.m, old, f.cidr).IsZero() {
			continue
		}
		if text != "" {
			a.taken = append(a.taken, occi.Problem{What: a.m.Path(l), Text: fmt.Sprintf("has %s, which %s", ip, text)})
		}
	}
}

// lacks reports whether an interface is to show something else in a network.
func (a *addressing) lacks(l, network *occi.Entity) bool {
	for _, f := range families {
		r, ok := rangeOf(a.m, network, f)
		if ok && (role(a.m, l, f.address).IsZero() || role(a.m, l, f.gateway).Text != ipText(r.gateway)) {
			return true
		}
	}
	return false
}

// ipText is an address as attributes have it; "" for none.
func ipText(ip netip.Addr) string {
	if !ip.IsValid() {
		return ""
	}
	return ip.String()
}

// given takes in what an interface has or asks for, and notes what it lacks.
func (a *addressing) given(n *nicPlan) {
	if mac := roleAttr(a.m, n.next, roleMAC); mac != nil {
		if hw, ok := occi.MACAddress(n.next.Target.ID, n.next.Attributes.Get(mac.Name).Text); ok {
			if a.mine[hw] != uuid.Nil && a.generated(n) {
				hw = a.renamed(n)
			}
			a.own(n, mac, hw)
		}
	}
	// A network that is being deleted gives nothing more, and comes back if an
	// interface in it does.
	network := a.entity(n.next.Target.ID)
	for _, f := range families {
		var r ipRange
		var ranged bool
		if network != nil {
			r, ranged = rangeOf(a.m, network, f)
		}
		if ranged {
			a.inRange(n, f, r)
		} else if at := roleAttr(a.m, n.next, f.address); at != nil {
			if ip, err := netip.ParseAddr(n.next.Attributes.Get(at.Name).Text); err == nil {
				a.own(n, at, occi.IPAddress(n.next.Target.ID, ip.Unmap()))
			}
		}
	}
}

// own notes that an interface is to have an address.
func (a *addressing) own(n *nicPlan, attr *occi.Attribute, address occi.Address) {
	if other := a.mine[address]; other != uuid.Nil {
		a.fault(n, attr.Name, "%s is given to two interfaces", address)
		return
	}
	a.mine[address] = n.next.ID
	n.has = append(n.has, address)
}

func (a *addressing) fault(n *nicPlan, what, format string, args ...any) {
	a.bad = append(a.bad, occi.Problem{What: what, Line: a.lines[n.next.ID], Text: fmt.Sprintf(format, args...)})
}

// inRange checks what an interface asks for in a range, and completes the rest.
func (a *addressing) inRange(n *nicPlan, f family, r ipRange) {
	a.extend(n.next, f.address)
	at := roleAttr(a.m, n.next, f.address)
	if at == nil {
		return
	}
	if gw := roleAttr(a.m, n.next, f.gateway); gw != nil {
		a.gateway(n, gw, r)
	}
	asked := n.next.Attributes.Get(at.Name).Text
	a.allocation(n, f, r, asked != "")
	if asked == "" {
		i := slices.IndexFunc(a.wanted, func(w *wanted) bool { return w.ipRange == r && w.family == f })
		if i < 0 {
			i = len(a.wanted)
			a.wanted = append(a.wanted, &wanted{ipRange: r, family: f})
		}
		a.wanted[i].nics = append(a.wanted[i].nics, n)
		return
	}
	ip, err := netip.ParseAddr(asked)
	if ip = ip.Unmap(); err != nil {
		return
	}
	n.next.Attributes.Set(at.Name, occi.Str(ip.String()))
	if why := r.refusal(ip); why != "" && (n.old == nil || role(a.m, n.old, f.address).Text != ip.String()) {
		a.fault(n, at.Name, "%s %s", ip, why)
		return
	}
	a.own(n, at, occi.IPAddress(r.network, ip))
}

// gateway shows the network's. One that a client gives may only be that.
func (a *addressing) gateway(n *nicPlan, attr *occi.Attribute, r ipRange) {
	asked := n.next.Attributes.Get(attr.Name).Text
	if n.old != nil && asked == n.old.Attributes.Get(attr.Name).Text {
		asked = ""
	}
	if ip, err := netip.ParseAddr(asked); err == nil && ip.Unmap() != r.gateway {
		now := "none"
		if r.gateway.IsValid() {
			now = r.gateway.String()
		}
		a.fault(n, attr.Name, "%s is not the network's gateway, which is %s", ip, now)
		return
	}
	n.next.Attributes.Delete(attr.Name)
	if r.gateway.IsValid() {
		n.next.Attributes.Set(attr.Name, occi.Str(r.gateway.String()))
	}
}

// allocation says how the interface gets its address: the network hands none out
// that the client chose.
func (a *addressing) allocation(n *nicPlan, f family, r ipRange, asked bool) {
	if f.allocation == "" {
		return
	}
	how := role(a.m, n.next, f.allocation).Text
	if how == "" && !asked {
		how = allocationDynamic
	}
	if how == "" || !r.dynamic {
		how = allocationStatic
	}
	a.set(n.next, f.allocation, how)
}

// generated reports whether an interface has the MAC address that the server chose.
func (a *addressing) generated(n *nicPlan) bool {
	return n.old == nil && role(a.m, n.next, roleMAC).Text == macOf(n.next.ID)
}

// renamed gives an interface another MAC address of the server's choice.
func (a *addressing) renamed(n *nicPlan) occi.Address {
	text := macOf(uuid.New())
	a.set(n.next, roleMAC, text)
	hw, _ := occi.MACAddress(n.next.Target.ID, text)
	return hw
}

// clashes refuses addresses that others have.
func (a *addressing) clashes(ctx context.Context) error {
	var all []occi.Address
	for _, n := range a.nics {
		all = append(all, n.has...)
	}
	holders, err := a.e.store.Holders(ctx, all)
	if err != nil {
		return err
	}
	for _, n := range a.nics {
		for i, address := range n.has {
			holder := holders[address]
			if holder == uuid.Nil || holder == n.next.ID {
				continue
			}
			_, isIP := address.IP()
			if !isIP && a.generated(n) {
				n.has[i] = a.renamed(n)
				continue
			}
			a.taken = append(a.taken, occi.Problem{What: a.nameOf(n, address), Line: a.lines[n.next.ID],
				Text: fmt.Sprintf("%s is that of %s already", address, a.called(a.entity(holder), occi.Ref{ID: holder, Kind: n.next.Kind}))})
		}
	}
	if err := occi.Problems(occi.Conflict, "the addresses are not free", a.taken); err != nil {
		return final{err}
	}
	return nil
}

// nameOf names the attribute of an interface that an address is of.
func (a *addressing) nameOf(n *nicPlan, address occi.Address) string {
	for _, r := range []string{roleMAC, roleNICAddress, roleNICAddress6} {
		if at := roleAttr(a.m, n.next, r); at != nil && strings.EqualFold(n.next.Attributes.Get(at.Name).Text, address.String()) {
			return at.Name
		}
	}
	return a.m.Path(n.next)
}

// choose gives what is wanted, or says how much of it there is.
func (a *addressing) choose(ctx context.Context) (release func(), err error) {
	p := a.e.promises.promise()
	for _, w := range a.wanted {
		ips, err := p.choose(ctx, a.e.store, w.ipRange, a.mine, len(w.nics))
		if err != nil {
			p.release()
			return nil, a.short(ctx, w, err)
		}
		for i, n := range w.nics {
			address := occi.IPAddress(w.network, ips[i])
			a.mine[address] = n.next.ID
			n.has = append(n.has, address)
			a.set(n.next, w.address, ips[i].String())
		}
	}
	return p.release, nil
}

// short tells of a shortage once it is certain. Until then it is a Conflict, so that
// the plan is made again.
func (a *addressing) short(ctx context.Context, w *wanted, err error) error {
	var s shortage
	if !errors.As(err, &s) {
		return err
	}
	path := a.m.Path(a.entity(w.network))
	if await(ctx, s) {
		return occi.E(occi.Conflict, "the last free addresses of %s are promised to other requests", path)
	}
	return conflict("%s has %d free addresses in %s; %d are needed", path, s.free, w.prefix, len(w.nics))
}

// note puts what the interfaces have into the change, relying on the networks as
// they are, and has hosts follow.
func (a *addressing) note() {
	read := map[uuid.UUID]bool{}
	for _, n := range a.nics {
		a.change.Holds = append(a.change.Holds, occi.Hold{Holder: n.next.ID, Addresses: n.has})
		network := a.entity(n.next.Target.ID)
		if network == nil {
			continue
		}
		if !read[network.ID] && a.puts[network.ID] == nil {
			read[network.ID] = true
			a.change.Reads = append(a.change.Reads, occi.Version{ID: network.ID, Revision: network.Revision})
		}
		a.follow(n, network)
	}
}

// follow leaves a task for an interface that has come to have an address, unless one
// is left already.
func (a *addressing) follow(n *nicPlan, network *occi.Entity) {
	if n.old == nil || n.next.Host == "" || !followed(a.m, n.old, n.next) {
		return
	}
	for _, t := range a.change.Tasks {
		if t.Entity == n.next.ID {
			t.Attributes = updateParams(a.m, n.old, n.next)
			return
		}
	}
	a.task(n.next, n.next.Host, verbUpdate, nil, slices.Clone(network.Tasks))
	a.say(n.next, throughUpdate)
}

// adoptPage is how many links are read at once of those from before the store kept
// addresses.
const adoptPage = 500

// adopt notes the addresses of links from before the store kept them. Where two have
// the same the older one keeps it.
func (e *Engine) adopt(ctx context.Context) error {
	for {
		links, err := e.store.Unread(ctx, adoptPage)
		if err != nil || len(links) == 0 {
			return err
		}
		if err := e.adoptAll(ctx, links); err != nil && !errors.Is(err, occi.Conflict) {
			return err
		}
	}
}

func (e *Engine) adoptAll(ctx context.Context, links []*occi.Entity) error {
	m := e.Model()
	change := occi.Change{At: e.now()}
	var all []occi.Address
	for _, l := range links {
		h := occi.Hold{Holder: l.ID, Addresses: addressesOf(m, l)}
		change.Holds = append(change.Holds, h)
		all = append(all, h.Addresses...)
	}
	holders, err := e.store.Holders(ctx, all)
	if err != nil {
		return err
	}
	for i := range change.Holds {
		h := &change.Holds[i]
		h.Addresses = slices.DeleteFunc(h.Addresses, func(a occi.Address) bool {
			if o := holders[a]; o != uuid.Nil && o != h.Holder {
				e.log.Warn("two interfaces in a network have the same address", "network", a.Network, "address", a.String(), "one", o, "other", h.Holder)
				return true
			}
			holders[a] = h.Holder
			return false
		})
	}
	return e.store.Commit(ctx, &change)
}

// addressesOf lists what a link shows of addresses in the network it leads to.
func addressesOf(m *occi.Model, l *occi.Entity) []occi.Address {
	var out []occi.Address
	if !isNIC(m, l) {
		return nil
	}
	if hw, ok := occi.MACAddress(l.Target.ID, role(m, l, roleMAC).Text); ok {
		out = append(out, hw)
	}
	for _, f := range families {
		if ip, err := netip.ParseAddr(role(m, l, f.address).Text); err == nil {
			if a := occi.IPAddress(l.Target.ID, ip.Unmap()); !slices.Contains(out, a) {
				out = append(out, a)
			}
		}
	}
	return out
}
