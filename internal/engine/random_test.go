package engine_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/occid/occid/hypervisor"
	"github.com/occid/occid/internal/engine"
	"github.com/occid/occid/occi"
)

// TestWhateverHappensRowsAndHostAgree has clients do at random all that they can
// on a host that fails, forgets and does things of its own. When all is quiet,
// the host has what the rows say and nothing else.
func TestWhateverHappensRowsAndHostAgree(t *testing.T) {
	t.Parallel()
	const clients, steps = 4, 40
	for seed := range uint64(4) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			c := newCloud(t)
			var faults atomic.Uint64
			c.host.intercept(func(ctx context.Context, op string, _ uuid.UUID) error {
				return fault(ctx, rand.New(rand.NewPCG(seed, faults.Add(1))))
			})
			var wg sync.WaitGroup
			for i := range clients {
				wg.Go(func() {
					r := randomClient{c, rand.New(rand.NewPCG(seed, uint64(i)<<32))}
					for range steps {
						r.step()
					}
				})
			}
			wg.Wait()
			c.host.intercept(nil)
			// What was refused is done when somebody asks again, and what a host did of
			// its own is found by comparing.
			c.touchAll()
			c.shut()
			c.open()
			var diff string
			t.Cleanup(func() {
				if diff != "" {
					t.Error(diff)
				}
			})
			c.until("the host has what the rows say", func() bool {
				if diff = c.difference(); diff != "" {
					c.askAgain()
				}
				return diff == ""
			})
			c.unique()
		})
	}
}

// unique checks that no two interfaces in a network have the same address, and that
// those in a network with a range have one.
func (c *cloud) unique() {
	c.t.Helper()
	page, err := c.List(c.ctx, engine.Caller{}, &occi.Query{Kinds: []string{nic, network}})
	if err != nil {
		c.t.Fatal(err)
	}
	ranged, seen := map[uuid.UUID]bool{}, map[occi.Address]bool{}
	for _, x := range page.Entities {
		ranged[x.ID] = attr(x, "occi.network.address") != ""
	}
	for _, x := range page.Entities {
		if x.Kind != nic {
			continue
		}
		ip, err := netip.ParseAddr(attr(x, nicAddress))
		if err != nil {
			if ranged[x.Target.ID] {
				c.t.Errorf("%s has no address", c.Model().Path(x))
			}
			continue
		}
		a := occi.IPAddress(x.Target.ID, ip)
		if seen[a] {
			c.t.Errorf("two have %s in %s", ip, x.Target.ID)
		}
		seen[a] = true
		if holders, err := c.store.Holders(c.ctx, []occi.Address{a}); err != nil || holders[a] != x.ID {
			c.t.Errorf("%s has %s, the store says %s, %v", x.ID, ip, holders[a], err)
		}
	}
}

// touchAll has the host follow every machine.
func (c *cloud) touchAll() {
	page, err := c.List(c.ctx, engine.Caller{}, &occi.Query{Kinds: []string{compute}})
	if err != nil {
		c.t.Fatal(err)
	}
	for _, x := range page.Entities {
		_, err := c.Update(c.ctx, engine.Caller{}, x.ID, draft("", occi.AttrTitle, "last"), engine.Options{})
		if err != nil && !errors.Is(err, occi.NotFound) {
			c.t.Error(err)
		}
	}
}

// askAgain touches the machines that could not follow: one cannot while a network it
// is in has failed and its interface there has not been found to have.
func (c *cloud) askAgain() {
	page, err := c.List(c.ctx, engine.Caller{}, &occi.Query{Kinds: []string{compute}})
	if err != nil {
		c.t.Fatal(err)
	}
	for _, x := range page.Entities {
		if len(x.Tasks) > 0 || !strings.HasPrefix(attr(x, "occi.compute.state.message"), "update failed") {
			continue
		}
		title := map[bool]string{true: "again", false: "last"}[x.Title == "last"]
		_, err := c.Update(c.ctx, engine.Caller{}, x.ID, draft("", occi.AttrTitle, title), engine.Options{})
		if err != nil {
			c.t.Error(err)
		}
	}
}

