package schematest

import (
	"bytes"
	"encoding/base64"
	"encoding/xml"
	"fmt"
	"strings"
)

// entry is what counts of an entry, or of a feed with its entries.
type entry struct {
	XMLName xml.Name
	Content struct {
		Type string `xml:"type,attr"`
		Text string `xml:",chardata"`
		XML  []byte `xml:",innerxml"`
	} `xml:"http://www.w3.org/2005/Atom content"`
	Entries []entry `xml:"http://www.w3.org/2005/Atom entry"`
}

// addXML takes in a document, and what its entries hold.
func (j *Judge) addXML(name, media string, body []byte) error {
	var root entry
	if err := xml.Unmarshal(body, &root); err != nil {
		return fmt.Errorf("%s as %s: %w", name, media, err)
	}
	doc := document{name, bytes.Clone(body)}
	switch root.XMLName.Space {
	case "http://www.w3.org/2001/XMLSchema":
		return nil // a schema itself
	case "http://www.w3.org/2005/Atom":
	default:
		j.mu.Lock()
		j.occis = append(j.occis, doc)
		j.mu.Unlock()
		return nil
	}
	j.mu.Lock()
	j.atoms = append(j.atoms, doc)
	j.mu.Unlock()
	for _, e := range append(root.Entries, root) {
		if err := j.addContent(name, e); err != nil {
			return err
		}
	}
	return nil
}

func (j *Judge) addContent(name string, e entry) error {
	name += ", content of an entry"
	switch c := e.Content; {
	case strings.HasSuffix(c.Type, "xml"):
		return j.Add(name, "application/occi+xml", c.XML)
	case strings.HasSuffix(c.Type, "json"):
		text, err := base64.StdEncoding.DecodeString(strings.TrimSpace(c.Text))
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		return j.Add(name, "application/json", text)
	}
	return nil
}
