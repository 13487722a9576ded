package render_test

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/occid/occid/internal/schematest"
	"github.com/occid/occid/occi"
	"github.com/occid/occid/render"
)

const (
	infra = "http://schemas.ogf.org/occi/infrastructure#"
	crtp  = "http://schemas.ogf.org/occi/infrastructure/compute/template/1.1#"
	ipnic = "http://schemas.ogf.org/occi/infrastructure/networkinterface#ipnetworkinterface"
)

var epoch = time.Date(2026, 1, 2, 3, 4, 5, 600000000, time.UTC)

// entity makes an entity of a kind with attributes, in pairs of name and value.
func entity(n byte, kind string, pairs ...any) *occi.Entity {
	e := &occi.Entity{ID: uuid.UUID{6: 0x40, 8: 0x80, 15: n}, Kind: infra + kind, Serial: int64(n), Seq: int64(n), Revision: 3,
		Created: epoch, Updated: epoch.Add(time.Hour)}
	for i := 0; i < len(pairs); i += 2 {
		e.Attributes.Set(pairs[i].(string), pairs[i+1].(occi.Value))
	}
	return e
}

func machine() *occi.Entity {
	e := entity(1, "compute",
		"occi.compute.architecture", occi.Str("x64"), "occi.compute.cores", occi.Int(2), "occi.compute.memory", occi.Float(2),
		"occi.compute.speed", occi.Float(2.4), "occi.compute.state", occi.Str("active"), "occi.compute.state.message", occi.Str("restarting"),
		"occi.compute.userdata", occi.Str("#!/bin/sh\n\techo \"a\\b\"\n"))
	e.Title, e.Summary = "web, \"the\" first", "Größe 中文 😀 <b>&amp;</b>"
	e.Mixins = []string{crtp + "medium", "http://schemas.ogf.org/occi/infrastructure/compute#user_data"}
	nic := entity(2, "networkinterface", "occi.networkinterface.interface", occi.Str("eth0"), "occi.networkinterface.mac", occi.Str("52:54:00:12:34:56"),
		"occi.networkinterface.address", occi.Str("198.18.0.7"), "occi.networkinterface.state", occi.Str("active"))
	nic.Mixins = []string{ipnic}
	nic.Target = occi.Ref{ID: entity(3, "network").ID, Kind: infra + "network"}
	disk := entity(4, "storagelink", "occi.storagelink.deviceid", occi.Str("vdb"), "occi.storagelink.state.message", occi.Str("attaching"),
		"occi.storagelink.state", occi.Str("inactive"))
	disk.Title = "data"
	disk.Target = occi.Ref{ID: entity(5, "storage").ID, Kind: infra + "storage"}
	elsewhere := entity(6, "storagelink", "occi.storagelink.state", occi.Str("error"))
	elsewhere.Target = occi.Ref{URI: "http://example.com/a \"b\">\n"}
	e.Links = []*occi.Entity{nic, disk, elsewhere}
	for _, l := range e.Links {
		l.Source = occi.Ref{ID: e.ID, Kind: e.Kind}
	}
	e.Tasks = []uuid.UUID{entity(7, "compute").ID}
	return e
}

// odd has a kind and a mixin that the registry lost.
func odd() *occi.Entity {
	e := entity(8, "toaster", "com.example.slots", occi.Int(2), "com.example.list", occi.Value{Type: occi.Array, Text: `[1,"a"]`},
		"com.example.hot", occi.Bool(true))
	e.Mixins = []string{"http://example.com/tags#gone"}
	return e
}

