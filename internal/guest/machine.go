package guest

import (
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/occid/occid/occi"
)

// Machine is what a guest may know of itself, in no dialect's terms.
type Machine struct {
	ID       uuid.UUID
	Hostname string // legal by RFC 1123
	Title    string
	Project  string
	Created  time.Time
	Arch     string // as the kernel calls it: "x86_64"
	// Type and Image are the terms of its templates, empty for none.
	Type, Image string
	Keys        []PublicKey
	// UserData is as whoever made the machine meant it, without the base64 that it
	// may have come in; nil for none.
	UserData []byte
	Metadata []Pair
	NICs     []NIC
	Disks    []Disk
	// NoDrive tells that the machine has no config drive, whatever there is to say.
	NoDrive bool
	// NeedsToken tells that EC2's tree is for bearers of a token only.
	NeedsToken bool
}

// PublicKey is a key for logging in.
type PublicKey struct{ Name, Text string }

// Pair is a name with a text.
type Pair struct{ Name, Text string }

// NIC is a network interface, as far as the guest has to do with it.
type NIC struct {
	ID, Network uuid.UUID
	Name        string // "eth0"
	MAC         string // lower case, with colons
	Title       string // of the network
	V4, V6      Family
	DNS         []netip.Addr
	// Asks6 tells that the guest can ask about itself over IPv6 there.
	Asks6 bool
}

// Family is how an interface has addresses of one family.
type Family struct {
	// DHCP tells that the network hands them out.
	DHCP bool
	// Address is the interface's own, with the length of the network's prefix;
	// invalid if none is on record.
	Address netip.Prefix
	Range   netip.Prefix // the network's
	Gateway netip.Addr
}

// Disk is a disk that the guest sees.
type Disk struct {
	Target string // "vda"
	Title  string // of the volume; empty for disks that live with the machine
	// Root is the disk of the template, Scratch the one without content.
	Root, Scratch bool
}

// Roles of attributes that guests are told of; the registry says which attribute
// has which.
const (
	roleHostname   = "domain.hostname"
	roleArch       = "domain.arch"
	roleRootImage  = "domain.image"
	roleScratch    = "domain.ephemeral.size"
	roleScratchAt  = "domain.ephemeral.target"
	roleKey        = "guest.sshkey"
	roleKeyName    = "guest.sshkey.name"
	roleUserData   = "guest.userdata"
	roleUserData64 = "guest.userdata.base64"
	roleMetadata   = "guest.metadata"
	roleReadable   = "guest.readable"
	roleWritable   = "guest.writable"
	roleToken      = "guest.token"
	roleDrive      = "guest.drive"
	roleMAC        = "nic.mac"
	roleInterface  = "nic.interface"
	roleAddress    = "nic.address"
	roleAddress6   = "nic.address6"
	roleNICGateway = "nic.gateway"
	roleNICGate6   = "nic.gateway6"
	roleNICAlloc   = "nic.allocation"
	roleBridge     = "network.bridge"
	roleVLAN       = "network.vlan"
	roleCIDR       = "network.cidr"
	roleCIDR6      = "network.cidr6"
	roleGateway    = "network.gateway"
	roleGateway6   = "network.gateway6"
	roleAllocation = "network.allocation"
	roleDNS        = "network.dns"
	roleTarget     = "disk.target"
)

// Templates of GFD.224 section 3.5.
const (
	imageTemplate = "http://schemas.ogf.org/occi/infrastructure#os_tpl"
	sizeTemplate  = "http://schemas.ogf.org/occi/infrastructure#resource_tpl"
)

// arches are the names that guests have for architectures.
var arches = map[string]string{"x64": "x86_64", "x86": "i686"}

// MachineOf tells of a compute with its links. targets are what these lead to, as
// far as it is known.
func MachineOf(m *occi.Model, x *occi.Entity, targets map[uuid.UUID]*occi.Entity) *Machine {
	v := &Machine{ID: x.ID, Title: x.Title, Project: x.Project, Created: x.Created,
		Hostname:   hostname(text(m, x, roleHostname), x.Title, x.ID),
		Arch:       "x86_64",
		Type:       template(m, x, sizeTemplate),
		Image:      template(m, x, imageTemplate),
		Keys:       keys(m, x),
		UserData:   userData(m, x),
		Metadata:   pairs(text(m, x, roleMetadata)),
		NoDrive:    text(m, x, roleDrive) == "none",
		NeedsToken: text(m, x, roleToken) == "required",
	}
	if a := arches[text(m, x, roleArch)]; a != "" {
		v.Arch = a
	}
	v.Disks = ownDisks(m, x)
	for _, l := range x.Links {
		switch k := m.Kind(l.Kind); {
		case k == nil || l.Deleted || l.Target.ID == uuid.Nil:
		case k.Host == "nic":
			v.NICs = append(v.NICs, nicOf(m, l, targets[l.Target.ID]))
		case k.Host == "disk":
			d := Disk{Target: bare(text(m, l, roleTarget))}
			if t := targets[l.Target.ID]; t != nil {
				d.Title = t.Title
			}
			v.Disks = append(v.Disks, d)
		}
	}
	return v
}

