package render

import (
	"bytes"
	"encoding/base64"
	"encoding/xml"
	"errors"
	"strings"

	"github.com/occid/occid/occi"
)

// atom reads an entry as the descriptor in its content, and a feed as a list of
// those.
func (r *xmlReader) atom(start xml.StartElement) (*tree, error) {
	var err error
	switch start.Name.Local {
	case "entry":
		err = r.entry()
	case "feed":
		err = r.feed()
	default:
		err = syntax(r.line(), start.Name.Local, "is neither an entry nor a feed")
	}
	if err != nil {
		return nil, err
	}
	return r.t, r.finish()
}

// each calls a function for every element in the one at hand. Text between them
// means nothing.
func (r *xmlReader) each(f func(xml.StartElement) error) error {
	for {
		tok, err := r.next()
		if err != nil {
			return err
		}
		switch tok := tok.(type) {
		case xml.StartElement:
			if err := f(tok); err != nil {
				return err
			}
		case xml.EndElement:
			return nil
		}
	}
}

// skip reads past an element.
func (r *xmlReader) skip(xml.StartElement) error { return r.each(r.skip) }

func (r *xmlReader) feed() error {
	list := r.t.open("", listShape)
	r.t.nodes[list].line = r.line()
	err := r.each(func(start xml.StartElement) error {
		if start.Name != (xml.Name{Space: atomSpace, Local: "entry"}) {
			return r.skip(start)
		}
		return r.entry()
	})
	r.t.close(list)
	return err
}

func (r *xmlReader) entry() error {
	line, before := r.line(), len(r.t.nodes)
	err := r.each(func(start xml.StartElement) error {
		switch {
		case start.Name != (xml.Name{Space: atomSpace, Local: "content"}):
			return r.skip(start)
		case len(r.t.nodes) > before:
			return syntax(r.line(), "content", "is given twice")
		}
		return r.content(start)
	})
	if err == nil && len(r.t.nodes) == before {
		err = syntax(line, "entry", "has no content")
	}
	return err
}

// content reads the descriptor that an entry holds, in any of its spellings.
func (r *xmlReader) content(start xml.StartElement) error {
	media := "text"
	for _, a := range start.Attr {
		switch a.Name {
		case xml.Name{Local: "src"}:
			return syntax(r.line(), "content", "is elsewhere; it must be in the entry")
		case xml.Name{Local: "type"}:
			media, _, _ = strings.Cut(strings.ToLower(a.Value), ";")
			media = strings.TrimSpace(media)
		}
	}
	switch {
	case strings.HasSuffix(media, "+xml") || strings.HasSuffix(media, "/xml"):
		return r.inline()
	case media == "text" || media == "text/plain":
		return r.embedded((*tree).addDescriptorText)
	case media == "application/occi+text":
		return r.embedded(unbase64((*tree).addDescriptorText))
	case media == "application/json" || media == "application/occi+json":
		return r.embedded(unbase64((*tree).addJSONText))
	}
	return syntax(r.line(), "content", "type %.40q is not understood; use application/occi+xml, application/json or text", media)
}

// inline reads content that is an element.
func (r *xmlReader) inline() error {
	line, before := r.line(), len(r.t.nodes)
	err := r.each(func(start xml.StartElement) error {
		if len(r.t.nodes) > before {
			return syntax(r.line(), "content", "holds more than one element")
		}
		return r.descriptor(start)
	})
	if err == nil && len(r.t.nodes) == before {
		err = syntax(line, "content", "holds no element")
	}
	return err
}

// embedded reads content that is a document of another kind. What is in it is on
// the line where it begins.
func (r *xmlReader) embedded(add func(*tree, []byte) error) error {
	line, before := r.line(), len(r.t.nodes)
	var text []byte
	for {
		tok, err := r.next()
		if err != nil {
			return err
		}
		switch tok := tok.(type) {
		case xml.StartElement:
			return syntax(r.line(), "content", "holds an element where text is meant")
		case xml.CharData:
			text = append(text, tok...)
			continue
		case xml.EndElement:
		default:
			continue
		}
		break
	}
	if err := add(r.t, text); err != nil {
		return onLine(line, err)
	}
	for i := before; i < len(r.t.nodes); i++ {
		r.t.nodes[i].line = line
	}
	return nil
}

// onLine moves the problems of an error to a line.
func onLine(line int, err error) error {
	var e *occi.Error
	if errors.As(err, &e) {
		for i := range e.Problems {
			e.Problems[i].Line = line
		}
	}
	return err
}

// unbase64 reads what is in base64, as content that is neither text nor XML must
// be, and what should be but is not.
func unbase64(add func(*tree, []byte) error) func(*tree, []byte) error {
	return func(t *tree, text []byte) error {
		text = bytes.TrimSpace(text)
		if plain, err := base64.StdEncoding.DecodeString(string(text)); err == nil {
			text = plain
		}
		return add(t, text)
	}
}

func (t *tree) addJSONText(text []byte) error {
	n, err := parseJSON(text)
	if err != nil {
		return err
	}
	t.addJSON("", n, n.line)
	return nil
}

func (t *tree) addDescriptorText(text []byte) error {
	if line, fault := textFault(text); fault != "" {
		return syntax(line, "", "%s", fault)
	}
	r := textReader{t: t}
	if err := r.read(string(text)); err != nil {
		return err
	}
	if r.blocks != 1 {
		return syntax(1, "content", "holds %d descriptors where one is meant", r.blocks)
	}
	return nil
}
