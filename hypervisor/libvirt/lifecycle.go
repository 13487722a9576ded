package libvirt

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"libvirt.org/go/libvirt"

	"github.com/occid/occid/hypervisor"
)

// press is how often a guest is asked until it follows.
const press = 5 * time.Second

// state is what the domain does now.
func (m *machine) state() (hypervisor.State, error) {
	st, _, err := m.dom.GetState()
	if err != nil {
		return "", err
	}
	return m.stateOf(st)
}

// stateOf translates a state of libvirt's.
func (m *machine) stateOf(st libvirt.DomainState) (hypervisor.State, error) {
	if st != libvirt.DOMAIN_SHUTOFF {
		return stateOf(st, false), nil
	}
	saved, err := m.dom.HasManagedSaveImage(0)
	return stateOf(st, saved), err
}

// stateOf translates a state of libvirt's of a domain that has a managed save
// image or not.
func stateOf(st libvirt.DomainState, saved bool) hypervisor.State {
	switch st {
	case libvirt.DOMAIN_PAUSED, libvirt.DOMAIN_PMSUSPENDED:
		return hypervisor.Paused
	case libvirt.DOMAIN_CRASHED:
		return hypervisor.Crashed
	case libvirt.DOMAIN_SHUTOFF:
		if saved {
			return hypervisor.Saved
		}
		return hypervisor.Stopped
	}
	return hypervisor.Running // also while it shuts down
}

// move is one step on the way to a state.
type move struct {
	op string
	do func() error
}

// drive takes one step after another until next has none left for the state that
// the domain is in. A step that failed does not matter if the state has changed
// all the same: somebody else may have been faster.
func (m *machine) drive(ctx context.Context, next func(hypervisor.State) (*move, error)) error {
	const enough = 6
	var was hypervisor.State
	var failed error
	for range enough {
		is, err := m.state()
		if err != nil {
			return err
		}
		if failed != nil && is == was {
			return failed
		}
		step, err := next(is)
		if step == nil || err != nil {
			return err
		}
		was, failed = is, m.change(ctx, step.op, step.do)
		if err := ctx.Err(); err != nil {
			return err
		}
	}
	if failed != nil {
		return failed
	}
	return fmt.Errorf("it does not settle; it is %s", was)
}

// run leads to running.
func (m *machine) run(is hypervisor.State) (*move, error) {
	switch is {
	case hypervisor.Running:
		return nil, nil
	case hypervisor.Paused:
		return m.wake()
	case hypervisor.Crashed:
		return &move{opDomainDestroy, m.dom.Destroy}, nil
	}
	return &move{opDomainCreate, m.boot}, nil
}

// boot starts the domain, once more if its process was killed before it said why: libvirt
// may not be done with the restart of a guest that was powered off meanwhile.
func (m *machine) boot() error {
	err := m.dom.Create()
	if e, ok := errors.AsType[libvirt.Error](err); ok && strings.HasSuffix(e.Message, "process exited while connecting to monitor") {
		err = m.dom.Create()
	}
	return err
}

// wake resumes a paused domain, whoever paused it: the host or the guest itself.
func (m *machine) wake() (*move, error) {
	st, _, err := m.dom.GetState()
	if err != nil {
		return nil, err
	}
	if st == libvirt.DOMAIN_PMSUSPENDED {
		return &move{opDomainWake, func() error { return m.dom.PMWakeup(0) }}, nil
	}
	return &move{opDomainResume, m.dom.Resume}, nil
}

// powerOff leads to stopped at once.
func (m *machine) powerOff(is hypervisor.State) (*move, error) {
	switch is {
	case hypervisor.Stopped:
		return nil, nil
	case hypervisor.Saved:
		return &move{opDomainDiscard, func() error { return m.dom.ManagedSaveRemove(0) }}, nil
	}
	return &move{opDomainDestroy, m.dom.Destroy}, nil
}

// rouse leads to where a guest can be asked to do something, or off.
func (m *machine) rouse(is hypervisor.State) (*move, error) {
	switch is {
	case hypervisor.Running, hypervisor.Stopped, hypervisor.Crashed:
		return nil, nil
	case hypervisor.Saved:
		return m.powerOff(is)
	}
	return m.run(is)
}

// pause leads to paused in memory.
func (m *machine) pause(is hypervisor.State) (*move, error) {
	switch is {
	case hypervisor.Paused, hypervisor.Saved:
		return nil, nil
	case hypervisor.Running:
		return &move{opDomainSuspend, m.dom.Suspend}, nil
	}
	return nil, fmt.Errorf("it is %s", is)
}

// save leads to a managed save image.
func (m *machine) save(is hypervisor.State) (*move, error) {
	switch is {
	case hypervisor.Saved:
		return nil, nil
	case hypervisor.Running, hypervisor.Paused:
		return &move{opDomainSave, func() error { return m.dom.ManagedSave(0) }}, nil
	}
	return nil, fmt.Errorf("it is %s", is)
}

// onDomain runs f with a domain that a Driver made.
func (d *Driver) onDomain(ctx context.Context, what string, id uuid.UUID, f func(context.Context, *machine) error) error {
	return d.do(ctx, what, id, func(ctx context.Context, s *session) error {
		m, err := s.domain(id)
		if err != nil {
			return err
		}
		defer m.free()
		return f(ctx, m)
	})
}

