package hypervisor

import (
	"context"
	"errors"
	"io"
	"net/netip"
	"time"

	"github.com/google/uuid"
)

// The classes of failure a Driver reports; use errors.Is. Anything else is a
// host's refusal that will not go away by repeating the call.
var (
	// ErrNotFound: the domain, network or volume is not on the host.
	ErrNotFound = errors.New("not found on the host")
	// ErrUnavailable: the host could not be reached or did not answer in time;
	// the same call may succeed later.
	ErrUnavailable = errors.New("host unavailable")
	// ErrInvalid: the host refuses the specification itself.
	ErrInvalid = errors.New("refused by the host")
)

// A Driver controls one host. It is safe for concurrent use.
//
// What others made on the host is listed and otherwise treated as if it were not
// there, until it is adopted; only defining something with a UUID of theirs is
// ErrInvalid. Networks of others can be used by domains, and volumes of others under
// the UUIDs that AdoptedVolume gives them.
type Driver interface {
	// Info describes the host.
	Info(ctx context.Context) (Info, error)

	// DefineDomain makes the definition of d.ID what d says, creating it if it
	// is missing. It does not start it; a domain that runs follows when it is
	// started next. Devices attached by AttachDisk and AttachNIC to an existing
	// definition are kept. ErrNotFound means that a volume or network is missing.
	DefineDomain(ctx context.Context, d Domain) error
	// AdjustDomain gives a domain that runs the processors, the memory and the filters
	// of its definition, as far as host and guest can follow without a restart; that they
	// cannot is no error: Domain tells what it has. One that does not run is left
	// alone.
	AdjustDomain(ctx context.Context, id uuid.UUID) error
	// StartDomain runs a defined domain, resumes it when it is paused and
	// restores it when it has a managed save image.
	StartDomain(ctx context.Context, id uuid.UUID) error
	// StopDomain ends a running domain as mode says; it stays defined. A managed
	// save image is discarded. A guest that does not follow mode.ACPI in time is an
	// error without class unless mode.Force is set.
	StopDomain(ctx context.Context, id uuid.UUID, mode StopMode) error
	// RestartDomain restarts a running domain as mode says, and starts one that is
	// not running.
	RestartDomain(ctx context.Context, id uuid.UUID, mode RestartMode) error
	// SuspendDomain pauses a running domain as mode says. One that is saved stays
	// so; a stopped one is an error without class.
	SuspendDomain(ctx context.Context, id uuid.UUID, mode SuspendMode) error
	// DeleteDomain powers off and undefines a domain with its managed save, its
	// snapshots and its seed. Its volumes stay.
	DeleteDomain(ctx context.Context, id uuid.UUID) error
	// MigrateDomain moves a domain, which is as d says, with its volumes to the host of
	// another Driver of the same make, where its networks are active. One that runs goes
	// on; one that is stopped goes with its definition; one that is saved, or paused without
	// m.Paused, is an error without class. It is gone here, with its volumes, once it is there. If that
	// fails, or ctx ends first, it is here as before, which is an error without
	// ErrUnavailable, and nothing of it is there, if that host can be reached. Repeated
	// after an interruption it finds what was done. ErrUnavailable means that it is not
	// known yet where the domain will be.
	MigrateDomain(ctx context.Context, d Domain, to Driver, m Migration) error
	// Domain tells what one domain is and does, whoever made it. Other domains do
	// not hold it up.
	Domain(ctx context.Context, id uuid.UUID) (DomainStatus, error)
	// Domains lists the domains of this host, whoever made them.
	Domains(ctx context.Context) ([]DomainStatus, error)
	// Strays lists the domains of this host that no Driver made, also those that were adopted.
	Strays(ctx context.Context) ([]Stray, error)
	// Stray tells of one of them. ErrNotFound means that it is not there, or that a Driver
	// made it.
	Stray(ctx context.Context, id uuid.UUID) (Stray, error)
	// AdoptDomain makes the Stray d.ID a domain as if a Driver had made it, with d.Disks and
	// d.NICs for its devices, which are known by their targets and MAC addresses. What it is
	// and does stays as it is. That it cannot be adopted is ErrInvalid.
	AdoptDomain(ctx context.Context, d Domain) error
	// ReleaseDomain makes a domain that was adopted what it was before; one that was not
	// is left alone.
	ReleaseDomain(ctx context.Context, id uuid.UUID) error
	// Statistics tells what every domain that a Driver made has used. A domain that
	// is busy and a guest whose agent hangs do not hold it up.
	Statistics(ctx context.Context) ([]Statistics, error)

	// AttachDisk connects a volume to a domain, live when it runs and the host
	// can, always in the definition, in place of an older disk with its ID.
	// ErrNotFound means that the domain or the volume is missing.
	AttachDisk(ctx context.Context, domain uuid.UUID, d Disk) error
	// DetachDisk removes the disk with the given ID. From a running domain it waits
	// until the guest lets go; a guest that does not is an error without class.
	DetachDisk(ctx context.Context, domain, disk uuid.UUID) error
	// AttachNIC connects a domain to a network, as AttachDisk does. Before the guest
	// can ask, the network's DHCP server has n.Addresses for it. One that differs
	// only in these or in what passes it stays plugged in, and changes at once.
	AttachNIC(ctx context.Context, domain uuid.UUID, n NIC) error
	// DetachNIC removes the interface with the given ID and its addresses from the
	// DHCP server.
	DetachNIC(ctx context.Context, domain, nic uuid.UUID) error

	// DefineNetwork makes the definition of n.ID what n says. An active network
	// follows when it is started next. Addresses of interfaces that n has room for
	// are kept.
	DefineNetwork(ctx context.Context, n Network) error
	// StartNetwork makes a defined network active.
	StartNetwork(ctx context.Context, id uuid.UUID) error
	// StopNetwork makes it inactive; it stays defined.
	StopNetwork(ctx context.Context, id uuid.UUID) error
	// DeleteNetwork stops and undefines it.
	DeleteNetwork(ctx context.Context, id uuid.UUID) error
	// Networks lists the host's networks, whoever made them.
	Networks(ctx context.Context) ([]NetworkStatus, error)

	// CreateVolume makes a volume in v.Pool, or grows an existing one to
	// v.SizeBytes. Shrinking is ErrInvalid. One of others that is missing is not made, which
	// is an error without class. ErrNotFound means that what it is to be
	// backed by is missing; what a volume that is there is backed by stays.
	CreateVolume(ctx context.Context, v Volume) error
	// WriteVolume makes the volume what r gives: a whole qcow2 file of size bytes with
	// neither a backing file nor data in another file, which is not looked into beyond
	// its header; what cannot be one is ErrInvalid. Nothing may use the volume. It is
	// made anew, and is gone if this fails. r may be read until its next Read returns
	// after ctx has ended.
	WriteVolume(ctx context.Context, id uuid.UUID, r io.Reader, size int64) error
	// ReadVolume gives w the volume's file; of one that is backed by another only what
	// differs from that. Nothing may write to the volume meanwhile. A host whose
	// volumes hold nothing answers ErrInvalid.
	ReadVolume(ctx context.Context, id uuid.UUID, w io.Writer) error
	// CopyVolume makes volume to an independent copy of another, in place of what is
	// left of an earlier attempt; nothing may use it. A running domain may go on
	// writing to the original: the copy is as that was at one moment. It depends on
	// nothing that the original is backed by.
	CopyVolume(ctx context.Context, from, to uuid.UUID) error
	// Overlays lists the volumes that a Driver made and that are backed by a volume,
	// which need not be there any more.
	Overlays(ctx context.Context, id uuid.UUID) ([]uuid.UUID, error)
	// DeleteVolume removes it, whether others are backed by it or not.
	DeleteVolume(ctx context.Context, id uuid.UUID) error
	// Pools tells what there is of the pools that volumes can be in. One that the host
	// cannot reach now, or has not made yet, is left out.
	Pools(ctx context.Context) ([]PoolStatus, error)
	// CheckPool tells what is wrong with a pool that is to be offered, which is ErrInvalid,
	// without asking the host.
	CheckPool(p Pool) error
	// OfferPools has volumes be in these pools, beside those that the Driver was made with:
	// one that the host has is used as it is, others are made by Pools and with their first
	// volumes. What is in one that is left out stays, and is found no more. It does not
	// ask the host.
	OfferPools(ps []Pool) error
	// LookInto has the host look anew at what is in one of the pools, which other hosts may
	// share, and lists the volumes there that a Driver made. From then on it knows those
	// that were made by others meanwhile.
	LookInto(ctx context.Context, pool string) ([]VolumeStatus, error)
	// Volumes lists the volumes on this host that a Driver made, or could adopt.
	Volumes(ctx context.Context) ([]VolumeStatus, error)

	// Watch calls f for every change of a domain's state and after every
	// re-opened connection (with Reconnected set) until ctx ends. f must not
	// block.
	Watch(ctx context.Context, f func(Event)) error
	// Close ends the connection; calls under way fail with ErrUnavailable.
	Close() error
}

