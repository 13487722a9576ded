// Package hypertest holds the suite that every hypervisor.Driver must pass.
//
// It makes domains, networks and volumes of its own on the host, with random
// UUIDs, and removes them; what else the host has does not disturb it.
package hypertest

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/occid/occid/hypervisor"
)

// Traits say what the host under test can do.
type Traits struct {
	// Guest holds what every domain of the suite boots (Kernel, Initrd, Cmdline)
	// and how large it is (VCPUs, MemoryBytes); zero sizes mean one processor and
	// 64 MiB. On a host with real guests it must boot one that follows the power
	// button and lets go of devices.
	Guest hypervisor.Domain
	// Up waits until the guest of a domain that was started once lets go of
	// devices; nil if it does so at once.
	Up func(t *testing.T, domain uuid.UUID)
	// Write puts something into a volume that nothing uses, and Holds tells whether it
	// is there; nil on a host whose volumes hold nothing.
	Write func(t *testing.T, volume uuid.UUID)
	Holds func(t *testing.T, volume uuid.UUID) bool
	// Foreign makes a domain that is not a Driver's, removes it when the test
	// ends, and gives its UUID.
	Foreign func(t *testing.T) uuid.UUID
	// Stray makes a domain that is not a Driver's and runs, with a disk vda of 16 MiB in a
	// pool that is not the Driver's, a directory beside PoolDir, and an interface in a network of others, removes what is
	// left of these when the test ends, and gives its UUID.
	Stray func(t *testing.T) uuid.UUID
	// Reserved gives the addresses that the DHCP server of a network has for
	// interfaces, as "MAC ADDRESS NAME", sorted.
	Reserved func(t *testing.T, network uuid.UUID) []string
	// Addressed waits until the guest of a domain has an address on an interface,
	// such as eth0; nil on a host without real guests.
	Addressed func(t *testing.T, domain uuid.UUID, device, address string)
	// Bridge is a bridge that the Driver offers for networks, without VLAN and with
	// VLAN 7.
	Bridge string
	// Pool names a pool that is not the default, empty if there is none.
	Pool string
	// PoolDir is a directory of the host in which a pool is added.
	PoolDir string
	// Other gives a Driver for another host, nil if there is none.
	Other func(t *testing.T) hypervisor.Driver
	// Simulated is set on a host without real guests, where calls are so cheap
	// that long random sequences are tried.
	Simulated bool
}

// patience bounds one call; on a host with real guests a stop may take that long.
const patience = 2 * time.Minute

// Run runs the suite. open gives a new Driver for the same host each time, and
// closes it when the test ends.
func Run(t *testing.T, open func(t *testing.T) hypervisor.Driver, traits Traits) {
	tests := []struct {
		name string
		run  func(*suite)
	}{
		{"Info", (*suite).info},
		{"Lifecycle", (*suite).lifecycle},
		{"Stop", (*suite).stop},
		{"Restart", (*suite).restart},
		{"Redefine", (*suite).redefine},
		{"Adjust", (*suite).adjust},
		{"HostileText", (*suite).hostileText},
		{"Seed", (*suite).seed},
		{"Firmware", (*suite).firmware},
		{"Graphics", (*suite).graphics},
		{"Shared", (*suite).shared},
		{"InvalidDomain", (*suite).invalidDomain},
		{"MissingDomain", (*suite).missingDomain},
		{"Foreign", (*suite).foreign},
		{"Adopt", (*suite).adopt},
		{"Release", (*suite).release},
		{"AdoptRefused", (*suite).adoptRefused},
		{"MigrateAdopted", (*suite).migrateAdopted},
		{"DevicesOfStopped", (*suite).devicesOfStopped},
		{"DevicesOfRunning", (*suite).devicesOfRunning},
		{"DevicesAtOnce", (*suite).devicesAtOnce},
		{"InvalidDevice", (*suite).invalidDevice},
		{"Network", (*suite).network},
		{"InvalidNetwork", (*suite).invalidNetwork},
		{"NetworkModes", (*suite).networkModes},
		{"Addresses", (*suite).addresses},
		{"AddressesOfSilent", (*suite).addressesOfSilent},
		{"AddressesAtOnce", (*suite).addressesAtOnce},
		{"AddressesOfRunning", (*suite).addressesOfRunning},
		{"InvalidAddress", (*suite).invalidAddress},
		{"Volume", (*suite).volume},
		{"VolumeInUse", (*suite).volumeInUse},
		{"Pools", (*suite).pools},
		{"OfferedPools", (*suite).offered},
		{"CopyVolume", (*suite).copyVolume},
		{"CopyVolumeInUse", (*suite).copyVolumeInUse},
		{"Statistics", (*suite).statistics},
		{"StatisticsOfOthers", (*suite).statisticsOfOthers},
		{"Overlays", (*suite).overlays},
		{"Content", (*suite).content},
		{"Migrate", (*suite).migrate},
		{"MigrateRefused", (*suite).migrateRefused},
		{"Events", (*suite).events},
		{"Ended", (*suite).ended},
		{"Closed", (*suite).closed},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if testing.Short() && !traits.Simulated && slices.Contains(costly, tt.name) {
				t.Skip("takes long with real guests; make lab-test runs it")
			}
			t.Parallel()
			tt.run(&suite{T: t, drv: open(t), traits: traits})
		})
	}
	if traits.Simulated {
		t.Run("Random", func(t *testing.T) {
			t.Parallel()
			random(&suite{T: t, drv: open(t), traits: traits})
		})
	}
}

// costly are tests that take half a minute and more with real guests. Those are left out of
// short runs.
var costly = []string{"Graphics", "AddressesAtOnce", "Statistics", "Migrate", "MigrateRefused", "MigrateAdopted"}

