package render

import (
	"strings"

	"github.com/occid/occid/occi"
)

// jsonSpelling is JSON (RFC 8259): dicts are objects, lists arrays. One
// descriptor is written over several lines, those of a collection a line each.
type jsonSpelling struct{}

func (jsonSpelling) document(dst []byte, t *tree) []byte {
	return append(appendJSON(dst, t, 0, 0), '\n')
}

func (jsonSpelling) begin(dst []byte) []byte { return append(dst, `{"resources":[`...) }

func (jsonSpelling) element(dst []byte, t *tree, n int) []byte {
	if n > 0 {
		dst = append(dst, ',')
	}
	return appendJSON(append(dst, '\n'), t, 0, compact)
}

func (jsonSpelling) end(dst []byte, _ int) []byte { return append(dst, "]}\n"...) }

func (jsonSpelling) read(body []byte) (*tree, error) {
	n, err := parseJSON(body)
	if err != nil {
		return nil, err
	}
	t := &tree{}
	t.addJSON("", n, n.line)
	return t, nil
}

// compact is the indentation of JSON and XML without line breaks.
const compact = -1

// appendJSON adds a node of a tree, indented by levels unless it is compact.
func appendJSON(dst []byte, t *tree, i, levels int) []byte {
	switch t.nodes[i].shape {
	case dictShape:
		return appendJSONBlock(dst, t, i, levels, '{', '}')
	case listShape:
		return appendJSONBlock(dst, t, i, levels, '[', ']')
	case textShape:
		return appendJSONString(dst, t.text(i))
	case nullShape:
		return append(dst, "null"...)
	}
	return append(dst, t.text(i)...)
}

func appendJSONBlock(dst []byte, t *tree, i, levels int, open, shut byte) []byte {
	inner := levels
	if levels != compact {
		inner++
	}
	dst = append(dst, open)
	for c := range t.children(i) {
		if c > i+1 {
			dst = append(dst, ',')
		}
		dst = appendBreak(dst, inner)
		if open == '{' {
			dst = append(appendJSONString(dst, t.nodes[c].key), ':')
			if levels != compact {
				dst = append(dst, ' ')
			}
		}
		dst = appendJSON(dst, t, c, inner)
	}
	if t.nodes[i].size > 0 {
		dst = appendBreak(dst, levels)
	}
	return append(dst, shut)
}

// appendBreak begins a line that is indented by levels; none if they are compact.
func appendBreak(dst []byte, levels int) []byte {
	if levels == compact {
		return dst
	}
	dst = append(dst, '\n')
	for range levels {
		dst = append(dst, "  "...)
	}
	return dst
}

// addJSON adds a JSON value; line is that of its name.
func (t *tree) addJSON(key string, n *jsonNode, line int) {
	i := len(t.nodes)
	switch n.kind {
	case jsonObject:
		t.open(key, dictShape)
		for _, m := range n.members {
			t.addJSON(m.name, m.value, m.line)
		}
		t.close(i)
	case jsonArray:
		t.open(key, listShape)
		for _, item := range n.items {
			t.addJSON("", item, item.line)
		}
		t.close(i)
	case jsonString:
		t.addText(key, n.text)
	case jsonNull:
		t.add(key, nullShape, len(t.buf))
	default:
		from := len(t.buf)
		t.buf = append(t.buf, n.text...)
		t.add(key, bareShape, from)
	}
	t.nodes[i].line = line
}

// dialect is one of the two kinds of objects that are written as JSON.
type dialect int

const (
	eitherDialect     dialect = iota // means the same in both, or nothing in either
	standardDialect                  // of GFD.226
	descriptorDialect                // a descriptor
)

// dialectOf tells by its members what a JSON value is, or what it holds is.
func dialectOf(n *jsonNode) dialect {
	switch n.kind {
	case jsonArray:
		if len(n.items) > 0 {
			return dialectOf(n.items[0])
		}
	case jsonObject:
		if n.get("type") != nil {
			return descriptorDialect
		}
		if k := n.get("kind"); k != nil && strings.Contains(k.text, "#") {
			return standardDialect
		}
		if n.get("attributes") != nil || n.get("term") != nil {
			return standardDialect
		}
		for _, name := range []string{"resources", "links", "kinds", "mixins", "actions"} {
			if held := n.get(name); held != nil && held.kind == jsonArray {
				return dialectOf(held)
			}
		}
	}
	return eitherDialect
}

// descriptorJSON is application/json: descriptors, and GFD.226 when it is sent.
type descriptorJSON struct{ listed }

func (c descriptorJSON) decode(m *occi.Model, body []byte) (*occi.Draft, error) {
	n, err := parseJSON(body)
	if err != nil {
		return nil, err
	}
	if dialectOf(n) == standardDialect {
		return standardDraft(m, n)
	}
	return descriptorDraft(m, n)
}

func descriptorDraft(m *occi.Model, n *jsonNode) (*occi.Draft, error) {
	t := &tree{}
	t.addJSON("", n, n.line)
	return (&undescriber{m: m, t: t}).draft()
}
