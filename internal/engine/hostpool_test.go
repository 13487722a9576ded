package engine_test

import (
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/occid/occid/internal/auth"
	"github.com/occid/occid/internal/engine"
	"github.com/occid/occid/occi"
)

const (
	hostPool   = "http://schemas.occid.org/occi/infrastructure#host_pool"
	poolMember = "http://schemas.occid.org/occi/infrastructure#poolmember"
	inPool     = "http://schemas.occid.org/occi/placement#in_pool"
)

// member is what puts a host in a pool.
func member(host, pool *occi.Entity) *occi.Draft {
	return draft(poolMember, occi.AttrSource, occi.URN(host.ID), occi.AttrTarget, occi.URN(pool.ID))
}

// in is a machine on a host of a pool.
func in(pool string, pairs ...any) *occi.Draft {
	d := draft(compute, append([]any{"occid.placement.pool", pool}, pairs...)...)
	d.Mixins = []string{inPool}
	return d
}

func (c *cloud) make(who engine.Caller, d *occi.Draft) error {
	_, err := c.Create(c.ctx, who, d.Kind, []*occi.Draft{d}, engine.Options{})
	return err
}

func (c *cloud) pool(title string) *occi.Entity {
	c.t.Helper()
	return c.create(draft(hostPool, occi.AttrTitle, title))
}

// hostNamed gives the host of a title.
func (c *cloud) hostNamed(title string) *occi.Entity {
	c.t.Helper()
	rows := c.hosts()
	i := slices.IndexFunc(rows, func(x *occi.Entity) bool { return x.Title == title })
	if i < 0 {
		c.t.Fatalf("there is no host %s", title)
	}
	return rows[i]
}

// wantBelow checks what of a kind a reverse look-up by pools finds.
func (c *cloud) wantBelow(of *occi.Entity, kind string, want ...uuid.UUID) {
	c.t.Helper()
	page, err := c.List(c.ctx, engine.Caller{}, &occi.Query{Kinds: []string{kind}, LinkedTo: of.ID, Pooled: poolMember})
	if err != nil {
		c.t.Fatal(err)
	}
	if got := ids(page.Entities...); !slices.Equal(got, want) {
		c.t.Errorf("of %s %q there are %v, want %v", of.Kind, of.Title, got, want)
	}
}

func TestMachinesArePlacedInPools(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	c.hosted(node("a", 8, 8), node("b", 8, 8), node("c", 8, 8))
	gold, silver := c.pool("gold"), c.pool("silver")
	c.pool("empty")
	c.create(member(c.hostNamed("a"), gold))
	link := c.create(member(c.hostNamed("b"), silver))
	for _, name := range []string{"gold", gold.ID.String(), "/pool/" + gold.ID.String(), occi.URN(gold.ID)} {
		c.wantOn("a", in(name))
	}
	c.wantOn("b", in("silver"))
	err := c.make(engine.Caller{}, in("silver", "occi.compute.cores", 8))
	wantClass(t, err, occi.Conflict, "a: not in the pool silver", "b: 7 of cores free, 8 needed", "c: not in the pool silver")
	err = c.make(engine.Caller{}, in("empty"))
	wantClass(t, err, occi.Conflict, "a: not in the pool empty", "b: not in the pool empty", "c: not in the pool empty")

	// One that is linked to something goes there or nowhere.
	net := c.create(draft(network))
	there := c.pool("there")
	c.create(member(c.hostNamed(net.Host), there))
	for pool, refused := range map[string]bool{"there": false, "empty": true} {
		d := in(pool)
		d.Links = append(d.Links, occi.DraftLink{Kind: nic, Target: occi.URN(net.ID)})
		if !refused {
			c.wantOn(net.Host, d)
			continue
		}
		wantClass(t, c.make(engine.Caller{}, d), occi.Conflict, net.Host+": not in the pool empty")
	}

	// What comes goes by who is in the pool now.
	if err := c.delete(link.ID); err != nil {
		t.Fatal(err)
	}
	wantClass(t, c.make(engine.Caller{}, in("silver")), occi.Conflict, "b: not in the pool silver")
	c.create(member(c.hostNamed("c"), silver))
	c.wantOn("c", in("silver"))
	c.update(silver, occi.AttrTitle, "bronze")
	wantClass(t, c.make(engine.Caller{}, in("silver")), occi.Invalid, "there is no pool")
	c.wantOn("c", in("bronze"))
	if err := c.delete(silver.ID); err != nil {
		t.Fatal(err)
	}
	wantClass(t, c.make(engine.Caller{}, in("bronze")), occi.Invalid, "there is no pool")
	for _, l := range c.hostNamed("c").Links {
		if l.Target.ID == silver.ID {
			t.Errorf("the host of a pool that is gone has still %v", l)
		}
	}
}

