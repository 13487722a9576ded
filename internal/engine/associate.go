package engine

import (
	"context"
	"maps"
	"slices"

	"github.com/google/uuid"

	"github.com/occid/occid/internal/policy"
	"github.com/occid/occid/occi"
)

// Members are changes to a mixin's collection.
type Members struct {
	// Add and Drop are the entities to give the mixin to and to take it from. A
	// kind, if there is one, must be that of the entity.
	Add, Drop []occi.Ref
	// Only takes the mixin from all that are not to be given it.
	Only bool
}

// Associate gives and takes a mixin (GFD.221 section 5.3.4), on all entities or
// none. Those that have it, or have it not, already are left alone. The Outcome
// names all the entities. It is Invalid to name one that does not exist.
func (e *Engine) Associate(ctx context.Context, c Caller, mixin string, members Members, o Options) (*Outcome, error) {
	c = e.as(c)
	return e.keyed(ctx, c, o, func() (*Outcome, error) {
		p, err := e.begin(ctx, c, o)
		if err != nil {
			return nil, err
		}
		b := creation{plan: p}
		if b.m.Mixin(mixin) == nil {
			return nil, occi.E(occi.NotFound, "there is no mixin %s", mixin)
		}
		if err := b.named(ctx, members.Add, members.Drop); err != nil {
			return nil, err
		}
		drop, err := b.dropped(ctx, mixin, members)
		if err != nil {
			return nil, err
		}
		if err := b.networksOf(ctx, slices.Collect(maps.Values(b.known))...); err != nil {
			return nil, err
		}
		err = b.each(ctx, members.Add, func(old *occi.Entity) (*occi.Entity, error) {
			return b.m.Update(old, &occi.Draft{Mixins: []string{mixin}}, false)
		})
		if err != nil {
			return nil, err
		}
		err = b.each(ctx, drop, func(old *occi.Entity) (*occi.Entity, error) { return b.m.Without(old, mixin) })
		if err != nil {
			return nil, err
		}
		if err := b.still(mixin, drop); err != nil {
			return nil, err
		}
		if len(b.change.Puts) == 0 {
			return b.outcome(), nil
		}
		return b.finish(ctx, o)
	})
}

// still names the entities that keep a mixin which was taken from them: the server
// gives it to whatever has an address.
func (b *creation) still(mixin string, dropped []occi.Ref) error {
	var ps []occi.Problem
	for _, r := range dropped {
		if x := b.entity(r.ID); x.HasMixin(mixin) {
			ps = append(ps, occi.Problem{What: b.m.Path(x), Text: "has an address in its network, which the mixin shows for as long as it has"})
		}
	}
	if err := occi.Problems(occi.Conflict, "the mixin cannot be taken", first(ps, maxNamed)); err != nil {
		return final{err}
	}
	return nil
}

// named makes the entities known that the client names, or says which of them are
// not there.
func (b *creation) named(ctx context.Context, lists ...[]occi.Ref) error {
	var ids []uuid.UUID
	for _, refs := range lists {
		for _, r := range refs {
			ids = append(ids, r.ID)
		}
	}
	if err := b.read(ctx, ids); err != nil {
		return err
	}
	var ps []occi.Problem
	for _, refs := range lists {
		for _, r := range refs {
			if x := b.known[r.ID]; x == nil || r.Kind != "" && x.Kind != r.Kind || !b.c.Sees(x) {
				ps = append(ps, occi.Problem{What: b.m.RefPath(occi.Ref{ID: r.ID, Kind: r.Kind}), Text: "there is no such entity"})
			}
		}
	}
	if err := occi.Problems(occi.Invalid, "the list names what does not exist", ps); err != nil {
		return err
	}
	for _, id := range ids {
		if err := may(b.c, b.known[id], policy.Update); err != nil {
			return err
		}
	}
	return nil
}

// dropped lists the entities that lose a mixin.
func (b *creation) dropped(ctx context.Context, mixin string, members Members) ([]occi.Ref, error) {
	if !members.Only {
		return members.Drop, nil
	}
	scope := b.c.Scope(policy.Update, nil)
	page, err := b.e.store.List(ctx, &occi.Query{Mixins: []string{mixin}, Reach: scope.Reach, Where: scope.Where})
	if err != nil {
		return nil, err
	}
	stay := map[uuid.UUID]bool{}
	for _, r := range members.Add {
		stay[r.ID] = true
	}
	drop := members.Drop
	for _, x := range page.Entities {
		if !stay[x.ID] {
			b.known[x.ID] = x
			drop = append(drop, occi.Ref{ID: x.ID})
		}
	}
	return drop, nil
}

// each has each of the known entities become what f makes of it, once.
func (b *creation) each(ctx context.Context, refs []occi.Ref, f func(*occi.Entity) (*occi.Entity, error)) error {
	seen := map[uuid.UUID]bool{}
	for _, r := range refs {
		if seen[r.ID] || b.puts[r.ID] != nil {
			continue
		}
		seen[r.ID] = true
		b.result = append(b.result, r.ID)
		old := b.known[r.ID]
		next, err := f(old)
		if err != nil {
			return err
		}
		if err := b.become(ctx, old, next); err != nil {
			return err
		}
	}
	return nil
}
