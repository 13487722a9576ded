package store

import (
	"github.com/google/uuid"

	"github.com/occid/occid/occi"
)

// leaving lists the resources that a change marks as deleted or forgets.
func leaving(c *occi.Change) []uuid.UUID {
	var ids []uuid.UUID
	for _, e := range c.Puts {
		if e.Deleted && !isLink(e) {
			ids = append(ids, e.ID)
		}
	}
	for _, r := range c.Removes {
		ids = append(ids, r.ID)
	}
	return ids
}

// leadingIn loads which links lead to what jobs want gone.
func (g *group) leadingIn(jobs []*job) []query {
	var ids []uuid.UUID
	for _, j := range jobs {
		for _, id := range leaving(j.change) {
			ids = append(ids, id)
			g.leading[id] = map[uuid.UUID]bool{}
		}
	}
	if len(ids) == 0 {
		return nil
	}
	among, list := g.d.anyOf("target", "$1", ids)
	sql := `SELECT target, id FROM entities WHERE ` + among + ` AND NOT deleted`
	return []query{{statement{sql, []any{list}}, func(r row) error {
		var target, id uuid.UUID
		if err := r.Scan(&target, &id); err != nil {
			return err
		}
		g.leading[target][id] = true
		return nil
	}}}
}

// checkLinks lets go only of what no link leads to but those that go with it: the
// other side of checkEnds.
func (g *group) checkLinks(c *occi.Change) error {
	with := map[uuid.UUID]bool{}
	for _, e := range c.Puts {
		with[e.ID] = e.Deleted
	}
	for _, r := range c.Removes {
		with[r.ID] = true
	}
	for _, id := range leaving(c) {
		if x := g.entities[id]; !x.exists() || x.e.Deleted {
			continue
		}
		for l := range g.leading[id] {
			if x := g.entities[l]; !with[l] && (x == nil || x.exists() && !x.e.Deleted) {
				return occi.E(occi.Conflict, "link %s leads to %s", l, id)
			}
		}
	}
	return nil
}
