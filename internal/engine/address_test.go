package engine_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/google/uuid"

	"github.com/occid/occid/hypervisor"
	"github.com/occid/occid/internal/engine"
	"github.com/occid/occid/internal/pgtest"
	"github.com/occid/occid/occi"
	"github.com/occid/occid/store"
)

const (
	nicAddress    = "occi.networkinterface.address"
	nicGateway    = "occi.networkinterface.gateway"
	nicAllocation = "occi.networkinterface.allocation"
	nicMAC        = "occi.networkinterface.mac"
	ipNIC         = "http://schemas.ogf.org/occi/infrastructure/networkinterface#ipnetworkinterface"
)

// ranged makes a network of an address range.
func (c *cloud) ranged(cidr string, pairs ...any) *occi.Entity {
	c.t.Helper()
	return c.create(draft(network, append([]any{"occi.network.address", cidr, "occi.network.allocation", "dynamic"}, pairs...)...))
}

// guest drafts a compute with an interface in each of networks, of the pairs.
func guest(networks []*occi.Entity, pairs ...any) *occi.Draft {
	d := draft(compute)
	for _, n := range networks {
		d.Links = append(d.Links, occi.DraftLink{Kind: nic, Target: occi.URN(n.ID), Attributes: draft("", pairs...).Attributes})
	}
	return d
}

func (c *cloud) try(ds ...*occi.Draft) ([]*occi.Entity, error) {
	out, err := c.Create(c.ctx, engine.Caller{}, "", ds, engine.Options{})
	if err != nil {
		return nil, err
	}
	return out.Entities, nil
}

func attr(x *occi.Entity, name string) string { return x.Attributes.Get(name).Text }

// refused expects an error of a class that names all of names.
func refused(t *testing.T, what string, err error, class occi.Class, names ...string) {
	t.Helper()
	if err == nil || !errors.Is(err, class) {
		t.Errorf("%s: %v, want %s", what, err, class)
		return
	}
	for _, n := range names {
		if !strings.Contains(err.Error(), n) {
			t.Errorf("%s: %q does not name %s", what, err, n)
		}
	}
}

func TestAnInterfaceShowsItsAddress(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name  string
		of    []any // the network
		asked []any
		want  []string // address, gateway, allocation
	}{
		{name: "dynamic", of: []any{"occi.network.address", "198.18.0.0/24", "occi.network.allocation", "dynamic", "occi.network.gateway", "198.18.0.1"},
			want: []string{"198.18.0.2", "198.18.0.1", "dynamic"}},
		{name: "the gateway in the middle", of: []any{"occi.network.address", "198.18.0.0/24", "occi.network.gateway", "198.18.0.7"},
			want: []string{"198.18.0.1", "198.18.0.7", "static"}},
		{name: "isolated", of: []any{"occi.network.address", "198.18.0.0/24", "occi.network.allocation", "dynamic"},
			want: []string{"198.18.0.2", "", "dynamic"}},
		{name: "static", of: []any{"occi.network.address", "198.18.0.0/24", "occi.network.allocation", "static"},
			want: []string{"198.18.0.2", "", "static"}},
		{name: "a range that is not written from its start", of: []any{"occi.network.address", "198.18.0.77/24"},
			want: []string{"198.18.0.2", "", "static"}},
		{name: "IPv6", of: []any{"occi.network.address", "fd00:1::/64", "occi.network.gateway", "fd00:1::1", "occi.network.allocation", "dynamic"},
			want: []string{"fd00:1::2", "fd00:1::1", "dynamic"}},
		{name: "where machines ask about themselves", of: []any{"occi.network.address", "169.254.169.252/30", "occi.network.gateway", "169.254.169.253"},
			asked: []any{nicAddress, "169.254.169.254"}},
		{name: "asked for", of: []any{"occi.network.address", "198.18.0.0/24", "occi.network.allocation", "dynamic"},
			asked: []any{nicAddress, "198.18.0.99"}, want: []string{"198.18.0.99", "", "static"}},
		{name: "asked for in another spelling", of: []any{"occi.network.address", "fd00:1::/64"},
			asked: []any{nicAddress, "FD00:1:0::00AB"}, want: []string{"fd00:1::ab", "", "static"}},
		{name: "static without saying which", of: []any{"occi.network.address", "198.18.0.0/24", "occi.network.allocation", "dynamic"},
			asked: []any{nicAllocation, "static"}, want: []string{"198.18.0.2", "", "static"}},
		{name: "dynamic where it is not", of: []any{"occi.network.address", "198.18.0.0/24"},
			asked: []any{nicAllocation, "dynamic"}, want: []string{"198.18.0.2", "", "static"}},
		{name: "no range", of: nil, want: []string{"", "", ""}},
		{name: "no range, but an address", asked: []any{nicAddress, "203.0.113.9", nicGateway, "203.0.113.1"}, want: []string{"203.0.113.9", "203.0.113.1", ""}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			c := newCloud(t)
			n := c.create(draft(network, test.of...))
			made, err := c.try(guest([]*occi.Entity{n}, test.asked...))
			if test.want == nil {
				refused(t, "it", err, occi.Invalid, nicAddress)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			for _, x := range []*occi.Entity{made[0], c.get(made[0].ID)} {
				l := x.Links[0]
				if got := []string{attr(l, nicAddress), attr(l, nicGateway), attr(l, nicAllocation)}; fmt.Sprint(got) != fmt.Sprint(test.want) {
					t.Errorf("it shows %q, want %q", got, test.want)
				}
				if l.HasMixin(ipNIC) != (test.want[0] != "") {
					t.Errorf("it has the mixins %v", l.Mixins)
				}
			}
		})
	}
}

