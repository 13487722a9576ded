package engine_test

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/occid/occid/hypervisor"
	"github.com/occid/occid/internal/engine"
	"github.com/occid/occid/occi"
)

const (
	statistics = "http://schemas.occid.org/occi/compute#statistics"
	usage      = "http://schemas.occid.org/occi/storage#usage"
)

// observing has the cloud's engine replaced by one that observes, over a store.
func (c *cloud) observing(st engine.Store, all bool) {
	c.t.Helper()
	c.Stop()
	c.Engine = engine.New(engine.Config{Store: st, Model: func() *occi.Model { return c.model }, Worker: "test",
		Hosts: []engine.Host{{Name: "one", Driver: c.host}}, Logger: slog.New(slog.DiscardHandler),
		Observe: 5 * time.Millisecond, ObserveAll: all})
	if err := c.Start(c.ctx); err != nil {
		c.t.Fatal(err)
	}
}

// rounds waits for so many more questions to the host.
func (c *cloud) rounds(asked *atomic.Int64, n int64) {
	c.t.Helper()
	was := asked.Load()
	c.until("the host was asked again", func() bool { return asked.Load() >= was+n })
}

// counted counts how often the host is asked for statistics.
func (c *cloud) counted() *atomic.Int64 {
	asked := &atomic.Int64{}
	c.host.intercept(func(_ context.Context, op string, _ uuid.UUID) error {
		if op == "statistics" {
			asked.Add(1)
		}
		return nil
	})
	return asked
}

// used is what the tests' machines have used.
var used = hypervisor.Statistics{
	CPUTime: 12345 * time.Millisecond, MemoryBytes: 1 << 30, MemoryUsedBytes: 256 << 20,
	Disks: []hypervisor.DiskStatistics{
		{ReadBytes: 10, ReadRequests: 1, WrittenBytes: 20, WriteRequests: 2, AllocatedBytes: 512 << 20},
		{ReadBytes: 1, ReadRequests: 1, AllocatedBytes: 512 << 20}},
	NICs:  []hypervisor.NICStatistics{{ReceivedBytes: 7, SentBytes: 8, Addresses: []string{"198.51.100.7", "2001:db8::7"}}},
	Agent: hypervisor.AgentAlive,
}

// shown gives what an entity shows of what is observed, beside when, in a line.
func shown(x *occi.Entity) string {
	var words []string
	for _, a := range x.Attributes {
		if rest, ok := strings.CutPrefix(a.Name, "occid.statistics."); ok && rest != "at" {
			words = append(words, rest+"="+a.Value.String())
		}
	}
	return strings.Join(words, " ")
}

const usedShown = `addresses=["198.51.100.7","2001:db8::7"] agent=alive cpu.time=12.3 disk.allocated=1.0 disk.read=11 disk.reads=2 ` +
	`disk.writes=2 disk.written=20 memory.available=1.0 memory.used=0.25 network.received=7 network.sent=8 reason=booted state=running`

