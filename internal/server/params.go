package server

import (
	"net/url"
	"strings"

	"github.com/occid/occid/occi"
)

// maxParams bounds the parameters of one query.
const maxParams = 64

// param is one query parameter, unescaped. Op is other than occi.Eq where the
// comparison is spelled between name and value: "memory>=4".
type param struct {
	name, value string
	op          occi.Op
}

type params []param

// parseParams reads a query. Parameters are separated by "&" or ";".
func parseParams(raw string) (params, error) {
	if raw == "" {
		return nil, nil
	}
	var out params
	for _, piece := range strings.FieldsFunc(raw, func(r rune) bool { return r == '&' || r == ';' }) {
		if len(out) == maxParams {
			return nil, occi.E(occi.Invalid, "the query has more than %d parameters", maxParams)
		}
		name, value, separated := strings.Cut(piece, "=")
		name, err := url.QueryUnescape(name)
		if err != nil {
			return nil, badParam(piece, "%v", err)
		}
		if value, err = url.QueryUnescape(value); err != nil {
			return nil, badParam(name, "%v", err)
		}
		p := param{name: name, value: value, op: occi.Eq}
		if separated {
			p.closing()
		} else {
			p.inside()
		}
		if p.name == "" {
			return nil, badParam(piece, "has no name")
		}
		out = append(out, p)
	}
	return out, nil
}

// closing reads the operator that ends a name before "=".
func (p *param) closing() {
	for _, op := range []occi.Op{occi.Ge, occi.Le, occi.Ne} {
		if name, ok := strings.CutSuffix(p.name, string(op[0])); ok {
			p.name, p.op = name, op
			return
		}
	}
}

// inside reads an operator in the middle of what came without a plain "=":
// "memory>4", or ">=" all escaped.
func (p *param) inside() {
	i := strings.IndexAny(p.name, "<>!=")
	if i < 0 {
		return
	}
	for _, op := range []occi.Op{occi.Ge, occi.Le, occi.Ne, occi.Gt, occi.Lt, occi.Eq} {
		if rest, ok := strings.CutPrefix(p.name[i:], string(op)); ok {
			p.name, p.op, p.value = p.name[:i], op, rest
			return
		}
	}
}

func badParam(name, format string, args ...any) error {
	e := occi.E(occi.Invalid, format, args...)
	return &occi.Error{Class: occi.Invalid, Message: "the query is not understood",
		Problems: []occi.Problem{{What: name, Text: e.Message}}}
}

// single gives the one value of a parameter.
func (ps params) single(name string) (value string, given bool, err error) {
	for _, p := range ps {
		if p.name != name {
			continue
		}
		if given {
			return "", false, badParam(name, "is given more than once")
		}
		if p.op != occi.Eq {
			return "", false, badParam(name, "takes no comparison")
		}
		value, given = p.value, true
	}
	return value, given, nil
}

// only refuses every parameter that is not named.
func (ps params) only(names ...string) error {
	for _, p := range ps {
		known := false
		for _, n := range names {
			known = known || p.name == n
		}
		if !known {
			return badParam(p.name, "unknown parameter")
		}
	}
	return nil
}
