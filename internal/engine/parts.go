package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/occid/occid/hypervisor"
	"github.com/occid/occid/occi"
)

// job is one task with what it needs.
type job struct {
	drv    hypervisor.Driver
	m      *occi.Model
	x      *occi.Entity // with its links
	src    *occi.Entity // of a link, nil if it is gone
	params occi.Attrs   // of the task, or of the action it leads to
	verb   string       // of the task, or the term of the action it leads to
	task   *occi.Task
	image  *occi.Entity // whose content the machine's own disk begins as, nil for none
	cfg    *Config
	// entities reads entities that exist, in one query.
	entities func(context.Context, []uuid.UUID) (map[uuid.UUID]*occi.Entity, error)
	defined  bool // the machine was defined in this task
	// progress notes how far the task is, in percent; sent notes it of what counts bytes.
	progress func(percent int)
	sent     func(done, total int64)
	// ended notes that the task was written as it is at its end.
	ended func(*occi.Task)
	// also runs something for a network on the other hosts where machines are in it.
	also func(ctx context.Context, do func(hypervisor.Driver) error) error
	// abandon removes the network of an interface that goes from a host that is not its own.
	abandon func(ctx context.Context, nic *occi.Entity) error
	// pool names the pool that a volume of the machine is in or is to be in, empty
	// for the driver's default; pooled tells that the host has several.
	pool   func(ctx context.Context, volume uuid.UUID) (string, error)
	pooled bool
}

func (j *job) param(name string) string { return j.params.Get(name).Text }

// partOps is how a host does what the registry calls host: of a kind. Every
// function looks before it acts and may run twice.
type partOps struct {
	machine bool // has devices
	device  bool // is one
	holds   bool // what it leads to is not deleted before it
	own     bool // stands for the host itself: only the server makes it
	groups  bool // puts a host in a pool
	stores  bool // stands for a pool of storages
	houses  bool // tells the host of such a pool
	stray   bool // stands for a machine of others
	set     bool // is acted on in the place of its members
	joins   bool // puts a machine in a set
	// ready, of what says who may do what, makes an entity ready to be written; old is
	// nil for a new one.
	ready  func(ctx context.Context, b *creation, old, x *occi.Entity) error
	define func(context.Context, *job) error
	update func(context.Context, *job) error
	remove func(context.Context, *job) error
	// check refuses a change that no host could follow; old is nil for a new
	// entity.
	check func(m *occi.Model, old, x *occi.Entity) []occi.Problem
	// offered refuses what no host of this configuration offers.
	offered func(cfg *Config, m *occi.Model, old, x *occi.Entity) []occi.Problem
}

// parts maps Kind.Host.
var parts = map[string]*partOps{
	"domain":  {machine: true, define: defineDomain, update: updateDomain, remove: removeDomain, check: checkDomain},
	"network": {define: defineNetwork, update: defineNetwork, remove: removeNetwork, check: checkNetwork, offered: offeredNetwork},
	"volume":  {define: defineVolume, update: defineVolume, remove: removeVolume, check: checkVolume},
	"nic":     {device: true, define: attachNIC, update: updateNIC, remove: detachNIC, check: checkGroups},
	"disk":    {device: true, holds: true, define: attachDisk, update: reattachDisk, remove: detachDisk},
	"node":    {own: true, offered: offeredNode},

	"stray": {stray: true},

	"pool":       {},
	"poolmember": {groups: true},

	"storepool": {stores: true, offered: offeredPool},
	"poolhost":  {houses: true},

	"set":       {set: true},
	"setmember": {joins: true},

	"user":       {ready: readyUser},
	"project":    {ready: readyProject},
	"membership": {ready: readyMembership},
	"token":      {ready: readyToken},
	"session":    {ready: readySession},
	"identity":   {ready: readyIdentity},
	"quota":      {ready: readyQuota},
}

// part gives what a host does for an entity; never nil.
func part(m *occi.Model, x *occi.Entity) *partOps {
	if k := m.Kind(x.Kind); k != nil && parts[k.Host] != nil {
		return parts[k.Host]
	}
	return &partOps{}
}

