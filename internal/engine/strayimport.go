package engine

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/occid/occid/hypervisor"
	"github.com/occid/occid/internal/auth"
	"github.com/occid/occid/occi"
)

// Parameters of the action that imports a stray, and of its task, where they are UUIDs.
const (
	paramProject = "project"
	paramUser    = "user"
	paramTitle   = "title"
)

// importAll leaves tasks that import strays, or tells why they cannot be.
func (a *acts) importAll(ctx context.Context) error {
	for _, v := range a.imports {
		if err := a.importOne(ctx, v); err != nil {
			return err
		}
	}
	return nil
}

func (a *acts) importOne(ctx context.Context, v mover) error {
	path := a.m.Path(v.x)
	id, err := uuid.Parse(role(a.m, v.x, roleStrayID).Text)
	if err != nil {
		return occi.E(occi.Internal, "%s has no UUID on its host", path)
	}
	if len(a.pending[v.x.ID]) > 0 {
		return conflict("%s is being imported already", path)
	}
	h := a.e.host(v.x.Host)
	if h == nil {
		return conflict("the host of %s is none of this server", path)
	}
	params, err := a.whose(ctx, v.params)
	if err != nil {
		return err
	}
	if err := a.possible(ctx, h, v.x, id, params); err != nil {
		return err
	}
	a.reliesOn(h)
	w := a.put(v.x)
	a.task(w, v.x.Host, v.action.Term, params, nil)
	a.say(w, v.through)
	return nil
}

// possible refuses what the task would find to be impossible, asking the host for what the
// stray is now.
func (a *acts) possible(ctx context.Context, h *host, x *occi.Entity, id uuid.UUID, params occi.Attrs) error {
	bounded, cancel := context.WithTimeout(ctx, describeTime)
	defer cancel()
	s, err := h.drv.Stray(bounded, id)
	if err != nil {
		why := "its host does not tell of it: " + firstLine(err.Error())
		if errors.Is(err, hypervisor.ErrNotFound) {
			why = "it is gone from its host"
		}
		a.conflicts = append(a.conflicts, occi.Problem{What: a.m.Path(x), Text: why})
		return nil
	}
	trial := importing{creation: &creation{plan: a.e.plan(Caller{})}, h: h, j: &job{x: x, params: params}, s: &s}
	defer func() { a.e.ledger.settle(trial.plan) }()
	return trial.build(ctx)
}

// whose gives the parameters of an import with the UUIDs of the project and the user whose
// the machine becomes: those that are asked for, or the caller's.
func (a *acts) whose(ctx context.Context, given occi.Attrs) (occi.Attrs, error) {
	params := given.Clone()
	var ps []occi.Problem
	for _, of := range []struct {
		param, own string
		find       func(context.Context, string) (*occi.Entity, string, error)
	}{{paramProject, a.c.Project, a.projectNamed}, {paramUser, a.c.Name, a.userNamed}} {
		name, id := given.Get(of.param).Text, of.own
		if name != "" {
			x, why, err := of.find(ctx, name)
			switch {
			case err != nil:
				return nil, err
			case why != "":
				ps = append(ps, occi.Problem{What: of.param, Text: why})
				continue
			}
			id = x.ID.String()
		}
		params.Set(of.param, textValue(id))
	}
	if len(ps) == 0 && a.c.Name != "" && params.Get(paramProject).Text == "" {
		ps = []occi.Problem{{What: paramProject, Text: "you have no part in any project; say whose it becomes"}}
	}
	if err := occi.Problems(occi.Invalid, "it cannot be imported", ps); err != nil {
		return nil, final{err}
	}
	return params, nil
}

// projectNamed finds the project of a title or UUID, or says why there is none.
func (a *acts) projectNamed(ctx context.Context, name string) (*occi.Entity, string, error) {
	page, err := a.e.store.List(ctx, &occi.Query{Kinds: []string{occi.ProjectKind}})
	if err != nil {
		return nil, "", err
	}
	var found *occi.Entity
	for _, x := range page.Entities {
		switch {
		case name == x.ID.String() || name == a.m.Path(x) || name == occi.URN(x.ID):
			return x, "", nil
		case x.Title == name && found != nil:
			return nil, fmt.Sprintf("%q is the title of several projects; a UUID tells which", name), nil
		case x.Title == name:
			found = x
		}
	}
	if found == nil {
		return nil, fmt.Sprintf("there is no project %q", name), nil
	}
	return found, "", nil
}

