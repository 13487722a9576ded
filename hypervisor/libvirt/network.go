package libvirt

import (
	"context"
	"errors"
	"fmt"

	"github.com/google/uuid"
	"libvirt.org/go/libvirt"
	"libvirt.org/go/libvirtxml"

	"github.com/occid/occid/hypervisor"
)

// findNetwork finds a network, and reads its definition; nil if there is none.
func (s *session) findNetwork(id uuid.UUID) (*libvirt.Network, *libvirtxml.Network, error) {
	n, err := s.conn.LookupNetworkByUUID(id[:])
	if code(err, libvirt.ERR_NO_NETWORK) {
		return nil, nil, nil
	}
	if err != nil {
		return nil, nil, err
	}
	x, err := s.readNetwork(n)
	if err != nil {
		_ = n.Free()
		return nil, nil, err
	}
	return n, x, nil
}

// readNetwork reads a network's definition.
func (s *session) readNetwork(n *libvirt.Network) (*libvirtxml.Network, error) {
	if s.simulated {
		return s.parseNetwork(n, 0) // it knows no other
	}
	return s.parseNetwork(n, libvirt.NETWORK_XML_INACTIVE)
}

func (s *session) parseNetwork(n *libvirt.Network, flags libvirt.NetworkXMLFlags) (*libvirtxml.Network, error) {
	doc, err := n.GetXMLDesc(flags)
	if err != nil {
		return nil, err
	}
	x := &libvirtxml.Network{}
	if err := x.Unmarshal(doc); err != nil {
		return nil, fmt.Errorf("the host's definition: %w", err)
	}
	return x, nil
}

func ownNetwork(x *libvirtxml.Network) bool { return x.Metadata != nil && isMarked(x.Metadata.XML) }

// onNetwork runs f with a network that a Driver made, while nobody else changes it;
// without one it is ErrNotFound.
func (d *Driver) onNetwork(ctx context.Context, what string, id uuid.UUID, f func(context.Context, *session, *libvirt.Network, *libvirtxml.Network) error) error {
	return d.do(ctx, what, id, func(ctx context.Context, s *session) error {
		unlock, err := s.nets.lock(ctx, id)
		if err != nil {
			return err
		}
		defer unlock()
		n, x, err := s.findNetwork(id)
		if err != nil {
			return err
		}
		if n == nil {
			return errNoNetwork
		}
		defer func() { _ = n.Free() }()
		if !ownNetwork(x) {
			return errNoNetwork
		}
		return f(ctx, s, n, x)
	})
}

var errNoNetwork = fmt.Errorf("network: %w", hypervisor.ErrNotFound)

// DefineNetwork implements hypervisor.Driver.
func (d *Driver) DefineNetwork(ctx context.Context, spec hypervisor.Network) error {
	return d.do(ctx, "define network", spec.ID, func(ctx context.Context, s *session) error {
		unlock, err := s.nets.lock(ctx, spec.ID)
		if err != nil {
			return err
		}
		defer unlock()
		n, x, err := s.findNetwork(spec.ID)
		if err != nil {
			return err
		}
		before := ""
		if n == nil {
			x = newNetwork(spec)
		} else {
			_ = n.Free()
			if !ownNetwork(x) {
				return fmt.Errorf("%w: a network with this UUID was made by others", hypervisor.ErrInvalid)
			}
			if before, err = x.Marshal(); err != nil {
				return err
			}
		}
		if err := s.setNetwork(x, spec); err != nil {
			return err
		}
		if doc, err := x.Marshal(); err != nil || doc == before {
			return err
		}
		return s.defineNetwork(ctx, opNetworkDefine, x)
	})
}

// defineNetwork writes a definition.
func (s *session) defineNetwork(ctx context.Context, op string, x *libvirtxml.Network) error {
	doc, err := x.Marshal()
	if err != nil {
		return err
	}
	return s.change(ctx, op, func() error {
		n, err := s.conn.NetworkDefineXML(doc)
		if err != nil {
			return err
		}
		return n.Free()
	})
}

// StartNetwork implements hypervisor.Driver. The host starts it by itself from
// then on, when it boots.
func (d *Driver) StartNetwork(ctx context.Context, id uuid.UUID) error {
	return d.onNetwork(ctx, "start network", id, func(ctx context.Context, s *session, n *libvirt.Network, x *libvirtxml.Network) error {
		if s.asksMetadata(x) {
			if err := s.addMetadata(ctx); err != nil {
				return err
			}
		}
		return s.run(ctx, n, true)
	})
}

