package spec

import (
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/occid/occid/occi"
)

const example = "http://schemas.example.com/occi#"

// want marks the line of a fault in a file under testdata/bad, or names it.
var want = regexp.MustCompile(`# want(?: (\d+))?: (.*)$`)

func TestBadFiles(t *testing.T) {
	files, err := filepath.Glob("testdata/bad/*.yaml")
	if err != nil || len(files) < 15 {
		t.Fatalf("%d files: %v", len(files), err)
	}
	for _, path := range files {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".yaml"), func(t *testing.T) {
			data, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			dir := t.TempDir()
			if err := os.WriteFile(filepath.Join(dir, "bad.yaml"), data, 0o600); err != nil {
				t.Fatal(err)
			}
			m, err := Load(dir)
			if m != nil {
				t.Fatal("a model was made")
			}
			var e *occi.Error
			if !errors.As(err, &e) || e.Class != occi.Invalid {
				t.Fatalf("error %v", err)
			}
			wants := 0
			for i, l := range strings.Split(string(data), "\n") {
				w := want.FindStringSubmatch(l)
				if w == nil {
					continue
				}
				wants++
				line := i + 1
				if w[1] != "" {
					line, _ = strconv.Atoi(w[1])
				}
				if !told(e, line, w[2]) {
					t.Errorf("line %d: want %q, got %v", line, w[2], e)
				}
			}
			if wants == 0 || len(e.Problems) != wants {
				t.Errorf("%d problems instead of %d: %v", len(e.Problems), wants, e)
			}
			for _, p := range e.Problems {
				if !strings.HasPrefix(p.What, "bad.yaml") || p.Line < 1 {
					t.Errorf("%v does not name the file and line", p)
				}
			}
		})
	}
}

func told(e *occi.Error, line int, text string) bool {
	for _, p := range e.Problems {
		if p.Line == line && strings.Contains(p.What+": "+p.Text, text) {
			return true
		}
	}
	return false
}