// userNamed does for a user, by login or UUID, what projectNamed does for a project.
func (a *acts) userNamed(ctx context.Context, name string) (*occi.Entity, string, error) {
	id := a.m.ParseRef(name).ID
	if id == uuid.Nil {
		s, err := a.e.store.Secret(ctx, auth.UserName(name))
		if err != nil && !errors.Is(err, occi.NotFound) {
			return nil, "", err
		}
		if s != nil && err == nil {
			id = s.Owner
		}
	}
	x, err := a.e.anyway(ctx, id)
	if err != nil {
		return nil, "", err
	}
	if x == nil || x.Deleted || x.Kind != occi.UserKind {
		return nil, fmt.Sprintf("there is no user %q", name), nil
	}
	return x, "", nil
}

// importStray makes a compute of the stray that a task is about. Its host marks it first,
// then all is written with the end of the task. If that is refused the host has it as
// before; as long as neither is sure the task is done again.
func (h *host) importStray(ctx context.Context, j *job) error {
	id, err := uuid.Parse(role(j.m, j.x, roleStrayID).Text)
	if err != nil {
		return err
	}
	if err = errCancelled; !j.task.Cancel {
		_, err = retry(ctx, func() (*Outcome, error) { return nil, h.importOnce(ctx, j, id) })
	}
	cancelled := errors.Is(err, errCancelled) || errors.Is(context.Cause(ctx), errCancelled)
	if err == nil || !cancelled && (transient(err) || ctx.Err() != nil) {
		return err
	}
	clean, cancel := context.WithTimeout(context.WithoutCancel(ctx), tidyTime)
	defer cancel()
	if x, taken := h.e.anyway(clean, id); taken != nil || x != nil {
		// It may be that one's.
		return errors.Join(err, taken)
	}
	if undone := gone(h.drv.ReleaseDomain(clean, id)); undone != nil {
		return fmt.Errorf("%w; its host does not let it be as before: %w", undone, err)
	}
	return err
}

func (h *host) importOnce(ctx context.Context, j *job, id uuid.UUID) error {
	s, err := h.drv.Stray(ctx, id)
	if errors.Is(err, hypervisor.ErrNotFound) {
		return final{fmt.Errorf("it is gone from its host, or was made by the server: %v", err)}
	}
	if err != nil {
		return err
	}
	i := importing{creation: &creation{plan: h.e.plan(Caller{})}, h: h, j: j, s: &s}
	i.change.Quotas = true
	defer func() { h.e.ledger.settle(i.plan) }()
	if err := i.build(ctx); err != nil {
		return err
	}
	release, err := i.addresses(ctx)
	if err != nil {
		return err
	}
	defer release()
	if err := h.drv.AdoptDomain(ctx, domainOf(i.m, i.x)); err != nil {
		return err
	}
	over := *j.task
	over.State, over.Error, over.Progress, over.Finished, over.NotBefore = occi.TaskDone, "", 100, i.now, i.now
	i.change.Tasks = append(i.change.Tasks, &over)
	i.change.Removes = append(i.change.Removes, occi.Removal{ID: j.x.ID})
	if _, err := i.commit(ctx); err != nil {
		return err
	}
	j.ended(&over)
	return nil
}

// importing is a plan that imports a stray.
type importing struct {
	*creation
	h        *host
	j        *job
	s        *hypervisor.Stray
	x        *occi.Entity // the compute
	problems []occi.Problem
}

func (i *importing) problem(format string, args ...any) {
	i.problems = append(i.problems, occi.Problem{What: i.m.Path(i.j.x), Text: fmt.Sprintf(format, args...)})
}

// build makes what the stray becomes, or tells all that is in the way.
func (i *importing) build(ctx context.Context) error {
	for _, why := range i.h.obstacles(i.s) {
		i.problem("%s", why)
	}
	if err := i.owned(ctx); err != nil {
		return err
	}
	if len(i.problems) == 0 {
		if err := i.machine(ctx); err != nil {
			return err
		}
		for _, d := range i.s.Disks {
			if err := i.disk(ctx, d); err != nil {
				return err
			}
		}
		for n, nic := range i.s.NICs {
			if err := i.nic(ctx, n, nic); err != nil {
				return err
			}
		}
	}
	if err := occi.Problems(occi.Conflict, "it cannot be imported", i.problems); err != nil {
		return final{err}
	}
	_, err := i.find(ctx, []*host{i.h}, i.needOf([]*occi.Entity{i.x}, []*host{i.h}))
	i.reliesOn(i.h)
	return err
}

// owned refuses what is to become somebody's who is gone.
func (i *importing) owned(ctx context.Context) error {
	for _, param := range []string{paramProject, paramUser} {
		id, ok := occi.ParseID(i.j.params.Get(param).Text)
		if !ok {
			continue
		}
		x, err := i.e.anyway(ctx, id)
		if err != nil {
			return err
		}
		if x == nil || x.Deleted {
			i.problem("the %s %s is gone", param, id)
			continue
		}
		i.change.There = append(i.change.There, id)
	}
	return nil
}

