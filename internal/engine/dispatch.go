package engine

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"github.com/occid/occid/hypervisor"
	"github.com/occid/occid/occi"
)

// Times of the work on tasks.
const (
	// lease is how long another server waits for news of a claimed task.
	lease = time.Minute
	// idle is how long a dispatcher sleeps without a signal; what it would miss
	// are tasks of other servers only.
	idle = 30 * time.Second
	// progressTime is how often the progress of a task that moves much is put down.
	progressTime = time.Second
	// taskTime bounds one attempt, beside what a guest may take.
	taskTime = 3 * time.Minute
	// settleTime bounds the writing of an outcome.
	settleTime = 10 * time.Second
	// lookTime bounds a look at a machine that its outcome waits for.
	lookTime = 2 * time.Second
	// laneTime is how long a task waits for another lane; then it is tried again, so
	// that others have its slot.
	laneTime = 2 * time.Second
)

// host is a hypervisor with what waits for it.
type host struct {
	e       *Engine
	name    string
	title   string // what people call it
	drv     hypervisor.Driver
	wake    chan struct{}          // of capacity 1: something may be claimed
	slots   chan struct{}          // one token per task under way
	given   chan attempt           // that were claimed with their requests, and have their slots
	life    context.Context        // of what is done on the host
	gate    chan struct{}          // held while claiming; pause takes it
	placed  atomic.Int64           // entities placed here
	pools   atomic.Pointer[[]Pool] // that volumes can be in
	rules   Host                   // as configured
	view    atomic.Pointer[view]   // what its row says
	looked  chan struct{}          // closed once it was asked what it is
	lanes   lanes                  // where something is done now
	events  chan heard
	resync  chan struct{} // of capacity 1: compare with the rows
	relook  chan struct{} // of capacity 1: look whether it is connected
	remeter chan struct{} // of capacity 1: ask for its pools
	charge  charge
	fence   retrying            // of rescue
	looks   map[string]poolLook // of rescue: at other hosts' pools
	added   bool                // at run time: what its row says of it holds
	stop    context.CancelFunc
	work    sync.WaitGroup

	offering sync.Mutex // held while what is offered changes

	mu sync.Mutex
	// busy are what tasks are about that run here, whose events are in last until
	// they are over.
	busy map[uuid.UUID]bool
	last map[uuid.UUID]hypervisor.Event
	// told is what the host told of its pools, by name.
	told map[string]hypervisor.PoolStatus
	// here are those of them that it told of last; stored is what their rows say.
	here   map[string]bool
	stored map[string]poolView
}

func newHost(e *Engine, h Host) *host {
	own := &host{e: e, name: h.Name, title: cmp.Or(h.Title, h.Name), drv: h.Driver, wake: make(chan struct{}, 1), slots: make(chan struct{}, e.cfg.Slots), given: make(chan attempt, e.cfg.Slots),
		gate: make(chan struct{}, 1), events: make(chan heard, 1024), resync: make(chan struct{}, 1), relook: make(chan struct{}, 1),
		busy: map[uuid.UUID]bool{}, last: map[uuid.UUID]hypervisor.Event{},
		remeter: make(chan struct{}, 1), rules: h, looked: make(chan struct{}), told: map[string]hypervisor.PoolStatus{}, looks: map[string]poolLook{}, stored: map[string]poolView{}}
	own.pools.Store(&h.Pools)
	return own
}

func (h *host) start(ctx context.Context) {
	ctx, h.stop = context.WithCancel(ctx)
	h.life = ctx
	for _, f := range []func(context.Context){h.dispatch, h.watch, h.follow, h.observe, h.gauge, h.describe, h.rescue} {
		h.work.Go(func() { f(ctx) })
	}
}

// end interrupts what is done on the host, and returns when all is still.
func (h *host) end() {
	h.stop()
	h.work.Wait()
	if h.added {
		// Nobody can do anything about it.
		_ = h.drv.Close()
	}
}

