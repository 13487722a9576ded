package engine

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/google/uuid"

	"github.com/occid/occid/occi"
)

// family is the roles of attributes that tell of one of the two ranges of a
// network: those of the network, and those of an interface in it.
type family struct {
	cidr, router                 string
	address, gateway, allocation string
}

// families are in the order in which addresses are chosen. The first is of
// whichever version of IP its range is.
var families = []family{
	{roleCIDR, roleGateway, roleNICAddress, roleNICGateway, roleNICAllocation},
	{roleCIDR6, roleGateway6, roleNICAddress6, roleNICGateway6, ""},
}

// Modes of networks, values of roleMode.
const (
	modeNAT     = "nat"
	modeRouted  = "routed"
	modeBridged = "bridged"
)

// metadata are the addresses at which hosts tell machines of themselves.
var metadata = []netip.Addr{netip.MustParseAddr("169.254.169.254"), netip.MustParseAddr("fe80::a9fe:a9fe"),
	netip.MustParseAddr("fd00:ec2::254")}

// ipRange is a range of a network.
type ipRange struct {
	network uuid.UUID
	prefix  netip.Prefix
	own     netip.Addr // of the gateway, or of the host; invalid for none
	gateway netip.Addr // what interfaces show; invalid for none
	dynamic bool       // the network hands its addresses out
}

// rangeOf gives a network's range of a family; ok is false if it has none.
func rangeOf(m *occi.Model, x *occi.Entity, f family) (r ipRange, ok bool) {
	prefix, err := netip.ParsePrefix(role(m, x, f.cidr).Text)
	if err != nil {
		return ipRange{}, false
	}
	r = ipRange{network: x.ID, prefix: prefix.Masked(), dynamic: role(m, x, roleAllocation).Text == "dynamic"}
	mode := role(m, x, roleMode).Text
	if given, err := netip.ParseAddr(role(m, x, f.router).Text); err == nil {
		r.own, r.gateway = given, given
	} else if mode != modeBridged {
		r.own = r.prefix.Addr().Next()
	}
	if mode == modeNAT || mode == modeRouted {
		r.gateway = r.own
	}
	return r, true
}

// first is the lowest address that a machine may have.
func (r *ipRange) first() netip.Addr { return r.prefix.Addr().Next() }

// last is the highest, or the broadcast address.
func (r *ipRange) last() netip.Addr {
	b := r.prefix.Addr().AsSlice()
	for i := r.prefix.Bits(); i < len(b)*8; i++ {
		b[i/8] |= 0x80 >> (i % 8)
	}
	last, _ := netip.AddrFromSlice(b)
	return last
}

// reserved are the addresses between first and last that no machine may have.
func (r *ipRange) reserved() []netip.Addr {
	out := slices.Clone(metadata)
	if r.own.IsValid() {
		out = append(out, r.own)
	}
	if r.prefix.Addr().Is4() {
		out = append(out, r.last())
	}
	return out
}

// refusal tells why a machine cannot have an address; "" if it can.
func (r *ipRange) refusal(ip netip.Addr) string {
	switch {
	case !r.prefix.Contains(ip):
		return fmt.Sprintf("is not in the network's range %s", r.prefix)
	case ip == r.prefix.Addr():
		return fmt.Sprintf("is the address of the network %s itself", r.prefix)
	case ip == r.gateway:
		return "is that of the network's gateway"
	case ip == r.own:
		return "is that of the host in the network"
	case ip.Is4() && ip == r.last():
		return fmt.Sprintf("is the broadcast address of %s", r.prefix)
	case slices.Contains(metadata, ip):
		return "is the one at which machines ask about themselves"
	}
	return ""
}