// operation is how a host does what the registry calls do: of an action.
type operation struct {
	run func(context.Context, *job) error
	// free: no machine that is not stopped may use the entity.
	free bool
	// uses: the machine has all that is linked to it, which must be ready for that.
	uses bool
	// sets names the role whose attribute the action's parameter of the same
	// short name sets.
	sets, param string
	// copies, when set, tells which volume the action copies, the nil UUID for none:
	// the operation makes a new entity of a kind, of about a size. Its error is why it
	// cannot.
	copies func(m *occi.Model, x *occi.Entity) (from uuid.UUID, kind string, size occi.Value, err error)
	// marks: the entity becomes an image that templates share, with nothing to do on a
	// host; if a machine that is stopped has it, it is copied and the copy becomes that.
	marks bool
	// ahead: the state is at once the one that it leads to.
	ahead bool
	// moves: it moves the machine to another host; empties: it moves all off the host that
	// the entity is.
	moves, empties bool
	// imports: it makes a machine of the stray that the entity stands for.
	imports bool
	// only: only the state changes.
	only bool
	// spreads: it is the action of its name on each member of the set.
	spreads bool
	// ours: it is nothing for what others made.
	ours bool
	// restores: it mends the failed state, so failing itself means that state.
	restores bool
}

// operations maps Action.Do.
var operations = map[string]*operation{
	"domain.start":   {run: startDomain, restores: true, uses: true},
	"domain.stop":    {run: stopDomain},
	"domain.restart": {run: restartDomain, uses: true},
	"domain.suspend": {run: suspendDomain},
	"domain.save":    {run: saveDomain, copies: bootVolume},
	"domain.migrate": {moves: true},
	"domain.import":  {imports: true},
	"network.start":  {run: startNetwork, restores: true},
	"network.stop":   {run: stopNetwork, free: true, ours: true},
	"volume.online":  {run: defineVolume, restores: true},
	"volume.offline": {run: keepVolume, free: true},
	"volume.resize":  {run: resizeVolume, sets: roleSize, param: "size"},
	"volume.copy":    {run: runCopy, copies: wholeVolume},

	"volume.template": {run: runCopy, marks: true, copies: wholeVolume},

	"node.drain":    {empties: true, ahead: true},
	"node.activate": {run: activateNode},

	"set.act": {spreads: true},

	"storepool.disable": {only: true},
	"storepool.enable":  {only: true},
}

func defineDomain(ctx context.Context, j *job) error {
	if err := makeRoot(ctx, j); err != nil {
		return err
	}
	if eph := ephemeral(j.m, j.x); eph != nil {
		size := bytesOf(role(j.m, j.x, roleEphemeral))
		pool, err := j.pool(ctx, eph.Volume)
		if err != nil {
			return err
		}
		if err := scratch(ctx, j.drv, hypervisor.Volume{ID: eph.Volume, SizeBytes: size, Pool: pool}); err != nil {
			return err
		}
	}
	if err := redefine(ctx, j); err != nil {
		return err
	}
	j.defined = true
	return nil
}

// updateDomain has a machine follow its row, at once as far as that is possible.
func updateDomain(ctx context.Context, j *job) error {
	if j.params.Get(paramNoScratch).Text != "" && ephemeral(j.m, j.x) == nil {
		if err := removeScratch(ctx, j); err != nil {
			return err
		}
	}
	if err := defineDomain(ctx, j); err != nil {
		return err
	}
	return j.drv.AdjustDomain(ctx, j.x.ID)
}

// checkDomain refuses what neither a host nor a guest could make of a machine.
func checkDomain(m *occi.Model, old, x *occi.Entity) []occi.Problem {
	return slices.Concat(checkDisk(m, old, x), checkGuest(m, x), checkGroups(m, old, x))
}

