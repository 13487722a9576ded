package engine

import (
	"net/netip"

	"github.com/google/uuid"

	"github.com/occid/occid/hypervisor"
	"github.com/occid/occid/occi"
)

// Roles that attributes have for a host. The registry says which attribute has
// which; nothing here knows an attribute by its name.
const (
	roleVCPUs      = "domain.vcpus"
	roleMemory     = "domain.memory"
	roleHostname   = "domain.hostname"
	roleArch       = "domain.arch"
	roleShares     = "domain.shares"
	roleKernel     = "domain.kernel"
	roleInitrd     = "domain.initrd"
	roleCmdline    = "domain.cmdline"
	roleEphemeral  = "domain.ephemeral.size"
	roleEphemeralD = "domain.ephemeral.target"
	roleImage      = "domain.image"
	roleDiskSize   = "domain.disk.size"
	roleFirmware   = "domain.firmware"
	roleGraphics   = "domain.graphics"
	rolePending    = "domain.pending"
	roleSize       = "volume.size"
	roleNoWrites   = "volume.readonly"
	roleVolumePool = "volume.pool"
	roleCopyOf     = "copy.of"
	roleCopyTaken  = "copy.taken"
	roleSource     = "image.source"
	roleChecksum   = "image.checksum"
	roleFile       = "image.file"
	roleStamp      = "image.stamp"
	roleVLAN       = "network.vlan"
	roleCIDR       = "network.cidr"
	roleGateway    = "network.gateway"
	roleAllocation = "network.allocation"
	roleMode       = "network.mode"
	roleCIDR6      = "network.cidr6"
	roleGateway6   = "network.gateway6"
	roleBridge     = "network.bridge"
	roleDNS        = "network.dns"
	roleMAC        = "nic.mac"
	roleRules      = "nic.rules"
	roleInterface  = "nic.interface"

	roleNICAddress    = "nic.address"
	roleNICGateway    = "nic.gateway"
	roleNICAllocation = "nic.allocation"
	roleNICAddress6   = "nic.address6"
	roleNICGateway6   = "nic.gateway6"

	roleNodeName       = "node.hostname"
	roleNodeID         = "node.uuid"
	roleNodeArch       = "node.arch"
	roleNodeHypervisor = "node.hypervisor"
	roleNodeVersion    = "node.hypervisor.version"
	roleNodeManager    = "node.manager.version"
	roleNodeCores      = "node.cores"
	roleNodeMemory     = "node.memory"
	roleNodeCoresUsed  = "node.cores.allocated"
	roleNodeMemoryUsed = "node.memory.allocated"
	roleNodeComputes   = "node.computes"
	roleNodeCoresOver  = "node.cores.overcommit"
	roleNodeMemoryOver = "node.memory.overcommit"
	roleNodeLabels     = "node.labels"

	roleStrayID         = "stray.uuid"
	roleStrayName       = "stray.name"
	roleStrayCores      = "stray.cores"
	roleStrayMemory     = "stray.memory"
	roleStrayDisks      = "stray.disks"
	roleStrayNICs       = "stray.nics"
	roleStrayHost       = "stray.host"
	roleStrayImportable = "stray.importable"
	roleStrayObstacles  = "stray.obstacles"

	roleImported        = "domain.imported"
	roleNetworkImported = "network.imported"

	roleNodeFenced = "node.fenced"
	roleNodeMoved  = "node.moved"
	roleLost       = "domain.lost"
	roleRestart    = "placement.restart"

	roleNodeURI           = "node.uri"
	roleNodeCoresOffered  = "node.cores.offered"
	roleNodeMemoryOffered = "node.memory.offered"

	roleLabels   = "placement.labels"
	rolePool     = "placement.pool"
	rolePoolID   = "placement.pool.id"
	roleTogether = "placement.together"
	roleApart    = "placement.apart"

	roleStoreName       = "store.name"
	roleStoreType       = "store.type"
	roleStoreSource     = "store.source"
	roleStoreTarget     = "store.target"
	roleStoreOffered    = "store.offered"
	roleStoreOvercommit = "store.overcommit"
	roleStoreCapacity   = "store.capacity"
	roleStoreAllocated  = "store.allocated"
	roleStoreUsed       = "store.used"
	roleStoreFree       = "store.free"
	roleStoreShared     = "store.shared"
	roleStoreDefault    = "store.default"
	roleStoreConfigured = "store.configured"

	roleSetMembers = "set.members"
	roleSetActive  = "set.active"

	roleTarget   = "disk.target"
	roleReadOnly = "disk.readonly"
	roleSerial   = "disk.serial"
)

// hostRoles are the roles whose change a host must follow.
var hostRoles = map[string]bool{
	roleVCPUs: true, roleMemory: true, roleArch: true, roleShares: true, roleKernel: true, roleInitrd: true,
	roleHostname: true, roleCmdline: true, roleSize: true, roleVLAN: true, roleCIDR: true, roleGateway: true, roleAllocation: true,
	roleMode: true, roleCIDR6: true, roleGateway6: true, roleBridge: true, roleDNS: true,
	roleMAC: true, roleNICAddress: true, roleNICAddress6: true, roleTarget: true, roleEphemeral: true, roleEphemeralD: true,
	roleDiskSize: true, roleGraphics: true,
}

// gib is the unit that sizes are in, in bytes.
const gib = 1 << 30

// bytesOf reads a size in GiB.
func bytesOf(v occi.Value) int64 { return int64(v.Num * gib) }

