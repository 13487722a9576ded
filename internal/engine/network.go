package engine

import (
	"context"
	"fmt"
	"net/netip"

	"github.com/occid/occid/hypervisor"
	"github.com/occid/occid/occi"
)

// modes are the values of roleMode as hosts know them; a network without one is
// isolated.
var modes = map[string]hypervisor.NetworkMode{
	"isolated": hypervisor.Isolated, modeNAT: hypervisor.NAT, modeRouted: hypervisor.Routed, modeBridged: hypervisor.Bridged,
}

// networkOf describes a network to its host.
func networkOf(m *occi.Model, x *occi.Entity) hypervisor.Network {
	return hypervisor.Network{ID: x.ID, Title: x.Title,
		Mode:     modes[role(m, x, roleMode).Text],
		Bridge:   role(m, x, roleBridge).Text,
		CIDR:     role(m, x, roleCIDR).Text,
		Gateway:  role(m, x, roleGateway).Text,
		CIDR6:    role(m, x, roleCIDR6).Text,
		Gateway6: role(m, x, roleGateway6).Text,
		DHCP:     role(m, x, roleAllocation).Text == allocationDynamic,
		VLAN:     int(role(m, x, roleVLAN).Num),
		Domain:   role(m, x, roleDNS).Text,
	}
}

func defineNetwork(ctx context.Context, j *job) error {
	if isImported(j.m, j.x) {
		return j.theirs(ctx)
	}
	return j.everywhere(ctx, func(drv hypervisor.Driver) error { return drv.DefineNetwork(ctx, networkOf(j.m, j.x)) })
}

func removeNetwork(ctx context.Context, j *job) error {
	if isImported(j.m, j.x) {
		return nil // it stays whose it is
	}
	return j.everywhere(ctx, func(drv hypervisor.Driver) error { return gone(drv.DeleteNetwork(ctx, j.x.ID)) })
}

func startNetwork(ctx context.Context, j *job) error {
	if isImported(j.m, j.x) {
		return j.theirs(ctx)
	}
	return j.everywhere(ctx, func(drv hypervisor.Driver) error { return drv.StartNetwork(ctx, j.x.ID) })
}

func stopNetwork(ctx context.Context, j *job) error {
	return j.everywhere(ctx, func(drv hypervisor.Driver) error { return drv.StopNetwork(ctx, j.x.ID) })
}

// isImported reports whether a network was imported from its host: the server uses it and
// changes nothing of it, for others may, too.
func isImported(m *occi.Model, x *occi.Entity) bool {
	return !role(m, x, roleNetworkImported).IsZero()
}

// theirs makes sure that a network of others is up, which is all that can be done for it.
func (j *job) theirs(ctx context.Context) error {
	all, err := j.drv.Networks(ctx)
	if err != nil {
		return err
	}
	for _, n := range all {
		if n.ID == j.x.ID && n.Active {
			return nil
		}
	}
	return fmt.Errorf("the network was not made by the server, and is not up on this host")
}

// everywhere does something with a network on its host, and where machines have taken it.
func (j *job) everywhere(ctx context.Context, do func(hypervisor.Driver) error) error {
	if err := do(j.drv); err != nil {
		return err
	}
	return j.also(ctx, do)
}

// networkCheck looks for what no host can do.
type networkCheck struct {
	m  *occi.Model
	x  *occi.Entity
	n  hypervisor.Network
	ps []occi.Problem
}

// checkNetwork refuses what does not fit together.
func checkNetwork(m *occi.Model, old, x *occi.Entity) []occi.Problem {
	c := &networkCheck{m: m, x: x, n: networkOf(m, x)}
	if old != nil && isImported(m, old) {
		as := old.Clone()
		if as.Title = x.Title; redescribed(m, as, x) {
			c.fault(roleNetworkImported, "the network was not made by the server; nothing but its title and summary is changed here")
		}
		return c.ps
	}
	first := c.span(roleCIDR, roleGateway)
	second := c.span(roleCIDR6, roleGateway6)
	switch {
	case second.IsValid() && !second.Addr().Is6():
		c.fault(roleCIDR6, "%s is no IPv6 range", second)
	case second.IsValid() && first.IsValid() && first.Addr().Is6():
		c.fault(roleCIDR6, "%s has an IPv6 range already, %s", c.name(roleCIDR), first)
	}
	if c.n.CIDR == "" && c.n.CIDR6 == "" {
		c.rangeless()
	}
	c.mode()
	return c.ps
}