// checkDisk refuses a size of a disk that there is not, and to shrink the one there is.
func checkDisk(m *occi.Model, old, x *occi.Entity) []occi.Problem {
	a, size := roleAttr(m, x, roleDiskSize), role(m, x, roleDiskSize)
	if size.IsZero() || old != nil && role(m, old, roleDiskSize) == size || ofTemplate(m, x, a.Name) {
		return nil
	}
	if root(m, x) == nil {
		return []occi.Problem{{What: a.Name, Text: "the machine has no template with an image, of which its disk would be"}}
	}
	if old != nil && size.Num < role(m, old, roleDiskSize).Num {
		return []occi.Problem{{What: a.Name, Text: fmt.Sprintf("%s is less than the present %s; disks never shrink", size, role(m, old, roleDiskSize))}}
	}
	return nil
}

// ofTemplate reports whether a mixin of an entity sets an attribute.
func ofTemplate(m *occi.Model, x *occi.Entity, name string) bool {
	for _, mx := range m.Closure(x.Mixins) {
		for _, a := range mx.Attributes {
			if a.Name == name && !a.Default.IsZero() {
				return true
			}
		}
	}
	return false
}

// removeScratch takes off the scratch disk of a machine that has come to have
// none.
func removeScratch(ctx context.Context, j *job) error {
	id := scratchID(j.x)
	if err := gone(j.drv.DetachDisk(ctx, j.x.ID, id)); err != nil {
		return err
	}
	return gone(j.drv.DeleteVolume(ctx, id))
}

// scratch makes sure of a volume of at least a size (GFD.222 section 4): one that
// was larger, of another template, stays so.
func scratch(ctx context.Context, drv hypervisor.Driver, v hypervisor.Volume) error {
	err := drv.CreateVolume(ctx, v)
	if !errors.Is(err, hypervisor.ErrInvalid) {
		return err
	}
	have, lookErr := onHost(ctx, drv, v.ID)
	if lookErr != nil {
		return lookErr
	}
	if have != nil && have.SizeBytes > v.SizeBytes {
		return nil
	}
	return err
}

// onHost gives a volume as the host has it, nil if it has none.
func onHost(ctx context.Context, drv hypervisor.Driver, id uuid.UUID) (*hypervisor.VolumeStatus, error) {
	all, err := drv.Volumes(ctx)
	for i := range all {
		if all[i].ID == id {
			return &all[i], err
		}
	}
	return nil, err
}

func removeDomain(ctx context.Context, j *job) error {
	if err := gone(j.drv.DeleteDomain(ctx, j.x.ID)); err != nil {
		return err
	}
	for _, l := range j.x.Links {
		if isNIC(j.m, l) {
			if err := j.abandon(ctx, l); err != nil {
				return err
			}
		}
	}
	if err := removeRoot(ctx, j); err != nil {
		return err
	}
	// It may have had one, even if it has none now.
	err := gone(j.drv.DeleteVolume(ctx, scratchID(j.x)))
	if ephemeral(j.m, j.x) == nil && j.pooled && errors.Is(err, hypervisor.ErrUnavailable) {
		// That is in no pool which can be looked into; one that is away must not keep
		// every machine from being deleted.
		return nil
	}
	return err
}

// gone takes what is missing for removed.
func gone(err error) error {
	if errors.Is(err, hypervisor.ErrNotFound) {
		return nil
	}
	return err
}

func startDomain(ctx context.Context, j *job) error {
	if err := reseed(ctx, j); err != nil {
		return err
	}
	return j.drv.StartDomain(ctx, j.x.ID)
}

func stopDomain(ctx context.Context, j *job) error {
	mode := hypervisor.StopMode{Timeout: j.cfg.StopTimeout}
	switch method := j.param("method"); method {
	case "graceful":
		mode.ACPI, mode.Force = true, true
	case "acpioff":
		mode.ACPI = true
	case "poweroff":
		mode.Force = true
	default:
		return fmt.Errorf("the host knows no method %q to stop", method)
	}
	return j.drv.StopDomain(ctx, j.x.ID, mode)
}

func restartDomain(ctx context.Context, j *job) error {
	if err := reseed(ctx, j); err != nil {
		return err
	}
	return j.drv.RestartDomain(ctx, j.x.ID, hypervisor.RestartMode(j.param("method")))
}

