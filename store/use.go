package store

import (
	"cmp"
	"context"
	"slices"

	"github.com/google/uuid"

	"github.com/occid/occid/occi"
)

const selectUses = `SELECT owner, what, amount FROM uses`

// Uses gives what all entities of a project, and of a user, use together: by the UUID of
// either, then by what. It takes one statement.
func (s *Store) Uses(ctx context.Context) (map[string]map[string]int64, error) {
	found := map[string]map[string]int64{}
	err := s.run(ctx, query{statement{sql: selectUses}, scanUse(func(k useKey, amount int64) {
		if found[k.owner] == nil {
			found[k.owner] = map[string]int64{}
		}
		found[k.owner][k.what] = amount
	})})
	return found, err
}

// charges lists what an entity uses, by the model.
func (s *Store) charges(e *occi.Entity) []occi.Charge {
	if m := s.model(); m != nil {
		return m.Charges(e)
	}
	return nil
}

func (s *Store) quotas() *occi.Quotas {
	if m := s.model(); m != nil {
		return m.Quotas()
	}
	return &occi.Quotas{}
}

// useKey names a row of the table uses.
type useKey struct{ owner, what string }

func (k useKey) compare(o useKey) int {
	return cmp.Or(cmp.Compare(k.owner, o.owner), cmp.Compare(k.what, o.what))
}

func scanUse(found func(useKey, int64)) func(row) error {
	return func(from row) error {
		var owner, what []byte
		var amount int64
		err := from.Scan(&owner, &what, &amount)
		found(useKey{string(owner), string(what)}, amount)
		return err
	}
}

// useBook is what a group knows of uses: what was read, of owners that are known, and by
// how much the group changes any.
type useBook struct {
	read, more map[useKey]int64
	known      map[string]bool
	// at is when what a quota shows changed last, by its owner.
	at map[string]int64
}

func newUseBook() useBook {
	return useBook{map[useKey]int64{}, map[useKey]int64{}, map[string]bool{}, map[string]int64{}}
}

// now is what an owner uses as the group leaves it.
func (b *useBook) now(k useKey) int64 { return b.read[k] + b.more[k] }

// owners lists those whose uses jobs surely change, and whose quotas they write.
func (b *useBook) owners(jobs []*job) []string {
	var out []string
	for _, j := range jobs {
		for _, e := range j.change.Puts {
			switch {
			case e.Kind == occi.QuotaKind:
				out = b.learn(out, e.Project)
			case e.Revision == 0 && len(e.Charges) > 0:
				out = b.learn(out, e.Project, e.Owner)
			}
		}
	}
	return out
}

// learn adds owners that are not known yet to those that will be.
func (b *useBook) learn(to []string, owners ...string) []string {
	for _, o := range owners {
		if o = kept(o); o != "" && !b.known[o] {
			b.known[o] = true
			to = append(to, o)
		}
	}
	return to
}

// quotasOf lists the UUIDs of owners' quotas.
func quotasOf(owners []string) []uuid.UUID {
	ids := make([]uuid.UUID, len(owners))
	for i, o := range owners {
		ids[i] = occi.QuotaID(o)
	}
	return ids
}

// usesOf loads what owners use.
func (g *group) usesOf(owners []string) []query {
	if len(owners) == 0 {
		return nil
	}
	sql := selectUses + ` WHERE ` + g.d.anyOfBytes("owner", "$1")
	return []query{{statement{sql, []any{g.d.bytes(owners)}}, scanUse(func(k useKey, amount int64) { g.uses.read[k] = amount })}}
}

// otherOwners lists those who are not known yet and whose uses jobs change, given what
// these put and remove as it is stored.
func (g *group) otherOwners(jobs []*job) []string {
	var out []string
	for _, j := range jobs {
		for k := range g.changeOfUse(j) {
			out = g.uses.learn(out, k.owner)
		}
	}
	return out
}

