package libvirt

import (
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"libvirt.org/go/libvirt"
	"libvirt.org/go/libvirtxml"

	"github.com/occid/occid/hypervisor"
)

// Reservations are the hosts of a network's DHCP server. It hands out nothing but
// what is reserved, so that no stranger gets the address of a guest to come.
//
// The server knows IPv6 clients by identifiers that they make up, but can also
// find their MAC address, as it does for IPv4. libvirt offers the former only; what
// it calls a host's name it writes as it is, so that the MAC address goes there.

// nobodysMAC and nobodysID are a client that cannot be. With a host that is
// nobody's a network's DHCP server runs from the start: libvirt would not start it
// for the first IPv6 reservation, and restart it for the first of IPv4.
const (
	nobodysMAC = "00:00:00:00:00:00"
	nobodysID  = "00"
)

// nobodys gives the host's own address to nobody.
func nobodys(own netip.Addr) libvirtxml.NetworkDHCPHost {
	h := libvirtxml.NetworkDHCPHost{MAC: nobodysMAC, IP: own.String()}
	if own.Is6() {
		h.MAC, h.ID = "", nobodysID
	}
	return h
}

func isNobodys(h *libvirtxml.NetworkDHCPHost) bool { return h.MAC == nobodysMAC || h.ID == nobodysID }

// leaseTime6 is how long an IPv6 lease holds, in minutes. Until it ends nobody else
// gets the address; a lease of IPv4 is taken over instead.
const leaseTime6 = 5

// reservation is what a network hands to one interface in one family.
type reservation struct {
	mac  string
	addr netip.Addr
	name string // a label, or nothing
	// before is the MAC address of who had the address last and may hold a lease.
	before string
}

// host writes a reservation as libvirt has it.
func (r reservation) host() libvirtxml.NetworkDHCPHost {
	h := libvirtxml.NetworkDHCPHost{IP: r.addr.String(), MAC: r.mac}
	var name []string
	if r.name != "" {
		name = append(name, r.name)
	}
	if r.before != "" {
		name = append(name, r.before)
	}
	if r.addr.Is6() {
		h.MAC, name = "", append(name, r.mac)
		h.Lease = &libvirtxml.NetworkDHCPLease{Expiry: leaseTime6, Unit: "minutes"}
	}
	h.Name = strings.Join(name, ",")
	return h
}

var macAddress = regexp.MustCompile(`^[0-9a-f]{2}(:[0-9a-f]{2}){5}$`)

// readHost reads back what host writes; false for what a Driver did not write.
func readHost(h *libvirtxml.NetworkDHCPHost) (reservation, bool) {
	addr, err := netip.ParseAddr(h.IP)
	if err != nil || isNobodys(h) {
		return reservation{}, false
	}
	r := reservation{mac: strings.ToLower(h.MAC), addr: addr}
	for part := range strings.SplitSeq(h.Name, ",") {
		switch {
		case !macAddress.MatchString(part):
			r.name = part
		case addr.Is6():
			r.mac = part
		default:
			r.before = part
		}
	}
	return r, r.mac != ""
}

// reservations reads what an interface is to get, by family.
func reservations(n hypervisor.NIC, mac string) (map[string]reservation, error) {
	out := map[string]reservation{}
	for _, text := range n.Addresses {
		a, err := netip.ParseAddr(text)
		if err != nil || a.Zone() != "" || a.Is4In6() {
			return nil, fmt.Errorf("%w: %q is no address for an interface", hypervisor.ErrInvalid, text)
		}
		family := ipv4
		if a.Is6() {
			family = ipv6
		}
		if old, twice := out[family]; twice {
			return nil, fmt.Errorf("%w: %s and %s for one interface are of one family", hypervisor.ErrInvalid, old.addr, a)
		}
		out[family] = reservation{mac: mac, addr: a, name: label(n.Hostname)}
	}
	return out, nil
}

// What dnsmasq takes for something else than a name.
var noName = regexp.MustCompile(`^(\d+[smhdw]?|infinite|ignore)$`)

// label gives the first label of a host's name; nothing if it is none.
func label(hostname string) string {
	l, _, _ := strings.Cut(hostname, ".")
	if !domainName.MatchString(l) || noName.MatchString(strings.ToLower(l)) {
		return ""
	}
	return l
}

