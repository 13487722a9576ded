package store_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/google/uuid"

	"github.com/occid/occid/occi"
	"github.com/occid/occid/store"
)

// shelf is what the cases of TestList select from, by title.
func shelf(t *testing.T, s *store.Store) map[string]*occi.Entity {
	t.Helper()
	all := map[string]*occi.Entity{}
	add := func(e *occi.Entity) *occi.Entity {
		all[e.Title] = e
		return e
	}
	a, b, c := add(compute("alpha", 1)), add(compute("Beta", 2)), add(compute("gamma", 10))
	a.Mixins, b.Mixins = []string{"m#one", "m#two"}, []string{"m#one"}
	b.Summary = "The Größe of things, 100%_"
	b.Attributes.Set("x.flag", occi.Bool(true))
	c.Attributes.Set("x.flag", occi.Bool(false))
	c.Attributes.Set("x.balance", occi.Float(-2.5))
	a.Attributes.Set("x.balance", occi.Float(-1))
	n, m := add(network("net")), add(network("mesh"))
	n.Attributes.Set("occi.compute.cores", occi.Str("2")) // a text that looks like a number
	l := add(link(a, n))
	l.Title = "link"
	all["link"] = l
	put(t, s, a, b, c, n, m, l)
	return all
}

func TestList(t *testing.T) {
	t.Parallel()
	cond := func(name string, op occi.Op, v occi.Value) occi.Query {
		return occi.Query{Conds: []occi.Cond{{Name: name, Op: op, Value: v}}}
	}
	order := func(q occi.Query, name string, desc bool) occi.Query {
		q.Sort = append(q.Sort, occi.Order{Name: name, Desc: desc})
		return q
	}
	page := func(q occi.Query, offset, limit int) occi.Query {
		q.Offset, q.Limit = offset, limit
		return q
	}
	cores := "occi.compute.cores"
	long := occi.Str(strings.Repeat("a", 300))
	// want lists titles; total counts them unless a number follows.
	cases := map[string]struct {
		q     func(all map[string]*occi.Entity) occi.Query
		want  string
		total int
	}{
		"all":                   {q: fixed(occi.Query{}), want: "alpha Beta gamma net mesh link", total: 6},
		"kind":                  {q: fixed(occi.Query{Kinds: []string{networkKind}}), want: "net mesh", total: 2},
		"kinds":                 {q: fixed(occi.Query{Kinds: []string{networkKind, nicKind, networkKind}}), want: "net mesh link", total: 3},
		"unknown kind":          {q: fixed(occi.Query{Kinds: []string{"k#none"}})},
		"first page":            {q: fixed(page(occi.Query{}, 0, 2)), want: "alpha Beta", total: 6},
		"middle page":           {q: fixed(page(occi.Query{}, 2, 3)), want: "gamma net mesh", total: 6},
		"page from the end":     {q: fixed(page(occi.Query{}, 4, 1)), want: "mesh", total: 6},
		"last page":             {q: fixed(page(occi.Query{}, 4, 4)), want: "mesh link", total: 6},
		"past the end":          {q: fixed(page(occi.Query{}, 7, 4)), total: 6},
		"filtered, second page": {q: fixed(page(cond(cores, occi.Ge, occi.Int(1)), 1, 1)), want: "Beta", total: 3},
		"filtered past the end": {q: fixed(page(cond(cores, occi.Ge, occi.Int(1)), 9, 1)), total: 3},
		"filtered, no limit":    {q: fixed(page(cond(cores, occi.Ge, occi.Int(1)), 1, 0)), want: "Beta gamma", total: 3},
		"number =":              {q: fixed(cond(cores, occi.Eq, occi.Int(2))), want: "Beta", total: 1},
		"number as a float":     {q: fixed(cond(cores, occi.Eq, occi.Float(2))), want: "Beta", total: 1},
		"number !=":             {q: fixed(cond(cores, occi.Ne, occi.Int(2))), want: "alpha gamma", total: 2},
		"number <":              {q: fixed(cond(cores, occi.Lt, occi.Int(10))), want: "alpha Beta", total: 2},
		"number <=":             {q: fixed(cond(cores, occi.Le, occi.Int(10))), want: "alpha Beta gamma", total: 3},
		"number >":              {q: fixed(cond(cores, occi.Gt, occi.Int(2))), want: "gamma", total: 1},
		"number >=":             {q: fixed(cond(cores, occi.Ge, occi.Int(2))), want: "Beta gamma", total: 2},
		"negative number":       {q: fixed(cond("x.balance", occi.Lt, occi.Float(-1))), want: "gamma", total: 1},
		"text is no number":     {q: fixed(cond(cores, occi.Eq, occi.Str("2"))), want: "net", total: 1},
		"text !=":               {q: fixed(cond(cores, occi.Ne, occi.Str("x"))), want: "net", total: 1},
		"boolean":               {q: fixed(cond("x.flag", occi.Eq, occi.Bool(false))), want: "gamma", total: 1},
		"boolean as text":       {q: fixed(cond("x.flag", occi.Eq, occi.Str("true"))), want: "Beta", total: 1},
		"no such attribute":     {q: fixed(cond("x.none", occi.Ne, occi.Str("x")))},
		"long text":             {q: fixed(cond(occi.AttrTitle, occi.Eq, long))},
		"long text >":           {q: fixed(cond(occi.AttrTitle, occi.Gt, long)), want: "alpha gamma net mesh link", total: 5},
		"title":                 {q: fixed(cond(occi.AttrTitle, occi.Eq, occi.Str("Beta"))), want: "Beta", total: 1},
		"title <":               {q: fixed(cond(occi.AttrTitle, occi.Lt, occi.Str("a"))), want: "Beta", total: 1},
		"summary":               {q: fixed(cond(occi.AttrSummary, occi.Gt, occi.Str("The"))), want: "Beta", total: 1},
		"mixin":                 {q: fixed(occi.Query{Mixins: []string{"m#one"}}), want: "alpha Beta", total: 2},
		"each mixin":            {q: fixed(occi.Query{Mixins: []string{"m#one", "m#two"}}), want: "alpha", total: 1},
		"mixin is no attribute": {q: fixed(cond("m#one", occi.Ne, occi.Str("")))},
		"word":                  {q: fixed(occi.Query{Text: []string{"GRÖSSE"}})},
		"word in any case":      {q: fixed(occi.Query{Text: []string{"GRÖßE"}}), want: "Beta", total: 1},
		"word in an attribute":  {q: fixed(occi.Query{Text: []string{"X64"}, Kinds: []string{computeKind}}), want: "alpha Beta gamma", total: 3},
		"each word":             {q: fixed(occi.Query{Text: []string{"x64", "gam"}}), want: "gamma", total: 1},
		"word with wildcards":   {q: fixed(occi.Query{Text: []string{"%_"}}), want: "Beta", total: 1},
		"sort by number":        {q: fixed(order(occi.Query{Kinds: []string{computeKind}}, cores, true)), want: "gamma Beta alpha", total: 3},
		"sort by title":         {q: fixed(order(occi.Query{Kinds: []string{computeKind}}, occi.AttrTitle, false)), want: "Beta alpha gamma", total: 3},
		"without comes last":    {q: fixed(order(occi.Query{Kinds: []string{computeKind}}, "x.balance", false)), want: "gamma alpha Beta", total: 3},
		"last, descending too":  {q: fixed(order(occi.Query{Kinds: []string{computeKind}}, "x.balance", true)), want: "alpha gamma Beta", total: 3},
		"sort by two": {q: fixed(order(order(occi.Query{Kinds: []string{computeKind}}, "occi.compute.state", false), cores, true)),
			want: "gamma Beta alpha", total: 3},
		"sort by either": {q: fixed(occi.Query{Sort: []occi.Order{{Name: "x.balance", Or: []string{cores, "x.none"}, Desc: true}}}),
			want: "net Beta alpha gamma mesh link", total: 6},
		"sort by creation": {q: fixed(order(order(occi.Query{}, "created", true), "updated", true)), want: "alpha Beta gamma net mesh link", total: 6},
		"sorted page":      {q: fixed(page(order(occi.Query{Kinds: []string{computeKind}}, cores, true), 1, 1)), want: "Beta", total: 3},
		"linked to a target": {q: func(all map[string]*occi.Entity) occi.Query {
			return occi.Query{Kinds: []string{computeKind}, LinkedTo: all["net"].ID}
		}, want: "alpha", total: 1},
		"linked to a source": {q: func(all map[string]*occi.Entity) occi.Query { return occi.Query{LinkedTo: all["alpha"].ID} }, want: "net", total: 1},
		"identifiers": {q: func(all map[string]*occi.Entity) occi.Query {
			return occi.Query{IDs: []uuid.UUID{all["mesh"].ID, uuid.New(), all["alpha"].ID}}
		}, want: "alpha mesh", total: 2},
		"identifier =": {q: func(all map[string]*occi.Entity) occi.Query {
			return cond(occi.AttrID, occi.Eq, occi.Str(occi.URN(all["mesh"].ID)))
		}, want: "mesh", total: 1},
		"identifier !=": {q: func(all map[string]*occi.Entity) occi.Query {
			q := cond(occi.AttrID, occi.Ne, occi.Str(all["mesh"].ID.String()))
			q.Kinds = []string{networkKind}
			return q
		}, want: "net", total: 1},
		"identifier = what is none":  {q: fixed(cond(occi.AttrID, occi.Eq, occi.Str("x")))},
		"identifier != what is none": {q: fixed(page(cond(occi.AttrID, occi.Ne, occi.Str("x")), 0, 1)), want: "alpha", total: 6},
		"source by path": {q: func(all map[string]*occi.Entity) occi.Query {
			return cond(occi.AttrSource, occi.Eq, occi.Str("/compute/"+all["alpha"].ID.String()))
		}, want: "link", total: 1},
		"target by URL": {q: func(all map[string]*occi.Entity) occi.Query {
			return cond(occi.AttrTarget, occi.Eq, occi.Str("http://example.org/network/"+all["net"].ID.String()+"/"))
		}, want: "link", total: 1},
		"target's kind": {q: fixed(cond(occi.AttrTargetKind, occi.Eq, occi.Str(networkKind))), want: "link", total: 1},
	}
	onEach(t, func(t *testing.T, s *store.Store) {
		all := shelf(t, s)
		for name, c := range cases {
			q := c.q(all)
			got, err := s.List(t.Context(), &q)
			if err != nil {
				t.Errorf("%s: %v", name, err)
				continue
			}
			var titles []string
			for _, e := range got.Entities {
				titles = append(titles, e.Title)
			}
			if titles := strings.Join(titles, " "); titles != c.want || got.Total != c.total {
				t.Errorf("%s: %q of %d, want %q of %d", name, titles, got.Total, c.want, c.total)
			}
		}
	})
}

