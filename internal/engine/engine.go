package engine

import (
	"cmp"
	"context"
	"io"
	"log/slog"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"github.com/occid/occid/hypervisor"
	"github.com/occid/occid/internal/auth"
	"github.com/occid/occid/occi"
)

// Store is what the engine needs of persistence. What it gives is shared and is
// not changed here; see the store package for the contract of each method.
type Store interface {
	Commit(ctx context.Context, c *occi.Change) error
	Entity(ctx context.Context, id uuid.UUID) (*occi.Entity, error)
	EntityAny(ctx context.Context, id uuid.UUID) (*occi.Entity, error)
	Linked(ctx context.Context, id uuid.UUID) (*occi.Entity, []*occi.Entity, error)
	List(ctx context.Context, q *occi.Query) (*occi.Page, error)
	Count(ctx context.Context, kinds []string, reach ...string) (occi.Count, error)
	Incoming(ctx context.Context, targets ...uuid.UUID) ([]*occi.Entity, error)
	HostEntities(ctx context.Context, host string, after int64, n int) ([]*occi.Entity, error)
	HostMembers(ctx context.Context, host string, of occi.Either, after int64, n int) ([]*occi.Entity, error)
	Rooms(ctx context.Context, volumes []uuid.UUID) (map[uuid.UUID]occi.Room, error)
	Promised(ctx context.Context) (map[string]int64, error)
	Loads(ctx context.Context) ([]occi.Load, error)
	HostRevisions(ctx context.Context, host string) (map[uuid.UUID]int64, error)
	Task(ctx context.Context, id uuid.UUID) (*occi.Task, error)
	Tasks(ctx context.Context, entity uuid.UUID) ([]*occi.Task, error)
	Unfinished(ctx context.Context, lanes []uuid.UUID, reach ...string) ([]*occi.Task, error)
	UnfinishedOf(ctx context.Context, of *occi.Where, reach ...string) ([]*occi.Task, error)
	Visible(ctx context.Context, q *occi.Query) (occi.Count, error)
	Claim(ctx context.Context, host, worker string, n int, now time.Time, lease time.Duration) ([]*occi.Task, time.Time, error)
	Release(ctx context.Context, worker string) error
	Secret(ctx context.Context, name string) (*occi.Secret, error)
	Due(ctx context.Context, now time.Time) ([]string, error)
	Shared() bool
	Watch(ctx context.Context, host, worker string, reaches bool, lease, patience time.Duration) (w occi.Watch, taken bool, err error)
	Watches(ctx context.Context, worker string, lease time.Duration) ([]occi.Watch, error)
	Unwatch(ctx context.Context, worker, host string) error
	Key(ctx context.Context, who, name string) (*occi.Key, error)
	PurgeTasks(ctx context.Context, before time.Time, n int) (int, error)
	PurgeKeys(ctx context.Context, before time.Time, n int) (int, error)
	EventRange(ctx context.Context) (first, last int64, err error)
	Events(ctx context.Context, after int64, n int) ([]*occi.Event, error)
	EventsBefore(ctx context.Context, before int64, n int) ([]*occi.Event, error)
	Follow(ctx context.Context) (after int64, events <-chan []*occi.Event, err error)
	PurgeEvents(ctx context.Context, before time.Time, n int) (int, error)
	AuditRange(ctx context.Context, from, to time.Time) (first, last int64, err error)
	AuditBefore(ctx context.Context, before, from int64) ([]*occi.Record, error)
	Usage(ctx context.Context, q *occi.UsageQuery, f func(*occi.Interval)) error
	Mixins(ctx context.Context, known int64) ([]*occi.Mixin, int64, error)
	MixinsRevision() int64
	Holders(ctx context.Context, as []occi.Address) (map[occi.Address]uuid.UUID, error)
	Free(ctx context.Context, network uuid.UUID, first, last netip.Addr, n int) ([]occi.Span, error)
	Unread(ctx context.Context, n int) ([]*occi.Entity, error)
	Ping(ctx context.Context) error
}

