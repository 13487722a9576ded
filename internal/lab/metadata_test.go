package lab_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/occid/occid/internal/lab"
)

// What has an IPv6 range or address beside one of IPv4.
const (
	ip6Network   = "http://schemas.occid.org/occi/network#ip6network"
	ip6Interface = "http://schemas.occid.org/occi/networkinterface#ip6networkinterface"
)

// asking lets a guest ask what it is, as often as it takes, and say what it is told with its
// link, its tag and what its owner lets it read, ask for what is another's, change
// what it may and what it may not, read with a token and without, and then ask under the
// address of another.
const asking = `#!/bin/sh
until [ -e /run/address-eth0 ]; do usleep 50000; done
as() {
	n=0; r=unanswered
	while [ $((n+=1)) -le $2 ]; do
		got=$(timeout 2 wget -q -O - http://$3/) && r=${got#*occi.core.id=\"urn:uuid:} && r=${r%%\"*} && break
		usleep 500000 # a route may not be known yet
	done
	echo "guest: as $1 $r"
}
as itself 20 169.254.169.254
does() {
	what=$1; shift
	got=$(timeout 5 wget -q -O - "$@" 2>&1) && echo "guest: $what done" || echo "guest: $what $got"
}
echo "guest: shows" $(timeout 5 wget -q -O - http://169.254.169.254/.json |
	grep -o -e '"type": "[a-z]*"' -e '#blue"' -e '"mac": "[^"]*"' -e '"kernel": "[^"]*"' -e '"initrd"' | LC_ALL=C sort -u)
does another http://169.254.169.254/compute/ANOTHER
does cores --header "Content-Type: application/json" --post-data '{"cores":2,"ready":true}' http://169.254.169.254/
does ready --header "Content-Type: application/json" --post-data '{"ready":true}' http://169.254.169.254/
does reading http://169.254.169.254/latest/meta-data/instance-id
# Who says no more is taken for gone: the answer is waited for.
token=$({ printf 'PUT /latest/api/token HTTP/1.1\r\nHost: me\r\nX-aws-ec2-metadata-token-ttl-seconds: 60\r\nContent-Length: 0\r\nConnection: close\r\n\r\n'; sleep 2; } |
	timeout 5 nc 169.254.169.254 80 | tail -n 1)
does token --header "X-aws-ec2-metadata-token: $token" http://169.254.169.254/latest/meta-data/instance-id
echo 0 >/proc/sys/net/ipv6/conf/eth0/accept_dad
ip addr add OWN6/64 dev eth0
ROUTE
as itself6 20 [fd00:ec2::254]
ip addr add OTHER/24 dev eth0
ip route replace 169.254.169.254 via HOST dev eth0 src OTHER
as another 3 169.254.169.254
ip route replace 169.254.169.254 via HOST dev eth0 src OWN
as itself-again 20 169.254.169.254
`

// TestMetadata has guests of two hosts ask through the proxies there. They have the same
// address, and the same MAC address, in networks of their own.
func TestMetadata(t *testing.T) {
	t.Parallel()
	ctx := need(t)
	hosts := []*lab.Host{newHost(ctx, t), newHost(ctx, t)}
	c := &cloud{ctx: ctx, t: t, url: startOn(ctx, t, hosts).URL}
	c.send(http.MethodPost, c.url+"/-/", map[string]any{"mixins": []any{map[string]any{"term": "blue", "scheme": labScheme, "location": "/tags/blue/"}}})
	// Where there is a route to everywhere it leads to the addresses of the host.
	modes := []struct{ name, route string }{{"isolated", "ip route add fd00:ec2::254/128 via fe80::a9fe:a9fe dev eth0"}, {"nat", ""}}
	var machines, made []string
	var kernel string
	for i, h := range hosts {
		guest, script := install(t, h), strings.ReplaceAll(addressed.Replace(asking), "ROUTE", modes[i].route)
		kernel = guest.Kernel
		wire := c.create("/network/", entity{Kind: network, Mixins: []string{ipNetwork, ip6Network}, Attributes: map[string]any{
			"occi.network.address": filteredRange, "occi.network.allocation": "dynamic", "occid.network.address6": "fd00:198:51::/64",
			"occid.network.mode": modes[i].name}})
		another := uuid.NewString()
		script = strings.ReplaceAll(script, "ANOTHER", another)
		for n, addresses := range [][2]string{{ownAddress, ownAddress6}, {otherAddress, otherAddress6}} {
			nic := entity{Kind: networkInterface, Mixins: []string{ipInterface, ip6Interface}, Target: &end{path(wire), network}, Attributes: map[string]any{
				"occi.networkinterface.mac":     fmt.Sprintf("02:00:00:00:00:0%d", n+1),
				"occi.networkinterface.address": addresses[0], "occid.networkinterface.address6": addresses[1]}}
			id := []string{uuid.NewString(), another}[n]
			made = append(made, c.create("/compute/", entity{ID: "urn:uuid:" + id, Kind: compute, Mixins: []string{directBoot, userData, guestOwn, labScheme + "blue"}, Links: []entity{nic},
				Attributes: map[string]any{"occi.compute.memory": 0.125, "occid.boot.kernel": guest.Kernel, "occid.boot.initrd": guest.Initrd,
					"occid.boot.cmdline": lab.Cmdline, "occi.compute.userdata": script, "occid.guest.readable": "kernel", "occid.guest.writable": "ready", "occid.guest.token": "required"}}))
		}
		machines = append(machines, made[len(made)-2])
		made = append(made, wire)
	}
	for _, m := range machines {
		c.send(http.MethodPost, m+"?action=start", nil)
	}
	for i, m := range machines {
		id := path(m)[len("/compute/"):]
		console, err := hosts[i].Console(id)
		if err != nil {
			t.Fatal(err)
		}
		const refused = " wget: server returned error: HTTP/1.1 "
		for _, want := range []string{"as itself " + id,
			`shows "kernel": "` + kernel + `" "mac": "02:00:00:00:00:01" "type": "compute" "type": "networkinterface" #blue"`, "another" + refused + "404 Not Found", "cores" + refused + "403 Forbidden", "ready done",
			"reading" + refused + "401 Unauthorized", "token done", "as itself6 " + id, "as another unanswered", "as itself-again " + id} {
			word, _, _ := strings.Cut(strings.TrimPrefix(want, "as "), " ")
			line, err := console.Wait(ctx, "guest: "+want[:strings.Index(want, word)]+word+" ")
			if err != nil {
				t.Fatal(err)
			}
			if line != "guest: "+want {
				t.Errorf("guest %d says %q, want %q", i, line, want)
			}
		}
		if a := c.get(m).Attributes; a["occid.guest.ready"] != true || a["occi.compute.cores"] != 1.0 {
			t.Errorf("guest %d has made itself %v", i, a)
		}
		if err := console.Close(); err != nil {
			t.Error(err)
		}
	}
	for _, url := range made {
		c.send(http.MethodDelete, url, nil)
	}
	for _, h := range hosts {
		if err := h.Empty(ctx); err != nil {
			t.Error(err)
		}
	}
}