func good(t *testing.T) *occi.Model {
	t.Helper()
	m, err := Load("testdata/good")
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestGoodFiles(t *testing.T) {
	m := good(t)
	debian := m.Mixin("http://schemas.example.com/occi/os_tpl#debian")
	if debian == nil || debian.Location != "/mixin/debian/" {
		t.Fatalf("debian: %+v", debian)
	}
	if got := debian.Attribute("occi.compute.memory").Default; got != occi.Float(0.5) {
		t.Errorf("512 MiB is %v", got)
	}
	huge := m.Mixin("http://schemas.example.com/occi/resource_tpl#huge").Attribute("occi.compute.cores")
	if huge.Default != occi.Int(64) || huge.Role != "domain.vcpus" || huge.Short != "cores" {
		t.Errorf("huge: %+v", huge)
	}
	compute := m.KindNamed("vm")
	if compute == nil || compute.Term != "compute" {
		t.Fatalf("vm: %+v", compute)
	}
	if m.Attribute("occi.compute.cores").Default != occi.Int(1) {
		t.Error("a template's default reached compute")
	}
	if tr, ok := compute.States.Next("active", "rescue"); !ok || tr.To != "rescue" {
		t.Errorf("rescue: %+v", compute.States)
	}
	if compute.States.Canonical("rescued") != "rescue" {
		t.Error("rescued is no alias")
	}
	if a := compute.Attribute("occi.compute.state"); !has(a.Enum, "rescue") {
		t.Errorf("enum of the state: %v", a.Enum)
	}
	if !m.Indexed("com.example.rack") {
		t.Error("rack is not indexed")
	}
	gpu := m.KindNamed("gpu_compute")
	if gpu.States != compute.States || gpu.Host != "domain" || gpu.Location != "/gpu_compute/" {
		t.Errorf("gpu_compute: %+v", gpu)
	}
	if l := m.KindNamed("backuplink"); !l.Link || l.TargetKind != example+"backup" {
		t.Errorf("backuplink: %+v", l)
	}
}

func TestDefaults(t *testing.T) {
	backup := good(t).Kind(example + "backup")
	for name, want := range map[string]occi.Value{
		"days":    {Type: occi.Array, Text: `["mon","thu"]`},
		"release": occi.Str("1.10"),
		"keep":    occi.Int(16),
		"daily":   occi.Bool(true),
		"rate":    occi.Float(2),
		"hooks":   {Type: occi.Object, Text: `{"before":"a<b","count":2}`},
		"since":   occi.Str("2026-01-02"),
	} {
		if got := backup.Attribute("com.example.backup." + name).Default; got != want {
			t.Errorf("%s: %#v instead of %#v", name, got, want)
		}
	}
}

func TestVersion(t *testing.T) {
	a, err := Builtin()
	if err != nil {
		t.Fatal(err)
	}
	b, err := Load(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if a.Version != b.Version || len(a.Version) != 12 {
		t.Errorf("versions %q and %q", a.Version, b.Version)
	}
	if c := good(t); c.Version == a.Version {
		t.Error("more files have the same version")
	}
}

func TestDirectory(t *testing.T) {
	if _, err := Load(filepath.Join(t.TempDir(), "none")); !errors.Is(err, occi.Invalid) {
		t.Errorf("a directory that is not there: %v", err)
	}
	write := func(dir, name string, data []byte) {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	dir := t.TempDir()
	write(dir, "large.yaml", []byte(strings.Repeat("#", maxSize+1)))
	if err := os.Mkdir(filepath.Join(dir, "sub.yaml"), 0o700); err != nil {
		t.Fatal(err)
	}
	_, err := Load(dir)
	var e *occi.Error
	if !errors.As(err, &e) || len(e.Problems) != 2 || !strings.Contains(err.Error(), "large.yaml: is larger") ||
		!strings.Contains(err.Error(), "sub.yaml: is not a regular file") {
		t.Errorf("large file and directory: %v", err)
	}
	dir = t.TempDir()
	write(dir, "a.yaml", []byte("mixins:\n  - id: "+example+"gold\n"))
	write(dir, "b.yaml", []byte("mixins:\n  - id: "+example+"gold\n    location: /mixin/b/\n"))
	if _, err := Load(dir); err == nil || !strings.Contains(err.Error(), "line 2: b.yaml: "+example+"gold: is defined already (a.yaml line 2)") {
		t.Errorf("defined in two files: %v", err)
	}
	for i := range maxFiles + 1 {
		write(dir, strconv.Itoa(i)+".yaml", nil)
	}
	if _, err := Load(dir); !errors.Is(err, occi.Invalid) {
		t.Errorf("too many files: %v", err)
	}
}

// FuzzLoad feeds the loader an operator's file: it never panics, and every
// refusal names the file.
func FuzzLoad(f *testing.F) {
	for _, pattern := range []string{"testdata/bad/*.yaml", "testdata/good/*.yaml", "*.yaml"} {
		files, err := filepath.Glob(pattern)
		if err != nil {
			f.Fatal(err)
		}
		for _, path := range files {
			data, err := os.ReadFile(path)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(data)
		}
	}
	base, err := builtins()
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := load(append(base[:len(base):len(base)], source{name: "fuzz.yaml", data: data}))
		if err == nil {
			if m == nil {
				t.Fatal("neither model nor error")
			}
			return
		}
		var e *occi.Error
		if !errors.As(err, &e) || e.Class != occi.Invalid || len(e.Problems) == 0 {
			t.Fatalf("error %v", err)
		}
		for _, p := range e.Problems {
			if !strings.Contains(p.What, ".yaml") || p.Line < 1 {
				t.Fatalf("%q does not name the file and line", p)
			}
		}
	})
}

// TestReadme loads the example that operators read.
func TestReadme(t *testing.T) {
	text, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), "```yaml\n")
	body, _, ok := strings.Cut(rest, "```\n")
	if !ok {
		t.Fatal("no example")
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "example.yaml"), []byte(body), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(dir); err != nil {
		t.Error(err)
	}
}
