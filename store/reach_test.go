package store_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/occid/occid/occi"
	"github.com/occid/occid/store"
)

// of makes a compute of a project.
func of(project, title string) *occi.Entity {
	e := compute(title, 1)
	e.Project = project
	return e
}

func titles(t *testing.T, s *store.Store, q occi.Query) string {
	t.Helper()
	page, err := s.List(t.Context(), &q)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range page.Entities {
		names = append(names, e.Title)
	}
	if page.Total != len(names)+q.Offset && q.Limit == 0 {
		t.Errorf("%q are %d in all", names, page.Total)
	}
	return strings.Join(names, " ")
}

func TestReach(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, s *store.Store) {
		own, foreign, none := of("a", "own"), of("b", "foreign"), of("", "none")
		net := network("shared")
		net.Mixins = []string{occi.SharedMixin}
		l1, l2 := link(own, net), link(foreign, net)
		l1.Project, l1.Title, l2.Project, l2.Title = "a", "l1", "b", "l2"
		put(t, s, own, foreign, none, net, l1, l2)
		reach := []string{"a", occi.Everyone}
		for want, q := range map[string]occi.Query{
			"own shared l1": {Reach: reach},
			"own":           {Reach: reach, Kinds: []string{computeKind}},
			"own ":          {Reach: []string{"a"}, Text: []string{"own"}},
			"":              {Reach: reach, Text: []string{"foreign"}},
			" ":             {Reach: reach, IDs: []uuid.UUID{foreign.ID, none.ID}},
			"shared":        {Reach: reach, Offset: 1, Limit: 1},
			"own  ":         {Reach: reach, LinkedTo: net.ID, Kinds: []string{computeKind}},
			"foreign":       {Reach: []string{"b", occi.Everyone}, LinkedTo: net.ID},
		} {
			if got := titles(t, s, q); got != strings.TrimSpace(want) {
				t.Errorf("%+v lists %q, want %q", q, got, want)
			}
		}
		page, err := s.List(t.Context(), &occi.Query{Reach: reach, LinkedTo: foreign.ID})
		if err != nil || page.LinkedTo != nil || page.Total != 0 {
			t.Errorf("%+v, %v is linked to what is another's", page, err)
		}
	})
}

func TestReachIsCounted(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, s *store.Store) {
		x, y, net := of("a", "x"), of("b", "y"), network("n")
		put(t, s, x, y, net)
		count := func(reach ...string) occi.Count {
			t.Helper()
			c, err := s.Count(t.Context(), nil, reach...)
			if err != nil {
				t.Fatal(err)
			}
			return c
		}
		before := count("a", occi.Everyone)
		if before.Members != 1 || count("b").Members != 1 || count("c").Members != 0 || count().Members != 3 {
			t.Errorf("%+v, %+v, %+v, %+v", before, count("b"), count("c"), count())
		}
		y2 := y.Clone()
		y2.Title = "y2"
		put(t, s, y2)
		if now := count("a", occi.Everyone); now != before {
			t.Errorf("what is another's has changed %+v to %+v", before, now)
		}
		shared := y2.Clone()
		shared.Mixins = []string{occi.SharedMixin}
		put(t, s, shared)
		if now := count("a", occi.Everyone); now.Members != 2 || now.Revision <= before.Revision || count("b").Members != 0 {
			t.Errorf("after it is shared %+v, %+v", now, count("b"))
		}
		based := func(revision int64) error {
			return s.Commit(t.Context(), &occi.Change{At: start, Puts: []*occi.Entity{of("a", "z")},
				Based: []occi.Based{{Reach: []string{"a", occi.Everyone}, Revision: revision}}})
		}
		wantClass(t, "based on what was", based(before.Revision), occi.Conflict)
		if err := based(count("a", occi.Everyone).Revision); err != nil {
			t.Error(err)
		}
		if err := s.Commit(t.Context(), &occi.Change{At: start, Removes: []occi.Removal{{ID: shared.ID}}}); err != nil {
			t.Fatal(err)
		}
		if n := count("a", occi.Everyone).Members; n != 2 {
			t.Errorf("%d are left", n)
		}
		task := func(project string) *occi.Task {
			return &occi.Task{ID: uuid.New(), Entity: x.ID, Kind: x.Kind, Lane: uuid.New(), Host: "h", Verb: "v", State: occi.TaskPending, Project: project, Created: start}
		}
		mine := task("a")
		if err := s.Commit(t.Context(), &occi.Change{At: start, Tasks: []*occi.Task{task("b"), mine}}); err != nil {
			t.Fatal(err)
		}
		for _, lanes := range [][]uuid.UUID{nil, {mine.Lane}} {
			if found, err := s.Unfinished(t.Context(), lanes, "a"); err != nil || len(found) != 1 || found[0].ID != mine.ID || found[0].Project != "a" {
				t.Errorf("%+v, %v are unfinished", found, err)
			}
		}
	})
}

func TestSecrets(t *testing.T) {
	t.Parallel()
	user := &occi.Kind{Category: occi.Category{Scheme: "x#", Term: "user"}, Parent: occi.EntityKind, Own: true}
	m, err := occi.NewModel("", []*occi.Kind{{Category: occi.Category{Scheme: occi.CoreScheme, Term: "entity"}}, user}, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, kind := range databases {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			s := open(t, freshDSN(t, kind), store.WithModel(func() *occi.Model { return m }))
			commit := func(e *occi.Entity, name, hash string) error {
				return s.Commit(t.Context(), &occi.Change{At: start, Puts: []*occi.Entity{e},
					Secrets: []occi.Secret{{Entity: e.ID, Owner: e.ID, Name: name, Hash: hash}}})
			}
			ann, bob := &occi.Entity{ID: uuid.New(), Kind: "x#user"}, &occi.Entity{ID: uuid.New(), Kind: "x#user"}
			if err := commit(ann, "ann", "1"); err != nil {
				t.Fatal(err)
			}
			wantClass(t, "another's name", commit(bob, "ann", "2"), occi.Conflict)
			ann = get(t, s, ann.ID).Clone()
			if err := commit(ann, "ann", "3"); err != nil {
				t.Fatal(err)
			}
			got, err := s.Secret(t.Context(), "ann")
			if want := (occi.Secret{Entity: ann.ID, Owner: ann.ID, Name: "ann", Hash: "3"}); err != nil || *got != want {
				t.Errorf("%+v, %v, want %+v", got, err, want)
			}
			if err := s.Commit(t.Context(), &occi.Change{At: start, Removes: []occi.Removal{{ID: ann.ID}}}); err != nil {
				t.Fatal(err)
			}
			_, err = s.Secret(t.Context(), "ann")
			wantClass(t, "of who is gone", err, occi.NotFound)
			if err := commit(bob, "ann", "4"); err != nil {
				t.Error(err)
			}
			if page, err := s.List(t.Context(), &occi.Query{}); err != nil || slices.Contains(ids(page.Entities), bob.ID) {
				t.Errorf("what is the provider's own is listed with the rest: %v", err)
			}
		})
	}
}
