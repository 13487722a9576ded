package lab_test

import (
	"context"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/uuid"

	"github.com/occid/occid/hypervisor"
	"github.com/occid/occid/hypervisor/libvirt"
	"github.com/occid/occid/internal/lab"
)

// The network of the guests whose traffic is filtered.
const (
	filteredRange = "198.51.100.0/24"
	filteredHost  = "198.51.100.1"
	ownAddress    = "198.51.100.10"
	ownAddress6   = "fd00:198:51::10"
	otherAddress  = "198.51.100.11"
	otherAddress6 = "fd00:198:51::11"
)

// guise lets a guest's script take an address and say whether the host answers it.
const guise = `
until [ -e /sys/class/net/eth0 ]; do usleep 50000; done
echo 0 >/proc/sys/net/ipv6/conf/eth0/accept_dad
MAC=$(cat /sys/class/net/eth0/address)
as() {
	ip addr flush dev eth0 scope global
	ip link set eth0 down; ip link set eth0 address $2; ip link set eth0 up
	ip addr add $3/$4 dev eth0
	n=0; r=refused; while [ $((n+=1)) -le $6 ]; do ping -c 1 -W 1 -I $3 $5 >/dev/null 2>&1 && r=answered && break; done
	echo "guest: as $1 $r"
}
`

// spoofing tries the guest's own addresses and others.
const spoofing = guise + `
as itself $MAC OWN 24 HOST 20
as another-address $MAC OTHER 24 HOST 2
as another-mac 02:00:00:00:00:99 OWN 24 HOST 2
as itself6 $MAC OWN6 64 HOST6 20
as another-address6 $MAC OTHER6 64 HOST6 2
as itself-again $MAC OWN 24 HOST 20
ip addr add OWN6/64 dev eth0
` + serving

// addressed puts addresses in a script.
var addressed = strings.NewReplacer("OWN6", ownAddress6, "OTHER6", otherAddress6, "HOST6", "fd00:198:51::1",
	"OWN", ownAddress, "HOST", filteredHost, "OTHER", otherAddress)

// serving has two ports served.
const serving = `
for p in 22 80; do nc -ll -p $p -e echo port $p & done
echo "guest: serves"
`

// filtered is a guest on a host of its own whose interface is filtered.
type filtered struct {
	t       *testing.T
	ctx     context.Context
	host    *lab.Host
	driver  *libvirt.Driver
	domain  uuid.UUID
	nic     hypervisor.NIC
	changes atomic.Int32
	wire    hypervisor.Network
}

