package libvirt

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"libvirt.org/go/libvirt"

	"github.com/occid/occid/hypervisor"
)

const (
	// migrateLook is how often a migration is looked at, and asked to stop if it is to.
	migrateLook = 200 * time.Millisecond
	// migrateEndTime is how long what a migration leaves is tidied up once nobody waits
	// for it any more.
	migrateEndTime = 2 * time.Minute
)

// MigrateDomain implements hypervisor.Driver. It goes over the connections of both
// Drivers: the libvirts of the hosts need none to each other, only the emulators do.
func (d *Driver) MigrateDomain(ctx context.Context, spec hypervisor.Domain, to hypervisor.Driver, how hypervisor.Migration) error {
	target, ok := to.(interface{ own() *Driver })
	if !ok || target.own() == d {
		return fmt.Errorf("migrate domain %s: %w: its target is no other host of libvirt's", spec.ID, hypervisor.ErrInvalid)
	}
	o := target.own()
	// The call is not left before it is known where the domain is.
	clean, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	defer context.AfterFunc(ctx, func() { time.AfterFunc(migrateEndTime, cancel) })()
	return d.do(clean, "migrate domain", spec.ID, func(clean context.Context, from *session) error {
		var begun atomic.Bool
		err := o.do(clean, "receive domain", spec.ID, func(clean context.Context, to *session) error {
			begun.Store(true)
			return (&migration{from: from, to: to, spec: spec, how: how, same: map[string]bool{}}).run(ctx, clean)
		})
		if !begun.Load() && errors.Is(err, hypervisor.ErrUnavailable) && from.keeps(clean, spec.ID, how.Paused) {
			return fmt.Errorf("it stays where it is: %v", err)
		}
		return err
	})
}

// own gives the Driver, also of what embeds one.
func (d *Driver) own() *Driver { return d }

// keeps reports whether a domain is surely here, without asking its target.
func (s *session) keeps(ctx context.Context, id uuid.UUID, paused bool) bool {
	m, _, err := s.lookup(id)
	if m == nil || err != nil {
		return false
	}
	defer m.free()
	_, stays, err := m.steady(ctx, paused)
	return stays && err == nil
}

// migration is a domain on its way.
type migration struct {
	from, to *session
	spec     hypervisor.Domain
	how      hypervisor.Migration
	same     map[string]bool // whether pools are the same place on both hosts, by name
	done     int64           // bytes of volumes that were sent
	kept     bool            // it was paused here, and the target was not told to restore it
}

// run moves the domain unless it was moved already. What is tidied up is so under clean,
// also after ctx has ended.
func (g *migration) run(ctx, clean context.Context) error {
	there, err := g.settle(clean)
	if err != nil {
		return err
	}
	if there {
		return g.leave(clean)
	}
	failed := g.attempt(ctx, clean)
	// Whatever was answered, the hosts tell.
	if there, err = g.settle(clean); err != nil {
		return errors.Join(err, failed)
	}
	if there {
		return g.leave(clean)
	}
	if failed == nil {
		failed = errors.New("it has not arrived")
	}
	if err := g.clear(clean); err != nil {
		g.to.cfg.Logger.Warn("what a migration made on its target was not removed", "uri", g.to.cfg.URI, "domain", g.spec.ID, "error", err)
	}
	if err := g.revive(clean); err != nil {
		return fmt.Errorf("%w: %v; what it was saved to is not restored: %v", hypervisor.ErrUnavailable, failed, err)
	}
	if errors.Is(failed, hypervisor.ErrUnavailable) || ctx.Err() != nil || transportFault(failed) {
		return fmt.Errorf("it stays where it is: %v", failed)
	}
	return failed
}

func transportFault(err error) bool {
	e, ok := errors.AsType[libvirt.Error](err)
	return ok && (transport(e) || kinds[e.Code] == hypervisor.ErrUnavailable)
}

