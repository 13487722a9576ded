package lab_test

import (
	"net/http"
	"testing"

	"github.com/occid/occid/internal/lab"
)

// What a security group is made of, and what an interface with an address is.
const (
	ipInterface   = "http://schemas.ogf.org/occi/infrastructure/networkinterface#ipnetworkinterface"
	securityGroup = "http://schemas.occid.org/occi/network#security_group"
	labScheme     = "http://example.com/lab#"
)

// group defines the security group "web", or changes its rules.
func (c *cloud) group(rules string) {
	c.t.Helper()
	c.send(http.MethodPost, c.url+"/-/", map[string]any{"mixins": []any{map[string]any{"term": "web", "scheme": labScheme,
		"location": "/mixin/web/", "depends": []string{securityGroup},
		"attributes": map[string]any{"occid.security.rules": map[string]any{"default": rules}}}}})
}

// members gives the group to entities, or takes it.
func (c *cloud) members(method string, urls ...string) {
	c.t.Helper()
	paths := []string{}
	for _, u := range urls {
		paths = append(paths, path(u))
	}
	c.send(method, c.url+"/mixin/web/", map[string]any{"locations": paths})
}

// TestSecurityGroups has a guest of the API that cannot take another's address, and
// changes what may come in to it while it runs.
func TestSecurityGroups(t *testing.T) {
	long(t, "it waits for what does not arrive")
	t.Parallel()
	ctx := need(t)
	h := newHost(ctx, t)
	guest := install(t, h)
	c := &cloud{ctx: ctx, t: t, url: startOccid(ctx, t, h).URL}
	c.group("tcp 22 " + filteredRange)
	wire := c.create("/network/", entity{Kind: network, Mixins: []string{ipNetwork}, Attributes: map[string]any{
		"occi.network.address": filteredRange, "occi.network.gateway": filteredHost}})
	script := addressed.Replace(guise + "as another-address $MAC OTHER 24 HOST 2\nas itself $MAC OWN 24 HOST 20\n" + serving)
	machine := c.create("/compute/", entity{Kind: compute, Mixins: []string{directBoot}, Attributes: map[string]any{
		"occi.compute.memory": 0.125, "occid.boot.kernel": guest.Kernel, "occid.boot.initrd": guest.Initrd,
		"occid.boot.cmdline": lab.Cmdline + " " + lab.Running(script)}})
	nic := c.create("/networkinterface/", entity{Kind: networkInterface, Mixins: []string{ipInterface, labScheme + "web"},
		Attributes: map[string]any{"occi.networkinterface.address": ownAddress}, Source: &end{path(machine), compute}, Target: &end{path(wire), network}})
	c.act(machine, "start", "active")
	guises(ctx, t, h, path(machine)[len("/compute/"):], "another-address refused", "itself answered")
	reach(ctx, t, h, "a group of the interface", "22")
	c.group("tcp 22; tcp 80")
	reach(ctx, t, h, "the group lets more in", "22 80")
	c.group("tcp 22")
	reach(ctx, t, h, "the group lets less in", "22")
	c.members(http.MethodDelete, nic)
	reach(ctx, t, h, "no group", "22 80 ping")
	c.members(http.MethodPost, machine)
	reach(ctx, t, h, "a group of the machine", "22")
	c.send(http.MethodPost, nic, entity{Attributes: map[string]any{"occid.security.rules": "icmp"}})
	reach(ctx, t, h, "rules of the interface's own", "22 ping")
	for _, url := range []string{nic, machine, wire} {
		c.send(http.MethodDelete, url, nil)
	}
	if err := h.Empty(ctx); err != nil {
		t.Error(err)
	}
}
