package libvirt

import (
	"strings"
	"sync"

	"github.com/google/uuid"
	"libvirt.org/go/libvirt"
)

// devices remembers of every domain what its statistics do not tell, so that
// definitions are read only when something changed. The zero value is ready for
// use.
type devices struct {
	mu    sync.Mutex
	known map[uuid.UUID]knownDomain
}

// knownDomain is what a domain's definition said.
type knownDomain struct {
	own  bool               // a Driver made it
	nets string             // the interfaces' names on the host when it was read
	nics map[string]nicName // by these names
}

// nicName is what an interface is called outside its host.
type nicName struct {
	id  uuid.UUID
	mac string
}

// of tells what the definition of a domain with a record says.
func (d *devices) of(m *machine, r *libvirt.DomainStats) (knownDomain, error) {
	var names []string
	for _, n := range r.Net {
		names = append(names, n.Name)
	}
	nets := strings.Join(names, " ")
	d.mu.Lock()
	have, ok := d.known[m.id]
	d.mu.Unlock()
	if ok && have.nets == nets {
		return have, nil
	}
	x, err := m.now()
	if err != nil {
		return knownDomain{}, err
	}
	have = knownDomain{own: x.Metadata != nil && isMarked(x.Metadata.XML), nets: nets, nics: map[string]nicName{}}
	for i := range x.Devices.Interfaces {
		nic := &x.Devices.Interfaces[i]
		if of := nicOf(nic, nil); nic.Target != nil {
			have.nics[nic.Target.Dev] = nicName{of.ID, strings.ToLower(of.MAC)}
		}
	}
	if !have.own {
		return have, nil // it may be adopted, by whichever server
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.known == nil {
		d.known = map[uuid.UUID]knownDomain{}
	}
	d.known[m.id] = have
	return have, nil
}

// forget drops the domains that are not there any more.
func (d *devices) forget(there map[uuid.UUID]bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for id := range d.known {
		if !there[id] {
			delete(d.known, id)
		}
	}
}
