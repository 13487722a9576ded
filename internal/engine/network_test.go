package engine_test

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/occid/occid/hypervisor"
	"github.com/occid/occid/internal/engine"
	"github.com/occid/occid/occi"
)

const (
	netMode     = "occid.network.mode"
	netBridge   = "occid.network.bridge"
	netDomain   = "occid.network.domain"
	netVLAN     = "occi.network.vlan"
	netAddress  = "occi.network.address"
	netGateway  = "occi.network.gateway"
	netHow      = "occi.network.allocation"
	netAddress6 = "occid.network.address6"
	netGateway6 = "occid.network.gateway6"
)

// TestWhatHostsAreToldOfNetworks has networks of each mode, and of each mode in
// turn.
func TestWhatHostsAreToldOfNetworks(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	tests := map[string]struct {
		pairs []any
		want  hypervisor.Network
	}{
		"nothing": {},
		"dual":    {[]any{netAddress, "198.18.0.0/24", netAddress6, "fd00::/64", netGateway6, "fd00::9"}, hypervisor.Network{CIDR: "198.18.0.0/24", CIDR6: "fd00::/64", Gateway6: "fd00::9"}},
		"nat": {[]any{netMode, "nat", netAddress, "198.18.0.0/24", netGateway, "198.18.0.9", netHow, "dynamic", netDomain, "lab.example.com"},
			hypervisor.Network{Mode: hypervisor.NAT, CIDR: "198.18.0.0/24", Gateway: "198.18.0.9", DHCP: true, Domain: "lab.example.com"}},
		"routed IPv6": {[]any{netMode, "routed", netAddress6, "fd00::/64"}, hypervisor.Network{Mode: hypervisor.Routed, CIDR6: "fd00::/64"}},
		"bridged": {[]any{netMode, "bridged", netBridge, "br0", netAddress, "198.18.0.0/24", netHow, "static"},
			hypervisor.Network{Mode: hypervisor.Bridged, Bridge: "br0", CIDR: "198.18.0.0/24"}},
		"tagged":   {[]any{netMode, "bridged", netBridge, "br0", netVLAN, 7}, hypervisor.Network{Mode: hypervisor.Bridged, Bridge: "br0", VLAN: 7}},
		"isolated": {[]any{netMode, "isolated", netVLAN, 7}, hypervisor.Network{VLAN: 7}},
		"highest":  {[]any{netVLAN, 4095}, hypervisor.Network{VLAN: 4095}},
	}
	one := c.create(draft(network))
	for name, x := range tests {
		n := c.create(draft(network, x.pairs...))
		out, err := c.Put(c.ctx, engine.Caller{}, network, one.ID, draft(network, x.pairs...), engine.Options{})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		c.settled(out)
		for _, id := range []uuid.UUID{n.ID, one.ID} {
			x.want.ID = id
			if diff := cmp.Diff(x.want, c.host.network(id)); diff != "" {
				t.Errorf("%s (-want +got):\n%s", name, diff)
			}
		}
	}
}

// TestNetworksThatNoHostCanHave are refused at their creation and as a change.
func TestNetworksThatNoHostCanHave(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	one := c.create(draft(network))
	for name, x := range map[string]struct {
		pairs []any
		names []string
	}{
		"NAT without range":      {[]any{netMode, "nat"}, []string{netMode, netAddress}},
		"routed without range":   {[]any{netMode, "routed"}, []string{netMode, netAddress6}},
		"bridged to nothing":     {[]any{netMode, "bridged"}, []string{netMode, netBridge}},
		"a bridge of others":     {[]any{netMode, "bridged", netBridge, "eth0"}, []string{netBridge, "eth0"}},
		"a VLAN of others":       {[]any{netMode, "bridged", netBridge, "br0", netVLAN, 8}, []string{netVLAN, "8", "br0"}},
		"a VLAN on no wire":      {[]any{netMode, "bridged", netBridge, "br0", netVLAN, 4095}, []string{netVLAN, "4095", "br0"}},
		"a bridge for nothing":   {[]any{netBridge, "br0"}, []string{netBridge, netMode}},
		"DHCP of others":         {[]any{netMode, "bridged", netBridge, "br0", netAddress, "198.18.0.0/24", netHow, "dynamic"}, []string{netHow}},
		"tags that are lost":     {[]any{netMode, "nat", netAddress, "198.18.0.0/24", netVLAN, 7}, []string{netVLAN, "nat"}},
		"two IPv6 ranges":        {[]any{netAddress, "fd00::/64", netAddress6, "fd01::/64"}, []string{netAddress6, "fd00::/64"}},
		"an IPv4 range as IPv6":  {[]any{netAddress6, "198.18.0.0/24"}, []string{netAddress6, "198.18.0.0/24"}},
		"a gateway elsewhere":    {[]any{netAddress6, "fd00::/64", netGateway6, "fd01::1"}, []string{netGateway6, "fd01::1"}},
		"an IPv6 gateway alone":  {[]any{netAddress, "198.18.0.0/24", netGateway6, "fd01::1"}, []string{netGateway6}},
		"too large a range":      {[]any{netAddress6, "fd00::/48"}, []string{netAddress6, "fd00::/48"}},
		"too small a range":      {[]any{netAddress6, "fd00::/127"}, []string{netAddress6, "fd00::/127"}},
		"a domain that is none":  {[]any{netDomain, "a b"}, []string{netDomain}},
		"a bridge that is none":  {[]any{netMode, "bridged", netBridge, "../br0"}, []string{netBridge}},
		"a mode that is none":    {[]any{netMode, "open"}, []string{netMode, "open"}},
		"addresses of no range":  {[]any{netHow, "dynamic"}, []string{netHow, netAddress}},
		"a mode and no bridge":   {[]any{netMode, "routed", netAddress, "198.18.0.0/24", netBridge, "br0"}, []string{netBridge}},
		"an IPv6 range, no size": {[]any{netAddress6, "fd00::"}, []string{netAddress6}},
	} {
		_, err := c.try(draft(network, x.pairs...))
		refused(t, name, err, occi.Invalid, x.names...)
		_, err = c.Update(c.ctx, engine.Caller{}, one.ID, draft(network, x.pairs...), engine.Options{})
		refused(t, name, err, occi.Invalid, x.names...)
	}
	if diff := cmp.Diff(hypervisor.Network{ID: one.ID}, c.host.network(one.ID)); diff != "" {
		t.Errorf("the host was told (-want +got):\n%s", diff)
	}
}