func TestWhatIsObservedOfAMachine(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	asked := c.counted()
	c.observing(c.store, false)
	plain := c.create(draft(compute))
	d := draft(compute)
	d.Mixins = []string{statistics}
	vm := c.mustAct(c.create(d), "start")
	c.mustAct(plain, "start")
	c.host.use(vm.ID, used, "booted")
	c.until("what it used is shown", func() bool { return shown(c.get(vm.ID)) == usedShown })
	if got := shown(c.get(plain.ID)); got != "" {
		t.Errorf("a machine without the mixin shows %s", got)
	}
	x := c.get(vm.ID)
	if at, err := time.Parse(time.RFC3339, x.Attributes.Get("occid.statistics.at").Text); err != nil || time.Since(at) > time.Minute {
		t.Errorf("it was observed at %s: %v", at, err)
	}

	c.rounds(asked, 3)
	if now := c.get(vm.ID).Revision; now != x.Revision {
		t.Errorf("revision %d became %d though nothing changed", x.Revision, now)
	}

	// A host that is too busy to tell leaves what it told before.
	c.host.use(vm.ID, hypervisor.Statistics{CPUTime: time.Minute}, "booted")
	want := strings.Replace(usedShown, "12.3", "60.0", 1)
	c.until("its processor time is shown", func() bool { return strings.Contains(shown(c.get(vm.ID)), "cpu.time=60.0") })
	if got := shown(c.get(vm.ID)); got != want {
		t.Errorf("it shows %s", got)
	}

	c.mustAct(vm, "stop")
	c.host.use(vm.ID, hypervisor.Statistics{}, "shut down")
	const off = "disk.allocated=1.0 reason=shut down state=stopped"
	c.until("it is shown to be off", func() bool { return shown(c.get(vm.ID)) == off })
	x = c.get(vm.ID)
	c.rounds(asked, 3)
	if now := c.get(vm.ID).Revision; now != x.Revision {
		t.Errorf("revision %d became %d of a machine that is off", x.Revision, now)
	}

	out, err := c.Associate(c.ctx, engine.Caller{}, statistics, engine.Members{Drop: []occi.Ref{{ID: vm.ID}}}, engine.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if got := shown(c.settled(out)); got != "" {
		t.Errorf("without the mixin it shows %s", got)
	}
}

func TestAllMachinesAreObserved(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	vm := c.mustAct(c.create(draft(compute)), "start")
	c.host.use(vm.ID, used, "booted")
	c.observing(c.store, true)
	c.until("what it used is shown", func() bool { x := c.get(vm.ID); return x.HasMixin(statistics) && shown(x) == usedShown })
}

func TestWhatIsObservedOfAStorage(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	d := draft(storage, "occi.storage.size", 2)
	d.Mixins = []string{usage}
	vol := c.create(d)
	c.host.mu.Lock()
	c.host.volumes[vol.ID].AllocatedBytes = 3 << 29
	c.host.mu.Unlock()
	c.observing(c.store, false)
	c.until("what it takes is shown", func() bool { return c.get(vol.ID).Attributes.Get("occid.storage.allocated").Num == 1.5 })
}

// TestAClientMaySendBackWhatIsObserved: by then it has changed.
func TestAClientMaySendBackWhatIsObserved(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	d := draft(compute)
	d.Mixins = []string{statistics}
	vm := c.mustAct(c.create(d), "start")
	c.host.use(vm.ID, used, "booted")
	c.observing(c.store, false)
	c.until("what it used is shown", func() bool { return shown(c.get(vm.ID)) == usedShown })
	if got := c.update(vm, "occi.core.title", "web", "occid.statistics.cpu.time", 1.0); got.Title != "web" || shown(got) != usedShown {
		t.Errorf("it is %q and shows %s", got.Title, shown(got))
	}
}

// TestAHostThatDoesNotTell hangs when it is asked what machines used: nothing else
// does.
func TestAHostThatDoesNotTell(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	d := draft(compute)
	d.Mixins = []string{statistics}
	vm := c.create(d)
	stuck := make(chan struct{}, 1)
	c.host.intercept(func(ctx context.Context, op string, _ uuid.UUID) error {
		if op != "statistics" {
			return nil
		}
		select {
		case stuck <- struct{}{}:
		default:
		}
		<-ctx.Done()
		return fmt.Errorf("%w: %w", hypervisor.ErrUnavailable, ctx.Err())
	})
	c.observing(c.store, false)
	<-stuck
	if got := c.state(c.mustAct(vm, "start")); got != "active" {
		t.Errorf("it is %s", got)
	}
	if got := shown(c.get(vm.ID)); got != "" {
		t.Errorf("it shows %s", got)
	}
	c.host.report(vm.ID, hypervisor.Stopped)
	c.until("it is seen to be off", func() bool { return c.state(c.get(vm.ID)) == "inactive" })
}

// readsOfMembers counts what observing asks of a store.
type readsOfMembers struct {
	engine.Store
	pages, most, commits, single atomic.Int64
	// meanwhile, when set, is called once a page was read.
	meanwhile func()
}

func (s *readsOfMembers) HostMembers(ctx context.Context, host string, of occi.Either, after int64, n int) ([]*occi.Entity, error) {
	s.pages.Add(1)
	rows, err := s.Store.HostMembers(ctx, host, of, after, n)
	s.most.Store(max(s.most.Load(), int64(len(rows))))
	if s.meanwhile != nil {
		s.meanwhile()
	}
	return rows, err
}

func (s *readsOfMembers) Commit(ctx context.Context, change *occi.Change) error {
	if len(change.Puts) == 0 || change.Puts[0].Kind != occi.HostKind {
		s.commits.Add(1)
	}
	return s.Store.Commit(ctx, change)
}

func (s *readsOfMembers) Entity(ctx context.Context, id uuid.UUID) (*occi.Entity, error) {
	s.single.Add(1)
	return s.Store.Entity(ctx, id)
}

func TestObservingReadsAndWritesPages(t *testing.T) {
	t.Parallel()
	const machines = 250
	c := newCloud(t)
	var drafts []*occi.Draft
	for range machines {
		d := draft(compute)
		d.Mixins = []string{statistics}
		drafts = append(drafts, d)
	}
	out, err := c.Create(c.ctx, engine.Caller{}, compute, drafts, engine.Options{})
	if err != nil {
		t.Fatal(err)
	}
	c.settled(out)
	c.Stop()
	asked := c.counted()
	st := &readsOfMembers{Store: c.store}
	c.observing(st, false)
	c.until("all are observed", func() bool {
		page, err := c.store.List(c.ctx, &occi.Query{Conds: []occi.Cond{{Name: "occid.statistics.state", Op: occi.Eq, Value: occi.Str("stopped")}}, Limit: 1})
		return err == nil && page.Total == machines
	})
	c.rounds(asked, 2)
	c.Stop()
	rounds := asked.Load()
	if most := st.most.Load(); most >= machines || most == 0 {
		t.Errorf("a page has %d rows of %d", most, machines)
	}
	// The round that was stopped may have read a page before it asked.
	if pages := st.pages.Load(); pages > 4*rounds+1 || st.single.Load() > 0 {
		t.Errorf("%d pages and %d rows were read in %d rounds", pages, st.single.Load(), rounds)
	}
	if n := st.commits.Load(); n > 3 {
		t.Errorf("%d changes for %d machines that are news once", n, machines)
	}
}

// TestObservingYields has a client change a machine whenever it was read to be
// observed: the client wins, and others are not kept from being observed for ever.
func TestObservingYields(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	d := draft(compute)
	d.Mixins = []string{statistics}
	vm := c.create(d)
	c.Stop()
	var one sync.Mutex // a sweep reads members too
	n := 0
	other := c.server(c.store, "other")
	if err := other.Renew(c.ctx, true); err != nil {
		t.Fatal(err)
	}
	st := &readsOfMembers{Store: c.store}
	st.meanwhile = func() {
		one.Lock()
		defer one.Unlock()
		if n++; n > 2*3 {
			return
		}
		if _, err := other.Update(c.ctx, engine.Caller{}, vm.ID, draft("", "occi.core.summary", fmt.Sprint(n)), engine.Options{}); err != nil {
			t.Error(err)
		}
	}
	c.observing(st, false)
	c.until("it is observed", func() bool { return strings.Contains(shown(c.get(vm.ID)), "state=stopped") })
	if got := c.get(vm.ID).Summary; got != "6" {
		t.Errorf("the client's last word is %q", got)
	}
}

func TestTheHostsReasonIsTold(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	vm := c.mustAct(c.create(draft(compute)), "start")
	message := func() string { return c.get(vm.ID).Attributes.Get("occi.compute.state.message").Text }
	c.host.use(vm.ID, hypervisor.Statistics{}, "crashed")
	c.host.report(vm.ID, hypervisor.Stopped)
	c.until("it is told that it crashed", func() bool {
		return c.state(c.get(vm.ID)) == "inactive" && message() == "stopped on the host: crashed"
	})
	c.host.use(vm.ID, hypervisor.Statistics{}, "booted")
	c.mustAct(vm, "start")
	if got := message(); got != "" {
		t.Errorf("a machine that runs says %q", got)
	}
	c.host.use(vm.ID, hypervisor.Statistics{}, "disk I/O error")
	c.host.report(vm.ID, hypervisor.Paused)
	c.until("it is told that it is paused", func() bool { return message() == "paused on the host: disk I/O error" })
}
