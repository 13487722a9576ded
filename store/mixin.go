package store

import (
	"cmp"
	"context"
	"encoding/json"
	"slices"

	"github.com/occid/occid/occi"
)

// mixinDocument is what a row holds of a mixin beside its columns.
type mixinDocument struct {
	Title   string   `json:"title,omitempty"`
	Depends []string `json:"depends,omitempty"`
	Applies []string `json:"applies,omitempty"`
	Owner   string   `json:"owner,omitempty"`
	Project string   `json:"project,omitempty"`
	// Fixed are attributes that are defined elsewhere, with the values that the mixin
	// gives them.
	Fixed []fixedText `json:"fixed,omitempty"`
}

// fixedText is a value; without a type it is a text.
type fixedText struct {
	Name        string    `json:"name"`
	Type        occi.Type `json:"type,omitempty"`
	Text        string    `json:"text"`
	Number      float64   `json:"number,omitempty"`
	Description string    `json:"description,omitempty"`
}

func encodeMixin(x *occi.Mixin) ([]byte, error) {
	d := mixinDocument{Title: x.Title, Depends: x.Depends, Applies: x.Applies, Owner: x.Owner, Project: x.Project}
	for _, a := range x.Attributes {
		f := fixedText{Name: a.Name, Type: a.Default.Type, Text: a.Default.Text, Number: a.Default.Num, Description: a.Description}
		if f.Type == occi.String {
			f.Type = ""
		}
		d.Fixed = append(d.Fixed, f)
	}
	return json.Marshal(d)
}

func decodeMixin(id, location string, doc []byte) (*occi.Mixin, error) {
	var d mixinDocument
	scheme, term, ok := occi.SplitID(id)
	if err := json.Unmarshal(doc, &d); err != nil || !ok {
		return nil, occi.E(occi.Internal, "the mixin %s is kept as what cannot be read: %w", id, err)
	}
	x := &occi.Mixin{Category: occi.Category{Scheme: scheme, Term: term, Title: d.Title}, Depends: d.Depends, Applies: d.Applies,
		Location: location, User: true, Owner: d.Owner, Project: d.Project}
	for _, f := range d.Fixed {
		v := occi.Value{Type: cmp.Or(f.Type, occi.String), Text: f.Text, Num: f.Number}
		x.Attributes = append(x.Attributes, &occi.Attribute{Name: f.Name, Type: v.Type, Default: v, Description: f.Description})
	}
	return x, nil
}

// Mixins gives the mixins that users defined, in order, and the revision of that
// list, which grows with every change to it. No list is given if known is the
// revision still. It takes one statement, on SQLite none in that case.
func (s *Store) Mixins(ctx context.Context, known int64) ([]*occi.Mixin, int64, error) {
	if now := s.MixinsRevision(); !s.db.shared && now == known {
		return nil, now, nil
	}
	var found []*occi.Mixin
	revision := int64(0)
	// Without a condition that an index serves, PostgreSQL thinks the plan so costly
	// that it compiles it, which takes a hundred times as long as running it.
	sql := `SELECT k.revision, m.id, m.location, m.doc FROM kinds k LEFT JOIN mixins m ON m.id > '' AND k.revision <> $2
		WHERE k.kind = $1 ORDER BY m.seq`
	err := s.run(ctx, query{statement{sql, []any{occi.UserMixins, known}}, func(from row) error {
		var id, location *string
		var doc []byte
		if err := from.Scan(&revision, &id, &location, &doc); err != nil || id == nil {
			return err
		}
		x, err := decodeMixin(*id, *location, doc)
		found = append(found, x)
		return err
	}})
	return found, revision, err
}

// MixinsRevision is the revision of the list of users' mixins as it was when the
// database last told it, be it with something else.
func (s *Store) MixinsRevision() int64 { return s.mixins.Load() }

func (s *Store) sawMixins(all map[string]counter) {
	for now := all[occi.UserMixins].revision; ; {
		seen := s.mixins.Load()
		if now <= seen || s.mixins.CompareAndSwap(seen, now) {
			return
		}
	}
}

// mixinRow is a row of the table mixins: as it was read, and, in a group, as that
// leaves it.
type mixinRow struct {
	id, location string
	seq          int64
	doc          []byte
	stored       bool // it was read
	removed      bool
}

