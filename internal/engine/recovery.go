package engine

import (
	"slices"
	"strings"

	"github.com/occid/occid/internal/auth"
	"github.com/occid/occid/occi"
)

// namedHosts gives the hosts that a membership names the names that entities remember
// hosts by, so that policies can compare them.
func (b *creation) namedHosts(x *occi.Entity) error {
	a := roleAttr(b.m, x, auth.RoleHosts)
	if a == nil {
		return nil
	}
	var names []string
	var ps []occi.Problem
	for _, word := range strings.FieldsFunc(x.Attributes.Get(a.Name).Text, func(r rune) bool { return r == ' ' || r == ',' }) {
		if name := b.e.hostNamed(word); name == "" {
			ps = append(ps, occi.Problem{What: a.Name, Text: "there is no host " + word})
		} else if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	if len(names) > 0 {
		x.Attributes.Set(a.Name, occi.Str(strings.Join(names, " ")))
	}
	return occi.Problems(occi.Invalid, "the membership is not valid", ps)
}

// hostNamed finds the name of a host by that, by what people call it, or by its UUID or
// path; "" if there is none.
func (e *Engine) hostNamed(word string) string {
	id, isID := occi.ParseID(word[strings.LastIndexByte(word, '/')+1:])
	for _, h := range e.all() {
		if h.name == word || h.title == word || isID && nodeID(h.name) == id {
			return h.name
		}
	}
	return ""
}
