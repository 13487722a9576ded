package libvirt

import (
	"context"
	"slices"

	"github.com/google/uuid"
	"libvirt.org/go/libvirtxml"

	"github.com/occid/occid/hypervisor"
)

// The IPv4 address at which guests ask is on one bridge for all networks of the
// host, and each network's DHCP server hands out a route to it. It cannot be on
// their own bridges: the network's DNS server takes all addresses of its bridge, so
// that a second network could not start. Like the storage pool it stays once it is
// made. The IPv6 address is of the link and is on each.
const (
	metadataName   = "occid-metadata"
	metadataBridge = "occmeta"
)

// metadataID is the UUID of the network that has that bridge.
var metadataID = uuid.NewSHA1(uuid.NameSpaceURL, []byte(Namespace+"/metadata"))

// asksMetadata reports whether guests of a network can ask at the IPv4 address.
// The test host has no guests.
func (s *session) asksMetadata(x *libvirtxml.Network) bool {
	return !s.simulated && slices.ContainsFunc(x.IPs, func(ip libvirtxml.NetworkIP) bool { return familyOf(&ip) == ipv4 })
}

// addMetadata makes the network and runs it, if it does not yet.
func (s *session) addMetadata(ctx context.Context) error {
	n, _, err := s.findNetwork(metadataID)
	if err != nil {
		return err
	}
	if n == nil {
		if err := s.defineNetwork(ctx, opNetworkDefine, metadataNetwork()); err != nil {
			return err
		}
		if n, err = s.conn.LookupNetworkByUUID(metadataID[:]); err != nil {
			return err
		}
	}
	defer func() { _ = n.Free() }()
	return s.run(ctx, n, true)
}

func metadataNetwork() *libvirtxml.Network {
	return &libvirtxml.Network{
		Name: metadataName, UUID: metadataID.String(),
		Bridge: &libvirtxml.NetworkBridge{Name: metadataBridge, STP: "off", Delay: "0"},
		DNS:    &libvirtxml.NetworkDNS{Enable: "no"},
		IPs:    []libvirtxml.NetworkIP{{Family: ipv4, Address: hypervisor.MetadataAddress, Prefix: 32}},
	}
}
