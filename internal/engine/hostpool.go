package engine

import (
	"context"
	"fmt"
	"slices"

	"github.com/google/uuid"

	"github.com/occid/occid/occi"
)

// poolNeed is a pool that a host must be in, as the client called it. The nil UUID is
// that of none.
type poolNeed struct {
	id   uuid.UUID
	name string
}

// poolsOf lists the pools that a host is in, by its row.
func poolsOf(m *occi.Model, x *occi.Entity) []uuid.UUID {
	var out []uuid.UUID
	for _, l := range x.Links {
		if part(m, l).groups && !l.Deleted {
			out = append(out, l.Target.ID)
		}
	}
	return out
}

// once refuses to put something in a pool that it is in already.
func (b *creation) once() error {
	for i, l := range b.links {
		if !part(b.m, l).groups && !part(b.m, l).joins {
			continue
		}
		src := b.entity(l.Source.ID)
		again := func(o *occi.Entity) bool {
			return o.Kind == l.Kind && o.Source.ID == l.Source.ID && o.Target.ID == l.Target.ID && !o.Deleted
		}
		if slices.ContainsFunc(src.Links, again) || slices.ContainsFunc(b.links[:i], again) {
			return conflict("%s is in %s already", b.m.Path(src), b.m.RefPath(l.Target))
		}
	}
	return b.sameProject()
}

// poolNeeds lists the pools that the host of a machine must be in, which are known by
// their UUIDs since the machine was made.
func poolNeeds(m *occi.Model, x *occi.Entity) []poolNeed {
	name := role(m, x, rolePool).Text
	if name == "" {
		return nil
	}
	id, _ := occi.ParseID(role(m, x, rolePoolID).Text)
	return []poolNeed{{id, name}}
}

// inPools finds the pools that new machines name, in one query for all.
func (b *creation) inPools(ctx context.Context) error {
	var pools []*occi.Entity
	var ps []occi.Problem
	for _, x := range b.tops {
		a := roleAttr(b.m, x, rolePool)
		if a == nil || x.Attributes.Get(a.Name).Text == "" {
			continue
		}
		if pools == nil {
			page, err := b.e.store.List(ctx, &occi.Query{Kinds: kindsFor(b.m, "pool")})
			if err != nil {
				return err
			}
			pools = append([]*occi.Entity{}, page.Entities...)
		}
		found, why := b.poolNamed(pools, x.Attributes.Get(a.Name).Text)
		if why != "" {
			ps = append(ps, occi.Problem{What: a.Name, Text: why})
			continue
		}
		setRole(b.m, x, rolePoolID, occi.Str(found.ID.String()))
	}
	return occi.Problems(occi.Invalid, "it is not possible", ps)
}

// poolNamed finds the pool of a title, UUID, path or URI, or says why there is none.
func (b *creation) poolNamed(pools []*occi.Entity, name string) (found *occi.Entity, why string) {
	for _, x := range pools {
		if name == x.ID.String() || name == b.m.Path(x) || name == occi.URN(x.ID) {
			return x, ""
		}
		if x.Title != name {
			continue
		}
		if found != nil {
			return nil, fmt.Sprintf("%q is the title of several pools; a UUID tells which", name)
		}
		found = x
	}
	if found == nil {
		return nil, fmt.Sprintf("there is no pool %q", name)
	}
	return found, ""
}
