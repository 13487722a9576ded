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
		a.Attributes = []*occi.Attribute{{Name: "x.y", Type: occi.String, Default: occi.Str("z"), Description: "text"},
			{Name: "x.empty", Type: occi.String, Default: occi.Str("")}, {Name: "x.number", Type: occi.Number, Default: occi.Float(1.5)}}
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
			"what is to be other":  {Redefine: []*occi.Mixin{a, c}},
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
		second := want(first, a, b)
		other := *a
		other.Attributes = []*occi.Attribute{{Name: "x.y", Type: occi.String, Default: occi.Str("other")}}
		if err := commit(occi.Change{Redefine: []*occi.Mixin{&other}, Define: []*occi.Mixin{c}}); err != nil {
			t.Fatal(err)
		}
		if now := want(second, &other, b, c); now <= second || second <= first {
			t.Errorf("the revision goes from %d to %d and %d", first, second, now)
		}
	})
}

// TestAllThatCarryAMixinAreWritten refuses a change that is about the carriers of a
// mixin and leaves one out.
func TestAllThatCarryAMixinAreWritten(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, s *store.Store) {
		a, b := tag("a", "/a/"), tag("b", "/b/")
		x, y, gone := compute("x", 1), compute("y", 1), compute("gone", 1)
		x.Mixins, y.Mixins, gone.Mixins, gone.Deleted = []string{a.ID()}, []string{b.ID()}, []string{b.ID()}, true
		if err := s.Commit(t.Context(), &occi.Change{At: start, Define: []*occi.Mixin{a, b}, Puts: []*occi.Entity{x, y, gone}}); err != nil {
			t.Fatal(err)
		}
		anew := func(es ...*occi.Entity) error {
			c := occi.Change{At: start, Redefine: []*occi.Mixin{a}, Carriers: []string{a.ID(), b.ID()}}
			for _, e := range es {
				c.Puts = append(c.Puts, e.Clone())
			}
			return s.Commit(t.Context(), &c)
		}
		wantClass(t, "one is left out", anew(x), occi.Conflict)
		wantClass(t, "the other is left out", anew(y), occi.Conflict)
		if err := anew(x, y); err != nil {
			t.Error(err)
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
