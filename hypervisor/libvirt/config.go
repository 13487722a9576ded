package libvirt

import (
	"log/slog"
	"slices"
	"time"

	"github.com/occid/occid/hypervisor"
)

// Acceleration says how a host runs its guests' processors.
type Acceleration string

// The ways to run a guest's processors.
const (
	Auto Acceleration = ""     // KVM where the host offers it
	KVM  Acceleration = "kvm"  // hardware virtualisation only
	QEMU Acceleration = "qemu" // emulation only
)

// Config is what a Driver is made of. URI is required.
type Config struct {
	// URI is a libvirt connection URI such as qemu:///system or test:///default.
	URI string
	// Pool names the storage pool that holds the driver's volumes; "" means
	// "occid". A pool that is missing is made in PoolDir on the host; "" means
	// /var/lib/libvirt/images/occid.
	Pool, PoolDir string
	// Pools are further pools that volumes can be in.
	Pools []Pool
	// DefaultPool names the pool of volumes that are to be in none; "" means Pool.
	DefaultPool string
	// ConsoleDir is where the host writes what guests print on their serial
	// consoles, in a file UUID.log for each domain; "" means
	// /var/log/libvirt/occid. It becomes a pool named after Pool, so that the
	// logs can be removed with their domains.
	ConsoleDir string
	// BootDirs are the directories on the host whose files a domain may name as
	// its kernel or initial RAM disk; nil means /var/lib/libvirt/boot. They must
	// hold nothing that guests may not read.
	BootDirs []string
	// Bridges are the bridges of the host that networks may be bridged to.
	Bridges hypervisor.Bridges
	// Acceleration of the domains defined from here on.
	Acceleration Acceleration
	// AllowSpoofing has hypervisor.NIC.Filtered ignored.
	AllowSpoofing bool
	// RestartTimeout is how long a guest may take to follow a graceful restart
	// before it is restarted cold; 0 means 30 seconds.
	RestartTimeout time.Duration
	// Calls is how many calls may be under way at once, those included whose
	// callers have given up; 0 means 64.
	Calls int
	// Trace, if set, is called before and after each libvirt call that changes
	// the host, with one of Ops, in the goroutine that makes the call. Tests
	// block or end the process in it.
	Trace func(op string, after bool)
	// Observer, if set, is told of calls.
	Observer Observer
	Logger   *slog.Logger
}

// PoolType is how a pool keeps volumes.
type PoolType string

// The types of pools.
const (
	PoolDir     PoolType = "dir"     // qcow2 files in a directory
	PoolNFS     PoolType = "nfs"     // qcow2 files in a directory of a file server
	PoolLogical PoolType = "logical" // logical volumes of a volume group
)

// Pool is a storage pool on the host. If the host has one of the name it is used as
// it is.
type Pool struct {
	Name string
	Type PoolType
	// Source is what it is of: the SERVER:PATH of PoolNFS, the volume group of
	// PoolLogical.
	Source string
	// Target is its directory on the host: that of PoolDir, and where PoolNFS is
	// mounted, by default /var/lib/libvirt/images and its name.
	Target string
}

func (c Config) withDefaults() Config {
	if c.Pool == "" {
		c.Pool = "occid"
	}
	if c.PoolDir == "" {
		c.PoolDir = "/var/lib/libvirt/images/occid"
	}
	if c.DefaultPool == "" {
		c.DefaultPool = c.Pool
	}
	c.Pools = slices.Clone(c.Pools)
	for i := range c.Pools {
		if p := &c.Pools[i]; p.Target == "" {
			p.Target = "/var/lib/libvirt/images/" + p.Name
		}
	}
	if c.ConsoleDir == "" {
		c.ConsoleDir = "/var/log/libvirt/occid"
	}
	if c.BootDirs == nil {
		c.BootDirs = []string{"/var/lib/libvirt/boot"}
	}
	if c.RestartTimeout <= 0 {
		c.RestartTimeout = 30 * time.Second
	}
	if c.Calls <= 0 {
		c.Calls = 64
	}
	if c.Observer == nil {
		c.Observer = unobserved{}
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	return c
}
