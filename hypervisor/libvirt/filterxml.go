package libvirt

import (
	"encoding/xml"
	"fmt"
	"net/netip"
	"strconv"

	"github.com/google/uuid"

	"github.com/occid/occid/hypervisor"
)

// filterPrefix begins the names of the filters of a domain's interfaces.
func filterPrefix(domain uuid.UUID) string { return "occid-" + domain.String() + "-" }

func filterName(domain, nic uuid.UUID) string { return filterPrefix(domain) + nic.String() }

// filterXML is a network filter. libvirtxml's has a type for each protocol of each
// family, which say the same thing many times.
type filterXML struct {
	XMLName xml.Name  `xml:"filter"`
	Name    string    `xml:"name,attr"`
	Chain   string    `xml:"chain,attr"`
	UUID    string    `xml:"uuid"`
	Rules   []ruleXML `xml:"rule"`
}

// ruleXML is one rule. Directions are the guest's: "out" is what it sends.
type ruleXML struct {
	Action     string   `xml:"action,attr"`
	Direction  string   `xml:"direction,attr"`
	Priority   int      `xml:"priority,attr"`
	StateMatch string   `xml:"statematch,attr,omitempty"`
	Match      matchXML `xml:",any"`
}

// matchXML says what a rule is about: a protocol, and what its headers hold.
type matchXML struct {
	XMLName xml.Name
	Attrs   []xml.Attr `xml:",any,attr"`
}

// match makes one of a protocol's name and of attributes' names and values in
// turn; those without a value are left out.
func match(protocol string, attrs ...string) matchXML {
	m := matchXML{XMLName: xml.Name{Local: protocol}}
	for i := 0; i+1 < len(attrs); i += 2 {
		if attrs[i+1] != "" {
			m.Attrs = append(m.Attrs, xml.Attr{Name: xml.Name{Local: attrs[i]}, Value: attrs[i+1]})
		}
	}
	return m
}

// firstPriority is that of a filter's first rule; libvirt's go from -1000 to 1000.
const firstPriority = -1000

// filter gathers rules in the order in which they are to be tried.
type filter struct{ rules []ruleXML }

func (f *filter) add(action, direction string, m matchXML) {
	f.rules = append(f.rules, ruleXML{Action: action, Direction: direction, Priority: firstPriority + len(f.rules), Match: m})
}

func (f *filter) accept(direction string, m matchXML) { f.add("accept", direction, m) }

func (f *filter) drop(direction string, m matchXML) { f.add("drop", direction, m) }

// stateless accepts what the host's connection tracking knows nothing of.
func (f *filter) stateless(direction string, m matchXML) {
	f.accept(direction, m)
	f.rules[len(f.rules)-1].StateMatch = "false"
}

// filterDoc describes the filter of an interface; nil if everything may pass it.
// All that is enforced is in this one definition, and none of it in parameters of
// the interface: to define it again changes guests that run.
func filterDoc(domain uuid.UUID, n hypervisor.NIC) (*filterXML, error) {
	if !n.Filtered && !n.Grouped {
		return nil, nil
	}
	f := &filter{}
	if n.Filtered {
		if err := f.antiSpoofing(n); err != nil {
			return nil, err
		}
	}
	if n.Grouped {
		if err := f.groups(n.Rules); err != nil {
			return nil, err
		}
	}
	if len(f.rules) > -2*firstPriority {
		return nil, fmt.Errorf("%w: an interface can have no %d rules", hypervisor.ErrInvalid, len(f.rules))
	}
	name := filterName(domain, n.ID)
	return &filterXML{Name: name, Chain: "root", UUID: uuid.NewSHA1(n.ID, []byte(name)).String(), Rules: f.rules}, nil
}

// antiSpoofing has the guest send with its own addresses only. In a network that
// the host gives no addresses in, whoever uses it does, and the MAC address is all
// that can be held to.
func (f *filter) antiSpoofing(n hypervisor.NIC) error {
	f.drop("out", match("mac", "match", "no", "srcmacaddr", "$MAC"))
	if len(n.Addresses) == 0 {
		f.drop("out", match("arp", "match", "no", "arpsrcmacaddr", "$MAC"))
		return nil
	}
	var four, six []string
	for _, text := range n.Addresses {
		a, err := netip.ParseAddr(text)
		switch {
		case err != nil:
			return fmt.Errorf("%w: %q is not the address of an interface", hypervisor.ErrInvalid, text)
		case a.Is4():
			four = append(four, a.String())
		default:
			six = append(six, a.WithZone("").String())
		}
	}
	f.ownARP(four)
	f.ownIPv4(four)
	f.ownIPv6(six)
	f.drop("out", match("mac"))
	return nil
}

// ownARP lets the guest tell of its own addresses, and probe for others (RFC 5227).
// The host announces with RARP a guest that was moved.
func (f *filter) ownARP(own []string) {
	for _, a := range own {
		f.accept("out", match("arp", "arpsrcmacaddr", "$MAC", "arpsrcipaddr", a))
	}
	f.accept("out", match("arp", "opcode", "Request", "arpsrcmacaddr", "$MAC", "arpsrcipaddr", "0.0.0.0"))
	f.accept("out", match("rarp", "opcode", "Request_Reverse", "arpsrcmacaddr", "$MAC", "arpdstmacaddr", "$MAC",
		"arpsrcipaddr", "0.0.0.0", "arpdstipaddr", "0.0.0.0"))
}

