package engine_test

import (
	"cmp"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/google/uuid"

	"github.com/occid/occid/hypervisor"
)

// fakeHost is a host in memory that can be made to fail, to hang and to change
// by itself.
type fakeHost struct {
	mu       sync.Mutex
	domains  map[uuid.UUID]*fakeDomain
	networks map[uuid.UUID]*hypervisor.NetworkStatus
	told     map[uuid.UUID]hypervisor.Network // how networks were defined last
	volumes  map[uuid.UUID]*hypervisor.VolumeStatus
	contents map[uuid.UUID]string    // of volumes that were written
	backings map[uuid.UUID]uuid.UUID // what volumes are backed by
	log      []string
	// before, when set, is asked before each call, with the op "look" before those
	// that change nothing; its error is the call's.
	before func(ctx context.Context, op string, id uuid.UUID) error
	// listed, when set, is called when the domains have been listed, before the
	// list is given.
	listed func()
	events chan hypervisor.Event
	// used is what Statistics tells beside the state; reasons are why domains are in
	// theirs.
	used    map[uuid.UUID]hypervisor.Statistics
	reasons map[uuid.UUID]string
	// pools is what Pools tells.
	pools []hypervisor.PoolStatus
	// offered are the pools that were added.
	offered []hypervisor.Pool
	// info is what it tells of itself, unless silence is why it does not.
	info    hypervisor.Info
	silence error
	// peers are hosts that have the same volumes in pools, by name: it knows those that are
	// theirs once it has looked into the pool.
	peers map[string]*fakeHost
	// strays are the machines of others, of which it has what it tells.
	strays map[uuid.UUID]*hypervisor.Stray
	// rigid guests keep the size they were started with.
	rigid bool
}

// fakeDomain is a domain of a fakeHost.
type fakeDomain struct {
	hypervisor.DomainStatus
	spec hypervisor.Domain // as it was defined last
}

func (d *fakeDomain) status() hypervisor.DomainStatus {
	s := d.DomainStatus
	if s.State != hypervisor.Running && s.State != hypervisor.Paused {
		s.LiveVCPUs, s.LiveMemoryBytes = 0, 0
	}
	s.Disks, s.NICs = slices.Clone(s.Disks), slices.Clone(s.NICs)
	return s
}

func (d *fakeDomain) setDisk(x hypervisor.Disk) {
	d.Disks = append(slices.DeleteFunc(d.Disks, func(o hypervisor.Disk) bool { return o.ID == x.ID }), x)
}

func (d *fakeDomain) setNIC(x hypervisor.NIC) {
	d.NICs = append(slices.DeleteFunc(d.NICs, func(o hypervisor.NIC) bool { return o.ID == x.ID }), x)
}

func newFakeHost() *fakeHost {
	return &fakeHost{domains: map[uuid.UUID]*fakeDomain{}, networks: map[uuid.UUID]*hypervisor.NetworkStatus{},
		told: map[uuid.UUID]hypervisor.Network{}, volumes: map[uuid.UUID]*hypervisor.VolumeStatus{}, contents: map[uuid.UUID]string{}, backings: map[uuid.UUID]uuid.UUID{},
		used: map[uuid.UUID]hypervisor.Statistics{}, reasons: map[uuid.UUID]string{},
		info: hypervisor.Info{Hostname: "fake", CPUs: 1024, MemoryBytes: 4 << 40}, events: make(chan hypervisor.Event, 64)}
}

// intercept sets before.
func (f *fakeHost) intercept(before func(ctx context.Context, op string, id uuid.UUID) error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.before = before
}

// onList sets listed.
func (f *fakeHost) onList(listed func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.listed = listed
}

// report changes a machine's state as if by itself, and tells of it.
func (f *fakeHost) report(id uuid.UUID, s hypervisor.State) {
	f.mu.Lock()
	if d := f.domains[id]; d.State == hypervisor.Stopped {
		d.resize()
	}
	f.domains[id].State = s
	f.mu.Unlock()
	f.events <- hypervisor.Event{Domain: id, State: s}
}