// roleAttr gives the first attribute of the entity's kind and mixins that has a
// role and a value; failing that the first that has the role; nil if none has.
func roleAttr(m *occi.Model, x *occi.Entity, role string) *occi.Attribute {
	var first *occi.Attribute
	look := func(as []*occi.Attribute) *occi.Attribute {
		for _, a := range as {
			if a.Role != role {
				continue
			}
			if !x.Attributes.Get(a.Name).IsZero() {
				return a
			}
			if first == nil {
				first = a
			}
		}
		return nil
	}
	if k := m.Kind(x.Kind); k != nil {
		if a := look(m.KindAttributes(k)); a != nil {
			return a
		}
	}
	for _, mx := range m.Closure(x.Mixins) {
		if a := look(mx.Attributes); a != nil {
			return a
		}
	}
	return first
}

// setRole gives an entity a value in a role; the zero Value takes it away. What has
// no attribute for the role stays as it is.
func setRole(m *occi.Model, x *occi.Entity, role string, v occi.Value) {
	if a := roleAttr(m, x, role); a != nil {
		x.Attributes.Set(a.Name, v)
	}
}

// kindsFor lists the identifiers of the kinds that are something for a host.
func kindsFor(m *occi.Model, host string) []string {
	var ids []string
	for _, k := range m.Kinds {
		if k.Host == host {
			ids = append(ids, k.ID())
		}
	}
	return ids
}

// role gives the value that an entity has in a role.
func role(m *occi.Model, x *occi.Entity, name string) occi.Value {
	if a := roleAttr(m, x, name); a != nil {
		return x.Attributes.Get(a.Name)
	}
	return occi.Value{}
}

// followed reports whether the host must follow the change from a to b.
func followed(m *occi.Model, a, b *occi.Entity) bool {
	return redescribed(m, a, b) || regrouped(m, a, m, b)
}

// redescribed is followed, security groups left aside.
func redescribed(m *occi.Model, a, b *occi.Entity) bool {
	if a.Title != b.Title {
		return true
	}
	for r := range hostRoles {
		if role(m, a, r) != role(m, b, r) {
			return true
		}
	}
	return false
}

// arches are the names that hosts give to what the registry calls an
// architecture.
var arches = map[string]string{"x64": "x86_64", "x86": "i686"}

// domainOf describes a machine to its host, with all that is linked to it. What
// could not be attached is left out.
func domainOf(m *occi.Model, x *occi.Entity) hypervisor.Domain {
	d := hypervisor.Domain{ID: x.ID, Title: x.Title, Name: role(m, x, roleHostname).Text,
		VCPUs:       int(role(m, x, roleVCPUs).Num),
		MemoryBytes: bytesOf(role(m, x, roleMemory)),
		Arch:        arches[role(m, x, roleArch).Text],
		CPUShares:   int(role(m, x, roleShares).Num),
		Kernel:      role(m, x, roleKernel).Text,
		Initrd:      role(m, x, roleInitrd).Text,
		Cmdline:     role(m, x, roleCmdline).Text,
		Firmware:    role(m, x, roleFirmware).Text,
		Graphics:    role(m, x, roleGraphics).Text != "none",
	}
	if own := root(m, x); own != nil {
		d.Disks = append(d.Disks, *own)
	}
	if eph := ephemeral(m, x); eph != nil {
		d.Disks = append(d.Disks, *eph)
	}
	for _, l := range x.Links {
		switch k := m.Kind(l.Kind); {
		case k == nil || l.Deleted || failed(m, l):
		case k.Host == "disk":
			d.Disks = append(d.Disks, diskOf(m, l))
		case k.Host == "nic":
			d.NICs = append(d.NICs, nicOf(m, x, l))
		}
	}
	return d
}

func diskOf(m *occi.Model, l *occi.Entity) hypervisor.Disk {
	return hypervisor.Disk{ID: l.ID, Volume: l.Target.ID, Target: diskName(role(m, l, roleTarget).Text),
		ReadOnly: isTrue(role(m, l, roleReadOnly))}
}

func isTrue(v occi.Value) bool { return v.Type == occi.Boolean && v.Num != 0 }

// nicOf describes an interface of a machine to its host. The machine's security
// groups hold for it too.
func nicOf(m *occi.Model, machine, l *occi.Entity) hypervisor.NIC {
	n := hypervisor.NIC{ID: l.ID, Network: l.Target.ID, MAC: role(m, l, roleMAC).Text, Hostname: role(m, machine, roleHostname).Text, Filtered: true}
	for _, f := range families {
		if ip, err := netip.ParseAddr(role(m, l, f.address).Text); err == nil {
			n.Addresses = append(n.Addresses, ip.Unmap().String())
		}
	}
	own, grouped := groupsOf(m, l)
	all, also := groupsOf(m, machine)
	n.Grouped, n.Rules = grouped || also, rulesOf(append(own, all...))
	return n
}

// scratchID is the UUID of a machine's scratch disk and of its volume.
func scratchID(x *occi.Entity) uuid.UUID { return uuid.NewSHA1(x.ID, []byte("ephemeral")) }

// ephemeral gives the scratch disk that lives as long as its machine, nil if it
// has none.
func ephemeral(m *occi.Model, x *occi.Entity) *hypervisor.Disk {
	if role(m, x, roleEphemeral).Num <= 0 {
		return nil
	}
	id := scratchID(x)
	target := diskName(role(m, x, roleEphemeralD).Text)
	if target == "" {
		target = "vda"
	}
	return &hypervisor.Disk{ID: id, Volume: id, Target: target}
}

func volumeOf(m *occi.Model, x *occi.Entity) hypervisor.Volume {
	v := hypervisor.Volume{ID: x.ID, SizeBytes: bytesOf(role(m, x, roleSize)), Pool: role(m, x, roleVolumePool).Text}
	if hypervisor.IsAdopted(x.ID) {
		v.Pool = "" // it is where it is, be that offered or not
	}
	return v
}
