package libvirt

import (
	"context"
	"strings"
	"time"

	"github.com/google/uuid"
	"libvirt.org/go/libvirt"

	"github.com/occid/occid/hypervisor"
)

// wantedStats are the groups of statistics that are read.
const wantedStats = libvirt.DOMAIN_STATS_STATE | libvirt.DOMAIN_STATS_CPU_TOTAL | libvirt.DOMAIN_STATS_BALLOON |
	libvirt.DOMAIN_STATS_INTERFACE | libvirt.DOMAIN_STATS_BLOCK

// Statistics implements hypervisor.Driver. All domains are read with one call, and
// leases with one for each network; definitions are read again only where
// interfaces came or went.
func (d *Driver) Statistics(ctx context.Context) ([]hypervisor.Statistics, error) {
	return call(ctx, d, "read statistics", nobody, func(ctx context.Context, s *session) ([]hypervisor.Statistics, error) {
		records, err := s.conn.GetAllDomainStats(nil, wantedStats, libvirt.CONNECT_GET_ALL_DOMAINS_STATS_NOWAIT)
		if err != nil {
			return nil, err
		}
		defer func() {
			for i := range records {
				_ = records[i].Domain.Free()
			}
		}()
		out, doms, err := s.measure(ctx, records, &d.known)
		if err != nil {
			return nil, err
		}
		if err := s.addLeases(ctx, out); err != nil {
			return nil, err
		}
		d.askAgents(ctx, s, out, doms)
		return out, nil
	})
}

// measure reads records, and gives the domain of each of the Statistics. Those of
// others are left out, and those that have vanished meanwhile.
func (s *session) measure(ctx context.Context, records []libvirt.DomainStats, known *devices) ([]hypervisor.Statistics, []*libvirt.Domain, error) {
	saved, err := s.savedDomains()
	if err != nil {
		return nil, nil, err
	}
	out, doms := []hypervisor.Statistics{}, []*libvirt.Domain{}
	seen := map[uuid.UUID]bool{}
	for i := range records {
		if err := ctx.Err(); err != nil {
			return nil, nil, err
		}
		r := &records[i]
		m, err := s.machineOf(r.Domain)
		if err != nil {
			return nil, nil, err
		}
		have, err := known.of(m, r)
		if code(err, libvirt.ERR_NO_DOMAIN) {
			continue
		}
		if err != nil {
			return nil, nil, err
		}
		seen[m.id] = true
		if !have.own || r.State == nil {
			continue
		}
		st, err := m.statistics(r, saved[m.id], have.nics)
		if err != nil {
			return nil, nil, err
		}
		out, doms = append(out, st), append(doms, r.Domain)
	}
	known.forget(seen)
	return out, doms, nil
}

// machineOf names a domain, which stays its owner's.
func (s *session) machineOf(dom *libvirt.Domain) (*machine, error) {
	raw, err := dom.GetUUID()
	if err != nil {
		return nil, err
	}
	id, err := uuid.FromBytes(raw)
	return &machine{session: s, id: id, dom: dom}, err
}

// savedDomains tells which domains have a managed save image.
func (s *session) savedDomains() (map[uuid.UUID]bool, error) {
	doms, err := s.conn.ListAllDomains(libvirt.CONNECT_LIST_DOMAINS_MANAGEDSAVE)
	if err != nil {
		return nil, err
	}
	saved := map[uuid.UUID]bool{}
	for i := range doms {
		m, nerr := s.machineOf(&doms[i])
		if nerr == nil {
			saved[m.id] = true
		} else {
			err = nerr
		}
		_ = doms[i].Free()
	}
	return saved, err
}