// set changes a machine's state as if by itself, and tells nobody.
func (f *fakeHost) set(id uuid.UUID, s hypervisor.State) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.domains[id].State = s
}

// calls lists the changes made so far, "op id".
func (f *fakeHost) calls() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.log)
}

// ask calls before.
func (f *fakeHost) ask(ctx context.Context, op string, id uuid.UUID) error {
	f.mu.Lock()
	before := f.before
	f.mu.Unlock()
	if before == nil {
		return nil
	}
	return before(ctx, op, id)
}

func (f *fakeHost) change(ctx context.Context, op string, id uuid.UUID, do func() error) error {
	if err := f.ask(ctx, op, id); err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.log = append(f.log, op+" "+id.String())
	return do()
}

// withDomain changes a domain that must be there.
func (f *fakeHost) withDomain(ctx context.Context, op string, id uuid.UUID, do func(*fakeDomain) error) error {
	return f.change(ctx, op, id, func() error {
		d := f.domains[id]
		if d == nil {
			return fmt.Errorf("domain %s: %w", id, hypervisor.ErrNotFound)
		}
		return do(d)
	})
}

func (f *fakeHost) setState(ctx context.Context, op string, id uuid.UUID, s hypervisor.State) error {
	return f.withDomain(ctx, op, id, func(d *fakeDomain) error {
		if d.State == hypervisor.Stopped || op == "restart domain cold" {
			d.resize()
		}
		d.State = s
		return nil
	})
}

func (d *fakeDomain) resize() { d.LiveVCPUs, d.LiveMemoryBytes = d.VCPUs, d.MemoryBytes }

func (f *fakeHost) AdjustDomain(ctx context.Context, id uuid.UUID) error {
	return f.withDomain(ctx, "adjust domain", id, func(d *fakeDomain) error {
		if !f.rigid {
			d.resize()
		}
		return nil
	})
}

// harden makes guests rigid.
func (f *fakeHost) harden() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.rigid = true
}

// tell sets what the host tells of itself.
func (f *fakeHost) tell(info hypervisor.Info, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.info, f.silence = info, err
}

func (f *fakeHost) Info(context.Context) (hypervisor.Info, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.info, f.silence
}

func (f *fakeHost) DefineDomain(ctx context.Context, d hypervisor.Domain) error {
	return f.change(ctx, "define domain", d.ID, func() error {
		if err := f.has(d.Disks, d.NICs); err != nil {
			return err
		}
		s := f.domains[d.ID]
		if s == nil {
			s = &fakeDomain{DomainStatus: hypervisor.DomainStatus{ID: d.ID, State: hypervisor.Stopped, Managed: true}}
			f.domains[d.ID] = s
		}
		s.VCPUs, s.MemoryBytes, s.spec = d.VCPUs, d.MemoryBytes, d
		for _, x := range d.Disks {
			s.setDisk(x)
		}
		for _, x := range d.NICs {
			s.setNIC(x)
		}
		return nil
	})
}

// spec gives a machine as it was defined last.
func (f *fakeHost) spec(id uuid.UUID) hypervisor.Domain {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.domains[id].spec
}

// domain and volume give what the host has.
func (f *fakeHost) domain(id uuid.UUID) hypervisor.DomainStatus {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.domains[id].status()
}

func (f *fakeHost) volume(id uuid.UUID) hypervisor.VolumeStatus {
	f.mu.Lock()
	defer f.mu.Unlock()
	return *f.volumes[id]
}

// hold has the first call of an operation close entered, wait until proceed is closed,
// and fail if there is a fault.
func (f *fakeHost) hold(operation string, fault error) (entered <-chan struct{}, proceed chan<- struct{}) {
	in, out := make(chan struct{}), make(chan struct{})
	var once sync.Once
	f.intercept(func(_ context.Context, op string, _ uuid.UUID) (err error) {
		if op == operation {
			once.Do(func() {
				close(in)
				<-out
				err = fault
			})
		}
		return err
	})
	return in, out
}