// StopNetwork implements hypervisor.Driver.
func (d *Driver) StopNetwork(ctx context.Context, id uuid.UUID) error {
	return d.onNetwork(ctx, "stop network", id, func(ctx context.Context, s *session, n *libvirt.Network, _ *libvirtxml.Network) error {
		return s.run(ctx, n, false)
	})
}

// DeleteNetwork implements hypervisor.Driver.
func (d *Driver) DeleteNetwork(ctx context.Context, id uuid.UUID) error {
	err := d.onNetwork(ctx, "delete network", id, func(ctx context.Context, s *session, n *libvirt.Network, _ *libvirtxml.Network) error {
		if err := s.switchNetwork(ctx, n, false); err != nil {
			return err
		}
		return s.change(ctx, opNetworkUndefine, n.Undefine)
	})
	if errors.Is(err, hypervisor.ErrNotFound) {
		return nil
	}
	return err
}

// run makes a network active or inactive, now and when the host boots.
func (s *session) run(ctx context.Context, n *libvirt.Network, on bool) error {
	if err := s.autostart(ctx, n, on); err != nil {
		return err
	}
	return s.switchNetwork(ctx, n, on)
}

// autostart has the host start the network, or not, when it boots.
func (s *session) autostart(ctx context.Context, n *libvirt.Network, on bool) error {
	is, err := n.GetAutostart()
	if err != nil || is == on {
		return err
	}
	return s.change(ctx, opNetworkAutostart, func() error { return n.SetAutostart(on) })
}

// switchNetwork makes a network active or inactive.
func (s *session) switchNetwork(ctx context.Context, n *libvirt.Network, on bool) error {
	is, err := n.IsActive()
	if err != nil || is == on {
		return err
	}
	if on {
		err = s.change(ctx, opNetworkCreate, n.Create)
	} else {
		err = s.change(ctx, opNetworkDestroy, n.Destroy)
	}
	// Somebody else may have been faster.
	if is, ierr := n.IsActive(); err != nil && ierr == nil && is == on {
		return nil
	}
	return err
}

// Networks implements hypervisor.Driver.
func (d *Driver) Networks(ctx context.Context) ([]hypervisor.NetworkStatus, error) {
	return call(ctx, d, "list networks", nobody, func(ctx context.Context, s *session) ([]hypervisor.NetworkStatus, error) {
		var out []hypervisor.NetworkStatus
		err := s.eachNetwork(func(n *libvirt.Network) error {
			if err := ctx.Err(); err != nil {
				return err
			}
			x, err := s.readNetwork(n)
			if err != nil {
				return err
			}
			if parseID(x.UUID) == metadataID {
				return nil // not a network for machines
			}
			active, err := n.IsActive()
			if err != nil {
				return err
			}
			out = append(out, hypervisor.NetworkStatus{ID: parseID(x.UUID), Name: x.Name, Active: active, Managed: ownNetwork(x)})
			return nil
		})
		return out, err
	})
}

// eachNetwork calls f for every network, and forgives those that vanish
// meanwhile.
func (s *session) eachNetwork(f func(*libvirt.Network) error) error {
	networks, err := s.conn.ListAllNetworks(0)
	if err != nil {
		return err
	}
	for i := range networks {
		defer func() { _ = networks[i].Free() }()
	}
	for i := range networks {
		if err := f(&networks[i]); err != nil && !code(err, libvirt.ERR_NO_NETWORK) {
			return err
		}
	}
	return nil
}

// networkNames gives the UUIDs of all networks by name.
func (s *session) networkNames() (map[string]uuid.UUID, error) {
	out := map[string]uuid.UUID{}
	err := s.eachNetwork(func(n *libvirt.Network) error {
		name, err := n.GetName()
		if err != nil {
			return err
		}
		id, err := n.GetUUIDString()
		if err != nil {
			return err
		}
		out[name] = parseID(id)
		return nil
	})
	return out, err
}

// networkName gives the name of a network, which domains refer to.
func (s *session) networkName(id uuid.UUID) (string, error) {
	n, err := s.conn.LookupNetworkByUUID(id[:])
	if err != nil {
		return "", translate("network "+id.String(), err)
	}
	defer func() { _ = n.Free() }()
	return n.GetName()
}
