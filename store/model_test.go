package store_test

import (
	"cmp"
	"errors"
	"maps"
	"slices"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/google/uuid"
	"pgregory.net/rapid"

	"github.com/occid/occid/occi"
	"github.com/occid/occid/store"
)

// model is what a store should do, in the plainest way.
type model struct {
	entities map[uuid.UUID]*occi.Entity
	keys     map[string]bool // by caller and name
	serials  map[string]int64
	seq      int64
}

func newModel() *model {
	return &model{entities: map[uuid.UUID]*occi.Entity{}, keys: map[string]bool{}, serials: map[string]int64{}}
}

// commit applies a change, and reports whether it could.
func (m *model) commit(c *occi.Change) bool {
	if c.Key != nil && m.keys[c.Key.Who+" "+c.Key.Name] {
		return false
	}
	put := map[uuid.UUID]bool{}
	for _, e := range c.Puts {
		old := m.entities[e.ID]
		if old == nil && e.Revision != 0 || old != nil && e.Revision != old.Revision {
			return false
		}
		put[e.ID] = true
	}
	for _, e := range c.Puts {
		for _, end := range []uuid.UUID{e.Source.ID, e.Target.ID} {
			if x := m.entities[end]; end != uuid.Nil && e.Revision == 0 && !put[end] && (x == nil || x.Deleted) {
				return false
			}
		}
	}
	for _, r := range c.Removes {
		if old := m.entities[r.ID]; r.Revision != 0 && (old == nil || old.Revision != r.Revision) {
			return false
		}
	}
	if m.leaveLinks(c) {
		return false
	}
	bump := map[uuid.UUID]bool{}
	for _, e := range c.Puts {
		m.put(e, c.At)
		bump[e.Source.ID] = true
	}
	for _, r := range c.Removes {
		if old := m.entities[r.ID]; old != nil {
			bump[old.Source.ID] = true
			delete(m.entities, r.ID)
		}
	}
	for id := range bump {
		if x := m.entities[id]; x != nil && !put[id] {
			x.Revision++
			x.Updated = c.At
		}
	}
	if c.Key != nil {
		m.keys[c.Key.Who+" "+c.Key.Name] = true
	}
	return true
}

// leaveLinks reports whether links would lead to what goes with a change.
func (m *model) leaveLinks(c *occi.Change) bool {
	going := map[uuid.UUID]bool{}
	for _, e := range c.Puts {
		going[e.ID] = e.Deleted
	}
	for _, r := range c.Removes {
		going[r.ID] = true
	}
	for id, l := range m.entities {
		target := m.entities[l.Target.ID]
		if !l.Deleted && !going[id] && target != nil && !target.Deleted && going[target.ID] {
			return true
		}
	}
	return false
}

func (m *model) put(e *occi.Entity, at time.Time) {
	w := e.Clone()
	w.Revision, w.Updated = e.Revision+1, at
	if old := m.entities[e.ID]; old != nil {
		w.Seq, w.Serial, w.Created = old.Seq, old.Serial, old.Created
	} else {
		m.seq++
		m.serials[e.Kind]++
		w.Seq, w.Serial, w.Created = m.seq, m.serials[e.Kind], at
	}
	w.Links = nil
	m.entities[e.ID] = w
}

// get gives an entity with its links.
func (m *model) get(id uuid.UUID) *occi.Entity {
	e := m.entities[id]
	if e == nil {
		return nil
	}
	w := e.Clone()
	for _, l := range m.inOrder() {
		if l.Source.ID == id && (e.Deleted || !l.Deleted) {
			w.Links = append(w.Links, l)
		}
	}
	return w
}

func (m *model) inOrder() []*occi.Entity {
	return slices.SortedFunc(maps.Values(m.entities), func(a, b *occi.Entity) int { return cmp.Compare(a.Seq, b.Seq) })
}

// drawChange draws a change of a few of the known entities; many conflict.
func drawChange(r *rapid.T, m *model, pool []uuid.UUID, step int) *occi.Change {
	c := &occi.Change{At: start.Add(time.Duration(step) * time.Second)}
	for _, id := range rapid.SliceOfNDistinct(rapid.SampledFrom(pool), 0, 3, rapid.ID[uuid.UUID]).Draw(r, "puts") {
		c.Puts = append(c.Puts, drawEntity(r, m, pool, id))
	}
	for _, id := range rapid.SliceOfNDistinct(rapid.SampledFrom(pool), 0, 2, rapid.ID[uuid.UUID]).Draw(r, "removes") {
		if slices.ContainsFunc(c.Puts, func(e *occi.Entity) bool { return e.ID == id }) {
			continue
		}
		based := int64(0)
		if old := m.entities[id]; old != nil && rapid.Bool().Draw(r, "based") {
			based = old.Revision
		}
		c.Removes = append(c.Removes, occi.Removal{ID: id, Revision: based})
	}
	if name := rapid.SampledFrom([]string{"", "", "k1", "k2", "k3"}).Draw(r, "key"); name != "" {
		c.Key = &occi.Key{Who: pool[0].String(), Name: name}
	}
	return c
}

