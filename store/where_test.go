package store_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"
	"pgregory.net/rapid"

	"github.com/occid/occid/occi"
	"github.com/occid/occid/store"
)

const (
	userKind = occi.UserKind
	projectA = "aaaaaaaa-0000-4000-8000-000000000001"
	projectB = "bbbbbbbb-0000-4000-8000-000000000002"
)

// whereNames are what conditions name, so that some hold.
var (
	whereTexts = []string{"", "a", "ab", "abc", "\xff", "é", "zz", "true"}
	whereAttrs = []string{"x.number", "x.text", "x.flag", occi.AttrTitle, occi.AttrTarget}
)

// population is entities of which every condition holds of some, most of the time.
func population() []*occi.Entity {
	var all []*occi.Entity
	var last *occi.Entity
	for i := range 40 {
		x := compute(fmt.Sprintf("%.3s", "abczz"[i%4:]), int64(i))
		x.Attributes = nil
		if i%3 == 0 {
			x.Kind = networkKind
		}
		x.Project = []string{projectA, projectB, ""}[i%3]
		x.Host = []string{"", "one", "two"}[i%3]
		if i%5 == 0 {
			x.Mixins = append(x.Mixins, occi.SharedMixin)
		}
		if i%4 == 0 {
			x.Mixins = append(x.Mixins, "http://example.com#tag")
		}
		switch i % 4 {
		case 0:
			x.Attributes.Set("x.number", occi.Int(int64(i-10)))
		case 1:
			x.Attributes.Set("x.number", occi.Float(float64(i)/4))
			x.Attributes.Set("x.flag", occi.Bool(i%8 == 1))
		}
		if i%2 == 0 {
			x.Attributes.Set("x.text", occi.Str(whereTexts[i/2%len(whereTexts)]))
		}
		all = append(all, x)
		if last != nil && i%6 == 0 {
			l := link(last, x)
			l.Project = last.Project
			all = append(all, l)
		}
		last = x
	}
	for i, p := range []string{projectA, projectB} {
		project := &occi.Entity{ID: uuid.MustParse(p), Kind: occi.ProjectKind, Project: p}
		user := &occi.Entity{ID: uuid.New(), Kind: userKind, Project: fmt.Sprint(i)}
		member := link(user, project)
		member.Kind, member.Target.Kind = occi.MembershipKind, occi.ProjectKind
		all = append(all, project, user, member, &occi.Entity{ID: uuid.New(), Kind: userKind})
	}
	return all
}

// wheres draws a condition.
func wheres(all []*occi.Entity, depth int) *rapid.Generator[*occi.Where] {
	some := func(names ...string) *rapid.Generator[[]string] {
		return rapid.SliceOfN(rapid.SampledFrom(names), 0, 3)
	}
	return rapid.Custom(func(t *rapid.T) *occi.Where {
		most := 9
		if depth > 0 {
			most = 12
		}
		switch rapid.IntRange(0, most).Draw(t, "op") {
		case 0:
			return occi.WhereNames(occi.WhereKind, some(computeKind, networkKind, nicKind, userKind).Draw(t, "kinds")...)
		case 1:
			return occi.WhereNames(occi.WhereProject, some(projectA, projectB, "").Draw(t, "projects")...)
		case 2:
			return occi.WhereSharedWithAll()
		case 3:
			return occi.WhereNames(occi.WhereHost, some("one", "two", "", "three").Draw(t, "hosts")...)
		case 4:
			return occi.WhereIs(rapid.SampledFrom(all).Draw(t, "entity").ID)
		case 5:
			return occi.WhereNames(occi.WhereMixin, some(occi.SharedMixin, "http://example.com#tag").Draw(t, "mixins")...)
		case 6:
			return occi.WhereAttribute(occi.WhereHas, occi.Cond{Name: rapid.SampledFrom(whereAttrs).Draw(t, "name")})
		case 7:
			return occi.WhereAttribute(occi.WhereCond, whereCond(all).Draw(t, "cond"))
		case 8:
			return occi.WhereAttribute(occi.WherePrefix, occi.Cond{Name: rapid.SampledFrom(whereAttrs).Draw(t, "name"),
				Value: occi.Str(rapid.SampledFrom(whereTexts).Filter(func(s string) bool { return s != "\xff" }).Draw(t, "prefix"))})
		case 9:
			return occi.WhereNames(occi.WhereBelongs, some(projectA, projectB, "none").Draw(t, "of")...)
		case 10:
			return occi.Not(wheres(all, depth-1).Draw(t, "not"))
		case 11:
			return occi.And(rapid.SliceOfN(wheres(all, depth-1), 0, 3).Draw(t, "all")...)
		}
		return occi.Or(rapid.SliceOfN(wheres(all, depth-1), 0, 3).Draw(t, "any")...)
	})
}

func whereCond(all []*occi.Entity) *rapid.Generator[occi.Cond] {
	return rapid.Custom(func(t *rapid.T) occi.Cond {
		c := occi.Cond{Name: rapid.SampledFrom(whereAttrs).Draw(t, "name"),
			Op: rapid.SampledFrom([]occi.Op{occi.Eq, occi.Ne, occi.Lt, occi.Le, occi.Gt, occi.Ge}).Draw(t, "op")}
		switch rapid.IntRange(0, 3).Draw(t, "type") {
		case 0:
			c.Value = occi.Int(rapid.Int64Range(-11, 30).Draw(t, "number"))
		case 1:
			c.Value = occi.Bool(rapid.Bool().Draw(t, "flag"))
		case 2:
			c.Value = occi.Str(rapid.SampledFrom(all).Draw(t, "entity").ID.String())
		default:
			c.Value = occi.Str(rapid.SampledFrom(whereTexts).Filter(func(s string) bool { return s != "\xff" }).Draw(t, "text"))
		}
		return c
	})
}

