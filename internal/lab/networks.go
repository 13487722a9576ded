package lab

import (
	"fmt"
	"slices"
	"strings"

	"libvirt.org/go/libvirt"
	"libvirt.org/go/libvirtxml"
)

// Reserved gives the addresses that the DHCP server of a network has for
// interfaces, as "MAC ADDRESS NAME", sorted. It is an error if those of an active
// network differ from those that it will have when it is started next. The test host
// has no such difference.
func Reserved(c *libvirt.Connect, network string) ([]string, error) {
	n, err := c.LookupNetworkByUUIDString(network)
	if err != nil {
		return nil, err
	}
	defer n.Free()
	now, err := reserved(n, 0)
	if err != nil {
		return nil, err
	}
	next, err := reserved(n, libvirt.NETWORK_XML_INACTIVE)
	if e, ok := err.(libvirt.Error); ok && e.Code == libvirt.ERR_INVALID_ARG {
		return now, nil
	}
	if err == nil && !slices.Equal(now, next) {
		err = fmt.Errorf("network %s has the reservations %q, and will have %q", network, now, next)
	}
	return now, err
}

func reserved(n *libvirt.Network, flags libvirt.NetworkXMLFlags) ([]string, error) {
	text, err := n.GetXMLDesc(flags)
	if err != nil {
		return nil, err
	}
	var x libvirtxml.Network
	if err := x.Unmarshal(text); err != nil {
		return nil, err
	}
	var out []string
	for _, ip := range x.IPs {
		if ip.DHCP == nil {
			continue
		}
		for _, h := range ip.DHCP.Hosts {
			if h.IP == ip.Address {
				continue // nobody's
			}
			out = append(out, reservation(h))
		}
	}
	slices.Sort(out)
	return out, nil
}

// reservation writes a host of a DHCP server. That of an IPv6 address has its MAC
// address at the end of its name, that of an IPv4 address maybe an earlier one's.
func reservation(h libvirtxml.NetworkDHCPHost) string {
	mac, name := h.MAC, ""
	for part := range strings.SplitSeq(h.Name, ",") {
		switch {
		case !strings.Contains(part, ":"):
			name = part
		case h.MAC == "":
			mac = part
		}
	}
	return strings.TrimSpace(mac + " " + h.IP + " " + name)
}