// mixinsIn loads what jobs need to know of users' mixins: those that they name,
// those at locations they name, and the entities that have one to forget.
func (g *group) mixinsIn(jobs []*job) []query {
	var ids, locations, gone, carried []string
	for _, j := range jobs {
		for _, x := range j.change.Define {
			ids, locations = append(ids, x.ID()), append(locations, x.Location)
		}
		for _, x := range j.change.Redefine {
			ids = append(ids, x.ID())
		}
		gone = append(gone, j.change.Undefine...)
		carried = append(carried, j.change.Carriers...)
		ids = append(ids, j.change.Needs...)
	}
	ids = append(ids, gone...)
	if len(ids)+len(carried) == 0 {
		return nil
	}
	named, names := g.d.anyOf("id", "$1", orEmpty(ids))
	at, places := g.d.anyOf("location", "$2", orEmpty(locations))
	sql := `SELECT id, location, seq, doc FROM mixins WHERE ` + named + ` OR ` + at
	queries := []query{{statement{sql, []any{names, places}}, func(from row) error {
		x := &mixinRow{stored: true}
		err := from.Scan(&x.id, &x.location, &x.seq, &x.doc)
		g.mixins[x.id] = x
		return err
	}}}
	for _, id := range slices.Concat(gone, carried) {
		queries = append(queries, g.entitiesWhere(`seq IN (SELECT entity FROM attributes WHERE name = $1)`, indexed(id)))
	}
	return queries
}

func orEmpty(list []string) []string {
	if list == nil {
		return []string{}
	}
	return list
}

func (g *group) mixin(id string) *mixinRow {
	if x := g.mixins[id]; x != nil && !x.removed {
		return x
	}
	return nil
}

// checkMixins reports why a job's changes to users' mixins cannot be made, nil if
// they can.
func (g *group) checkMixins(j *job) error {
	for i, x := range j.change.Define {
		for _, have := range g.mixins {
			if !have.removed && (have.id == x.ID() || have.location == x.Location) {
				return occi.E(occi.Conflict, "the mixin %s at %s is there already", have.id, have.location)
			}
		}
		for _, o := range j.change.Define[:i] {
			if o.ID() == x.ID() || o.Location == x.Location {
				return occi.E(occi.Conflict, "the change defines %s and %s", o.ID(), x.ID())
			}
		}
	}
	for _, id := range slices.Concat(j.change.Undefine, j.change.Needs) {
		if g.mixin(id) == nil {
			return occi.E(occi.Conflict, "there is no mixin %s any more", id)
		}
	}
	for _, x := range j.change.Redefine {
		if g.mixin(x.ID()) == nil {
			return occi.E(occi.Conflict, "there is no mixin %s any more", x.ID())
		}
	}
	return g.checkCarriers(j)
}

// checkCarriers refuses a change that does not write an entity which carries one of
// the mixins that it is about.
func (g *group) checkCarriers(j *job) error {
	carried := slices.Concat(j.change.Undefine, j.change.Carriers)
	if len(carried) == 0 {
		return nil
	}
	own := idsOf(j.change.Puts)
	for id, x := range g.entities {
		for _, mixin := range carried {
			if x.exists() && !x.e.Deleted && !own[id] && x.e.HasMixin(mixin) {
				return occi.E(occi.Conflict, "entity %s has come to have the mixin %s", id, mixin)
			}
		}
	}
	return nil
}

// applyMixins makes a job's changes to users' mixins.
func (g *group) applyMixins(j *job, at int64) {
	for i, x := range j.change.Define {
		id := x.ID()
		row := g.mixins[id]
		if row == nil {
			row = &mixinRow{id: id}
			g.mixins[id] = row
		}
		row.location, row.doc, row.seq, row.removed = x.Location, j.mixins[i], g.next(occi.UserMixins), false
		g.changedMixins[id] = true
	}
	for i, x := range j.change.Redefine {
		id := x.ID()
		g.mixins[id].doc = j.mixins[len(j.change.Define)+i]
		g.changedMixins[id] = true
	}
	for _, id := range j.change.Undefine {
		g.mixins[id].removed = true
		g.changedMixins[id] = true
	}
	if len(j.change.Define)+len(j.change.Redefine)+len(j.change.Undefine) > 0 {
		g.count(occi.UserMixins, 0, at)
	}
}

// mixinStatements forgets the rows that were removed or replaced, and gives those
// to insert.
func (g *group) mixinStatements() (changes []statement, rows [][]any) {
	for id := range g.changedMixins {
		x := g.mixins[id]
		if x.stored {
			changes = append(changes, statement{`DELETE FROM mixins WHERE id = $1`, []any{id}})
		}
		if !x.removed {
			rows = append(rows, []any{id, x.location, x.seq, x.doc})
		}
	}
	return changes, rows
}
