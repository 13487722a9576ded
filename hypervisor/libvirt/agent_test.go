package libvirt

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/occid/occid/hypervisor"
)

const agentSays = `{"return":[{"name":"lo","hardware-address":"00:00:00:00:00:00","ip-addresses":[{"ip-address-type":"ipv4","ip-address":"127.0.0.1","prefix":8}]},
{"name":"eth0","hardware-address":"02:00:00:00:00:0A","ip-addresses":[{"ip-address":"198.51.100.7"},{"ip-address":"fe80::1"},{"ip-address":"2001:DB8::7"},
{"ip-address":"198.51.100.7"},{"ip-address":"nonsense"},{"ip-address":"fe80::2%eth0"}]},{"name":"tun0","ip-addresses":[{"ip-address":"198.51.100.9"}]}]}`

func TestWhatAgentsSay(t *testing.T) {
	t.Parallel()
	many := strings.Repeat(`{"ip-address":"198.51.100.%d"},`, 100)
	var octets []any
	for i := range 100 {
		octets = append(octets, i)
	}
	many = fmt.Sprintf(strings.TrimSuffix(many, ","), octets...)
	for name, x := range map[string]struct {
		says string
		want []string
	}{
		"addresses":        {agentSays, []string{"198.51.100.7", "2001:db8::7"}},
		"nothing":          {``, nil},
		"something else":   {`{"return":{"x":[1]}}`, nil},
		"an error":         {`{"error":{"class":"CommandNotFound","desc":"x"}}`, nil},
		"other interfaces": {`{"return":[{"hardware-address":"02:00:00:00:00:0b","ip-addresses":[{"ip-address":"198.51.100.7"}]}]}`, nil},
	} {
		st := hypervisor.Statistics{NICs: []hypervisor.NICStatistics{{MAC: "02:00:00:00:00:0a"}}}
		learn(&st, agentAnswer{state: hypervisor.AgentAlive, addresses: agentAddresses(x.says)})
		if diff := cmp.Diff(x.want, st.NICs[0].Addresses); diff != "" || st.Agent != hypervisor.AgentAlive {
			t.Errorf("%s: agent %s, addresses (-want +got):\n%s", name, st.Agent, diff)
		}
	}
	all := agentAddresses(`{"return":[{"hardware-address":"02:00:00:00:00:0a","ip-addresses":[` + many + `]}]}`)
	if n := len(all["02:00:00:00:00:0a"]); n != maxAddresses {
		t.Errorf("%d addresses are taken of one interface", n)
	}
}

func FuzzAgentAddresses(f *testing.F) {
	f.Add(agentSays)
	f.Add(`{"return":[{"hardware-address":"a","ip-addresses":[{"ip-address":"::ffff:198.51.100.7"}]}]}`)
	f.Fuzz(func(t *testing.T, says string) {
		for mac, list := range agentAddresses(says) {
			if mac == "" || len(list) > maxAddresses {
				t.Errorf("%q has %d addresses", mac, len(list))
			}
			for _, text := range list {
				if a, err := netip.ParseAddr(text); err != nil || a.String() != text || a.IsLoopback() || a.IsLinkLocalUnicast() {
					t.Errorf("%q is taken for an address", text)
				}
			}
		}
	})
}