// Images takes in images that come from elsewhere, under the UUIDs of the entities
// that they are for; see the image package for the contract of each method.
type Images interface {
	Staged(id uuid.UUID) (have, total int64, err error)
	Receive(ctx context.Context, id uuid.UUID, offset, total int64, r io.Reader) (have int64, err error)
	Verify(ctx context.Context, id uuid.UUID, sum []byte) error
	Permitted(source string) error
	Fetch(ctx context.Context, id uuid.UUID, source string, sum []byte, progress func(done, total int64)) error
	Convert(ctx context.Context, id uuid.UUID, name string, progress func(done, total int64)) (r io.ReadCloser, size, disk int64, err error)
	Files() (names, stamps []string, err error)
	DiskOf(ctx context.Context, name string) (int64, error)
	Drop(id uuid.UUID) error
	Expire(ctx context.Context, age time.Duration, keep func(ctx context.Context, id uuid.UUID) (bool, error)) error
}

// Host is a hypervisor under a name that entities remember.
type Host struct {
	Name string
	// Title is what people call it; empty means Name.
	Title string
	// Labels are words by which machines ask for it.
	Labels []string
	// Cores and MemoryBytes are what it has; 0 means what it tells. Machines may have
	// that together times CoresOvercommit and MemoryOvercommit; 0 means 4 and 1.
	Cores                             int
	MemoryBytes                       int64
	CoresOvercommit, MemoryOvercommit float64
	// Unlimited takes as many machines as are asked for, and so does a simulated host
	// of which neither Cores nor MemoryBytes is given.
	Unlimited bool
	Driver    hypervisor.Driver
	// Pools are those that clients choose among, one of which is the default; without
	// any, volumes are in the driver's default pool, and not accounted.
	Pools []Pool
}

// Opener makes hosts of the URIs that operators add at run time.
type Opener interface {
	// Check says what is wrong with a URI, nil if nothing is.
	Check(uri string) error
	// Open makes its Driver, which the engine closes, and tells its Pools; it does not
	// wait for the host.
	Open(uri string) (Host, error)
}

// Config is what an Engine is made of. Store and Model are required.
type Config struct {
	Store Store
	// Model gives what the provider defines; it may give another one later.
	Model func() *occi.Model
	Hosts []Host
	// Opener makes further hosts; without it none can be added at run time.
	Opener Opener
	// Images takes in what volumes are to hold; without it nothing is taken in.
	Images Images
	// KeepUploads is how long an upload that has not come to its end may rest; 0 means
	// for ever.
	KeepUploads time.Duration
	// Worker names this server in claims; it must stay the same over a restart
	// and differ between servers that share a database.
	Worker string
	// Slots is how many tasks run at once on a host; 0 means 8.
	Slots int
	// StopTimeout is how long a guest may take to follow an ACPI request; 0
	// means 30 seconds.
	StopTimeout time.Duration
	// Pack has machines placed where most is taken already and not where least is.
	Pack bool
	// Describe is how often hosts are asked what they are; 0 means every 5 seconds.
	Describe time.Duration
	// Bridges are the bridges that every host offers to networks.
	Bridges hypervisor.Bridges
	// KeepStopped leaves computes with an OS template stopped after creation.
	KeepStopped bool
	// KeepTasks is how long tasks are remembered once they are over, KeepKeys how
	// long idempotency keys are at least, KeepEvents how long events are; 0 means for ever.
	KeepTasks, KeepKeys, KeepEvents time.Duration
	// Fence, when set, makes sure that nothing runs on a host and that it will not by
	// itself, whatever state the host is in: it is called when no server has reached the host
	// for FenceAfter, 0 meaning a minute, and machines are to be restarted elsewhere. It
	// has FenceTime, 0 meaning a minute.
	Fence                 func(ctx context.Context, h *Fenced) error
	FenceAfter, FenceTime time.Duration
	// Seed, when set, gives the files of a machine's config drive by name, none if it
	// is to have no such drive. The machine has its links, those on their way out
	// included; linked are the resources they lead to. It is asked whenever the machine
	// is defined or about to start: the same machine must give the same files.
	Seed func(ctx context.Context, m *occi.Model, x *occi.Entity, linked map[uuid.UUID]*occi.Entity) (map[string][]byte, error)
	// ProjectQuota and UserQuota are what new projects and new users may use.
	ProjectQuota, UserQuota Allowance
	// Observe is how often the hosts are asked for what entities have used that
	// carry a mixin for that; 0 means never. ObserveAll gives it to every machine.
	Observe    time.Duration
	ObserveAll bool
	// Identities, if set, is called when something has changed that says who may do what.
	Identities func()
	// Policies tell what callers may do; nil means the program's own.
	Policies *auth.Policies
	// Observer, if set, is told of tasks.
	Observer Observer
	// Tracer, if set, follows requests through their tasks.
	Tracer Tracer
	Logger *slog.Logger
}