// ownDisks are those that live as long as the machine.
func ownDisks(m *occi.Model, x *occi.Entity) []Disk {
	var out []Disk
	if text(m, x, roleRootImage) != "" {
		out = append(out, Disk{Target: "vda", Root: true})
	}
	if value(m, x, roleScratch).Num > 0 {
		d := Disk{Target: bare(text(m, x, roleScratchAt)), Scratch: true}
		if d.Target == "" {
			d.Target = "vda"
		}
		out = append(out, d)
	}
	return out
}

// bare is a device's name without its directory.
func bare(device string) string { return strings.TrimPrefix(device, "/dev/") }

// value is what an entity has in a role.
func value(m *occi.Model, x *occi.Entity, role string) occi.Value {
	if x == nil {
		return occi.Value{}
	}
	for _, a := range x.Attributes {
		if d := m.Attribute(a.Name); d != nil && d.Role == role && !a.Value.IsZero() {
			return a.Value
		}
	}
	return occi.Value{}
}

func text(m *occi.Model, x *occi.Entity, role string) string { return value(m, x, role).Text }

// template gives the term of the template that depends on a base, "" if there is
// none.
func template(m *occi.Model, x *occi.Entity, base string) string {
	for _, id := range x.Mixins {
		if mx := m.Mixin(id); mx != nil && id != base && slices.ContainsFunc(m.Closure(mx.Depends), func(d *occi.Mixin) bool { return d.ID() == base }) {
			return mx.Term
		}
	}
	return ""
}

// pairs reads lines of a name, "=" and a text; a name that comes again replaces
// the earlier one.
func pairs(lines string) []Pair {
	var out []Pair
	for line := range strings.Lines(lines) {
		name, text, ok := strings.Cut(strings.TrimRight(line, "\r\n"), "=")
		if !ok || name == "" {
			continue
		}
		if i := slices.IndexFunc(out, func(p Pair) bool { return p.Name == name }); i >= 0 {
			out[i].Text = text
			continue
		}
		out = append(out, Pair{name, text})
	}
	return out
}

// nicOf tells of an interface and its network, which may be unknown.
func nicOf(m *occi.Model, l, network *occi.Entity) NIC {
	n := NIC{ID: l.ID, Network: l.Target.ID, Name: text(m, l, roleInterface), MAC: strings.ToLower(text(m, l, roleMAC))}
	allocation := text(m, network, roleAllocation)
	if own := text(m, l, roleNICAlloc); own != "" && allocation == "" {
		allocation = own
	}
	dynamic := allocation == "dynamic"
	addresses := addressesOf(m, l)
	n.V4 = family(addresses, false, dynamic, text(m, network, roleCIDR), text(m, l, roleNICGateway), text(m, network, roleGateway))
	n.V6 = family(addresses, true, dynamic, text(m, network, roleCIDR6), text(m, l, roleNICGate6), text(m, network, roleGateway6),
		text(m, l, roleNICGateway), text(m, network, roleGateway))
	if !n.V6.Range.IsValid() {
		// The one range of a network may be of either family.
		if own := family(addresses, true, dynamic, text(m, network, roleCIDR), text(m, l, roleNICGateway), text(m, network, roleGateway)); own.Range.IsValid() {
			n.V6 = own
		}
	}
	// What is on a bridge of the operator's is the operator's affair.
	n.Asks6 = n.V6.Range.IsValid() && text(m, network, roleBridge) == ""
	if network != nil {
		n.Title = network.Title
	}
	for _, word := range strings.FieldsFunc(text(m, network, roleDNS), separates) {
		if a, err := netip.ParseAddr(word); err == nil {
			n.DNS = append(n.DNS, a)
		}
	}
	return n
}

// separates reports whether a character parts the elements of a list.
func separates(r rune) bool { return r == ',' || r == ' ' || r == '\t' || r == '\n' || r == '\r' }

// addressesOf lists the addresses that an interface has on record.
func addressesOf(m *occi.Model, l *occi.Entity) []netip.Addr {
	var out []netip.Addr
	for _, role := range []string{roleAddress, roleAddress6} {
		for _, word := range strings.FieldsFunc(text(m, l, role), separates) {
			word, _, _ = strings.Cut(word, "/")
			if a, err := netip.ParseAddr(word); err == nil {
				out = append(out, a.Unmap())
			}
		}
	}
	return out
}

// family gathers what is known of one family. Of the gateways the first one of the
// family is taken.
func family(addresses []netip.Addr, v6, dynamic bool, cidr string, gateways ...string) Family {
	var f Family
	if p, err := netip.ParsePrefix(cidr); err == nil && p.Addr().Is6() == v6 {
		f.Range, f.DHCP = p.Masked(), dynamic
	}
	for _, a := range addresses {
		if a.Is6() != v6 || f.Address.IsValid() {
			continue
		}
		bits := a.BitLen()
		if f.Range.IsValid() && f.Range.Contains(a) {
			bits = f.Range.Bits()
		}
		f.Address = netip.PrefixFrom(a, bits)
	}
	for _, text := range gateways {
		if g, err := netip.ParseAddr(text); err == nil && g.Is6() == v6 && !f.Gateway.IsValid() {
			f.Gateway = g
		}
	}
	return f
}
