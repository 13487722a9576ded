package libvirt

import (
	"encoding/hex"
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/google/uuid"
	"libvirt.org/go/libvirtxml"

	"github.com/occid/occid/hypervisor"
)

// bridgePrefix begins the names of the bridges that a Driver has made.
const bridgePrefix = "occ"

// BridgeOf names a network's own bridge on its host, in the 15 bytes that an
// interface's name may have.
func BridgeOf(network uuid.UUID) string { return bridgePrefix + hex.EncodeToString(network[:6]) }

// IsBridge reports whether an interface has such a name.
func IsBridge(name string) bool {
	digits, ok := strings.CutPrefix(name, bridgePrefix)
	b, err := hex.DecodeString(digits)
	return ok && err == nil && len(b) == 6 && strings.ToLower(digits) == digits
}

// maxLeases is how many guests of a network may have addresses at once; dnsmasq's
// own limit is 1000.
const maxLeases = 1 << 16

// maxPrefix6 is the prefix of the largest IPv6 range, of dnsmasq.
const maxPrefix6 = 64

// Families of addresses as libvirt calls them.
const (
	ipv4 = "ipv4"
	ipv6 = "ipv6"
)

// newNetwork gives the parts of a definition that stay as they are made.
func newNetwork(n hypervisor.Network) *libvirtxml.Network {
	return &libvirtxml.Network{Name: nameOf(n.Name, n.ID), UUID: n.ID.String()}
}

// setNetwork makes a definition say what n says. Reservations stay where n has
// room for them.
func (s *session) setNetwork(x *libvirtxml.Network, n hypervisor.Network) error {
	ranges, err := rangesOf(n)
	if err != nil {
		return err
	}
	if err := s.setBridge(x, n); err != nil {
		return err
	}
	if err := setDomainName(x, n.Domain); err != nil {
		return err
	}
	if x.Metadata == nil {
		x.Metadata = &libvirtxml.NetworkMetadata{}
	}
	if x.Metadata.XML, err = marked(x.Metadata.XML, mark{Title: line(n.Title), VLAN: n.VLAN, Silent: !n.DHCP}); err != nil {
		return err
	}
	old := x.IPs
	x.IPs = nil
	if n.Mode == hypervisor.Bridged {
		// What serves a bridge of the host's is no affair of libvirt's.
		ranges, x.MAC, x.Domain, x.DNS, x.Routes = nil, nil, nil, nil, nil
	} else if x.MAC == nil {
		x.MAC = &libvirtxml.NetworkMAC{Address: bridgeMAC(n.ID)}
	}
	for _, r := range ranges {
		x.IPs = append(x.IPs, r.xml(n.DHCP, old))
	}
	if slices.ContainsFunc(ranges, span.is6) {
		x.IPs = append(x.IPs, libvirtxml.NetworkIP{Family: ipv6, Address: hypervisor.MetadataAddress6, Prefix: 64})
	}
	// The test host does not keep what its DHCP server would be told.
	if !s.simulated {
		setServer(x, n, ranges)
	}
	return nil
}

// bridgeMAC is the MAC address of a network's own bridge: the same on each host, so that
// guests that move find the host where they knew it.
func bridgeMAC(id uuid.UUID) string {
	return fmt.Sprintf("06:%02x:%02x:%02x:%02x:%02x", id[0], id[1], id[2], id[3], id[4])
}

// span is a range of addresses and the host's own in it.
type span struct {
	prefix netip.Prefix
	own    netip.Addr
}

func (r span) is6() bool { return r.own.Is6() }