// suite is one test with its Driver.
type suite struct {
	*testing.T
	drv    hypervisor.Driver
	traits Traits
}

func (s *suite) ctx() context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	s.Cleanup(cancel)
	return ctx
}

// ok ends the test if a call failed.
func (s *suite) ok(what string, err error) {
	s.Helper()
	if err != nil {
		s.Fatalf("%s: %v", what, err)
	}
}

// is reports a call that did not fail in the way it must.
func (s *suite) is(what string, err, want error) {
	s.Helper()
	if !errors.Is(err, want) {
		s.Errorf("%s: got error %v, want %v", what, err, want)
	}
}

// spec gives the definition of a new domain that is removed when the test ends.
func (s *suite) spec() hypervisor.Domain {
	d := s.traits.Guest
	d.ID = uuid.New()
	if d.VCPUs == 0 {
		d.VCPUs = 1
	}
	if d.MemoryBytes == 0 {
		d.MemoryBytes = 64 << 20
	}
	s.Cleanup(func() {
		if err := s.drv.DeleteDomain(s.ctx(), d.ID); err != nil && !errors.Is(err, hypervisor.ErrUnavailable) {
			s.Errorf("domain %s is left on the host: %v", d.ID, err)
		}
	})
	return d
}

// domain defines a new domain.
func (s *suite) domain() hypervisor.Domain {
	s.Helper()
	d := s.spec()
	s.ok("define", s.drv.DefineDomain(s.ctx(), d))
	return d
}

// running defines and starts a new domain whose guest is up.
func (s *suite) running() hypervisor.Domain {
	s.Helper()
	d := s.domain()
	s.ok("start", s.drv.StartDomain(s.ctx(), d.ID))
	if s.traits.Up != nil {
		s.traits.Up(s.T, d.ID)
	}
	return d
}

// newVolume makes a volume that is removed when the test ends.
func (s *suite) newVolume() hypervisor.Volume {
	s.Helper()
	v := hypervisor.Volume{ID: uuid.New(), SizeBytes: 16 << 20}
	s.ok("create volume", s.drv.CreateVolume(s.ctx(), v))
	s.Cleanup(func() {
		if err := s.drv.DeleteVolume(s.ctx(), v.ID); err != nil {
			s.Errorf("volume %s is left on the host: %v", v.ID, err)
		}
	})
	return v
}

// networkSpec gives the definition of a new network that is removed when the test
// ends. It has no address range: those of one host must not overlap.
func (s *suite) networkSpec() hypervisor.Network {
	n := hypervisor.Network{ID: uuid.New()}
	s.Cleanup(func() {
		if err := s.drv.DeleteNetwork(s.ctx(), n.ID); err != nil {
			s.Errorf("network %s is left on the host: %v", n.ID, err)
		}
	})
	return n
}

// newNetwork makes an active network without addresses.
func (s *suite) newNetwork() hypervisor.Network {
	s.Helper()
	n := s.networkSpec()
	s.ok("define network", s.drv.DefineNetwork(s.ctx(), n))
	s.ok("start network", s.drv.StartNetwork(s.ctx(), n.ID))
	return n
}

// look asks the host for a domain; nil if it is not there.
func (s *suite) look(id uuid.UUID) *hypervisor.DomainStatus {
	s.Helper()
	d, err := s.drv.Domain(s.ctx(), id)
	if errors.Is(err, hypervisor.ErrNotFound) {
		return nil
	}
	s.ok("look at the domain", err)
	return &d
}

// wantState checks what a domain does.
func (s *suite) wantState(what string, id uuid.UUID, want hypervisor.State) {
	s.Helper()
	switch d := s.look(id); {
	case d == nil:
		s.Errorf("after %s the domain is gone, want %s", what, want)
	case d.State != want:
		s.Errorf("after %s the domain is %s, want %s", what, d.State, want)
	}
}

// wantDevices checks the disks and interfaces of a domain, in any order. Addresses
// and names are the network's.
func (s *suite) wantDevices(what string, id uuid.UUID, disks []hypervisor.Disk, nics []hypervisor.NIC) {
	s.Helper()
	d := s.look(id)
	if d == nil {
		s.Fatalf("after %s the domain is gone", what)
	}
	nics = slices.Clone(nics)
	for i := range nics {
		nics[i].Addresses, nics[i].Hostname = nil, ""
	}
	byDisk := func(a, b hypervisor.Disk) int { return compare(a.ID, b.ID) }
	byNIC := func(a, b hypervisor.NIC) int { return compare(a.ID, b.ID) }
	gotDisks, gotNICs := slices.SortedFunc(slices.Values(d.Disks), byDisk), slices.SortedFunc(slices.Values(d.NICs), byNIC)
	if diff := cmp.Diff(slices.SortedFunc(slices.Values(disks), byDisk), gotDisks); diff != "" {
		s.Errorf("after %s the disks are not as wanted (-want +got):\n%s", what, diff)
	}
	if diff := cmp.Diff(slices.SortedFunc(slices.Values(told(nics)), byNIC), gotNICs); diff != "" {
		s.Errorf("after %s the interfaces are not as wanted (-want +got):\n%s", what, diff)
	}
}

// told gives what a DomainStatus tells of interfaces.
func told(nics []hypervisor.NIC) []hypervisor.NIC {
	var out []hypervisor.NIC
	for _, n := range nics {
		out = append(out, hypervisor.NIC{ID: n.ID, Network: n.Network, MAC: n.MAC})
	}
	return out
}

func compare(a, b uuid.UUID) int { return slices.Compare(a[:], b[:]) }
