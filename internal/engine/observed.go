package engine

import (
	"encoding/json"
	"math"
	"slices"

	"github.com/occid/occid/hypervisor"
	"github.com/occid/occid/occi"
)

// Roles of attributes for what is observed; all begin with roleStats.
const (
	roleStats           = "stats."
	roleRealState       = "stats.state"
	roleReason          = "stats.reason"
	roleAddresses       = "stats.addresses"
	roleAgent           = "stats.agent"
	roleCPUTime         = "stats.cpu"
	roleMemoryAvailable = "stats.memory.available"
	roleMemoryUsed      = "stats.memory.used"
	roleDiskAllocated   = "stats.disk.allocated"
	roleDiskRead        = "stats.disk.read"
	roleDiskReads       = "stats.disk.reads"
	roleDiskWritten     = "stats.disk.written"
	roleDiskWrites      = "stats.disk.writes"
	roleReceived        = "stats.network.received"
	roleSent            = "stats.network.sent"
	roleVolumeAllocated = "stats.volume.allocated"
	roleObserved        = "stats.at"
)

// domainRow says which attribute tells what of a machine.
type domainRow struct {
	role string
	// live: it means something only while the machine is in memory.
	live bool
	// value gives the zero Value for what there is none of, and told is false for what
	// the host did not tell this time.
	value func(s *hypervisor.Statistics) (v occi.Value, told bool)
}

var domainRows = []domainRow{
	{roleRealState, false, func(s *hypervisor.Statistics) (occi.Value, bool) { return text(string(s.State)), true }},
	{roleReason, false, func(s *hypervisor.Statistics) (occi.Value, bool) { return text(s.Reason), true }},
	{roleAddresses, true, seenAddresses},
	{roleAgent, true, func(s *hypervisor.Statistics) (occi.Value, bool) { return text(string(s.Agent)), s.Agent != "" }},
	{roleCPUTime, true, func(s *hypervisor.Statistics) (occi.Value, bool) {
		return occi.Float(math.Round(s.CPUTime.Seconds()*10) / 10), s.CPUTime > 0
	}},
	{roleMemoryAvailable, true, func(s *hypervisor.Statistics) (occi.Value, bool) { return inGiB(s.MemoryBytes), s.MemoryBytes > 0 }},
	{roleMemoryUsed, true, func(s *hypervisor.Statistics) (occi.Value, bool) {
		return inGiB(s.MemoryUsedBytes), s.MemoryUsedBytes > 0
	}},
	{roleDiskAllocated, false, func(s *hypervisor.Statistics) (occi.Value, bool) {
		n, told := ofDisks(s, func(d *hypervisor.DiskStatistics) int64 { return d.AllocatedBytes })
		return inGiB(n), told && (n > 0 || len(s.Disks) == 0)
	}},
	diskRow(roleDiskRead, func(d *hypervisor.DiskStatistics) int64 { return d.ReadBytes }),
	diskRow(roleDiskReads, func(d *hypervisor.DiskStatistics) int64 { return d.ReadRequests }),
	diskRow(roleDiskWritten, func(d *hypervisor.DiskStatistics) int64 { return d.WrittenBytes }),
	diskRow(roleDiskWrites, func(d *hypervisor.DiskStatistics) int64 { return d.WriteRequests }),
	nicRow(roleReceived, func(n *hypervisor.NICStatistics) int64 { return n.ReceivedBytes }),
	nicRow(roleSent, func(n *hypervisor.NICStatistics) int64 { return n.SentBytes }),
}

// put has an entity show what the host told.
func (r *domainRow) put(m *occi.Model, w *occi.Entity, s *hypervisor.Statistics) {
	if r.live && s.State != hypervisor.Running && s.State != hypervisor.Paused {
		setRole(m, w, r.role, occi.Value{})
		return
	}
	if v, told := r.value(s); told {
		setRole(m, w, r.role, v)
	}
}

func diskRow(role string, of func(*hypervisor.DiskStatistics) int64) domainRow {
	return domainRow{role, true, func(s *hypervisor.Statistics) (occi.Value, bool) {
		n, told := ofDisks(s, of)
		return occi.Int(n), told
	}}
}

func ofDisks(s *hypervisor.Statistics, of func(*hypervisor.DiskStatistics) int64) (sum int64, told bool) {
	for i := range s.Disks {
		sum += of(&s.Disks[i])
	}
	return sum, s.Disks != nil
}

func nicRow(role string, of func(*hypervisor.NICStatistics) int64) domainRow {
	return domainRow{role, true, func(s *hypervisor.Statistics) (occi.Value, bool) {
		sum := int64(0)
		for i := range s.NICs {
			sum += of(&s.NICs[i])
		}
		return occi.Int(sum), s.NICs != nil
	}}
}

// seenAddresses lists the addresses of all interfaces. If the agent was not asked, it
// stays at what was told before.
func seenAddresses(s *hypervisor.Statistics) (occi.Value, bool) {
	var all []string
	for _, n := range s.NICs {
		all = append(all, n.Addresses...)
	}
	if len(all) == 0 {
		return occi.Value{}, s.Agent != ""
	}
	slices.Sort(all)
	list, err := json.Marshal(slices.Compact(all))
	return occi.Value{Type: occi.Array, Text: string(list)}, s.Agent != "" && err == nil
}

func text(s string) occi.Value {
	if s == "" {
		return occi.Value{}
	}
	return occi.Str(s)
}

// inGiB gives bytes in GiB, in whole MiB.
func inGiB(bytes int64) occi.Value {
	const mib = 1 << 20
	return occi.Float(math.Round(float64(bytes)/mib) * mib / gib)
}
