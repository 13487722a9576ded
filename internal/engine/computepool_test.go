package engine_test

import (
	"slices"
	"testing"

	"github.com/google/uuid"

	"github.com/occid/occid/internal/auth"
	"github.com/occid/occid/internal/engine"
	"github.com/occid/occid/occi"
)

const (
	computePool       = "http://schemas.occid.org/occi/infrastructure#compute_pool"
	computePoolMember = "http://schemas.occid.org/occi/infrastructure#computepoolmember"
)

// madeIn is a machine that is made in a pool of machines.
func madeIn(set *occi.Entity, pairs ...any) *occi.Draft {
	d := draft(compute, pairs...)
	d.Links = []occi.DraftLink{{Kind: computePoolMember, Target: occi.URN(set.ID)}}
	return d
}

// wantCounted waits until a pool of machines shows how many members it has and how many run.
func (c *cloud) wantCounted(set *occi.Entity, members, active float64) {
	c.t.Helper()
	c.until("the pool is counted", func() bool {
		x := c.get(set.ID)
		return x.Attributes.Get("occid.computepool.members").Num == members && x.Attributes.Get("occid.computepool.active").Num == active
	})
}

func (c *cloud) members(set *occi.Entity) []uuid.UUID {
	c.t.Helper()
	page, err := c.List(c.ctx, engine.Caller{}, &occi.Query{Kinds: []string{compute}, LinkedTo: set.ID})
	if err != nil {
		c.t.Fatal(err)
	}
	return ids(page.Entities...)
}

func TestActionsOnPoolsOfMachines(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	web := c.create(draft(computePool, occi.AttrTitle, "web"))
	c.wantCounted(web, 0, 0)
	out, err := c.act(web, "start")
	if err != nil || len(out.Entities)+len(out.Tasks) > 0 {
		t.Errorf("an empty pool gives %v, %v", out, err)
	}
	a, b, other := c.create(madeIn(web)), c.create(draft(compute)), c.create(draft(compute))
	joined := c.create(link(computePoolMember, b, web))
	c.wantCounted(web, 2, 0)
	if got := c.members(web); !slices.Equal(got, ids(a, b)) {
		t.Errorf("its members are %v", got)
	}
	out, err = c.act(web, "start")
	if err != nil || !slices.Equal(ids(out.Entities...), ids(a, b)) || len(out.Tasks) != 2 {
		t.Fatalf("starting the pool gives %+v, %v", out, err)
	}
	c.settled(out)
	for x, want := range map[*occi.Entity]string{a: "active", b: "active", other: "inactive"} {
		if got := c.state(c.get(x.ID)); got != want {
			t.Errorf("a machine is %s, want %s", got, want)
		}
	}
	c.wantCounted(web, 2, 2)
	// What is there already is left alone, and an identifier means the same as a term.
	out, err = c.act(web, "http://schemas.occid.org/occi/infrastructure/compute_pool/action#start")
	if err != nil || len(out.Entities) != 2 || len(out.Tasks) != 0 {
		t.Errorf("starting it again gives %+v, %v", out, err)
	}
	c.mustAct(b, "stop", "method", "poweroff")
	c.wantCounted(web, 2, 1)
	// All or none.
	_, err = c.act(web, "suspend")
	wantClass(t, err, occi.Conflict, b.ID.String(), "cannot suspend while it is inactive")
	if got := c.state(c.get(a.ID)); got != "active" {
		t.Errorf("the other one is %s", got)
	}
	_, err = c.act(web, "stop", "method", "hammer")
	wantClass(t, err, occi.Invalid, "method")
	_, err = c.act(web, "save")
	wantClass(t, err, occi.Invalid, "save", "suspend")

	if err := c.delete(joined.ID); err != nil {
		t.Fatal(err)
	}
	c.wantCounted(web, 1, 1)
	out, err = c.act(web, "restart", "method", "cold")
	if err != nil || !slices.Equal(ids(out.Entities...), ids(a)) {
		t.Errorf("restarting it gives %v, %v", out, err)
	}
	c.settled(out)
	if err := c.delete(a.ID); err != nil {
		t.Fatal(err)
	}
	c.wantCounted(web, 0, 0)
	again := c.create(madeIn(web))
	if err := c.delete(web.ID); err != nil {
		t.Fatal(err)
	}
	if got := c.get(again.ID); len(got.Links) > 0 {
		t.Errorf("a machine of a pool that is gone has still %v", got.Links)
	}
}