// TestFilter checks what a guest can send and what gets in to it, with a real one.
func TestFilter(t *testing.T) {
	long(t, "takes long")
	t.Parallel()
	ctx := need(t)
	h := newHost(ctx, t)
	guest := install(t, h)
	f := &filtered{t: t, ctx: ctx, host: h, domain: uuid.New(),
		wire: hypervisor.Network{ID: uuid.New(), CIDR: filteredRange, Gateway: filteredHost}}
	d, err := libvirt.Open(libvirt.Config{URI: h.URI, BootDirs: []string{lab.BootDir}, Logger: slog.New(slog.DiscardHandler),
		Trace: func(string, bool) { f.changes.Add(1) }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	info, err := d.Info(ctx)
	if err != nil || !info.Filters {
		t.Fatalf("the host is %+v, %v, and cannot filter", info, err)
	}
	f.driver = d
	f.nic = hypervisor.NIC{ID: uuid.New(), Network: f.wire.ID, MAC: "02:00:00:00:00:01", Filtered: true,
		Addresses: []string{ownAddress, ownAddress6}}
	f.must(d.DefineNetwork(ctx, f.wire))
	f.must(d.StartNetwork(ctx, f.wire.ID))
	bridge := f.bridge()
	_, err = h.Run(ctx, "sh", "-c", "sysctl -qw net.ipv6.conf."+bridge+".disable_ipv6=0; ip addr add fd00:198:51::1/64 dev "+bridge+" nodad")
	f.must(err)
	f.must(d.DefineDomain(ctx, hypervisor.Domain{ID: f.domain, VCPUs: 1, MemoryBytes: 128 << 20, Kernel: guest.Kernel, Initrd: guest.Initrd,
		Cmdline: lab.Cmdline + " " + lab.Running(addressed.Replace(spoofing)), NICs: []hypervisor.NIC{f.nic}}))
	f.must(d.StartDomain(ctx, f.domain))
	f.says("itself answered", "another-address refused", "another-mac refused", "itself6 answered", "another-address6 refused",
		"itself-again answered")
	f.groups()
	f.must(d.DeleteDomain(ctx, f.domain))
	f.must(d.DeleteNetwork(ctx, f.wire.ID))
	f.must(h.Empty(ctx))
}

func (f *filtered) must(err error) {
	f.t.Helper()
	if err != nil {
		f.t.Fatal(err)
	}
}

// bridge names the bridge of the host's one network.
func (f *filtered) bridge() string {
	f.t.Helper()
	out, err := f.host.Run(f.ctx, "sh", "-c", "ls -d /sys/class/net/*/bridge")
	f.must(err)
	return strings.Split(strings.TrimSpace(string(out)), "/")[4]
}

// says reads what the guest could do with which addresses, until it serves.
func (f *filtered) says(want ...string) {
	f.t.Helper()
	guises(f.ctx, f.t, f.host, f.domain.String(), want...)
	out, err := f.host.Run(f.ctx, "ip", "neigh")
	f.must(err)
	if strings.Contains(string(out), otherAddress+" ") || strings.Contains(string(out), "02:00:00:00:00:99") {
		f.t.Errorf("the host has heard of the forged addresses:\n%s", out)
	}
}

// guises checks what a guest says of its guises, in order, and waits until it serves.
func guises(ctx context.Context, t *testing.T, h *lab.Host, domain string, want ...string) {
	t.Helper()
	console, err := h.Console(domain)
	if err != nil {
		t.Fatal(err)
	}
	defer console.Close()
	for _, w := range want {
		as, _, _ := strings.Cut(w, " ")
		line, err := console.Wait(ctx, "guest: as "+as+" ")
		if err != nil {
			t.Fatal(err)
		}
		if line != "guest: as "+w {
			t.Errorf("the guest says %q, want %q", line, w)
		}
	}
	if _, err := console.Wait(ctx, "guest: serves"); err != nil {
		t.Fatal(err)
	}
}

// groups changes what may come in while the guest runs.
func (f *filtered) groups() {
	from := netip.MustParsePrefix("198.51.100.0/24")
	ssh := hypervisor.Rule{Protocol: "tcp", FromPort: 22, ToPort: 22, Source: from}
	for _, tt := range []struct {
		name    string
		grouped bool
		rules   []hypervisor.Rule
		open    string
	}{
		{"no groups", false, nil, "22 80 ping ping6"},
		{"one port", true, []hypervisor.Rule{ssh}, "22"},
		{"a range of ports", true, []hypervisor.Rule{{Protocol: "tcp", FromPort: 20, ToPort: 90}}, "22 80"},
		{"the port again", true, []hypervisor.Rule{ssh}, "22"},
		{"ping", true, []hypervisor.Rule{ssh, {Protocol: "icmp"}}, "22 ping"},
		{"ping by IPv6", true, []hypervisor.Rule{ssh, {Protocol: "icmpv6", Source: netip.MustParsePrefix("fd00:198:51::/64")}}, "22 ping6"},
		{"a port for others", true, []hypervisor.Rule{{Protocol: "tcp", FromPort: 22, ToPort: 22, Source: netip.MustParsePrefix("192.0.2.0/24")}}, ""},
		{"all", true, []hypervisor.Rule{{Protocol: "all"}}, "22 80 ping ping6"},
		{"no rules", true, nil, ""},
		{"no groups any more", false, nil, "22 80 ping ping6"},
	} {
		n := f.nic
		n.Grouped, n.Rules = tt.grouped, tt.rules
		f.must(f.driver.AttachNIC(f.ctx, f.domain, n))
		before := f.changes.Load()
		f.must(f.driver.AttachNIC(f.ctx, f.domain, n))
		if f.changes.Load() != before {
			f.t.Errorf("%s: saying it again changes the host", tt.name)
		}
		reach(f.ctx, f.t, f.host, tt.name, tt.open, door{"ping6", "ping6 -c 1 -W 1 " + ownAddress6})
	}
}

// door is a way in to the guest from its host.
type door struct{ name, command string }

// doors are those by IPv4.
var doors = []door{
	{"22", "nc -w 1 ADDRESS 22 </dev/null | grep -q 'port 22'"},
	{"80", "nc -w 1 ADDRESS 80 </dev/null | grep -q 'port 80'"},
	{"ping", "ping -c 1 -W 1 ADDRESS"},
}

// reach checks which of the ways in to the guest with ownAddress, and of more, are open; it
// may take the guest a while.
func reach(ctx context.Context, t *testing.T, h *lab.Host, when, open string, more ...door) {
	t.Helper()
	const patience = 20
	for _, door := range slices.Concat(doors, more) {
		want, got := slices.Contains(strings.Fields(open), door.name), false
		for i := 0; i == 0 || i < patience && want && !got; i++ {
			_, err := h.Run(ctx, "sh", "-c", "busybox "+strings.ReplaceAll(door.command, "ADDRESS", ownAddress))
			got = err == nil
		}
		if got != want {
			t.Errorf("%s: that %s is open is %t", when, door.name, got)
		}
	}
}