// TestABridgeThatIsOfferedNoMore does not keep what is on it from other changes.
func TestABridgeThatIsOfferedNoMore(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	n := c.create(draft(network, netMode, "bridged", netBridge, "br0"))
	c.shut()
	c.bridges = nil
	c.open()
	out, err := c.Update(c.ctx, engine.Caller{}, n.ID, draft(network, occi.AttrTitle, "old"), engine.Options{})
	if err != nil {
		t.Fatal(err)
	}
	c.settled(out)
	_, err = c.try(draft(network, netMode, "bridged", netBridge, "br0"))
	refused(t, "another", err, occi.Invalid, netBridge, "br0")
}

// TestWhatHostsAreToldOfInterfaces has a machine whose interfaces have addresses of
// both families, and its name.
func TestWhatHostsAreToldOfInterfaces(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	dual := c.ranged("198.18.0.0/24", netAddress6, "fd00::/64")
	d := guest([]*occi.Entity{dual, c.create(draft(network))})
	d.Attributes = draft("", "occi.compute.hostname", "web").Attributes
	vm := c.create(d)
	told := func() []hypervisor.NIC {
		nics := values(c.host, c.host.domains)[0].NICs
		for i := range nics {
			nics[i].ID, nics[i].Network, nics[i].MAC = uuid.Nil, uuid.Nil, ""
		}
		return nics
	}
	want := []hypervisor.NIC{{Addresses: []string{"198.18.0.2", "fd00::2"}, Hostname: "web", Filtered: true}, {Hostname: "web", Filtered: true}}
	byAddresses := cmp.Transformer("count", func(ns []hypervisor.NIC) map[int]hypervisor.NIC {
		out := map[int]hypervisor.NIC{}
		for _, n := range ns {
			out[len(n.Addresses)] = n
		}
		return out
	})
	if diff := cmp.Diff(want, told(), byAddresses); diff != "" {
		t.Errorf("the host knows (-want +got):\n%s", diff)
	}
	out, err := c.Update(c.ctx, engine.Caller{}, vm.ID, draft(compute, "occi.compute.hostname", "www"), engine.Options{})
	if err != nil {
		t.Fatal(err)
	}
	c.settled(out)
	want[0].Hostname, want[1].Hostname = "www", "www"
	if diff := cmp.Diff(want, told(), byAddresses); diff != "" {
		t.Errorf("after it was renamed the host knows (-want +got):\n%s", diff)
	}
}

// TestANetworkInUseStays names the machines that keep it.
func TestANetworkInUseStays(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	n := c.create(draft(network))
	a, b := c.create(guest([]*occi.Entity{n})), c.create(guest([]*occi.Entity{n}))
	c.mustAct(a, "start")
	c.mustAct(b, "start")
	refused(t, "deleting it", c.delete(n.ID), occi.Conflict, n.ID.String(), a.ID.String(), b.ID.String())
	if err := c.delete(n.ID, a.ID, b.ID); err != nil {
		t.Fatal(err)
	}
	c.empty()
}

// TestWhatLeavesANetworkKeepsItsRange has a network given a range while an interface
// in it is being deleted, which comes back: it would be without an address.
func TestWhatLeavesANetworkKeepsItsRange(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	n := c.create(draft(network))
	vm := c.create(guest([]*occi.Entity{n}))
	entered, proceed := c.host.hold("delete domain", errors.New("no"))
	gone, err := c.Delete(c.ctx, engine.Caller{}, []uuid.UUID{vm.ID}, engine.Options{})
	if err != nil {
		t.Fatal(err)
	}
	<-entered
	ranged := draft("", "occi.network.address", "198.18.0.0/24")
	_, err = c.Update(c.ctx, engine.Caller{}, n.ID, ranged, engine.Options{})
	refused(t, "a range", err, occi.Conflict, vm.Links[0].ID.String())
	close(proceed)
	c.settled(gone)
	out, err := c.Update(c.ctx, engine.Caller{}, n.ID, ranged, engine.Options{})
	if err != nil {
		t.Fatal(err)
	}
	c.settled(out)
	if l := c.get(vm.ID).Links[0]; attr(l, nicAddress) != "198.18.0.2" {
		t.Errorf("the interface that came back has %q", attr(l, nicAddress))
	}
	c.until("the host has what the rows say", func() bool { return c.difference() == "" })
}
