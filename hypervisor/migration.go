package hypervisor

// Migration is how a domain moves to another host.
type Migration struct {
	// Storage says what becomes of its volumes.
	Storage StorageMove
	// BandwidthMiB is the most that is sent of it in a second, in MiB; 0 means as much as
	// passes.
	BandwidthMiB int
	// AutoConverge slows a guest down that changes its memory faster than that can be
	// sent.
	AutoConverge bool
	// PostCopy has the guest go on at its target before all of its memory is there, once
	// all has been sent once. From then on it cannot be stopped, and the guest needs both
	// hosts.
	PostCopy bool
	// Paused says that the domain is paused in memory, and stays so. It is saved to a file,
	// which moves like a volume, and restored from that; BandwidthMiB, AutoConverge and
	// PostCopy have no meaning.
	Paused bool
	// Progress, if set, is told how much was sent, and how much that will be as far as is
	// known, in bytes.
	Progress func(done, total int64)
}

// StorageMove says what becomes of the volumes of a domain that moves. That two hosts have
// the same volumes is found out by trying.
type StorageMove string

// What becomes of volumes.
const (
	StorageAuto   StorageMove = "auto"   // those are copied that both hosts do not share
	StorageCopy   StorageMove = "copy"   // all are copied; it is an error if one is shared
	StorageShared StorageMove = "shared" // none is copied; it is an error if one is not shared
)
