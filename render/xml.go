package render

import (
	"bytes"
	"unicode/utf8"

	"github.com/occid/occid/occi"
)

// Name spaces of XML documents.
const (
	occiSpace = "http://purl.org/occi"
	atomSpace = "http://www.w3.org/2005/Atom"
)

const xmlHead = `<?xml version="1.0" encoding="UTF-8"?>` + "\n"

// xmlSpelling is XML: an element occi in its own name space, in which each key
// is an element. A list is its elements one after another, each under the name
// of one. A key that is no XML name is written <entry name="KEY">.
type xmlSpelling struct{}

func (xmlSpelling) document(dst []byte, t *tree) []byte {
	return append(appendOCCI(append(dst, xmlHead...), t, xmlStyle{}), '\n')
}

// xmlStyle is how elements are written. Without a prefix their name space is the
// default one.
type xmlStyle struct {
	prefix string
	levels int // of indentation, or compact
}

// inAtom is the style of a descriptor within an entry. Feed readers that do not
// know the name space take an element without a prefix, such as title, for one
// of Atom's.
var inAtom = xmlStyle{prefix: "occi:", levels: compact}

func (s xmlStyle) inner() xmlStyle {
	if s.levels != compact {
		s.levels++
	}
	return s
}

// appendOCCI adds a tree as the element occi.
func appendOCCI(dst []byte, t *tree, s xmlStyle) []byte {
	dst = append(append(append(dst, '<'), s.prefix...), "occi xmlns"...)
	if s.prefix != "" {
		dst = append(append(dst, ':'), s.prefix[:len(s.prefix)-1]...)
	}
	dst = append(dst, `="`+occiSpace+`">`...)
	dst = appendBreak(appendElements(dst, t, 0, s.inner()), s.levels)
	return append(append(append(dst, "</"...), s.prefix...), "occi>"...)
}

// appendElements adds what a dict holds.
func appendElements(dst []byte, t *tree, i int, s xmlStyle) []byte {
	for c := range t.children(i) {
		if key := t.nodes[c].key; t.nodes[c].shape == listShape {
			for e := range t.children(c) {
				dst = appendElement(dst, t, e, item(key), s)
			}
		} else {
			dst = appendElement(dst, t, c, key, s)
		}
	}
	return dst
}

func appendElement(dst []byte, t *tree, i int, key string, s xmlStyle) []byte {
	dst = append(append(appendBreak(dst, s.levels), '<'), s.prefix...)
	name := key
	if isXMLName(key) {
		dst = append(dst, key...)
	} else {
		name = "entry"
		dst = append(appendXML(append(dst, `entry name="`...), key), '"')
	}
	switch t.nodes[i].shape {
	case nullShape:
		return append(dst, ` nil="true"/>`...)
	case dictShape, listShape:
		dst = appendBreak(appendElements(append(dst, '>'), t, i, s.inner()), s.levels)
	default:
		dst = appendXML(append(dst, '>'), t.text(i))
	}
	return append(append(append(append(dst, "</"...), s.prefix...), name...), '>')
}

// isXMLName reports whether a key can name an element. Only ASCII names can;
// those that begin with "xml" are reserved.
func isXMLName(s string) bool {
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || c == '_':
		case i > 0 && (isDigit(c) || c == '-' || c == '.'):
		default:
			return false
		}
	}
	return s != "" && s != "entry" && (len(s) < 3 || !bytes.EqualFold([]byte(s[:3]), []byte("xml")))
}

// xmlEscapes are the ASCII characters that text in XML is without, and what
// stands for them. Line breaks are among them: a parser changes those that it
// meets in attributes.
var xmlEscapes = [utf8.RuneSelf]string{'&': "&amp;", '<': "&lt;", '>': "&gt;", '"': "&#34;", '\t': "&#9;", '\n': "&#10;", '\r': "&#13;"}

func init() {
	for c := range byte(' ') {
		if xmlEscapes[c] == "" {
			xmlEscapes[c] = "\uFFFD"
		}
	}
}

// appendXML adds text as the content of an element or of an attribute in double
// quotes. What XML cannot hold becomes U+FFFD.
func appendXML[S string | []byte](dst []byte, s S) []byte {
	start := 0
	for i := 0; i < len(s); {
		escape, n := "", 1
		if c := s[i]; c < utf8.RuneSelf {
			if escape = xmlEscapes[c]; escape == "" {
				i++
				continue
			}
		} else {
			var r rune
			r, n = utf8.DecodeRuneInString(string(s[i:min(i+utf8.UTFMax, len(s))]))
			if r == utf8.RuneError && n == 1 || r == 0xFFFE || r == 0xFFFF {
				escape = "\uFFFD"
			}
		}
		if escape != "" {
			dst = append(append(dst, s[start:i]...), escape...)
			start = i + n
		}
		i += n
	}
	return append(dst, s[start:]...)
}

// xmlCodec writes an entity as its descriptor in XML and a collection as an Atom
// feed of descriptors. It reads descriptors, both of Atom's documents and OVF.
type xmlCodec struct{ descriptor }

func (c xmlCodec) collection(dst []byte, v *View, col *Collection) ([]byte, error) {
	inline := *v
	inline.Content = contentXML
	return atomCodec{}.collection(dst, &inline, col)
}

func (c xmlCodec) decode(m *occi.Model, body []byte) (*occi.Draft, error) {
	if _, start, err := openXML(body); err == nil && isOVF(start.Name) {
		return ovfCodec{}.decode(m, body)
	}
	return c.descriptor.decode(m, body)
}

func (c xmlCodec) created(dst []byte, v *View, es []*occi.Entity) ([]byte, error) {
	if len(es) == 1 {
		return c.entity(dst, v, es[0])
	}
	return c.collection(dst, v, createdCollection(es))
}
