package hypertest

import (
	"slices"
	"strings"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"

	"github.com/occid/occid/hypervisor"
)

func (s *suite) lookNetwork(id uuid.UUID) *hypervisor.NetworkStatus {
	s.Helper()
	all, err := s.drv.Networks(s.ctx())
	s.ok("list networks", err)
	i := slices.IndexFunc(all, func(n hypervisor.NetworkStatus) bool { return n.ID == id })
	if i < 0 {
		return nil
	}
	return &all[i]
}

func (s *suite) wantActive(what string, id uuid.UUID, want bool) {
	s.Helper()
	switch n := s.lookNetwork(id); {
	case n == nil:
		s.Errorf("after %s the network is gone", what)
	case !n.Managed || n.Active != want:
		s.Errorf("after %s the network is %+v, want active %t", what, n, want)
	}
}

func (s *suite) network() {
	ctx := s.ctx()
	ranges := []hypervisor.Network{
		{},
		{CIDR: "198.18.1.0/24", Gateway: "198.18.1.1", DHCP: true, VLAN: 7, Title: "all"},
		{CIDR: "198.18.2.0/24", DHCP: true},
		{CIDR: "198.18.3.0/24", Gateway: "198.18.3.77", DHCP: true},
		{CIDR: "198.18.4.0/24", Gateway: "198.18.4.1"},
		{CIDR: "198.18.5.0/24", VLAN: 4095},
		{CIDR: "198.19.0.0/16", DHCP: true},
		{CIDR: "198.18.6.0/30", DHCP: true},
		{CIDR: "fd00:198:18::/64", DHCP: true},
		{CIDR: "198.18.7.0/24", CIDR6: "fd00:198:19::/120", Gateway6: "fd00:198:19::7"},
		{CIDR6: "fd00:198:20::/64"},
	}
	for _, r := range ranges {
		n := s.networkSpec()
		r.ID = n.ID
		for _, when := range []string{"defining", "defining again"} {
			s.ok(when, s.drv.DefineNetwork(ctx, r))
			s.wantActive(when, r.ID, false)
		}
		for _, when := range []string{"starting", "starting again"} {
			s.ok(when, s.drv.StartNetwork(ctx, r.ID))
			s.wantActive(when, r.ID, true)
		}
		r.Title = "changed"
		s.ok("define while it is active", s.drv.DefineNetwork(ctx, r))
		s.wantActive("redefining", r.ID, true)
		for _, when := range []string{"stopping", "stopping again"} {
			s.ok(when, s.drv.StopNetwork(ctx, r.ID))
			s.wantActive(when, r.ID, false)
		}
		s.ok("start", s.drv.StartNetwork(ctx, r.ID))
		s.ok("delete", s.drv.DeleteNetwork(ctx, r.ID))
		s.ok("delete again", s.drv.DeleteNetwork(ctx, r.ID))
		if s.lookNetwork(r.ID) != nil {
			s.Error("the deleted network is still there")
		}
		s.is("start what is gone", s.drv.StartNetwork(ctx, r.ID), hypervisor.ErrNotFound)
		s.is("stop what is gone", s.drv.StopNetwork(ctx, r.ID), hypervisor.ErrNotFound)
	}
}

