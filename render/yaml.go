package render

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"regexp"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/occid/occid/occi"
)

// yamlSpelling is YAML (version 1.2): dicts are mappings, lists sequences.
type yamlSpelling struct{}

func (yamlSpelling) document(dst []byte, t *tree) []byte { return appendYAML(dst, t, 0, 0) }

func (yamlSpelling) begin(dst []byte) []byte { return dst }

func (yamlSpelling) element(dst []byte, t *tree, _ int) []byte {
	return appendYAML(append(dst, "- "...), t, 0, 1)
}

func (yamlSpelling) end(dst []byte, n int) []byte {
	if n == 0 {
		return append(dst, "[]\n"...)
	}
	return dst
}

// appendYAML adds a node that begins where the line is and whose further lines
// are indented by levels.
func appendYAML(dst []byte, t *tree, i, levels int) []byte {
	n := &t.nodes[i]
	if n.size == 0 {
		return append(appendYAMLScalar(dst, t, i), '\n')
	}
	for c := range t.children(i) {
		if c > i+1 {
			dst = appendIndent(dst, levels)
		}
		if n.shape == listShape {
			dst = appendYAML(append(dst, "- "...), t, c, levels+1)
			continue
		}
		dst = append(appendYAMLText(dst, []byte(t.nodes[c].key)), ':')
		if t.nodes[c].size == 0 {
			dst = append(appendYAMLScalar(append(dst, ' '), t, c), '\n')
			continue
		}
		dst = appendYAML(appendIndent(append(dst, '\n'), levels+1), t, c, levels+1)
	}
	return dst
}

func appendIndent(dst []byte, levels int) []byte {
	for range levels {
		dst = append(dst, "  "...)
	}
	return dst
}

func appendYAMLScalar(dst []byte, t *tree, i int) []byte {
	switch t.nodes[i].shape {
	case dictShape:
		return append(dst, "{}"...)
	case listShape:
		return append(dst, "[]"...)
	case nullShape:
		return append(dst, "null"...)
	case textShape:
		return appendYAMLText(dst, t.text(i))
	}
	return append(dst, t.text(i)...)
}

// appendYAMLText adds text plain where no reader takes it for anything else, and
// in double quotes otherwise. The escapes of Go are among those of YAML.
func appendYAMLText(dst, text []byte) []byte {
	if isPlainYAML(text) {
		return append(dst, text...)
	}
	return strconv.AppendQuote(dst, string(text))
}

// yamlWords are what some reader or other takes for a boolean, null or number.
var yamlWords = map[string]bool{"true": true, "false": true, "yes": true, "no": true, "on": true, "off": true,
	"y": true, "n": true, "null": true, "nan": true, "inf": true}

// isPlainYAML reports whether text needs no quotes. Words, paths and URIs do
// not, nor do quantities: digits, a blank and letters.
func isPlainYAML(text []byte) bool {
	if len(text) == 0 || len(text) <= 5 && yamlWords[strings.ToLower(string(text))] {
		return false
	}
	quantity := isDigit(text[0])
	if first := text[0]; !quantity && !isLetter(first) && first != '/' {
		return false
	}
	blank := false
	for i, c := range text {
		last := i == len(text)-1
		switch {
		case isLetter(c) || isDigit(c) || c == '.':
		case c == ' ' && !last:
			blank = true
		case c == ':' && (last || text[i+1] == ' '), c == '#' && text[i-1] == ' ':
			return false
		case !quantity && bytes.IndexByte([]byte("_/-+=?&%:#@"), c) >= 0:
		default:
			return false
		}
	}
	return !quantity || blank && isLetter(text[len(text)-1])
}