// settle finds out on which host the domain is. It is ErrUnavailable while that is not
// decided: a migration that its caller has left may be under way.
func (g *migration) settle(ctx context.Context) (there bool, err error) {
	here, foreign, err := g.from.lookup(g.spec.ID)
	if err != nil {
		return false, g.unsettled(err)
	}
	if foreign {
		return false, fmt.Errorf("%w: the domain was made by others", hypervisor.ErrInvalid)
	}
	var runs, stays bool
	if here != nil {
		defer here.free()
		if runs, stays, err = here.steady(ctx, g.how.Paused); err != nil {
			return false, err
		}
	}
	other, err := g.to.arrival(g.spec.ID, g.how.Paused)
	switch {
	case err != nil && (stays || g.kept):
		// It was not given up here, whatever is there.
		return false, nil
	case err != nil:
		return false, g.unsettled(err)
	case here == nil && other == nil:
		return false, fmt.Errorf("domain: %w", hypervisor.ErrNotFound)
	case other == nil:
		return false, nil
	}
	switch {
	case other.foreign:
		return false, fmt.Errorf("%w: a domain with this UUID was made by others on the target", hypervisor.ErrInvalid)
	case other.arriving:
		return false, fmt.Errorf("%w: an earlier migration has not ended", hypervisor.ErrUnavailable)
	case here == nil:
		return true, nil
	case (runs || g.how.Paused && stays && !g.from.simulated) && other.active:
		return false, fmt.Errorf("%w: the domain is active on both hosts", hypervisor.ErrInvalid)
	}
	// One that is only defined there is what an earlier migration left.
	return other.active, nil
}

func (g *migration) unsettled(err error) error {
	if errors.Is(err, hypervisor.ErrInvalid) {
		return err
	}
	return fmt.Errorf("%w: it is not known where the domain is: %v", hypervisor.ErrUnavailable, err)
}

// steady ends what an earlier migration left under way, which is ErrUnavailable until it
// has ended, and reports whether the domain runs, and whether it was surely not given up.
// One that is to move paused, and is off, is saved and may be on the target.
func (m *machine) steady(ctx context.Context, paused bool) (runs, stays bool, err error) {
	state, reason, err := m.dom.GetState()
	if err != nil || m.simulated {
		return state == libvirt.DOMAIN_RUNNING, true, err
	}
	if state == libvirt.DOMAIN_SHUTOFF {
		return false, !paused && libvirt.DomainShutoffReason(reason) != libvirt.DOMAIN_SHUTOFF_MIGRATED, nil
	}
	job, err := m.dom.GetJobStats(0)
	if err != nil {
		return false, false, err
	}
	if job.Type != libvirt.DOMAIN_JOB_NONE {
		if job.Operation == libvirt.DOMAIN_JOB_OPERATION_MIGRATION_OUT {
			err = m.change(ctx, opDomainAbort, m.dom.AbortJob)
		}
		return false, false, fmt.Errorf("%w: something is under way with the domain: %v", hypervisor.ErrUnavailable, err)
	}
	runs = state == libvirt.DOMAIN_RUNNING
	return runs, runs || paused && state == libvirt.DOMAIN_PAUSED, nil
}

// arrived is a domain as the target of a migration has it.
type arrived struct{ foreign, arriving, active bool }

// arrival looks for a domain that may be coming, by being restored if it is paused; nil if
// there is none.
func (s *session) arrival(id uuid.UUID, paused bool) (*arrived, error) {
	dom, err := s.conn.LookupDomainByUUID(id[:])
	if code(err, libvirt.ERR_NO_DOMAIN) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer func() { _ = dom.Free() }()
	persistent, err := dom.IsPersistent()
	if err != nil {
		return nil, err
	}
	state, reason, err := dom.GetState()
	if err != nil {
		return nil, err
	}
	a := &arrived{arriving: !persistent, active: state != libvirt.DOMAIN_SHUTOFF}
	switch {
	case paused && a.active:
		// One that was restored says forever that it is being migrated.
		info, err := dom.GetControlInfo(0)
		if err != nil {
			return nil, err
		}
		a.arriving = a.arriving || info.State != libvirt.DOMAIN_CONTROL_OK
	case state == libvirt.DOMAIN_PAUSED:
		switch libvirt.DomainPausedReason(reason) {
		case libvirt.DOMAIN_PAUSED_MIGRATION, libvirt.DOMAIN_PAUSED_STARTING_UP, libvirt.DOMAIN_PAUSED_POSTCOPY, libvirt.DOMAIN_PAUSED_POSTCOPY_FAILED:
			a.arriving = true
		}
	case state == libvirt.DOMAIN_RUNNING:
		switch libvirt.DomainRunningReason(reason) {
		case libvirt.DOMAIN_RUNNING_POSTCOPY, libvirt.DOMAIN_RUNNING_POSTCOPY_FAILED:
			a.arriving = true
		}
	}
	if !a.arriving {
		_, err = dom.GetMetadata(libvirt.DOMAIN_METADATA_ELEMENT, Namespace, libvirt.DOMAIN_AFFECT_CONFIG)
		a.foreign = err != nil
	}
	return a, nil
}