// rangesOf reads the ranges of a network, the IPv4 one first.
func rangesOf(n hypervisor.Network) ([]span, error) {
	if n.Mode == hypervisor.Bridged && n.DHCP {
		return nil, fmt.Errorf("%w: the host hands out no addresses on a bridge that is not its own", hypervisor.ErrInvalid)
	}
	var out []span
	for _, text := range [][2]string{{n.CIDR, n.Gateway}, {n.CIDR6, n.Gateway6}} {
		if text[0] == "" {
			if text[1] != "" {
				return nil, fmt.Errorf("%w: the gateway %s needs an address range", hypervisor.ErrInvalid, text[1])
			}
			continue
		}
		r, err := readSpan(text[0], text[1])
		if err != nil {
			return nil, err
		}
		out = append(out, r)
	}
	if n.CIDR6 != "" && !out[len(out)-1].is6() {
		return nil, fmt.Errorf("%w: %s is no IPv6 range", hypervisor.ErrInvalid, n.CIDR6)
	}
	switch {
	case len(out) == 2 && out[0].is6():
		return nil, fmt.Errorf("%w: %s and %s are both IPv6 ranges", hypervisor.ErrInvalid, n.CIDR, n.CIDR6)
	case len(out) > 0 || n.Mode == hypervisor.Bridged:
		return out, nil
	case n.DHCP:
		return nil, fmt.Errorf("%w: DHCP needs an address range", hypervisor.ErrInvalid)
	case n.Mode != hypervisor.Isolated:
		return nil, fmt.Errorf("%w: a %s network needs an address range", hypervisor.ErrInvalid, n.Mode)
	}
	return out, nil
}

func readSpan(cidr, gateway string) (span, error) {
	prefix, err := netip.ParsePrefix(cidr)
	if err != nil {
		return span{}, fmt.Errorf("%w: %w", hypervisor.ErrInvalid, err)
	}
	prefix = prefix.Masked()
	own := prefix.Addr().Next()
	if gateway != "" {
		if own, err = netip.ParseAddr(gateway); err != nil {
			return span{}, fmt.Errorf("%w: %w", hypervisor.ErrInvalid, err)
		}
	}
	if own.Is6() && prefix.Bits() < maxPrefix6 {
		return span{}, fmt.Errorf("%w: %s is larger than a network of /%d, which is the most that can be served", hypervisor.ErrInvalid, prefix, maxPrefix6)
	}
	if !prefix.Contains(own) || own.Zone() != "" {
		return span{}, fmt.Errorf("%w: gateway %s is not in %s", hypervisor.ErrInvalid, own, prefix)
	}
	return span{prefix, own}, nil
}

// xml describes a range to libvirt with the reservations that there are.
func (r span) xml(dhcp bool, old []libvirtxml.NetworkIP) libvirtxml.NetworkIP {
	ip := libvirtxml.NetworkIP{Address: r.own.String(), Prefix: uint(r.prefix.Bits()), Family: ipv4}
	if r.is6() {
		ip.Family = ipv6
	}
	if !dhcp && !r.is6() {
		return ip
	}
	// Without an IPv6 server libvirt would have guests make up addresses.
	ip.DHCP = &libvirtxml.NetworkDHCP{Hosts: []libvirtxml.NetworkDHCPHost{nobodys(r.own)}}
	if !dhcp {
		return ip
	}
	for i := range old {
		if old[i].DHCP == nil {
			continue
		}
		for _, h := range old[i].DHCP.Hosts {
			if a, err := netip.ParseAddr(h.IP); err == nil && !isNobodys(&h) && a != r.own && r.prefix.Contains(a) {
				ip.DHCP.Hosts = append(ip.DHCP.Hosts, h)
			}
		}
	}
	return ip
}