func (s *suite) invalidNetwork() {
	for name, n := range map[string]hypervisor.Network{
		"a range that is none":    {CIDR: "somewhere"},
		"a gateway that is none":  {CIDR: "198.18.1.0/24", Gateway: "there"},
		"a gateway elsewhere":     {CIDR: "198.18.1.0/24", Gateway: "198.18.2.1"},
		"a gateway without range": {Gateway: "198.18.2.1"},
		"DHCP without range":      {DHCP: true},
		"two IPv6 ranges":         {CIDR: "fd00:1::/64", CIDR6: "fd00:2::/64"},
		"an IPv4 range as IPv6":   {CIDR6: "198.18.1.0/24"},
		"an IPv6 gateway alone":   {CIDR: "198.18.1.0/24", Gateway6: "fd00:1::1"},
		"an IPv6 gateway outside": {CIDR: "198.18.1.0/24", CIDR6: "fd00:1::/64", Gateway6: "fd00:2::1"},
		"no such mode":            {Mode: "hidden"},
		"a way out without range": {Mode: hypervisor.NAT},
		"a tag on no wire":        {Mode: hypervisor.NAT, CIDR: "198.18.1.0/24", VLAN: 7},
		"a tag on no wire either": {Mode: hypervisor.Routed, CIDR: "198.18.1.0/24", VLAN: 7},
		"a bridge that is unused": {Bridge: s.traits.Bridge},
		"bridged to nothing":      {Mode: hypervisor.Bridged},
		"a bridge not offered":    {Mode: hypervisor.Bridged, Bridge: "virbr0"},
		"a VLAN not offered":      {Mode: hypervisor.Bridged, Bridge: s.traits.Bridge, VLAN: 8},
		"DHCP of others":          {Mode: hypervisor.Bridged, Bridge: s.traits.Bridge, CIDR: "198.18.1.0/24", DHCP: true},
		"a VLAN that is none":     {VLAN: 4096},
		"too large a range":       {CIDR: "fd00:1::/48"},
		"a domain that is none":   {CIDR: "198.18.1.0/24", Domain: "a b"},
	} {
		n.ID = s.networkSpec().ID
		s.is(name, s.drv.DefineNetwork(s.ctx(), n), hypervisor.ErrInvalid)
		if s.lookNetwork(n.ID) != nil {
			s.Errorf("%s: the network is there though it was refused", name)
		}
	}
}

// networkModes makes networks of every mode, and one network all of them.
func (s *suite) networkModes() {
	ctx := s.ctx()
	out := s.networkSpec()
	out.CIDR, out.CIDR6, out.DHCP, out.Domain = "198.18.20.0/24", "fd00:198:21::/64", true, "lab.example.com"
	bridged := hypervisor.Network{ID: out.ID, Mode: hypervisor.Bridged, Bridge: s.traits.Bridge, CIDR: "198.18.20.0/24"}
	tagged := bridged
	tagged.VLAN = 7
	for _, mode := range []hypervisor.NetworkMode{hypervisor.Isolated, hypervisor.NAT, hypervisor.Routed} {
		out.Mode = mode
		s.cycle(string(mode), out)
	}
	s.cycle("bridged", bridged)
	s.cycle("bridged with a VLAN", tagged)
	out.Mode = hypervisor.Isolated
	s.cycle("isolated", out)
	other := s.networkSpec()
	other.CIDR, other.DHCP = "198.18.21.0/24", true
	s.ok("define another", s.drv.DefineNetwork(ctx, other))
	s.ok("start", s.drv.StartNetwork(ctx, out.ID))
	s.ok("start another", s.drv.StartNetwork(ctx, other.ID))
}

// cycle defines, starts and stops a network.
func (s *suite) cycle(what string, n hypervisor.Network) {
	s.Helper()
	ctx := s.ctx()
	s.ok("define "+what, s.drv.DefineNetwork(ctx, n))
	s.ok("start "+what, s.drv.StartNetwork(ctx, n.ID))
	s.wantActive("starting "+what, n.ID, true)
	s.ok("stop "+what, s.drv.StopNetwork(ctx, n.ID))
}

// served makes an active network that hands out addresses in two families.
func (s *suite) served(cidr, cidr6 string) hypervisor.Network {
	s.Helper()
	n := s.networkSpec()
	n.CIDR, n.CIDR6, n.DHCP, n.Domain = cidr, cidr6, true, "lab.example.com"
	s.ok("define network", s.drv.DefineNetwork(s.ctx(), n))
	s.ok("start network", s.drv.StartNetwork(s.ctx(), n.ID))
	return n
}

func nicIn(n hypervisor.Network, hostname string, addresses ...string) hypervisor.NIC {
	id := uuid.New()
	return hypervisor.NIC{ID: id, Network: n.ID, MAC: macOf(id), Addresses: addresses, Hostname: hostname}
}

