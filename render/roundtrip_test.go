package render_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"pgregory.net/rapid"

	"github.com/occid/occid/occi"
	"github.com/occid/occid/render"
)

// TestRoundTrip sends back what was shown: in every format that is read, the
// rendering of an entity applied to what another client left of it is the entity
// again, and every link is known for what it is.
func TestRoundTrip(t *testing.T) {
	t.Parallel()
	m := builtin(t)
	v := &render.View{Model: m, Base: "http://127.0.0.1:8787"}
	for name, media := range spellings {
		f := render.Named(media)
		if f == nil || media == "text/uri-list" || f.Targets {
			continue
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			rapid.Check(t, func(t *rapid.T) {
				e := anyEntity(t, m)
				body, err := f.Entity(nil, v, e)
				if err != nil {
					t.Fatal(err)
				}
				d := comesBack(t, m, f, e, body)
				if links, err := m.LinkDrafts(e, d, true); err != nil || len(links) > 0 {
					t.Fatalf("%d links are new, %v\n%s", len(links), err, body)
				}
			})
		})
	}
}

// comesBack decodes what was shown of an entity, and fails unless that makes of what
// another client left of it the entity again.
func comesBack(t *rapid.T, m *occi.Model, f *render.Format, e *occi.Entity, body []byte) *occi.Draft {
	d, err := f.Decode(m, body)
	if err != nil {
		t.Fatalf("%v\n%s", err, body)
	}
	got, err := m.Update(changed(m, e), d, true)
	if err != nil {
		t.Fatalf("%v\n%s", err, body)
	}
	if diff := gocmp.Diff(e, got); diff != "" {
		t.Fatalf("-shown +read:\n%s\n%s", diff, body)
	}
	return d
}

// changed is the entity without what clients may change.
func changed(m *occi.Model, e *occi.Entity) *occi.Entity {
	c := e.Clone()
	c.Title, c.Summary = "changed", ""
	for _, a := range e.Attributes {
		if def := m.AttributeOf(m.Kind(e.Kind), e.Mixins, a.Name); def.Mutable && !def.Internal && !def.Once {
			c.Attributes.Delete(a.Name)
		}
	}
	return c
}

// anyEntity draws an entity that the model allows.
func anyEntity(t *rapid.T, m *occi.Model) *occi.Entity {
	var kinds []*occi.Kind
	for _, k := range m.Kinds {
		if !k.Abstract && k.ID() != occi.TaskKind && k.ID() != occi.TaskLinkKind {
			kinds = append(kinds, k)
		}
	}
	k := rapid.SampledFrom(kinds).Draw(t, "kind")
	e := entityOf(t, m, k)
	for e.Links = nil; !k.Link && rapid.Bool().Draw(t, "one more link"); {
		l := entityOf(t, m, m.Kind(infra+rapid.SampledFrom([]string{"networkinterface", "storagelink"}).Draw(t, "kind of link")))
		l.Source = occi.Ref{ID: e.ID, Kind: e.Kind}
		e.Links = append(e.Links, l)
	}
	if !k.Link && rapid.Bool().Draw(t, "a task") {
		e.Tasks = []uuid.UUID{anyID(t)}
	}
	return e
}

func anyID(t *rapid.T) uuid.UUID {
	id := uuid.UUID(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "id"))
	id[6], id[8] = id[6]&0x0f|0x40, id[8]&0x3f|0x80
	return id
}

func entityOf(t *rapid.T, m *occi.Model, k *occi.Kind) *occi.Entity {
	e := &occi.Entity{ID: anyID(t), Kind: k.ID(), Title: anyText(t, "title", "")}
	if !k.Link {
		e.Summary = anyText(t, "summary", "")
	}
	defs := slices.Clone(m.KindAttributes(k))
	for _, x := range m.Mixins {
		fits := slices.Contains(x.Applies, k.ID())
		if base := m.ExclusiveBase(x.ID()); base != "" {
			fits = fits && !slices.ContainsFunc(e.Mixins, func(id string) bool { return m.ExclusiveBase(id) == base })
		}
		if fits && rapid.Bool().Draw(t, x.Term) {
			e.Mixins = append(e.Mixins, x.ID())
			defs = append(defs, x.Attributes...)
		}
	}
	for _, a := range defs {
		if strings.HasPrefix(a.Name, "occi.core.") || a.Secret || !e.Attributes.Get(a.Name).IsZero() {
			continue
		}
		mustHave := a.Required || !a.Default.IsZero() || a.Format == "state"
		if mustHave || rapid.Bool().Draw(t, a.Name) {
			e.Attributes.Set(a.Name, anyValue(t, a))
		}
	}
	if k.Link {
		e.Source = occi.Ref{ID: anyID(t), Kind: infra + "compute"}
		e.Target = occi.Ref{ID: anyID(t), Kind: k.TargetKind}
	}
	return e
}

func anyValue(t *rapid.T, a *occi.Attribute) occi.Value {
	least, most := 0.0, 1000.0
	if a.Min != nil {
		least = *a.Min
	}
	if a.Max != nil {
		most = *a.Max
	}
	switch a.Type {
	case occi.Integer:
		return occi.Int(rapid.Int64Range(int64(least), int64(most)).Draw(t, a.Name))
	case occi.Number:
		if rapid.Bool().Draw(t, "whole") {
			return occi.Float(float64(rapid.Int64Range(int64(least)+1, int64(most)).Draw(t, a.Name)))
		}
		return occi.Float(rapid.Float64Range(least, most).Draw(t, a.Name))
	case occi.Boolean:
		return occi.Bool(rapid.Bool().Draw(t, a.Name))
	case occi.Array:
		list, err := json.Marshal(rapid.SliceOfN(rapid.SampledFrom([]string{"a", "b, c", `"; 'd`}), 1, 3).Draw(t, a.Name))
		if err != nil {
			t.Fatal(err)
		}
		return occi.Value{Type: occi.Array, Text: string(list)}
	}
	if len(a.Enum) > 0 {
		return occi.Str(rapid.SampledFrom(a.Enum).Draw(t, a.Name))
	}
	if a.Pattern != "" {
		return occi.Str(rapid.StringMatching(a.Pattern).Draw(t, a.Name))
	}
	samples := map[string][]string{
		"ip": {"198.18.0.1", "2001:db8::1"}, "cidr": {"198.18.0.0/24", "2001:db8::/64"},
		"mac": {"52:54:00:12:34:56"}, "rules": {"tcp 22 198.51.100.0/24; icmp", "udp 53 ::/0\nall"}, "hostname": {"web-1", "web-1.example.com", "my machine"},
	}
	if s := samples[a.Format]; s != nil {
		return occi.Str(rapid.SampledFrom(s).Draw(t, a.Name))
	}
	return occi.Str("x" + anyText(t, a.Name, a.Format))
}

// anyText draws text that an attribute of a format may hold, with a liking for
// what renderings give a meaning to.
func anyText(t *rapid.T, name, format string) string {
	runes := []rune("ab \t\r\n\\\"',;:=<>&#%{}[]-0é中😀\u2028\u00a0")
	if format == "line" {
		runes = slices.DeleteFunc(runes, func(r rune) bool { return r == '\r' || r == '\n' })
	}
	return rapid.StringOfN(rapid.SampledFrom(runes), 0, 20, -1).Draw(t, name)
}
