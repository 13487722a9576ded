package spec

import (
	"crypto/sha256"
	"embed"
	"encoding/binary"
	"encoding/hex"
	"io"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"sync"

	"github.com/occid/occid/occi"
)

// Limits of an operator's directory.
const (
	maxFiles = 256
	maxSize  = 1 << 20 // of one file, in bytes
	maxTotal = 8 << 20 // of all files, in bytes
)

//go:embed *.yaml
var embedded embed.FS

// builtin lists the embedded files in registry order: core and infrastructure
// come first.
var builtin = []string{"core.yaml", "compute.yaml", "network.yaml", "storage.yaml", "links.yaml",
	"templates.yaml", "contextualisation.yaml", "occid.yaml", "host.yaml", "domain.yaml", "storagepool.yaml", "computepool.yaml", "identity.yaml", "quota.yaml"}

// source is one file to load.
type source struct {
	name    string
	data    []byte
	builtin bool
}

// Builtin gives the registry without anything an operator added. All who ask have the
// same one, and do not change it.
func Builtin() (*occi.Model, error) { return shared() }

var shared = sync.OnceValues(func() (*occi.Model, error) { return Load("") })

// Load gives the registry of the embedded files and of every *.yaml in dir, in
// the order of their names; an empty dir adds nothing. What is wrong with the
// files is an *occi.Error of class occi.Invalid with a problem for each fault.
func Load(dir string) (*occi.Model, error) {
	sources, err := builtins()
	if err != nil {
		return nil, err
	}
	if dir != "" {
		own, err := readDir(dir)
		if err != nil {
			return nil, err
		}
		sources = append(sources, own...)
	}
	return load(sources)
}

func builtins() ([]source, error) {
	var out []source
	for _, name := range builtin {
		data, err := embedded.ReadFile(name)
		if err != nil {
			return nil, occi.E(occi.Internal, "registry: %w", err)
		}
		out = append(out, source{name: name, data: data, builtin: true})
	}
	return out, nil
}

// readDir reads the *.yaml of a directory. Names that begin with a dot are
// editors' and are passed over.
func readDir(dir string) ([]source, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, occi.E(occi.Invalid, "registry directory: %w", err)
	}
	var names []string
	for _, e := range entries {
		if n := e.Name(); strings.HasSuffix(n, ".yaml") && !strings.HasPrefix(n, ".") {
			names = append(names, n)
		}
	}
	sort.Strings(names)
	if len(names) > maxFiles {
		return nil, occi.E(occi.Invalid, "registry directory: %d files are more than %d", len(names), maxFiles)
	}
	var out []source
	var ps []occi.Problem
	total := 0
	for _, n := range names {
		data, text := readFile(filepath.Join(dir, n))
		if text != "" {
			ps = append(ps, occi.Problem{What: n, Text: text})
			continue
		}
		if total += len(data); total > maxTotal {
			ps = append(ps, occi.Problem{What: n, Text: "the files together are too large"})
			break
		}
		out = append(out, source{name: n, data: data})
	}
	return out, occi.Problems(occi.Invalid, refused, ps)
}

// readFile reads a regular file, or says why not.
func readFile(path string) (data []byte, fault string) {
	st, err := os.Stat(path)
	if err != nil {
		return nil, err.Error()
	}
	if !st.Mode().IsRegular() {
		return nil, "is not a regular file"
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err.Error()
	}
	defer f.Close()
	data, err = io.ReadAll(io.LimitReader(f, maxSize+1))
	if err != nil {
		return nil, err.Error()
	}
	if len(data) > maxSize {
		return nil, "is larger than 1 MiB"
	}
	return data, ""
}

// refused heads every error about files.
const refused = "the registry is refused"

// load makes a model of files.
func load(sources []source) (*occi.Model, error) {
	b := newBuilder()
	for _, s := range sources {
		b.file(s)
	}
	if err := b.err(); err != nil {
		return nil, err
	}
	return b.model(version(sources))
}

// version names the content of files.
func version(sources []source) string {
	h := sha256.New()
	var n [8]byte
	for _, s := range sources {
		for _, part := range [][]byte{[]byte(s.name), s.data} {
			binary.BigEndian.PutUint64(n[:], uint64(len(part)))
			h.Write(n[:])
			h.Write(part)
		}
	}
	return hex.EncodeToString(h.Sum(nil))[:12]
}
