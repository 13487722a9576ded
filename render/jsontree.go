package render

import (
	"bytes"
	"encoding/json"
	"errors"
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
	if !json.Valid(body) {
		err := json.Unmarshal(body, new(json.RawMessage))
		var se *json.SyntaxError
		if errors.As(err, &se) {
			return nil, syntax(p.lineAt(int(se.Offset)), "", "%s", se)
		}
		return nil, syntax(0, "", "%s", err)
	}
	return p.value(0)
}

// jsonParser reads a text that is known to be JSON.
type jsonParser struct {
	body    []byte
	at      int
	counted int // up to where lines are
	line    int
	nodes   int
}

// lineAt gives the line of an offset, which is never before the last one asked.
func (p *jsonParser) lineAt(offset int) int {
	offset = min(offset, len(p.body))
	if offset > p.counted {
		p.line += bytes.Count(p.body[p.counted:offset], []byte("\n"))
		p.counted = offset
	}
	return p.line
}

// peek gives the first byte of the next token.
func (p *jsonParser) peek() byte {
	for p.body[p.at] == ' ' || p.body[p.at] == '\t' || p.body[p.at] == '\n' || p.body[p.at] == '\r' {
		p.at++
	}
	return p.body[p.at]
}

// more skips what stands before a further member or item. It is false, and the end
// skipped, if there is none.
func (p *jsonParser) more(end byte) bool {
	if p.peek() == ',' {
		p.at++
	}
	if p.peek() == end {
		p.at++
		return false
	}
	return true
}

func (p *jsonParser) value(depth int) (*jsonNode, error) {
	first := p.peek()
	n := &jsonNode{line: p.lineAt(p.at)}
	if p.nodes++; p.nodes > maxNodes {
		return nil, tooMany(n.line, "JSON values", maxNodes)
	}
	if (first == '{' || first == '[') && depth == maxDepth {
		return nil, tooMany(n.line, "levels of JSON", maxDepth)
	}
	var err error
	switch first {
	case '{':
		n.kind, err = jsonObject, p.object(n, depth)
	case '[':
		n.kind, err = jsonArray, p.array(n, depth)
	case '"':
		n.kind = jsonString
		n.text, err = p.text()
	case 't', 'f':
		n.kind, n.text = jsonBoolean, p.word()
	case 'n':
		n.kind = jsonNull
		p.word()
	default:
		n.kind, n.text = jsonNumber, p.word()
	}
	return n, err
}

// word reads a number or a literal.
func (p *jsonParser) word() string {
	rest := p.body[p.at:]
	if end := bytes.IndexAny(rest, ",]} \t\r\n"); end >= 0 {
		rest = rest[:end]
	}
	p.at += len(rest)
	return string(rest)
}

// text reads a string.
func (p *jsonParser) text() (string, error) {
	begin := p.at
	escaped := false
	for p.at++; p.body[p.at] != '"'; p.at++ {
		if p.body[p.at] == '\\' {
			escaped = true
			p.at++
		}
	}
	p.at++
	if !escaped {
		return string(p.body[begin+1 : p.at-1]), nil
	}
	var s string
	err := json.Unmarshal(p.body[begin:p.at], &s)
	return s, err
}

func (p *jsonParser) object(n *jsonNode, depth int) error {
	seen := map[string]int{}
	for p.at++; p.more('}'); {
		line := p.lineAt(p.at)
		name, err := p.text()
		if err != nil {
			return err
		}
		if first, ok := seen[name]; ok {
			return syntax(line, name, "is given twice%s", before(first))
		}
		seen[name] = line
		p.peek()
		p.at++ // the colon
		v, err := p.value(depth + 1)
		if err != nil {
			return err
		}
		n.members = append(n.members, jsonMember{name, line, v})
	}
	return nil
}

func (p *jsonParser) array(n *jsonNode, depth int) error {
	for p.at++; p.more(']'); {
		v, err := p.value(depth + 1)
		if err != nil {
			return err
		}
		n.items = append(n.items, v)
	}
	return nil
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
