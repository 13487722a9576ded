package occi

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// maxRules bounds the rules of one security group.
const maxRules = 64

// Rule lets traffic in, as a security group says.
type Rule struct {
	Protocol string // "tcp", "udp", "icmp", "icmpv6", "all"
	// From and To are the first and the last port of tcp or udp; 0 and 0 mean all.
	From, To int
	Source   netip.Prefix // who may send; everybody if it is not valid
}

// ruleProtocols tells which protocols have ports, and in which families of
// addresses they are.
var ruleProtocols = map[string]struct{ ports, four, six bool }{
	"tcp": {true, true, true}, "udp": {true, true, true}, "all": {false, true, true},
	"icmp": {false, true, false}, "icmpv6": {false, false, true},
}

// ParseRules reads the rules of a security group, which ';' or line breaks part:
// protocol, port or range of ports, and source, of which only the protocol must be
// there ("tcp 22 198.51.100.0/24; udp 8000-8010; icmp"). The error names the rule.
func ParseRules(text string) ([]Rule, error) {
	var rules []Rule
	for _, part := range strings.FieldsFunc(text, func(r rune) bool { return r == ';' || r == '\n' || r == '\r' }) {
		words := strings.Fields(part)
		if len(words) == 0 {
			continue
		}
		if len(rules) == maxRules {
			return nil, fmt.Errorf("there are more than %d rules", maxRules)
		}
		r, err := parseRule(words)
		if err != nil {
			return nil, fmt.Errorf("rule %d, %.80q: %w", len(rules)+1, strings.Join(words, " "), err)
		}
		rules = append(rules, r)
	}
	return rules, nil
}

func parseRule(words []string) (Rule, error) {
	r := Rule{Protocol: strings.ToLower(words[0])}
	p, ok := ruleProtocols[r.Protocol]
	if !ok {
		return r, fmt.Errorf("%.40q is not one of tcp, udp, icmp, icmpv6, all", words[0])
	}
	words = words[1:]
	if len(words) > 0 && !strings.ContainsAny(words[0], ".:/") {
		if !p.ports {
			return r, fmt.Errorf("%s has no ports such as %.40q", r.Protocol, words[0])
		}
		if err := r.ports(words[0]); err != nil {
			return r, err
		}
		words = words[1:]
	}
	if len(words) > 0 {
		if err := r.source(words[0]); err != nil {
			return r, err
		}
		if r.Source.Addr().Is4() && !p.four || r.Source.Addr().Is6() && !p.six {
			return r, fmt.Errorf("%s is not sent from addresses such as %s", r.Protocol, r.Source)
		}
		words = words[1:]
	}
	if len(words) > 0 {
		return r, fmt.Errorf("%.40q is left over behind protocol, ports and source", words[0])
	}
	return r, nil
}

// ports reads "22" or "8000-8010".
func (r *Rule) ports(text string) error {
	first, last, ranged := strings.Cut(text, "-")
	if !ranged {
		last = first
	}
	from, err := strconv.ParseUint(first, 10, 16)
	to, err2 := strconv.ParseUint(last, 10, 16)
	if err != nil || err2 != nil || from == 0 {
		return fmt.Errorf("%.40q is neither a port from 1 to 65535 nor a range of such", text)
	}
	if to < from {
		return fmt.Errorf("the range %s ends before it begins", text)
	}
	r.From, r.To = int(from), int(to)
	return nil
}

// source reads a range of addresses, or one address.
func (r *Rule) source(text string) error {
	prefix, err := netip.ParsePrefix(text)
	if err != nil {
		a, err := netip.ParseAddr(text)
		if err != nil || a.Zone() != "" {
			return fmt.Errorf("%.80q is neither an address range such as 198.18.0.0/24 nor an address", text)
		}
		prefix = netip.PrefixFrom(a, a.BitLen())
	}
	if prefix.Addr().Is4In6() {
		return fmt.Errorf("%s is an IPv4 address written as an IPv6 one", text)
	}
	r.Source = prefix.Masked()
	return nil
}
