package store_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/google/uuid"

	"github.com/occid/occid/occi"
	"github.com/occid/occid/store"
)

// full is an entity with everything an entity can have.
func full() *occi.Entity {
	e := compute("Ünïcode \"title\"\t<&>\u2028", 4)
	e.Summary = "line one\nline two\r\n"
	e.Mixins = []string{"http://example.org/b#two", "http://example.org/a#one"}
	e.Tasks = []uuid.UUID{uuid.New(), uuid.New()}
	e.Attributes.Set("x.boolean.true", occi.Bool(true))
	e.Attributes.Set("x.boolean.false", occi.Bool(false))
	e.Attributes.Set("x.number", occi.Float(-0.1))
	e.Attributes.Set("x.number.big", occi.Float(1<<53))
	e.Attributes.Set("x.number.small", occi.Float(5e-324))
	e.Attributes.Set("x.integer", occi.Int(-1<<53))
	e.Attributes.Set("x.zero", occi.Int(0))
	e.Attributes.Set("x.empty", occi.Str(""))
	e.Attributes.Set("x.long", occi.Str(strings.Repeat("ä", occi.MaxText/2)))
	e.Attributes.Set("x.array", occi.Value{Type: occi.Array, Text: `[1,"two",{"three":null}]`})
	e.Attributes.Set("x.object", occi.Value{Type: occi.Object, Text: `{"a":{"b":[]}}`})
	return e
}

func TestEntitySurvives(t *testing.T) {
	t.Parallel()
	for _, kind := range databases {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			dsn := freshDSN(t, kind)
			s := open(t, dsn)
			e, target := full(), network("net")
			inner := link(e, target)
			outer := link(e, target)
			outer.Target = occi.Ref{URI: "http://example.org/network/7"}
			put(t, s, e, target, inner, outer)
			want := e.Clone()
			want.Links = []*occi.Entity{inner, outer}
			if want.Seq != 1 || want.Serial != 1 || want.Revision != 1 || !want.Created.Equal(start) || !want.Updated.Equal(start) {
				t.Errorf("the store gave %+v", want)
			}
			if diff := cmp.Diff(want, get(t, s, e.ID), cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			again := open(t, dsn)
			if diff := cmp.Diff(want, get(t, again, e.ID), cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("after a restart: -want +got:\n%s", diff)
			}
			before, err := again.Count(t.Context(), nil)
			if err != nil || before.Revision == 0 {
				t.Errorf("Count after a restart = %+v, %v", before, err)
			}
		})
	}
}

func TestHostileText(t *testing.T) {
	t.Parallel()
	texts := map[string]string{
		"NUL":            "a\x00b",
		"quotes":         `'"; DROP TABLE entities; --`,
		"parameters":     "$1 ? :a @b %s",
		"lone surrogate": "\xed\xa0\x80",
		"invalid UTF-8":  "a\xffb",
		"huge":           strings.Repeat("x", 1<<20),
	}
	onEach(t, func(t *testing.T, s *store.Store) {
		for name, text := range texts {
			e := compute(text, 1)
			e.Owner, e.Host, e.Summary = text, text, text
			e.Attributes.Set("x.text", occi.Str(text))
			e.Mixins = []string{text}
			key := &occi.Key{Who: text, Name: text, Hash: text, Entities: []uuid.UUID{e.ID}}
			task := &occi.Task{ID: uuid.New(), Entity: e.ID, Lane: e.ID, Host: text, Verb: text, State: occi.TaskPending, Error: text, Who: text}
			c := &occi.Change{At: start, Puts: []*occi.Entity{e}, Tasks: []*occi.Task{task}, Key: key}
			if err := s.Commit(t.Context(), c); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			again := get(t, s, e.ID).Clone()
			again.Mixins = []string{text}
			put(t, s, again)
			// JSON puts one U+FFFD for each byte that is not UTF-8.
			want := string([]rune(text))
			if got := get(t, s, e.ID); got.Title != want || got.Attributes.Get("x.text").Text != want || got.Mixins[0] != want {
				t.Errorf("%s: the entity did not survive: %.80q", name, got.Title)
			}
			for what, q := range map[string]*occi.Query{
				"condition": {Conds: []occi.Cond{{Name: "x.text", Op: occi.Eq, Value: occi.Str(text)}}},
				"mixin":     {Mixins: []string{text}},
				"any mixin": {AnyMixins: []string{"http://example.org/none#at-all", text}},
				"word":      {Text: []string{text}},
				"sort":      {Sort: []occi.Order{{Name: text}}, IDs: []uuid.UUID{e.ID}},
			} {
				page, err := s.List(t.Context(), q)
				if err != nil || len(page.Entities) != 1 || page.Entities[0].ID != e.ID {
					t.Errorf("%s by %s: %+v, %v", name, what, page, err)
				}
			}
			if k, err := s.Key(t.Context(), text, text); err != nil || k.Entities[0] != e.ID {
				t.Errorf("%s: key %v, %v", name, k, err)
			}
			claimed, _, err := s.Claim(t.Context(), text, text, 10, start, time.Minute)
			if err != nil || len(claimed) != 1 || claimed[0].Error != want {
				t.Errorf("%s: claimed %v, %v", name, claimed, err)
			}
		}
	})
}