// TestAddressesThatAreRefused has clients ask for what they cannot have; nothing is
// changed by it.
func TestAddressesThatAreRefused(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	n := c.ranged("198.18.0.0/24", "occi.network.gateway", "198.18.0.1")
	other := c.ranged("198.18.0.0/24")
	six := c.ranged("fd00:1::/64")
	vm := c.create(guest([]*occi.Entity{n, other}, nicAddress, "198.18.0.9"))
	holder := c.Model().Path(vm.Links[0])
	for _, test := range []struct {
		name  string
		in    *occi.Entity
		asked []any
		class occi.Class
		names []string
	}{
		{"outside", n, []any{nicAddress, "198.18.1.2"}, occi.Invalid, []string{nicAddress, "198.18.1.2", "198.18.0.0/24"}},
		{"the network", n, []any{nicAddress, "198.18.0.0"}, occi.Invalid, []string{nicAddress, "198.18.0.0"}},
		{"the gateway", n, []any{nicAddress, "198.18.0.1"}, occi.Invalid, []string{nicAddress, "gateway"}},
		{"the host", other, []any{nicAddress, "198.18.0.1"}, occi.Invalid, []string{nicAddress, "host"}},
		{"broadcast", n, []any{nicAddress, "198.18.0.255"}, occi.Invalid, []string{nicAddress, "broadcast"}},
		{"IPv6 in IPv4", n, []any{nicAddress, "fd00:1::9"}, occi.Invalid, []string{nicAddress, "fd00:1::9"}},
		{"IPv4 in IPv6", six, []any{nicAddress, "198.18.0.10"}, occi.Invalid, []string{nicAddress, "fd00:1::/64"}},
		{"of an interface of a host", six, []any{nicAddress, "fd00:1::9%eth0"}, occi.Invalid, []string{nicAddress}},
		{"no address", n, []any{nicAddress, "198.18.0.256"}, occi.Invalid, []string{nicAddress, "198.18.0.256"}},
		{"another gateway", n, []any{nicGateway, "198.18.0.3"}, occi.Invalid, []string{nicGateway, "198.18.0.1"}},
		{"a gateway where there is none", other, []any{nicGateway, "198.18.0.3"}, occi.Invalid, []string{nicGateway, "none"}},
		{"taken", n, []any{nicAddress, "198.18.0.9"}, occi.Conflict, []string{nicAddress, "198.18.0.9", holder}},
		{"taken, written as IPv6", n, []any{nicAddress, "::ffff:198.18.0.9"}, occi.Conflict, []string{nicAddress, "198.18.0.9", holder}},
		{"a MAC address that is taken", n, []any{nicMAC, strings.ToUpper(attr(vm.Links[0], nicMAC))}, occi.Conflict, []string{nicMAC, holder}},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := c.try(guest([]*occi.Entity{test.in}, test.asked...))
			refused(t, "it", err, test.class, test.names...)
		})
	}
	ds := []*occi.Draft{guest([]*occi.Entity{n}, nicAddress, "198.18.0.10"), guest([]*occi.Entity{n}, nicAddress, "198.18.0.10")}
	_, err := c.try(ds...)
	refused(t, "one for two", err, occi.Invalid, nicAddress, "198.18.0.10")
	if page, err := c.List(c.ctx, engine.Caller{}, &occi.Query{Kinds: []string{compute}}); err != nil || page.Total != 1 {
		t.Errorf("%+v, %v; want the one compute", page, err)
	}
}

