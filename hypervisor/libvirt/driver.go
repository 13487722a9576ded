package libvirt

import (
	"context"
	"fmt"
	"sync/atomic"

	"github.com/google/uuid"

	"github.com/occid/occid/hypervisor"
)

// Driver controls one host. It is safe for concurrent use.
type Driver struct {
	cfg    Config
	keeper keeper[*session]
	hub    hub
	locks  locks
	nets   locks // see session
	known  devices
	more   atomic.Pointer[[]Pool] // offered since
	slots  chan struct{}          // one token per call under way
	agents chan struct{}          // one token per agent that is being asked
	hung   atomic.Int64           // calls under way whose callers have given up
	closed chan struct{}
	quit   func() // closes closed, once
}

var _ hypervisor.Driver = (*Driver)(nil)

// Open makes a Driver and begins to connect to the host; it does not wait for
// it. An error means that this process cannot use libvirt at all, or that
// c.URI is missing.
func Open(c Config) (*Driver, error) {
	if c.URI == "" {
		return nil, fmt.Errorf("a libvirt host needs a connection URI")
	}
	if err := eventLoop(); err != nil {
		return nil, fmt.Errorf("libvirt's event loop: %w", err)
	}
	c = c.withDefaults()
	if err := c.checkPools(); err != nil {
		return nil, err
	}
	closed, quit := closeOnce()
	d := &Driver{cfg: c, slots: make(chan struct{}, c.Calls), agents: make(chan struct{}, agentsAtOnce), closed: closed, quit: quit}
	d.more.Store(&[]Pool{})
	d.keeper.log = c.Logger.With("uri", c.URI)
	d.keeper.dial = func() (*session, error) { return dial(&d.cfg, &d.more, &d.hub, &d.nets) }
	d.keeper.reopen = func() { d.hub.publish(happening{kind: reconnected, event: hypervisor.Event{Reconnected: true}}) }
	d.keeper.start()
	return d, nil
}

// Close implements hypervisor.Driver.
func (d *Driver) Close() error {
	d.quit()
	d.keeper.close()
	return nil
}

// Info implements hypervisor.Driver.
func (d *Driver) Info(ctx context.Context) (hypervisor.Info, error) {
	return call(ctx, d, "describe host", nobody, func(_ context.Context, s *session) (hypervisor.Info, error) { return s.info() })
}

// Watch implements hypervisor.Driver. It gives ctx's error, or ErrUnavailable
// when the Driver is closed.
func (d *Driver) Watch(ctx context.Context, f func(hypervisor.Event)) error {
	stop := d.hub.watch(func(x happening) {
		if x.kind == changed || x.kind == redefined || x.kind == reconnected {
			f(x.event)
		}
	})
	defer stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-d.closed:
		return errClosed
	}
}

// errClosed says that the Driver was closed.
var errClosed = fmt.Errorf("%w: the driver is closed", hypervisor.ErrUnavailable)

// nobody is the ID of calls that are about no one thing.
var nobody uuid.UUID

// call runs f over the open connection and gives what it gives. Calls with the
// same ID follow one another. When ctx ends or the Driver is closed call returns,
// though f may still be waiting for the host; f changes nothing from then on, and
// what it holds it gives back when it ends.
func call[T any](ctx context.Context, d *Driver, what string, id uuid.UUID, f func(context.Context, *session) (T, error)) (T, error) {
	var none T
	operation := what
	if id != nobody {
		what = fmt.Sprintf("%s %s", what, id)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	release, err := d.admit(ctx, id)
	if err != nil {
		return none, translate(what, err)
	}
	type result struct {
		v   T
		err error
	}
	done := make(chan result, 1)
	observed, end := d.cfg.Observer.Call(ctx, operation)
	var left leaving
	go func() {
		defer release()
		defer left.ended(d)
		v, err := use(observed, d, f)
		err = translate(what, err)
		end(err)
		done <- result{v, err}
	}()
	select {
	case r := <-done:
		return r.v, r.err
	case <-ctx.Done():
		left.leave(d)
		return none, translate(what, ctx.Err())
	case <-d.closed:
		left.leave(d)
		return none, translate(what, errClosed)
	}
}

// do is call for what gives nothing.
func (d *Driver) do(ctx context.Context, what string, id uuid.UUID, f func(context.Context, *session) error) error {
	_, err := call(ctx, d, what, id, func(ctx context.Context, s *session) (struct{}, error) { return struct{}{}, f(ctx, s) })
	return err
}

// admit waits for the lock on id and for a free slot.
func (d *Driver) admit(ctx context.Context, id uuid.UUID) (release func(), err error) {
	unlock := func() {}
	if id != nobody {
		if unlock, err = d.locks.lock(ctx, id); err != nil {
			return nil, fmt.Errorf("waiting for an earlier call: %w", err)
		}
	}
	select {
	case d.slots <- struct{}{}:
		return func() { <-d.slots; unlock() }, nil
	case <-ctx.Done():
		unlock()
		return nil, fmt.Errorf("%d calls are under way: %w", cap(d.slots), ctx.Err())
	case <-d.closed:
		unlock()
		return nil, errClosed
	}
}

// use runs f with the open connection, and has it made anew if it turns out to
// be dead.
func use[T any](ctx context.Context, d *Driver, f func(context.Context, *session) (T, error)) (T, error) {
	var none T
	s, err := d.keeper.get(ctx)
	if err != nil {
		return none, err
	}
	if err := s.hold(); err != nil {
		return none, err
	}
	defer s.release()
	v, err := f(ctx, s)
	if err != nil {
		s.check()
	}
	return v, err
}
