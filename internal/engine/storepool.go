package engine

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/google/uuid"

	"github.com/occid/occid/hypervisor"
	"github.com/occid/occid/occi"
)

// poolSpace is what UUIDs of pools of storages, and of the links to their hosts, are made
// in. All servers of a database find the same.
var poolSpace = uuid.MustParse("6f1b1a6e-6f63-5c69-8470-6f6f6c730001")

// storeID is the UUID under which a pool of a host is shown, housedID that of the link to
// the host.
func storeID(host, pool string) uuid.UUID {
	return uuid.NewSHA1(poolSpace, []byte(poolKey(host, pool)))
}

func housedID(host, pool string) uuid.UUID {
	return uuid.NewSHA1(storeID(host, pool), []byte("host"))
}

// poolView is what the row of a pool says of what volumes may take.
type poolView struct {
	of         version
	closed     bool
	shared     bool
	capacity   int64 // bytes; 0 if it does not say
	overcommit float64
}

// closed reports whether no more volumes are to be made in a pool.
func (h *host) closed(name string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.stored[name].closed
}

// hostOf gives the host of a pool's row, if this server has it, and the pool's name.
func (e *Engine) hostOf(x *occi.Entity) (h *host, name string) {
	at, name, _ := strings.Cut(x.Host, "\n")
	return e.host(at), name
}

// seePool takes in what the row of a pool says, unless that is older than what it said before.
func (h *host) seePool(m *occi.Model, name string, x *occi.Entity) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if versionOf(x).before(h.stored[name].of) {
		return
	}
	h.stored[name] = poolView{of: versionOf(x), closed: len(takesOf(m, x)) > 0, shared: isTrue(role(m, x, roleStoreShared)), capacity: bytesOf(role(m, x, roleStoreOffered)), overcommit: role(m, x, roleStoreOvercommit).Num}
}

// seenPool takes in what a request said of a pool, and has what is shown of it follow.
func (e *Engine) seenPool(m *occi.Model, x *occi.Entity) {
	if h, name := e.hostOf(x); h != nil {
		h.seePool(m, name, x)
		signal(h.remeter)
	}
}

// comesTo refuses to make a volume in a pool that is out of use, and has the change rely
// on that.
func (p *plan) comesTo(h *host, r occi.Room) error {
	_, name, _ := strings.Cut(r.Pool, "\n")
	if h.closed(name) {
		return conflict("the pool %s is out of use: no more volumes are made in it", name)
	}
	p.bound([]occi.Limit{{Host: r.Pool, What: takeClosed, Gate: true}})
	at, ok := h.pool(name)
	switch {
	case !ok && name != h.defaultPool():
		return conflict("the pool %s was deleted meanwhile", name)
	case at.added:
		p.change.There = append(p.change.There, storeID(h.name, name))
	}
	return nil
}

// showPools keeps what the pools of the host are shown as true to what is known of them.
// The server that watches the host does.
func (h *host) showPools(ctx context.Context) error {
	kinds, links := kindsFor(h.e.Model(), "storepool"), kindsFor(h.e.Model(), "poolhost")
	pools := h.offers()
	if len(pools) == 0 || len(kinds) == 0 || len(links) == 0 || !h.watches() {
		return nil
	}
	promised, err := h.e.store.Promised(ctx)
	if err != nil {
		return err
	}
	var ids []uuid.UUID
	for _, p := range pools {
		ids = append(ids, storeID(h.name, p.Name))
	}
	_, err = retry(ctx, func() (*Outcome, error) {
		rows, err := h.e.entities(ctx, ids)
		if err != nil {
			return nil, err
		}
		p := h.e.plan(Caller{})
		for _, pool := range pools {
			x := rows[storeID(h.name, pool.Name)]
			switch {
			case x != nil:
			case pool.added:
				continue // it is being let go of
			default:
				x = p.put(&occi.Entity{ID: storeID(h.name, pool.Name), Kind: kinds[0], Host: poolKey(h.name, pool.Name), Title: pool.Name})
				if s := p.m.Kind(x.Kind).States; s != nil {
					x.Attributes.Set(s.Attribute, occi.Str(s.Initial))
				}
				at := occi.Ref{ID: nodeID(h.name), Kind: occi.HostKind}
				p.put(&occi.Entity{ID: housedID(h.name, pool.Name), Kind: links[0], Source: occi.Ref{ID: x.ID, Kind: x.Kind}, Target: at})
				p.change.There = append(p.change.There, at.ID)
			}
			w := x.Clone()
			h.poolTells(p.m, w, pool, promised[poolKey(h.name, pool.Name)])
			if w.Revision == 0 {
				*x = *w
			} else if !same(x, w) {
				p.put(w)
			}
		}
		if len(p.change.Puts) == 0 {
			return nil, nil
		}
		p.takes()
		if err := h.e.store.Commit(ctx, &p.change); err != nil {
			return nil, err
		}
		for _, pool := range pools {
			if x := cmp.Or(p.puts[storeID(h.name, pool.Name)], rows[storeID(h.name, pool.Name)]); x != nil {
				h.seePool(p.m, pool.Name, x)
			}
		}
		return nil, nil
	})
	// The host may be gone, or not be shown yet.
	return ignoreConflict(err)
}