// TestOneAddressInTwoNetworks has networks of one range: each gives its own
// addresses, and MAC addresses, out.
func TestOneAddressInTwoNetworks(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	a, b := c.ranged("198.18.0.0/24"), c.ranged("198.18.0.0/24")
	for i, n := range []*occi.Entity{a, b} {
		made, err := c.try(guest([]*occi.Entity{n}, nicMAC, "02:00:00:00:00:01"))
		if err != nil || attr(made[0].Links[0], nicAddress) != "198.18.0.2" {
			t.Errorf("number %d: %v, %v", i, made, err)
		}
	}
}

func TestAnAddressIsChanged(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	n := c.ranged("198.18.0.0/24")
	one, two := c.create(guest([]*occi.Entity{n})), c.create(guest([]*occi.Entity{n}))
	l, other := one.Links[0], two.Links[0]
	update := func(pairs ...any) error {
		_, err := c.Update(c.ctx, engine.Caller{}, l.ID, draft("", pairs...), engine.Options{})
		return err
	}
	refused(t, "taken", update(nicAddress, "198.18.0.3"), occi.Conflict, nicAddress, c.Model().Path(other))
	refused(t, "outside", update(nicAddress, "198.18.1.3"), occi.Invalid, nicAddress)
	refused(t, "a MAC address that is taken", update(nicMAC, attr(other, nicMAC)), occi.Conflict, nicMAC, c.Model().Path(other))
	if x := c.update(l, nicAddress, "198.18.0.50"); attr(x, nicAddress) != "198.18.0.50" || attr(x, nicAllocation) != "static" {
		t.Errorf("it has come to be %+v", x.Attributes)
	}
	// What it had is free, and PUT without any address keeps the one it has.
	if x := c.create(guest([]*occi.Entity{n})); attr(x.Links[0], nicAddress) != "198.18.0.2" {
		t.Errorf("the next got %s", attr(x.Links[0], nicAddress))
	}
	out, err := c.Put(c.ctx, engine.Caller{}, nic, l.ID, draft(nic, occi.AttrTitle, "renamed"), engine.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if x := c.settled(out); x.Title != "renamed" || attr(x, nicAddress) != "198.18.0.50" || !x.HasMixin(ipNIC) {
		t.Errorf("after a PUT it is %+v", x)
	}
	if x := c.update(l, occi.AttrTitle, "again"); attr(x, nicAddress) != "198.18.0.50" {
		t.Errorf("after a POST it is %+v", x)
	}
}

func TestTheAddressMixinStays(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	with, without := c.ranged("198.18.0.0/24"), c.create(draft(network))
	vm := c.create(guest([]*occi.Entity{with}))
	free := c.create(guest([]*occi.Entity{without}, nicAddress, "203.0.113.9"))
	drop := func(x *occi.Entity) error {
		_, err := c.Associate(c.ctx, engine.Caller{}, ipNIC, engine.Members{Drop: []occi.Ref{{ID: x.ID}}}, engine.Options{})
		return err
	}
	refused(t, "the mixin of an address", drop(vm.Links[0]), occi.Conflict, c.Model().Path(vm.Links[0]))
	if x := c.get(vm.Links[0].ID); attr(x, nicAddress) != "198.18.0.2" {
		t.Errorf("it is %+v", x)
	}
	if err := drop(free.Links[0]); err != nil {
		t.Error(err)
	}
	if x := c.get(free.Links[0].ID); x.HasMixin(ipNIC) || attr(x, nicAddress) != "" {
		t.Errorf("it is %+v", x)
	}
	if _, err := c.try(guest([]*occi.Entity{without}, nicAddress, "203.0.113.9")); err != nil {
		t.Errorf("what it had is not free: %v", err)
	}
}

// TestTheRangeIsExhausted asks for more than there is: nothing of the request is
// made.
func TestTheRangeIsExhausted(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	n := c.ranged("198.18.0.0/29")
	path := c.Model().Path(n)
	guests := func(count int) []*occi.Draft {
		var out []*occi.Draft
		for range count {
			out = append(out, guest([]*occi.Entity{n}))
		}
		return out
	}
	if _, err := c.try(guests(2)...); err != nil {
		t.Fatal(err)
	}
	_, err := c.try(guests(5)...)
	refused(t, "five of three", err, occi.Conflict, path, "3 free", "5 are needed")
	made, err := c.try(guests(3)...)
	if err != nil {
		t.Fatal(err)
	}
	_, err = c.try(guests(1)...)
	refused(t, "one of none", err, occi.Conflict, path, "0 free")
	page, err := c.List(c.ctx, engine.Caller{}, &occi.Query{Kinds: []string{compute, nic}})
	if err != nil || page.Total != 10 {
		t.Errorf("%+v, %v; want five with an interface each", page, err)
	}
	if err := c.delete(made[1].ID); err != nil {
		t.Fatal(err)
	}
	if made, err = c.try(guests(1)...); err != nil || attr(made[0].Links[0], nicAddress) != "198.18.0.5" {
		t.Errorf("%v, %v; want what the deleted one had", made, err)
	}
}

// TestAnAddressIsFreeOnceItsHolderIsGone deletes a machine whose host takes its time:
// nobody else gets the address before.
func TestAnAddressIsFreeOnceItsHolderIsGone(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	n := c.ranged("198.18.0.0/24")
	vm := c.create(guest([]*occi.Entity{n}))
	entered, proceed := c.host.hold("delete domain", nil)
	out, err := c.Delete(c.ctx, engine.Caller{}, []uuid.UUID{vm.ID}, engine.Options{})
	if err != nil {
		t.Fatal(err)
	}
	<-entered
	_, err = c.try(guest([]*occi.Entity{n}, nicAddress, "198.18.0.2"))
	refused(t, "what is still in use", err, occi.Conflict, nicAddress, "198.18.0.2")
	if made, err := c.try(guest([]*occi.Entity{n})); err != nil || attr(made[0].Links[0], nicAddress) != "198.18.0.3" {
		t.Errorf("%v, %v; want the next address", made, err)
	}
	close(proceed)
	if err := c.Wait(c.ctx, out.IDs()); err != nil {
		t.Fatal(err)
	}
	if _, err := c.try(guest([]*occi.Entity{n}, nicAddress, "198.18.0.2")); err != nil {
		t.Errorf("it is not free: %v", err)
	}
}

// TestManyAtOnce has more clients than there are addresses create computes at the
// same time, on two servers: as many as there are addresses get one each.
func TestManyAtOnce(t *testing.T) {
	t.Parallel()
	t.Run("sqlite", func(t *testing.T) {
		t.Parallel()
		c := newCloud(t)
		c.manyAtOnce(c.Engine, c.server(c.store, "other"))
	})
	t.Run("postgres", func(t *testing.T) {
		t.Parallel()
		url := pgtest.Run(t).Empty(t)
		c := newCloudOn(t, url)
		other, err := store.Open(c.ctx, url, store.WithModel(func() *occi.Model { return c.model }))
		if err != nil {
			t.Fatal(err)
		}
		defer other.Close()
		c.manyAtOnce(c.Engine, c.server(other, "other"))
	})
}

func (c *cloud) manyAtOnce(servers ...*engine.Engine) {
	const clients, addresses = 200, 125
	t := c.t
	t.Helper()
	n := c.ranged("198.18.0.0/25")
	var mu sync.Mutex
	var wg sync.WaitGroup
	holders, full := map[string]uuid.UUID{}, 0
	for i := range clients {
		wg.Go(func() {
			out, err := servers[i%2].Create(c.ctx, engine.Caller{}, "", []*occi.Draft{guest([]*occi.Entity{n})}, engine.Options{})
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				full++
				if !errors.Is(err, occi.Conflict) {
					t.Error(err)
				}
				return
			}
			l := out.Entities[0].Links[0]
			if other, taken := holders[attr(l, nicAddress)]; taken || attr(l, nicAddress) == "" {
				t.Errorf("%s and %s have %q", other, l.ID, attr(l, nicAddress))
			}
			holders[attr(l, nicAddress)] = l.ID
		})
	}
	wg.Wait()
	if len(holders) != addresses || full != clients-addresses {
		t.Errorf("%d have an address and %d were refused", len(holders), full)
	}
}