func drawEntity(r *rapid.T, m *model, pool []uuid.UUID, id uuid.UUID) *occi.Entity {
	old := m.entities[id]
	e := compute("", 0)
	e.ID = id
	if old != nil {
		e = old.Clone()
	} else if resources := pool[:len(pool)/2]; !slices.Contains(resources, id) && rapid.Bool().Draw(r, "link") {
		// Links connect resources, never links.
		e.Kind = nicKind
		e.Source = occi.Ref{ID: rapid.SampledFrom(resources).Draw(r, "source"), Kind: computeKind}
		e.Target = occi.Ref{ID: rapid.SampledFrom(resources).Draw(r, "target"), Kind: computeKind}
	}
	if rapid.IntRange(0, 9).Draw(r, "stale") == 0 {
		e.Revision = max(0, e.Revision-1)
	}
	e.Title = rapid.SampledFrom([]string{"", "a", "b", "A"}).Draw(r, "title")
	e.Deleted = rapid.IntRange(0, 4).Draw(r, "deleted") == 0
	e.Mixins = rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"m#1", "m#2"}), 0, 2, rapid.ID[string]).Draw(r, "mixins")
	for _, name := range []string{"x.n", "x.m"} {
		if rapid.Bool().Draw(r, "has "+name) {
			e.Attributes.Set(name, occi.Int(rapid.Int64Range(-2, 2).Draw(r, name)))
		} else {
			e.Attributes.Delete(name)
		}
	}
	return e
}

// TestStoreIsLikeTheModel commits random changes to both and compares all that
// can be read after each.
func TestStoreIsLikeTheModel(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, s *store.Store) {
		// One store and one model serve all runs; each has entities of its own.
		m := newModel()
		rapid.Check(t, func(r *rapid.T) {
			x := runner{t: t, r: r, s: s, m: m, pool: make([]uuid.UUID, 6)}
			for i := range x.pool {
				x.pool[i] = uuid.New()
			}
			for i := range rapid.IntRange(1, 12).Draw(r, "steps") {
				x.commit(i)
				x.entities()
				x.list()
			}
		})
	})
}

// runner takes a store and the model through the same changes.
type runner struct {
	t    *testing.T
	r    *rapid.T
	s    *store.Store
	m    *model
	pool []uuid.UUID
}

func (x *runner) commit(i int) {
	c := drawChange(x.r, x.m, x.pool, i)
	ok := x.m.commit(c)
	err := x.s.Commit(x.t.Context(), c)
	if ok != (err == nil) || err != nil && !errors.Is(err, occi.Conflict) {
		x.r.Fatalf("Commit = %v, the model says %v", err, ok)
	}
}

func (x *runner) entities() {
	for _, id := range x.pool {
		got, err := x.s.EntityAny(x.t.Context(), id)
		want := x.m.get(id)
		if want == nil && errors.Is(err, occi.NotFound) {
			continue
		}
		if diff := gocmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" || err != nil {
			x.r.Fatalf("%v -want +got:\n%s", err, diff)
		}
	}
}

// list asks both for entities of the run.
func (x *runner) list() {
	q := &occi.Query{IDs: x.pool, Kinds: rapid.SliceOfN(rapid.SampledFrom([]string{computeKind, nicKind}), 0, 2).Draw(x.r, "kinds")}
	q.Mixins = rapid.SliceOfN(rapid.SampledFrom([]string{"m#1", "m#2"}), 0, 1).Draw(x.r, "with")
	if rapid.Bool().Draw(x.r, "cond") {
		q.Conds = []occi.Cond{x.cond("x.n")}
		if rapid.Bool().Draw(x.r, "or") {
			q.Conds[0].Or = []occi.Cond{x.cond("x.m"), {Name: occi.AttrID, Op: occi.Eq, Value: occi.Str(x.pool[0].String())}}
		}
	}
	if rapid.Bool().Draw(x.r, "when") {
		when := x.cond(rapid.SampledFrom([]string{occi.Created, occi.Updated}).Draw(x.r, "moment"))
		when.Value = occi.Int(start.Add(time.Duration(when.Value.Num) * time.Second).UnixMicro())
		q.Conds = append(q.Conds, when)
	}
	moment := func(name string) time.Time {
		return rapid.SampledFrom([]time.Time{{}, start, start.Add(time.Second), start.Add(3 * time.Second)}).Draw(x.r, name)
	}
	q.Since, q.Until = moment("since"), moment("until")
	if rapid.Bool().Draw(x.r, "categories") {
		some := func(of ...string) []string { return rapid.SliceOfN(rapid.SampledFrom(of), 0, 2).Draw(x.r, "category") }
		q.Categories = []occi.Either{{Kinds: some(computeKind, nicKind), Mixins: some("m#1", "m#2"), NoMixins: some("m#1", "m#2")}}
	}
	if rapid.Bool().Draw(x.r, "sort") {
		q.Sort = []occi.Order{{Name: "x.n", Desc: rapid.Bool().Draw(x.r, "desc")}}
	}
	q.Offset, q.Limit = rapid.IntRange(0, 4).Draw(x.r, "offset"), rapid.IntRange(0, 3).Draw(x.r, "limit")
	got, err := x.s.List(x.t.Context(), q)
	if err != nil {
		x.r.Fatal(err)
	}
	var all []*occi.Entity
	for _, e := range x.m.inOrder() {
		all = append(all, x.m.get(e.ID))
	}
	want := q.Select(all)
	if diff := gocmp.Diff(want, got, cmpopts.EquateEmpty(), cmpopts.IgnoreFields(occi.Page{}, "Count")); diff != "" {
		x.r.Fatalf("%+v: -want +got:\n%s", q, diff)
	}
}

func (x *runner) cond(name string) occi.Cond {
	op := rapid.SampledFrom([]occi.Op{occi.Eq, occi.Ne, occi.Lt, occi.Le, occi.Gt, occi.Ge}).Draw(x.r, "op")
	return occi.Cond{Name: name, Op: op, Value: occi.Int(rapid.Int64Range(-2, 2).Draw(x.r, "value"))}
}
