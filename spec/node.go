package spec

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// Limits of one file's tree.
const (
	maxDepth = 24
	maxNodes = 100_000
)

// fault is something wrong at a line of a file.
type fault struct {
	line int
	what string
	text string
}

// parse reads the one document of a file; nil without faults for an empty one.
func parse(data []byte) (*yaml.Node, *fault) {
	if line := badText(data); line > 0 {
		return nil, &fault{line: line, text: "is not UTF-8 text"}
	}
	dec := yaml.NewDecoder(bytes.NewReader(data))
	var doc, more yaml.Node
	if err := dec.Decode(&doc); err != nil {
		if errors.Is(err, io.EOF) {
			return nil, nil
		}
		return nil, syntax(err)
	}
	if err := dec.Decode(&more); !errors.Is(err, io.EOF) {
		if err != nil {
			return nil, syntax(err)
		}
		return nil, &fault{line: more.Line, text: "holds a second document"}
	}
	if doc.Kind != yaml.DocumentNode || len(doc.Content) != 1 {
		return nil, nil
	}
	return doc.Content[0], nil
}

// badText gives the line of the first byte that is not UTF-8, 0 if there is none.
func badText(data []byte) int {
	for i := 0; i < len(data); {
		r, n := utf8.DecodeRune(data[i:])
		if r == utf8.RuneError && n == 1 {
			return 1 + bytes.Count(data[:i], []byte("\n"))
		}
		i += n
	}
	return 0
}

var yamlLine = regexp.MustCompile(`^(?:yaml: )?(?:line (\d+): )?(.*)$`)

func syntax(err error) *fault {
	text := strings.ReplaceAll(err.Error(), "\n", " ")
	m := yamlLine.FindStringSubmatch(text)
	if m == nil {
		return &fault{line: 1, text: text}
	}
	line, _ := strconv.Atoi(m[1])
	return &fault{line: max(line, 1), text: "is not YAML: " + m[2]}
}

// plain turns a tree into the values that the schema judges, refusing what YAML
// has beyond them.
type plain struct {
	nodes int
}

func (p *plain) value(n *yaml.Node, depth int) (any, *fault) {
	p.nodes++
	switch {
	case depth > maxDepth:
		return nil, &fault{line: n.Line, text: fmt.Sprintf("is nested deeper than %d levels", maxDepth)}
	case p.nodes > maxNodes:
		return nil, &fault{line: n.Line, text: fmt.Sprintf("the file holds more than %d values", maxNodes)}
	case n.Kind == yaml.AliasNode:
		return nil, &fault{line: n.Line, text: "YAML aliases are not allowed"}
	case n.Anchor != "":
		return nil, &fault{line: n.Line, text: "YAML anchors are not allowed"}
	}
	switch n.Kind {
	case yaml.MappingNode:
		if n.ShortTag() != "!!map" {
			return nil, &fault{line: n.Line, text: fmt.Sprintf("YAML tag %s is not allowed", n.Tag)}
		}
		return p.mapping(n, depth)
	case yaml.SequenceNode:
		if n.ShortTag() != "!!seq" {
			return nil, &fault{line: n.Line, text: fmt.Sprintf("YAML tag %s is not allowed", n.Tag)}
		}
		out := make([]any, 0, len(n.Content))
		for _, c := range n.Content {
			v, f := p.value(c, depth+1)
			if f != nil {
				return nil, f
			}
			out = append(out, v)
		}
		return out, nil
	case yaml.ScalarNode:
		return scalar(n)
	}
	return nil, &fault{line: n.Line, text: "is not understood"}
}

func (p *plain) mapping(n *yaml.Node, depth int) (any, *fault) {
	out := make(map[string]any, len(n.Content)/2)
	for i := 0; i+1 < len(n.Content); i += 2 {
		k := n.Content[i]
		switch {
		case k.Kind == yaml.AliasNode:
			return nil, &fault{line: k.Line, text: "YAML aliases are not allowed"}
		case k.Anchor != "":
			return nil, &fault{line: k.Line, text: "YAML anchors are not allowed"}
		case k.Kind != yaml.ScalarNode || k.ShortTag() != "!!str":
			return nil, &fault{line: k.Line, text: fmt.Sprintf("key %q is not text", k.Value)}
		}
		if _, dup := out[k.Value]; dup {
			return nil, &fault{line: k.Line, text: fmt.Sprintf("key %q is given twice", k.Value)}
		}
		v, f := p.value(n.Content[i+1], depth+1)
		if f != nil {
			return nil, f
		}
		out[k.Value] = v
	}
	return out, nil
}

// scalar gives a scalar as a string, float64, bool or nil. Dates stay text.
func scalar(n *yaml.Node) (any, *fault) {
	switch n.ShortTag() {
	case "!!str", "!!timestamp":
		return n.Value, nil
	case "!!null":
		return nil, nil
	case "!!bool":
		var b bool
		if err := n.Decode(&b); err != nil {
			return nil, &fault{line: n.Line, text: fmt.Sprintf("%q is neither true nor false", n.Value)}
		}
		return b, nil
	case "!!int", "!!float":
		var f float64
		if err := n.Decode(&f); err != nil || math.IsNaN(f) || math.IsInf(f, 0) || math.Abs(f) > 1<<53 {
			return nil, &fault{line: n.Line, text: fmt.Sprintf("%q is not a number that can be kept", n.Value)}
		}
		return f, nil
	}
	return nil, &fault{line: n.Line, text: fmt.Sprintf("YAML tag %s is not allowed", n.Tag)}
}

// at follows a path of keys and indexes into a tree. It gives the node there,
// or the deepest one that exists, and the name of the definition around it.
func at(n *yaml.Node, path []string) (node *yaml.Node, what string) {
	for _, step := range path {
		if w := label(n); w != "" {
			what = w
		}
		next := child(n, step)
		if next == nil {
			return n, what
		}
		n = next
	}
	if w := label(n); w != "" {
		what = w
	}
	return n, what
}

// label is what a definition is known by.
func label(n *yaml.Node) string {
	for _, key := range []string{"name", "id", "extend"} {
		if v := child(n, key); n.Kind == yaml.MappingNode && v != nil && v.Kind == yaml.ScalarNode {
			return v.Value
		}
	}
	return ""
}

func child(n *yaml.Node, step string) *yaml.Node {
	switch n.Kind {
	case yaml.MappingNode:
		if _, v := entry(n, step); v != nil {
			return v
		}
	case yaml.SequenceNode:
		if i, err := strconv.Atoi(step); err == nil && i >= 0 && i < len(n.Content) {
			return n.Content[i]
		}
	}
	return nil
}

// entry gives a mapping's key and value nodes.
func entry(n *yaml.Node, key string) (k, v *yaml.Node) {
	if n == nil || n.Kind != yaml.MappingNode {
		return nil, nil
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == key {
			return n.Content[i], n.Content[i+1]
		}
	}
	return nil, nil
}
