package libvirt

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"libvirt.org/go/libvirt"
	"libvirt.org/go/libvirtxml"

	"github.com/occid/occid/hypervisor"
)

// Times of waiting for a guest to let go of a device.
const (
	unplugTime = 20 * time.Second
	unplugLook = time.Second
)

// device is a disk or an interface to attach.
type device interface{ Marshal() (string, error) }

// disk describes a disk to the host; its volume must be there.
func (s *session) disk(ctx context.Context, d hypervisor.Disk) (*libvirtxml.DomainDisk, error) {
	file, p, err := s.volumeFile(ctx, d.Volume)
	if err != nil {
		return nil, err
	}
	return diskXML(d, p, file)
}

// nic describes an interface of a domain to the host, which has its filter then;
// its network must be there.
func (s *session) nic(ctx context.Context, domain uuid.UUID, n hypervisor.NIC) (*libvirtxml.DomainInterface, error) {
	network, err := s.networkName(n.Network)
	if err != nil {
		return nil, err
	}
	x, err := nicXML(n, network)
	if err != nil {
		return nil, err
	}
	filter, err := s.filter(ctx, domain, n)
	if filter != "" {
		x.FilterRef = &libvirtxml.DomainInterfaceFilterRef{Filter: filter}
	}
	return x, err
}

// AttachDisk implements hypervisor.Driver.
func (d *Driver) AttachDisk(ctx context.Context, domain uuid.UUID, disk hypervisor.Disk) error {
	return d.onDomain(ctx, "attach disk to domain", domain, func(ctx context.Context, m *machine) error {
		x, err := m.disk(ctx, disk)
		if err != nil {
			return err
		}
		return m.attach(ctx, x, aliasOf(disk.ID), func(def *libvirtxml.Domain) bool { return setDisk(def, x) })
	})
}

// AttachNIC implements hypervisor.Driver.
func (d *Driver) AttachNIC(ctx context.Context, domain uuid.UUID, nic hypervisor.NIC) error {
	return d.onDomain(ctx, "attach interface to domain", domain, func(ctx context.Context, m *machine) error {
		x, err := m.nic(ctx, domain, nic)
		if err != nil {
			return err
		}
		def, err := m.definition()
		if err != nil {
			return err
		}
		if err := m.readdress(ctx, def, nic, x); err != nil {
			return err
		}
		live, err := m.live()
		if err == nil {
			err = m.filterLive(ctx, live, x)
		}
		if err != nil {
			return err
		}
		err = m.attach(ctx, x, x.Alias.Name, func(def *libvirtxml.Domain) bool { return setNIC(def, x) })
		if err != nil || x.FilterRef != nil {
			return err
		}
		return m.dropFilters(ctx, filterName(domain, nic.ID))
	})
}

// readdress makes the reservations of an interface, and removes those that it had
// as another one in the definition.
func (s *session) readdress(ctx context.Context, def *libvirtxml.Domain, nic hypervisor.NIC, x *libvirtxml.DomainInterface) error {
	if old := nicOn(def, x.Alias.Name); old != nil && !sameNIC(old, x) {
		if err := s.forget(ctx, old); err != nil {
			return err
		}
	}
	return s.reserve(ctx, nic)
}

// forget removes the reservations of an interface.
func (s *session) forget(ctx context.Context, x *libvirtxml.DomainInterface) error {
	name := networkOf(x)
	if name == "" || x.MAC == nil {
		return nil
	}
	n, err := s.conn.LookupNetworkByName(name)
	if code(err, libvirt.ERR_NO_NETWORK) {
		return nil
	}
	if err != nil {
		return err
	}
	defer func() { _ = n.Free() }()
	id, err := n.GetUUIDString()
	if err != nil {
		return err
	}
	return s.unreserve(ctx, parseID(id), x.MAC.Address)
}

// DetachDisk implements hypervisor.Driver.
func (d *Driver) DetachDisk(ctx context.Context, domain, disk uuid.UUID) error {
	return d.detach(ctx, "detach disk from domain", domain, aliasOf(disk), nil)
}

// DetachNIC implements hypervisor.Driver.
func (d *Driver) DetachNIC(ctx context.Context, domain, nic uuid.UUID) error {
	return d.detach(ctx, "detach interface from domain", domain, aliasOf(nic), func(ctx context.Context, s *session) error {
		return s.dropFilters(ctx, filterName(domain, nic))
	})
}

