package libvirt

import (
	"encoding/xml"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/google/uuid"
)

// Namespace is that of the element which marks a definition as made by a Driver.
const Namespace = "http://schemas.occid.org/libvirt/1"

// mark is that element; Adopted says that others made the domain.
type mark struct {
	XMLName xml.Name `xml:"http://schemas.occid.org/libvirt/1 made"`
	Title   string   `xml:"title,omitempty"` // of a network, which has none of its own
	VLAN    int      `xml:"vlan,omitempty"`
	Silent  bool     `xml:"silent,omitempty"` // a network that hands out no addresses
	Seed    string   `xml:"seed,omitempty"`   // digest of a domain's seed
	Adopted bool     `xml:"adopted,omitempty"`
}

// marked puts the mark into a definition's metadata; the elements of others stay.
// Metadata that hold it already are given back as they are.
func marked(metadata string, m mark) (string, error) {
	own, err := xml.Marshal(m)
	if err != nil {
		return "", err
	}
	var out strings.Builder
	for _, e := range elements(metadata) {
		if e.space != Namespace {
			out.WriteString(e.text)
			continue
		}
		var old mark
		if err := xml.Unmarshal([]byte(e.text), &old); err == nil {
			if old.XMLName = m.XMLName; old == m {
				return metadata, nil
			}
		}
	}
	out.Write(own)
	return out.String(), nil
}

// markOf reads the mark in a definition's metadata; the zero mark if there is none.
func markOf(metadata string) mark {
	var m mark
	for _, e := range elements(metadata) {
		if e.space == Namespace && xml.Unmarshal([]byte(e.text), &m) == nil {
			break
		}
	}
	return m
}

// isMarked reports whether a definition's metadata holds the mark.
func isMarked(metadata string) bool {
	for _, e := range elements(metadata) {
		if e.space == Namespace {
			return true
		}
	}
	return false
}

type element struct{ space, text string }

// elements splits the inside of a metadata element into its children.
func elements(metadata string) []element {
	var out []element
	d := xml.NewDecoder(strings.NewReader(metadata))
	depth, start := 0, int64(0)
	var space string
	for {
		at := d.InputOffset()
		t, err := d.Token()
		if err != nil {
			return out
		}
		switch t := t.(type) {
		case xml.StartElement:
			if depth == 0 {
				start, space = at, t.Name.Space
			}
			depth++
		case xml.EndElement:
			if depth--; depth == 0 {
				out = append(out, element{space, metadata[start:d.InputOffset()]})
			}
		}
	}
}

// Limits of what people may read of a domain or network on the host.
const (
	maxTitle = 1024 // bytes
	maxSlug  = 40
)

// line makes one printable line of a text: whatever XML or libvirt cannot hold
// in a title becomes a space.
func line(s string) string {
	s = strings.Map(func(r rune) rune {
		if r == utf8.RuneError || !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, s)
	s = strings.TrimSpace(s)
	for len(s) > maxTitle {
		_, n := utf8.DecodeLastRuneInString(s)
		s = s[:len(s)-n]
	}
	return s
}

// printable reports whether a text can stand in a definition as it is.
func printable(s string) bool {
	return utf8.ValidString(s) && !strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) })
}

// nameOf gives the name that the host's own tools show: what is left of the
// wanted one, and the UUID, which makes it unique.
func nameOf(wanted string, id uuid.UUID) string {
	slug := strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', r == '-', r == '.', r == '_':
			return r
		case r == ' ':
			return '-'
		}
		return -1
	}, wanted)
	slug = strings.Trim(slug[:min(len(slug), maxSlug)], "-._")
	if slug == "" {
		slug = "occid"
	}
	return slug + "-" + id.String()
}

// aliasPrefix is what libvirt wants the names of devices to begin with that it
// did not choose.
const aliasPrefix = "ua-"

func aliasOf(id uuid.UUID) string { return aliasPrefix + id.String() }

// idOf gives the UUID that an alias stands for; zero if it is not a Driver's.
func idOf(alias string) uuid.UUID {
	s, ok := strings.CutPrefix(alias, aliasPrefix)
	if !ok {
		return uuid.Nil
	}
	return parseID(s)
}

// parseID reads a UUID in its canonical spelling; zero if it is none.
func parseID(s string) uuid.UUID {
	if id, err := uuid.Parse(s); err == nil && id.String() == s {
		return id
	}
	return uuid.Nil
}
