package engine

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/occid/occid/internal/policy"
	"github.com/occid/occid/occi"
)

// plan gathers one write: the change, the tasks it leaves, and the entities it
// works on.
type plan struct {
	e      *Engine
	m      *occi.Model
	c      Caller
	now    time.Time
	change occi.Change
	puts   map[uuid.UUID]*occi.Entity // those of change.Puts
	// known are entities read for the plan, with their links.
	known map[uuid.UUID]*occi.Entity
	// result lists what the Outcome names, in order.
	result  []uuid.UUID
	created bool
	// placed are what was chosen hosts for, which may be others if these are full.
	placed []placing
	// storing is when the plan was handed to the store, stored whether that has it.
	storing time.Time
	stored  bool
	// identities tells that the plan changes who may do what.
	identities bool
	token      string // of a new token
	by         string // see Options
	// regroups tells that hosts come into pools or leave them.
	regroups bool
	// repools tells that pools of storages come or go.
	repools bool
	// musters tells that sets of machines come to show something else.
	musters bool
}

func (e *Engine) plan(c Caller) *plan {
	asked, now := c != Caller{}, e.now()
	c = e.as(c)
	return &plan{e: e, m: e.ModelOf(c), c: c, now: now, change: occi.Change{At: now, Quotas: asked},
		puts: map[uuid.UUID]*occi.Entity{}, known: map[uuid.UUID]*occi.Entity{}}
}

// begin is plan for a request that may have a condition on a collection.
func (e *Engine) begin(ctx context.Context, c Caller, o Options) (*plan, error) {
	p := e.plan(c)
	p.by = o.By
	if o.Collection == nil {
		return p, nil
	}
	registry := slices.Equal(o.Collection.Kinds, []string{occi.UserMixins})
	scope := &policy.Scope{} // the registry is counted as a whole
	if !registry {
		scope = p.c.Scope(policy.Read, o.Collection.Kinds)
	}
	reach := scope.Reach
	now, err := e.store.Count(ctx, o.Collection.Kinds, reach...)
	if err != nil {
		return nil, err
	}
	// The condition is on what is shown; the change relies on all that is within reach.
	shown := now
	if registry && !c.Operates() {
		shown.Revision = p.m.Revision
	} else if shown, err = e.store.Visible(ctx, &occi.Query{Kinds: o.Collection.Kinds, Reach: reach, Where: scope.Where}); err != nil {
		return nil, err
	}
	if err := o.Collection.Match(shown); err != nil {
		return nil, final{err}
	}
	p.change.Based = []occi.Based{{Kinds: o.Collection.Kinds, Reach: reach, Revision: now.Revision}}
	return p, nil
}

// read makes entities known, in one query.
func (p *plan) read(ctx context.Context, ids []uuid.UUID) error {
	var missing []uuid.UUID
	seen := map[uuid.UUID]bool{}
	for _, id := range ids {
		if id != uuid.Nil && p.known[id] == nil && p.puts[id] == nil && !seen[id] {
			seen[id] = true
			missing = append(missing, id)
		}
	}
	found, err := p.e.entities(ctx, missing)
	for id, x := range found {
		p.known[id] = x
	}
	return err
}

// entity gives an entity as the plan leaves it, nil if it does not exist.
func (p *plan) entity(id uuid.UUID) *occi.Entity {
	if x := p.puts[id]; x != nil {
		return x
	}
	return p.known[id]
}

// put gives the entity that the change writes for x, a clone unless x is new.
func (p *plan) put(x *occi.Entity) *occi.Entity {
	if have := p.puts[x.ID]; have != nil {
		return have
	}
	w := x
	if x.Revision > 0 {
		w = x.Clone()
	}
	p.puts[x.ID] = w
	p.change.Puts = append(p.change.Puts, w)
	return w
}

// task leaves a task about x on its lane and shows it on the entity.
func (p *plan) task(x *occi.Entity, host, verb string, params occi.Attrs, after []uuid.UUID) *occi.Task {
	t := &occi.Task{ID: uuid.New(), Entity: x.ID, Kind: x.Kind, Lane: lane(x), After: after, Host: host, Verb: verb,
		Attributes: params, State: occi.TaskPending, Progress: -1, Who: p.c.Name, Project: x.Project, Created: p.now}
	p.change.Tasks = append(p.change.Tasks, t)
	x.Tasks = append(x.Tasks, t.ID)
	return t
}