// has fails with ErrNotFound unless what devices need is there.
func (f *fakeHost) has(disks []hypervisor.Disk, nics []hypervisor.NIC) error {
	for _, d := range disks {
		if f.volumes[d.Volume] == nil {
			return fmt.Errorf("volume %s: %w", d.Volume, hypervisor.ErrNotFound)
		}
	}
	for _, n := range nics {
		if f.networks[n.Network] == nil {
			return fmt.Errorf("network %s: %w", n.Network, hypervisor.ErrNotFound)
		}
	}
	return nil
}

// wipe makes the host lose all that it has.
func (f *fakeHost) wipe() {
	f.mu.Lock()
	defer f.mu.Unlock()
	clear(f.domains)
	clear(f.networks)
	clear(f.volumes)
	clear(f.contents)
	clear(f.backings)
}

func (f *fakeHost) StartDomain(ctx context.Context, id uuid.UUID) error {
	return f.setState(ctx, "start domain", id, hypervisor.Running)
}

func (f *fakeHost) StopDomain(ctx context.Context, id uuid.UUID, mode hypervisor.StopMode) error {
	return f.setState(ctx, fmt.Sprintf("stop domain acpi=%t force=%t", mode.ACPI, mode.Force), id, hypervisor.Stopped)
}

func (f *fakeHost) RestartDomain(ctx context.Context, id uuid.UUID, mode hypervisor.RestartMode) error {
	return f.setState(ctx, "restart domain "+string(mode), id, hypervisor.Running)
}

func (f *fakeHost) SuspendDomain(ctx context.Context, id uuid.UUID, mode hypervisor.SuspendMode) error {
	to := hypervisor.Paused
	if mode == hypervisor.SuspendDisk {
		to = hypervisor.Saved
	}
	return f.setState(ctx, "suspend domain "+string(mode), id, to)
}

func (f *fakeHost) DeleteDomain(ctx context.Context, id uuid.UUID) error {
	return f.withDomain(ctx, "delete domain", id, func(*fakeDomain) error {
		delete(f.domains, id)
		return nil
	})
}

