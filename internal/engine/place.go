package engine

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/google/uuid"

	"github.com/occid/occid/hypervisor"
	"github.com/occid/occid/occi"
)

// place gives new entities their hosts: a machine goes where what it is linked
// to is, and everything else of one request goes together, where the least is.
func (b *creation) place() error {
	if len(b.e.hosts) == 0 {
		return nil
	}
	preferred := ""
	for _, l := range b.links {
		for _, id := range []uuid.UUID{l.Source.ID, l.Target.ID} {
			if x := b.entity(id); x != nil && x.Host != "" && preferred == "" {
				preferred = x.Host
			}
		}
	}
	for _, x := range b.tops {
		if image := b.entity(imageOf(b.m, x)); image != nil && preferred == "" {
			preferred = image.Host
		}
	}
	if preferred == "" {
		preferred = b.leastLoaded().name
	}
	for _, x := range b.tops {
		if part(b.m, x).define != nil {
			x.Host = preferred
			if h := b.e.host(preferred); h != nil {
				h.placed.Add(1)
			}
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

// leastLoaded gives the host where the least is, of those that have the pools asked
// for if there are any.
func (b *creation) leastLoaded() *host {
	best := b.e.hosts[0]
	for _, h := range b.e.hosts[1:] {
		suits, suited := b.suits(h), b.suits(best)
		if suits && !suited || suits == suited && h.placed.Load() < best.placed.Load() {
			best = h
		}
	}
	return best
}

func (e *Engine) host(name string) *host {
	for _, h := range e.hosts {
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