// shown is everything that renderings are made of, by name.
func shown(m *occi.Model) map[string]func(*render.Format, *render.View) ([]byte, error) {
	one := func(e *occi.Entity) func(*render.Format, *render.View) ([]byte, error) {
		return func(f *render.Format, v *render.View) ([]byte, error) { return f.Entity(nil, v, e) }
	}
	list := func(c *render.Collection) func(*render.Format, *render.View) ([]byte, error) {
		c.Page, c.Number, c.Updated = 1, 10, epoch
		c.Total = len(c.Entities)
		return func(f *render.Format, v *render.View) ([]byte, error) { return f.Collection(nil, v, c) }
	}
	created := func(es ...*occi.Entity) func(*render.Format, *render.View) ([]byte, error) {
		return func(f *render.Format, v *render.View) ([]byte, error) { return f.Created(nil, v, es) }
	}
	disk := entity(5, "storage", "occi.storage.size", occi.Float(0.1), "occi.storage.state", occi.Str("offline"))
	idle := entity(9, "compute", "occi.compute.state", occi.Str("inactive"))
	nic := machine().Links[0]
	return map[string]func(*render.Format, *render.View) ([]byte, error){
		"compute":          one(machine()),
		"compute-inactive": one(idle),
		"storage":          one(disk),
		"networkinterface": one(nic),
		"link-elsewhere":   one(machine().Links[2]),
		"unknown-kind":     one(odd()),
		"computes":         list(&render.Collection{Path: "/compute/", Title: "Compute Resource", Kind: m.Kind(infra + "compute"), Entities: []*occi.Entity{machine(), idle}}),
		"links":            list(&render.Collection{Path: "/networkinterface/", Title: "Links", Kind: nic0(m), Entities: []*occi.Entity{nic}}),
		"everything":       list(&render.Collection{Path: "/", Title: "Everything", Entities: []*occi.Entity{disk, nic, idle}}),
		"only-links":       list(&render.Collection{Path: "/", Title: "Everything", Entities: []*occi.Entity{nic}}),
		"empty":            list(&render.Collection{Path: "/compute/", Title: "Compute Resource", Kind: m.Kind(infra + "compute")}),
		"empty-links":      list(&render.Collection{Path: "/networkinterface/", Title: "Links", Kind: nic0(m)}),
		"created":          created(idle),
		"created-two":      created(idle, disk),
		"categories": func(f *render.Format, v *render.View) ([]byte, error) {
			return f.Categories(nil, v, &render.Categories{Kinds: m.Kinds, Mixins: m.Mixins, Actions: m.Actions})
		},
		"no-categories": func(f *render.Format, v *render.View) ([]byte, error) {
			return f.Categories(nil, v, &render.Categories{})
		},
		"states": func(f *render.Format, v *render.View) ([]byte, error) { return f.States(nil, v) },
		"fault": func(f *render.Format, v *render.View) ([]byte, error) {
			return f.Fault(nil, v, &render.Fault{Status: 400, Reason: "Bad Request", Message: "the request is not a valid compute", Problems: []occi.Problem{
				{What: "occi.compute.cores", Text: "0 is less than 1", Line: 2}, {Text: "a\nb \"c\" <d> \x01"}, {What: "occi.storage.size", Text: "is required"}}})
		},
		"fault-quota": func(f *render.Format, v *render.View) ([]byte, error) {
			return f.Fault(nil, v, &render.Fault{Status: 403, Reason: "Forbidden", Message: "this is more than the quota allows", Problems: []occi.Problem{
				{What: "occid.quota.cores", Text: "the limit is 8", Bound: &occi.Bound{Of: "project", Limit: occi.Int(8), Used: occi.Int(6), Requested: occi.Int(4)}},
				{What: "occid.quota.memory", Text: "the limit is 1.5", Bound: &occi.Bound{Of: "user", Limit: occi.Float(1.5), Used: occi.Float(0), Requested: occi.Float(2)}}}})
		},
		"fault-without-words": func(f *render.Format, v *render.View) ([]byte, error) {
			return f.Fault(nil, v, &render.Fault{Status: 500, Reason: "Internal Server Error"})
		},
	}
}

func nic0(m *occi.Model) *occi.Kind { return m.Kind(infra + "networkinterface") }

// targets are what an entity's links lead to.
func targets(e *occi.Entity) map[uuid.UUID]*occi.Entity {
	out := map[uuid.UUID]*occi.Entity{}
	for i, l := range e.Links {
		x := &occi.Entity{ID: l.Target.ID, Kind: l.Target.Kind, Title: "lan & more"}
		if l.Target.Kind == infra+"storage" {
			x.Attributes.Set("occi.storage.size", occi.Float(float64(i)+0.5))
		}
		out[x.ID] = x
	}
	return out
}

