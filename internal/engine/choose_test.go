package engine_test

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/occid/occid/hypervisor"
	"github.com/occid/occid/internal/auth"
	"github.com/occid/occid/internal/dbtest"
	"github.com/occid/occid/internal/engine"
	"github.com/occid/occid/internal/pgtest"
	"github.com/occid/occid/occi"
	"github.com/occid/occid/store"
)

const (
	affinity     = "http://schemas.occid.org/occi/placement#affinity"
	antiAffinity = "http://schemas.occid.org/occi/placement#anti_affinity"
	hostLabels   = "http://schemas.occid.org/occi/placement#host_labels"
)

// node is a host with cores and GiB of memory, which may be taken once.
func node(name string, cores, memory int) engine.Host {
	f := newFakeHost()
	f.tell(hypervisor.Info{Hostname: name, CPUs: cores, MemoryBytes: int64(memory) << 30}, nil)
	return engine.Host{Name: name, Driver: f, CoresOvercommit: 1}
}

// hosted has the cloud's engine replaced by one that has these hosts, which are up.
func (c *cloud) hosted(hosts ...engine.Host) { c.hostedAs(engine.Config{Hosts: hosts}) }

func (c *cloud) hostedAs(cfg engine.Config) {
	c.t.Helper()
	c.Stop()
	if cfg.Store == nil {
		cfg.Store = c.store
	}
	cfg.Model, cfg.Worker = func() *occi.Model { return c.model }, "test"
	cfg.Describe, cfg.Logger = 20*time.Millisecond, slog.New(slog.DiscardHandler)
	c.Engine = engine.New(cfg)
	if err := c.Start(c.ctx); err != nil {
		c.t.Fatal(err)
	}
	c.until("all hosts are up", func() bool {
		n := 0
		for _, x := range c.hosts() {
			if c.state(x) == "up" {
				n++
			}
		}
		return n >= len(cfg.Hosts)
	})
}

// on creates a compute and gives the name of its host.
func (c *cloud) on(d *occi.Draft, mixins ...string) (string, error) {
	d.Mixins = append(d.Mixins, mixins...)
	out, err := c.Create(c.ctx, engine.Caller{}, compute, []*occi.Draft{d}, engine.Options{})
	if err != nil {
		return "", err
	}
	return out.Entities[0].Host, nil
}

func (c *cloud) wantOn(want string, d *occi.Draft, mixins ...string) {
	c.t.Helper()
	if got, err := c.on(d, mixins...); got != want {
		c.t.Errorf("it is on %q, %v; want %q", got, err, want)
	}
}

func sized(cores int, memory float64) *occi.Draft {
	return draft(compute, "occi.compute.cores", cores, "occi.compute.memory", memory)
}

func TestMachinesAreSpread(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	c.hosted(node("a", 8, 8), node("b", 16, 16))
	where := map[string]int{}
	for range 12 {
		h, err := c.on(sized(2, 2))
		if err != nil {
			t.Fatal(err)
		}
		where[h]++
	}
	if where["a"] != 4 || where["b"] != 8 {
		t.Errorf("machines are on %v", where)
	}
	_, err := c.on(sized(2, 1))
	wantClass(t, err, occi.Conflict, "a: 0 of cores free, 2 needed", "b: 0 of cores free, 2 needed")
	page, err := c.List(c.ctx, engine.Caller{}, &occi.Query{Kinds: []string{compute}})
	if err != nil || page.Total != 12 {
		t.Errorf("there are %d machines, %v", page.Total, err)
	}
}

func TestMachinesArePacked(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	c.hostedAs(engine.Config{Pack: true, Hosts: []engine.Host{node("a", 8, 8), node("b", 16, 16)}})
	first, err := c.on(sized(2, 2))
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		c.wantOn(first, sized(2, 2))
	}
}