// setBridge makes a network one of its mode.
func (s *session) setBridge(x *libvirtxml.Network, n hypervisor.Network) error {
	mode := map[hypervisor.NetworkMode]string{hypervisor.NAT: "nat", hypervisor.Routed: "route", hypervisor.Bridged: "bridge"}[n.Mode]
	own, outside := BridgeOf(n.ID), n.Mode == hypervisor.NAT || n.Mode == hypervisor.Routed
	switch {
	case mode == "" && n.Mode != hypervisor.Isolated:
		return fmt.Errorf("%w: no mode of networks is called %q", hypervisor.ErrInvalid, n.Mode)
	case n.VLAN < 0 || n.VLAN > 4095:
		return fmt.Errorf("%w: VLAN %d has more than 12 bits", hypervisor.ErrInvalid, n.VLAN)
	case n.VLAN != 0 && outside:
		return fmt.Errorf("%w: the traffic of a %s network leaves the host without tags; a VLAN needs a bridged network", hypervisor.ErrInvalid, n.Mode)
	case n.Mode == hypervisor.Bridged:
		b, err := s.cfg.Bridges.On(n.Bridge, n.VLAN)
		if err != nil {
			return err
		}
		if x.Bridge == nil || x.Bridge.Name != b {
			x.Bridge = &libvirtxml.NetworkBridge{Name: b}
		}
	case n.Bridge != "":
		return fmt.Errorf("%w: only a bridged network is put on a bridge of the host", hypervisor.ErrInvalid)
	case x.Bridge == nil || x.Bridge.Name != own:
		x.Bridge = &libvirtxml.NetworkBridge{Name: own, STP: "on", Delay: "0"}
	}
	switch {
	case mode == "":
		x.Forward = nil
	case x.Forward == nil || x.Forward.Mode != mode:
		x.Forward = &libvirtxml.NetworkForward{Mode: mode}
	}
	if n.Mode == hypervisor.NAT {
		if x.Forward.NAT == nil {
			x.Forward.NAT = &libvirtxml.NetworkForwardNAT{Ports: []libvirtxml.NetworkForwardNATPort{{Start: 1024, End: 65535}}}
		}
		x.Forward.NAT.IPv6 = "yes"
	}
	return nil
}

var domainName = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?)*$`)

// maxDomain is how long a DNS name may be, in bytes.
const maxDomain = 253

// setDomainName sets the DNS domain; what the network does not know of it is not
// asked of others.
func setDomainName(x *libvirtxml.Network, name string) error {
	if name == "" {
		x.Domain = nil
		return nil
	}
	if len(name) > maxDomain || !domainName.MatchString(name) {
		return fmt.Errorf("%w: %q is no DNS domain", hypervisor.ErrInvalid, name)
	}
	x.Domain = &libvirtxml.NetworkDomain{Name: name, LocalOnly: "yes"}
	return nil
}

// What the network's DHCP server is told beyond libvirt's own words.
const (
	optionRoutes = "dhcp-option=121," // RFC 3442
	optionLeases = "dhcp-lease-max="
)

// setServer has the DHCP server hand out the route to the metadata address. A
// client that follows RFC 3442 ignores the router option then, so that the route
// to everywhere is repeated, for networks that lead out of the host.
func setServer(x *libvirtxml.Network, n hypervisor.Network, ranges []span) {
	var options []libvirtxml.NetworkDnsmasqOption
	if x.DnsmasqOptions != nil {
		options = slices.DeleteFunc(slices.Clone(x.DnsmasqOptions.Option), func(o libvirtxml.NetworkDnsmasqOption) bool {
			return strings.HasPrefix(o.Value, optionRoutes) || strings.HasPrefix(o.Value, optionLeases)
		})
	}
	if n.DHCP {
		options = append(options, libvirtxml.NetworkDnsmasqOption{Value: optionLeases + strconv.Itoa(maxLeases)})
	}
	if n.DHCP && !ranges[0].is6() {
		routes := optionRoutes + hypervisor.MetadataAddress + "/32," + ranges[0].own.String()
		if n.Mode != hypervisor.Isolated {
			routes += ",0.0.0.0/0," + ranges[0].own.String()
		}
		options = append(options, libvirtxml.NetworkDnsmasqOption{Value: routes})
	}
	if x.DnsmasqOptions = nil; len(options) > 0 {
		x.DnsmasqOptions = &libvirtxml.NetworkDnsmasqOptions{Option: options}
	}
}