func TestRevisions(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, s *store.Store) {
		a, b, n := compute("a", 1), compute("b", 1), network("n")
		put(t, s, a, b, n)
		l := link(a, n)
		later := start.Add(time.Hour)
		if err := s.Commit(t.Context(), &occi.Change{At: later, Puts: []*occi.Entity{l}}); err != nil {
			t.Fatal(err)
		}
		got := get(t, s, a.ID)
		if got.Revision != 2 || !got.Updated.Equal(later) || len(got.Links) != 1 {
			t.Errorf("the source of a new link is %+v", got)
		}
		if got := get(t, s, n.ID); got.Revision != 1 {
			t.Errorf("the target of a new link is at revision %d, want 1", got.Revision)
		}
		stale := a.Clone()
		wantClass(t, "a change based on a stale revision", s.Commit(t.Context(), &occi.Change{At: later, Puts: []*occi.Entity{stale}}), occi.Conflict)
		both, moved := got.Clone(), l.Clone()
		both.Title, moved.Title = "changed", "changed"
		put(t, s, moved, both)
		if got := get(t, s, a.ID); got.Revision != 3 || both.Revision != 3 || moved.Revision != 2 || got.Links[0].Title != "changed" {
			t.Errorf("put with its source, the link is at %d and the source at %d: want 2 and 3", moved.Revision, got.Revision)
		}
		if err := s.Commit(t.Context(), &occi.Change{At: later, Removes: []occi.Removal{{ID: l.ID}}}); err != nil {
			t.Fatal(err)
		}
		if got := get(t, s, a.ID); got.Revision != 4 || len(got.Links) != 0 {
			t.Errorf("the source of a removed link is at revision %d with %d links, want 4 and none", got.Revision, len(got.Links))
		}
		if got := get(t, s, b.ID); got.Revision != 1 || got.Serial != 2 || n.Serial != 1 {
			t.Errorf("the bystander is at revision %d, serials are %d and %d", got.Revision, got.Serial, n.Serial)
		}
	})
}

func TestSerialsAreNotReused(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, s *store.Store) {
		a := compute("a", 1)
		put(t, s, a)
		if err := s.Commit(t.Context(), &occi.Change{At: start, Removes: []occi.Removal{{ID: a.ID, Revision: 1}}}); err != nil {
			t.Fatal(err)
		}
		b := compute("b", 1)
		put(t, s, b)
		if b.Serial != 2 || b.Seq != 2 {
			t.Errorf("after a removal serial %d and seq %d, want 2", b.Serial, b.Seq)
		}
	})
}