var suspendModes = map[string]hypervisor.SuspendMode{
	"suspend": hypervisor.SuspendRAM, "hibernate": hypervisor.SuspendDisk,
}

func suspendDomain(ctx context.Context, j *job) error {
	mode, ok := suspendModes[j.param("method")]
	if !ok {
		return fmt.Errorf("the host knows no method %q to suspend", j.param("method"))
	}
	return j.drv.SuspendDomain(ctx, j.x.ID, mode)
}

func defineVolume(ctx context.Context, j *job) error {
	if isImage(j.m, j.x) {
		return defineImage(ctx, j)
	}
	return j.drv.CreateVolume(ctx, volumeOf(j.m, j.x))
}

func removeVolume(ctx context.Context, j *job) error {
	if err := unshared(ctx, j); err != nil {
		return err
	}
	return gone(j.drv.DeleteVolume(ctx, j.x.ID))
}

// keepVolume takes a volume offline: its data stays where it is.
func keepVolume(ctx context.Context, j *job) error {
	v, err := onHost(ctx, j.drv, j.x.ID)
	if err == nil && v == nil {
		err = fmt.Errorf("volume %s: %w", j.x.ID, hypervisor.ErrNotFound)
	}
	return err
}

func resizeVolume(ctx context.Context, j *job) error {
	v := volumeOf(j.m, j.x)
	v.SizeBytes = bytesOf(j.params.Get("size"))
	return j.drv.CreateVolume(ctx, v)
}

// checkVolume refuses to shrink: nobody knows which data that would cost.
func checkVolume(m *occi.Model, old, x *occi.Entity) []occi.Problem {
	if old == nil {
		return nil
	}
	was, is := role(m, old, roleSize), role(m, x, roleSize)
	switch {
	case is == was:
		return nil
	case isImage(m, old):
		return []occi.Problem{{What: roleAttr(m, x, roleSize).Name, Text: "an image is shared read-only; its size stays"}}
	case is.Num >= was.Num:
		return nil
	}
	return []occi.Problem{{What: roleAttr(m, x, roleSize).Name,
		Text: fmt.Sprintf("%s is less than the present %s; storage never shrinks", is, was)}}
}

func attachNIC(ctx context.Context, j *job) error {
	if j.src == nil {
		return errGone
	}
	return j.drv.AttachNIC(ctx, j.src.ID, nicOf(j.m, j.src, j.x))
}

func attachDisk(ctx context.Context, j *job) error {
	if j.src == nil {
		return errGone
	}
	return j.drv.AttachDisk(ctx, j.src.ID, diskOf(j.m, j.x))
}

// errGone ends a task whose entity was deleted meanwhile.
var errGone = errors.New("deleted meanwhile")

// updateNIC has an interface follow its row.
func updateNIC(ctx context.Context, j *job) error {
	if j.params.Get(paramRegroup).Text == "" {
		if err := detachNIC(ctx, j); err != nil {
			return err
		}
	}
	return attachNIC(ctx, j)
}

func detachNIC(ctx context.Context, j *job) error {
	if err := gone(j.drv.DetachNIC(ctx, j.x.Source.ID, j.x.ID)); err != nil || !j.x.Deleted {
		return err
	}
	return j.abandon(ctx, j.x)
}

func detachDisk(ctx context.Context, j *job) error {
	return gone(j.drv.DetachDisk(ctx, j.x.Source.ID, j.x.ID))
}

func reattachDisk(ctx context.Context, j *job) error {
	if err := detachDisk(ctx, j); err != nil {
		return err
	}
	return attachDisk(ctx, j)
}

// transient reports whether trying again may help.
func transient(err error) bool {
	if errors.Is(err, errLasting) {
		return false
	}
	return errors.Is(err, hypervisor.ErrUnavailable) || errors.Is(err, context.DeadlineExceeded) ||
		errors.Is(err, occi.Unavailable)
}

// backoff is how long to wait before the next attempt.
func backoff(attempt int) time.Duration {
	d := 200 * time.Millisecond
	for i := 1; i < attempt && d < 30*time.Second; i++ {
		d *= 2
	}
	return min(d, 30*time.Second)
}