// TestTheRangeOfANetworkChanges has interfaces follow their network, or keep it from
// changing.
func TestTheRangeOfANetworkChanges(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	n := c.ranged("198.18.0.0/24", "occi.network.gateway", "198.18.0.1")
	vm := c.create(guest([]*occi.Entity{n}, nicAddress, "198.18.0.200"))
	path := c.Model().Path(vm.Links[0])
	update := func(pairs ...any) error {
		_, err := c.Update(c.ctx, engine.Caller{}, n.ID, draft("", pairs...), engine.Options{})
		return err
	}
	refused(t, "a smaller range", update("occi.network.address", "198.18.0.0/25"), occi.Conflict, path, "198.18.0.200")
	refused(t, "its address as the gateway", update("occi.network.gateway", "198.18.0.200"), occi.Conflict, path, "198.18.0.200")
	_, err := c.Associate(c.ctx, engine.Caller{}, "http://schemas.ogf.org/occi/infrastructure/network#ipnetwork",
		engine.Members{Drop: []occi.Ref{{ID: n.ID}}}, engine.Options{})
	refused(t, "no range", err, occi.Conflict, path, "198.18.0.200")
	if err := update("occi.network.address", "198.18.0.0/23", "occi.network.gateway", "198.18.0.2"); err != nil {
		t.Fatal(err)
	}
	if l := c.get(vm.Links[0].ID); attr(l, nicAddress) != "198.18.0.200" || attr(l, nicGateway) != "198.18.0.2" {
		t.Errorf("after a larger range it is %+v", l.Attributes)
	}
	if err := c.delete(vm.ID); err != nil {
		t.Fatal(err)
	}
	if err := update("occi.network.address", "198.18.0.0/29"); err != nil {
		t.Errorf("once it is gone: %v", err)
	}
}

