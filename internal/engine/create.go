package engine

import (
	"context"
	"errors"
	"slices"

	"github.com/google/uuid"

	"github.com/occid/occid/hypervisor"
	"github.com/occid/occid/internal/auth"
	"github.com/occid/occid/internal/policy"
	"github.com/occid/occid/occi"
)

// Create makes an entity of every draft, with its inline links, all or nothing.
// kind is that of the collection the request was sent to, empty for none; a
// draft need not repeat it.
func (e *Engine) Create(ctx context.Context, c Caller, kind string, drafts []*occi.Draft, o Options) (*Outcome, error) {
	c = e.as(c)
	if len(drafts) == 0 {
		return nil, occi.E(occi.Invalid, "the request describes nothing to create")
	}
	return e.keyed(ctx, c, o, func() (*Outcome, error) {
		p, err := e.begin(ctx, c, o)
		if err != nil {
			return nil, err
		}
		p.created = true
		b := creation{plan: p}
		for _, d := range drafts {
			if err := b.draft(ctx, kind, d, uuid.Nil); err != nil {
				return nil, err
			}
		}
		if o.Match != nil {
			if err := o.Match(nil); err != nil {
				return nil, final{err}
			}
		}
		return b.finish(ctx, o)
	})
}

// Put makes the entity at a UUID what the draft says, creating it if it does not
// exist. kind is that of the collection in the URL.
func (e *Engine) Put(ctx context.Context, c Caller, kind string, id uuid.UUID, d *occi.Draft, o Options) (*Outcome, error) {
	c = e.as(c)
	return retry(ctx, func() (*Outcome, error) {
		old, err := e.store.Entity(ctx, id)
		if err == nil {
			if err := may(c, old, policy.Update); err != nil {
				return nil, err
			}
			if kind != "" && old.Kind != kind {
				return nil, occi.E(occi.Conflict, "%s is not a %s, it is a %s", id, kind, old.Kind)
			}
			return e.update(ctx, c, old, d, true, o)
		}
		if !errors.Is(err, occi.NotFound) {
			return nil, err
		}
		if o.Match != nil {
			if err := o.Match(nil); err != nil {
				return nil, final{err}
			}
		}
		p := e.plan(c)
		p.created = true
		b := creation{plan: p}
		if err := b.draft(ctx, kind, d, id); err != nil {
			return nil, err
		}
		out, err := b.finish(ctx, o)
		if errors.Is(err, occi.Conflict) {
			if x, e2 := e.store.EntityAny(ctx, id); e2 == nil && x.Deleted && c.Sees(x) {
				return nil, conflict("%s is still being deleted", id)
			}
		}
		return out, err
	})
}

// creation is a plan that makes new entities.
type creation struct {
	*plan
	// chosen are the UUIDs that the client gave, beside that of the URL.
	chosen []uuid.UUID
	links  []*occi.Entity
	after  map[uuid.UUID][]uuid.UUID // tasks that those of new links come after
	tops   []*occi.Entity            // resources to be placed, in order
	lines  map[uuid.UUID]int         // where inline links are in the request
	// anyhow places things on hosts that are not up, if no other is.
	anyhow bool
	// changed are the interfaces and networks that were there before.
	changed []edit
	// given are the attributes that the client gives new entities, by full name.
	given map[uuid.UUID][]string
}