// lane is what tasks about an entity must not run beside: links are parts of
// their source.
func lane(x *occi.Entity) uuid.UUID {
	if x.Source.ID != uuid.Nil {
		return x.Source.ID
	}
	return x.ID
}

// key remembers the request, so that its repetition is harmless.
func (p *plan) key(o Options) {
	if o.Key != "" {
		p.change.Key = &occi.Key{Who: p.c.Who(), Name: o.Key, Hash: o.Hash, Entities: p.result, Created: p.now}
	}
}

// commit writes the plan and sets the hosts to work on it.
func (p *plan) commit(ctx context.Context) (*Outcome, error) {
	if err := p.settled(); err != nil {
		return nil, err
	}
	p.needs()
	if err := p.takeRooms(ctx); err != nil {
		return nil, err
	}
	follow(&p.change, p.e.cfg.Tracer.Carry(ctx), requestOf(ctx))
	p.reserve()
	p.takes()
	p.bounds()
	alone := p.e.traffic.enter()
	handOver := p.claims(ctx, alone)
	p.storing = time.Now()
	err := p.e.store.Commit(ctx, &p.change)
	p.e.traffic.leave()
	p.stored = err == nil
	handOver(p.stored)
	if full := noRoom(err); full != nil {
		return nil, full
	}
	if err := p.overQuota(err); err != nil {
		return nil, err
	}
	if over := overload(err); over != nil {
		return nil, p.overloaded(ctx, over, err)
	}
	if err != nil {
		return nil, p.e.stale(ctx, &p.change, err)
	}
	if p.identities {
		p.e.cfg.Identities()
	}
	p.e.seen(p.m, p.change.Puts)
	if p.regroups {
		if err := p.e.reviewHosts(ctx); err != nil {
			p.e.log.Warn("which hosts are in pools was not read", "error", err)
		}
	}
	if p.repools {
		if err := p.e.gatherPools(ctx); err != nil {
			p.e.log.Warn("which pools of storages there are was not read", "error", err)
		}
	}
	p.e.ledger.changed(p)
	p.mustered()
	for _, t := range p.change.Tasks {
		if t.State == occi.TaskPending {
			p.e.wake(t.Host)
		}
	}
	return p.outcome(), nil
}

// claims has the only task of the plan claimed as it is stored, if its host could work on it
// at once. The function it gives hands that over, if it was stored. Where many ask it is
// better to claim many at once.
func (p *plan) claims(ctx context.Context, alone bool) func(stored bool) {
	if !alone || len(p.change.Tasks) != 1 {
		return func(bool) {}
	}
	t := p.change.Tasks[0]
	h := p.e.host(t.Host)
	if t.Seq > 0 || h == nil || !h.reserve() {
		return func(bool) {}
	}
	p.change.Claim = &occi.Claim{Host: h.name, Worker: p.e.cfg.Worker, Lease: lease}
	// Whoever sees it run can cancel it.
	a := h.attempt(t)
	return func(stored bool) {
		if stored && t.State == occi.TaskRunning {
			own := *t
			a.task = &own
			h.given <- a
			return
		}
		h.unreserve(a)
		if !stored || !errors.Is(context.Cause(a.work), errCancelled) {
			return
		}
		if _, err := p.e.cancelPending(ctx, t); err != nil {
			p.e.log.Warn("a task was not cancelled", "task", t.ID, "error", err)
		}
	}
}

// outcome gives the entities as they were committed, with their links.
func (p *plan) outcome() *Outcome {
	out := &Outcome{Tasks: p.change.Tasks, Created: p.created, Token: p.token}
	gone := map[uuid.UUID]bool{}
	for _, r := range p.change.Removes {
		gone[r.ID] = true
	}
	for _, id := range p.result {
		x := p.entity(id)
		if p.puts[id] != nil {
			x = p.withLinks(x, gone)
		}
		if x != nil && p.c.Hides() {
			x = bared(p.c, x)
		}
		out.Entities = append(out.Entities, x)
	}
	return out
}