// fault makes one of ten calls fail, some of them for good.
func fault(ctx context.Context, r *rand.Rand) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	switch r.IntN(30) {
	case 0:
		return errors.New("refused")
	case 1, 2:
		return fmt.Errorf("busy: %w", hypervisor.ErrUnavailable)
	}
	return nil
}

// randomClient does at random what clients do, and sometimes what hosts do.
type randomClient struct {
	*cloud
	*rand.Rand
}

// any picks one of the entities of some kinds, nil if there is none.
func (r randomClient) any(kinds ...string) *occi.Entity {
	page, err := r.List(r.ctx, engine.Caller{}, &occi.Query{Kinds: kinds})
	if err != nil || len(page.Entities) == 0 {
		return nil
	}
	return page.Entities[r.IntN(len(page.Entities))]
}

// step does one thing. Most may be refused; what is no fault of ours must be.
func (r randomClient) step() {
	x := r.any(compute, network, storage, nic, disk)
	var err error
	switch n := r.IntN(20); {
	case n < 3 || x == nil:
		err = r.make()
	case n < 7:
		err = r.connect()
	case n < 12:
		actions := []string{"start", "stop", "suspend", "restart", "up", "down", "online", "offline"}
		_, err = r.act(x, actions[r.IntN(len(actions))])
	case n < 14:
		err = r.alter(x)
	case n < 17:
		_, err = r.Delete(r.ctx, engine.Caller{}, []uuid.UUID{x.ID}, engine.Options{})
	case n < 18:
		err = r.cancel()
	default:
		r.meddle()
	}
	switch occi.ClassOf(err) {
	case occi.Internal, occi.Unavailable:
		if err != nil {
			r.t.Error(err)
		}
	}
}

func (r randomClient) make() error {
	d := []*occi.Draft{draft(compute), draft(network), draft(storage, "occi.storage.size", 1)}[r.IntN(3)]
	if d.Kind == network && r.IntN(3) > 0 {
		d = draft(network, "occi.network.address", "198.18.0.0/29")
	}
	if target := r.any(network, storage); d.Kind == compute && target != nil {
		d.Links = []occi.DraftLink{{Target: r.Model().Path(target)}}
	}
	_, err := r.Create(r.ctx, engine.Caller{}, d.Kind, []*occi.Draft{d}, engine.Options{})
	return err
}

func (r randomClient) connect() error {
	vm, target := r.any(compute), r.any(network, storage)
	if vm == nil || target == nil {
		return nil
	}
	kind := nic
	if target.Kind == storage {
		kind = disk
	}
	_, err := r.Create(r.ctx, engine.Caller{}, kind, []*occi.Draft{link(kind, vm, target)}, engine.Options{})
	return err
}

func (r randomClient) alter(x *occi.Entity) error {
	d := draft("", occi.AttrTitle, fmt.Sprint(r.IntN(9)))
	switch x.Kind {
	case compute:
		d = draft("", "occi.compute.cores", 1+r.IntN(4))
	case storage:
		d = draft("", "occi.storage.size", 1+r.IntN(4))
	case nic:
		d = draft("", nicAddress, fmt.Sprint("198.18.0.", r.IntN(10)))
	case network:
		d = draft("", "occi.network.address", fmt.Sprint("198.18.0.0/", 28+r.IntN(3)), "occi.network.gateway", fmt.Sprint("198.18.0.", 1+r.IntN(5)))
	}
	_, err := r.Update(r.ctx, engine.Caller{}, x.ID, d, engine.Options{})
	return err
}

func (r randomClient) cancel() error {
	tasks, err := r.Unfinished(r.ctx, engine.Caller{})
	if err != nil || len(tasks) == 0 {
		return err
	}
	_, err = r.Cancel(r.ctx, engine.Caller{}, tasks[r.IntN(len(tasks))].ID)
	return err
}