// Engine carries out the use cases. It is safe for concurrent use. Start begins
// the work on tasks, Stop ends it.
type Engine struct {
	store Store
	hosts atomic.Pointer[[]*host]
	cfg   Config
	log   *slog.Logger
	now   func() time.Time

	registry registry
	traffic  traffic
	waiters  waiters
	running  runningTasks
	promises promises
	refusals refusals
	ledger   ledger
	// reviewed is the revision of the hosts' rows that was read last; of beat.
	reviewed int64
	regather chan struct{} // of capacity 1: other hosts may have come or gone
	remuster chan struct{} // of capacity 1: sets of machines may have changed

	stop context.CancelFunc
	work sync.WaitGroup
}

// New makes an Engine; it does nothing until Start.
func New(c Config) *Engine {
	if c.Slots <= 0 {
		c.Slots = 8
	}
	if c.StopTimeout <= 0 {
		c.StopTimeout = 30 * time.Second
	}
	c.FenceAfter, c.FenceTime = cmp.Or(c.FenceAfter, time.Minute), cmp.Or(c.FenceTime, time.Minute)
	if c.Describe <= 0 {
		c.Describe = 5 * time.Second
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	if c.Observer == nil {
		c.Observer = unobserved{}
	}
	if c.Tracer == nil {
		c.Tracer = untraced{}
	}
	if c.Identities == nil {
		c.Identities = func() {}
	}
	if c.Policies == nil && c.Model != nil {
		var err error
		if c.Policies, err = auth.NewPolicies(c.Model()); err != nil {
			panic(err) // the program's own policies are wrong
		}
	}
	if c.Worker == "" {
		c.Worker = "occid"
	}
	e := &Engine{store: c.Store, cfg: c, log: c.Logger, regather: make(chan struct{}, 1), remuster: make(chan struct{}, 1), refusals: refusals{wake: make(chan struct{}, 1)},
		now: func() time.Time { return time.Now().UTC().Truncate(time.Microsecond) }}
	var hosts []*host
	for _, h := range c.Hosts {
		hosts = append(hosts, newHost(e, h))
	}
	e.hosts.Store(&hosts)
	return e
}

// Start takes up the tasks that a former run left behind and begins to work on
// those of every host. It returns at once; hosts that do not answer are waited
// for in the background.
func (e *Engine) Start(ctx context.Context) error {
	if err := e.store.Release(ctx, e.cfg.Worker); err != nil {
		return err
	}
	if err := e.Renew(ctx, true); err != nil {
		return err
	}
	if err := e.enrolQuotas(ctx); err != nil {
		return err
	}
	if err := e.adopt(ctx); err != nil {
		return err
	}
	if err := e.ledger.reload(ctx, e.store, time.Now()); err != nil {
		return err
	}
	if err := e.enrol(ctx); err != nil {
		return err
	}
	if err := e.gatherPools(ctx); err != nil {
		return err
	}
	run, cancel := context.WithCancel(context.WithoutCancel(ctx))
	e.stop = cancel
	for _, h := range e.all() {
		h.start(run)
	}
	if err := e.gather(run); err != nil {
		e.Stop()
		return err
	}
	e.work.Go(func() { e.gatherAgain(run) })
	e.work.Go(func() { e.beat(run) })
	e.work.Go(func() { e.muster(run) })
	e.work.Go(func() { e.purge(run) })
	e.work.Go(func() { e.tellRefusals(run) })
	e.work.Go(func() { e.expireUploads(run) })
	return nil
}

// Stop ends the work: nothing new is started, and what runs is interrupted and
// will be taken up by the next Start, or by another server, which watches the hosts at
// once. It returns when all is still; to call it again does nothing.
func (e *Engine) Stop() {
	if e.stop == nil {
		return
	}
	e.stop()
	e.stop = nil
	e.work.Wait()
	for _, h := range e.all() {
		h.end()
	}
	e.leave(context.Background())
}

// all lists the hosts.
func (e *Engine) all() []*host { return *e.hosts.Load() }
