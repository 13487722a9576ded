package engine

import (
	"context"

	"github.com/google/uuid"

	"github.com/occid/occid/occi"
)

// Members are changes to a mixin's collection.
type Members struct {
	Add, Drop []uuid.UUID
}

// Associate gives and takes a mixin (GFD.221 section 5.3.4), on all entities or
// none. Those that have it, or have it not, already are left alone. The Outcome
// names all the entities.
func (e *Engine) Associate(ctx context.Context, c Caller, mixin string, members Members, o Options) (*Outcome, error) {
	return e.keyed(ctx, c, o, func() (*Outcome, error) {
		p, err := e.begin(ctx, c, o)
		if err != nil {
			return nil, err
		}
		b := creation{plan: p}
		if b.m.Mixin(mixin) == nil {
			return nil, occi.E(occi.NotFound, "there is no mixin %s", mixin)
		}
		if err := b.read(ctx, append(append([]uuid.UUID(nil), members.Add...), members.Drop...)); err != nil {
			return nil, err
		}
		err = b.each(members.Add, func(old *occi.Entity) error {
			next, err := b.m.Update(old, &occi.Draft{Mixins: []string{mixin}}, false)
			if err != nil {
				return err
			}
			return b.become(ctx, old, next)
		})
		if err != nil {
			return nil, err
		}
		err = b.each(members.Drop, func(old *occi.Entity) error {
			next, err := b.m.Without(old, mixin)
			if err != nil {
				return err
			}
			return b.become(ctx, old, next)
		})
		if err != nil || len(b.change.Puts) == 0 {
			return b.outcome(), err
		}
		return b.finish(ctx, o)
	})
}

// each calls f for each of the known entities, once.
func (b *creation) each(ids []uuid.UUID, f func(*occi.Entity) error) error {
	for _, id := range ids {
		x := b.known[id]
		if x == nil {
			return occi.E(occi.NotFound, "there is no entity %s", id)
		}
		if b.puts[id] != nil {
			continue
		}
		b.result = append(b.result, id)
		if err := f(x); err != nil {
			return err
		}
	}
	return nil
}