// fault notes a problem with the attribute that has a role.
func (c *networkCheck) fault(role, format string, args ...any) {
	c.ps = append(c.ps, occi.Problem{What: c.name(role), Text: fmt.Sprintf(format, args...)})
}

// name gives the name of the attribute that has a role, wherever it is defined.
func (c *networkCheck) name(role string) string {
	if a := roleAttr(c.m, c.x, role); a != nil {
		return a.Name
	}
	for _, mx := range c.m.Mixins {
		for _, a := range mx.Attributes {
			if a.Role == role {
				return a.Name
			}
		}
	}
	return role
}

// span reads a range and checks it and its gateway; it is not valid if there is none.
func (c *networkCheck) span(cidr, router string) netip.Prefix {
	text, gateway := role(c.m, c.x, cidr).Text, role(c.m, c.x, router).Text
	if text == "" {
		if gateway != "" {
			c.fault(router, "needs an address range")
		}
		return netip.Prefix{}
	}
	p, err := netip.ParsePrefix(text)
	if err != nil {
		c.fault(cidr, "%v", err)
		return netip.Prefix{}
	}
	if free := p.Addr().BitLen() - p.Bits(); free < 2 {
		c.fault(cidr, "the range %s is too small for a host and a guest", text)
	}
	if c.n.Mode != hypervisor.Bridged && p.Addr().Is6() && p.Bits() < largest6 {
		c.fault(cidr, "the range %s is larger than /%d, the most that hosts can serve", text, largest6)
	}
	if g, err := netip.ParseAddr(gateway); gateway != "" && (err != nil || !p.Contains(g)) {
		c.fault(router, "%s is not in %s", gateway, text)
	}
	return p
}

// largest6 is the prefix of the largest IPv6 range that hosts can serve.
const largest6 = 64

// rangeless refuses what needs a range.
func (c *networkCheck) rangeless() {
	if c.n.DHCP {
		c.fault(roleAllocation, "dynamic allocation needs an address range in %s", c.name(roleCIDR))
	}
	if c.n.Mode == hypervisor.NAT || c.n.Mode == hypervisor.Routed {
		c.fault(roleMode, "a %s network needs an address range in %s or %s", c.n.Mode, c.name(roleCIDR), c.name(roleCIDR6))
	}
}

// mode refuses what a network of its mode cannot have.
func (c *networkCheck) mode() {
	switch {
	case c.n.Mode == hypervisor.Bridged && c.n.Bridge == "":
		c.fault(roleMode, "a bridged network needs a bridge of the host in %s", c.name(roleBridge))
	case c.n.Mode != hypervisor.Bridged && c.n.Bridge != "":
		c.fault(roleBridge, "only a network whose %s is %s is on a bridge of the host", c.name(roleMode), modeBridged)
	}
	if c.n.Mode == hypervisor.Bridged && c.n.DHCP {
		c.fault(roleAllocation, "hosts hand out no addresses in bridged networks; with static the guests are told in another way")
	}
	if c.n.VLAN != 0 && (c.n.Mode == hypervisor.NAT || c.n.Mode == hypervisor.Routed) {
		c.fault(roleVLAN, "the traffic of a %s network leaves the host without tags; a VLAN needs a bridged one", c.n.Mode)
	}
}

// offeredNetwork refuses bridges that the operator does not offer.
func offeredNetwork(cfg *Config, m *occi.Model, old, x *occi.Entity) []occi.Problem {
	c := &networkCheck{m: m, x: x, n: networkOf(m, x)}
	if c.n.Mode != hypervisor.Bridged || c.n.Bridge == "" {
		return nil
	}
	if old != nil {
		if was := networkOf(m, old); was.Mode == c.n.Mode && was.Bridge == c.n.Bridge && was.VLAN == c.n.VLAN {
			return nil
		}
	}
	if _, err := cfg.Bridges.On(c.n.Bridge, 0); err != nil && c.n.VLAN == 0 {
		c.fault(roleBridge, "no bridge %q is offered to networks", c.n.Bridge)
	}
	if _, err := cfg.Bridges.On(c.n.Bridge, c.n.VLAN); err != nil && c.n.VLAN != 0 {
		c.fault(roleVLAN, "no bridge is offered to networks for VLAN %d of %q", c.n.VLAN, c.n.Bridge)
	}
	return c.ps
}
