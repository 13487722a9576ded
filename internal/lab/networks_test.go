package lab_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/occid/occid/hypervisor"
	"github.com/occid/occid/hypervisor/libvirt"
	"github.com/occid/occid/internal/lab"
)

// outside makes a network namespace beside a host's guests that the host reaches,
// with a way back to the routed network alone, and web servers in it and at the
// metadata address.
const outside = `
set -e
ip netns add outside
ip link add out type veth peer name in netns outside
ip addr add 198.51.100.1/24 dev out
ip link set out up
ip -n outside addr add 198.51.100.2/24 dev in
ip -n outside link set in up
ip -n outside route add 198.18.2.0/24 via 198.51.100.1
mkdir -p /run/outside /run/host
echo outside >/run/outside/index.html
echo host >/run/host/index.html
ip netns exec outside busybox httpd -p 198.51.100.2:80 -h /run/outside
busybox httpd -p 169.254.169.254:80 -h /run/host
`

// getting asks the network's name server, the host and the outside once there is an
// address.
const getting = `
until [ -e /run/address-eth0 ]; do usleep 50000; done
for name in web web.lab.example.com; do
	echo "guest: named $name $(nslookup $name 2>&1 | awk '/^Address/ { a = $NF } END { print a }')"
done
for url in http://169.254.169.254/ http://198.51.100.2/; do
	echo "guest: got $url $(timeout 5 wget -q -O - $url 2>&1 | head -n 1)"
done
`

// TestNetworks has guests in networks of each mode reach what they must, and
// nothing else.
func TestNetworks(t *testing.T) {
	t.Parallel()
	ctx := need(t)
	h := newHost(ctx, t)
	guest := install(t, h)
	d := openDriver(t, h)
	nets := map[hypervisor.NetworkMode]hypervisor.Network{}
	for mode, cidr := range map[hypervisor.NetworkMode]string{hypervisor.NAT: "198.18.1.0/24", hypervisor.Routed: "198.18.2.0/24", hypervisor.Isolated: "198.18.3.0/24"} {
		n := hypervisor.Network{ID: uuid.New(), Mode: mode, CIDR: cidr, DHCP: true, Domain: "lab.example.com"}
		if err := d.DefineNetwork(ctx, n); err != nil {
			t.Fatal(err)
		}
		if err := d.StartNetwork(ctx, n.ID); err != nil {
			t.Fatal(err)
		}
		nets[mode] = n
	}
	if out, err := h.Run(ctx, "sh", "-c", outside); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	const host, far = "http://169.254.169.254/", "http://198.51.100.2/"
	says := map[hypervisor.NetworkMode][]string{
		hypervisor.NAT:      {host + " host", far + " outside"},
		hypervisor.Routed:   {host + " host", far + " outside"},
		hypervisor.Isolated: {host + " host", far + " wget: can't connect to remote host (198.51.100.2): Network is unreachable"},
	}
	machines := map[hypervisor.NetworkMode]uuid.UUID{}
	for mode, n := range nets {
		machines[mode] = start(ctx, t, d, guest, " "+lab.Running(getting), hypervisor.NIC{
			ID: uuid.New(), Network: n.ID, MAC: "02:00:00:00:00:09", Hostname: "web", Addresses: []string{n.CIDR[:len(n.CIDR)-len("0/24")] + "9"}})
	}
	for mode, id := range machines {
		own := strings.TrimSuffix(nets[mode].CIDR, "0/24") + "9"
		said(ctx, t, h, id, "guest: named web "+own)
		said(ctx, t, h, id, "guest: named web.lab.example.com "+own)
		for _, text := range says[mode] {
			said(ctx, t, h, id, "guest: got "+text)
		}
		if err := d.DeleteDomain(ctx, id); err != nil {
			t.Error(err)
		}
	}
	for _, n := range nets {
		if err := d.DeleteNetwork(ctx, n.ID); err != nil {
			t.Error(err)
		}
	}
}

// lan makes a bridge for a VLAN that hands out addresses.
const lan = `
set -e
ip link add lan type bridge
ip link add lan7 type bridge
ip link set lan up
ip link set lan7 up
ip addr add 198.51.100.1/24 dev lan7
printf 'start 198.51.100.9\nend 198.51.100.9\ninterface lan7\nopt subnet 255.255.255.0\nlease_file /run/leases\npidfile /run/udhcpd.pid\n' >/run/udhcpd.conf
touch /run/leases
busybox udhcpd /run/udhcpd.conf
`

// TestBridged has a guest on the bridge that is for a VLAN.
func TestBridged(t *testing.T) {
	long(t, "takes long")
	t.Parallel()
	ctx := need(t)
	h := newHost(ctx, t)
	guest := install(t, h)
	if out, err := h.Run(ctx, "sh", "-c", lan); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	d := openDriver(t, h)
	n := hypervisor.Network{ID: uuid.New(), Mode: hypervisor.Bridged, Bridge: "lan", VLAN: 7}
	if err := errors.Join(d.DefineNetwork(ctx, n), d.StartNetwork(ctx, n.ID)); err != nil {
		t.Fatal(err)
	}
	id := start(ctx, t, d, guest, "", hypervisor.NIC{ID: uuid.New(), Network: n.ID, MAC: "02:00:00:00:00:09"})
	said(ctx, t, h, id, lab.GuestAddress+"eth0 198.51.100.9/24")
	if err := errors.Join(d.DeleteDomain(ctx, id), d.DeleteNetwork(ctx, n.ID)); err != nil {
		t.Error(err)
	}
	if out, err := h.Run(ctx, "ip", "link", "show", "lan7"); err != nil {
		t.Errorf("the operator's bridge is gone: %v: %s", err, out)
	}
}

func openDriver(t *testing.T, h *lab.Host) hypervisor.Driver {
	t.Helper()
	d, err := libvirt.Open(libvirt.Config{URI: h.URI, BootDirs: []string{lab.BootDir}, Bridges: hypervisor.Bridges{{Bridge: "lan", VLAN: 7}: "lan7"},
		Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}

// start defines and starts a guest with an interface.
func start(ctx context.Context, t *testing.T, d hypervisor.Driver, g lab.Guest, cmdline string, nic hypervisor.NIC) uuid.UUID {
	t.Helper()
	id := uuid.New()
	err := d.DefineDomain(ctx, hypervisor.Domain{ID: id, VCPUs: 1, MemoryBytes: 128 << 20,
		Kernel: g.Kernel, Initrd: g.Initrd, Cmdline: lab.Cmdline + cmdline, NICs: []hypervisor.NIC{nic}})
	if err == nil {
		err = d.StartDomain(ctx, id)
	}
	if err != nil {
		t.Fatal(err)
	}
	return id
}