func TestWhatIsInAPool(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	c.hosted(node("a", 8, 8), node("b", 8, 8))
	gold, silver := c.pool("gold"), c.pool("silver")
	c.create(member(c.hostNamed("a"), gold))
	link := c.create(member(c.hostNamed("a"), silver))
	vm := c.create(in("gold"))
	c.wantBelow(gold, compute, vm.ID)
	c.wantBelow(vm, hostPool, gold.ID, silver.ID)
	if err := c.delete(link.ID); err != nil {
		t.Fatal(err)
	}
	c.wantBelow(silver, compute)
	c.wantBelow(vm, hostPool, gold.ID)
	c.create(member(c.hostNamed("b"), gold))
	other := c.create(sized(8, 1)) // it has room on b alone
	c.wantBelow(gold, compute, vm.ID, other.ID)
}

func TestPoolsThatCannotBe(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	c.hosted(node("a", 8, 8))
	ann := engine.Caller{Name: "ann", Project: "hers", Roles: auth.Manager}
	x, gold := c.hostNamed("a"), c.pool("gold")
	c.create(member(x, gold))
	vm := c.create(in("gold"))
	twins := []*occi.Entity{c.pool("twin"), c.pool("twin")}
	c.create(member(x, twins[1]))
	c.wantOn("a", in(twins[1].ID.String()))
	later := in("gold")
	later.Kind = ""
	_, joined := c.Update(c.ctx, engine.Caller{}, c.create(draft(compute)).ID, later, engine.Options{})
	update := func(who engine.Caller, x *occi.Entity, pairs ...any) error {
		_, err := c.Update(c.ctx, who, x.ID, draft("", pairs...), engine.Options{})
		return err
	}
	for name, tt := range map[string]struct {
		err   error
		class occi.Class
		word  string
	}{
		"no pool":                     {c.make(engine.Caller{}, in("bronze")), occi.Invalid, `there is no pool "bronze"`},
		"a host":                      {c.make(engine.Caller{}, in(x.ID.String())), occi.Invalid, "there is no pool"},
		"several pools":               {c.make(engine.Caller{}, in("twin")), occi.Invalid, "several pools"},
		"another pool later":          {update(engine.Caller{}, vm, "occid.placement.pool", "twin"), occi.Forbidden, "occid.placement.pool"},
		"a pool later":                {joined, occi.Forbidden, "occid.placement.pool"},
		"a UUID beside":               {c.make(engine.Caller{}, in("gold", "occid.placement.pool.id", x.ID.String())), occi.Forbidden, "occid.placement.pool.id"},
		"a machine in a pool":         {c.make(engine.Caller{}, member(vm, gold)), occi.Invalid, "only hosts are in pools"},
		"a host in a host":            {c.make(engine.Caller{}, member(x, x)), occi.Invalid, occi.AttrTarget},
		"a host that is in it":        {c.make(engine.Caller{}, member(x, gold)), occi.Conflict, "already"},
		"a pool of a member":          {c.make(ann, draft(hostPool, occi.AttrTitle, "hers")), occi.Forbidden, ""},
		"a membership of a member":    {c.make(ann, member(x, twins[0])), occi.Forbidden, ""},
		"a change of a member":        {update(ann, gold, occi.AttrTitle, "hers"), occi.NotFound, ""},
		"nowhere, told to a member":   {c.make(ann, in("gold", "occi.compute.cores", 9)), occi.Conflict, "of cores free"},
		"a pool without, to a member": {c.make(ann, in(twins[0].ID.String())), occi.Conflict, "not in the pool " + twins[0].ID.String()},
	} {
		t.Run(name, func(t *testing.T) { wantClass(t, tt.err, tt.class, tt.word) })
	}
	if err := c.make(ann, in("gold")); err != nil {
		t.Errorf("a member cannot name a pool: %v", err)
	}
	for _, kind := range []string{hostPool, poolMember} {
		if page, err := c.List(c.ctx, ann, &occi.Query{Kinds: []string{kind}}); err != nil || len(page.Entities) > 0 {
			t.Errorf("a member sees %v, %v", page, err)
		}
	}
	// Nor are they a project's whose administrator makes them.
	if err := c.make(engine.Caller{Name: "root", Project: "hers", Roles: auth.Administrator}, draft(hostPool, occi.AttrTitle, "new")); err != nil {
		t.Fatal(err)
	}
	if page, err := c.List(c.ctx, ann, &occi.Query{Kinds: []string{hostPool}}); err != nil || len(page.Entities) > 0 {
		t.Errorf("a member sees %v of an administrator of the project, %v", page, err)
	}
}

func TestMachinesMoveWithinTheirPool(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	c.hosted(node("a", 8, 8), node("b", 8, 8), node("c", 8, 8))
	gold := c.pool("gold")
	c.create(member(c.hostNamed("a"), gold))
	vm := c.create(in("gold"))
	_, err := c.act(vm, "migrate", "target", c.hostNamed("b").ID.String())
	wantClass(t, err, occi.Conflict, "b: not in the pool gold")
	// It is still that pool when it is called something else.
	c.update(gold, occi.AttrTitle, "iron")
	c.pool("gold")
	_, err = c.act(vm, "migrate")
	wantClass(t, err, occi.Conflict, "b: not in the pool gold", "c: not in the pool gold")
	c.create(member(c.hostNamed("c"), gold))
	out, err := c.act(vm, "migrate")
	if err != nil {
		t.Fatal(err)
	}
	if got := c.get(vm.ID); got.Moving != "c" && got.Host != "c" {
		t.Errorf("it is on %s and moves to %q", got.Host, got.Moving)
	}
	c.settled(out)
}