// attempt makes the target ready and moves the domain.
func (g *migration) attempt(ctx, clean context.Context) error {
	m, err := g.from.domain(g.spec.ID)
	if err != nil {
		return err
	}
	defer m.free()
	is, err := g.finds(clean, m)
	if err != nil {
		return err
	}
	def, err := m.definition()
	if err != nil {
		return err
	}
	if err := g.movable(ctx, is, def); err != nil {
		return err
	}
	if err := g.clear(ctx); err != nil {
		return err
	}
	places, err := g.receive(ctx, def)
	if err != nil {
		return err
	}
	live := is == hypervisor.Running
	vols, err := g.volumes(ctx, live)
	if err != nil {
		return err
	}
	defer vols.free()
	for _, v := range vols {
		places.files[v.here] = v.file
	}
	if g.how.Paused && !m.simulated {
		return g.paused(ctx, m, def, places, vols, is)
	}
	if !live || m.simulated {
		return g.cold(ctx, m, def, places, vols, is)
	}
	return g.live(ctx, m, def, places, vols)
}

// finds gives what the domain does that is to move.
func (g *migration) finds(ctx context.Context, m *machine) (hypervisor.State, error) {
	if g.how.Paused {
		return m.state()
	}
	return m.resumed(ctx)
}

// resumed has a guest go on that an earlier migration stopped for its last part, and
// gives what the domain does.
func (m *machine) resumed(ctx context.Context) (hypervisor.State, error) {
	state, reason, err := m.dom.GetState()
	if err != nil {
		return "", err
	}
	if state == libvirt.DOMAIN_PAUSED && libvirt.DomainPausedReason(reason) == libvirt.DOMAIN_PAUSED_MIGRATION {
		if err := m.change(ctx, opDomainResume, m.dom.Resume); err != nil {
			return "", err
		}
	}
	return m.state()
}

// cold moves a domain that does not run. Until it is not defined here any more it can be
// done again from the beginning. The test host moves those that run in the same way.
func (g *migration) cold(ctx context.Context, m *machine, def domainXML, to *places, vols moved, is hypervisor.State) error {
	if err := g.send(ctx, vols); err != nil {
		return err
	}
	to.apply(def)
	if err := g.to.define(ctx, opDomainMigrate, def); err != nil {
		return err
	}
	if is == hypervisor.Running || is == hypervisor.Paused {
		if err := g.simulate(ctx, is); err != nil {
			return err
		}
	}
	if err := m.drive(ctx, m.powerOff); err != nil {
		return err
	}
	// The definition goes first, since from then on the domain is there.
	return m.undefine(ctx)
}

// simulate has a domain of the test host run at the target, or be paused there.
func (g *migration) simulate(ctx context.Context, is hypervisor.State) error {
	o, err := g.to.domain(g.spec.ID)
	if err != nil {
		return err
	}
	defer o.free()
	if err := o.drive(ctx, o.run); err != nil || is == hypervisor.Running {
		return err
	}
	return o.drive(ctx, o.pause)
}