func TestWhyNothingFits(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	labelled := node("labelled", 64, 2)
	labelled.Labels = []string{"ssd", "zone=a"}
	silent := node("silent", 64, 64)
	c.hosted(labelled, node("small", 2, 64), node("drained", 64, 64))
	for _, x := range c.hosts() {
		if x.Title == "drained" {
			c.mustAct(x, "drain")
		}
	}
	silent.Driver.(*fakeHost).tell(hypervisor.Info{}, hypervisor.ErrUnavailable)
	c.Stop()
	c.Engine = engine.New(engine.Config{Store: c.store, Model: func() *occi.Model { return c.model }, Worker: "test", Describe: 20 * time.Millisecond,
		Logger: slog.New(slog.DiscardHandler), Hosts: []engine.Host{labelled, node("small", 2, 64), node("drained", 64, 64), silent}})
	if err := c.Start(c.ctx); err != nil {
		t.Fatal(err)
	}
	_, err := c.on(sized(4, 4))
	wantClass(t, err, occi.Conflict, "labelled: 2 GiB of memory free, 4 GiB needed", "small: 2 of cores free, 4 needed",
		"drained: in state maintenance", "silent: in state down")
	_, err = c.on(sized(1, 1), hostLabels)
	if err != nil {
		t.Errorf("labels that are not given: %v", err)
	}
	c.wantOn("labelled", draft(compute, "occid.placement.labels", "zone=a ssd"), hostLabels)
	_, err = c.on(draft(compute, "occid.placement.labels", "gpu"), hostLabels)
	wantClass(t, err, occi.Conflict, "small: without the label gpu")
}

func TestSizesAreHeldTo(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	c.hosted(node("a", 8, 8))
	vm := c.create(sized(2, 2))
	c.create(sized(2, 4))
	_, err := c.Update(c.ctx, engine.Caller{}, vm.ID, draft("", "occi.compute.memory", 5.0), engine.Options{})
	wantClass(t, err, occi.Conflict, "a: 2 GiB of memory free, 3 GiB needed")
	if got := c.get(vm.ID); got.Attributes.Get("occi.compute.memory").Num != 2 || len(got.Tasks) > 0 {
		t.Errorf("it has become %+v", got)
	}
	c.update(vm, "occi.compute.memory", 4.0)
	_, err = c.on(sized(1, 0.5))
	wantClass(t, err, occi.Conflict, "0 GiB of memory free")
	// A size template counts as well, and what goes makes room.
	_, err = c.Associate(c.ctx, engine.Caller{}, "http://schemas.ogf.org/occi/infrastructure/compute/template/1.1#mem_medium",
		engine.Members{Add: []occi.Ref{{ID: vm.ID}}}, engine.Options{})
	wantClass(t, err, occi.Conflict, "4 GiB needed")
	c.update(vm, "occi.compute.memory", 1.0)
	c.wantOn("a", sized(1, 3))
	if err := c.delete(vm.ID); err != nil {
		t.Fatal(err)
	}
	c.wantOn("a", sized(1, 1))
	c.until("the host shows what is taken", func() bool {
		i := slices.IndexFunc(c.hosts(), func(x *occi.Entity) bool { return x.Title == "a" })
		x := c.hosts()[i]
		return x.Attributes.Get("occid.host.memory.allocated").Num == 8 && x.Attributes.Get("occid.host.cores.allocated").Num == 4 &&
			x.Attributes.Get("occid.host.computes").Num == 3
	})
}

func TestGroupsOfMachines(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	c.hosted(node("a", 64, 64), node("b", 64, 64), node("c", 64, 64))
	apart := func() *occi.Draft { return draft(compute, "occid.placement.anti_affinity", "db") }
	var drafts []*occi.Draft
	for range 2 {
		drafts = append(drafts, apart())
		drafts[len(drafts)-1].Mixins = []string{antiAffinity}
	}
	out, err := c.Create(c.ctx, engine.Caller{}, compute, drafts, engine.Options{})
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]uuid.UUID{}
	for _, x := range out.Entities {
		seen[x.Host] = x.ID
	}
	h, err := c.on(apart(), antiAffinity)
	if seen[h] = uuid.Nil; err != nil || len(seen) != 3 {
		t.Errorf("three that are to be apart are on %v, %v", seen, err)
	}
	_, err = c.on(apart(), antiAffinity)
	wantClass(t, err, occi.Conflict, "b: the group db would have more than one there")
	// Another project's group of the name is another.
	d := apart()
	d.Mixins = []string{antiAffinity}
	if _, err := c.Create(c.ctx, engine.Caller{Name: "ann", Project: "other", Roles: auth.Member}, compute, []*occi.Draft{d}, engine.Options{}); err != nil {
		t.Error(err)
	}

	together := func() *occi.Draft { return draft(compute, "occid.placement.affinity", "web") }
	first, err := c.on(together(), affinity)
	if err != nil {
		t.Fatal(err)
	}
	for range 5 {
		c.wantOn(first, together(), affinity)
	}
	_, err = c.on(draft(compute, "occid.placement.affinity", "web", "occi.compute.cores", 60), affinity)
	wantClass(t, err, occi.Conflict, first+": ", "of cores free, 60 needed", "the group web is on another host")
	// Machines that are linked to the same go to one host.
	net := c.create(draft(network))
	one := draft(compute)
	one.Links = append(one.Links, occi.DraftLink{Kind: nic, Target: occi.URN(net.ID)})
	c.wantOn(net.Host, one)
}