// draft builds an entity and its inline links. id is the UUID it must have, nil
// for whichever.
func (b *creation) draft(ctx context.Context, kind string, d *occi.Draft, id uuid.UUID) error {
	if kind != "" {
		if d.Kind != "" && d.Kind != kind {
			return occi.E(occi.Invalid, "a %s cannot be created in the collection of %s", d.Kind, kind)
		}
		d.Kind = kind
	}
	if d.Kind == occi.AuditKind {
		return occi.E(occi.Forbidden, "the audit trail tells of requests; it is not written to")
	}
	if d.Kind == occi.TaskKind || d.Kind == occi.TaskLinkKind {
		return occi.E(occi.Forbidden, "tasks come of requests; they cannot be created")
	}
	k := b.m.Kind(d.Kind)
	node := k != nil && parts[k.Host] != nil && parts[k.Host].own
	stores := k != nil && parts[k.Host] != nil && parts[k.Host].stores
	if k != nil && parts[k.Host] != nil && parts[k.Host].houses {
		return occi.E(occi.Forbidden, "a %s is made with its pool", k.Term)
	}
	if k != nil && parts[k.Host] != nil && parts[k.Host].stray {
		return occi.E(occi.Forbidden, "a %s is what a host has; it cannot be created", k.Term)
	}
	if node && (b.e.cfg.Opener == nil || !b.c.Could(k.ID(), policy.Create)) {
		return occi.E(occi.Forbidden, "a %s comes of the server's configuration; it cannot be created", k.Term)
	}
	if err := b.new(d.Kind); err != nil {
		return err
	}
	if err := b.imported(d); err != nil {
		return err
	}
	own := id
	if own == uuid.Nil {
		own = uuid.New()
	}
	x, err := b.m.Build(d, own)
	if err != nil {
		return err
	}
	if id != uuid.Nil && x.ID != id {
		return occi.E(occi.Invalid, "%s: the identifier %s is not that of the URL", occi.AttrID, x.ID)
	}
	if hypervisor.IsAdopted(x.ID) {
		// Who has it would be given what is on the host.
		return occi.E(occi.Invalid, "%s: the identifier %s is kept for volumes that are imported from hosts", occi.AttrID, x.ID)
	}
	if err := occi.Problems(occi.Invalid, "it is not possible", b.check(nil, x)); err != nil {
		return err
	}
	if node {
		if err := b.node(x, x.ID != own || id != uuid.Nil); err != nil {
			return err
		}
		own = uuid.Nil // a UUID that is taken is told of
	}
	if stores {
		if err := b.storePool(x, d, x.ID != own || id != uuid.Nil); err != nil {
			return err
		}
		own = uuid.Nil
	}
	b.gives(x, d)
	if err := b.add(ctx, x, own); err != nil {
		return err
	}
	b.result = append(b.result, x.ID)
	return b.inline(ctx, x, d, false)
}

// check looks for what no host could do; old is nil for a new entity.
func (p *plan) check(old, x *occi.Entity) (ps []occi.Problem) {
	ops := part(p.m, x)
	if ops.check != nil {
		ps = ops.check(p.m, old, x)
	}
	if ops.offered != nil {
		ps = append(ps, ops.offered(&p.e.cfg, p.m, old, x)...)
	}
	return ps
}

// add takes in a new entity; own is the UUID it has unless the client chose one.
// A collection shows a link both with its source and as a member: it is taken in
// once.
func (b *creation) add(ctx context.Context, x *occi.Entity, own uuid.UUID) error {
	if have := b.puts[x.ID]; have != nil {
		if x.Source.ID != uuid.Nil && have.Kind == x.Kind && have.Source.ID == x.Source.ID && have.Target == x.Target && same(have, x) {
			return nil
		}
		return occi.E(occi.Invalid, "%s: the identifier %s is given to two entities", occi.AttrID, x.ID)
	}
	if x.ID == x.Source.ID || x.ID == x.Target.ID {
		return occi.E(occi.Invalid, "%s: the identifier %s is that of what the link connects", occi.AttrID, x.ID)
	}
	if x.ID != own {
		b.chosen = append(b.chosen, x.ID)
	}
	x.Owner, x.Project = b.c.Name, b.c.Project
	if k := b.m.Kind(x.Kind); k.Own {
		// The provider's, unless what makes it ready says otherwise.
		x.Project = ""
	}
	if err := b.sharing(nil, x); err != nil {
		return err
	}
	if err := b.identify(ctx, nil, x); err != nil {
		return err
	}
	b.put(x)
	b.regroups = b.regroups || part(b.m, x).groups
	if x.Source.ID != uuid.Nil {
		b.links = append(b.links, x)
	} else {
		b.tops = append(b.tops, x)
	}
	return nil
}