// signal sends without waiting; one signal stands for many.
func signal(ch chan struct{}) {
	select {
	case ch <- struct{}{}:
	default:
	}
}

func (e *Engine) wake(name string) {
	if h := e.host(name); h != nil {
		signal(h.wake)
	}
}

// pause keeps the dispatcher from claiming until resume.
func (h *host) pause(ctx context.Context) error {
	select {
	case h.gate <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (h *host) resume() { <-h.gate }

// reserve takes a slot for a task that is not stored yet, unless something would have to be
// waited for.
func (h *host) reserve() bool {
	select {
	case <-h.looked:
	default:
		return false
	}
	return h.works() && h.slot()
}

// slot takes one of the slots if one is free.
func (h *host) slot() bool {
	select {
	case h.slots <- struct{}{}:
		return true
	default:
		return false
	}
}

// unreserve undoes reserve, for an attempt that is not made.
func (h *host) unreserve(a attempt) {
	h.e.running.drop(a.task.ID)
	a.stop(nil)
	<-h.slots
	signal(h.wake)
}

// dispatch claims tasks when it is told that there may be some and runs each in
// its own goroutine, as many at once as there are slots.
func (h *host) dispatch(ctx context.Context) {
	timer := time.NewTimer(idle)
	defer timer.Stop()
	select {
	case <-h.looked:
	case <-ctx.Done():
		return
	}
	for {
		tasks, next, err := h.claim(ctx)
		if err != nil && ctx.Err() == nil {
			h.e.log.Error("tasks cannot be claimed", "host", h.name, "error", err)
			next = h.e.now().Add(time.Second)
		}
		for _, a := range tasks {
			h.launch(ctx, a)
		}
		pause := idle
		if !next.IsZero() {
			pause = min(pause, max(0, next.Sub(h.e.now())))
		}
		timer.Reset(pause)
		if !h.await(ctx, timer.C) {
			return
		}
	}
}

// await returns when something may be claimed, meanwhile runs what it is given, and reports
// false when ctx ends.
func (h *host) await(ctx context.Context, due <-chan time.Time) bool {
	for {
		select {
		case <-ctx.Done():
			for len(h.given) > 0 {
				h.launch(ctx, <-h.given)
			}
			return false
		case a := <-h.given:
			h.launch(ctx, a)
		case <-h.wake:
			return true
		case <-due:
			return true
		}
	}
}

// launch runs an attempt that has a slot.
func (h *host) launch(ctx context.Context, a attempt) {
	h.work.Go(func() {
		h.run(ctx, a)
		<-h.slots
		signal(h.wake)
	})
}

// attempt is a claimed task that is about to run. work ends when somebody
// cancels the task or the engine stops. progress is in percent, -1 if not known; over is
// the task as it ended, if what it did was written with its end.
type attempt struct {
	progress    *atomic.Int32
	done, total *atomic.Int64 // bytes, of what counts them
	over        *atomic.Pointer[occi.Task]
	task        *occi.Task
	work        context.Context
	stop        context.CancelCauseFunc
}

// claim claims what it has slots for, which they then have.
func (h *host) claim(ctx context.Context) ([]attempt, time.Time, error) {
	if len(h.slots) == cap(h.slots) || !h.works() {
		return nil, time.Time{}, nil
	}
	h.e.traffic.giveWay(ctx)
	if err := h.pause(ctx); err != nil {
		return nil, time.Time{}, err
	}
	defer h.resume()
	free := 0
	for h.slot() {
		free++
	}
	if free == 0 {
		return nil, time.Time{}, nil
	}
	tasks, next, err := h.e.store.Claim(ctx, h.name, h.e.cfg.Worker, free, h.e.now(), lease)
	var attempts []attempt
	for _, t := range tasks {
		attempts = append(attempts, h.attempt(t))
	}
	for range free - len(tasks) {
		<-h.slots
	}
	return attempts, next, err
}

// attempt is one at a task that was claimed, which can be cancelled from now on.
func (h *host) attempt(t *occi.Task) attempt {
	work, stop := context.WithCancelCause(h.life)
	h.e.running.add(t.ID, stop)
	a := attempt{task: t, work: work, stop: stop, progress: &atomic.Int32{}, done: &atomic.Int64{}, total: &atomic.Int64{}, over: &atomic.Pointer[occi.Task]{}}
	a.progress.Store(-1)
	return a
}

// run makes one attempt at a task and writes what came of it.
func (h *host) run(ctx context.Context, a attempt) {
	t := a.task
	defer h.e.running.drop(t.ID)
	defer a.stop(nil)
	limit := taskTime + h.e.cfg.StopTimeout
	if h.e.lasts(t) {
		limit = copyTime
	}
	bounded, cancel := context.WithTimeout(a.work, limit)
	defer cancel()
	if t.Attempts == 1 {
		h.e.cfg.Observer.TaskBegun(t)
	}
	renewed := h.renew(bounded, a)
	h.begin(t.Entity)
	defer h.quit(t.Entity)
	traced, end := h.e.cfg.Tracer.Task(bounded, t)
	leave, err := h.lanes.take(traced, t.Lane)
	var x *occi.Entity
	if err == nil {
		// Whoever has the lane next is to find the row as this task leaves it.
		defer leave()
		x, err = h.perform(traced, a)
	}
	end(err)
	cancel()
	<-renewed
	if over := a.over.Load(); over != nil {
		h.e.tellOver(over, nil, nil)
		return
	}
	t.Done, t.Total = a.done.Load(), a.total.Load()
	op := h.e.operation(t)
	switch cause := context.Cause(a.work); {
	case err != nil && (errors.Is(cause, errCancelled) || t.Cancel):
		if op != nil && (op.moves || op.imports) && transient(err) {
			// It is not known where, or whose, the machine is: that must be found out first.
			t.Cancel = true
			break
		}
		err = errCancelled
	case err != nil && errors.Is(cause, errLost):
		h.e.log.Warn("the claim on a task was lost; it is left to whoever has it", "task", t.ID, "host", h.name)
		return
	}
	h.settle(ctx, t, x, err)
}

// errLost is why a task was interrupted whose claim another worker may take over.
var errLost = errors.New("the claim was lost")

// renew keeps the claim on a task while it runs. It interrupts the task if that
// does not succeed in time: by the end of the lease nothing may be done any more.
func (h *host) renew(ctx context.Context, a attempt) <-chan struct{} {
	done := make(chan struct{})
	copied, last := *a.task, time.Now()
	every := lease / 4
	if h.e.lasts(a.task) {
		every = progressTime
	}
	go func() {
		defer close(done)
		end := time.AfterFunc(2*lease/3, func() { a.stop(errLost) })
		defer end.Stop()
		tick := time.NewTicker(every)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			now, done := int(a.progress.Load()), a.done.Load()
			if now == copied.Progress && done == copied.Done && time.Since(last) < lease/4 {
				continue
			}
			copied.Progress, copied.Done, copied.Total, last = now, done, a.total.Load(), time.Now()
			err := h.e.store.Commit(ctx, &occi.Change{At: h.e.now(), Tasks: []*occi.Task{&copied}})
			switch {
			case err == nil:
				end.Reset(2 * lease / 3)
			case errors.Is(err, occi.Conflict):
				a.stop(errLost)
			case ctx.Err() == nil:
				h.e.log.Warn("the claim on a task was not renewed", "task", copied.ID, "error", err)
			}
		}
	}()
	return done
}

// settle writes the outcome of an attempt. If the database is away for long, or
// the task was claimed again, nothing is written and the task is repeated. x is
// what the task is about as it was before, nil if that is not known.
func (h *host) settle(ctx context.Context, t *occi.Task, x *occi.Entity, err error) {
	log := h.e.log.With("task", t.ID, "verb", t.Verb, "entity", t.Entity, "host", h.name)
	again := err != nil && !errors.Is(err, errCancelled) && (transient(err) || ctx.Err() != nil)
	write, cancel := context.WithTimeout(context.WithoutCancel(ctx), settleTime)
	defer cancel()
	for i := 1; ; i++ {
		var werr error
		if moved, ok := errors.AsType[*elsewhere](err); ok {
			werr = h.e.handOver(write, t, moved.host)
		} else if again {
			werr = h.e.postpone(write, t, err)
		} else {
			werr = h.e.finish(write, t, x, err)
		}
		if werr == nil {
			break
		}
		if write.Err() != nil || h.superseded(write, t) {
			log.Error("the outcome of a task was not written", "error", werr)
			return
		}
		select {
		case <-write.Done():
		case <-time.After(backoff(i)):
		}
	}
	switch {
	case err == nil:
		log.Debug("task done", "attempts", t.Attempts)
	case again:
		log.Warn("task postponed", "attempts", t.Attempts, "error", err)
	default:
		log.Info("task not done", "attempts", t.Attempts, "error", err)
	}
}

// superseded reports whether a task was claimed again or ended by another worker.
func (h *host) superseded(ctx context.Context, t *occi.Task) bool {
	now, err := h.e.store.Task(ctx, t.ID)
	return err == nil && (now.State.Over() || now.Attempts > t.Attempts)
}

// perform does on the host what a task asks for, and gives what that is about as
// it was before, nil if there is none.
func (h *host) perform(ctx context.Context, a attempt) (*occi.Entity, error) {
	t := a.task
	if op := h.e.operation(t); t.Cancel && (op == nil || !op.moves && !op.imports) {
		return nil, errCancelled
	}
	j, err := h.job(ctx, t)
	if err != nil {
		return nil, err
	}
	if at := j.at(); at != h.name && h.e.host(at) != nil {
		return nil, &elsewhere{at}
	}
	j.progress = func(percent int) { a.progress.Store(int32(percent)) }
	j.sent = func(done, total int64) {
		// What is left to send may grow meanwhile.
		j.progress(max(int(a.progress.Load()), int(99*done/max(1, total))))
		a.done.Store(done)
		a.total.Store(total)
	}
	j.ended = a.over.Store
	return j.x, h.carryOut(ctx, j, t)
}

func (h *host) carryOut(ctx context.Context, j *job, t *occi.Task) error {
	ops := part(j.m, j.x)
	switch {
	case t.Verb == verbDelete:
		return h.removable(ctx, j, ops)
	case t.Verb == verbUpdate:
		// Also of what is being deleted: it comes back if the host refuses that.
		return h.mended(ctx, j, ops.update)
	case j.x.Deleted:
		return errGone
	case t.Verb == verbContent:
		return h.takeUpload(ctx, j)
	case t.Verb != verbCreate && t.Verb != verbRemake:
		return h.operate(ctx, j, t.Verb, t.Attributes)
	}
	if copying := t.Attributes.Get(paramCopy).Text; copying != "" {
		return h.outcomeOf(ctx, copying)
	}
	if err := h.mended(ctx, j, ops.define); err != nil {
		return err
	}
	return h.operate(ctx, j, t.Attributes.Get(paramAuto).Text, nil)
}

// removable removes an entity unless something was linked to it while it was
// being deleted.
func (h *host) removable(ctx context.Context, j *job, ops *partOps) error {
	if !ops.device && !ops.machine {
		users, err := h.e.users(ctx, []uuid.UUID{j.x.ID}, nil)
		if err != nil {
			return err
		}
		if len(users.links) > 0 {
			return occi.E(occi.Conflict, "it is in use by %s", j.m.RefPath(users.links[0].Source))
		}
		if ps, err := h.e.imageUsers(ctx, j.m, []*occi.Entity{j.x}, nil); err != nil || len(ps) > 0 {
			return errors.Join(err, occi.Problems(occi.Conflict, "it is in use", ps))
		}
	}
	return ops.remove(ctx, j)
}

// operate carries out an action on the host. Without parameters the action has
// its defaults; without a term there is nothing to do.
func (h *host) operate(ctx context.Context, j *job, term string, params occi.Attrs) error {
	if term == "" {
		return nil
	}
	action := j.m.ActionOf(j.m.Kind(j.x.Kind), j.x.Mixins, term)
	if action == nil || operations[action.Do] == nil {
		return occi.E(occi.Internal, "nothing on a host carries out %q of %s", term, j.x.Kind)
	}
	if len(params) == 0 {
		var err error
		if params, err = j.m.Parameters(action, &occi.Draft{}); err != nil {
			return err
		}
	}
	own := *j
	own.params, own.verb = params, term
	op := operations[action.Do]
	switch {
	case op.moves:
		return h.depart(ctx, &own)
	case op.empties:
		return h.drain(ctx, &own)
	case op.imports:
		return h.importStray(ctx, &own)
	case op.copies == nil:
		return h.mended(ctx, &own, op.run)
	}
	// What is missing on the host would only be made without its content.
	if err := h.wanted(ctx, params); err != nil {
		return err
	}
	return op.run(ctx, &own)
}

func (h *host) job(ctx context.Context, t *occi.Task) (*job, error) {
	x, err := h.e.store.EntityAny(ctx, t.Entity)
	if errors.Is(err, occi.NotFound) {
		return nil, errGone
	}
	if err != nil {
		return nil, err
	}
	src, err := h.e.anyway(ctx, x.Source.ID)
	if err != nil {
		return nil, err
	}
	// It may be about what mixins are defined as now, on whichever server.
	if err := h.e.Renew(ctx, ofUsers(h.e.Model(), x, src)); err != nil {
		return nil, err
	}
	j := &job{drv: h.drv, m: h.e.Model(), x: x, src: src, params: t.Attributes, verb: t.Verb, task: t, cfg: &h.e.cfg, entities: h.e.entities,
		pool: h.volumePool, pooled: len(h.offers()) > 0}
	j.also = func(ctx context.Context, do func(hypervisor.Driver) error) error {
		others, err := h.also(ctx, x.ID)
		for _, o := range others {
			err = errors.Join(err, do(o.drv))
		}
		return err
	}
	j.abandon = func(ctx context.Context, nic *occi.Entity) error { return h.e.abandon(ctx, h, j.m, nic) }
	if j.m.Kind(x.Kind) == nil || part(j.m, x).define == nil && !part(j.m, x).own && !part(j.m, x).stray {
		return nil, occi.E(occi.Internal, "nothing on a host stands for a %s", x.Kind)
	}
	if x.Source.ID == uuid.Nil {
		j.image, err = h.e.anyway(ctx, imageOf(j.m, x))
	}
	return j, err
}

// ofUsers reports whether entities, or links of theirs, carry mixins that the registry
// does not have or that users have defined; nil ones do not.
func ofUsers(m *occi.Model, xs ...*occi.Entity) bool {
	theirs := func(id string) bool { mx := m.Mixin(id); return mx == nil || mx.User }
	return slices.ContainsFunc(xs, func(x *occi.Entity) bool {
		return x != nil && (slices.ContainsFunc(x.Mixins, theirs) || ofUsers(m, x.Links...))
	})
}

// anyway gives an entity, be it deleted; nil if there is none.
func (e *Engine) anyway(ctx context.Context, id uuid.UUID) (*occi.Entity, error) {
	if id == uuid.Nil {
		return nil, nil
	}
	x, err := e.store.EntityAny(ctx, id)
	if errors.Is(err, occi.NotFound) {
		return nil, nil
	}
	return x, err
}