// made makes one of the entities that the stray becomes. What the registry refuses is in
// the way.
func (i *importing) made(ctx context.Context, d *occi.Draft, id uuid.UUID) (*occi.Entity, error) {
	if have, err := i.e.anyway(ctx, id); err != nil || have != nil {
		if have != nil {
			i.problem("%s is there already", i.m.Path(have))
		}
		return nil, err
	}
	x, err := i.m.Build(d, id)
	if err != nil {
		i.problem("%v", err)
		return nil, nil
	}
	x.Owner, x.Project, x.Host = i.j.params.Get(paramUser).Text, i.j.params.Get(paramProject).Text, i.h.name
	return i.put(x), nil
}

func (i *importing) kind(host string) string {
	if kinds := kindsFor(i.m, host); len(kinds) > 0 {
		return kinds[0]
	}
	return ""
}

// attr is an attribute of a draft for the role that it has in a kind.
func (i *importing) attr(kind, role string, v occi.Value) occi.DraftAttr {
	if a := roleAttr(i.m, &occi.Entity{Kind: kind}, role); a != nil {
		return occi.DraftAttr{Name: a.Name, Value: v}
	}
	return occi.DraftAttr{}
}

func (i *importing) machine(ctx context.Context) error {
	kind, d := i.kind("domain"), &i.s.Domain
	title := cmp.Or(i.j.params.Get(paramTitle).Text, d.Title, d.Name)
	x, err := i.made(ctx, &occi.Draft{Kind: kind, Attributes: []occi.DraftAttr{{Name: occi.AttrTitle, Value: occi.Str(title)},
		i.attr(kind, roleVCPUs, occi.Int(int64(d.VCPUs))), i.attr(kind, roleMemory, occi.Float(float64(d.MemoryBytes)/gib))}}, d.ID)
	if x == nil || err != nil {
		return err
	}
	i.x = x
	if d.Kernel != "" {
		i.extend(x, roleKernel)
	}
	graphics := ""
	if !d.Graphics {
		graphics = "none"
	}
	shares := occi.Value{}
	if d.CPUShares > 0 {
		shares = occi.Int(int64(d.CPUShares))
	}
	for r, v := range map[string]occi.Value{
		roleArch: textValue(archOf(d.Arch)), roleShares: shares, roleFirmware: textValue(d.Firmware), roleGraphics: textValue(graphics),
		roleKernel: textValue(d.Kernel), roleInitrd: textValue(d.Initrd), roleCmdline: textValue(d.Cmdline),
		roleImported: occi.Str(i.now.Format(time.RFC3339)),
	} {
		setRole(i.m, x, r, v)
	}
	i.state(x, stateOf(i.m.Kind(kind), i.s.State))
	return nil
}

func (i *importing) state(x *occi.Entity, state string) {
	if k := i.m.Kind(x.Kind); k.States != nil && state != "" {
		x.Attributes.Set(k.States.Attribute, occi.Str(state))
	}
}

// autoState is the state of what is made and needs nothing more.
func (i *importing) autoState(kind string) string {
	s := i.m.Kind(kind).States
	if s == nil || s.Auto == "" {
		return ""
	}
	return s.Targets(s.Auto)[0]
}

// link makes a link of the machine to something.
func (i *importing) link(ctx context.Context, kind, what string, to *occi.Entity) (*occi.Entity, error) {
	l, err := i.made(ctx, &occi.Draft{Kind: kind, Attributes: []occi.DraftAttr{
		{Name: occi.AttrSource, Value: occi.Str(occi.URN(i.x.ID))}, {Name: occi.AttrTarget, Value: occi.Str(occi.URN(to.ID))}}}, uuid.NewSHA1(i.x.ID, []byte(what)))
	if l == nil || err != nil {
		return nil, err
	}
	l.Source, l.Target = occi.Ref{ID: i.x.ID, Kind: i.x.Kind}, occi.Ref{ID: to.ID, Kind: to.Kind}
	i.state(l, linkState(i.m, i.m.Kind(kind), i.x))
	i.x.Links = append(i.x.Links, l)
	i.links = append(i.links, l)
	return l, nil
}