// reserve makes the reservations of an interface in its network, and removes its
// others. Networks of others are left alone.
func (s *session) reserve(ctx context.Context, n hypervisor.NIC) error {
	mac, err := nicMAC(n)
	if err != nil {
		return err
	}
	want, err := reservations(n, mac)
	if err != nil {
		return err
	}
	return s.onHosts(ctx, opNetworkReserve, n.Network, mac, want)
}

// unreserve removes the reservations of an interface in a network, if that is there.
func (s *session) unreserve(ctx context.Context, network uuid.UUID, mac string) error {
	return s.onHosts(ctx, opNetworkRelease, network, strings.ToLower(mac), nil)
}

// onHosts makes the reservations of a MAC address in a network the wanted ones, in
// its definition and in what is active.
func (s *session) onHosts(ctx context.Context, op string, network uuid.UUID, mac string, want map[string]reservation) error {
	unlock, err := s.nets.lock(ctx, network)
	if err != nil {
		return err
	}
	defer unlock()
	n, x, err := s.findNetwork(network)
	if n == nil || err != nil {
		return err
	}
	defer func() { _ = n.Free() }()
	if !ownNetwork(x) {
		return nil
	}
	if markOf(x.Metadata.XML).Silent {
		want = nil
	}
	steps, err := s.steps(n, x, mac, want)
	if err != nil {
		return err
	}
	if s.simulated {
		return s.redefineHosts(ctx, op, n, x, steps)
	}
	active, err := n.IsActive()
	if err != nil {
		return err
	}
	if active {
		live, err := s.parseNetwork(n, 0)
		if err != nil {
			return err
		}
		now, err := s.steps(n, live, mac, within(live, want))
		if err != nil {
			return err
		}
		if err := s.updateHosts(ctx, op, n, now, libvirt.NETWORK_UPDATE_AFFECT_LIVE); err != nil {
			return err
		}
	}
	// The definition goes last: what it has is active too.
	return s.updateHosts(ctx, op, n, steps, libvirt.NETWORK_UPDATE_AFFECT_CONFIG)
}

// within gives those reservations that an active network has room for: it follows
// its definition when it is started next.
func within(x *libvirtxml.Network, want map[string]reservation) map[string]reservation {
	out := map[string]reservation{}
	for i := range x.IPs {
		ip := &x.IPs[i]
		if r, ok := want[familyOf(ip)]; ok && prefixOf(ip).Contains(r.addr) && r.addr.String() != ip.Address {
			out[familyOf(ip)] = r
		}
	}
	return out
}

// step removes or adds one host of an address range of a network.
type step struct {
	index  int // of the range
	remove bool
	host   libvirtxml.NetworkDHCPHost
}

// steps tells how the reservations of a MAC address become the wanted ones, by
// family.
func (s *session) steps(n *libvirt.Network, x *libvirtxml.Network, mac string, want map[string]reservation) ([]step, error) {
	var out []step
	for i := range x.IPs {
		ip := &x.IPs[i]
		if ip.DHCP == nil {
			continue
		}
		w, wanted := want[familyOf(ip)]
		if wanted && (!prefixOf(ip).Contains(w.addr) || w.addr.String() == ip.Address) {
			return nil, fmt.Errorf("%w: %s is no guest's address in %s", hypervisor.ErrInvalid, w.addr, prefixOf(ip))
		}
		removes, there := obsolete(ip, mac, w, wanted)
		for _, h := range removes {
			out = append(out, step{i, true, h})
			if r, _ := readHost(&h); r.mac != mac && (!wanted || r.addr != w.addr) {
				r.before = ""
				out = append(out, step{i, false, r.host()})
			}
		}
		if wanted && !there {
			var err error
			if w, err = s.settle(n, ip, w); err != nil {
				return nil, err
			}
			out = append(out, step{i, false, w.host()})
		}
	}
	return out, nil
}

// obsolete lists the hosts of a range that stand in the way of a reservation, and
// tells whether it is there already. One that may take over a lease of the MAC
// address is among them: it must not once that is somebody again.
func obsolete(ip *libvirtxml.NetworkIP, mac string, w reservation, wanted bool) (removes []libvirtxml.NetworkDHCPHost, there bool) {
	for _, h := range ip.DHCP.Hosts {
		r, ok := readHost(&h)
		switch {
		case !ok:
		case wanted && !there && r.mac == w.mac && r.addr == w.addr && r.name == unique(ip, w):
			there = true
		case r.mac == mac, wanted && (r.addr == w.addr || r.before == mac):
			removes = append(removes, h)
		}
	}
	return removes, there
}