// Info describes a host.
type Info struct {
	Hostname, Hypervisor, Version, Arch string
	// ManagerVersion is that of what the Driver speaks to on the host.
	ManagerVersion string
	// ID is the UUID that its firmware or its operator gives the host, the nil UUID if
	// it tells none. Several hosts on one machine may have the same.
	ID          uuid.UUID
	CPUs        int
	MemoryBytes int64
	// Simulated is set on a host whose domains are none: they take nothing.
	Simulated bool
	// Filters tells whether it can filter what interfaces send and get. On one that
	// cannot, NIC.Filtered and NIC.Grouped have no effect.
	Filters bool
}

// Domain is a virtual machine's definition.
type Domain struct {
	ID uuid.UUID
	// Name is shown by the host's own tools. The driver drops characters that they
	// cannot take and makes it unique; an existing domain keeps its name.
	Name string
	// Title is free text for people; may hold any character. Those that do not
	// print are shown as spaces.
	Title       string
	VCPUs       int
	MemoryBytes int64  // a whole number of MiB is used, rounded up
	Arch        string // "x86_64", "i686"; empty means the host's own
	// CPUShares is the relative weight of its CPU time; 0 means the default.
	CPUShares int
	// Kernel, Initrd and Cmdline boot directly, without a disk, when Kernel is set.
	// The files are the host's, and only those that its operator offers for this.
	Kernel, Initrd, Cmdline string
	// Firmware is what the domain starts with: FirmwareBIOS, FirmwareUEFI or, if
	// empty, what the host chooses, BIOS where it has that. One that exists keeps
	// its own. A host that has none of the kind gives ErrInvalid.
	Firmware string
	// Graphics gives the domain a display, which its host alone can reach.
	Graphics bool
	// Seed is an ISO 9660 image that the guest finds as a CD-ROM, nil for none. A
	// guest that runs keeps the one it was started with.
	Seed  []byte
	Disks []Disk
	NICs  []NIC
}