// ownIPv4 lets the guest ask for an address and send with its own. It is not to
// hand out addresses.
func (f *filter) ownIPv4(own []string) {
	f.accept("out", match("ip", "srcipaddr", "0.0.0.0", "dstipaddr", "255.255.255.255", "protocol", "udp",
		"srcportstart", "68", "dstportstart", "67"))
	f.drop("out", match("ip", "protocol", "udp", "srcportstart", "67"))
	for _, a := range own {
		f.accept("out", match("ip", "srcipaddr", a))
	}
}

// ICMPv6 types (RFC 4443, 4861, 3810).
const (
	listenerQuery    = "130"
	routerSolicit    = "133"
	routerAdvert     = "134"
	neighborSolicit  = "135"
	neighborAdvert   = "136"
	redirect         = "137"
	listenerReportV2 = "143"
)

// ownIPv6 lets the guest send with its own and with link-local addresses, which it
// chooses itself, and look whether one of them is taken (RFC 4862). It is not to
// be a router, nor to hand out addresses.
func (f *filter) ownIPv6(own []string) {
	for _, t := range []string{routerAdvert, redirect} {
		f.drop("out", match("ipv6", "protocol", "icmpv6", "type", t))
	}
	f.drop("out", match("ipv6", "protocol", "udp", "srcportstart", "547"))
	for _, a := range own {
		f.accept("out", match("ipv6", "srcipaddr", a))
	}
	f.accept("out", match("ipv6", "srcipaddr", "fe80::", "srcipmask", "10"))
	f.accept("out", match("ipv6", "srcipaddr", "::", "protocol", "icmpv6"))
}

// groups lets in what rules say, answers to what the guest sent, and what it needs
// to have addresses: DHCP and the discovery of neighbours, which connection tracking
// leaves alone. A rule without a state goes for connections that begin in its
// direction, so that an answer to what was not let in does not get out.
func (f *filter) groups(rules []hypervisor.Rule) error {
	for _, all := range []string{"all", "all-ipv6"} {
		f.accept("out", match(all))
	}
	for _, icmp := range []string{"icmp", "icmpv6"} {
		for _, direction := range []string{"in", "out"} {
			f.accept(direction, match(icmp, "state", "RELATED"))
		}
	}
	for _, t := range []string{listenerQuery, routerAdvert, neighborSolicit, neighborAdvert} {
		f.stateless("in", match("icmpv6", "type", t))
	}
	for _, t := range []string{routerSolicit, neighborSolicit, neighborAdvert, listenerReportV2} {
		f.stateless("out", match("icmpv6", "type", t))
	}
	f.stateless("in", match("udp", "srcportstart", "67", "dstportstart", "68"))
	f.stateless("in", match("udp-ipv6", "srcportstart", "547", "dstportstart", "546"))
	for _, r := range rules {
		if err := f.group(r); err != nil {
			return err
		}
	}
	for _, all := range []string{"all", "all-ipv6"} {
		f.drop("inout", match(all))
	}
	return nil
}

// protocols names a rule's protocol in each family of addresses, empty in one that
// does not have it.
var protocols = map[string]struct {
	four, six string
	ports     bool
}{
	"tcp": {"tcp", "tcp-ipv6", true}, "udp": {"udp", "udp-ipv6", true}, "all": {"all", "all-ipv6", false},
	"icmp": {"icmp", "", false}, "icmpv6": {"", "icmpv6", false},
}

// group lets in what a rule says.
func (f *filter) group(r hypervisor.Rule) error {
	p, known := protocols[r.Protocol]
	ranged := r.FromPort != 0 || r.ToPort != 0
	switch {
	case !known:
		return fmt.Errorf("%w: no rule is about %q", hypervisor.ErrInvalid, r.Protocol)
	case ranged && (!p.ports || r.FromPort < 1 || r.ToPort < r.FromPort || r.ToPort > 65535):
		return fmt.Errorf("%w: %s has no ports from %d to %d", hypervisor.ErrInvalid, r.Protocol, r.FromPort, r.ToPort)
	case r.Source.IsValid() && (r.Source.Addr().Is4() && p.four == "" || r.Source.Addr().Is6() && p.six == ""):
		return fmt.Errorf("%w: nobody in %s sends %s", hypervisor.ErrInvalid, r.Source, r.Protocol)
	}
	var from, bits, first, last string
	if r.Source.IsValid() {
		from, bits = r.Source.Masked().Addr().String(), strconv.Itoa(r.Source.Bits())
	}
	if ranged {
		first, last = strconv.Itoa(r.FromPort), strconv.Itoa(r.ToPort)
	}
	for _, family := range []struct {
		protocol string
		has      bool
	}{{p.four, !r.Source.IsValid() || r.Source.Addr().Is4()}, {p.six, !r.Source.IsValid() || r.Source.Addr().Is6()}} {
		if family.has && family.protocol != "" {
			f.accept("in", match(family.protocol, "srcipaddr", from, "srcipmask", bits, "dstportstart", first, "dstportend", last))
		}
	}
	return nil
}