// attach brings a device into the domain, if it runs, and into its definition.
// set puts it into a definition and reports whether that changed it.
func (m *machine) attach(ctx context.Context, dev device, alias string, set func(*libvirtxml.Domain) bool) error {
	live, err := m.live()
	if err != nil {
		return err
	}
	if live != nil {
		old := hasDevice(live, alias)
		if set(live) {
			if err := m.plug(ctx, dev, alias, old); err != nil {
				return err
			}
		}
	}
	def, err := m.definition()
	if err != nil || !set(def) {
		return err
	}
	orderDisks(def)
	return m.define(ctx, opDeviceDefine, def)
}

// detach takes the device of an alias from a domain and from its definition. A
// domain that is gone has none. drop, if there is one, removes what the host has for
// the device, which nothing uses by then.
func (d *Driver) detach(ctx context.Context, what string, domain uuid.UUID, alias string, drop func(context.Context, *session) error) error {
	return d.do(ctx, what, domain, func(ctx context.Context, s *session) error {
		m, _, err := s.lookup(domain)
		if m == nil || err != nil {
			return err
		}
		defer m.free()
		if err := m.takeOff(ctx, alias); err != nil || drop == nil {
			return err
		}
		return drop(ctx, s)
	})
}

// takeOff takes a device from the domain, if it runs, and from its definition.
func (m *machine) takeOff(ctx context.Context, alias string) error {
	live, err := m.live()
	if err != nil {
		return err
	}
	if live != nil && hasDevice(live, alias) {
		if err := m.unplug(ctx, alias); err != nil {
			return err
		}
	}
	def, err := m.definition()
	if err != nil {
		return err
	}
	if nic := nicOn(def, alias); nic != nil {
		if err := m.forget(ctx, nic); err != nil {
			return err
		}
	}
	if !dropDevice(def, alias) {
		return nil
	}
	return m.define(ctx, opDeviceDefine, def)
}

// live reads what the domain has now; nil if it does not run.
func (m *machine) live() (*libvirtxml.Domain, error) {
	active, err := m.dom.IsActive()
	if err != nil || !active {
		return nil, err
	}
	return m.now()
}

// now reads what the domain is now, which is its definition if it does not run.
func (m *machine) now() (*libvirtxml.Domain, error) {
	x, err := m.read(0)
	if err != nil {
		return nil, err
	}
	return x, m.called(x)
}

// plug attaches a device to the running domain, in place of an old one of the
// same alias. A host that cannot is forgiven: the domain has the device when it
// starts next.
func (m *machine) plug(ctx context.Context, dev device, alias string, old bool) error {
	if old {
		if err := m.unplug(ctx, alias); err != nil {
			return err
		}
	}
	doc, err := dev.Marshal()
	if err != nil {
		return err
	}
	err = m.change(ctx, opDeviceAttach, func() error {
		return m.dom.AttachDeviceFlags(doc, libvirt.DOMAIN_DEVICE_MODIFY_LIVE)
	})
	if unsupported(err) {
		return nil
	}
	return err
}

// unplug detaches a device from the running domain and waits until the guest has
// let go of it. It forgives what plug forgives.
func (m *machine) unplug(ctx context.Context, alias string) error {
	signals, stop := m.hub.signals(m.id, func(k happeningKind) bool { return k == unplugged })
	defer stop()
	err := m.change(ctx, opDeviceDetach, func() error {
		return m.dom.DetachDeviceAlias(m.aliasNow(alias), libvirt.DOMAIN_DEVICE_MODIFY_LIVE)
	})
	if unsupported(err) {
		return nil
	}
	timeout := time.NewTimer(unplugTime)
	defer timeout.Stop()
	tick := time.NewTicker(unplugLook)
	defer tick.Stop()
	for {
		live, lerr := m.live()
		if lerr != nil {
			return lerr
		}
		if live == nil || !hasDevice(live, alias) {
			return nil
		}
		if err != nil {
			return err
		}
		select {
		case <-signals:
		case <-tick.C:
		case <-timeout.C:
			return fmt.Errorf("%w: it has not let go of the device within %s", errDeaf, unplugTime)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
