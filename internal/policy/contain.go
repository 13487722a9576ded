package policy

import (
	"github.com/cedar-policy/cedar-go/types"
	"github.com/cedar-policy/cedar-go/x/exp/ast"

	"github.com/occid/occid/occi"
)

// listed are what a thing has lists of, and what says that one is in such a list.
var listed = map[string]occi.WhereOp{commonMixins: occi.WhereMixin, memberOf: occi.WhereBelongs}

// holding gives where a list of the thing has any of some texts.
func (t *translation) holding(n ast.IsNode, texts []string) (*occi.Where, error) {
	name, err := t.attribute(n)
	if err != nil {
		return nil, err
	}
	op, ok := listed[name]
	if !ok || t.kind == nil || t.kind.shape()[types.String(name)].Type == nil {
		return occi.Never, nil
	}
	return occi.WhereNames(op, texts...), nil
}

// contains is set.contains(one).
func (t *translation) contains(set, one ast.IsNode) (*occi.Where, error) {
	switch {
	case about(set) && about(one):
		return nil, cannot("a comparison of two things that the resource has cannot be selected by")
	case about(set):
		v, err := t.value(one)
		if err != nil {
			return nil, err
		}
		return t.holding(set, texts(types.NewSet(v)))
	}
	v, err := t.value(set)
	if err != nil {
		return nil, err
	}
	among, ok := v.(types.Set)
	if !ok {
		return nil, cannot("contains is asked of what is no set")
	}
	// That there is none of it is no reason for there to be no such condition.
	if among.Len() == 0 && t.whole {
		among = types.NewSet(types.String(""))
	}
	any := occi.Never
	for o := range among.All() {
		w, err := t.compared(one, occi.Eq, o)
		if err != nil {
			return nil, err
		}
		any = occi.Or(any, w)
	}
	return any, nil
}

// containsAny is whether two sets have something in common.
func (t *translation) containsAny(a, b ast.IsNode) (*occi.Where, error) {
	if about(a) && about(b) {
		return nil, cannot("a comparison of two things that the resource has cannot be selected by")
	}
	if about(b) {
		a, b = b, a
	}
	v, err := t.value(b)
	if err != nil {
		return nil, err
	}
	among, ok := v.(types.Set)
	if !ok {
		return nil, cannot("containsAny is asked of what is no set")
	}
	return t.holding(a, texts(among))
}

// containsAll is whether a list of the thing has all of a set.
func (t *translation) containsAll(a, b ast.IsNode) (*occi.Where, error) {
	if about(b) {
		return nil, cannot("whether something contains all that the resource has cannot be selected by")
	}
	v, err := t.value(b)
	if err != nil {
		return nil, err
	}
	among, ok := v.(types.Set)
	if !ok {
		return nil, cannot("containsAll is asked of what is no set")
	}
	if _, err := t.holding(a, nil); err != nil {
		return nil, err
	}
	var all *occi.Where
	for _, text := range texts(among) {
		w, err := t.holding(a, []string{text})
		if err != nil {
			return nil, err
		}
		all = occi.And(all, w)
	}
	return all, nil
}

// texts lists the strings of a set.
func texts(s types.Set) []string {
	var out []string
	for v := range s.All() {
		if text, ok := v.(types.String); ok {
			out = append(out, string(text))
		}
	}
	return out
}
