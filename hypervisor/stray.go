package hypervisor

import (
	"bytes"
	"crypto/sha1"

	"github.com/google/uuid"
)

// Stray is a domain that no Driver made, as it is defined.
type Stray struct {
	// Domain is what it is with a Driver, its devices left aside.
	Domain Domain
	State  State
	Disks  []StrayDisk
	NICs   []StrayNIC
	// Obstacles say why AdoptDomain would refuse it; none if it would not.
	Obstacles []string
	// Adopted is set once AdoptDomain was called for it.
	Adopted bool
}

// StrayDisk is a disk of a Stray. Its Volume is the UUID by which Drivers know that, the
// nil UUID if it cannot be theirs.
type StrayDisk struct {
	Disk
	Pool, Name string // where the volume is, and what it is called there
	SizeBytes  int64
}

// StrayNIC is an interface of a Stray: in a network, which has a Name, or else on a Bridge
// of the host.
type StrayNIC struct {
	NIC
	Name, Bridge string
}

// adoptedMark begins the UUIDs of volumes that others made.
var adoptedMark = []byte{0xad, 0x0b, 0x7e, 0xd0}

// AdoptedVolume is the UUID by which Drivers know a volume that others made: it follows
// from where the volume is and what it is called there. No other thing may have such a
// UUID: who chose it would be given the volume.
func AdoptedVolume(place, name string) uuid.UUID {
	id := uuid.NewHash(sha1.New(), uuid.NameSpaceURL, []byte(place+"\n"+name), 8)
	copy(id[:], adoptedMark)
	return id
}

// IsAdopted reports whether a UUID is one of AdoptedVolume.
func IsAdopted(id uuid.UUID) bool { return id.Version() == 8 && bytes.HasPrefix(id[:], adoptedMark) }