func isLetter(c byte) bool { return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' }

func (yamlSpelling) read(body []byte) (*tree, error) {
	if len(body) > maxYAML {
		return nil, occi.E(occi.TooLarge, "a YAML body of %d bytes is larger than %d", len(body), maxYAML)
	}
	if line, text := textFault(body); text != "" {
		return nil, syntax(line, "", "%s", text)
	}
	dec := yaml.NewDecoder(bytes.NewReader(body))
	var doc, more yaml.Node
	if err := dec.Decode(&doc); err != nil && !errors.Is(err, io.EOF) {
		return nil, yamlFault(err)
	}
	if err := dec.Decode(&more); !errors.Is(err, io.EOF) {
		if err != nil {
			return nil, yamlFault(err)
		}
		return nil, syntax(more.Line, "", "a second document begins")
	}
	t := &tree{}
	if len(doc.Content) == 0 {
		t.nodes = []node{{shape: dictShape, line: 1}}
		return t, nil
	}
	return t, t.addYAML("", doc.Content[0], 0)
}

var yamlLine = regexp.MustCompile(`^(?:yaml: )?(?:line (\d+): )?(.*)$`)

// yamlFault turns the parser's error into one of a decoder.
func yamlFault(err error) error {
	m := yamlLine.FindStringSubmatch(strings.ReplaceAll(err.Error(), "\n", " "))
	line, _ := strconv.Atoi(m[1])
	return syntax(max(line, 1), "", "%s", m[2])
}

// addYAML adds a YAML node with what is below it. YAML has more than descriptors
// need: anchors, aliases, tags and keys that are not text are refused.
func (t *tree) addYAML(key string, n *yaml.Node, depth int) error {
	switch {
	case depth > maxDepth:
		return tooMany(n.Line, "levels of YAML", maxDepth)
	case len(t.nodes) >= maxNodes:
		return tooMany(n.Line, "YAML values", maxNodes)
	case n.Kind == yaml.AliasNode:
		return syntax(n.Line, key, "aliases are not allowed")
	case n.Anchor != "":
		return syntax(n.Line, key, "anchors are not allowed")
	case n.Style&yaml.TaggedStyle != 0:
		return syntax(n.Line, key, "tags are not allowed")
	}
	i := len(t.nodes)
	var err error
	switch n.Kind {
	case yaml.MappingNode:
		err = t.addMapping(key, n, depth)
	case yaml.SequenceNode:
		t.open(key, listShape)
		for _, c := range n.Content {
			if err := t.addYAML("", c, depth+1); err != nil {
				return err
			}
		}
		t.close(i)
	default:
		err = t.addScalar(key, n)
	}
	if err == nil {
		t.nodes[i].line = max(n.Line, 1)
	}
	return err
}

func (t *tree) addMapping(key string, n *yaml.Node, depth int) error {
	i := t.open(key, dictShape)
	seen := map[string]int{}
	for c := 0; c+1 < len(n.Content); c += 2 {
		k := n.Content[c]
		if k.Kind != yaml.ScalarNode || k.ShortTag() != "!!str" || k.Anchor != "" || k.Style&yaml.TaggedStyle != 0 {
			return syntax(k.Line, k.Value, "a key must be text and nothing more")
		}
		if first, ok := seen[k.Value]; ok {
			return syntax(k.Line, k.Value, "is given twice%s", before(first))
		}
		seen[k.Value] = k.Line
		if err := t.addYAML(k.Value, n.Content[c+1], depth+1); err != nil {
			return err
		}
	}
	t.close(i)
	return nil
}

// addScalar adds a scalar. Dates are text; numbers stay as they are written
// unless that is one of YAML's own ways.
func (t *tree) addScalar(key string, n *yaml.Node) error {
	from, s := len(t.buf), bareShape
	switch n.ShortTag() {
	case "!!str", "!!timestamp":
		s = textShape
	case "!!null":
		t.add(key, nullShape, from)
		return nil
	case "!!bool":
		t.buf = strconv.AppendBool(t.buf, strings.EqualFold(n.Value, "true"))
		t.add(key, s, from)
		return nil
	case "!!int", "!!float":
		if !isNumber(n.Value) {
			var f float64
			if err := n.Decode(&f); err != nil || math.IsNaN(f) || math.IsInf(f, 0) {
				return syntax(n.Line, key, "%.40q is not a number that can be kept", n.Value)
			}
			n.Value = fmt.Sprint(f)
		}
	default:
		return syntax(n.Line, key, "YAML's %s is not allowed", n.ShortTag())
	}
	t.buf = append(t.buf, n.Value...)
	t.add(key, s, from)
	return nil
}
