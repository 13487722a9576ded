package render_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/occid/occid/occi"
	"github.com/occid/occid/render"
	"github.com/occid/occid/spec"
)

// descriptorMedia are the formats that show an entity as its descriptor.
var descriptorMedia = []string{mediaText, mediaJSON, mediaXML, mediaYAML, mediaAtom}

// TestFirstDraft writes what the example of the first draft describes as the
// example does.
func TestFirstDraft(t *testing.T) {
	t.Parallel()
	m := builtin(t)
	e := entity(1, "compute", "occi.compute.cores", occi.Int(8), "occi.compute.speed", occi.Float(3), "occi.compute.memory", occi.Float(16))
	for media, want := range map[string]string{
		mediaText: "type compute\ncores 8\ncpu 3 Ghz\nmemory 16 Gb\n",
		mediaJSON: `{ "type": "compute", "cores": 8, "cpu": "3 Ghz", "memory": "16 Gb",`,
		mediaXML:  `<occi xmlns="http://purl.org/occi"> <type>compute</type> <cores>8</cores> <cpu>3 Ghz</cpu> <memory>16 Gb</memory>`,
		mediaYAML: "type: compute\ncores: 8\ncpu: 3 Ghz\nmemory: 16 Gb\n",
	} {
		got, err := render.Named(media).Entity(nil, &render.View{Model: m}, e)
		if err != nil {
			t.Fatal(err)
		}
		words := func(s string) string { return strings.Join(strings.Fields(s), " ") }
		if !strings.Contains(words(string(got)), words(want)) {
			t.Errorf("%s: %s\ndoes not hold\n%s", media, got, want)
		}
	}
}

// TestTextsComeBack sends texts through every descriptor that some syntax has
// another meaning for.
func TestTextsComeBack(t *testing.T) {
	t.Parallel()
	m := builtin(t)
	texts := []string{"true", "False", "no", "Y", "null", "~", "0", "1.10", "0x10", "0o7", "1_000", "1e3", ".5", ".inf", "-", "- a", "? a", "a: b", "a:", "a #b",
		"#a", "&a", "*a", "!a", "|", ">", "@a", "`a`", "%a", "[a]", "{a}", "'a'", `"a"`, `a "b"`, "2026-01-02", "2026-01-02T03:04:05Z", "12:30:45", "12 Gb", "1 e",
		" a", "a ", "\ta", "a\tb", "a\n", "\n", "a\nb", "a\r\nb", "<<", "=", "<a>", "]]>", "&amp;", "&#10;", "<!-- a -->", ":a", "key:value", "a\\nb", "\u00a0a\u00a0",
		"\u2028", "\u2029", "\u0085", "\ufeff", "😀", "nan", "inf", strings.Repeat("long ", 10000)}
	for _, media := range descriptorMedia {
		for _, content := range []string{"xml", "json", "text"} {
			f := render.Named(media)
			for _, want := range texts {
				e := entity(1, "compute")
				e.Title = want
				body, err := f.Entity(nil, &render.View{Model: m, Content: content}, e)
				if err != nil {
					t.Fatal(err)
				}
				d, err := f.Decode(m, body)
				if err != nil {
					t.Fatalf("%s: %.80q: %v\n%.400s", media, want, err, body)
				}
				if a := d.Attr(occi.AttrTitle); a == nil || a.Value.Text0() != want || a.Value.Type != occi.String {
					t.Errorf("%s: %.80q comes back as %+v\n%.400s", media, want, a, body)
				}
			}
		}
	}
}

// TestListsComeBack sends values that are lists and objects through every
// descriptor.
func TestListsComeBack(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "own.yaml"), []byte(`mixins:
  - id: http://example.com/occi#tagged
    title: Tagged
    applies: [http://schemas.ogf.org/occi/infrastructure#compute]
    attributes:
      - {name: com.example.tags, short: tags, type: array, description: Tags}
      - {name: com.example.map, type: object, description: Anything}
      - {name: com.example.on, short: "on", type: boolean, description: A switch}
`), 0o600); err != nil {
		t.Fatal(err)
	}
	m, err := spec.Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	e := entity(1, "compute", "occi.compute.cores", occi.Int(1), "occi.compute.memory", occi.Float(1),
		"com.example.tags", occi.Value{Type: occi.Array, Text: `["a",1,true,null,{"b":[]}]`},
		"com.example.map", occi.Value{Type: occi.Object, Text: `{"a":{"b":" c\n"},"d":1.5}`},
		"com.example.on", occi.Bool(false))
	e.Mixins = []string{"http://example.com/occi#tagged"}
	for _, media := range descriptorMedia {
		f := render.Named(media)
		body, err := f.Entity(nil, &render.View{Model: m}, e)
		if err != nil {
			t.Fatal(err)
		}
		d, err := f.Decode(m, body)
		if err != nil {
			t.Fatalf("%v\n%s", err, body)
		}
		got, err := m.Update(e, d, true)
		if err != nil {
			t.Fatalf("%v\n%s", err, body)
		}
		if diff := gocmp.Diff(e, got); diff != "" {
			t.Errorf("%s: %s\n%s", media, diff, body)
		}
	}
}

// TestNullRemoves asks for an attribute to be removed in each spelling.
func TestNullRemoves(t *testing.T) {
	t.Parallel()
	m := builtin(t)
	for media, body := range map[string]string{
		mediaText: "type compute\nhostname\n", mediaJSON: `{"type": "compute", "hostname": null}`,
		mediaXML: `<occi><type>compute</type><hostname nil="true"/></occi>`, mediaYAML: "type: compute\nhostname:\n",
	} {
		d, err := render.Named(media).Decode(m, []byte(body))
		if err != nil {
			t.Fatal(err)
		}
		if a := d.Attr("occi.compute.hostname"); a == nil || !a.Null {
			t.Errorf("%s: %+v", media, d)
		}
	}
}

// TestKeysWithoutType leaves keys alone that only the model can tell the names
// of.
func TestKeysWithoutType(t *testing.T) {
	t.Parallel()
	m := builtin(t)
	for media, body := range map[string]string{
		mediaText: "state active\nsize 2 Gb\ntitle a", mediaJSON: `{"state": "active", "size": "2 Gb", "title": "a"}`,
		mediaXML: `<occi><state>active</state><size>2 Gb</size><title>a</title></occi>`, mediaYAML: "{state: active, size: 2 Gb, title: a}",
	} {
		d, err := render.Named(media).Decode(m, []byte(body))
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, a := range d.Attributes {
			names = append(names, a.Name)
		}
		if diff := gocmp.Diff([]string{"state", "size", occi.AttrTitle}, names); diff != "" {
			t.Errorf("%s: %s", media, diff)
		}
	}
}

// TestLinksByURI reads links that are given as URIs: a link there is, or what a
// new one leads to.
func TestLinksByURI(t *testing.T) {
	t.Parallel()
	m := builtin(t)
	const id = "7f3c0c3e-62a8-4f0c-8b64-0c0b8a2f6a11"
	d, err := render.Named(mediaJSON).Decode(m, []byte(`{"type": "compute", "links": ["/network/`+id+`", "/storagelink/`+id+`"]}`))
	if err != nil {
		t.Fatal(err)
	}
	want := []occi.DraftLink{{Target: "/network/" + id, TargetKind: infra + "network", Line: 1}, {ID: "/storagelink/" + id, Line: 1}}
	if diff := gocmp.Diff(want, d.Links); diff != "" {
		t.Error(diff)
	}
}
