package engine

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/occid/occid/hypervisor"
	"github.com/occid/occid/internal/auth"
	"github.com/occid/occid/occi"
)

// drainAtOnce is how many machines leave a host at once that is drained.
const drainAtOnce = 2

// tidyTime bounds what is done for a machine that has not moved.
const tidyTime = 30 * time.Second

// elsewhere is why a task cannot run on its host: what it is about is on another one by now.
type elsewhere struct{ host string }

func (e *elsewhere) Error() string { return "what the task is about has moved to another host" }

// at names the host where a task is to run.
func (j *job) at() string {
	if part(j.m, j.x).device && j.src != nil {
		return j.src.Host
	}
	return j.x.Host
}

// depart moves a machine to the host that it is marked to move to.
func (h *host) depart(ctx context.Context, j *job) error {
	to := h.e.host(j.x.Moving)
	if to == nil {
		return errors.New("the host that it was to move to is none of this server")
	}
	if j.task.Cancel {
		// Who asked for that was not told where the machine is; the hosts still tell.
		ended, end := context.WithCancelCause(ctx)
		end(errCancelled)
		ctx = ended
	}
	clean, cancel := context.WithTimeout(context.WithoutCancel(ctx), tidyTime)
	defer cancel()
	restarts := j.param("method") == "cold" && atWork(j.m, j.x) && !isPaused(j.m, j.x)
	err := h.travel(ctx, j, to, restarts)
	if errors.Is(err, hypervisor.ErrUnavailable) {
		return err
	}
	if err != nil {
		if restarts {
			err = errors.Join(err, gone(h.drv.StartDomain(clean, j.x.ID)))
		}
		h.e.abandoned(clean, to, j)
		return err
	}
	if errors.Is(context.Cause(ctx), errCancelled) {
		ctx = clean // too late
	}
	if restarts {
		if err = to.drv.StartDomain(ctx, j.x.ID); err != nil {
			err = &stranded{err}
		}
	}
	h.e.abandoned(ctx, h, j)
	// What was not done to the end is done again.
	return errors.Join(err, ctx.Err())
}

// stranded is why a machine that has moved does not go on.
type stranded struct{ error }

func (s *stranded) Error() string { return "it has moved, but does not start: " + s.error.Error() }

func (s *stranded) Unwrap() error { return s.error }

// travel has the target made ready and the machine move.
func (h *host) travel(ctx context.Context, j *job, to *host, restarts bool) error {
	for _, l := range j.x.Links {
		if isNIC(j.m, l) {
			there := *j
			there.drv = to.drv
			if err := to.mendTarget(ctx, &there, l); err != nil {
				return lasting(fmt.Errorf("its networks cannot be made on the target: %w", err))
			}
		}
	}
	if restarts && ctx.Err() == nil {
		mode := hypervisor.StopMode{ACPI: true, Force: true, Timeout: j.cfg.StopTimeout}
		if err := gone(h.drv.StopDomain(ctx, j.x.ID, mode)); err != nil {
			return err
		}
	}
	return h.drv.MigrateDomain(ctx, domainOf(j.m, j.x), to.drv, hypervisor.Migration{
		Storage: hypervisor.StorageMove(j.param("storage")), BandwidthMiB: int(j.params.Get("bandwidth").Num),
		AutoConverge: isTrue(j.params.Get("auto_converge")), PostCopy: isTrue(j.params.Get("post_copy")), Paused: isPaused(j.m, j.x), Progress: j.sent})
}

// isPaused reports whether a machine is paused, and to stay so.
func isPaused(m *occi.Model, x *occi.Entity) bool {
	return m.State(x) == stateOf(m.Kind(x.Kind), hypervisor.Paused)
}

// lasting makes the loss of a target a fault that is not tried again: whoever moves
// machines would rather know, and may choose another one.
func lasting(err error) error {
	if errors.Is(err, hypervisor.ErrUnavailable) {
		return fmt.Errorf("%v", err)
	}
	return err
}