// Firmware of domains.
const (
	FirmwareBIOS = "bios"
	FirmwareUEFI = "uefi"
)

// Disk is a volume attached to a domain. ID names the attachment (it is the
// device's alias), Volume the volume. Domains may share a volume if none of them can
// write to it.
type Disk struct {
	ID, Volume uuid.UUID
	Target     string // "vda", "vdb"...; must be free
	ReadOnly   bool
}

// serialLen is the most that a virtio disk's serial number can have.
const serialLen = 20

// DiskSerial is the serial number that a guest finds a volume's disk by: the first 20
// characters of its UUID.
func DiskSerial(volume uuid.UUID) string { return volume.String()[:serialLen] }

// NIC is an interface of a domain in a network.
type NIC struct {
	ID, Network uuid.UUID
	MAC         string
	// Addresses are the IP addresses that it has in its network, at most one of each
	// version, without a prefix. The network's DHCP server, if it has one, hands out
	// these to it and nothing else.
	Addresses []string
	// Hostname is the name that the network's DNS server gives to the addresses, its
	// first label only. What is no host name, or another interface's, is left out.
	Hostname string
	// Filtered lets the guest send only with its MAC address and, if Addresses are
	// given, only with those and link-local IPv6 ones.
	Filtered bool
	// Grouped keeps out what none of Rules lets in; what the guest began itself, and
	// what it gets its addresses with, passes. Otherwise everything may come in.
	Grouped bool
	Rules   []Rule
}

// Rule lets traffic come in to an interface.
type Rule struct {
	Protocol string // "tcp", "udp", "icmp", "icmpv6", "all"
	// FromPort and ToPort are the first and the last port of tcp or udp that it lets
	// in; 0 and 0 mean all of them.
	FromPort, ToPort int
	// Source is who may send, everybody if it is not valid.
	Source netip.Prefix
}

// NetworkMode says where the traffic of a network goes.
type NetworkMode string

// The modes of a network.
const (
	Isolated NetworkMode = ""        // nowhere but to the host
	NAT      NetworkMode = "nat"     // out through the host, under the host's addresses
	Routed   NetworkMode = "routed"  // out through the host, under the guests' own addresses
	Bridged  NetworkMode = "bridged" // onto a bridge that the host has
)

// Network is a virtual network. Unless it is bridged it has a bridge of its own,
// on which the host has an address of each range, and answers DNS. With an IPv4
// range its guests reach the host at MetadataAddress, with an IPv6 range at
// MetadataAddress6; DHCP hands out the route where one is needed.
type Network struct {
	ID    uuid.UUID
	Name  string
	Title string
	Mode  NetworkMode
	// Bridge is the bridge of the host, with Bridged only. It must be one that the
	// operator offers; others are ErrInvalid.
	Bridge string
	// CIDR is its address range, IPv4 or IPv6, Gateway the host's own address in it,
	// by default the first. Empty means a bridge without addresses. Addresses of a
	// bridged network are not the host's affair.
	CIDR, Gateway string
	// CIDR6 is an IPv6 range beside an IPv4 range, or alone, with its Gateway6.
	CIDR6, Gateway6 string
	// DHCP hands to each interface the addresses that it has, and nothing to others.
	// A bridged network has none of the host's.
	DHCP bool
	// VLAN is an IEEE 802.1Q tag, 0 for none. Of a bridged network it chooses the
	// bridge that the operator offers for it. In an isolated network it is noted for
	// the host's tools; others, whose traffic leaves the host without tags, have none.
	VLAN int
	// Domain is the DNS domain of its guests, empty for none.
	Domain string
}