// TestANetworkGetsARange has the interfaces in it get addresses, and their hosts
// hear of it.
func TestANetworkGetsARange(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	n := c.create(draft(network))
	vm, other := c.create(guest([]*occi.Entity{n})), c.create(guest([]*occi.Entity{n}, nicAddress, "198.18.0.2"))
	out, err := c.Update(c.ctx, engine.Caller{}, n.ID, draft("", "occi.network.address", "198.18.0.0/24"), engine.Options{})
	if err != nil {
		t.Fatal(err)
	}
	c.settled(out)
	for x, want := range map[*occi.Entity]string{vm: "198.18.0.3", other: "198.18.0.2"} {
		l := c.get(x.Links[0].ID)
		if attr(l, nicAddress) != want || !l.HasMixin(ipNIC) {
			t.Errorf("it is %+v of %v, want %s", l.Attributes, l.Mixins, want)
		}
	}
	told := 0
	for _, call := range c.host.calls() {
		if call == "attach nic "+vm.ID.String() {
			told++
		}
	}
	if told != 1 {
		t.Errorf("the host was told %d times: %v", told, c.host.calls())
	}
}

// TestAnInterfacePluggedInLater gets its address like one that came with its
// machine.
func TestAnInterfacePluggedInLater(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	n := c.ranged("198.18.0.0/24")
	vm := c.create(draft(compute))
	c.mustAct(vm, "start")
	for i := range 2 {
		if x := c.create(link(nic, vm, n)); attr(x, nicAddress) != fmt.Sprint("198.18.0.", i+2) {
			t.Errorf("number %d is %+v", i, x.Attributes)
		}
	}
}

