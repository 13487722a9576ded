package libvirt

import (
	"context"
	"fmt"
	"strings"

	"github.com/google/uuid"
	"libvirt.org/go/libvirt"
	"libvirt.org/go/libvirtxml"

	"github.com/occid/occid/hypervisor"
)

type domainXML = *libvirtxml.Domain

// movable refuses a domain that cannot move as it is: what others gave it is not known.
func (g *migration) movable(ctx context.Context, is hypervisor.State, def domainXML) error {
	switch {
	case is == hypervisor.Saved:
		return fmt.Errorf("it is saved on its host, and what is saved cannot move")
	case is == hypervisor.Crashed:
		return fmt.Errorf("it has crashed")
	case g.how.Paused:
		if err := g.savable(ctx, is); err != nil {
			return err
		}
	case is == hypervisor.Paused:
		// It would arrive with disks that QEMU has not taken over before it goes on, and
		// QEMU would not survive to be moved once more until then.
		return fmt.Errorf("it is paused, and was to move while it runs")
	}
	own := map[uuid.UUID]bool{}
	for _, d := range g.spec.Disks {
		own[d.ID] = true
	}
	for i := range def.Devices.Disks {
		d := &def.Devices.Disks[i]
		if !isSeed(d, g.spec.ID) && !own[diskOf(d).ID] && !(removable(d) && pathOf(d) == "") {
			return fmt.Errorf("its disk %s is of others", targetOf(d))
		}
	}
	nics := map[uuid.UUID]bool{}
	for _, n := range g.spec.NICs {
		nics[n.ID] = true
	}
	for i := range def.Devices.Interfaces {
		if n := nicOf(&def.Devices.Interfaces[i], nil); !nics[n.ID] {
			return fmt.Errorf("its interface %s is of others", n.MAC)
		}
	}
	return nil
}

func targetOf(d *libvirtxml.DomainDisk) string {
	if d.Target == nil {
		return pathOf(d)
	}
	return d.Target.Dev
}

// places are where the target has what the definition of a domain names.
type places struct {
	files   map[string]string // of volumes, by what they are here
	seed    string
	console string
	nics    map[string]*libvirtxml.DomainInterface // by MAC address
}

// receive makes on the target what a domain needs there beside its volumes and networks.
func (g *migration) receive(ctx context.Context, def domainXML) (*places, error) {
	p := &places{files: map[string]string{}, nics: map[string]*libvirtxml.DomainInterface{}}
	var err error
	if p.console, err = g.to.consoleLog(ctx, g.spec.ID); err != nil {
		return nil, err
	}
	for _, n := range g.spec.NICs {
		x, err := g.to.nic(ctx, g.spec.ID, n)
		if err != nil {
			return nil, err
		}
		if err := g.to.reserve(ctx, n); err != nil {
			return nil, err
		}
		p.nics[x.MAC.Address] = x
	}
	for i := range def.Devices.Disks {
		if isSeed(&def.Devices.Disks[i], g.spec.ID) {
			if p.seed, err = g.sendSeed(ctx); err != nil {
				return nil, err
			}
		}
	}
	return p, nil
}

// apply makes a definition name what the target has.
func (p *places) apply(x domainXML) {
	id := parseID(x.UUID)
	for i := range x.Devices.Disks {
		d := &x.Devices.Disks[i]
		file := p.files[pathOf(d)]
		if isSeed(d, id) {
			file = p.seed
		}
		if file != "" {
			setPath(d, file)
		}
		// It may have none there.
		d.BackingStore = nil
	}
	for i := range x.Devices.Interfaces {
		n := &x.Devices.Interfaces[i]
		if n.MAC == nil || p.nics[strings.ToLower(n.MAC.Address)] == nil {
			continue
		}
		there := p.nics[strings.ToLower(n.MAC.Address)]
		if n.FilterRef = there.FilterRef; networkOf(n) == "" {
			n.Source = there.Source
		}
		n.Source.Network.Network = networkOf(there)
	}
	for i := range x.Devices.Serials {
		setLog(x.Devices.Serials[i].Log, p.console)
	}
	for i := range x.Devices.Consoles {
		setLog(x.Devices.Consoles[i].Log, p.console)
	}
}

func setLog(log *libvirtxml.DomainChardevLog, file string) {
	if log != nil {
		log.File = file
	}
}

func setPath(d *libvirtxml.DomainDisk, file string) {
	switch {
	case d.Source == nil:
	case d.Source.File != nil:
		d.Source.File.File = file
	case d.Source.Block != nil:
		d.Source.Block.Dev = file
	}
}

// document gives a definition for the target, if that differs.
func (p *places) document(x domainXML) (doc string, differs bool, err error) {
	before, err := x.Marshal()
	if err != nil {
		return "", false, err
	}
	p.apply(x)
	after, err := x.Marshal()
	if err != nil || after == before {
		return "", false, err
	}
	return after, true, nil
}

// sendSeed gives the target the seed of the domain, and gives its file there.
func (g *migration) sendSeed(ctx context.Context) (string, error) {
	name := seedName(g.spec.ID)
	v, err := g.from.findFile(ctx, name)
	if err != nil {
		return "", err
	}
	defer func() { _ = v.Free() }()
	same, err := g.shares(ctx, g.from.ownPool(), g.to.ownPool())
	if err != nil {
		return "", err
	}
	if same {
		if err := g.to.refreshed(ctx, g.to.ownPool(), name); err != nil {
			return "", err
		}
	} else {
		info, err := v.GetInfo()
		if err != nil {
			return "", err
		}
		err = g.to.addFile(ctx, opVolumeCreate, libvirtxml.StorageVolume{
			Name:     name,
			Capacity: &libvirtxml.StorageVolumeSize{Unit: "bytes", Value: info.Capacity},
			Target:   &libvirtxml.StorageVolumeTarget{Format: &libvirtxml.StorageVolumeTargetFormat{Type: "raw"}},
		}, func(pool *libvirt.StoragePool, doc string) (*libvirt.StorageVol, error) {
			return pool.StorageVolCreateXML(doc, 0)
		})
		if err != nil {
			return "", err
		}
		o, err := g.to.findFile(ctx, name)
		if err != nil {
			return "", err
		}
		defer func() { _ = o.Free() }()
		if err := g.transfer(ctx, v, o, int64(info.Capacity), func(int) {}); err != nil {
			return "", err
		}
	}
	return g.to.fileOf(ctx, name)
}