// abandoned removes the networks of a machine from a host that is not theirs and where no
// other machine has an interface in them.
func (e *Engine) abandoned(ctx context.Context, h *host, j *job) {
	for _, l := range j.x.Links {
		if !isNIC(j.m, l) {
			continue
		}
		if err := e.abandon(ctx, h, j.m, l); err != nil {
			e.log.Warn("a network that no machine uses was not removed from a host", "network", l.Target.ID, "host", h.name, "error", err)
		}
	}
}

// abandon removes the network of a link from a host that is not its own and where no other
// machine has an interface in it.
func (e *Engine) abandon(ctx context.Context, h *host, m *occi.Model, l *occi.Entity) error {
	network, err := e.anyway(ctx, l.Target.ID)
	if err != nil || network == nil || network.Host == h.name {
		return err
	}
	leave, err := h.lanes.take(ctx, l.Target.ID)
	if err != nil {
		return err
	}
	defer leave()
	incoming, err := e.store.Incoming(ctx, l.Target.ID)
	if err != nil {
		return err
	}
	for _, o := range incoming {
		if o.Source.ID != l.Source.ID && isNIC(m, o) && !o.Deleted && (o.Host == h.name || o.Moving == h.name) {
			return nil
		}
	}
	return h.drv.DeleteNetwork(ctx, l.Target.ID)
}

// also are the other hosts where machines have interfaces in a network.
func (h *host) also(ctx context.Context, network uuid.UUID) ([]*host, error) {
	incoming, err := h.e.store.Incoming(ctx, network)
	var out []*host
	for _, l := range incoming {
		for _, name := range []string{l.Host, l.Moving} {
			if o := h.e.host(name); o != nil && o != h && isNIC(h.e.Model(), l) && !slices.Contains(out, o) {
				out = append(out, o)
			}
		}
	}
	return out, err
}

// handOver gives a task to the host that what it is about is on.
func (e *Engine) handOver(ctx context.Context, t *occi.Task, to string) error {
	w := *t
	w.State, w.Host, w.NotBefore = occi.TaskPending, to, e.now()
	err := e.store.Commit(ctx, &occi.Change{At: e.now(), Tasks: []*occi.Task{&w}})
	e.wake(to)
	return err
}

// drain moves all machines off a host, and tells which remain and why.
func (h *host) drain(ctx context.Context, j *job) error {
	// Its tasks are those of the machines: it leaves them its slot.
	<-h.slots
	defer func() { h.slots <- struct{}{} }()
	d := &draining{h: h, who: j.task.Who, reasons: map[uuid.UUID]string{}}
	for {
		all, err := h.machines(ctx)
		if err != nil {
			return err
		}
		next := slices.DeleteFunc(slices.Clone(all), func(x *occi.Entity) bool { return d.tried(x.ID) })
		if len(next) == 0 {
			return d.report(j.m, all)
		}
		if _, err := h.info(ctx); err != nil {
			// What it has would wait for it.
			for _, x := range next {
				d.reasons[x.ID] = "the host does not answer: " + firstLine(err.Error())
			}
			continue
		}
		d.evict(ctx, next, func() { j.progress(d.percent(len(all))) })
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
}

// draining is what was tried to empty a host.
type draining struct {
	h   *host
	who string

	mu      sync.Mutex
	reasons map[uuid.UUID]string // of each that was tried, "" for one that has moved
}

// caller is who has machines move: an operator asked for that.
func (d *draining) caller() Caller { return Caller{Name: d.who, Roles: auth.Administrator} }

func (d *draining) tried(id uuid.UUID) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	_, ok := d.reasons[id]
	return ok
}

func (d *draining) percent(of int) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return min(99, 100*len(d.reasons)/max(1, of))
}

