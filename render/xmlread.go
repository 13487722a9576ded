package render

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"strings"
)

func (xmlSpelling) read(body []byte) (*tree, error) {
	r, start, err := openXML(body)
	if err != nil {
		return nil, err
	}
	if start.Name.Space == atomSpace {
		return r.atom(start)
	}
	if err := r.descriptor(start); err != nil {
		return nil, err
	}
	return r.t, r.finish()
}

// xmlReader reads XML with nothing in it that makes a document more than a tree
// of elements: no document type, hence no entities, and no processing
// instructions.
type xmlReader struct {
	dec   *xml.Decoder
	t     *tree
	depth int  // of the element at hand
	begun bool // something was read
}

// openXML begins to read a document; it gives the outermost element.
func openXML(body []byte) (*xmlReader, xml.StartElement, error) {
	if line, text := textFault(body); text != "" {
		return nil, xml.StartElement{}, syntax(line, "", "%s", text)
	}
	r := &xmlReader{dec: xml.NewDecoder(bytes.NewReader(body)), t: &tree{}}
	for {
		tok, err := r.next()
		if err != nil {
			return nil, xml.StartElement{}, err
		}
		switch tok := tok.(type) {
		case xml.StartElement:
			return r, tok, nil
		case nil:
			return nil, xml.StartElement{}, syntax(r.line(), "", "there is no XML element")
		case xml.CharData:
			if len(bytes.TrimSpace(tok)) > 0 {
				return nil, xml.StartElement{}, syntax(r.line(), "", "text outside of elements")
			}
		}
	}
}

func (r *xmlReader) line() int {
	line, _ := r.dec.InputPos()
	return line
}

// next gives the next token, nil at the end.
func (r *xmlReader) next() (xml.Token, error) {
	tok, err := r.dec.Token()
	if errors.Is(err, io.EOF) {
		return nil, nil
	}
	if err != nil {
		var se *xml.SyntaxError
		if errors.As(err, &se) {
			return nil, syntax(se.Line, "", "%s", se.Msg)
		}
		return nil, syntax(r.line(), "", "%s", strings.TrimPrefix(err.Error(), "xml: "))
	}
	switch tok := tok.(type) {
	case xml.Directive:
		return nil, syntax(r.line(), "", "a document type or other declaration is not allowed")
	case xml.ProcInst:
		if tok.Target != "xml" || r.begun {
			return nil, syntax(r.line(), "", "the processing instruction %.40q is not allowed", tok.Target)
		}
	case xml.StartElement:
		if r.depth++; r.depth > maxDepth {
			return nil, tooMany(r.line(), "levels of elements", maxDepth)
		}
	case xml.EndElement:
		r.depth--
	}
	r.begun = true
	return tok, nil
}

// finish reads to the end of the document behind its outermost element.
func (r *xmlReader) finish() error {
	for {
		tok, err := r.next()
		if err != nil || tok == nil {
			return err
		}
		switch tok := tok.(type) {
		case xml.Comment:
		case xml.CharData:
			if len(bytes.TrimSpace(tok)) > 0 {
				return syntax(r.line(), "", "text outside of elements")
			}
		default:
			return syntax(r.line(), "", "something follows the outermost element")
		}
	}
}

// descriptor reads an element that is a descriptor.
func (r *xmlReader) descriptor(start xml.StartElement) error {
	if start.Name.Local != "occi" && start.Name.Local != "resource" {
		return syntax(r.line(), start.Name.Local, "is no descriptor; the element of one is occi in the name space %s", occiSpace)
	}
	i := len(r.t.nodes)
	if err := r.element(start); err != nil {
		return err
	}
	n := &r.t.nodes[i]
	if n.shape == textShape {
		if n.from < n.to {
			return syntax(n.line, n.key, "text where elements are meant")
		}
		n.shape = dictShape
	}
	return nil
}

// element adds an element to the tree: text, or a dict if it holds elements.
func (r *xmlReader) element(start xml.StartElement) error {
	i, line := len(r.t.nodes), r.line()
	if i >= maxNodes {
		return tooMany(line, "elements", maxNodes)
	}
	key, null, err := r.name(start)
	if err != nil {
		return err
	}
	r.t.nodes = append(r.t.nodes, node{key: key, shape: textShape, line: line})
	from := len(r.t.buf)
	for {
		tok, err := r.next()
		if err != nil {
			return err
		}
		switch tok := tok.(type) {
		case xml.StartElement:
			if len(bytes.TrimSpace(r.t.buf[from:])) > 0 {
				return syntax(r.line(), key, "text and elements are mixed")
			}
			r.t.nodes[i].shape = dictShape
			if tok.Name == signatureName {
				err = r.skip(tok)
			} else {
				err = r.element(tok)
			}
			if err != nil {
				return err
			}
			from = len(r.t.buf)
		case xml.CharData:
			r.t.buf = append(r.t.buf, tok...)
		case xml.EndElement:
			return r.endElement(i, from, null)
		}
	}
}

// signatureName is the element of a signature. What is signed may be sent back as it is;
// the signature says who rendered it, and is not asked here.
var signatureName = xml.Name{Space: "http://www.w3.org/2000/09/xmldsig#", Local: "Signature"}

func (r *xmlReader) endElement(i, from int, null bool) error {
	n := &r.t.nodes[i]
	empty := len(bytes.TrimSpace(r.t.buf[from:])) == 0
	switch {
	case null && (n.shape == dictShape || !empty):
		return syntax(n.line, n.key, "has a value though it is nil")
	case null:
		n.shape = nullShape
	case n.shape == dictShape && !empty:
		return syntax(n.line, n.key, "text and elements are mixed")
	case n.shape == dictShape:
		r.t.close(i)
	default:
		n.from, n.to = from, len(r.t.buf)
	}
	return nil
}

// name gives the key that an element stands for and whether it is nil. Both the
// descriptor's name space and none, as in the earliest documents, are
// understood. Attributes of other name spaces say nothing here.
func (r *xmlReader) name(start xml.StartElement) (key string, null bool, err error) {
	if s := start.Name.Space; s != "" && s != occiSpace {
		return "", false, syntax(r.line(), start.Name.Local, "is in the name space %.80q, not in %s", s, occiSpace)
	}
	key = start.Name.Local
	seen := map[string]bool{}
	for _, a := range start.Attr {
		name := a.Name.Local
		if a.Name.Space != "" || name == "xmlns" {
			continue
		}
		switch {
		case seen[name]:
			return "", false, syntax(r.line(), key, "the XML attribute %s is given twice", name)
		case name == "name" && start.Name.Local == "entry":
			key = a.Value
		case name == "nil" && (a.Value == "true" || a.Value == "false"):
			null = a.Value == "true"
		default:
			return "", false, syntax(r.line(), key, "the XML attribute %s=%.40q is not understood", name, a.Value)
		}
		seen[name] = true
	}
	return key, null, nil
}