// StartDomain implements hypervisor.Driver.
func (d *Driver) StartDomain(ctx context.Context, id uuid.UUID) error {
	return d.onDomain(ctx, "start domain", id, func(ctx context.Context, m *machine) error { return m.drive(ctx, m.run) })
}

// SuspendDomain implements hypervisor.Driver.
func (d *Driver) SuspendDomain(ctx context.Context, id uuid.UUID, mode hypervisor.SuspendMode) error {
	return d.onDomain(ctx, "suspend domain", id, func(ctx context.Context, m *machine) error {
		switch mode {
		case hypervisor.SuspendRAM:
			return m.drive(ctx, m.pause)
		case hypervisor.SuspendDisk:
			return m.drive(ctx, m.save)
		}
		return fmt.Errorf("%w: no way to suspend is called %q", hypervisor.ErrInvalid, mode)
	})
}

// StopDomain implements hypervisor.Driver.
func (d *Driver) StopDomain(ctx context.Context, id uuid.UUID, mode hypervisor.StopMode) error {
	return d.onDomain(ctx, "stop domain", id, func(ctx context.Context, m *machine) error {
		if !mode.ACPI && !mode.Force {
			return fmt.Errorf("%w: no way to stop is given", hypervisor.ErrInvalid)
		}
		if mode.ACPI {
			err := m.shutDown(ctx, mode.Timeout)
			if err == nil || ctx.Err() != nil || !mode.Force {
				return err
			}
		}
		return m.drive(ctx, m.powerOff)
	})
}

// errDeaf says that a guest did not do what it was asked.
var errDeaf = errors.New("the guest does not follow")

// urge asks a guest again and again until over says that it has followed: one
// that is still booting does not hear the first time. It looks after every
// signal. The error is errDeaf if the limit passes.
func (m *machine) urge(ctx context.Context, limit time.Duration, ask *move, over func() (bool, error), signals <-chan struct{}) error {
	timeout := time.NewTimer(limit)
	defer timeout.Stop()
	tick := time.NewTicker(press)
	defer tick.Stop()
	for due := true; ; {
		if done, err := over(); done || err != nil {
			return err
		}
		if due {
			if err := m.change(ctx, ask.op, ask.do); err != nil {
				if done, oerr := over(); oerr == nil && done {
					return nil
				}
				return err
			}
		}
		select {
		case <-signals:
			due = false
		case <-tick.C:
			due = true
		case <-timeout.C:
			return fmt.Errorf("%w within %s", errDeaf, limit)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// stopped reports whether the domain is.
func (m *machine) stopped() (bool, error) {
	is, err := m.state()
	return is == hypervisor.Stopped, err
}

// shutDown asks the guest to shut down and waits until it has.
func (m *machine) shutDown(ctx context.Context, limit time.Duration) error {
	if err := m.drive(ctx, m.rouse); err != nil {
		return err
	}
	signals, stop := m.hub.signals(m.id, func(k happeningKind) bool { return k == changed })
	defer stop()
	ask := &move{opDomainShutdown, func() error { return m.dom.ShutdownFlags(0) }}
	return m.urge(ctx, limit, ask, m.stopped, signals)
}

// RestartDomain implements hypervisor.Driver. One that is not running is
// started, since a restart that was interrupted leaves it so.
func (d *Driver) RestartDomain(ctx context.Context, id uuid.UUID, mode hypervisor.RestartMode) error {
	return d.onDomain(ctx, "restart domain", id, func(ctx context.Context, m *machine) error {
		is, err := m.state()
		if err != nil {
			return err
		}
		if is == hypervisor.Stopped || is == hypervisor.Saved {
			return m.drive(ctx, m.run)
		}
		switch mode {
		case hypervisor.RestartGraceful:
			err = m.reboot(ctx, d.cfg.RestartTimeout)
		case hypervisor.RestartWarm:
			err = m.reset(ctx)
		case hypervisor.RestartCold:
			err = m.drive(ctx, m.powerOff)
		default:
			err = fmt.Errorf("%w: no way to restart is called %q", hypervisor.ErrInvalid, mode)
		}
		if errors.Is(err, errDeaf) || unsupported(err) {
			err = m.drive(ctx, m.powerOff)
		}
		if err != nil {
			return err
		}
		return m.drive(ctx, m.run)
	})
}

// reset presses the reset button.
func (m *machine) reset(ctx context.Context) error {
	if err := m.drive(ctx, m.run); err != nil {
		return err
	}
	return m.change(ctx, opDomainReset, func() error { return m.dom.Reset(0) })
}

// reboot asks the guest to restart and waits until it has, or is off.
func (m *machine) reboot(ctx context.Context, limit time.Duration) error {
	if err := m.drive(ctx, m.run); err != nil {
		return err
	}
	ask := &move{opDomainReboot, func() error { return m.dom.Reboot(0) }}
	if m.simulated {
		return m.change(ctx, ask.op, ask.do)
	}
	var back atomic.Bool
	signals, stop := m.hub.signals(m.id, func(k happeningKind) bool {
		if k == rebooted {
			back.Store(true)
		}
		return k == rebooted || k == changed
	})
	defer stop()
	over := func() (bool, error) {
		if back.Load() {
			return true, nil
		}
		return m.stopped()
	}
	return m.urge(ctx, limit, ask, over, signals)
}