func (p *plan) withLinks(x *occi.Entity, gone map[uuid.UUID]bool) *occi.Entity {
	c := x.Clone()
	have := map[uuid.UUID]bool{}
	c.Links = nil
	for _, l := range x.Links {
		if w := p.puts[l.ID]; w != nil {
			l = w
		}
		have[l.ID] = true
		if !l.Deleted && !gone[l.ID] {
			c.Links = append(c.Links, l)
		}
	}
	for _, l := range p.change.Puts {
		if l.Source.ID == x.ID && !have[l.ID] && !l.Deleted {
			c.Links = append(c.Links, l)
		}
	}
	return c
}

// attempts is how often a write is tried again when what it is based on changed
// under it.
const attempts = 20

// retry runs a write again while it conflicts with others. A conflict that do
// itself found, and not the store, comes wrapped by final.
func retry(ctx context.Context, do func() (*Outcome, error)) (*Outcome, error) {
	for i := 0; ; i++ {
		out, err := do()
		var f final
		if errors.As(err, &f) {
			return out, f.error
		}
		if err == nil || !errors.Is(err, occi.Conflict) || i >= attempts || ctx.Err() != nil {
			return out, err
		}
	}
}

// final marks an error that trying again does not mend.
type final struct{ error }

func (f final) Unwrap() error { return f.error }

// conflict is a final Conflict.
func conflict(format string, args ...any) error {
	return final{occi.E(occi.Conflict, format, args...)}
}

// repeated gives the outcome of an earlier request under the same key, nil if
// there was none.
func (e *Engine) repeated(ctx context.Context, c Caller, o Options) (*Outcome, error) {
	if o.Key == "" {
		return nil, nil
	}
	k, err := e.store.Key(ctx, c.Who(), o.Key)
	if errors.Is(err, occi.NotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if k.Hash != o.Hash {
		return nil, conflict("the idempotency key %q belongs to another request", o.Key)
	}
	found, err := e.entities(ctx, slices.Concat(k.Entities, k.Made))
	if err != nil {
		return nil, err
	}
	there := func(ids []uuid.UUID) (out []*occi.Entity) {
		for _, id := range ids {
			if x := found[id]; x != nil {
				out = append(out, x)
			}
		}
		return out
	}
	out := &Outcome{Repeated: true, Entities: there(k.Entities), Made: there(k.Made)}
	if len(k.Defined) > 0 {
		if err := e.Renew(ctx, true); err != nil {
			return nil, err
		}
	}
	for _, id := range k.Defined {
		if x := e.Model().Mixin(id); x != nil {
			out.Defined = append(out.Defined, x)
		}
	}
	if len(out.Entities) == 0 || len(out.Made) < len(k.Made) || len(out.Defined) < len(k.Defined) {
		return nil, conflict("what was made under the idempotency key %q is gone", o.Key)
	}
	under, err := e.underWay(ctx, found)
	for _, x := range slices.Concat(out.Entities, out.Made) {
		out.Tasks = append(out.Tasks, under[x.ID]...)
	}
	return out, err
}

// keyed runs a write once per key.
func (e *Engine) keyed(ctx context.Context, c Caller, o Options, do func() (*Outcome, error)) (*Outcome, error) {
	return retry(ctx, func() (*Outcome, error) {
		if out, err := e.repeated(ctx, c, o); out != nil || err != nil {
			return out, err
		}
		return do()
	})
}

// underWay reads the tasks of entities that are not over, by entity and oldest
// first, in one query. It is a Conflict if one has ended since its entity was read,
// which is not in the state any more that the task left it in.
func (e *Engine) underWay(ctx context.Context, found map[uuid.UUID]*occi.Entity) (map[uuid.UUID][]*occi.Task, error) {
	under := map[uuid.UUID][]*occi.Task{}
	var lanes []uuid.UUID
	for _, x := range found {
		if len(x.Tasks) > 0 {
			lanes = append(lanes, lane(x))
		}
	}
	if len(lanes) == 0 {
		return under, nil
	}
	tasks, err := e.store.Unfinished(ctx, lanes)
	for _, t := range tasks {
		under[t.Entity] = append(under[t.Entity], t)
	}
	if err != nil {
		return nil, err
	}
	for id, x := range found {
		for _, t := range x.Tasks {
			if !slices.ContainsFunc(under[id], func(o *occi.Task) bool { return o.ID == t }) {
				return nil, occi.E(occi.Conflict, "a task of %s has ended", id)
			}
		}
	}
	return under, nil
}
