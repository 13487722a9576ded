package render

import (
	"bytes"
	"encoding/json"
	"errors"

	"github.com/occid/occid/occi"
)

// jsonNode is a JSON value with its place in the text.
type jsonNode struct {
	kind    jsonKind
	text    string       // of a string, unescaped; of a number or boolean, as written
	members []jsonMember // of an object, in order, each name once
	items   []*jsonNode  // of an array
	line    int
}

// jsonMember is a member of an object; line is its name's.
type jsonMember struct {
	name  string
	line  int
	value *jsonNode
}

// jsonKind is a JSON value's type, named as messages do.
type jsonKind string

const (
	jsonObject  jsonKind = "an object"
	jsonArray   jsonKind = "an array"
	jsonString  jsonKind = "a string"
	jsonNumber  jsonKind = "a number"
	jsonBoolean jsonKind = "a boolean"
	jsonNull    jsonKind = "null"
)

// parseJSON reads one JSON text (RFC 8259). It refuses names that an object has
// twice, and bounds depth and size.
func parseJSON(body []byte) (*jsonNode, error) {
	if line, text := textFault(body); text != "" {
		return nil, syntax(line, "", "%s", text)
	}
	p := jsonParser{body: body, line: 1}
	if err := json.Unmarshal(body, new(json.RawMessage)); err != nil {
		var se *json.SyntaxError
		if errors.As(err, &se) {
			return nil, syntax(p.lineAt(se.Offset), "", "%s", se)
		}
		return nil, syntax(0, "", "%s", err)
	}
	p.dec = json.NewDecoder(bytes.NewReader(body))
	p.dec.UseNumber()
	return p.value(0)
}

type jsonParser struct {
	body   []byte
	dec    *json.Decoder
	offset int64 // up to which lines are counted
	line   int
	nodes  int
}

// lineAt gives the line of an offset, which is never before the last one asked.
func (p *jsonParser) lineAt(offset int64) int {
	offset = min(offset, int64(len(p.body)))
	if offset > p.offset {
		p.line += bytes.Count(p.body[p.offset:offset], []byte("\n"))
		p.offset = offset
	}
	return p.line
}

func (p *jsonParser) token() (json.Token, int, error) {
	tok, err := p.dec.Token()
	line := p.lineAt(p.dec.InputOffset())
	if err != nil {
		return nil, line, syntax(line, "", "%s", err)
	}
	return tok, line, nil
}

func (p *jsonParser) value(depth int) (*jsonNode, error) {
	tok, line, err := p.token()
	if err != nil {
		return nil, err
	}
	if p.nodes++; p.nodes > maxNodes {
		return nil, tooMany(line, "JSON values", maxNodes)
	}
	n := &jsonNode{line: line}
	switch t := tok.(type) {
	case string:
		n.kind, n.text = jsonString, t
	case json.Number:
		n.kind, n.text = jsonNumber, t.String()
	case bool:
		n.kind, n.text = jsonBoolean, occi.Bool(t).String()
	case nil:
		n.kind = jsonNull
	case json.Delim:
		if depth == maxDepth {
			return nil, tooMany(line, "levels of JSON", maxDepth)
		}
		if t == '{' {
			n.kind = jsonObject
			return n, p.object(n, depth)
		}
		n.kind = jsonArray
		return n, p.array(n, depth)
	}
	return n, nil
}

func (p *jsonParser) object(n *jsonNode, depth int) error {
	seen := map[string]int{}
	for p.dec.More() {
		tok, line, err := p.token()
		if err != nil {
			return err
		}
		name := tok.(string)
		if first, ok := seen[name]; ok {
			return syntax(line, name, "is given twice%s", before(first))
		}
		seen[name] = line
		v, err := p.value(depth + 1)
		if err != nil {
			return err
		}
		n.members = append(n.members, jsonMember{name, line, v})
	}
	_, _, err := p.token()
	return err
}

func (p *jsonParser) array(n *jsonNode, depth int) error {
	for p.dec.More() {
		v, err := p.value(depth + 1)
		if err != nil {
			return err
		}
		n.items = append(n.items, v)
	}
	_, _, err := p.token()
	return err
}

// get gives the value of a member, or nil; a null counts as none.
func (n *jsonNode) get(name string) *jsonNode {
	for i := range n.members {
		if n.members[i].name == name && n.members[i].value.kind != jsonNull {
			return n.members[i].value
		}
	}
	return nil
}

// present lists the members that are not null.
func (n *jsonNode) present() []jsonMember {
	var out []jsonMember
	for _, mb := range n.members {
		if mb.value.kind != jsonNull {
			out = append(out, mb)
		}
	}
	return out
}

// compact gives the value as JSON without blanks.
func (n *jsonNode) compact(dst []byte) []byte {
	switch n.kind {
	case jsonObject:
		dst = append(dst, '{')
		for i, m := range n.members {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = m.value.compact(append(appendJSONString(dst, m.name), ':'))
		}
		return append(dst, '}')
	case jsonArray:
		dst = append(dst, '[')
		for i, v := range n.items {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = v.compact(dst)
		}
		return append(dst, ']')
	case jsonString:
		return appendJSONString(dst, n.text)
	case jsonNull:
		return append(dst, "null"...)
	}
	return append(dst, n.text...)
}