func (i *importing) disk(ctx context.Context, d hypervisor.StrayDisk) error {
	if i.x == nil {
		return nil
	}
	kind := i.kind("volume")
	x, err := i.made(ctx, &occi.Draft{Kind: kind, Attributes: []occi.DraftAttr{{Name: occi.AttrTitle, Value: occi.Str(d.Name)},
		i.attr(kind, roleSize, occi.Float(float64(d.SizeBytes)/gib)), i.attr(kind, roleVolumePool, occi.Str(d.Pool))}}, d.Volume)
	if x == nil || err != nil {
		return err
	}
	i.state(x, i.autoState(kind))
	l, err := i.link(ctx, i.kind("disk"), "disk "+d.Volume.String(), x)
	if l == nil || err != nil {
		return err
	}
	i.set(l, roleTarget, d.Target)
	if d.ReadOnly {
		setRole(i.m, l, roleReadOnly, occi.Bool(true))
	}
	return nil
}

func (i *importing) nic(ctx context.Context, n int, nic hypervisor.StrayNIC) error {
	if i.x == nil {
		return nil
	}
	find := i.network
	if nic.Bridge != "" {
		find = i.bridge
	}
	to, err := find(ctx, nic)
	if to == nil || err != nil {
		return err
	}
	l, err := i.link(ctx, i.kind("nic"), "nic "+nic.MAC, to)
	if l == nil || err != nil {
		return err
	}
	i.set(l, roleInterface, fmt.Sprintf("eth%d", n))
	i.set(l, roleMAC, nic.MAC)
	return nil
}

// network finds the network that an interface is in, or makes it known.
func (i *importing) network(ctx context.Context, nic hypervisor.StrayNIC) (*occi.Entity, error) {
	if x := i.puts[nic.Network]; x != nil {
		return x, nil
	}
	x, err := i.e.anyway(ctx, nic.Network)
	if err != nil {
		return nil, err
	}
	if x != nil {
		switch path := i.m.Path(x); {
		case !hostedAs(i.m, x, "network") || x.Host != i.h.name || x.Deleted:
			i.problem("its interface %s is in the network %s, but %s is no network here", nic.MAC, nic.Name, path)
			return nil, nil
		case !i.theirs(x):
			i.problem("its interface %s is in %s, which is another project's and not shared", nic.MAC, path)
			return nil, nil
		}
		i.known[x.ID] = x
		return x, nil
	}
	kind := i.kind("network")
	x, err = i.made(ctx, &occi.Draft{Kind: kind, Attributes: []occi.DraftAttr{{Name: occi.AttrTitle, Value: occi.Str(nic.Name)}}}, nic.Network)
	if x == nil || err != nil {
		return nil, err
	}
	i.set(x, roleNetworkImported, i.now.Format(time.RFC3339))
	all, err := i.h.drv.Networks(ctx)
	for _, o := range all {
		if o.ID == x.ID && o.Active {
			i.state(x, i.autoState(kind))
		}
	}
	return x, err
}

// theirs reports whether something may be used by whom the machine comes to belong to.
func (i *importing) theirs(x *occi.Entity) bool {
	return x.Project == i.x.Project || x.HasMixin(occi.SharedMixin)
}

// bridge finds a network that is bridged to what an interface is on, or has one made.
func (i *importing) bridge(ctx context.Context, nic hypervisor.StrayNIC) (*occi.Entity, error) {
	wire, _ := i.e.cfg.wireOf(nic.Bridge)
	fits := func(x *occi.Entity) bool {
		n := networkOf(i.m, x)
		return x.Host == i.h.name && n.Mode == hypervisor.Bridged && n.Bridge == wire.Bridge && n.VLAN == wire.VLAN && i.theirs(x)
	}
	kind := i.kind("network")
	for _, x := range i.change.Puts {
		if x.Kind == kind && fits(x) {
			return x, nil
		}
	}
	page, err := i.e.store.List(ctx, &occi.Query{Kinds: []string{kind}})
	if err != nil {
		return nil, err
	}
	for _, x := range page.Entities {
		if fits(x) {
			i.known[x.ID] = x
			return x, nil
		}
	}
	d := &occi.Draft{Kind: kind, Attributes: []occi.DraftAttr{{Name: occi.AttrTitle, Value: occi.Str(nic.Bridge)},
		i.attr(kind, roleMode, occi.Str(modeBridged)), i.attr(kind, roleBridge, occi.Str(wire.Bridge))}}
	if wire.VLAN > 0 {
		d.Attributes = append(d.Attributes, i.attr(kind, roleVLAN, occi.Int(int64(wire.VLAN))))
	}
	x, err := i.made(ctx, d, uuid.NewSHA1(i.x.ID, []byte("bridge "+nic.Bridge)))
	if x == nil || err != nil {
		return nil, err
	}
	i.task(x, x.Host, verbCreate, i.autoParams(x), nil)
	i.say(x, throughCreate)
	return x, nil
}
