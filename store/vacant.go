package store

import (
	"slices"

	"github.com/google/uuid"

	"github.com/occid/occid/occi"
)

// vacantMost is how many entities of a host are looked at that is to be vacant. One that
// has as many is not, whatever else the group removes.
const vacantMost = 1000

// vacantIn loads what is placed on hosts that jobs want vacant.
func (g *group) vacantIn(jobs []*job) []query {
	var out []query
	for _, j := range jobs {
		for _, host := range j.change.Vacant {
			if _, asked := g.placed[host]; asked {
				continue
			}
			g.placed[host] = nil
			out = append(out, query{statement{`SELECT id FROM entities WHERE host = $1 LIMIT ` + bigint("$2"), []any{indexed(host), vacantMost}}, func(r row) error {
				var id uuid.UUID
				err := r.Scan(&id)
				g.placed[host] = append(g.placed[host], id)
				return err
			}})
		}
	}
	return out
}

// checkVacant refuses a change that wants a host vacant on which something is placed that
// does not go with it.
func (g *group) checkVacant(c *occi.Change) error {
	for _, host := range c.Vacant {
		here := func(id uuid.UUID) bool {
			x := g.entities[id]
			return (x == nil || x.exists() && x.e.Host == host) && !slices.ContainsFunc(c.Removes, func(r occi.Removal) bool { return r.ID == id })
		}
		if len(g.placed[host]) == vacantMost || slices.ContainsFunc(g.placed[host], here) {
			return occi.E(occi.Conflict, "something is placed on the host %s", host)
		}
		for _, x := range g.changed {
			if x.e.Host == host && here(x.e.ID) {
				return occi.E(occi.Conflict, "something is placed on the host %s", host)
			}
		}
	}
	return nil
}

// checkThere refuses a change that relies on what is not there.
func (g *group) checkThere(c *occi.Change) error {
	for _, id := range c.There {
		if x := g.entities[id]; !x.exists() || x.e.Deleted {
			return occi.E(occi.Conflict, "entity %s does not exist any more", id)
		}
	}
	return nil
}