// poolTells puts down what is known of a pool. One that is out of use stays so.
func (h *host) poolTells(m *occi.Model, w *occi.Entity, p Pool, promised int64) {
	set := func(role string, v occi.Value) { setRole(m, w, role, v) }
	if !p.added {
		set(roleStoreName, occi.Str(p.Name))
		set(roleStoreType, textValue(p.Type))
		set(roleStoreSource, textValue(p.Source))
		set(roleStoreTarget, textValue(p.Target))
		if p.Unlimited || p.CapacityBytes > 0 {
			set(roleStoreOffered, sizeValue(p.CapacityBytes))
		}
		if p.Unlimited || p.Overcommit > 0 {
			set(roleStoreOvercommit, floatValue(p.Overcommit))
		}
		if p.Shared {
			set(roleStoreShared, occi.Bool(true))
		}
	}
	if p.Type == hypervisor.PoolNFS {
		set(roleStoreShared, occi.Bool(true))
	}
	set(roleStoreDefault, occi.Bool(p.Default))
	set(roleStoreConfigured, occi.Bool(!p.added))
	h.seePool(m, p.Name, w)
	set(roleStoreCapacity, sizeValue(h.capacity(p)))
	set(roleStoreAllocated, inGiB(promised))
	free := occi.Value{}
	if limit := h.limit(p.Name); limit > 0 {
		free = inGiB(max(0, limit-promised))
	}
	set(roleStoreFree, free)
	h.mu.Lock()
	told, here := h.told[p.Name], h.here[p.Name]
	h.mu.Unlock()
	set(roleStoreUsed, sizeValue(told.AllocatedBytes))
	k := m.Kind(w.Kind)
	if k.States == nil {
		return
	}
	state, up := k.States.Initial, reachableState(k.States)
	if here = here && h.reached(); here {
		state = up
	}
	if now := m.State(w); now == "" || now == k.States.Initial || now == up {
		w.Attributes.Set(k.States.Attribute, occi.Str(state))
	}
	switch {
	case here:
		say(m, w, "")
	case !h.reached():
		say(m, w, "its host has no connection")
	default:
		say(m, w, "its host cannot use it now")
	}
}

// reached reports whether the host answered when it was asked last.
func (h *host) reached() bool {
	h.charge.mu.Lock()
	defer h.charge.mu.Unlock()
	return h.charge.reached
}

// sizeValue is a size in bytes as a value, the zero Value if it is not known.
func sizeValue(bytes int64) occi.Value {
	if bytes == 0 {
		return occi.Value{}
	}
	return inGiB(bytes)
}

func floatValue(f float64) occi.Value {
	if f == 0 {
		return occi.Value{}
	}
	return occi.Float(f)
}

// gatherPools has the hosts offer the pools that were added to them, and takes in what the
// rows of all pools say.
func (e *Engine) gatherPools(ctx context.Context) error {
	m := e.Model()
	kinds := kindsFor(m, "storepool")
	if len(kinds) == 0 {
		return nil
	}
	page, err := e.store.List(ctx, &occi.Query{Kinds: kinds})
	if err != nil {
		return err
	}
	added, shown := map[*host][]Pool{}, map[*host]map[string]*occi.Entity{}
	for _, x := range page.Entities {
		h, name := e.hostOf(x)
		if h == nil {
			continue
		}
		if shown[h] == nil {
			shown[h] = map[string]*occi.Entity{}
		}
		shown[h][name] = x
		h.seePool(m, name, x)
		configured := slices.ContainsFunc(h.rules.Pools, func(p Pool) bool { return p.Name == name })
		if !configured && !isTrue(role(m, x, roleStoreConfigured)) {
			added[h] = append(added[h], addedPool(m, x))
		}
	}
	for _, h := range e.all() {
		if err := h.offer(added[h]); err != nil {
			e.log.Warn("pools that were added to a host cannot be used", "host", h.name, "error", err)
		}
		if err := h.unconfigured(ctx, m, shown[h]); err != nil {
			return err
		}
	}
	return nil
}