// statistics translates a record of a domain.
func (m *machine) statistics(r *libvirt.DomainStats, saved bool, nics map[string]nicName) (hypervisor.Statistics, error) {
	st := hypervisor.Statistics{ID: m.id, State: stateOf(r.State.State, saved), Reason: reasonOf(r.State.State, r.State.Reason)}
	st.Disks = disksOf(r.Block, live(st.State))
	if !live(st.State) {
		return st, nil
	}
	if m.simulated {
		info, err := m.dom.GetInfo()
		if err != nil {
			return st, err
		}
		st.CPUTime, st.MemoryBytes = time.Duration(info.CpuTime), int64(info.Memory)*kib
	}
	if r.Cpu != nil {
		st.CPUTime = time.Duration(r.Cpu.Time)
	}
	if b := r.Balloon; b != nil {
		st.MemoryBytes = int64(b.Current) * kib
		st.MemoryUsedBytes = min(int64(usedOf(b))*kib, st.MemoryBytes)
	}
	st.NICs = interfacesOf(r.Net, nics)
	return st, nil
}

func live(s hypervisor.State) bool { return s == hypervisor.Running || s == hypervisor.Paused }

// usedOf gives the KiB that a guest uses, or those that it takes of its host.
func usedOf(b *libvirt.DomainStatsBalloon) uint64 {
	switch {
	case b.AvailableSet && b.UsableSet && b.Usable <= b.Available:
		return b.Available - b.Usable
	case b.AvailableSet && b.UnusedSet && b.Unused <= b.Available:
		return b.Available - b.Unused
	}
	return b.Rss
}

// disksOf translates the records of disks; nil if a domain that runs is too busy
// to tell.
func disksOf(blocks []libvirt.DomainStatsBlock, live bool) []hypervisor.DiskStatistics {
	out := []hypervisor.DiskStatistics{}
	for _, b := range blocks {
		if live && !b.RdBytesSet {
			return nil
		}
		out = append(out, hypervisor.DiskStatistics{
			Target: b.Name, Volume: volumeAt(b.Path),
			ReadBytes: int64(b.RdBytes), ReadRequests: int64(b.RdReqs),
			WrittenBytes: int64(b.WrBytes), WriteRequests: int64(b.WrReqs),
			CapacityBytes: int64(b.Capacity), AllocatedBytes: int64(b.Physical),
		})
	}
	return out
}

// interfacesOf translates the records of interfaces, which the host knows by
// names of its own.
func interfacesOf(nets []libvirt.DomainStatsNet, names map[string]nicName) []hypervisor.NICStatistics {
	out := []hypervisor.NICStatistics{}
	for _, n := range nets {
		name := names[n.Name]
		out = append(out, hypervisor.NICStatistics{ID: name.id, MAC: name.mac,
			ReceivedBytes: int64(n.RxBytes), ReceivedPackets: int64(n.RxPkts), ReceiveErrors: int64(n.RxErrs),
			SentBytes: int64(n.TxBytes), SentPackets: int64(n.TxPkts), SendErrors: int64(n.TxErrs)})
	}
	return out
}

// addLeases adds the addresses that networks have leased to interfaces.
func (s *session) addLeases(ctx context.Context, all []hypervisor.Statistics) error {
	leases, err := s.leases(ctx)
	if err != nil {
		return err
	}
	for i := range all {
		for n := range all[i].NICs {
			nic := &all[i].NICs[n]
			for _, a := range leases[nic.MAC] {
				nic.Addresses = withAddress(nic.Addresses, a)
			}
		}
	}
	return nil
}

// leases gives the addresses that are on lease by the MAC address of who has
// them. A network that is stopped meanwhile has none.
func (s *session) leases(ctx context.Context) (map[string][]string, error) {
	leases := map[string][]string{}
	networks, err := s.conn.ListAllNetworks(libvirt.CONNECT_LIST_NETWORKS_ACTIVE)
	if err != nil {
		return nil, err
	}
	for i := range networks {
		defer func() { _ = networks[i].Free() }()
	}
	now := time.Now()
	for i := range networks {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		list, err := networks[i].GetDHCPLeases()
		if unsupported(err) {
			return leases, nil
		}
		if err != nil && !code(err, libvirt.ERR_NO_NETWORK, libvirt.ERR_OPERATION_INVALID) {
			return nil, err
		}
		for _, l := range list {
			// One without an end is for ever.
			if l.Mac != "" && (l.ExpiryTime.Unix() <= 0 || l.ExpiryTime.After(now)) {
				mac := strings.ToLower(l.Mac)
				leases[mac] = append(leases[mac], l.IPaddr)
			}
		}
	}
	return leases, nil
}
