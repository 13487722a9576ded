package engine

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/occid/occid/hypervisor"
	"github.com/occid/occid/occi"
)

// place gives new entities their hosts: those that are linked to each other go to one,
// which is that of what they are linked to beside, and otherwise is chosen.
func (b *creation) place(ctx context.Context) error {
	if len(b.e.all()) == 0 {
		return nil
	}
	for _, xs := range b.together() {
		if err := b.placeTogether(ctx, xs); err != nil {
			return err
		}
	}
	ps := b.imagesApart()
	for _, l := range b.links {
		if !part(b.m, l).device {
			continue
		}
		src, target := b.entity(l.Source.ID), b.entity(l.Target.ID)
		if src.Host != target.Host {
			ps = append(ps, occi.Problem{What: occi.AttrTarget,
				Text: fmt.Sprintf("%s is on another host than %s", b.m.Path(target), b.m.Path(src))})
		}
		l.Host = src.Host
	}
	if err := occi.Problems(occi.Conflict, "the link cannot be made", ps); err != nil {
		return final{err}
	}
	return nil
}

// together parts new resources into those that are linked to each other, by devices or
// as a machine to its image.
func (b *creation) together() [][]*occi.Entity {
	of := map[uuid.UUID]uuid.UUID{}
	var root func(id uuid.UUID) uuid.UUID
	root = func(id uuid.UUID) uuid.UUID {
		if of[id] == id {
			return id
		}
		of[id] = root(of[id])
		return of[id]
	}
	for _, x := range b.tops {
		of[x.ID] = x.ID
	}
	join := func(x, y uuid.UUID) {
		_, a := of[x]
		if _, c := of[y]; a && c {
			of[root(y)] = root(x)
		}
	}
	for _, l := range b.links {
		if part(b.m, l).device {
			join(l.Source.ID, l.Target.ID)
		}
	}
	for _, x := range b.tops {
		join(imageOf(b.m, x), x.ID)
	}
	var order []uuid.UUID
	sets := map[uuid.UUID][]*occi.Entity{}
	for _, x := range b.tops {
		if part(b.m, x).define == nil {
			continue
		}
		r := root(x.ID)
		if sets[r] == nil {
			order = append(order, r)
		}
		sets[r] = append(sets[r], x)
	}
	out := make([][]*occi.Entity, len(order))
	for i, r := range order {
		out[i] = sets[r]
	}
	return out
}

// placeTogether gives new resources one host.
func (b *creation) placeTogether(ctx context.Context, xs []*occi.Entity) error {
	among, fixed := b.e.all(), b.fixed(xs)
	if fixed != "" {
		h := b.e.host(fixed)
		if h == nil || !slices.ContainsFunc(xs, func(x *occi.Entity) bool { return part(b.m, x).machine }) {
			// It goes with what is there already, or waits for a server that has the host.
			for _, x := range xs {
				x.Host = fixed
			}
			return nil
		}
		among = []*host{h}
	}
	h, err := b.find(ctx, among, b.needOf(xs, among))
	if err != nil && b.anyhow {
		for _, x := range xs {
			x.Host = among[0].name
		}
		return nil
	}
	if err != nil {
		return err
	}
	for _, x := range xs {
		x.Host = h.name
		h.placed.Add(1)
	}
	b.reliesOn(h)
	return nil
}

// reliesOn has the change fail if nothing may be placed on a host any more, or if that is
// gone.
func (p *plan) reliesOn(h *host) {
	p.bound([]occi.Limit{{Host: h.name, What: takeClosed, Gate: true}})
	if h.added {
		p.change.There = append(p.change.There, nodeID(h.name))
	}
}

// fixed names the host of what new resources are linked to or made of; "" for none.
func (b *creation) fixed(xs []*occi.Entity) string {
	for _, l := range b.links {
		if !slices.ContainsFunc(xs, func(x *occi.Entity) bool { return x.ID == l.Source.ID || x.ID == l.Target.ID }) {
			continue
		}
		for _, id := range []uuid.UUID{l.Source.ID, l.Target.ID} {
			if x := b.entity(id); x != nil && x.Host != "" {
				return x.Host
			}
		}
	}
	for _, x := range xs {
		if image := b.entity(imageOf(b.m, x)); image != nil && image.Host != "" {
			return image.Host
		}
	}
	return ""
}