// TestNothingIsOverCommitted has twice as many machines asked for at once as there is
// room for, on PostgreSQL of two servers.
func TestNothingIsOverCommitted(t *testing.T) {
	t.Parallel()
	for _, database := range []string{"sqlite", "postgres"} {
		t.Run(database, func(t *testing.T) {
			t.Parallel()
			const asked, fit = 200, 100
			dsn := dbtest.SQLite(t)
			if database == "postgres" {
				dsn = pgtest.Run(t).Empty(t)
			}
			c := newCloudOn(t, dsn)
			hosts := []engine.Host{node("a", 30, 1000), node("b", 30, 1000), node("c", 40, 1000)}
			c.hosted(hosts...)
			servers := []*engine.Engine{c.Engine}
			if database == "postgres" {
				st, err := store.Open(c.ctx, dsn, store.WithModel(func() *occi.Model { return c.model }))
				if err != nil {
					t.Fatal(err)
				}
				other := engine.New(engine.Config{Store: st, Model: func() *occi.Model { return c.model }, Worker: "other", Hosts: hosts,
					Describe: 20 * time.Millisecond, Logger: slog.New(slog.DiscardHandler)})
				if err := other.Start(c.ctx); err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() {
					other.Stop()
					if err := st.Close(); err != nil {
						t.Error(err)
					}
				})
				servers = append(servers, other)
			}
			var made, refused atomic.Int64
			var all sync.WaitGroup
			for i := range asked {
				all.Go(func() {
					_, err := servers[i%len(servers)].Create(c.ctx, engine.Caller{}, compute, []*occi.Draft{draft(compute, occi.AttrTitle, fmt.Sprint(i))}, engine.Options{})
					switch {
					case err == nil:
						made.Add(1)
					case errors.Is(err, occi.Conflict) && strings.Contains(err.Error(), "0 of cores free"):
						refused.Add(1)
					default:
						t.Error(err)
					}
				})
			}
			all.Wait()
			if made.Load() != fit || refused.Load() != asked-fit {
				t.Errorf("%d were made and %d refused; there is room for %d of %d", made.Load(), refused.Load(), fit, asked)
			}
			loads, err := c.store.Loads(c.ctx)
			if err != nil {
				t.Fatal(err)
			}
			got := map[string]int64{}
			for _, l := range loads {
				if l.What == "cores" {
					got[l.Host] = l.Amount
				}
			}
			if got["a"] != 30 || got["b"] != 30 || got["c"] != 40 {
				t.Errorf("what is taken is %v", got)
			}
			page, err := c.List(c.ctx, engine.Caller{}, &occi.Query{Kinds: []string{compute}, Limit: 1})
			if err != nil || page.Total != fit {
				t.Errorf("there are %d machines, %v", page.Total, err)
			}
		})
	}
}

// TestWhatWasThereIsAccounted puts down what machines take that are from before.
func TestWhatWasThereIsAccounted(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	c.hosted(node("a", 8, 8))
	vm := c.create(sized(6, 6))
	c.Stop()
	old := c.get(vm.ID).Clone()
	old.Takes = nil
	if err := c.store.Commit(c.ctx, &occi.Change{At: old.Updated, Puts: []*occi.Entity{old}}); err != nil {
		t.Fatal(err)
	}
	c.hosted(node("a", 8, 8))
	c.until("it is accounted", func() bool { return len(c.get(vm.ID).Takes) > 0 })
	_, err := c.on(sized(3, 1))
	wantClass(t, err, occi.Conflict, "2 of cores free, 3 needed")
}