func TestConflictsChangeNothing(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, s *store.Store) {
		a, gone := compute("a", 1), network("gone")
		put(t, s, a, gone)
		deleted := gone.Clone()
		deleted.Deleted = true
		put(t, s, deleted)
		used := network("used")
		put(t, s, used, link(a, used))
		leaving := used.Clone()
		leaving.Deleted = true
		task := &occi.Task{ID: uuid.New(), Entity: a.ID, Lane: a.ID, State: occi.TaskDone}
		key := &occi.Key{Who: "ann", Name: "k"}
		if err := s.Commit(t.Context(), &occi.Change{At: start, Tasks: []*occi.Task{task}, Key: key}); err != nil {
			t.Fatal(err)
		}
		twin := compute("twin", 1)
		twin.ID = a.ID
		unknown := compute("unknown", 1)
		unknown.Revision = 1
		elsewhere := network("never put")
		cases := map[string]occi.Change{
			"put of a new one that exists":        {Puts: []*occi.Entity{twin}},
			"put of one that does not exist":      {Puts: []*occi.Entity{unknown}},
			"remove at another revision":          {Removes: []occi.Removal{{ID: a.ID, Revision: 9}}},
			"remove of one that does not exist":   {Removes: []occi.Removal{{ID: elsewhere.ID, Revision: 1}}},
			"link to what does not exist":         {Puts: []*occi.Entity{link(a, elsewhere)}},
			"link from what does not exist":       {Puts: []*occi.Entity{link(elsewhere, a)}},
			"link to what is deleted":             {Puts: []*occi.Entity{link(a, gone)}},
			"deletion of what a link leads to":    {Puts: []*occi.Entity{leaving}},
			"removal of what a link leads to":     {Removes: []occi.Removal{{ID: used.ID}}},
			"new task that exists":                {Tasks: []*occi.Task{{ID: task.ID, State: occi.TaskPending}}},
			"state of a task that is over":        {Tasks: []*occi.Task{{ID: task.ID, Seq: task.Seq, State: occi.TaskPending}}},
			"state of a task that does not exist": {Tasks: []*occi.Task{{ID: uuid.New(), Seq: 9, State: occi.TaskPending}}},
			"collection that was changed":         {Based: []occi.Based{{Kinds: []string{a.Kind}, Revision: 0}}},
			"key that is taken":                   {Key: &occi.Key{Who: "ann", Name: "k"}},
		}
		before, _ := s.Count(t.Context(), nil)
		for name, c := range cases {
			fresh := compute("fresh", 1)
			c.At = start
			c.Puts = append([]*occi.Entity{fresh}, c.Puts...)
			wantClass(t, name, s.Commit(t.Context(), &c), occi.Conflict)
			if fresh.Revision != 0 {
				t.Errorf("%s: an entity was told revision %d", name, fresh.Revision)
			}
			_, err := s.EntityAny(t.Context(), fresh.ID)
			wantClass(t, name+": what came along", err, occi.NotFound)
		}
		if after, _ := s.Count(t.Context(), nil); after != before {
			t.Errorf("conflicts moved the count from %+v to %+v", before, after)
		}
		twice := compute("twice", 1)
		wantClass(t, "entity put twice", s.Commit(t.Context(), &occi.Change{Puts: []*occi.Entity{twice, twice}}), occi.Invalid)
		none := occi.Change{At: start, Removes: []occi.Removal{{ID: uuid.New()}}, Key: &occi.Key{Who: "bob", Name: "k"}}
		if err := s.Commit(t.Context(), &none); err != nil {
			t.Errorf("removing what is gone, whatever its revision: %v", err)
		}
	})
}

func TestLinked(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, s *store.Store) {
		a, n, m := compute("a", 1), network("n"), network("m")
		gone := network("gone")
		ln, lm, lg := link(a, n), link(a, m), link(a, gone)
		put(t, s, a, n, m, gone)
		put(t, s, ln, lm, lg, link(a, n))
		cut, hidden := lg.Clone(), gone.Clone()
		cut.Deleted, hidden.Deleted = true, true
		put(t, s, cut, hidden)
		want, err := s.Entity(t.Context(), a.ID)
		if err != nil {
			t.Fatal(err)
		}
		got, targets, err := s.Linked(t.Context(), a.ID)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
		if len(targets) != 2 || targets[0].ID != n.ID || targets[1].ID != m.ID {
			t.Errorf("it leads to %+v", targets)
		}
		if got, targets, err := s.Linked(t.Context(), n.ID); err != nil || got.ID != n.ID || len(got.Links)+len(targets) != 0 {
			t.Errorf("a network: %+v, %+v, %v", got, targets, err)
		}
		_, _, err = s.Linked(t.Context(), gone.ID)
		wantClass(t, "a deleted one", err, occi.NotFound)
		_, _, err = s.Linked(t.Context(), uuid.New())
		wantClass(t, "none", err, occi.NotFound)
	})
}