func (f *fakeHost) Domain(ctx context.Context, id uuid.UUID) (hypervisor.DomainStatus, error) {
	if err := f.ask(ctx, "look", id); err != nil {
		return hypervisor.DomainStatus{}, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	d := f.domains[id]
	if d == nil {
		return hypervisor.DomainStatus{}, fmt.Errorf("domain %s: %w", id, hypervisor.ErrNotFound)
	}
	s := d.status()
	s.Reason = f.reasons[id]
	return s, nil
}

func (f *fakeHost) Statistics(ctx context.Context) ([]hypervisor.Statistics, error) {
	if err := f.ask(ctx, "statistics", uuid.Nil); err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	var out []hypervisor.Statistics
	for id, d := range f.domains {
		s := f.used[id]
		s.ID, s.State, s.Reason = id, d.State, f.reasons[id]
		out = append(out, s)
	}
	return out, nil
}

// use sets what Statistics tells of a machine, and why it is in its state.
func (f *fakeHost) use(id uuid.UUID, s hypervisor.Statistics, reason string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.used[id], f.reasons[id] = s, reason
}

func (f *fakeHost) Domains(ctx context.Context) ([]hypervisor.DomainStatus, error) {
	if err := f.ask(ctx, "look", uuid.Nil); err != nil {
		return nil, err
	}
	f.mu.Lock()
	var out []hypervisor.DomainStatus
	for d := range maps.Values(f.domains) {
		out = append(out, d.status())
	}
	listed := f.listed
	f.mu.Unlock()
	if listed != nil {
		listed()
	}
	return out, nil
}

// values copies what a map holds.
func values[T any](f *fakeHost, m map[uuid.UUID]*T) []T {
	f.mu.Lock()
	defer f.mu.Unlock()
	var out []T
	for v := range maps.Values(m) {
		out = append(out, *v)
	}
	return out
}

func (f *fakeHost) AttachDisk(ctx context.Context, domain uuid.UUID, d hypervisor.Disk) error {
	return f.withDomain(ctx, "attach disk", domain, func(s *fakeDomain) error {
		if err := f.has([]hypervisor.Disk{d}, nil); err != nil {
			return err
		}
		s.setDisk(d)
		return nil
	})
}

func (f *fakeHost) DetachDisk(ctx context.Context, domain, disk uuid.UUID) error {
	return f.withDomain(ctx, "detach disk", domain, func(s *fakeDomain) error {
		s.Disks = slices.DeleteFunc(s.Disks, func(x hypervisor.Disk) bool { return x.ID == disk })
		return nil
	})
}

func (f *fakeHost) AttachNIC(ctx context.Context, domain uuid.UUID, n hypervisor.NIC) error {
	return f.withDomain(ctx, "attach nic", domain, func(s *fakeDomain) error {
		if err := f.has(nil, []hypervisor.NIC{n}); err != nil {
			return err
		}
		s.setNIC(n)
		return nil
	})
}

func (f *fakeHost) DetachNIC(ctx context.Context, domain, nic uuid.UUID) error {
	return f.withDomain(ctx, "detach nic", domain, func(s *fakeDomain) error {
		s.NICs = slices.DeleteFunc(s.NICs, func(x hypervisor.NIC) bool { return x.ID == nic })
		return nil
	})
}

func (f *fakeHost) DefineNetwork(ctx context.Context, n hypervisor.Network) error {
	return f.change(ctx, "define network", n.ID, func() error {
		if f.networks[n.ID] == nil {
			f.networks[n.ID] = &hypervisor.NetworkStatus{ID: n.ID, Managed: true}
		}
		f.told[n.ID] = n
		return nil
	})
}

// network gives how a network was defined last.
func (f *fakeHost) network(id uuid.UUID) hypervisor.Network {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.told[id]
}

func (f *fakeHost) setNetwork(ctx context.Context, op string, id uuid.UUID, active bool) error {
	return f.change(ctx, op, id, func() error {
		n := f.networks[id]
		if n == nil {
			return fmt.Errorf("network %s: %w", id, hypervisor.ErrNotFound)
		}
		n.Active = active
		return nil
	})
}

func (f *fakeHost) StartNetwork(ctx context.Context, id uuid.UUID) error {
	return f.setNetwork(ctx, "start network", id, true)
}

func (f *fakeHost) StopNetwork(ctx context.Context, id uuid.UUID) error {
	return f.setNetwork(ctx, "stop network", id, false)
}

func (f *fakeHost) DeleteNetwork(ctx context.Context, id uuid.UUID) error {
	return f.change(ctx, "delete network", id, func() error {
		delete(f.networks, id)
		return nil
	})
}

func (f *fakeHost) Networks(context.Context) ([]hypervisor.NetworkStatus, error) {
	return values(f, f.networks), nil
}

func (f *fakeHost) Pools(ctx context.Context) ([]hypervisor.PoolStatus, error) {
	if err := f.ask(ctx, "pools", uuid.Nil); err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	all := slices.Clone(f.pools)
	for _, p := range f.offered {
		all = append(all, hypervisor.PoolStatus{Name: p.Name, CapacityBytes: 100 << 30, AllocatedBytes: 1 << 30, AvailableBytes: 99 << 30})
	}
	return all, nil
}

// LookInto takes in what a peer has in a pool.
func (f *fakeHost) LookInto(ctx context.Context, pool string) ([]hypervisor.VolumeStatus, error) {
	if err := f.ask(ctx, "look into "+pool, uuid.Nil); err != nil {
		return nil, err
	}
	theirs, backings := f.ofPeer(pool)
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, v := range theirs {
		if f.volumes[v.ID] == nil {
			f.volumes[v.ID] = &v
		}
		if base, ok := backings[v.ID]; ok {
			f.backings[v.ID] = base
		}
	}
	var out []hypervisor.VolumeStatus
	for _, v := range f.volumes {
		if v.Pool == pool {
			out = append(out, *v)
		}
	}
	return out, nil
}

// ofPeer lists what the peer of a pool has in it, and what that is backed by.
func (f *fakeHost) ofPeer(pool string) (vols []hypervisor.VolumeStatus, backings map[uuid.UUID]uuid.UUID) {
	o := f.peers[pool]
	if o == nil {
		return nil, nil
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, v := range o.volumes {
		if v.Pool == pool {
			vols = append(vols, *v)
		}
	}
	return vols, maps.Clone(o.backings)
}

func (f *fakeHost) CheckPool(p hypervisor.Pool) error {
	if !strings.HasPrefix(p.Source, "/") {
		return fmt.Errorf("%w: %q is no directory", hypervisor.ErrInvalid, p.Source)
	}
	return nil
}

func (f *fakeHost) OfferPools(ps []hypervisor.Pool) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.offered = ps
	return nil
}

func (f *fakeHost) CreateVolume(ctx context.Context, v hypervisor.Volume) error {
	return f.change(ctx, "create volume", v.ID, func() error {
		if have := f.volumes[v.ID]; have != nil && have.SizeBytes > v.SizeBytes {
			return hypervisor.ErrInvalid
		}
		if v.Backing != uuid.Nil {
			switch base := f.volumes[v.Backing]; {
			case base == nil:
				return fmt.Errorf("volume %s: %w", v.Backing, hypervisor.ErrNotFound)
			case v.SizeBytes == 0:
				v.SizeBytes = base.SizeBytes
			case base.SizeBytes > v.SizeBytes:
				return hypervisor.ErrInvalid
			}
			f.backings[v.ID] = v.Backing
			v.Pool = cmp.Or(v.Pool, f.volumes[v.Backing].Pool)
		}
		if have := f.volumes[v.ID]; have != nil {
			v.Pool = have.Pool // it stays where it is
		}
		f.volumes[v.ID] = &hypervisor.VolumeStatus{ID: v.ID, SizeBytes: v.SizeBytes, Pool: v.Pool}
		return nil
	})
}

// WriteVolume takes the whole of a file whose header tells the size of its disk.
func (f *fakeHost) WriteVolume(ctx context.Context, id uuid.UUID, r io.Reader, size int64) error {
	text, err := io.ReadAll(r)
	if err != nil || int64(len(text)) != size {
		return fmt.Errorf("%d of %d bytes: %w", len(text), size, err)
	}
	return f.change(ctx, "write volume", id, func() error {
		f.volumes[id] = &hypervisor.VolumeStatus{ID: id, SizeBytes: int64(binary.BigEndian.Uint64(text[24:]))}
		f.contents[id] = string(text)
		return nil
	})
}

func (f *fakeHost) Overlays(_ context.Context, id uuid.UUID) ([]uuid.UUID, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var out []uuid.UUID
	for over, base := range f.backings {
		if base == id {
			out = append(out, over)
		}
	}
	return out, nil
}

func (f *fakeHost) ReadVolume(ctx context.Context, id uuid.UUID, w io.Writer) error {
	f.mu.Lock()
	text, ok := f.contents[id]
	f.mu.Unlock()
	if !ok {
		return fmt.Errorf("volume %s: %w", id, hypervisor.ErrNotFound)
	}
	_, err := io.WriteString(w, text)
	return err
}

func (f *fakeHost) CopyVolume(ctx context.Context, from, to uuid.UUID) error {
	return f.change(ctx, "copy volume "+from.String(), to, func() error {
		v := f.volumes[from]
		if v == nil {
			return fmt.Errorf("volume %s: %w", from, hypervisor.ErrNotFound)
		}
		f.volumes[to] = &hypervisor.VolumeStatus{ID: to, SizeBytes: v.SizeBytes, Pool: v.Pool}
		return nil
	})
}

func (f *fakeHost) DeleteVolume(ctx context.Context, id uuid.UUID) error {
	return f.change(ctx, "delete volume", id, func() error {
		delete(f.volumes, id)
		delete(f.contents, id)
		delete(f.backings, id)
		return nil
	})
}

func (f *fakeHost) Volumes(ctx context.Context) ([]hypervisor.VolumeStatus, error) {
	if err := f.ask(ctx, "volumes", uuid.Nil); err != nil {
		return nil, err
	}
	return values(f, f.volumes), nil
}

func (f *fakeHost) Watch(ctx context.Context, fn func(hypervisor.Event)) error {
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case ev := <-f.events:
			fn(ev)
		}
	}
}

func (f *fakeHost) Close() error { return nil }