// needOf is what new resources need of a host. Pools that none has are not looked for.
func (b *creation) needOf(xs []*occi.Entity, among []*host) *need {
	n := &need{used: b.e.ledger.used, suits: func(h *host) bool { return b.suits(h, xs) }}
	for _, x := range xs {
		if !part(b.m, x).machine {
			continue
		}
		n.machines = true
		n.labels = append(n.labels, strings.Fields(role(b.m, x, roleLabels).Text)...)
		n.pools = append(n.pools, poolNeeds(b.m, x)...)
		on := *x
		on.Host = among[0].name // any, for what is taken
		n.takes = append(n.takes, takesOf(b.m, &on)...)
	}
	n.sum()
	if !slices.ContainsFunc(among, n.suits) {
		n.suits = func(*host) bool { return true }
	}
	return n
}

// sum adds up what is needed.
func (n *need) sum() {
	n.sums = sumTakes(n.takes)
	n.whats = slices.Sorted(maps.Keys(n.sums))
}

// find chooses a host and promises what is needed. That there is none is said by what is
// stored alone: what is promised may come to nothing, or be stored already.
func (b *creation) find(ctx context.Context, among []*host, n *need) (*host, error) {
	began := time.Now()
	if b.e.ledger.unsure() {
		if err := b.e.ledger.reload(ctx, b.e.store, began); err != nil {
			return nil, err
		}
	}
	if h, _ := b.promise(among, n); h != nil {
		return h, nil
	}
	b.e.firstLook(ctx)
	if err := b.e.ledger.reload(ctx, b.e.store, began); err != nil {
		return nil, err
	}
	if err := b.e.reviewHosts(ctx); err != nil {
		return nil, err
	}
	n.used = b.e.ledger.kept
	h, ps := b.promise(among, n)
	if h != nil {
		return h, nil
	}
	if !b.c.Operates() {
		ps = unnamed(ps)
	}
	if more := len(ps) - hostsShown; more > 0 {
		ps = append(ps[:hostsShown], occi.Problem{Text: fmt.Sprintf("and %d more", more)})
	}
	return nil, final{occi.Problems(occi.Conflict, "no host can take it", ps)}
}

// unnamed gives the reasons of hosts without saying whose they are, each once.
func unnamed(ps []occi.Problem) []occi.Problem {
	var out []occi.Problem
	for _, p := range ps {
		if p.What = ""; !slices.Contains(out, p) {
			out = append(out, p)
		}
	}
	return out
}

// Place tells on which host a new entity would be placed now, and leaves it at that.
func (e *Engine) Place(ctx context.Context, c Caller, kind string, d *occi.Draft) (host string, err error) {
	c = e.as(c)
	b := creation{plan: e.plan(c)}
	if err := b.draft(ctx, kind, d, uuid.Nil); err != nil {
		return "", err
	}
	defer func() { e.ledger.settle(b.plan) }()
	err = b.whither(ctx)
	var f final
	if errors.As(err, &f) {
		err = f.error
	}
	return b.puts[b.result[0]].Host, err
}

// whither finds the hosts of what is new.
func (b *creation) whither(ctx context.Context) error {
	if err := b.resolve(ctx); err != nil {
		return err
	}
	if err := b.images(ctx); err != nil {
		return err
	}
	if err := b.sources(); err != nil {
		return err
	}
	if err := b.share(ctx); err != nil {
		return err
	}
	if err := b.ready(ctx); err != nil {
		return err
	}
	b.enlist()
	if err := b.inPools(ctx); err != nil {
		return err
	}
	return b.place(ctx)
}

// promise chooses a host and puts down what it is about to have.
func (b *creation) promise(among []*host, n *need) (*host, []occi.Problem) {
	l := &b.e.ledger
	l.mu.Lock()
	defer l.mu.Unlock()
	h, ps := b.e.choose(among, n)
	if h != nil {
		l.promised.takes(h.name, n.takes, 1)
		b.placed = append(b.placed, placing{h.name, n.takes})
	}
	return h, ps
}

func (e *Engine) host(name string) *host {
	for _, h := range e.all() {
		if h.name == name {
			return h
		}
	}
	return nil
}

// devices gives new links what a client left open: addresses and names of
// devices, so that the same definition can be made again at any time.
func (b *creation) devices() error {
	for _, x := range b.tops {
		if err := b.scratch(x); err != nil {
			return err
		}
	}
	used := map[uuid.UUID]*deviceNames{}
	for _, l := range b.links {
		if !part(b.m, l).device {
			continue
		}
		src := b.entity(l.Source.ID)
		if used[src.ID] == nil {
			used[src.ID] = b.namesOf(src)
		}
		if err := used[src.ID].name(b.m, l); err != nil {
			return err
		}
	}
	return nil
}

// scratch names the scratch disk of a machine that has one, unless the client did.
func (b *creation) scratch(x *occi.Entity) error {
	a := roleAttr(b.m, x, roleEphemeralD)
	if a == nil || role(b.m, x, roleEphemeral).Num <= 0 {
		return nil
	}
	return b.disksOf(x).disk(a, x)
}

