// Package arch holds tests of the source tree itself.
package arch

import (
	"encoding/json"
	"os/exec"
	"strings"
	"testing"
)

const module = "github.com/occid/occid/"

// allowed names, for each package or tree of packages ("x/..."), the packages
// of this module that it may import; the most specific row counts.
var allowed = map[string][]string{
	"occi":                 {},
	"spec":                 {"occi"},
	"render":               {"occi"},
	"store":                {"occi"},
	"hypervisor":           {},
	"hypervisor/...":       {"hypervisor"},
	"internal/engine":      {"occi", "hypervisor", "internal/auth", "internal/policy", "internal/failpoint", "internal/iso"},
	"internal/image":       {"occi"},
	"internal/policy":      {"occi"},
	"internal/auth":        {"occi", "internal/policy"},
	"internal/delegate":    {"occi", "internal/auth"},
	"internal/oidc":        {"occi", "internal/auth"},
	"internal/clientcert":  {"occi", "internal/auth"},
	"internal/oidctest":    {},
	"internal/web":         {"occi"},
	"internal/guest":       {"occi", "render", "internal/engine", "internal/auth", "internal/policy", "internal/web"},
	"internal/server":      {"occi", "render", "internal/engine", "internal/auth", "internal/policy", "internal/web"},
	"internal/dialect/...": {"occi", "render", "internal/engine", "internal/auth", "internal/web"},
	"internal/cert":        {},
	"internal/sign":        {},
	"internal/failpoint":   {},
	"internal/metrics":     {"occi"},
	"internal/trace":       {"occi"},
	"internal/iso":         {},
	"internal/lab":         {},
	"internal/lab/...":     {"internal/lab"},
	"internal/conformance": {"internal/lab"},
	"internal/pgtest":      {},
	"internal/dbtest":      {"internal/pgtest", "store"},
	"internal/schematest":  {"spec"},
	"internal/arch":        {},
	"internal/bench":       {"*"},
	"cmd/occid":            {"*"},
	"cmd/occi":             {"occi", "render"},
}

// only names the packages that alone may import what begins with a path, so that
// nothing else depends on it.
var only = map[string]string{
	"github.com/prometheus/":   "internal/metrics",
	"go.opentelemetry.io/":     "internal/trace",
	"golang.org/x/crypto/acme": "internal/cert",
	"github.com/coreos/":       "internal/oidc",
	"github.com/zitadel/":      "internal/oidctest",

	"github.com/russellhaering/goxmldsig": "internal/sign",
	"github.com/beevik/etree":             "internal/sign",
	"github.com/cedar-policy/":            "internal/policy",
}

// outside names the packages outside the standard library that a package may
// import where that is narrower than "any in go.mod".
var outside = map[string][]string{
	"occi":       {"github.com/google/uuid"},
	"hypervisor": {"github.com/google/uuid"},
}

type pkg struct {
	ImportPath, Doc string
	Imports         []string
}

func list(t *testing.T) []pkg {
	t.Helper()
	out, err := exec.Command("go", "list", "-json=ImportPath,Doc,Imports", module+"...").Output()
	if err != nil {
		t.Fatal(err)
	}
	var all []pkg
	for dec := json.NewDecoder(strings.NewReader(string(out))); dec.More(); {
		var p pkg
		if err := dec.Decode(&p); err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
	return all
}

func rule(name string) ([]string, bool) {
	if r, ok := allowed[name]; ok {
		return r, true
	}
	for dir := name; strings.Contains(dir, "/"); {
		dir = dir[:strings.LastIndexByte(dir, '/')]
		if r, ok := allowed[dir+"/..."]; ok {
			return r, true
		}
	}
	return nil, false
}

func contains(list []string, s string) bool {
	for _, x := range list {
		if x == s || x == "*" {
			return true
		}
	}
	return false
}

func TestImportsPointOneWay(t *testing.T) {
	for _, p := range list(t) {
		name := strings.TrimPrefix(p.ImportPath, module)
		may, ok := rule(name)
		if !ok {
			t.Errorf("%s: no rule says what it may import", name)
			continue
		}
		for _, imp := range p.Imports {
			for prefix, who := range only {
				if strings.HasPrefix(imp, prefix) && name != who {
					t.Errorf("%s imports %s; only %s may", name, imp, who)
				}
			}
			own, inModule := strings.CutPrefix(imp, module)
			switch {
			case inModule && !contains(may, own):
				t.Errorf("%s imports %s; it may import %v", name, own, may)
			case !inModule && strings.Contains(strings.SplitN(imp, "/", 2)[0], "."):
				if list, bound := outside[name]; bound && !contains(list, imp) {
					t.Errorf("%s imports %s; outside the standard library it may import %v", name, imp, list)
				}
			}
		}
	}
}

func TestPackagesSayWhatTheyAre(t *testing.T) {
	for _, p := range list(t) {
		if name := strings.TrimPrefix(p.ImportPath, module); p.Doc == "" && name != "internal/arch" {
			t.Errorf("%s has no doc comment", name)
		}
	}
}