// reservation says what the DHCP server has to have for an address.
func reservation(n hypervisor.NIC, address, name string) string {
	return strings.TrimSpace(n.MAC + " " + address + " " + name)
}

func (s *suite) wantReserved(what string, n hypervisor.Network, want ...string) {
	s.Helper()
	want = slices.Sorted(slices.Values(want))
	if diff := cmp.Diff(want, s.traits.Reserved(s.T, n.ID)); diff != "" {
		s.Errorf("after %s the reservations are not as wanted (-want +got):\n%s", what, diff)
	}
}

// addresses follows the reservations of interfaces that come, change and go.
func (s *suite) addresses() {
	n, other := s.served("198.18.22.0/24", "fd00:198:22::/64"), s.served("198.18.23.0/24", "")
	d, ctx := s.domain(), s.ctx()
	a := nicIn(n, "web.example.com", "198.18.22.9", "fd00:198:22::9")
	b := nicIn(n, "web", "198.18.22.10")
	for _, when := range []string{"attaching", "attaching again"} {
		s.ok(when, s.drv.AttachNIC(ctx, d.ID, a))
		s.ok(when, s.drv.AttachNIC(ctx, d.ID, b))
		s.wantReserved(when, n, reservation(a, "198.18.22.9", "web"), reservation(a, "fd00:198:22::9", "web"), reservation(b, "198.18.22.10", ""))
	}
	n.Title = "changed"
	s.ok("define the network", s.drv.DefineNetwork(ctx, n))
	s.wantReserved("defining the network", n, reservation(a, "198.18.22.9", "web"), reservation(a, "fd00:198:22::9", "web"), reservation(b, "198.18.22.10", ""))

	a.Addresses, b.Hostname = []string{"198.18.22.11"}, "30m"
	d.NICs = []hypervisor.NIC{a, b}
	s.ok("define", s.drv.DefineDomain(ctx, d))
	s.wantReserved("readdressing", n, reservation(a, "198.18.22.11", "web"), reservation(b, "198.18.22.10", ""))
	c := nicIn(n, "", "198.18.22.10")
	e := s.spec()
	e.NICs = []hypervisor.NIC{c}
	s.ok("define", s.drv.DefineDomain(ctx, e))
	s.wantReserved("giving an address to another", n, reservation(a, "198.18.22.11", "web"), reservation(c, "198.18.22.10", ""))

	moved := a
	moved.Network, moved.Addresses = other.ID, []string{"198.18.23.5"}
	s.ok("move", s.drv.AttachNIC(ctx, d.ID, moved))
	s.wantReserved("moving away", n, reservation(c, "198.18.22.10", ""))
	s.wantReserved("moving here", other, reservation(moved, "198.18.23.5", "web"))
	for _, when := range []string{"detaching", "detaching again"} {
		s.ok(when, s.drv.DetachNIC(ctx, d.ID, moved.ID))
		s.wantReserved(when, other)
	}
	s.ok("delete", s.drv.DeleteDomain(ctx, e.ID))
	s.wantReserved("deleting", n)
}

// addressesOfSilent has interfaces with addresses that the network does not hand
// out.
func (s *suite) addressesOfSilent() {
	n, d, ctx := s.served("198.18.27.0/24", "fd00:198:27::/64"), s.domain(), s.ctx()
	a := nicIn(n, "web", "198.18.27.9", "fd00:198:27::9")
	s.ok("attach", s.drv.AttachNIC(ctx, d.ID, a))
	s.ok("stop", s.drv.StopNetwork(ctx, n.ID))
	n.DHCP = false
	s.ok("define", s.drv.DefineNetwork(ctx, n))
	s.ok("start", s.drv.StartNetwork(ctx, n.ID))
	s.ok("attach again", s.drv.AttachNIC(ctx, d.ID, a))
	s.wantReserved("attaching", n)
	s.ok("stop", s.drv.StopNetwork(ctx, n.ID))
	n.DHCP = true
	s.ok("define", s.drv.DefineNetwork(ctx, n))
	s.ok("start", s.drv.StartNetwork(ctx, n.ID))
	d.NICs = []hypervisor.NIC{a}
	s.ok("define", s.drv.DefineDomain(ctx, d))
	s.wantReserved("defining", n, reservation(a, "198.18.27.9", "web"), reservation(a, "fd00:198:27::9", "web"))
}

