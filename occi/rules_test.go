package occi_test

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/occid/occid/occi"
)

func TestParseRules(t *testing.T) {
	t.Parallel()
	v4, v6 := netip.MustParsePrefix("198.51.100.0/24"), netip.MustParsePrefix("2001:db8::/32")
	for text, want := range map[string][]occi.Rule{
		"":                       nil,
		" ;\n; \r\n":             nil,
		"tcp":                    {{Protocol: "tcp"}},
		"TCP 22 198.51.100.0/24": {{Protocol: "tcp", From: 22, To: 22, Source: v4}},
		"tcp 8000-8010;udp\t53":  {{Protocol: "tcp", From: 8000, To: 8010}, {Protocol: "udp", From: 53, To: 53}},
		"icmp\nicmpv6 2001:db8::1/32; all 198.51.100.9": {{Protocol: "icmp"}, {Protocol: "icmpv6", Source: v6},
			{Protocol: "all", Source: netip.MustParsePrefix("198.51.100.9/32")}},
		"udp ::/0": {{Protocol: "udp", Source: netip.MustParsePrefix("::/0")}},
		strings.Repeat("tcp 1-65535;", 64): func() (all []occi.Rule) {
			for range 64 {
				all = append(all, occi.Rule{Protocol: "tcp", From: 1, To: 65535})
			}
			return all
		}(),
	} {
		got, err := occi.ParseRules(text)
		if diff := cmp.Diff(want, got, cmpopts.EquateComparable(netip.Prefix{})); diff != "" || err != nil {
			t.Errorf("%q: %v (-want +got):\n%s", text, err, diff)
		}
	}
	for text, want := range map[string]string{
		"tcp 22; sctp 5":            `rule 2, "sctp 5": "sctp" is not one of`,
		"22":                        `"22" is not one of`,
		"tcp 0":                     "neither a port from 1 to 65535",
		"tcp 65536":                 "neither a port",
		"tcp 22-":                   "neither a port",
		"tcp 30-20":                 "the range 30-20 ends before it begins",
		"tcp -1":                    "neither a port",
		"tcp ssh":                   "neither a port",
		"icmp 8":                    "icmp has no ports",
		"all 22":                    "all has no ports",
		"tcp 22 23":                 `"23" is neither an address range`,
		"tcp 198.51.100.0/33":       "neither an address range",
		"tcp fe80::1%eth0":          "neither an address range",
		"tcp 22 ::ffff:1.2.3.4/120": "an IPv4 address written as an IPv6 one",
		"icmp 2001:db8::/32":        "icmp is not sent from addresses such as 2001:db8::/32",
		"icmpv6 198.51.100.0/24":    "icmpv6 is not sent from",
		"tcp 22 ::/0 more":          `"more" is left over`,
		strings.Repeat("tcp;", 65):  "more than 64 rules",
	} {
		if _, err := occi.ParseRules(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q gives the error %v, want %q in it", text, err, want)
		}
	}
}

// FuzzParseRules checks that what is taken can be told to a host: ports and sources
// as the protocol has them.
func FuzzParseRules(f *testing.F) {
	for _, text := range []string{"tcp 22 198.51.100.0/24; tcp 8000-8010; icmp; udp 53 ::/0", "all\nicmpv6 fe80::1", "tcp 1-0", "x"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		rules, err := occi.ParseRules(text)
		if err != nil {
			return
		}
		for _, r := range rules {
			ported := r.Protocol == "tcp" || r.Protocol == "udp"
			if (r.From != 0 || r.To != 0) && (!ported || r.From < 1 || r.To < r.From || r.To > 65535) {
				t.Errorf("%q has the ports %d to %d", text, r.From, r.To)
			}
			if r.Source.IsValid() && (r.Source != r.Source.Masked() || r.Source.Addr().Is4In6() || r.Source.Addr().Zone() != "") {
				t.Errorf("%q has the source %s", text, r.Source)
			}
		}
	})
}
