package libvirt

import (
	"github.com/google/uuid"
	"libvirt.org/go/libvirt"

	"github.com/occid/occid/hypervisor"
)

// listen has the host's events handed to the hub, in libvirt's event loop, where
// nothing may block.
func (s *session) listen() error {
	registrations := []func() (int, error){
		func() (int, error) { return s.conn.DomainEventLifecycleRegister(nil, s.onLifecycle) },
		func() (int, error) {
			return s.conn.DomainEventRebootRegister(nil, func(_ *libvirt.Connect, d *libvirt.Domain) {
				s.publish(d, happening{kind: rebooted})
			})
		},
		func() (int, error) {
			return s.conn.DomainEventDeviceRemovedRegister(nil, func(_ *libvirt.Connect, d *libvirt.Domain, _ *libvirt.DomainEventDeviceRemoved) {
				s.publish(d, happening{kind: unplugged})
			})
		},
	}
	for _, register := range registrations {
		id, err := register()
		if err != nil {
			return err
		}
		s.callbacks = append(s.callbacks, id)
	}
	return nil
}

func (s *session) publish(d *libvirt.Domain, x happening) {
	raw, err := d.GetUUID()
	if err != nil {
		return
	}
	id, err := uuid.FromBytes(raw)
	if err != nil {
		return
	}
	x.domain, x.event.Domain = id, id
	s.hub.publish(x)
}

func (s *session) onLifecycle(_ *libvirt.Connect, d *libvirt.Domain, e *libvirt.DomainEventLifecycle) {
	x := happening{kind: changed}
	switch e.Event {
	case libvirt.DOMAIN_EVENT_DEFINED:
		x.event.State = hypervisor.Stopped
		switch libvirt.DomainEventDefinedDetailType(e.Detail) {
		case libvirt.DOMAIN_EVENT_DEFINED_ADDED:
		case libvirt.DOMAIN_EVENT_DEFINED_UPDATED:
			x.kind, x.event.State, x.event.Redefined = redefined, "", true
		default:
			return
		}
	case libvirt.DOMAIN_EVENT_UNDEFINED:
		if libvirt.DomainEventUndefinedDetailType(e.Detail) != libvirt.DOMAIN_EVENT_UNDEFINED_REMOVED {
			return
		}
		x.event.State, x.event.Gone = hypervisor.Stopped, true
	case libvirt.DOMAIN_EVENT_STARTED, libvirt.DOMAIN_EVENT_RESUMED:
		x.event.State = hypervisor.Running
	case libvirt.DOMAIN_EVENT_SUSPENDED, libvirt.DOMAIN_EVENT_PMSUSPENDED:
		x.event.State = hypervisor.Paused
	case libvirt.DOMAIN_EVENT_STOPPED:
		x.event.State = hypervisor.Stopped
		if libvirt.DomainEventStoppedDetailType(e.Detail) == libvirt.DOMAIN_EVENT_STOPPED_SAVED {
			x.event.State = hypervisor.Saved
		}
	case libvirt.DOMAIN_EVENT_CRASHED:
		x.event.State = hypervisor.Crashed
	default: // shutting down: stopped comes when it is
		return
	}
	s.publish(d, x)
}