// TestMachinesOfAPoolThatIsGone stay where they are until they ask for it no more.
func TestMachinesOfAPoolThatIsGone(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	c.hosted(node("a", 8, 8), node("b", 8, 8))
	gold := c.pool("gold")
	link := c.create(member(c.hostNamed("a"), gold))
	vm := c.create(in("gold"))
	// Its host leaves the pool, to which another belongs: it can go there, and not back.
	if err := c.delete(link.ID); err != nil {
		t.Fatal(err)
	}
	_, err := c.act(vm, "migrate")
	wantClass(t, err, occi.Conflict, "b: not in the pool gold")
	c.create(member(c.hostNamed("b"), gold))
	if got := c.mustAct(vm, "migrate"); got.Host != "b" {
		t.Fatalf("it is on %s", got.Host)
	}
	_, err = c.act(vm, "migrate")
	wantClass(t, err, occi.Conflict, "a: not in the pool gold")
	if err := c.delete(gold.ID); err != nil {
		t.Fatal(err)
	}
	c.mustAct(vm, "start")
	c.pool("gold")
	_, err = c.act(vm, "migrate")
	wantClass(t, err, occi.Conflict, "a: not in the pool gold")
	if _, err := c.Associate(c.ctx, engine.Caller{}, inPool, engine.Members{Drop: []occi.Ref{{ID: vm.ID}}}, engine.Options{}); err != nil {
		t.Fatal(err)
	}
	if got := c.mustAct(vm, "migrate"); got.Host != "a" {
		t.Errorf("it is on %s", got.Host)
	}
}

// TestSeveralServersKnowPools has one server put hosts in pools, and another place by that.
func TestSeveralServersKnowPools(t *testing.T) {
	t.Parallel()
	const a, b = "fake://a", "fake://b"
	d := newDoors(a, b)
	f := newFleet(t, 2, func(c *engine.Config) { c.Opener = d })
	x, y := f.added(draft(occi.HostKind, "occid.host.uri", a)), f.added(draft(occi.HostKind, "occid.host.uri", b))
	gold := f.pool("gold")
	link := f.create(member(x, gold))
	f.Engine = f.servers[1].Engine
	f.until("the other server places there", func() bool {
		where, err := f.on(in("gold"))
		return err == nil && where == a
	})
	f.create(member(y, gold))
	if err := f.delete(link.ID); err != nil {
		t.Fatal(err)
	}
	f.wantOn(b, in("gold"))
	f.wantBelow(x, hostPool)
	f.wantBelow(y, hostPool, gold.ID)
	f.Engine = f.servers[0].Engine
	f.until("the first server places there, too", func() bool {
		where, err := f.on(in("gold"))
		return err == nil && where == b
	})
	// A host that goes leaves its pools.
	page, err := f.List(f.ctx, engine.Caller{}, &occi.Query{Kinds: []string{compute}})
	if err != nil {
		t.Fatal(err)
	}
	if err := f.delete(ids(page.Entities...)...); err != nil {
		t.Fatal(err)
	}
	if err := f.delete(y.ID); err != nil {
		t.Fatal(err)
	}
	page, err = f.List(f.ctx, engine.Caller{}, &occi.Query{Kinds: []string{poolMember}})
	if err != nil || len(page.Entities) > 0 {
		t.Errorf("there are still %v, %v", page, err)
	}
	wantClass(t, f.make(engine.Caller{}, in("gold")), occi.Conflict, a+": not in the pool gold")
}

// TestLostMachinesStayInTheirPool has machines of a lost host restarted on one of their
// pool alone.
func TestLostMachinesStayInTheirPool(t *testing.T) {
	t.Parallel()
	fence := &fencer{}
	f := newFleet(t, 1, func(c *engine.Config) { c.Fence, c.FenceAfter = fence.fence, 100*time.Millisecond }, "one", "two", "three")
	f.until("the hosts are up", f.allUp)
	gold := f.pool("gold")
	f.create(member(f.hostNamed("one"), gold))
	var vms []*occi.Entity
	for range 4 {
		vms = append(vms, f.create(mixed(in("gold"), restartElsewhere)))
	}
	f.create(member(f.hostNamed("three"), gold))
	f.cut(0, true)
	for _, x := range vms {
		f.until("it is on another host", func() bool { return f.get(x.ID).Host != "one" })
		if got := f.get(x.ID).Host; got != "three" {
			t.Errorf("it is on %s", got)
		}
	}
}