// TestWhereSelectsWhatItHoldsOf: what the database selects by a condition is what the
// condition holds of, whatever it is.
func TestWhereSelectsWhatItHoldsOf(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, s *store.Store) {
		put(t, s, population()...)
		everything := read(t, s)
		rapid.Check(t, func(rt *rapid.T) {
			w := wheres(everything, 3).Draw(rt, "where")
			reach, exactly := w.Within()
			q := occi.Query{Where: w, Kinds: []string{computeKind, networkKind, nicKind, userKind, occi.ProjectKind, occi.MembershipKind}, Offset: 1}
			page, err := s.List(t.Context(), &q)
			if err != nil {
				rt.Fatal(err)
			}
			var got, want []uuid.UUID
			for _, x := range page.Entities {
				got = append(got, x.ID)
				for _, l := range x.Links {
					if !w.Holds(l) {
						rt.Fatalf("%s shows the link %s", w, l.ID)
					}
				}
			}
			for _, x := range everything {
				within := reach == nil || slices.Contains(reach, x.Reach())
				if !w.Holds(x) {
					if exactly && within {
						rt.Fatalf("%s does not hold of what is within %q", w, reach)
					}
					continue
				}
				want = append(want, x.ID)
				if !within {
					rt.Fatalf("%s holds of what is not within %q", w, reach)
				}
			}
			if page.Total != len(want) || page.Count.Members != len(want) || !slices.Equal(got, want[min(1, len(want)):]) {
				rt.Fatalf("%s selects %v of %d, counts %d, want %v", w, got, page.Total, page.Count.Members, want)
			}
		})
	})
}

// read gives all entities with their links, in order.
func read(t *testing.T, s *store.Store) []*occi.Entity {
	t.Helper()
	page, err := s.List(t.Context(), &occi.Query{Kinds: []string{computeKind, networkKind, nicKind, userKind, occi.ProjectKind, occi.MembershipKind}})
	if err != nil {
		t.Fatal(err)
	}
	return page.Entities
}

// TestVisibleTellsOfNothingElse: what is counted changes with what is seen alone.
func TestVisibleTellsOfNothingElse(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, s *store.Store) {
		seen, unseen := of(projectA, "seen"), of(projectA, "unseen")
		net := network("n")
		net.Project = projectA
		l := link(seen, net)
		l.Project = projectA
		put(t, s, seen, unseen, net, l)
		w := occi.And(occi.WhereNames(occi.WhereProject, projectA), occi.Not(occi.WhereAttribute(occi.WhereCond, occi.Cond{Name: occi.AttrTitle, Op: occi.Eq, Value: occi.Str("unseen")})))
		q := &occi.Query{Kinds: []string{computeKind}, Where: w, Reach: []string{projectA, occi.Everyone}}
		count := func() occi.Count {
			t.Helper()
			c, err := s.Visible(t.Context(), q)
			if err != nil {
				t.Fatal(err)
			}
			return c
		}
		before := count()
		if before.Members != 1 {
			t.Fatalf("%d are seen", before.Members)
		}
		again := func(x *occi.Entity) {
			t.Helper()
			have, err := s.Entity(t.Context(), x.ID)
			if err != nil {
				t.Fatal(err)
			}
			next := have.Clone()
			next.Summary += "."
			if err := s.Commit(t.Context(), &occi.Change{Puts: []*occi.Entity{next}, At: time.Now()}); err != nil {
				t.Fatal(err)
			}
		}
		again(unseen)
		if now := count(); now != before {
			t.Errorf("what is not seen changes the count from %+v to %+v", before, now)
		}
		for _, x := range []*occi.Entity{seen, l} {
			last := count()
			again(x)
			if now := count(); now.Revision == last.Revision || now.Members != 1 {
				t.Errorf("what is seen leaves the count at %+v", now)
			}
		}
		if err := s.Commit(t.Context(), &occi.Change{Removes: []occi.Removal{{ID: unseen.ID}}, At: time.Now()}); err != nil {
			t.Fatal(err)
		}
		last := count()
		put(t, s, of(projectA, "second"))
		if now := count(); now.Revision == last.Revision || now.Members != 2 {
			t.Errorf("of %+v what comes makes %+v", last, now)
		}
	})
}

// TestProjectsOfWhatWasShared brings a database up to date whose rows do not say whose
// shared things are.
func TestProjectsOfWhatWasShared(t *testing.T) {
	t.Parallel()
	for _, kind := range databases {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			dsn := freshDSN(t, kind)
			s := open(t, dsn)
			mine, provider, plain := network("mine"), network("provider"), of(projectA, "plain")
			mine.Project = projectA
			mine.Mixins, provider.Mixins = []string{occi.SharedMixin}, []string{occi.SharedMixin}
			put(t, s, mine, provider, plain)
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			execute(t, dsn, downTo(t, 9))
			s = open(t, dsn, store.WithUses(coresAndStorage))
			if got := titles(t, s, occi.Query{Where: occi.WhereNames(occi.WhereProject, projectA)}); got != "mine plain" {
				t.Errorf("of the project are %q", got)
			}
		})
	}
}