// eachUse tells what an entity uses, of its project and of its owner.
func eachUse(e *occi.Entity, f func(k useKey, amount int64)) {
	for _, u := range e.Charges {
		for _, owner := range []string{e.Project, e.Owner} {
			if owner != "" {
				f(useKey{kept(owner), u.What}, u.Amount)
			}
		}
	}
}

// changeOfUse is by how much a job changes what is used, nil if it does not.
func (g *group) changeOfUse(j *job) map[useKey]int64 {
	var more map[useKey]int64
	g.replaced(j, func(e *occi.Entity, sign int64) {
		eachUse(e, func(k useKey, amount int64) {
			if more == nil {
				more = map[useKey]int64{}
			}
			more[k] += sign * amount
		})
	})
	for k, amount := range more {
		if amount == 0 {
			delete(more, k)
		}
	}
	return more
}

// checkUses finds by how much a job changes what is used, and refuses what exceeds a
// quota.
func (g *group) checkUses(j *job) error {
	j.uses = g.changeOfUse(j)
	if !j.change.Quotas {
		return nil
	}
	var over occi.OverQuota
	for k, more := range j.uses {
		used := g.uses.now(k)
		if limit, bounded := g.limit(k); bounded && more > 0 && used+more > limit {
			over.All = append(over.All, occi.Excess{Owner: k.owner, What: k.what, Limit: limit, Used: used, Request: more})
		}
	}
	if len(over.All) == 0 {
		return nil
	}
	slices.SortFunc(over.All, func(a, b occi.Excess) int {
		return useKey{a.Owner, a.What}.compare(useKey{b.Owner, b.What})
	})
	return occi.E(occi.Forbidden, "it is not allowed: %w", &over)
}

// limit is the most that an owner may use of something, as the group leaves its quota.
func (g *group) limit(k useKey) (most int64, bounded bool) {
	x, a := g.entities[occi.QuotaID(k.owner)], g.quotas.Limits[k.what]
	if !x.exists() || a == nil {
		return 0, false
	}
	v := x.e.Attributes.Get(a.Name)
	return a.Counted(v), !v.IsZero() && v.Num >= 0
}

// applyUses does what a job changes.
func (g *group) applyUses(j *job, at int64) {
	changed := func(owner string) { g.uses.at[owner] = max(g.uses.at[owner], at) }
	for k, amount := range j.uses {
		g.uses.more[k] += amount
		changed(k.owner)
	}
	for _, e := range j.change.Puts {
		if e.Kind == occi.QuotaKind {
			changed(kept(e.Project))
		}
	}
}

// settleUses has quotas show what is used after all jobs. That is no event: what was made,
// changed or deleted is one.
func (g *group) settleUses() error {
	for owner, at := range g.uses.at {
		x := g.entities[occi.QuotaID(owner)]
		if !x.exists() {
			continue
		}
		w := x.e.Clone()
		for what, a := range g.quotas.Used {
			w.Attributes.Set(a.Name, a.Shown(g.uses.now(useKey{owner, what})))
		}
		if x.content == nil && slices.Equal(w.Attributes, x.e.Attributes) {
			continue
		}
		doc, err := encodeEntity(w)
		if err != nil {
			return err
		}
		if x.content == nil {
			g.bump(w.ID, at)
			g.touched[w.ID] = true
		}
		x.e, x.content = w, &put{e: w, doc: doc, words: []byte(wordsOf(nil, w)), keys: keysOf(w)}
	}
	return nil
}

// statements deletes what nothing is used of any more and gives what to add to the rows.
func (b *useBook) statements() (rows [][]any, emptied []statement) {
	for k, amount := range b.more {
		if amount == 0 {
			continue
		}
		key := []any{[]byte(k.owner), []byte(k.what)}
		rows = append(rows, append(slices.Clone(key), amount))
		if amount < 0 {
			emptied = append(emptied, statement{`DELETE FROM uses WHERE owner = $1 AND what = $2 AND amount <= 0`, key})
		}
	}
	return rows, emptied
}
