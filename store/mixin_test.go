package store_test

import (
	"slices"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/occid/occid/occi"
	"github.com/occid/occid/store"
)

func tag(term, location string) *occi.Mixin {
	return &occi.Mixin{Category: occi.Category{Scheme: "http://example.com/tags#", Term: term, Title: "a " + term}, Location: location,
		Depends: []string{"x#y"}, Applies: []string{computeKind}, User: true, Owner: "ann"}
}

func TestUsersMixinsAreKept(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, s *store.Store) {
		commit := func(c occi.Change) error {
			c.At = start
			return s.Commit(t.Context(), &c)
		}
		want := func(known int64, mixins ...*occi.Mixin) int64 {
			t.Helper()
			got, revision, err := s.Mixins(t.Context(), known)
			if err != nil {
				t.Fatal(err)
			}
			if diff := gocmp.Diff(mixins, got, cmpopts.IgnoreUnexported(occi.Attribute{})); diff != "" {
				t.Error(diff)
			}
			if now := s.MixinsRevision(); now != revision {
				t.Errorf("the revision is %d and told to be %d", revision, now)
			}
			return revision
		}
		b, a, c := tag("b", "/b/"), tag("a", "/a/"), tag("c", "/c/")
		a.Attributes = []*occi.Attribute{{Name: "x.y", Type: occi.String, Default: occi.Str("z"), Description: "text"}}
		want(0)
		if err := commit(occi.Change{Define: []*occi.Mixin{b, a}}); err != nil {
			t.Fatal(err)
		}
		first := want(0, b, a)
		want(first)
		for name, bad := range map[string]occi.Change{
			"an identifier again":  {Define: []*occi.Mixin{c, tag("a", "/other/")}},
			"a location again":     {Define: []*occi.Mixin{c, tag("other", "/a/")}},
			"two at one location":  {Define: []*occi.Mixin{c, tag("d", "/c/")}},
			"what is not there":    {Undefine: []string{c.ID()}},
			"what others need":     {Needs: []string{a.ID(), c.ID()}},
			"one of two not there": {Undefine: []string{a.ID(), c.ID()}},
		} {
			wantClass(t, name, commit(bad), occi.Conflict)
		}
		if now := want(first); now != first {
			t.Error("a conflict changed something")
		}
		if err := commit(occi.Change{Undefine: []string{b.ID()}}); err != nil {
			t.Fatal(err)
		}
		if err := commit(occi.Change{Define: []*occi.Mixin{b}}); err != nil {
			t.Fatal(err)
		}
		if now := want(first, a, b); now <= first {
			t.Errorf("the revision goes from %d to %d", first, now)
		}
	})
}

func TestAMixinGoesOnlyWithAllThatHaveIt(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, s *store.Store) {
		a := tag("a", "/a/")
		x, y, gone := compute("x", 1), compute("y", 1), compute("gone", 1)
		for _, e := range []*occi.Entity{x, y, gone} {
			e.Mixins = []string{a.ID()}
		}
		gone.Deleted = true
		if err := s.Commit(t.Context(), &occi.Change{At: start, Define: []*occi.Mixin{a}, Puts: []*occi.Entity{x, y, gone}}); err != nil {
			t.Fatal(err)
		}
		without := func(es ...*occi.Entity) (out []*occi.Entity) {
			for _, e := range es {
				c := e.Clone()
				c.Mixins = nil
				out = append(out, c)
			}
			return out
		}
		err := s.Commit(t.Context(), &occi.Change{At: start, Undefine: []string{a.ID()}, Puts: without(x)})
		wantClass(t, "a mixin that an entity keeps", err, occi.Conflict)
		if !slices.Contains(get(t, s, x.ID).Mixins, a.ID()) {
			t.Error("a conflict changed an entity")
		}
		if err := s.Commit(t.Context(), &occi.Change{At: start, Undefine: []string{a.ID()}, Puts: without(x, y)}); err != nil {
			t.Error(err)
		}
	})
}