// addressesAtOnce checks that changes of one network do not undo one another.
func (s *suite) addressesAtOnce() {
	n, ctx := s.served("198.18.24.0/24", "fd00:198:24::/64"), s.ctx()
	var nics []hypervisor.NIC
	var domains []hypervisor.Domain
	var want []string
	for i := range 6 {
		last := string(rune('2' + i))
		nic := nicIn(n, "host"+last, "198.18.24."+last, "fd00:198:24::"+last)
		nics, domains = append(nics, nic), append(domains, s.domain())
		want = append(want, reservation(nic, "198.18.24."+last, "host"+last), reservation(nic, "fd00:198:24::"+last, "host"+last))
	}
	var all errgroup.Group
	for i := range nics {
		all.Go(func() error { return s.drv.AttachNIC(ctx, domains[i].ID, nics[i]) })
		all.Go(func() error { return s.drv.DefineNetwork(ctx, n) })
	}
	s.ok("attach", all.Wait())
	s.wantReserved("attaching all", n, want...)
	for i := range nics[1:] {
		all.Go(func() error { return s.drv.DeleteDomain(ctx, domains[i+1].ID) })
	}
	s.ok("delete", all.Wait())
	s.wantReserved("deleting all but one", n, want[:2]...)
}

// addressesOfRunning has a guest get its addresses, and another the same ones after
// it.
func (s *suite) addressesOfRunning() {
	n, d, ctx := s.served("198.18.25.0/24", "fd00:198:25::/64"), s.spec(), s.ctx()
	a, b := nicIn(n, "a", "198.18.25.9", "fd00:198:25::9"), nicIn(n, "b", "198.18.25.10")
	d.NICs = []hypervisor.NIC{a, b}
	s.ok("define", s.drv.DefineDomain(ctx, d))
	s.ok("start", s.drv.StartDomain(ctx, d.ID))
	s.addressed(d.ID, "eth0", "198.18.25.9/24")
	s.addressed(d.ID, "eth1", "198.18.25.10/24")
	s.ok("detach", s.drv.DetachNIC(ctx, d.ID, b.ID))
	s.wantReserved("detaching", n, reservation(a, "198.18.25.9", "a"), reservation(a, "fd00:198:25::9", "a"))
	c := nicIn(n, "c", "198.18.25.10")
	s.ok("attach", s.drv.AttachNIC(ctx, d.ID, c))
	s.wantReserved("attaching", n, reservation(a, "198.18.25.9", "a"), reservation(a, "fd00:198:25::9", "a"), reservation(c, "198.18.25.10", "c"))
	s.addressed(d.ID, "eth1", "198.18.25.10/24")
}

func (s *suite) addressed(domain uuid.UUID, device, address string) {
	s.Helper()
	if s.traits.Addressed != nil {
		s.traits.Addressed(s.T, domain, device, address)
	}
}

func (s *suite) invalidAddress() {
	n, d, ctx := s.served("198.18.26.0/24", "fd00:198:26::/64"), s.domain(), s.ctx()
	for _, addresses := range [][]string{
		{"198.18.27.1"}, {"198.18.26.1"}, {"fd00:198:26::1"}, {"198.18.26.300"}, {"198.18.26.9/24"}, {""},
		{"198.18.26.9", "198.18.26.10"}, {"fe80::1%eth0"}, {"::ffff:198.18.26.9"},
	} {
		s.is(strings.Join(addresses, " and "), s.drv.AttachNIC(ctx, d.ID, nicIn(n, "", addresses...)), hypervisor.ErrInvalid)
	}
	s.wantReserved("refusing", n)
	s.wantDevices("refusing", d.ID, nil, nil)
}