// inline builds the links that a draft of x carries.
func (b *creation) inline(ctx context.Context, x *occi.Entity, d *occi.Draft, replaced bool) error {
	drafts, err := b.m.LinkDrafts(x, d, replaced)
	if err != nil {
		return err
	}
	for _, ld := range drafts {
		own := uuid.New()
		l, err := b.m.Build(ld, own)
		if err != nil {
			return err
		}
		if err := b.new(l.Kind); err != nil {
			return err
		}
		if check := part(b.m, l).check; check != nil {
			if err := occi.Problems(occi.Invalid, "a link is not possible", check(b.m, nil, l)); err != nil {
				return err
			}
		}
		b.gives(l, ld)
		if err := b.add(ctx, l, own); err != nil {
			return err
		}
		if a := ld.Attr(occi.AttrTarget); a != nil && a.Line > 0 {
			if b.lines == nil {
				b.lines = map[uuid.UUID]int{}
			}
			b.lines[l.ID] = a.Line
		}
	}
	return nil
}

// finish resolves references, places what is new, gives it its addresses, leaves the
// tasks and commits.
func (b *creation) finish(ctx context.Context, o Options) (*Outcome, error) {
	defer func() { b.e.ledger.settle(b.plan) }()
	if err := b.whither(ctx); err != nil {
		return nil, err
	}
	if err := b.permitted(); err != nil {
		return nil, err
	}
	if err := b.pools(); err != nil {
		return nil, err
	}
	if err := b.devices(); err != nil {
		return nil, err
	}
	release, err := b.addresses(ctx)
	if err != nil {
		return nil, err
	}
	defer release()
	b.leaveTasks()
	if o.Key != "" && len(b.change.Secrets) > 0 {
		return nil, occi.E(occi.Invalid, "Idempotency-Key: a request with a secret is not remembered, and cannot be repeated")
	}
	b.key(o)
	out, err := b.commit(ctx)
	if errors.Is(err, occi.Conflict) {
		// The same request, sent twice at once, is no clash with itself.
		if out, err := b.e.repeated(ctx, b.c, o); out != nil || err != nil {
			return out, err
		}
		if err := b.taken(ctx); err != nil {
			return nil, err
		}
	}
	if err == nil && len(b.change.Define) > 0 {
		err = b.e.Renew(ctx, true)
	}
	return out, err
}

// taken is the Conflict about a UUID that the client chose and that is in use, be
// it by an entity on its way out; nil if none is.
func (b *creation) taken(ctx context.Context) error {
	for _, id := range b.chosen {
		switch x, err := b.e.store.EntityAny(ctx, id); {
		case err != nil:
		case !b.c.Sees(x):
			return conflict("%s: %s is taken", occi.AttrID, id)
		case x.Deleted:
			return conflict("%s: %s is still being deleted", occi.AttrID, b.m.Path(x))
		default:
			return conflict("%s: there is %s already", occi.AttrID, b.m.Path(x))
		}
	}
	return nil
}

// resolve finds the ends of the new links, in one query for all.
func (b *creation) resolve(ctx context.Context) error {
	var ids []uuid.UUID
	for _, l := range b.links {
		ids = append(ids, l.Source.ID, l.Target.ID)
	}
	if err := b.read(ctx, ids); err != nil {
		return err
	}
	var ps []occi.Problem
	for _, l := range b.links {
		k := b.m.Kind(l.Kind)
		if src := b.entity(l.Source.ID); src != nil {
			// A link is a part of its source.
			l.Project = src.Project
		}
		ps = append(ps, b.end(l, occi.AttrSource, &l.Source, "")...)
		ps = append(ps, b.end(l, occi.AttrTarget, &l.Target, k.TargetKind)...)
	}
	if err := occi.Problems(occi.Invalid, "the links are not valid", ps); err != nil {
		return err
	}
	return b.once()
}