// addedPool is the pool that a row describes which was added.
func addedPool(m *occi.Model, x *occi.Entity) Pool {
	return Pool{Name: role(m, x, roleStoreName).Text, Type: role(m, x, roleStoreType).Text, Source: role(m, x, roleStoreSource).Text,
		Target: role(m, x, roleStoreTarget).Text, added: true}
}

func (p Pool) there() hypervisor.Pool {
	return hypervisor.Pool{Name: p.Name, Type: p.Type, Source: p.Source, Target: p.Target}
}

// offer has volumes be in the configured pools and in those that were added.
func (h *host) offer(added []Pool) error {
	h.offering.Lock()
	defer h.offering.Unlock()
	all := slices.Concat(h.rules.Pools, added)
	if slices.Equal(all, h.offers()) {
		return nil
	}
	var there []hypervisor.Pool
	for _, p := range added {
		there = append(there, p.there())
	}
	if err := h.drv.OfferPools(there); err != nil {
		return err
	}
	h.pools.Store(&all)
	signal(h.remeter)
	return nil
}

// unconfigured shows that pools are in the configuration no more.
func (h *host) unconfigured(ctx context.Context, m *occi.Model, shown map[string]*occi.Entity) error {
	change := occi.Change{At: h.e.now()}
	for name, x := range shown {
		k := m.Kind(x.Kind)
		if h.hasPool(name) || !h.watches() || !isTrue(role(m, x, roleStoreConfigured)) || k.States == nil || m.State(x) == k.States.Initial {
			continue
		}
		w := x.Clone()
		w.Attributes.Set(k.States.Attribute, occi.Str(k.States.Initial))
		say(m, w, "not in the configuration of the server that watches its host")
		w.Takes = takesOf(m, w)
		change.Puts = append(change.Puts, w)
	}
	if len(change.Puts) == 0 {
		return nil
	}
	return ignoreConflict(h.e.store.Commit(ctx, &change))
}

// offeredPool refuses what no row of a pool can say, whatever its host.
func offeredPool(_ *Config, m *occi.Model, old, x *occi.Entity) []occi.Problem {
	a := roleAttr(m, x, roleStoreTarget)
	if old == nil && role(m, x, roleStoreTarget).Text != "" && role(m, x, roleStoreType).Text != hypervisor.PoolNFS {
		return []occi.Problem{{What: a.Name, Text: "only file servers are mounted"}}
	}
	switch shared, kind := role(m, x, roleStoreShared), role(m, x, roleStoreType).Text; {
	case isTrue(shared) && kind == hypervisor.PoolLogical:
		return []occi.Problem{{What: roleAttr(m, x, roleStoreShared).Name, Text: "a volume group is of one host"}}
	case !shared.IsZero() && !isTrue(shared) && kind == hypervisor.PoolNFS:
		return []occi.Problem{{What: roleAttr(m, x, roleStoreShared).Name, Text: "hosts share what is on a file server"}}
	}
	return nil
}

// storePool makes a new entity a pool of the host that it is linked to. chosen tells that
// the client named a UUID.
func (b *creation) storePool(x *occi.Entity, d *occi.Draft, chosen bool) error {
	h, err := b.houseOf(x, d)
	if err != nil {
		return err
	}
	p := addedPool(b.m, x)
	id := storeID(h.name, p.Name)
	switch {
	case chosen && x.ID != id:
		return occi.Problems(occi.Invalid, "it is not possible", []occi.Problem{{What: occi.AttrID, Text: "the UUID comes of host and name, and is " + id.String()}})
	case h.hasPool(p.Name):
		return conflict("%s has a pool %s already", h.called(), p.Name)
	}
	if err := h.drv.CheckPool(p.there()); err != nil {
		return occi.Problems(occi.Invalid, "it is not possible", []occi.Problem{{What: roleAttr(b.m, x, roleStoreSource).Name, Text: err.Error()}})
	}
	x.ID, x.Host, x.Title = id, poolKey(h.name, p.Name), cmp.Or(x.Title, p.Name)
	s := b.m.Kind(x.Kind).States
	x.Attributes.Set(s.Attribute, occi.Str(s.Initial))
	setRole(b.m, x, roleStoreConfigured, occi.Bool(false))
	b.say(x, "not looked at yet")
	b.repools = true
	return nil
}

