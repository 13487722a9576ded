package occi_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/occid/occid/occi"
)

func TestSelect(t *testing.T) {
	t.Parallel()
	entity := func(title string, attributes ...occi.Attr) *occi.Entity {
		return &occi.Entity{ID: uuid.New(), Kind: infra + "compute", Title: title, Attributes: attributes}
	}
	cores := func(n int64) occi.Attr { return occi.Attr{Name: "occi.compute.cores", Value: occi.Int(n)} }
	host := func(s string) occi.Attr { return occi.Attr{Name: "occi.compute.hostname", Value: occi.Str(s)} }
	a, b, c := entity("a", cores(2)), entity("b", cores(10), host("Web")), entity("c")
	c.Mixins, c.Kind, c.Target = []string{"m#x"}, infra+"storagelink", occi.Ref{ID: a.ID}
	gone := entity("gone")
	gone.Deleted = true
	a.Updated, b.Updated = time.Unix(0, 1000), time.Unix(1, 0)
	cond := func(name string, op occi.Op, v occi.Value, or ...occi.Cond) occi.Query {
		return occi.Query{Conds: []occi.Cond{{Name: name, Op: op, Value: v, Or: or}}}
	}
	for name, x := range map[string]struct {
		q    occi.Query
		want string
	}{
		"all":                          {occi.Query{}, "a b c"},
		"kinds":                        {occi.Query{Kinds: []string{infra + "compute", infra + "network"}}, "a b"},
		"identifiers":                  {occi.Query{IDs: []uuid.UUID{c.ID, a.ID}}, "a c"},
		"mixins":                       {occi.Query{Mixins: []string{"m#x", "m#y"}}, ""},
		"any mixin":                    {occi.Query{AnyMixins: []string{"m#x", "m#y"}}, "c"},
		"either category":              {occi.Query{Categories: []occi.Either{{Kinds: []string{infra + "network"}, Mixins: []string{"m#x"}}}}, "c"},
		"without either mixin":         {occi.Query{Categories: []occi.Either{{NoMixins: []string{"m#x", "m#y"}}, {NoMixins: []string{"m#x"}}}}, "a b"},
		"no category":                  {occi.Query{Categories: []occi.Either{{}}}, ""},
		"since a moment":               {occi.Query{Since: time.Unix(1, 0)}, "b"},
		"until a moment":               {occi.Query{Until: time.Unix(1, 0)}, "a c"},
		"a moment":                     {cond(occi.Updated, occi.Ge, occi.Int(1_000_000)), "b"},
		"before a moment":              {cond(occi.Created, occi.Lt, occi.Int(1_000_000)), "a b c"},
		"a number":                     {cond("occi.compute.cores", occi.Eq, occi.Float(2)), "a"},
		"numbers, not texts":           {cond("occi.compute.cores", occi.Gt, occi.Int(2)), "b"},
		"another number":               {cond("occi.compute.cores", occi.Ne, occi.Int(2)), "b"},
		"at least":                     {cond("occi.compute.cores", occi.Ge, occi.Int(2)), "a b"},
		"at most":                      {cond("occi.compute.cores", occi.Le, occi.Int(2)), "a"},
		"a text is no number":          {cond("occi.compute.cores", occi.Lt, occi.Str("3")), ""},
		"a title":                      {cond(occi.AttrTitle, occi.Lt, occi.Str("b")), "a"},
		"an identifier":                {cond(occi.AttrID, occi.Eq, occi.Str("/compute/"+a.ID.String())), "a"},
		"a target":                     {cond(occi.AttrTarget, occi.Eq, occi.Str("http://x/compute/"+a.ID.String())), "c"},
		"no source":                    {cond(occi.AttrSource, occi.Ne, occi.Str("x")), ""},
		"either":                       {cond("occi.compute.hostname", occi.Eq, occi.Str("Web"), occi.Cond{Name: occi.AttrTitle, Op: occi.Eq, Value: occi.Str("c")}), "b c"},
		"an unknown comparison":        {cond("occi.compute.cores", "~", occi.Int(2)), ""},
		"words in any case":            {occi.Query{Text: []string{"wEB", "b"}}, "b"},
		"downwards, missing ones last": {occi.Query{Sort: []occi.Order{{Name: "occi.compute.cores", Desc: true}}}, "b a c"},
		"by either":                    {occi.Query{Sort: []occi.Order{{Name: "occi.compute.hostname", Or: []string{occi.AttrTitle}, Desc: true}}}, "c a b"},
		"by two":                       {occi.Query{Sort: []occi.Order{{Name: "created"}, {Name: occi.AttrTitle, Desc: true}}}, "c b a"},
		"a page":                       {occi.Query{Offset: 1, Limit: 1}, "b"},
		"beyond the last page":         {occi.Query{Offset: 9, Limit: 1}, ""},
	} {
		page := x.q.Select([]*occi.Entity{a, b, gone, c})
		var titles []string
		for _, e := range page.Entities {
			titles = append(titles, e.Title)
		}
		if got := strings.Join(titles, " "); got != x.want {
			t.Errorf("%s: %q, want %q", name, got, x.want)
		}
		if early := page.Earlier; !early.IsZero() != !x.q.Since.IsZero() || !early.IsZero() && early != a.Updated {
			t.Errorf("%s: earlier, at %s", name, early)
		}
		if x.q.Limit == 0 && page.Total != len(titles) || x.q.Limit > 0 && page.Total != 3 {
			t.Errorf("%s: a total of %d", name, page.Total)
		}
	}
}
