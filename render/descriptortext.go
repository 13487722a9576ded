package render

import (
	"encoding/json"
	"strings"
)

// textSpelling is the descriptor's own text: a key and its value a line, parted
// by blanks or a colon.
//
//	type compute
//	cores 8
//	memory 16 Gb
//	title "a line\nand another"
//	link
//	  type networkinterface
//	  target /network/7d3f0c7e-5b1c-4d0a-9c55-3f8f8e0b6a11
//
// The value is the rest of the line, or a JSON string if it begins with a quote,
// which spells any text. A key without a value stands for what is indented below
// it, or, if nothing is, asks for the attribute to be removed. A list is its
// elements one after another, each under the name of one. A blank line parts
// descriptors.
type textSpelling struct{}

func (textSpelling) document(dst []byte, t *tree) []byte { return appendText(dst, t, 0, 0) }

func (textSpelling) begin(dst []byte) []byte { return dst }

func (textSpelling) element(dst []byte, t *tree, n int) []byte {
	if n > 0 {
		dst = append(dst, '\n')
	}
	return appendText(dst, t, 0, 0)
}

func (textSpelling) end(dst []byte, _ int) []byte { return dst }

// appendText adds what a dict holds, a line each.
func appendText(dst []byte, t *tree, i, levels int) []byte {
	for c := range t.children(i) {
		if key := t.nodes[c].key; t.nodes[c].shape == listShape {
			for e := range t.children(c) {
				dst = appendTextLine(dst, t, e, item(key), levels)
			}
		} else {
			dst = appendTextLine(dst, t, c, key, levels)
		}
	}
	return dst
}

func appendTextLine(dst []byte, t *tree, i int, key string, levels int) []byte {
	for range levels {
		dst = append(dst, "  "...)
	}
	dst = append(dst, key...)
	switch t.nodes[i].shape {
	case dictShape, listShape:
		return appendText(append(dst, '\n'), t, i, levels+1)
	case nullShape:
		return append(dst, '\n')
	}
	text := t.text(i)
	if dst = append(dst, ' '); isPlainText(text) {
		dst = append(dst, text...)
	} else {
		dst = appendJSONString(dst, text)
	}
	return append(dst, '\n')
}

// isPlainText reports whether a value is read back as it is without quotes.
func isPlainText(text []byte) bool {
	if len(text) == 0 || text[0] == '"' || text[0] == ' ' || text[len(text)-1] == ' ' {
		return false
	}
	for _, c := range text {
		if c < ' ' || c == 0x7f {
			return false
		}
	}
	return true
}

func (textSpelling) read(body []byte) (*tree, error) {
	r := textReader{t: &tree{}}
	if line, text := textFault(body); text != "" {
		return nil, syntax(line, "", "%s", text)
	}
	list := r.t.open("", listShape)
	if err := r.read(string(body)); err != nil {
		return nil, err
	}
	r.t.close(list)
	if r.blocks <= 1 {
		// One descriptor is not a list of one; none is an empty one.
		r.t.nodes = r.t.nodes[1:]
		if r.blocks == 0 {
			r.t.nodes = []node{{shape: dictShape, line: 1}}
		}
	}
	return r.t, nil
}

// textReader adds the descriptors of a text to a tree.
type textReader struct {
	t      *tree
	blocks int // descriptors begun
	line   int // the line at hand
	levels []textLevel
}

// textLevel is a dict that is open, with the indentation of its keys.
type textLevel struct{ dict, indent int }

func (r *textReader) read(text string) error {
	for line := range strings.Lines(text) {
		r.line++
		line = strings.TrimRight(line, " \t\r\n")
		if strings.TrimLeft(line, " \t") == "" {
			r.closeTo(0)
			continue
		}
		if len(r.levels) == 0 && r.blocks == maxMembers {
			return tooMany(r.line, "descriptors", maxMembers)
		}
		if err := r.add(line); err != nil {
			return err
		}
	}
	r.closeTo(0)
	return nil
}

// add takes in one line.
func (r *textReader) add(line string) error {
	rest := strings.TrimLeft(line, " \t")
	if err := r.indent(len(line) - len(rest)); err != nil {
		return err
	}
	end := strings.IndexAny(rest, " \t:")
	if end < 0 {
		end = len(rest)
	}
	key, value := rest[:end], strings.TrimLeft(rest[end:], " \t")
	if end < len(rest) && rest[end] == ':' {
		value = strings.TrimLeft(rest[end+1:], " \t")
	}
	if key == "" {
		return syntax(r.line, "", "no key where %.40q is", rest)
	}
	if len(r.t.nodes) >= maxNodes {
		return tooMany(r.line, "values", maxNodes)
	}
	return r.value(key, value)
}

func (r *textReader) value(key, value string) error {
	s := textShape
	switch {
	case value == "":
		s = nullShape
	case value[0] == '"':
		if err := json.Unmarshal([]byte(value), &value); err != nil {
			return syntax(r.line, key, "what begins with a quote must be a JSON string: %s", err)
		}
	}
	from := len(r.t.buf)
	r.t.buf = append(r.t.buf, value...)
	r.t.add(key, s, from)
	r.t.nodes[len(r.t.nodes)-1].line = r.line
	return nil
}

// indent makes the dict at hand that whose keys are indented by n.
func (r *textReader) indent(n int) error {
	if len(r.levels) == 0 {
		r.blocks++
		r.push(r.t.open("", dictShape), n)
		r.t.nodes[len(r.t.nodes)-1].line = r.line
		return nil
	}
	last := len(r.t.nodes) - 1
	for k := len(r.levels) - 1; ; k-- {
		switch level := r.levels[k]; {
		case n == level.indent:
			r.closeTo(k + 1)
			return nil
		case n > level.indent && k == len(r.levels)-1:
			if r.t.nodes[last].shape != nullShape {
				return syntax(r.line, r.t.nodes[last].key, "has a value already; nothing can be indented below it")
			}
			if len(r.levels) == maxDepth {
				return tooMany(r.line, "levels of indentation", maxDepth)
			}
			r.t.nodes[last].shape = dictShape
			r.push(last, n)
			return nil
		case n > level.indent || k == 0:
			return syntax(r.line, "", "is indented like no line above it")
		}
	}
}

func (r *textReader) push(dict, indent int) { r.levels = append(r.levels, textLevel{dict, indent}) }

// closeTo closes all levels but the first n.
func (r *textReader) closeTo(n int) {
	for k := len(r.levels) - 1; k >= n; k-- {
		r.t.close(r.levels[k].dict)
	}
	r.levels = r.levels[:n]
}