// The addresses of the host at which guests ask for what there is to know of
// themselves. The IPv6 address is of the link.
const (
	MetadataAddress  = "169.254.169.254"
	MetadataAddress6 = "fe80::a9fe:a9fe"
)

// Volume is a disk image in a pool.
type Volume struct {
	ID        uuid.UUID
	SizeBytes int64
	// Backing, unless it is the nil UUID, is another volume that this one begins as and
	// stores the differences from: nothing may write to it any more, and it must stay
	// as long as this one. SizeBytes must not be less than its size; 0 means that.
	Backing uuid.UUID
	// Pool names one of those that the Driver knows; empty means its default, or that
	// of Backing where it can be. One that it does not know is ErrInvalid. A volume that
	// exists stays where it is.
	Pool string
}

// State is what a domain is doing.
type State string

// The states of a domain.
const (
	Stopped State = "stopped"
	Running State = "running"
	Paused  State = "paused" // in memory
	Saved   State = "saved"  // stopped with a managed save image
	Crashed State = "crashed"
)

// StopMode is how StopDomain stops.
type StopMode struct {
	// ACPI asks the guest to shut down and waits Timeout for it.
	ACPI bool
	// Force powers off, after Timeout if ACPI is set too.
	Force   bool
	Timeout time.Duration
}

// RestartMode is how RestartDomain restarts.
type RestartMode string

// The ways to restart.
const (
	RestartGraceful RestartMode = "graceful" // ask the guest; cold after a time-out
	RestartWarm     RestartMode = "warm"     // reset button
	RestartCold     RestartMode = "cold"     // power off, power on
)

// SuspendMode is how SuspendDomain suspends.
type SuspendMode string

// The ways to suspend.
const (
	SuspendRAM  SuspendMode = "ram"  // paused in memory
	SuspendDisk SuspendMode = "disk" // managed save
)

// DomainStatus is a domain as the host has it now. Disks and NICs are those of
// the definition, the seed of a Driver's excepted; their IDs are zero for devices a
// Driver did not attach, and so are the Volumes that none made. Of a NIC it tells ID,
// Network and MAC.
type DomainStatus struct {
	ID    uuid.UUID
	Name  string
	State State
	// Reason is why it is in a state other than Running, in a few words such as
	// "crashed"; empty if the host does not know.
	Reason string
	// Managed is set on domains that a Driver defined.
	Managed     bool
	VCPUs       int
	MemoryBytes int64
	// LiveVCPUs and LiveMemoryBytes are what one that runs or is paused in memory has
	// now, which may differ from its definition; otherwise 0.
	LiveVCPUs       int
	LiveMemoryBytes int64
	Disks           []Disk
	NICs            []NIC
}

// NetworkStatus is a network as the host has it now.
type NetworkStatus struct {
	ID      uuid.UUID
	Name    string
	Active  bool
	Managed bool
}

// VolumeStatus is a volume as the host has it now.
type VolumeStatus struct {
	ID                        uuid.UUID
	Pool                      string
	SizeBytes, AllocatedBytes int64
}

// Pool is a pool that volumes can be in.
type Pool struct {
	Name string
	// Type is how it keeps volumes: PoolDir, PoolNFS or PoolLogical.
	Type string
	// Source is what it is of: a directory, the SERVER:/PATH of a file server, or a volume
	// group. Target is where a file server is mounted; empty means where the Driver likes.
	Source, Target string
}

// Types of pools.
const (
	PoolDir     = "dir"     // files in a directory
	PoolNFS     = "nfs"     // files in a directory of a file server
	PoolLogical = "logical" // logical volumes of a volume group
)

// PoolStatus is a pool as the host has it now.
type PoolStatus struct {
	Name string
	// CapacityBytes is its size, AllocatedBytes what is in use of it, be it by others,
	// AvailableBytes what is left. All are 0 of one that is made with its first volume.
	CapacityBytes, AllocatedBytes, AvailableBytes int64
}

// Event tells that something changed on the host.
type Event struct {
	Domain uuid.UUID // zero with Reconnected
	State  State
	Gone   bool // the domain was undefined
	// Reconnected: the connection was lost and is back; anything may have changed.
	Reconnected bool
	// Redefined: only its definition has changed; State is empty.
	Redefined bool
}