// unique gives the name of a reservation, or nothing if another interface has it.
func unique(ip *libvirtxml.NetworkIP, w reservation) string {
	for i := range ip.DHCP.Hosts {
		if r, ok := readHost(&ip.DHCP.Hosts[i]); ok && r.mac != w.mac && r.addr != w.addr && strings.EqualFold(r.name, w.name) {
			return ""
		}
	}
	return w.name
}

// settle completes a reservation by what else the network has. A lease of IPv4 that
// an earlier owner of the address has left behind must not keep the new one from it.
func (s *session) settle(n *libvirt.Network, ip *libvirtxml.NetworkIP, w reservation) (reservation, error) {
	w.name = unique(ip, w)
	if s.simulated || w.addr.Is6() {
		return w, nil
	}
	active, err := n.IsActive()
	if err != nil || !active {
		return w, err
	}
	leases, err := n.GetDHCPLeases()
	if err != nil {
		return w, err
	}
	for _, l := range leases {
		held := l.IPaddr == w.addr.String() && l.ExpiryTime.After(time.Now()) && strings.ToLower(l.Mac) != w.mac
		if held && macAddress.MatchString(strings.ToLower(l.Mac)) {
			w.before = strings.ToLower(l.Mac)
		}
	}
	// One that has another address by now gives up the lease by itself.
	if slices.ContainsFunc(ip.DHCP.Hosts, func(h libvirtxml.NetworkDHCPHost) bool {
		r, ok := readHost(&h)
		return ok && r.mac == w.before && r.addr != w.addr
	}) {
		w.before = ""
	}
	return w, nil
}

// updateHosts makes the steps one by one; others' changes of the network stay.
func (s *session) updateHosts(ctx context.Context, op string, n *libvirt.Network, steps []step, where libvirt.NetworkUpdateFlags) error {
	for _, st := range steps {
		doc, err := hostXML(&st.host)
		if err != nil {
			return err
		}
		command := libvirt.NETWORK_UPDATE_COMMAND_ADD_LAST
		if st.remove {
			command = libvirt.NETWORK_UPDATE_COMMAND_DELETE
		}
		if err := s.change(ctx, op, func() error {
			return n.Update(command, libvirt.NETWORK_SECTION_IP_DHCP_HOST, st.index, doc, where)
		}); err != nil {
			return err
		}
	}
	return nil
}

// redefineHosts makes the steps in a definition, on the test host, which cannot do it
// one by one and shows of an active network only what is active.
func (s *session) redefineHosts(ctx context.Context, op string, n *libvirt.Network, x *libvirtxml.Network, steps []step) error {
	if len(steps) == 0 {
		return nil
	}
	for _, st := range steps {
		dhcp := x.IPs[st.index].DHCP
		if !st.remove {
			dhcp.Hosts = append(dhcp.Hosts, st.host)
			continue
		}
		dhcp.Hosts = slices.DeleteFunc(dhcp.Hosts, func(h libvirtxml.NetworkDHCPHost) bool {
			return h.IP == st.host.IP && h.MAC == st.host.MAC && h.Name == st.host.Name
		})
	}
	active, err := n.IsActive()
	if err != nil {
		return err
	}
	if err := s.switchNetwork(ctx, n, false); err != nil {
		return err
	}
	return errors.Join(s.defineNetwork(ctx, op, x), s.switchNetwork(ctx, n, active))
}

func hostXML(h *libvirtxml.NetworkDHCPHost) (string, error) {
	doc, err := xml.Marshal(h)
	return string(doc), err
}

func familyOf(ip *libvirtxml.NetworkIP) string {
	if ip.Family == ipv6 {
		return ipv6
	}
	return ipv4
}

// prefixOf gives a range of a definition; one that cannot be read contains
// nothing.
func prefixOf(ip *libvirtxml.NetworkIP) netip.Prefix {
	a, err := netip.ParseAddr(ip.Address)
	if err != nil {
		return netip.Prefix{}
	}
	return netip.PrefixFrom(a, int(ip.Prefix)).Masked()
}