// meddle changes something behind the server's back.
func (r randomClient) meddle() {
	f := r.host
	f.mu.Lock()
	var ids []uuid.UUID
	for id := range f.domains {
		ids = append(ids, id)
	}
	if len(ids) == 0 {
		f.mu.Unlock()
		return
	}
	slices.SortFunc(ids, func(a, b uuid.UUID) int { return cmp.Compare(a.String(), b.String()) })
	ev := hypervisor.Event{Domain: ids[r.IntN(len(ids))]}
	switch r.IntN(4) {
	case 0:
		delete(f.domains, ev.Domain)
		ev.State, ev.Gone = hypervisor.Stopped, true
	case 1:
		f.domains[ev.Domain].NICs = nil
		ev = hypervisor.Event{Reconnected: true}
	case 2:
		clear(f.networks)
		ev = hypervisor.Event{Reconnected: true}
	default:
		ev.State = []hypervisor.State{hypervisor.Running, hypervisor.Stopped, hypervisor.Crashed}[r.IntN(3)]
		f.domains[ev.Domain].State = ev.State
	}
	f.mu.Unlock()
	f.events <- ev
}

// difference tells how rows and host differ; "" if they agree and nothing is
// under way.
func (c *cloud) difference() string {
	rows, err := c.placed()
	if err != nil {
		return err.Error()
	}
	failed := map[uuid.UUID]bool{}
	for _, x := range rows {
		failed[x.ID] = c.state(x) == "error"
	}
	var want []string
	for _, x := range rows {
		if x.Deleted || len(x.Tasks) > 0 {
			return fmt.Sprintf("%s is not settled: %+v", c.Model().Path(x), x)
		}
		if message := x.Attributes.Get(c.Model().Kind(x.Kind).States.Message).Text; strings.HasSuffix(message, "ing") {
			return fmt.Sprintf("%s says it is %s", c.Model().Path(x), message)
		}
		if !failed[x.ID] && !failed[x.Source.ID] {
			want = append(want, c.shownRow(x))
		}
	}
	have := c.shownHost(failed)
	slices.Sort(want)
	slices.Sort(have)
	return gocmp.Diff(want, have)
}

// shownRow tells what of a row a host knows.
func (c *cloud) shownRow(x *occi.Entity) string {
	switch x.Kind {
	case compute:
		return fmt.Sprintf("domain %s %s %s", x.ID, c.state(x), x.Attributes.Get("occi.compute.cores"))
	case nic:
		return fmt.Sprintf("nic %s of %s in %s as %s", x.ID, x.Source.ID, x.Target.ID, attr(x, nicAddress))
	case disk:
		return fmt.Sprintf("disk %s of %s on %s", x.ID, x.Source.ID, x.Target.ID)
	case network:
		return fmt.Sprintf("network %s %s", x.ID, c.state(x))
	}
	return fmt.Sprintf("volume %s", x.ID)
}

// shownHost tells the same of the host, but for what failed.
func (c *cloud) shownHost(failed map[uuid.UUID]bool) []string {
	var out []string
	show := func(id uuid.UUID, format string, args ...any) {
		if !failed[id] {
			out = append(out, fmt.Sprintf(format, args...))
		}
	}
	domains, _ := c.host.Domains(c.ctx)
	for _, d := range domains {
		states := c.Model().Kind(compute).States
		show(d.ID, "domain %s %s %d", d.ID, states.Canonical(string(d.State)), d.VCPUs)
		if failed[d.ID] {
			continue
		}
		for _, n := range d.NICs {
			show(n.ID, "nic %s of %s in %s as %s", n.ID, d.ID, n.Network, strings.Join(n.Addresses, " "))
		}
		for _, x := range d.Disks {
			show(x.ID, "disk %s of %s on %s", x.ID, d.ID, x.Volume)
		}
	}
	for _, n := range values(c.host, c.host.networks) {
		state := map[bool]string{true: "active", false: "inactive"}[n.Active]
		show(n.ID, "network %s %s", n.ID, state)
	}
	for _, v := range values(c.host, c.host.volumes) {
		show(v.ID, "volume %s", v.ID)
	}
	return out
}
