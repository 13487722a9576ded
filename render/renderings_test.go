package render_test

import (
	"bytes"
	"cmp"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/occid/occid/occi"
	"github.com/occid/occid/render"
	"github.com/occid/occid/spec"
)

var update = flag.Bool("update", false, "rewrite golden files")

// spellings names the files of a case: NAME, or NAME.VARIANT for another
// spelling of the same request in the same format.
var spellings = map[string]string{
	"text-plain": "text/plain",
	"text-occi":  "text/occi",
	"uri-list":   "text/uri-list",
	"occi+json":  "application/occi+json",
	"occi+text":  "application/occi+text",
	"json":       "application/json",
	"xml":        "application/xml",
	"yaml":       "application/yaml",
	"atom":       "application/atom+xml",
	"ovf":        "application/ovf",
}

const (
	casesDir    = "../testdata/renderings"
	goldenDraft = "draft.golden.json"
)

func builtin(t testing.TB) *occi.Model {
	t.Helper()
	m, err := spec.Builtin()
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// TestRenderingsAgree decodes every spelling of every case; all must give the
// draft of the case.
func TestRenderingsAgree(t *testing.T) {
	t.Parallel()
	m := builtin(t)
	dirs, err := os.ReadDir(casesDir)
	if err != nil {
		t.Fatal(err)
	}
	for _, dir := range dirs {
		t.Run(dir.Name(), func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(casesDir, dir.Name())
			files, err := os.ReadDir(path)
			if err != nil {
				t.Fatal(err)
			}
			first := *update
			for _, file := range files {
				if file.Name() == goldenDraft {
					continue
				}
				t.Run(file.Name(), func(t *testing.T) {
					golden(t, filepath.Join(path, goldenDraft), decodeFile(t, m, filepath.Join(path, file.Name())), first)
				})
				first = false
			}
		})
	}
}

func decodeFile(t *testing.T, m *occi.Model, path string) []byte {
	t.Helper()
	name, _, _ := strings.Cut(filepath.Base(path), ".")
	f := render.Named(spellings[name])
	if f == nil {
		t.Fatalf("%s is not named after a format", path)
	}
	body, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	d, err := f.Decode(m, body)
	if err != nil {
		t.Fatal(err)
	}
	out, err := json.MarshalIndent(plain(m, d), "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	return append(out, '\n')
}

// golden compares with a file, or writes it.
func golden(t *testing.T, path string, got []byte, write bool) {
	t.Helper()
	if write {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := gocmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s (-want +got):\n%s", path, diff)
	}
}

// plainDraft is a draft without what formats may differ in: the lines, the order
// of attributes, and the types of values as far as definitions tell them.
type plainDraft struct {
	Kind       string               `json:"kind,omitempty"`
	Mixins     []string             `json:"mixins,omitempty"`
	Action     string               `json:"action,omitempty"`
	Categories []occi.DraftCategory `json:"categories,omitempty"`
	Attributes []plainAttr          `json:"attributes,omitempty"`
	Links      []plainLink          `json:"links,omitempty"`
	Locations  []string             `json:"locations,omitempty"`
	Members    []plainDraft         `json:"members,omitempty"`
}

type plainAttr struct {
	Name  string    `json:"name"`
	Type  occi.Type `json:"type,omitempty"`
	Value string    `json:"value"`
	Null  bool      `json:"null,omitempty"`
}

type plainLink struct {
	Kind       string      `json:"kind,omitempty"`
	Mixins     []string    `json:"mixins,omitempty"`
	ID         string      `json:"id,omitempty"`
	Target     string      `json:"target,omitempty"`
	TargetKind string      `json:"targetKind,omitempty"`
	Attributes []plainAttr `json:"attributes,omitempty"`
}

func plain(m *occi.Model, d *occi.Draft) plainDraft {
	p := plainDraft{Kind: d.Kind, Mixins: d.Mixins, Action: d.Action, Locations: d.Locations, Attributes: plainAttrs(m, d.Attributes)}
	for _, c := range d.Categories {
		c.Line = 0
		p.Categories = append(p.Categories, c)
	}
	for _, l := range d.Links {
		// A path and a urn name the same link.
		id := l.ID
		if u, ok := occi.ParseID(id[strings.LastIndexByte(id, '/')+1:]); ok {
			id = occi.URN(u)
		}
		p.Links = append(p.Links, plainLink{Kind: l.Kind, Mixins: l.Mixins, ID: id, Target: l.Target, TargetKind: l.TargetKind,
			Attributes: plainAttrs(m, l.Attributes)})
	}
	for i := range d.Members {
		p.Members = append(p.Members, plain(m, &d.Members[i]))
	}
	return p
}

func plainAttrs(m *occi.Model, as []occi.DraftAttr) []plainAttr {
	var out []plainAttr
	for _, a := range as {
		p := plainAttr{Name: a.Name, Value: a.Value.String(), Null: a.Null}
		if def := m.Attribute(a.Name); def != nil && !a.Null {
			if v, err := def.Check(a.Value); err == nil {
				p.Type, p.Value = v.Type, v.String()
			}
		}
		out = append(out, p)
	}
	slices.SortFunc(out, func(a, b plainAttr) int { return cmp.Compare(a.Name, b.Name) })
	return out
}

// seeds adds every file of a format's cases to a fuzz target.
func seeds(f *testing.F, media string) {
	f.Helper()
	paths, err := filepath.Glob(filepath.Join(casesDir, "*", "*"))
	if err != nil {
		f.Fatal(err)
	}
	for _, path := range paths {
		name, _, _ := strings.Cut(filepath.Base(path), ".")
		if spellings[name] != media {
			continue
		}
		body, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(body)
		f.Add(bytes.ToUpper(body))
	}
}
