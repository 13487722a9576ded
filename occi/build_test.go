package occi_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/occid/occid/occi"
	"github.com/occid/occid/spec"
)

const infra = "http://schemas.ogf.org/occi/infrastructure#"

func builtin(t *testing.T) *occi.Model {
	t.Helper()
	m, err := spec.Builtin()
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func draft(kind string, pairs ...any) *occi.Draft {
	d := &occi.Draft{Kind: infra + kind}
	for i := 0; i < len(pairs); i += 2 {
		a := occi.DraftAttr{Name: pairs[i].(string), Line: i/2 + 1}
		switch v := pairs[i+1].(type) {
		case string:
			a.Value = occi.Str(v)
		case int:
			a.Value = occi.Int(int64(v))
		case float64:
			a.Value = occi.Float(v)
		case nil:
			a.Null = true
		}
		d.Attributes = append(d.Attributes, a)
	}
	return d
}

func with(d *occi.Draft, mixins ...string) *occi.Draft {
	d.Mixins = mixins
	return d
}

var crtp = "http://schemas.ogf.org/occi/infrastructure/compute/template/1.1#"

func TestBuild(t *testing.T) {
	t.Parallel()
	m := builtin(t)
	given := "6a1f7a34-3b6f-4a53-9c8d-0f5b3a2d1c00"
	free := uuid.MustParse("11111111-2222-4333-8444-555555555555")
	tests := []struct {
		name  string
		d     *occi.Draft
		class occi.Class // empty for success
		says  []string   // of the error
		want  map[string]string
		id    string
	}{
		{name: "nothing but the kind", d: draft("compute"), want: map[string]string{
			"occi.compute.cores": "1", "occi.compute.memory": "1.0", "occi.compute.state": "inactive"}},
		{name: "quantities", d: draft("compute", "occi.compute.memory", "2048 MiB", "occi.compute.speed", "3000 Mhz", "occi.compute.cores", "8"),
			want: map[string]string{"occi.compute.cores": "8", "occi.compute.memory": "2.0", "occi.compute.speed": "3.0", "occi.compute.state": "inactive"}},
		{name: "descriptor's keys", d: draft("compute", "memory", "2 Gb", "id", given, "state", "stopped"), id: given,
			want: map[string]string{"occi.compute.cores": "1", "occi.compute.memory": "2.0", "occi.compute.state": "inactive"}},
		{name: "template", d: with(draft("compute", "occi.compute.cores", 3), crtp+"large"), want: map[string]string{
			"occi.compute.cores": "4", "occi.compute.memory": "4.0", "occi.compute.ephemeral_storage.size": "40.0", "occi.compute.state": "inactive"}},
		{name: "two templates", d: with(draft("compute"), crtp+"large", crtp+"small"), class: occi.Invalid, says: []string{crtp + "small"}},
		{name: "mixin found by its attribute", d: draft("network", "occi.network.address", "198.18.0.0/24"), want: map[string]string{
			"occi.network.address": "198.18.0.0/24", "occi.network.state": "inactive"}},
		{name: "client's identifier", d: draft("storage", "occi.core.id", "urn:uuid:"+given, "occi.storage.size", 1), id: given, want: map[string]string{
			"occi.storage.size": "1.0", "occi.storage.state": "offline"}},
		{name: "nil identifier", d: draft("storage", "occi.core.id", "00000000-0000-0000-0000-000000000000", "occi.storage.size", 1), id: free.String(),
			want: map[string]string{"occi.storage.size": "1.0", "occi.storage.state": "offline"}},
		{name: "identifier that is none", d: draft("storage", "occi.core.id", "web-1", "occi.storage.size", 1), id: free.String(), want: map[string]string{
			"occi.storage.size": "1.0", "occi.storage.state": "offline"}},
		{name: "state as it will be", d: draft("compute", "occi.compute.state", "stopped"), want: map[string]string{
			"occi.compute.cores": "1", "occi.compute.memory": "1.0", "occi.compute.state": "inactive"}},
		{name: "another state", d: draft("compute", "occi.compute.state", "active"), class: occi.Forbidden, says: []string{"occi.compute.state", "line 1"}},
		{name: "state of an import", d: draft("compute", "occi.core.id", given, "occi.compute.state", "active"), id: given, want: map[string]string{
			"occi.compute.cores": "1", "occi.compute.memory": "1.0", "occi.compute.state": "inactive"}},
		{name: "state of an import that is none", d: draft("compute", "occi.core.id", given, "occi.compute.state", "melted"), class: occi.Invalid, says: []string{"occi.compute.state"}},
		{name: "hostname of two lines", d: draft("compute", "occi.compute.hostname", "web\nroot"), class: occi.Invalid, says: []string{"occi.compute.hostname", "line break"}},
		{name: "attribute without a name", d: draft("compute", "", "x"), class: occi.Invalid, says: []string{"unknown attribute of kind compute"}},
		{name: "required", d: draft("storage"), class: occi.Invalid, says: []string{"occi.storage.size: is required"}},
		{name: "all problems at once", d: draft("compute", "occi.compute.cores", 0, "occi.compute.memory", "lots", "color", "red", "occi.compute.state", "active"),
			class: occi.Invalid, says: []string{"line 1: occi.compute.cores", "line 2: occi.compute.memory", "line 3: color: unknown attribute", "line 4: occi.compute.state"}},
		{name: "unknown kind", d: draft("toaster"), class: occi.Invalid, says: []string{"toaster"}},
		{name: "no kind", d: &occi.Draft{}, class: occi.Invalid, says: []string{"no kind"}},
		{name: "abstract kind", d: &occi.Draft{Kind: occi.ResourceKind}, class: occi.Invalid, says: []string{"no instances"}},
		{name: "unknown mixin", d: with(draft("compute"), "http://x.org/y#z"), class: occi.Invalid, says: []string{"http://x.org/y#z: unknown mixin"}},
		{name: "mixin of another kind", d: with(draft("compute"), infra+"network#ipnetwork"), class: occi.Invalid, says: []string{"mixin"}},
		{name: "link without ends", d: draft("storagelink"), class: occi.Invalid, says: []string{"occi.core.source: is required", "occi.core.target: is required"}},
		{name: "link to the wrong kind", d: draft("storagelink", "occi.core.source", "/compute/"+given, "occi.core.target", "/network/"+given),
			class: occi.Invalid, says: []string{"occi.core.target", "not a storage"}},
		{name: "a source that is no link's", d: draft("compute", "occi.core.source", "/compute/"+given), class: occi.Invalid, says: []string{"links"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			e, err := m.Build(tt.d, free)
			if tt.class != "" {
				if occi.ClassOf(err) != tt.class {
					t.Fatalf("got %v, want %s", err, tt.class)
				}
				for _, s := range tt.says {
					if !strings.Contains(err.Error(), s) {
						t.Errorf("%q does not say %q", err, s)
					}
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			got := map[string]string{}
			for _, a := range e.Attributes {
				got[a.Name] = a.Value.String()
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Error(diff)
			}
			if tt.id != "" && e.ID.String() != tt.id {
				t.Errorf("id is %s, want %s", e.ID, tt.id)
			}
		})
	}
}

func TestUpdate(t *testing.T) {
	t.Parallel()
	m := builtin(t)
	id := uuid.MustParse("11111111-2222-4333-8444-555555555555")
	old, err := m.Build(with(draft("compute", "occi.core.title", "one", "occi.compute.cores", 2, "occi.compute.hostname", "one",
		"occi.compute.userdata", "first"), crtp+"small"), id)
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name    string
		d       *occi.Draft
		replace bool
		class   occi.Class
		says    string
		want    map[string]string // of what changed; "-" is gone
		title   string
	}{
		{name: "partial", d: draft("compute", "occi.compute.cores", 4), want: map[string]string{"occi.compute.cores": "4"}, title: "one"},
		{name: "descriptor's keys", d: draft("compute", "cores", 4, "title", "two"), want: map[string]string{"occi.compute.cores": "4"}, title: "two"},
		{name: "null removes", d: draft("compute", "occi.compute.hostname", nil), want: map[string]string{"occi.compute.hostname": "-"}, title: "one"},
		{name: "replace", d: with(draft("compute", "occi.compute.cores", 4), crtp+"small"), replace: true, title: "",
			want: map[string]string{"occi.compute.cores": "4", "occi.compute.hostname": "-", "occi.compute.userdata": "-"}},
		{name: "template replaced", d: with(draft("compute"), crtp+"mem_large"), title: "one",
			want: map[string]string{"occi.compute.memory": "16.0", "occi.compute.cores": "4", "occi.compute.ephemeral_storage.size": "40.0"}},
		{name: "state repeated", d: draft("compute", "occi.compute.state", "inactive"), title: "one"},
		{name: "state changed", d: draft("compute", "occi.compute.state", "active"), class: occi.Forbidden, says: "occi.compute.state"},
		{name: "set once, repeated", d: draft("compute", "occi.compute.userdata", "first"), title: "one"},
		{name: "set once, changed", d: draft("compute", "occi.compute.userdata", "second"), class: occi.Forbidden, says: "occi.compute.userdata"},
		{name: "fixed", d: draft("compute", "occi.compute.ephemeral_storage.size", 11), class: occi.Forbidden, says: "ephemeral"},
		{name: "another kind", d: draft("network"), class: occi.Forbidden, says: "kind"},
		{name: "another identifier", d: draft("compute", "occi.core.id", "6a1f7a34-3b6f-4a53-9c8d-0f5b3a2d1c00"), class: occi.Forbidden, says: "occi.core.id"},
		{name: "the same identifier", d: draft("compute", "occi.core.id", id.String()), title: "one"},
		{name: "invalid", d: draft("compute", "occi.compute.cores", "many"), class: occi.Invalid, says: "line 1: occi.compute.cores"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			e, err := m.Update(old, tt.d, tt.replace)
			if tt.class != "" {
				if occi.ClassOf(err) != tt.class || !strings.Contains(err.Error(), tt.says) {
					t.Fatalf("got %v, want %s with %q", err, tt.class, tt.says)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			got := map[string]string{}
			for _, a := range old.Attributes {
				got[a.Name] = "-"
			}
			for _, a := range e.Attributes {
				got[a.Name] = a.Value.String()
				if a.Value == old.Attributes.Get(a.Name) {
					delete(got, a.Name)
				}
			}
			if tt.want == nil {
				tt.want = map[string]string{}
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Error(diff)
			}
			if e.Title != tt.title {
				t.Errorf("title %q, want %q", e.Title, tt.title)
			}
		})
	}
}

func TestLinkDrafts(t *testing.T) {
	t.Parallel()
	m := builtin(t)
	src := &occi.Entity{ID: uuid.New(), Kind: infra + "compute"}
	net := uuid.NewString()
	known := &occi.Entity{ID: uuid.New()}
	src.Links = []*occi.Entity{known}
	d := &occi.Draft{Links: []occi.DraftLink{
		{Target: "/network/" + net},
		{Target: "http://127.0.0.1/storage/" + net, Attributes: []occi.DraftAttr{{Name: "occi.storagelink.deviceid", Value: occi.Str("vdb")}}},
		{ID: "/networkinterface/" + known.ID.String(), Target: "/network/" + net},
		{Target: "https://elsewhere.example/1", TargetKind: "https://elsewhere.example/#thing"},
	}}
	got, err := m.LinkDrafts(src, d, false)
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != 3 || got[0].Kind != infra+"networkinterface" || got[1].Kind != infra+"storagelink" || got[2].Kind != occi.LinkKind {
		t.Fatalf("%+v", got)
	}
	if e, err := m.Build(got[1], uuid.New()); err != nil || e.Source.ID != src.ID || e.Target.ID.String() != net {
		t.Errorf("%+v %v", e, err)
	}
	for _, bad := range []occi.DraftLink{{}, {Target: "/compute/" + net, Line: 3}, {Target: "somewhere"}} {
		if _, err := m.LinkDrafts(src, &occi.Draft{Links: []occi.DraftLink{bad}}, false); occi.ClassOf(err) != occi.Invalid {
			t.Errorf("%+v: %v", bad, err)
		}
	}
}

func TestParameters(t *testing.T) {
	t.Parallel()
	m := builtin(t)
	stop := m.ActionOf(m.KindNamed("compute"), nil, "stop")
	got, err := m.Parameters(stop, &occi.Draft{})
	if err != nil || got.Get("method") != occi.Str("graceful") {
		t.Errorf("%v %v", got, err)
	}
	for _, d := range []*occi.Draft{draft("compute", "method", "rudely"), draft("compute", "speed", 1)} {
		if _, err := m.Parameters(stop, d); occi.ClassOf(err) != occi.Invalid {
			t.Errorf("%v", err)
		}
	}
	resize := m.ActionOf(m.KindNamed("storage"), nil, "resize")
	if _, err := m.Parameters(resize, &occi.Draft{}); occi.ClassOf(err) != occi.Invalid || !strings.Contains(err.Error(), "size: is required") {
		t.Errorf("%v", err)
	}
}

// TestQuantity writes quantities and reads them back as they were.
func TestQuantity(t *testing.T) {
	t.Parallel()
	m := builtin(t)
	for _, tt := range []struct {
		name, want string
		v          occi.Value
	}{
		{"occi.compute.memory", "16 Gb", occi.Float(16)},
		{"occi.compute.memory", "0.1 Gb", occi.Float(0.1)},
		{"occi.compute.speed", "3 Ghz", occi.Float(3)},
		{"occi.compute.speed", "2.0000000000000004 Ghz", occi.Float(2.0000000000000004)},
		{"occi.compute.speed", "1.7976931348623155e-10 Ghz", occi.Float(1.7976931348623155e-10)},
		{"occi.compute.cores", "8", occi.Int(8)},
	} {
		a := m.Attribute(tt.name)
		if got := a.Quantity(tt.v); got != tt.want {
			t.Errorf("%q, want %q", got, tt.want)
		}
		if got, err := a.Check(occi.Str(tt.want)); err != nil || got != tt.v {
			t.Errorf("%q is read as %v (%v)", tt.want, got, err)
		}
	}
}
