package engine

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/occid/occid/occi"
)

// Roles of what a machine may do about itself; see internal/guest.
const (
	roleReadable = "guest.readable"
	roleWritable = "guest.writable"
	roleMetadata = "guest.metadata"
)

// metaName is how the name of a piece of metadata may be: as a segment of a path.
var metaName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.:-]{0,254}$`)

// checkGuest refuses what a machine could not be told, and lists that name what it
// cannot have: it would be allowed less than its owner means.
func checkGuest(m *occi.Model, x *occi.Entity) []occi.Problem {
	ps := checkMetadata(m, x)
	k := m.Kind(x.Kind)
	for _, role := range []string{roleReadable, roleWritable} {
		a := roleAttr(m, x, role)
		if a == nil {
			continue
		}
		for _, word := range strings.FieldsFunc(x.Attributes.Get(a.Name).Text, func(r rune) bool { return strings.ContainsRune(", \t\r\n", r) }) {
			name := m.Long(k, word)
			switch {
			case word == "*" && role == roleReadable:
			case slices.Contains([]string{occi.AttrTitle, occi.AttrSummary}, name):
			case m.MemberAttribute(k, name) == nil:
				ps = append(ps, occi.Problem{What: a.Name, Text: fmt.Sprintf("%.200q is no attribute of a %s", word, k.Term)})
			}
		}
	}
	return ps
}

// checkMetadata refuses lines that are no name, "=" and a text.
func checkMetadata(m *occi.Model, x *occi.Entity) []occi.Problem {
	a := roleAttr(m, x, roleMetadata)
	if a == nil {
		return nil
	}
	var ps []occi.Problem
	for line := range strings.Lines(x.Attributes.Get(a.Name).Text) {
		line = strings.TrimRight(line, "\r\n")
		if name, _, ok := strings.Cut(line, "="); line != "" && (!ok || !metaName.MatchString(name)) {
			ps = append(ps, occi.Problem{What: a.Name, Text: fmt.Sprintf("the line %.80q is not NAME=TEXT, with a name of letters, digits and _.:- only", line)})
		}
	}
	return ps
}
