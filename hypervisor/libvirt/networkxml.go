package libvirt

import (
	"encoding/hex"
	"fmt"
	"net/netip"
	"strings"

	"github.com/google/uuid"
	"libvirt.org/go/libvirtxml"

	"github.com/occid/occid/hypervisor"
)

// bridgePrefix begins the names of the bridges that a Driver has made.
const bridgePrefix = "occ"

// BridgeOf names a network's bridge on its host, in the 15 bytes that an
// interface's name may have.
func BridgeOf(network uuid.UUID) string { return bridgePrefix + hex.EncodeToString(network[:6]) }

// IsBridge reports whether an interface has such a name.
func IsBridge(name string) bool {
	digits, ok := strings.CutPrefix(name, bridgePrefix)
	b, err := hex.DecodeString(digits)
	return ok && err == nil && len(b) == 6 && strings.ToLower(digits) == digits
}

// maxLeases bounds the addresses of one DHCP range; libvirt refuses more.
const maxLeases = 1 << 15

// newNetwork gives the parts of a definition that stay as they are made. The
// network forwards nothing, so it is isolated.
func newNetwork(n hypervisor.Network) *libvirtxml.Network {
	return &libvirtxml.Network{
		Name:   nameOf(n.Name, n.ID),
		UUID:   n.ID.String(),
		Bridge: &libvirtxml.NetworkBridge{Name: BridgeOf(n.ID), STP: "on", Delay: "0"},
	}
}

// setNetwork makes a definition say what n says. The VLAN is noted only: an
// isolated bridge carries one network and needs no tags.
func setNetwork(x *libvirtxml.Network, n hypervisor.Network) error {
	if x.Metadata == nil {
		x.Metadata = &libvirtxml.NetworkMetadata{}
	}
	var err error
	if x.Metadata.XML, err = marked(x.Metadata.XML, mark{Title: line(n.Title), VLAN: n.VLAN}); err != nil {
		return err
	}
	x.IPs = nil
	if n.CIDR == "" {
		if n.Gateway != "" || n.DHCP {
			return fmt.Errorf("%w: a gateway or DHCP needs an address range", hypervisor.ErrInvalid)
		}
		return nil
	}
	prefix, err := netip.ParsePrefix(n.CIDR)
	if err != nil {
		return fmt.Errorf("%w: %w", hypervisor.ErrInvalid, err)
	}
	prefix = prefix.Masked()
	own := prefix.Addr().Next()
	switch {
	case n.Gateway != "":
		if own, err = netip.ParseAddr(n.Gateway); err != nil || !prefix.Contains(own) {
			return fmt.Errorf("%w: gateway %q is not in %s", hypervisor.ErrInvalid, n.Gateway, prefix)
		}
	case !n.DHCP:
		return nil
	}
	ip := libvirtxml.NetworkIP{Address: own.String(), Prefix: uint(prefix.Bits()), Family: "ipv4"}
	if own.Is6() {
		ip.Family = "ipv6"
	}
	if n.DHCP {
		ip.DHCP = &libvirtxml.NetworkDHCP{Ranges: leases(prefix, own)}
	}
	x.IPs = []libvirtxml.NetworkIP{ip}
	return nil
}

// leases gives the ranges of addresses in prefix that guests may have: neither
// the host's own, nor the first, nor the last, which may be a broadcast address.
func leases(prefix netip.Prefix, own netip.Addr) []libvirtxml.NetworkDHCPRange {
	var out []libvirtxml.NetworkDHCPRange
	var start, end netip.Addr
	flush := func() {
		if start.IsValid() {
			out = append(out, libvirtxml.NetworkDHCPRange{Start: start.String(), End: end.String()})
		}
		start = netip.Addr{}
	}
	a := prefix.Addr().Next()
	for range maxLeases {
		if !prefix.Contains(a.Next()) {
			break
		}
		if a == own {
			flush()
		} else {
			if !start.IsValid() {
				start = a
			}
			end = a
		}
		a = a.Next()
	}
	flush()
	return out
}
