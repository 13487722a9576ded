package schematest

import (
	"bytes"
	"crypto/sha256"
	_ "embed" // Atom's schema
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/occid/occid/spec"
)

//go:embed atom.rng
var atomSchema []byte

// jsonSchemas are the schemas of media types that are JSON.
var jsonSchemas = sync.OnceValues(func() (map[string]*jsonschema.Schema, error) {
	out := map[string]*jsonschema.Schema{}
	for media, name := range map[string]string{"application/occi+json": "occi.json", "application/json": "descriptor.json"} {
		text, err := fs.ReadFile(spec.Schemas(), name)
		if err != nil {
			return nil, err
		}
		doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		c := jsonschema.NewCompiler()
		c.AssertFormat()
		if err := c.AddResource(name, doc); err != nil {
			return nil, err
		}
		if out[media], err = c.Compile(name); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
	}
	return out, nil
})

// Judge gathers bodies and judges them. JSON is judged at once, XML by Finish, for
// one process can judge it all. It is safe for concurrent use; the zero Judge is
// ready.
type Judge struct {
	mu    sync.Mutex
	seen  map[[32]byte]bool
	atoms []document
	occis []document
}

// document is XML, with a name for messages.
type document struct {
	name string
	text []byte
}

// Add takes in a body; name tells of it in messages. Bodies of media types without
// a schema, and empty ones, are passed over.
func (j *Judge) Add(name, media string, body []byte) error {
	media, _, _ = strings.Cut(media, ";")
	if len(body) == 0 || j.known(media, body) {
		return nil
	}
	switch media {
	case "application/occi+json", "application/json":
		return judgeJSON(name, media, body)
	case "application/atom+xml", "application/xml", "application/occi+xml":
		return j.addXML(name, media, body)
	}
	return nil
}

// known reports whether the same was taken in before.
func (j *Judge) known(media string, body []byte) bool {
	key := sha256.Sum256(append([]byte(media+"\n"), body...))
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.seen[key] {
		return true
	}
	if j.seen == nil {
		j.seen = map[[32]byte]bool{}
	}
	j.seen[key] = true
	return false
}

func judgeJSON(name, media string, body []byte) error {
	all, err := jsonSchemas()
	if err != nil {
		return err
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(body))
	if err == nil {
		err = all[media].Validate(doc)
	}
	if err != nil {
		return fmt.Errorf("%s as %s: %w", name, media, err)
	}
	return nil
}

// Finish judges the XML that was taken in. The error tells of every document that
// is not as its schema says.
func (j *Judge) Finish() error {
	xsd, err := fs.ReadFile(spec.Schemas(), "occi.xsd")
	if err != nil {
		return err
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	return errors.Join(lint("--relaxng", atomSchema, j.atoms), lint("--schema", xsd, j.occis))
}

// lint has xmllint judge documents by a schema, of a kind that an option names.
func lint(option string, schema []byte, docs []document) error {
	if len(docs) == 0 {
		return nil
	}
	dir, err := os.MkdirTemp("", "schematest")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if err := os.WriteFile(filepath.Join(dir, "schema"), schema, 0o600); err != nil {
		return err
	}
	const batch = 1000 // arguments of one process
	var errs []error
	for from := 0; from < len(docs); from += batch {
		args := []string{"--noout", "--nonet", option, "schema"}
		for i := from; i < min(from+batch, len(docs)); i++ {
			file := strconv.Itoa(i) + ".xml"
			if err := os.WriteFile(filepath.Join(dir, file), docs[i].text, 0o600); err != nil {
				return err
			}
			args = append(args, file)
		}
		cmd := exec.Command("xmllint", args...)
		cmd.Dir = dir
		if out, err := cmd.CombinedOutput(); err != nil {
			errs = append(errs, explained(string(out), err, docs))
		}
	}
	return errors.Join(errs...)
}

// explained makes an error of what xmllint says, with the documents it is about.
func explained(out string, err error, docs []document) error {
	var b strings.Builder
	fmt.Fprintf(&b, "xmllint: %v", err)
	for line := range strings.Lines(out) {
		if strings.HasSuffix(line, " validates\n") {
			continue
		}
		number, _, _ := strings.Cut(line, ".xml")
		if i, err := strconv.Atoi(number); err == nil && strings.HasSuffix(line, "fails to validate\n") {
			line += fmt.Sprintf("%s:\n%.2000s\n", docs[i].name, docs[i].text)
		}
		b.WriteString("\n" + strings.TrimSuffix(line, "\n"))
	}
	return errors.New(b.String())
}
