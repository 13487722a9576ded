package lab

import (
	"errors"
	"fmt"

	"github.com/google/uuid"
	"libvirt.org/go/libvirt"
)

// StrayDomain is a domain that is made as an operator may, by hand, with a pool, a volume
// and a network of its own, and runs.
type StrayDomain struct {
	Type                    string // "test", "qemu"
	Dir                     string // of the host, in which the pool's directory is
	Kernel, Initrd, Cmdline string
	Logs                    string // of the host, where its serial console is written; "" if it has none
}

const strayPool = `<pool type='dir'><name>%[1]s</name><target><path>%[2]s/%[1]s</path></target></pool>`

const strayVolume = `<volume><name>by hand.qcow2</name><capacity unit='MiB'>16</capacity><allocation>0</allocation><target><format type='qcow2'/></target></volume>`

const strayNetwork = `<network><name>%[1]s</name><bridge name='%[1]s'/></network>`

const strayDomain = `<domain type='%[1]s'><name>%[2]s</name><uuid>%[3]s</uuid><title>Made by hand</title>
<memory unit='MiB'>128</memory><vcpu>1</vcpu><os><type>hvm</type>%[4]s</os><features><acpi/></features>
<devices><disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source file='%[5]s'/><target dev='vda' bus='virtio'/></disk>
<interface type='network'><mac address='%[6]s'/><source network='%[2]s'/><model type='virtio'/></interface>%[7]s</devices></domain>`

// Make makes the domain.
func (s StrayDomain) Make(conn *libvirt.Connect) (id uuid.UUID, err error) {
	id = uuid.New()
	name := strayName(id)
	defer func() {
		if err != nil {
			err = errors.Join(err, RemoveStray(conn, id))
		}
	}()
	file, err := s.volume(conn, name)
	if err != nil {
		return id, err
	}
	network, err := conn.NetworkDefineXML(fmt.Sprintf(strayNetwork, name))
	if err != nil {
		return id, err
	}
	if err := errors.Join(network.Create(), network.Free()); err != nil {
		return id, err
	}
	boot, serial := "", ""
	if s.Kernel != "" {
		boot = fmt.Sprintf("<kernel>%s</kernel><initrd>%s</initrd><cmdline>%s</cmdline>", s.Kernel, s.Initrd, s.Cmdline)
	}
	if s.Logs != "" {
		serial = fmt.Sprintf("<serial type='pty'><log file='%s/%s.log' append='on'/><target port='0'/></serial>", s.Logs, name)
	}
	mac := fmt.Sprintf("52:54:00:%02x:%02x:%02x", id[0], id[1], id[2])
	dom, err := conn.DomainDefineXML(fmt.Sprintf(strayDomain, s.Type, name, id, boot, file, mac, serial))
	if err != nil {
		return id, err
	}
	return id, errors.Join(dom.Create(), dom.Free())
}

// strayName is what the pool, the network and the domain are called.
func strayName(id uuid.UUID) string { return "by" + id.String()[:8] }

// volume makes the volume and its pool.
func (s StrayDomain) volume(conn *libvirt.Connect, name string) (file string, err error) {
	pool, err := conn.StoragePoolDefineXML(fmt.Sprintf(strayPool, name, s.Dir), 0)
	if err != nil {
		return "", err
	}
	defer func() { _ = pool.Free() }()
	if err := errors.Join(pool.Build(libvirt.STORAGE_POOL_BUILD_NEW), pool.Create(0)); err != nil {
		return "", err
	}
	v, err := pool.StorageVolCreateXML(strayVolume, 0)
	if err != nil {
		return "", err
	}
	defer func() { _ = v.Free() }()
	return v.GetPath()
}

// RemoveStray removes what is left of a StrayDomain and of what it had.
func RemoveStray(conn *libvirt.Connect, id uuid.UUID) error {
	var errs []error
	if dom, err := conn.LookupDomainByUUID(id[:]); err == nil {
		if active, _ := dom.IsActive(); active {
			errs = append(errs, dom.Destroy())
		}
		errs = append(errs, dom.Undefine(), dom.Free())
	} else if !errors.Is(err, libvirt.ERR_NO_DOMAIN) {
		errs = append(errs, err)
	}
	if network, err := conn.LookupNetworkByName(strayName(id)); err == nil {
		if active, _ := network.IsActive(); active {
			errs = append(errs, network.Destroy())
		}
		errs = append(errs, network.Undefine(), network.Free())
	} else if !errors.Is(err, libvirt.ERR_NO_NETWORK) {
		errs = append(errs, err)
	}
	if pool, err := conn.LookupStoragePoolByName(strayName(id)); err == nil {
		if v, err := pool.LookupStorageVolByName("by hand.qcow2"); err == nil {
			errs = append(errs, v.Delete(0), v.Free())
		}
		if active, _ := pool.IsActive(); active {
			errs = append(errs, pool.Destroy())
		}
		errs = append(errs, pool.Delete(libvirt.STORAGE_POOL_DELETE_NORMAL), pool.Undefine(), pool.Free())
	} else if !errors.Is(err, libvirt.ERR_NO_STORAGE_POOL) {
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}