// TestEncodings compares every format's rendering of everything with its golden
// file. An error is a rendering too.
func TestEncodings(t *testing.T) {
	t.Parallel()
	m := builtin(t)
	v := &render.View{Model: m, Base: "http://127.0.0.1:8787", Targets: targets(machine())}
	for what, write := range shown(m) {
		for name, media := range spellings {
			f := render.Named(media)
			if f == nil {
				continue
			}
			t.Run(what+"/"+name, func(t *testing.T) {
				t.Parallel()
				got, err := write(f, v)
				if err != nil {
					got = fmt.Appendf(nil, "error, %s: %s\n", occi.ClassOf(err), err)
				}
				golden(t, filepath.Join("../testdata/encodings", what, name), got, *update)
			})
		}
	}
}

// TestEncodingsAppend holds every format to leaving what it appends to alone.
func TestEncodingsAppend(t *testing.T) {
	t.Parallel()
	m := builtin(t)
	v := &render.View{Model: m, Targets: targets(machine())}
	for _, f := range render.Formats() {
		show := func(dst []byte) ([]byte, error) {
			if f.Targets {
				return f.Entity(dst, v, machine())
			}
			return f.Collection(dst, v, &render.Collection{Path: "/", Entities: []*occi.Entity{machine()}, Updated: epoch})
		}
		alone, err := show(nil)
		if err != nil {
			t.Fatal(err)
		}
		behind, err := show([]byte("before"))
		if err != nil || string(behind) != "before"+string(alone) {
			t.Errorf("%s: %q, %v", f.Media, behind, err)
		}
	}
}

// TestEncodingsConform holds what has a schema to it, whatever entries embed.
func TestEncodingsConform(t *testing.T) {
	t.Parallel()
	m := builtin(t)
	var judge schematest.Judge
	for what, write := range shown(m) {
		for _, f := range render.Formats() {
			for _, content := range []string{"xml", "json", "text"} {
				got, err := write(f, &render.View{Model: m, Base: "http://127.0.0.1:8787", Content: content})
				if err != nil {
					continue // the golden file has it
				}
				if err := judge.Add(what, f.Media, got); err != nil {
					t.Error(err)
				}
			}
		}
	}
	if err := judge.Finish(); err != nil {
		t.Error(err)
	}
}

// TestHeaderFields parts text/occi into fields that a header can carry.
func TestHeaderFields(t *testing.T) {
	t.Parallel()
	m := builtin(t)
	v := &render.View{Model: m}
	f := render.Named("text/occi")
	block, err := f.Entity(nil, v, machine())
	if err != nil {
		t.Fatal(err)
	}
	h := map[string][]string{}
	for _, field := range render.Fields(block) {
		if strings.ContainsAny(field.Value, "\r\n\x00") || field.Name == "" || len(h[field.Name]) > 0 {
			t.Errorf("%q: %q", field.Name, field.Value)
		}
		canonical := strings.ReplaceAll(field.Name, "OCCI", "Occi")
		h[canonical] = append(h[canonical], field.Value)
	}
	back, err := f.Decode(m, render.Header(h))
	if err != nil {
		t.Fatal(err)
	}
	if back.Text(occi.AttrTitle) != machine().Title || len(back.Links) != 4 || len(back.Mixins) != 2 {
		t.Errorf("%+v", back)
	}
}

// TestHeaderTooLarge refuses what header fields cannot carry.
func TestHeaderTooLarge(t *testing.T) {
	t.Parallel()
	m := builtin(t)
	v := &render.View{Model: m, Base: "http://127.0.0.1:8787"}
	es := make([]*occi.Entity, 1000)
	for i := range es {
		es[i] = machine()
	}
	_, err := render.Named("text/occi").Collection(nil, v, &render.Collection{Path: "/compute/", Entities: es})
	if occi.ClassOf(err) != occi.Unacceptable {
		t.Errorf("got %v", err)
	}
	if out, err := render.Named("text/plain").Collection(nil, v, &render.Collection{Path: "/compute/", Entities: es}); err != nil || strings.Count(string(out), "\n") != 1000 {
		t.Errorf("%d bytes, %v", len(out), err)
	}
}
