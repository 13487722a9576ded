package hypervisor

import (
	"time"

	"github.com/google/uuid"
)

// Statistics tell what a domain is and has used. Numbers that are zero and lists
// that are nil are what the host did not tell; an empty list means that there are
// none.
type Statistics struct {
	ID    uuid.UUID
	State State
	// Reason is why it is in that state, in a few words such as "crashed"; empty if
	// the host does not know.
	Reason string
	// CPUTime is what its processors have run since it was started.
	CPUTime time.Duration
	// MemoryBytes is what it has, MemoryUsedBytes what its guest uses of that, or
	// what it takes of the host's if the guest does not tell.
	MemoryBytes, MemoryUsedBytes int64
	Disks                        []DiskStatistics
	// NICs are those of a domain that runs or is paused in memory.
	NICs []NICStatistics
	// Agent is empty if the domain does not run or its agent was not asked.
	Agent AgentState
}

// DiskStatistics tell what a disk of a domain has done since the domain was
// started, and what it takes.
type DiskStatistics struct {
	Target string    // "vda"
	Volume uuid.UUID // zero if it is not a Driver's

	ReadBytes, ReadRequests     int64
	WrittenBytes, WriteRequests int64
	// CapacityBytes is what the guest sees, AllocatedBytes what it takes of its pool.
	CapacityBytes, AllocatedBytes int64
}

// NICStatistics tell what an interface of a domain has done since it was plugged
// in, as its guest sees it.
type NICStatistics struct {
	ID  uuid.UUID // zero if no Driver attached it
	MAC string

	ReceivedBytes, ReceivedPackets, ReceiveErrors int64
	SentBytes, SentPackets, SendErrors            int64
	// Addresses are those that its guest's agent tells and those that it has on
	// lease, without loopback and link-local ones.
	Addresses []string
}

// AgentState is what the agent inside a guest does.
type AgentState string

// The states of an agent.
const (
	AgentAlive  AgentState = "alive"
	AgentSilent AgentState = "silent" // the domain has a channel for it, on which nobody answers in time
	AgentAbsent AgentState = "absent" // the domain has no channel for one
)