// houseOf finds the host that the draft of a pool is linked to.
func (b *creation) houseOf(x *occi.Entity, d *occi.Draft) (*host, error) {
	drafts, err := b.m.LinkDrafts(x, d, false)
	if err != nil {
		return nil, err
	}
	bad := func(format string, args ...any) (*host, error) {
		return nil, occi.Problems(occi.Invalid, "it is not possible", []occi.Problem{{What: "links", Text: fmt.Sprintf(format, args...)}})
	}
	var found []*host
	for _, l := range drafts {
		k := b.m.Kind(l.Kind)
		to := l.Attr(occi.AttrTarget)
		if k == nil || parts[k.Host] == nil || !parts[k.Host].houses || to == nil {
			continue
		}
		id := b.m.ParseRef(to.Value.Text).ID
		i := slices.IndexFunc(b.e.all(), func(h *host) bool { return nodeID(h.name) == id })
		if i < 0 {
			return bad("there is no host %s", to.Value.Text)
		}
		found = append(found, b.e.all()[i])
	}
	if len(found) != 1 {
		return bad("a pool has one link to its host, not %d", len(found))
	}
	return found[0], nil
}

// adjustablePool refuses to change what the configuration says of a pool.
func (p *plan) adjustablePool(old, next *occi.Entity) error {
	h, name := p.e.hostOf(old)
	if h == nil {
		return nil
	}
	pool, ok := h.pool(name)
	if !ok || pool.added {
		return nil
	}
	if a := roleAttr(p.m, next, roleStoreShared); pool.Apart && isTrue(role(p.m, next, roleStoreShared)) {
		return occi.Problems(occi.Invalid, "it is not possible", []occi.Problem{{What: a.Name, Text: "config drives are in the pool " + name + ", which is each host's own"}})
	}
	for r, says := range map[string]bool{roleStoreShared: pool.Shared, roleStoreOvercommit: pool.Unlimited || pool.Overcommit > 0, roleStoreOffered: pool.Unlimited || pool.CapacityBytes > 0} {
		if says && role(p.m, old, r) != role(p.m, next, r) {
			return occi.E(occi.Forbidden, "%s of %s is in the server's configuration, and is changed there", roleAttr(p.m, old, r).Name, p.m.Path(old))
		}
	}
	return nil
}

// unused refuses to delete a pool that the configuration has, or that volumes are in.
func (r *removal) unused(ctx context.Context, x *occi.Entity) error {
	k, configured := r.m.Kind(x.Kind), isTrue(role(r.m, x, roleStoreConfigured))
	h, name := r.e.hostOf(x)
	if h != nil {
		p, ok := h.pool(name)
		configured = configured && ok && !p.added || configured && !ok && r.m.State(x) != k.States.Initial
	}
	if configured {
		return occi.E(occi.Forbidden, "%s is in the server's configuration; it can be deleted once it is not", r.m.Path(x))
	}
	promised, err := r.e.store.Promised(ctx)
	if err != nil {
		return err
	}
	if n := promised[x.Host]; n > 0 {
		return conflict("%s is in use: volumes in it have %s", r.m.Path(x), sizeText(n))
	}
	r.change.Unused = append(r.change.Unused, x.Host)
	r.repools = true
	return nil
}

// poolsGo has the pools of a host that is deleted go with it. Nothing is in them.
func (r *removal) poolsGo(ctx context.Context, host *occi.Entity) error {
	page, err := r.e.store.List(ctx, &occi.Query{Kinds: kindsFor(r.m, "storepool"), LinkedTo: host.ID})
	if err != nil {
		return err
	}
	for _, x := range page.Entities {
		r.change.Removes = append(r.change.Removes, occi.Removal{ID: x.ID})
	}
	return nil
}