func fixed(q occi.Query) func(map[string]*occi.Entity) occi.Query {
	return func(map[string]*occi.Entity) occi.Query { return q }
}

func TestListGivesWholeEntities(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, s *store.Store) {
		all := shelf(t, s)
		for name, q := range map[string]*occi.Query{
			"plain":    {Kinds: []string{computeKind}},
			"filtered": {Kinds: []string{computeKind}, Text: []string{"x64"}},
		} {
			page, err := s.List(t.Context(), q)
			if err != nil {
				t.Fatal(err)
			}
			for _, got := range page.Entities {
				if diff := cmp.Diff(get(t, s, got.ID), got, cmpopts.EquateEmpty()); diff != "" {
					t.Errorf("%s: Entity and List differ:\n%s", name, diff)
				}
			}
			if links := page.Entities[0].Links; len(links) != 1 || links[0].ID != all["link"].ID {
				t.Errorf("%s: the first has links %v", name, links)
			}
		}
	})
}

func TestListRefuses(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, s *store.Store) {
		many := &occi.Query{}
		for i := range 41 {
			many.Conds = append(many.Conds, occi.Cond{Name: fmt.Sprint("x", i), Op: occi.Eq, Value: occi.Int(1)})
		}
		_, err := s.List(t.Context(), many)
		wantClass(t, "41 conditions", err, occi.Invalid)
		many.Conds = many.Conds[:40]
		if _, err := s.List(t.Context(), many); err != nil {
			t.Errorf("40 conditions: %v", err)
		}
		_, err = s.List(t.Context(), &occi.Query{Conds: []occi.Cond{{Name: "x", Op: "~", Value: occi.Int(1)}}})
		wantClass(t, "unknown comparison", err, occi.Invalid)
	})
}