// disksOf are the names of the disks that are linked to a machine, or will be.
func (b *creation) disksOf(x *occi.Entity) *deviceNames {
	n := &deviceNames{taken: map[string]bool{}}
	for _, l := range slices.Concat(x.Links, b.links) {
		if l.Source.ID == x.ID && !l.Deleted {
			n.taken[diskName(role(b.m, l, roleTarget).Text)] = true
		}
	}
	n.taken[rootTarget] = n.taken[rootTarget] || root(b.m, x) != nil
	return n
}

// deviceNames are the names of devices that a machine has.
type deviceNames struct {
	taken map[string]bool // "vda", "eth0"
	macs  map[string]bool
}

func (b *creation) namesOf(src *occi.Entity) *deviceNames {
	n := &deviceNames{taken: map[string]bool{}, macs: map[string]bool{}}
	for _, l := range src.Links {
		n.taken[diskName(role(b.m, l, roleTarget).Text)] = true
		n.taken[role(b.m, l, roleInterface).Text] = true
		n.macs[strings.ToLower(role(b.m, l, roleMAC).Text)] = true
	}
	for _, own := range []*hypervisor.Disk{root(b.m, src), ephemeral(b.m, src)} {
		if own != nil {
			n.taken[own.Target] = true
		}
	}
	return n
}

// disk has an attribute of an entity name a device that is free: the one given, if
// one is.
func (n *deviceNames) disk(a *occi.Attribute, x *occi.Entity) error {
	given := x.Attributes.Get(a.Name).Text
	name := diskName(given)
	switch {
	case given == "":
		name = n.free("vd", diskLetters)
		x.Attributes.Set(a.Name, occi.Str(name))
	case name == "":
		return noDevice(a, given)
	case n.taken[name]:
		return conflict("%s: the machine has a device %s already", a.Name, name)
	}
	n.taken[name] = true
	return nil
}

// name completes one link.
func (n *deviceNames) name(m *occi.Model, l *occi.Entity) error {
	if a := roleAttr(m, l, roleTarget); a != nil {
		if err := n.disk(a, l); err != nil {
			return err
		}
		if a := roleAttr(m, l, roleSerial); a != nil {
			l.Attributes.Set(a.Name, occi.Str(hypervisor.DiskSerial(l.Target.ID)))
		}
	}
	if a := roleAttr(m, l, roleInterface); a != nil {
		given := l.Attributes.Get(a.Name).Text
		if given == "" {
			given = n.free("eth", strconv.Itoa)
			l.Attributes.Set(a.Name, occi.Str(given))
		} else if n.taken[given] {
			return conflict("%s: the machine has an interface %s already", a.Name, given)
		}
		n.taken[given] = true
	}
	if a := roleAttr(m, l, roleMAC); a != nil {
		given := strings.ToLower(l.Attributes.Get(a.Name).Text)
		if given == "" {
			given = macOf(l.ID)
			l.Attributes.Set(a.Name, occi.Str(given))
		} else if n.macs[given] {
			return conflict("%s: the machine has an interface with %s already", a.Name, given)
		}
		n.macs[given] = true
	}
	return nil
}

func noDevice(a *occi.Attribute, given string) error {
	return occi.Problems(occi.Invalid, "the disk cannot be named", []occi.Problem{{What: a.Name,
		Text: fmt.Sprintf("%q is not a device such as vdb", given)}})
}

// free gives the first name that is not taken.
func (n *deviceNames) free(prefix string, suffix func(int) string) string {
	for i := 0; ; i++ {
		if name := prefix + suffix(i); !n.taken[name] {
			return name
		}
	}
}

// diskLetters counts a, b... z, aa, ab...
func diskLetters(i int) string {
	s := string(rune('a' + i%26))
	if i >= 26 {
		s = diskLetters(i/26-1) + s
	}
	return s
}

// diskName gives the name that a host uses for a device that a client calls
// "vdb", "/dev/sdb" or "xvdb"; "" if it is none.
func diskName(s string) string {
	s = strings.TrimPrefix(s, "/dev/")
	for _, p := range []string{"xvd", "vd", "sd", "hd"} {
		if rest, ok := strings.CutPrefix(s, p); ok && len(rest) >= 1 && len(rest) <= 2 &&
			strings.Trim(rest, "abcdefghijklmnopqrstuvwxyz") == "" {
			return "vd" + rest
		}
	}
	return ""
}

// macOf makes a locally administered MAC address of a random UUID.
func macOf(id uuid.UUID) string {
	return fmt.Sprintf("02:%02x:%02x:%02x:%02x:%02x", id[0], id[1], id[2], id[3], id[4])
}