func TestDeletedEntities(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, s *store.Store) {
		a, n := compute("a", 1), network("n")
		l := link(a, n)
		put(t, s, a, n, l)
		hidden, cut := a.Clone(), l.Clone()
		hidden.Deleted, cut.Deleted = true, true
		put(t, s, hidden, cut)
		_, err := s.Entity(t.Context(), a.ID)
		wantClass(t, "Entity", err, occi.NotFound)
		if e, err := s.EntityAny(t.Context(), a.ID); err != nil || !e.Deleted || len(e.Links) != 1 {
			t.Errorf("EntityAny = %+v, %v", e, err)
		}
		for name, q := range map[string]*occi.Query{
			"all": {}, "kind": {Kinds: []string{computeKind}}, "id": {IDs: []uuid.UUID{a.ID}},
			"title": {Conds: []occi.Cond{{Name: occi.AttrTitle, Op: occi.Eq, Value: occi.Str("a")}}}, "word": {Text: []string{"inactive"}},
			"linked": {LinkedTo: n.ID},
		} {
			page, err := s.List(t.Context(), q)
			if err != nil {
				t.Fatal(err)
			}
			want := 0
			if name == "all" {
				want = 1
			}
			if len(page.Entities) != want || page.Total != want {
				t.Errorf("List by %s finds %d, counts %d; want %d", name, len(page.Entities), page.Total, want)
			}
		}
		if in, err := s.Incoming(t.Context(), n.ID); err != nil || len(in) != 1 || !in[0].Deleted {
			t.Errorf("Incoming = %v, %v", in, err)
		}
		back := hidden.Clone()
		back.Deleted = false
		put(t, s, back)
		page, err := s.List(t.Context(), &occi.Query{Kinds: []string{computeKind}, Conds: []occi.Cond{{Name: occi.AttrTitle, Op: occi.Eq, Value: occi.Str("a")}}})
		if err != nil || page.Total != 1 {
			t.Errorf("an entity that is back: %+v, %v", page, err)
		}
		if e, err := s.EntityAny(t.Context(), a.ID); err != nil || len(e.Links) != 0 {
			t.Errorf("an entity that is back has its deleted links: %+v, %v", e, err)
		}
	})
}

func TestIncomingAndHostEntities(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, s *store.Store) {
		a, b, n, m := compute("a", 1), compute("b", 1), network("n"), network("m")
		put(t, s, a, b, n, m)
		l1, l2, l3 := link(a, n), link(b, n), link(b, m)
		put(t, s, l1, l2, l3)
		in, err := s.Incoming(t.Context(), n.ID, m.ID)
		if diff := cmp.Diff(ids([]*occi.Entity{l1, l2, l3}), ids(in)); diff != "" || err != nil {
			t.Errorf("Incoming: %v\n%s", err, diff)
		}
		if in, err := s.Incoming(t.Context()); err != nil || len(in) != 0 {
			t.Errorf("Incoming of nothing = %v, %v", in, err)
		}
		hidden := get(t, s, a.ID).Clone()
		hidden.Deleted = true
		put(t, s, hidden)
		placed, err := s.HostEntities(t.Context(), "h1", 0, 10)
		if diff := cmp.Diff(ids([]*occi.Entity{a, b}), ids(placed)); diff != "" || err != nil || !placed[0].Deleted {
			t.Fatalf("HostEntities: %v\n%s", err, diff)
		}
		if diff := cmp.Diff(ids([]*occi.Entity{l2, l3}), ids(placed[1].Links)); diff != "" || len(placed[0].Links) != 1 {
			t.Errorf("their links: %s", diff)
		}
		for _, x := range []struct {
			after int64
			want  *occi.Entity
		}{{0, a}, {a.Seq, b}} {
			page, err := s.HostEntities(t.Context(), "h1", x.after, 1)
			if diff := cmp.Diff(ids([]*occi.Entity{x.want}), ids(page)); diff != "" || err != nil {
				t.Errorf("after %d: %v\n%s", x.after, err, diff)
			}
		}
		revisions, err := s.HostRevisions(t.Context(), "h1")
		if diff := cmp.Diff(map[uuid.UUID]int64{b.ID: get(t, s, b.ID).Revision}, revisions); diff != "" || err != nil {
			t.Errorf("HostRevisions: %v\n%s", err, diff)
		}
	})
}