func TestPoolsOfMachinesThatCannotBe(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	ann := engine.Caller{Name: "ann", Project: "hers", Roles: auth.Member}
	bob := engine.Caller{Name: "bob", Project: "his", Roles: auth.Member}
	reader := engine.Caller{Name: "eve", Project: "hers", Roles: auth.Reader}
	make := func(who engine.Caller, d *occi.Draft) *occi.Entity {
		t.Helper()
		out, err := c.Create(c.ctx, who, d.Kind, []*occi.Draft{d}, engine.Options{})
		if err != nil {
			t.Fatal(err)
		}
		return c.settled(out)
	}
	act := func(who engine.Caller, x *occi.Entity) error {
		_, err := c.Act(c.ctx, who, []uuid.UUID{x.ID}, &occi.Draft{Action: "start"}, engine.Options{})
		return err
	}
	set := make(ann, draft(computePool))
	vm, his, net := make(ann, draft(compute)), make(bob, draft(compute)), make(ann, draft(network))
	make(ann, link(computePoolMember, vm, set))
	for name, tt := range map[string]struct {
		err   error
		class occi.Class
		word  string
	}{
		"twice":                       {c.make(ann, link(computePoolMember, vm, set)), occi.Conflict, "already"},
		"a network":                   {c.make(ann, link(computePoolMember, net, set)), occi.Invalid, "only machines"},
		"a machine in a machine":      {c.make(ann, link(computePoolMember, vm, vm)), occi.Invalid, occi.AttrTarget},
		"another project's pool":      {c.make(bob, link(computePoolMember, his, set)), occi.Invalid, "there is no"},
		"another project's machine":   {c.make(engine.Caller{}, link(computePoolMember, his, set)), occi.Conflict, "not of the project"},
		"an action of another":        {act(bob, set), occi.NotFound, ""},
		"an action of who only reads": {act(reader, set), occi.Forbidden, ""},
	} {
		t.Run(name, func(t *testing.T) { wantClass(t, tt.err, tt.class, tt.word) })
	}
	if err := act(ann, set); err != nil {
		t.Error(err)
	}
}

// TestMembersArePlacedAsTheirPoolSays has machines that are made in a pool take over what
// that says of placement.
func TestMembersArePlacedAsTheirPoolSays(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	c.hosted(node("a", 8, 8), node("b", 8, 8))
	gold := c.pool("gold")
	c.create(member(c.hostNamed("b"), gold))
	d := draft(computePool, "occid.placement.pool", "gold")
	d.Mixins = []string{inPool}
	golden := c.create(d)
	for range 3 {
		c.wantOn("b", madeIn(golden))
	}
	d = draft(computePool, "occid.placement.anti_affinity", "db")
	d.Mixins = []string{antiAffinity}
	apart := c.create(d)
	first, err := c.on(madeIn(apart))
	if err != nil {
		t.Fatal(err)
	}
	second, err := c.on(madeIn(apart))
	if err != nil || second == first {
		t.Errorf("they are on %s and %s, %v", first, second, err)
	}
	wantClass(t, c.make(engine.Caller{}, madeIn(apart)), occi.Conflict, "the group db would have more than one there")
	// What a machine says itself holds.
	own := madeIn(apart, "occid.placement.anti_affinity", "other")
	own.Mixins = []string{antiAffinity}
	if err := c.make(engine.Caller{}, own); err != nil {
		t.Error(err)
	}
	d = draft(computePool, "occid.placement.pool", "bronze")
	d.Mixins = []string{inPool}
	wantClass(t, c.make(engine.Caller{}, d), occi.Invalid, `there is no pool "bronze"`)
}

// TestSeveralServersCountPools has one server change members of a pool, and all show it.
func TestSeveralServersCountPools(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 2, nil, "one")
	f.until("the host is up", f.allUp)
	web := f.create(draft(computePool))
	f.create(madeIn(web))
	f.Engine = f.servers[1].Engine
	f.create(madeIn(web))
	f.wantCounted(web, 2, 0)
	out, err := f.act(web, "start")
	if err != nil {
		t.Fatal(err)
	}
	f.settled(out)
	f.wantCounted(web, 2, 2)
}