// end checks one end of a link against what exists.
func (b *creation) end(l *occi.Entity, name string, r *occi.Ref, want string) []occi.Problem {
	if r.ID == uuid.Nil {
		return nil
	}
	x := b.entity(r.ID)
	shown := b.m.RefPath(*r)
	// Whether somebody may say who has a part in something is asked of the link alone, so
	// that a user who has none yet can be named by who knows its UUID.
	granting := name == occi.AttrSource && l.Kind == occi.MembershipKind
	bad := func(text string) []occi.Problem {
		return []occi.Problem{{What: name, Line: b.lines[l.ID], Text: text}}
	}
	switch {
	case x == nil && r.URI != "" && name == occi.AttrTarget && want == "":
		r.ID = uuid.Nil
		return nil
	case x == nil || r.Kind != "" && x.Kind != r.Kind || !granting && !b.c.Sees(x):
		return bad("there is no " + shown)
	case name == occi.AttrSource && !granting && b.c.May(x, policy.Update) != auth.Allowed:
		return bad(shown + " is only shared with you; links from it are others'")
	case x.Source.ID != uuid.Nil:
		return bad(shown + " is a link; links connect resources")
	case name == occi.AttrSource && part(b.m, l).houses && (!part(b.m, x).stores || x.Revision > 0):
		return bad(shown + " has the host that it was made with, if any")
	case want != "" && x.Kind != want:
		return bad(shown + " is a " + b.term(x.Kind) + ", not a " + b.term(want))
	case name == occi.AttrSource && part(b.m, l).device && !part(b.m, x).machine:
		return bad(shown + " is a " + b.term(x.Kind) + ", which has no devices")
	case name == occi.AttrSource && part(b.m, l).joins && !part(b.m, x).machine:
		return bad(shown + " is a " + b.term(x.Kind) + "; only machines are in pools of machines")
	case name == occi.AttrSource && part(b.m, l).groups && !part(b.m, x).own:
		return bad(shown + " is a " + b.term(x.Kind) + "; only hosts are in pools")
	}
	*r = occi.Ref{ID: x.ID, Kind: x.Kind}
	return nil
}

func (p *plan) term(kind string) string {
	if k := p.m.Kind(kind); k != nil {
		return k.Term
	}
	return kind
}

// leaveTasks leaves a task for every new entity that a host knows. A resource's
// own task takes its new links along.
func (b *creation) leaveTasks() {
	tasks := map[uuid.UUID]*occi.Task{}
	for _, x := range b.tops {
		if x.Host == "" || part(b.m, x).own || part(b.m, x).stores {
			continue
		}
		t := b.task(x, x.Host, verbCreate, fetchParams(b.m, x, b.autoParams(x)), nil)
		if image := b.entity(imageOf(b.m, x)); image != nil {
			t.Attributes.Set(paramFrom, occi.Str(image.ID.String()))
			t.After = slices.Clone(image.Tasks)
		}
		tasks[x.ID] = t
		b.say(x, throughCreate)
	}
	for _, l := range b.links {
		if l.Host == "" {
			continue
		}
		src := b.entity(l.Source.ID)
		if target := b.entity(l.Target.ID); target != nil {
			b.comesAfter(l, target.Tasks)
		}
		if t := tasks[src.ID]; t != nil {
			t.After = append(t.After, b.after[l.ID]...)
			continue
		}
		// Writing the source too makes this conflict with its deletion.
		b.put(src)
		b.task(l, l.Host, verbCreate, nil, b.after[l.ID])
		b.say(l, throughAttach)
	}
}

// comesAfter has the task of a new link come after others.
func (b *creation) comesAfter(l *occi.Entity, tasks []uuid.UUID) {
	if b.after == nil {
		b.after = map[uuid.UUID][]uuid.UUID{}
	}
	b.after[l.ID] = append(b.after[l.ID], tasks...)
}

// autoParams names the action that is invoked on a new entity.
func (p *plan) autoParams(x *occi.Entity) occi.Attrs {
	k := p.m.Kind(x.Kind)
	if k.States == nil {
		return nil
	}
	auto := k.States.Auto
	if !p.e.cfg.KeepStopped {
		for _, mx := range p.m.Closure(x.Mixins) {
			// The base of all templates alone is no template.
			if mx.Auto != "" && !slices.Contains(x.Mixins, mx.ID()) {
				auto = mx.Auto
			}
		}
	}
	if auto == "" {
		return nil
	}
	return occi.Attrs{{Name: paramAuto, Value: occi.Str(auto)}}
}

// say sets the entity's state message.
func (p *plan) say(x *occi.Entity, message string) { say(p.m, x, message) }

func say(m *occi.Model, x *occi.Entity, message string) {
	k := m.Kind(x.Kind)
	if k == nil || k.States == nil || k.States.Message == "" {
		return
	}
	if message == "" {
		x.Attributes.Delete(k.States.Message)
		return
	}
	x.Attributes.Set(k.States.Message, occi.Str(message))
}