// A list may be told the count it would read.
func TestListTakesACountAlreadyRead(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, s *store.Store) {
		for i := range int64(5) {
			if err := s.Commit(t.Context(), &occi.Change{At: start, Puts: []*occi.Entity{compute("c", i+1)}}); err != nil {
				t.Fatal(err)
			}
		}
		q := occi.Query{Kinds: []string{computeKind}, Offset: 3, Limit: 10}
		want, err := s.List(t.Context(), &q)
		if err != nil {
			t.Fatal(err)
		}
		count, err := s.Count(t.Context(), []string{computeKind})
		if err != nil || count.Members != 5 || count != want.Count {
			t.Fatalf("Count = %+v, %v; the page has %+v", count, err, want.Count)
		}
		q.Count = &count
		got, err := s.List(t.Context(), &q)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("-without +with:\n%s", diff)
		}
	})
}

func TestHostMembers(t *testing.T) {
	t.Parallel()
	const mixin, other = "http://example.com/m#one", "http://example.com/m#other"
	onEach(t, func(t *testing.T, s *store.Store) {
		a, b, c, d, n := compute("a", 1), compute("b", 1), compute("c", 1), compute("d", 1), network("n")
		a.Mixins, b.Mixins, c.Mixins, d.Mixins = []string{mixin}, []string{other}, []string{other, mixin}, []string{mixin}
		d.Host, n.Host = "h2", "h1"
		put(t, s, a, b, c, d, n)
		put(t, s, link(a, n))
		for name, x := range map[string]struct {
			of    occi.Either
			after int64
			n     int
			want  []*occi.Entity
		}{
			"a mixin":     {occi.Either{Mixins: []string{mixin}}, 0, 10, []*occi.Entity{a, c}},
			"any mixin":   {occi.Either{Mixins: []string{mixin, other}}, 0, 10, []*occi.Entity{a, b, c}},
			"a kind":      {occi.Either{Kinds: []string{n.Kind}}, 0, 10, []*occi.Entity{n}},
			"either":      {occi.Either{Kinds: []string{n.Kind}, Mixins: []string{mixin}}, 0, 10, []*occi.Entity{a, c, n}},
			"a page":      {occi.Either{Mixins: []string{mixin}}, 0, 1, []*occi.Entity{a}},
			"a next page": {occi.Either{Mixins: []string{mixin}}, a.Seq, 1, []*occi.Entity{c}},
			"nothing":     {occi.Either{}, 0, 10, nil},
		} {
			got, err := s.HostMembers(t.Context(), "h1", x.of, x.after, x.n)
			if diff := cmp.Diff(ids(x.want), ids(got)); diff != "" || err != nil {
				t.Errorf("%s: %v\n%s", name, err, diff)
			}
		}
		hidden := get(t, s, a.ID).Clone()
		hidden.Deleted = true
		put(t, s, hidden)
		if got, err := s.HostMembers(t.Context(), "h1", occi.Either{Mixins: []string{mixin}}, 0, 10); err != nil || len(got) != 1 {
			t.Errorf("with a deleted one: %v, %v", ids(got), err)
		}
	})
}