// TestListIsNeverStale changes what pages in memory show, in every way there is.
func TestListIsNeverStale(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, s *store.Store) {
		a, n := compute("a", 1), network("n")
		put(t, s, a, n)
		computes := &occi.Query{Kinds: []string{computeKind}}
		big := &occi.Query{Kinds: []string{computeKind}, Conds: []occi.Cond{{Name: "occi.compute.cores", Op: occi.Gt, Value: occi.Int(1)}}}
		users := &occi.Query{Kinds: []string{computeKind}, LinkedTo: n.ID}
		used := &occi.Query{Kinds: []string{networkKind}, LinkedTo: a.ID}
		check := func(what string, want ...int) {
			t.Helper()
			for i, q := range []*occi.Query{computes, big, users, used} {
				page, err := s.List(t.Context(), q)
				if err != nil || page.Total != want[i] || len(page.Entities) != want[i] {
					t.Errorf("%s: query %d finds %+v, %v; want %d", what, i, page, err, want[i])
					continue
				}
				linked := uuid.Nil
				if page.LinkedTo != nil {
					linked = page.LinkedTo.ID
				}
				if gone := what == "removed" && q == used; linked != q.LinkedTo && !gone || gone && linked != uuid.Nil {
					t.Errorf("%s: query %d is about %s, found as %s", what, i, q.LinkedTo, linked)
				}
			}
		}
		revisions := func() [2]int64 {
			c, err1 := s.Count(t.Context(), []string{computeKind})
			n, err2 := s.Count(t.Context(), []string{networkKind})
			if err1 != nil || err2 != nil {
				t.Fatal(err1, err2)
			}
			return [2]int64{c.Revision, n.Revision}
		}
		check("at first", 1, 0, 0, 0)
		a.Attributes.Set("occi.compute.cores", occi.Int(2))
		put(t, s, a)
		check("changed", 1, 1, 0, 0)
		before := revisions()
		l := link(a, n)
		put(t, s, l)
		check("linked", 1, 1, 1, 1)
		if after := revisions(); after[0] == before[0] || after[1] == before[1] {
			t.Errorf("a link moved the revisions of its ends' kinds from %v to %v", before, after)
		}
		if err := s.Commit(t.Context(), &occi.Change{At: start, Removes: []occi.Removal{{ID: l.ID}}}); err != nil {
			t.Fatal(err)
		}
		check("unlinked", 1, 1, 0, 0)
		if err := s.Commit(t.Context(), &occi.Change{At: start, Removes: []occi.Removal{{ID: a.ID}}}); err != nil {
			t.Fatal(err)
		}
		check("removed", 0, 0, 0, 0)
	})
}