// live moves a domain that runs.
func (g *migration) live(ctx context.Context, m *machine, def domainXML, to *places, vols moved) error {
	flags := libvirt.MIGRATE_LIVE | libvirt.MIGRATE_PERSIST_DEST | libvirt.MIGRATE_UNDEFINE_SOURCE
	params := &libvirt.DomainMigrateParameters{}
	disks, whole, shared := vols.disks()
	switch {
	case len(disks) == 0:
	case whole:
		flags |= libvirt.MIGRATE_NON_SHARED_DISK
	default:
		flags |= libvirt.MIGRATE_NON_SHARED_INC
	}
	if len(disks) > 0 {
		params.MigrateDisksSet, params.MigrateDisks = true, disks
	}
	if shared {
		// That was tried; libvirt only knows some file systems that are.
		flags |= libvirt.MIGRATE_UNSAFE
	}
	if g.how.BandwidthMiB > 0 {
		params.BandwidthSet, params.Bandwidth = true, uint64(g.how.BandwidthMiB)
	}
	if g.how.AutoConverge {
		flags |= libvirt.MIGRATE_AUTO_CONVERGE
	}
	if g.how.PostCopy {
		flags |= libvirt.MIGRATE_POSTCOPY
	}
	now, err := m.read(libvirt.DOMAIN_XML_MIGRATABLE | libvirt.DOMAIN_XML_SECURE)
	if err != nil {
		return err
	}
	if params.DestXML, params.DestXMLSet, err = to.document(now); err != nil {
		return err
	}
	if params.PersistXML, params.PersistXMLSet, err = to.document(def); err != nil {
		return err
	}
	ended := make(chan error, 1)
	go func() {
		ended <- m.change(ctx, opDomainMigrate, func() error {
			dom, err := m.dom.Migrate3(g.to.conn, params, flags)
			if err == nil {
				_ = dom.Free()
			}
			return err
		})
	}()
	return g.watch(ctx, m, ended)
}

// watch waits for the end of a migration, tells how far it is, and stops it when ctx ends.
func (g *migration) watch(ctx context.Context, m *machine, ended <-chan error) error {
	tick := time.NewTicker(migrateLook)
	defer tick.Stop()
	switched := false
	for {
		select {
		case err := <-ended:
			return err
		case <-tick.C:
		}
		if ctx.Err() != nil {
			// Again until it has: at first it may not have begun. One that cannot be stopped
			// any more goes on to its end.
			_ = m.dom.AbortJob()
			continue
		}
		job, err := m.dom.GetJobStats(0)
		if err != nil || job.Type == libvirt.DOMAIN_JOB_NONE {
			continue
		}
		g.tell(int64(job.DataProcessed), int64(job.DataTotal), job.MemTotalSet)
		if g.how.PostCopy && !switched && job.MemIterationSet && job.MemIteration > 1 {
			switched = m.dom.MigrateStartPostCopy(0) == nil
		}
	}
}

// tell tells how far the migration is. The memory is sent after the volumes, and counts
// from the beginning.
func (g *migration) tell(done, total int64, memory bool) {
	if g.how.Progress == nil || total <= 0 {
		return
	}
	if !memory {
		total += g.spec.MemoryBytes
	}
	g.how.Progress(min(done, total), total)
}

// leave removes what the host has of a domain that is on the target.
func (g *migration) leave(ctx context.Context) error {
	if err := g.remove(ctx, g.from); err != nil {
		return err
	}
	if err := g.to.dropFile(ctx, savedName(g.spec.ID)); err != nil {
		return err
	}
	return g.forget(ctx, g.from, g.to)
}

// clear removes what the target has of a domain that is here.
func (g *migration) clear(ctx context.Context) error {
	if err := g.remove(ctx, g.to); err != nil {
		return err
	}
	return g.forget(ctx, g.to, g.from)
}

// forget removes from a host what there is of a domain without its definition, and its
// volumes but for those that the other host has too.
func (g *migration) forget(ctx context.Context, s, other *session) error {
	for _, n := range g.spec.NICs {
		if err := s.unreserve(ctx, n.Network, n.MAC); err != nil {
			return err
		}
	}
	if err := s.removeConsoleLogs(ctx, g.spec.ID); err != nil {
		return err
	}
	if err := g.dropFile(ctx, s, savedName(g.spec.ID)); err != nil {
		return err
	}
	return g.dropVolumes(ctx, s)
}

// remove removes the domain from a host, but for what the other host has too.
func (g *migration) remove(ctx context.Context, s *session) error {
	return s.removeWith(ctx, g.spec.ID, func() error { return g.dropFile(ctx, s, seedName(g.spec.ID)) })
}

// dropFile removes a file of the domain from a host's own pool, unless that is the other
// host's, too.
func (g *migration) dropFile(ctx context.Context, s *session, name string) error {
	v, err := s.findFile(ctx, name)
	if err != nil {
		return forgiveMissing(err)
	}
	defer func() { _ = v.Free() }()
	same, err := g.shares(ctx, g.from.ownPool(), g.to.ownPool())
	if err != nil || same {
		return err
	}
	return s.drop(ctx, v)
}