// TestMACAddressesOfChosenUUIDs has the server make another MAC address where that
// which follows from the UUID is taken.
func TestMACAddressesOfChosenUUIDs(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	n := c.ranged("198.18.0.0/24")
	seen := map[string]bool{}
	for i := range 2 {
		var ds []*occi.Draft
		for j := range 2 {
			ds = append(ds, guest([]*occi.Entity{n}, occi.AttrID, fmt.Sprintf("11111111-1111-4111-8111-0000000000%d%d", i, j)))
		}
		made, err := c.try(ds...)
		if err != nil {
			t.Fatal(err)
		}
		for _, x := range made {
			seen[attr(x.Links[0], nicMAC)] = true
		}
	}
	if len(seen) != 4 {
		t.Errorf("four have the MAC addresses %v", seen)
	}
}

// TestAddressesFromBefore starts a server on a database whose interfaces have
// addresses that the store does not know of: they are taken from then on. Where two
// have the same, the older one has it.
func TestAddressesFromBefore(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	n := c.ranged("198.18.0.0/24")
	var links []*occi.Entity
	for range 3 {
		links = append(links, c.create(guest([]*occi.Entity{n})).Links[0])
	}
	again := links[1].Clone()
	again.Attributes.Set(nicAddress, occi.Str("198.18.0.2"))
	if err := c.store.Commit(c.ctx, &occi.Change{At: again.Created, Puts: []*occi.Entity{again}}); err != nil {
		t.Fatal(err)
	}
	c.shut()
	db, err := sql.Open("sqlite", c.path)
	if err != nil {
		t.Fatal(err)
	}
	for _, statement := range []string{`DROP TABLE addresses`, `DROP TABLE rooms`, `DROP TABLE pools`, `DROP TABLE events`, `DROP TABLE loads`, `DROP TABLE watches`, `DROP TABLE uses`, `DROP TABLE usage`, `DROP TABLE audit_checkpoints`, `DROP TABLE audit`,
		`DROP TABLE tallies`, `DROP TABLE secrets`, `DROP INDEX entities_reach`, `ALTER TABLE entities DROP COLUMN reach`, `ALTER TABLE tasks DROP COLUMN reach`, `ALTER TABLE entities DROP COLUMN project`,
		`DELETE FROM goose_db_version WHERE version_id >= 4`} {
		if _, err := db.Exec(statement); err != nil {
			t.Fatal(err)
		}
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	c.open()
	_, err = c.try(guest([]*occi.Entity{n}, nicAddress, "198.18.0.2"))
	refused(t, "the address of two", err, occi.Conflict, c.Model().Path(links[0]))
	_, err = c.try(guest([]*occi.Entity{n}, nicMAC, attr(links[1], nicMAC)))
	refused(t, "a MAC address", err, occi.Conflict, c.Model().Path(links[1]))
	var got []string
	for range 2 {
		made, err := c.try(guest([]*occi.Entity{n}))
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, attr(made[0].Links[0], nicAddress))
	}
	if fmt.Sprint(got) != "[198.18.0.3 198.18.0.5]" {
		t.Errorf("the next two have %v", got)
	}
	if left, err := c.store.Unread(c.ctx, 1); err != nil || len(left) != 0 {
		t.Errorf("%d links are left to be read, %v", len(left), err)
	}
}

// TestADeletionThatFailsKeepsTheAddress keeps the address of what comes back.
func TestADeletionThatFailsKeepsTheAddress(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	n := c.ranged("198.18.0.0/24")
	vm := c.create(guest([]*occi.Entity{n}))
	c.host.intercept(func(_ context.Context, op string, _ uuid.UUID) error {
		if op == "delete domain" {
			return hypervisor.ErrInvalid
		}
		return nil
	})
	if err := c.delete(vm.ID); err != nil {
		t.Log(err)
	}
	if x := c.get(vm.ID); len(x.Links) != 1 || attr(x.Links[0], nicAddress) != "198.18.0.2" {
		t.Fatalf("it came back as %+v", x)
	}
	_, err := c.try(guest([]*occi.Entity{n}, nicAddress, "198.18.0.2"))
	refused(t, "the address of what came back", err, occi.Conflict, c.Model().Path(vm.Links[0]))
}
