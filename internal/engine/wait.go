package engine

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/occid/occid/internal/policy"
	"github.com/occid/occid/occi"
)

// lookEvery is how often a wait looks for itself: a task that another server
// finishes is not told of here.
const lookEvery = 500 * time.Millisecond

// waiters tell when tasks are over. The zero value is ready for use.
type waiters struct {
	mu    sync.Mutex
	tasks map[uuid.UUID]*waited
}

// waited is a task that somebody waits for.
type waited struct {
	over  chan struct{}
	users int
}

// join begins to wait for a task, until leave.
func (w *waiters) join(id uuid.UUID) (over <-chan struct{}, leave func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.tasks == nil {
		w.tasks = map[uuid.UUID]*waited{}
	}
	t := w.tasks[id]
	if t == nil {
		t = &waited{over: make(chan struct{})}
		w.tasks[id] = t
	}
	t.users++
	return t.over, func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		if t.users--; t.users == 0 && w.tasks[id] == t {
			delete(w.tasks, id)
		}
	}
}

// over releases who waits for a task.
func (w *waiters) over(id uuid.UUID) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if t := w.tasks[id]; t != nil {
		close(t.over)
		delete(w.tasks, id)
	}
}

// Wait returns when all the tasks are over, whichever server works on them, or
// with ctx's error when it ends.
func (e *Engine) Wait(ctx context.Context, tasks []uuid.UUID) error {
	for _, id := range tasks {
		if err := e.wait(ctx, id); err != nil {
			return err
		}
	}
	return nil
}

func (e *Engine) wait(ctx context.Context, id uuid.UUID) error {
	// Joined before the first look, so that no end is missed.
	over, leave := e.waiters.join(id)
	defer leave()
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		t, err := e.store.Task(ctx, id)
		if errors.Is(err, occi.NotFound) || err == nil && t.State.Over() {
			return nil
		}
		if err != nil {
			return err
		}
		select {
		case <-over:
			return nil
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// runningTasks are the tasks this server works on, with what interrupts them.
// The zero value is ready for use.
type runningTasks struct {
	mu   sync.Mutex
	stop map[uuid.UUID]context.CancelCauseFunc
}

func (r *runningTasks) add(id uuid.UUID, stop context.CancelCauseFunc) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.stop == nil {
		r.stop = map[uuid.UUID]context.CancelCauseFunc{}
	}
	r.stop[id] = stop
}

func (r *runningTasks) drop(id uuid.UUID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.stop, id)
}

// cancel interrupts a task and reports whether it was running here.
func (r *runningTasks) cancel(id uuid.UUID, cause error) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	stop := r.stop[id]
	if stop != nil {
		stop(cause)
	}
	return stop != nil
}

// errCancelled is why a task was interrupted that somebody cancelled.
var errCancelled = errors.New("cancelled")

// Cancel ends a task: one that waits is never started, one that runs is
// interrupted where its host allows. It gives the task as it is then. What a
// cancelled creation was to make is deleted. A task that is over, or that deletes,
// is a Conflict.
func (e *Engine) Cancel(ctx context.Context, c Caller, id uuid.UUID) (*occi.Task, error) {
	c = e.as(c)
	t, err := e.taskFor(ctx, c, policy.Cancel, id)
	if err != nil {
		return nil, err
	}
	switch {
	case t.State.Over():
		return nil, occi.E(occi.Conflict, "the task is over: %s", t.State)
	case t.Verb == verbDelete:
		return nil, occi.E(occi.Conflict, "a deletion cannot be cancelled")
	}
	if !e.running.cancel(id, errCancelled) {
		running, err := e.cancelPending(ctx, t)
		if err != nil {
			return nil, err
		}
		if !running {
			return e.store.Task(ctx, id)
		}
	}
	if err := e.Wait(ctx, []uuid.UUID{id}); err != nil {
		return nil, err
	}
	return e.store.Task(ctx, id)
}

// cancelPending ends a task that has not started, or interrupts it and reports
// that it has. The dispatcher claims nothing meanwhile.
func (e *Engine) cancelPending(ctx context.Context, t *occi.Task) (running bool, err error) {
	if h := e.host(t.Host); h != nil {
		if err := h.pause(ctx); err != nil {
			return false, err
		}
		defer h.resume()
	}
	if e.running.cancel(t.ID, errCancelled) {
		return true, nil
	}
	if t, err = e.store.Task(ctx, t.ID); err != nil {
		return false, err
	}
	if t.State != occi.TaskPending {
		return false, occi.E(occi.Conflict, "the task cannot be cancelled: it is %s", t.State)
	}
	return false, e.finish(ctx, t, nil, errCancelled)
}