// evict moves machines, a few at once, and calls told after each.
func (d *draining) evict(ctx context.Context, xs []*occi.Entity, told func()) {
	free := make(chan struct{}, drainAtOnce)
	var all sync.WaitGroup
	for _, x := range xs {
		select {
		case free <- struct{}{}:
		case <-ctx.Done():
		}
		if ctx.Err() != nil {
			break
		}
		all.Go(func() {
			defer func() { <-free }()
			why := ""
			if err := d.evictOne(ctx, x); err != nil {
				why = err.Error()
			}
			d.mu.Lock()
			d.reasons[x.ID] = why
			d.mu.Unlock()
			told()
		})
	}
	all.Wait()
}

// evictOne moves a machine and waits until it has, or cannot. If nobody waits any more it
// stays.
func (d *draining) evictOne(ctx context.Context, x *occi.Entity) error {
	m := d.h.e.Model()
	action := movingAction(m, x)
	if action == nil {
		return fmt.Errorf("the registry has no action that moves a %s", x.Kind)
	}
	id, err := d.begun(ctx, x, action)
	if err == nil && id == uuid.Nil {
		var out *Outcome
		if out, err = d.h.e.Act(ctx, d.caller(), []uuid.UUID{x.ID}, &occi.Draft{Action: action.ID()}, Options{}); err == nil && len(out.Tasks) > 0 {
			id = out.Tasks[len(out.Tasks)-1].ID
		}
	}
	if errors.Is(err, occi.NotFound) {
		return nil // it was deleted
	}
	if err != nil || id == uuid.Nil {
		return err
	}
	if err := d.h.e.Wait(ctx, []uuid.UUID{id}); err != nil {
		clean, cancel := context.WithTimeout(context.WithoutCancel(ctx), tidyTime)
		defer cancel()
		if errors.Is(context.Cause(ctx), errCancelled) {
			_, _ = d.h.e.Cancel(clean, d.caller(), id)
		}
		return err
	}
	t, err := d.h.e.store.Task(ctx, id)
	if err == nil && t.State != occi.TaskDone {
		err = errors.New(cmp.Or(t.Error, string(t.State)))
	}
	return err
}

// begun finds the task that moves a machine already.
func (d *draining) begun(ctx context.Context, x *occi.Entity, action *occi.Action) (uuid.UUID, error) {
	if x.Moving == "" {
		return uuid.Nil, nil
	}
	tasks, err := d.h.e.store.Unfinished(ctx, []uuid.UUID{lane(x)})
	for _, t := range tasks {
		if t.Entity == x.ID && t.Verb == action.Term {
			return t.ID, nil
		}
	}
	return uuid.Nil, err
}

// movingAction is the action of a machine's kind that moves it; nil if there is none.
func movingAction(m *occi.Model, x *occi.Entity) *occi.Action {
	for _, a := range m.Actions {
		if op := operations[a.Do]; op != nil && op.moves && m.ActionOf(m.Kind(x.Kind), x.Mixins, a.Term) == a {
			return a
		}
	}
	return nil
}

// report tells which machines remain, and why.
func (d *draining) report(m *occi.Model, remain []*occi.Entity) error {
	if len(remain) == 0 {
		return nil
	}
	var texts []string
	for _, x := range remain[:min(len(remain), remainShown)] {
		texts = append(texts, fmt.Sprintf("%s (%s): %s", m.Path(x), m.State(x), cmp.Or(d.reasons[x.ID], "it came back")))
	}
	if n := len(remain) - len(texts); n > 0 {
		texts = append(texts, fmt.Sprintf("and %d more", n))
	}
	return occi.E(occi.Conflict, "%d of %d machines remain on the host: %s", len(remain), len(d.reasons), strings.Join(texts, "; "))
}

// moved has the host of a machine that has moved look at it, as it was not told while the
// machine was another's.
func (e *Engine) moved(x *occi.Entity) {
	if h := e.host(x.Host); h != nil {
		h.notice(hypervisor.Event{Domain: x.ID})
		e.wake(h.name)
	}
}
