package policy

import (
	"encoding/json"
	"fmt"
	"math"

	"github.com/cedar-policy/cedar-go/types"
	"github.com/cedar-policy/cedar-go/x/exp/ast"
	"github.com/cedar-policy/cedar-go/x/exp/eval"

	"github.com/occid/occid/occi"
)

// unsayable is why what a policy says of a thing cannot be asked of a store.
type unsayable string

func (u unsayable) Error() string { return string(u) }

func cannot(format string, args ...any) error { return unsayable(fmt.Sprintf(format, args...)) }

// translation makes what a policy says of a thing of a kind a condition on it. What it
// says of all else is evaluated.
type translation struct {
	v    *vocabulary
	kind *kind // nil for one that the registry does not have
	env  eval.Env
	// whole looks at what cannot come to pass, too: it is about whether there is a
	// condition, not what it is.
	whole bool
}

// conditions gives where all conditions of a policy hold.
func (t *translation) conditions(p *ast.Policy) (*occi.Where, error) {
	var all *occi.Where
	for _, c := range p.Conditions {
		w, err := t.truth(c.Body)
		if err != nil {
			return nil, err
		}
		if c.Condition == ast.ConditionUnless {
			w = occi.Not(w)
		}
		if all = occi.And(all, w); all == occi.Never && !t.whole {
			break
		}
	}
	return all, nil
}

// about reports whether an expression is about the thing.
func about(n ast.IsNode) bool {
	found := false
	ast.Inspect(ast.NewNode(n), func(o ast.IsNode) bool {
		v, ok := o.(ast.NodeTypeVariable)
		found = found || ok && v.Name == "resource"
		return !found
	})
	return found
}

func constant(b bool) *occi.Where {
	if b {
		return nil
	}
	return occi.Never
}

// truth gives where an expression is true.
func (t *translation) truth(n ast.IsNode) (*occi.Where, error) {
	if !about(n) {
		v, err := t.value(n)
		if err != nil {
			return nil, err
		}
		b, ok := v.(types.Boolean)
		if !ok {
			return nil, cannot("a condition is no truth value")
		}
		return constant(bool(b)), nil
	}
	switch o := n.(type) {
	case ast.NodeTypeAnd:
		return t.both(o.Left, o.Right)
	case ast.NodeTypeOr:
		left, err := t.truth(o.Left)
		if err != nil || left == nil && !t.whole {
			return left, err
		}
		right, err := t.truth(o.Right)
		return occi.Or(left, right), err
	case ast.NodeTypeNot:
		w, err := t.truth(o.Arg)
		return occi.Not(w), err
	case ast.NodeTypeIfThenElse:
		return t.choice(o)
	case ast.NodeTypeIs:
		return constant(t.kind != nil && string(o.EntityType) == t.kind.name), t.itself(o.Left)
	case ast.NodeTypeHas:
		return t.has(o)
	case ast.NodeTypeAccess:
		return t.compared(o, occi.Eq, types.True)
	case ast.NodeTypeLike:
		return t.like(o)
	}
	return t.comparison(n)
}

// both gives where both of two expressions are true. The second is not looked at where
// the first is false.
func (t *translation) both(a, b ast.IsNode) (*occi.Where, error) {
	left, err := t.truth(a)
	if err != nil || left == occi.Never && !t.whole {
		return left, err
	}
	right, err := t.truth(b)
	return occi.And(left, right), err
}

func (t *translation) choice(o ast.NodeTypeIfThenElse) (*occi.Where, error) {
	when, err := t.truth(o.If)
	if err != nil {
		return nil, err
	}
	var yes, no *occi.Where = occi.Never, occi.Never
	if when != occi.Never || t.whole {
		if yes, err = t.truth(o.Then); err != nil {
			return nil, err
		}
	}
	if when != nil || t.whole {
		if no, err = t.truth(o.Else); err != nil {
			return nil, err
		}
	}
	return occi.Or(occi.And(when, yes), occi.And(occi.Not(when), no)), nil
}

// comparison is truth of what compares the thing, or an attribute, with something.
func (t *translation) comparison(n ast.IsNode) (*occi.Where, error) {
	switch o := n.(type) {
	case ast.NodeTypeEquals:
		return t.sides(o.Left, o.Right, occi.Eq)
	case ast.NodeTypeNotEquals:
		w, err := t.sides(o.Left, o.Right, occi.Eq)
		return occi.Not(w), err
	case ast.NodeTypeLessThan:
		return t.sides(o.Left, o.Right, occi.Lt)
	case ast.NodeTypeLessThanOrEqual:
		return t.sides(o.Left, o.Right, occi.Le)
	case ast.NodeTypeGreaterThan:
		return t.sides(o.Left, o.Right, occi.Gt)
	case ast.NodeTypeGreaterThanOrEqual:
		return t.sides(o.Left, o.Right, occi.Ge)
	case ast.NodeTypeIn:
		return t.in(o.Left, o.Right)
	case ast.NodeTypeContains:
		return t.contains(o.Left, o.Right)
	case ast.NodeTypeContainsAny:
		return t.containsAny(o.Left, o.Right)
	case ast.NodeTypeContainsAll:
		return t.containsAll(o.Left, o.Right)
	case ast.NodeTypeExtensionCall:
		if op, ok := decimalOps[string(o.Name)]; ok && len(o.Args) == 2 {
			return t.sides(o.Args[0], o.Args[1], op)
		}
		return nil, cannot("%s of what the resource has cannot be selected by", o.Name)
	case ast.NodeTypeIsEmpty:
		return nil, cannot("isEmpty of what the resource has cannot be selected by")
	case ast.NodeTypeIsIn, ast.NodeTypeHasTag, ast.NodeTypeGetTag:
		return nil, cannot("resources are in nothing and have no tags")
	}
	return nil, cannot("arithmetic with what the resource has cannot be selected by")
}

var decimalOps = map[string]occi.Op{"lessThan": occi.Lt, "lessThanOrEqual": occi.Le, "greaterThan": occi.Gt, "greaterThanOrEqual": occi.Ge}

// swapped are comparisons the other way round.
var swapped = map[occi.Op]occi.Op{occi.Eq: occi.Eq, occi.Lt: occi.Gt, occi.Le: occi.Ge, occi.Gt: occi.Lt, occi.Ge: occi.Le}

// sides compares two expressions, one of which is about the thing.
func (t *translation) sides(a, b ast.IsNode, op occi.Op) (*occi.Where, error) {
	switch {
	case about(a) && about(b):
		return nil, cannot("a comparison of two things that the resource has cannot be selected by")
	case about(b):
		a, b, op = b, a, swapped[op]
	}
	v, err := t.value(b)
	if err != nil {
		return nil, err
	}
	return t.compared(a, op, v)
}

// value evaluates what is not about the thing.
func (t *translation) value(n ast.IsNode) (types.Value, error) {
	v, err := eval.Eval(n, t.env)
	if err != nil {
		return nil, fmt.Errorf("cannot be evaluated: %w", err)
	}
	return v, nil
}

// itself refuses what is not the thing.
func (t *translation) itself(n ast.IsNode) error {
	if v, ok := n.(ast.NodeTypeVariable); ok && v.Name == "resource" {
		return nil
	}
	return cannot("this part of what the resource has cannot be selected by")
}

// attribute gives the name of the attribute of the thing that an expression is.
func (t *translation) attribute(n ast.IsNode) (string, error) {
	a, ok := n.(ast.NodeTypeAccess)
	if !ok {
		return "", cannot("anything but attributes of the resource cannot be selected by")
	}
	return string(a.Value), t.itself(a.Arg)
}

// has gives where the thing has an attribute.
func (t *translation) has(o ast.NodeTypeHas) (*occi.Where, error) {
	if err := t.itself(o.Arg); err != nil || t.kind == nil {
		return occi.Never, err
	}
	name := string(o.Value)
	if c := t.kind.column(name); c != "" {
		return occi.WhereAttribute(occi.WhereHas, occi.Cond{Name: c}), nil
	}
	_, there := t.kind.shape()[types.String(name)]
	return constant(there), nil
}

// column is the name under which a store finds an attribute, "" for what is none.
func (k *kind) column(name string) string {
	switch {
	case k.bare:
	case k.attributes[name] != nil:
		return k.attributes[name].Name
	case k.link && name == commonSource:
		return occi.AttrSource
	case k.link && name == commonTarget:
		return occi.AttrTarget
	}
	return ""
}

// compared gives where an expression about the thing compares with a value.
func (t *translation) compared(n ast.IsNode, op occi.Op, v types.Value) (*occi.Where, error) {
	if t.itself(n) == nil {
		return t.is(v), nil
	}
	name, err := t.attribute(n)
	if err != nil || t.kind == nil {
		return occi.Never, err
	}
	c := t.kind.column(name)
	if c == "" {
		return t.commonly(name, v)
	}
	want, ok := valueOf(v)
	if !ok {
		return nil, cannot("resource.%s cannot be compared with that", name)
	}
	return occi.WhereAttribute(occi.WhereCond, occi.Cond{Name: c, Op: op, Value: want}), nil
}

// is gives where the thing is an entity.
func (t *translation) is(v types.Value) *occi.Where {
	uid, ok := v.(types.EntityUID)
	id, isID := occi.ParseID(string(uid.ID))
	if !ok || !isID || t.kind == nil || string(uid.Type) != t.kind.name {
		return occi.Never
	}
	return occi.WhereIs(id)
}

// commonly compares what is no attribute of OCCI.
func (t *translation) commonly(name string, v types.Value) (*occi.Where, error) {
	text, _ := v.(types.String)
	is := v == types.Value(types.True)
	switch name {
	case commonProject:
		return occi.WhereNames(occi.WhereProject, string(text)), nil
	case commonHost:
		return occi.WhereNames(occi.WhereHost, string(text)), nil
	case commonTenant:
		return constant(t.kind.tenant == is), nil
	case commonShared:
		w := occi.Never
		if t.kind.shared {
			w = occi.WhereSharedWithAll()
		}
		if !is {
			w = occi.Not(w)
		}
		return w, nil
	case commonMixins, memberOf:
		return nil, cannot("resource.%s can only be asked for what it contains", name)
	}
	return occi.Never, nil // it has none
}

// valueOf is a value as OCCI has it.
func valueOf(v types.Value) (occi.Value, bool) {
	switch x := v.(type) {
	case types.String:
		return occi.Str(string(x)), true
	case types.Boolean:
		return occi.Bool(bool(x)), true
	case types.Long:
		return occi.Float(float64(x)), math.Abs(float64(x)) < 1<<53
	case types.Decimal:
		var f float64
		_, err := fmt.Sscan(x.String(), &f)
		return occi.Float(f), err == nil
	}
	return occi.Value{}, false
}

// in gives where the thing is an entity or any of some: there is nothing else to be in.
func (t *translation) in(a, b ast.IsNode) (*occi.Where, error) {
	if err := t.itself(a); err != nil || about(b) {
		return nil, cannot("what is in something that the resource has cannot be selected by")
	}
	v, err := t.value(b)
	if err != nil {
		return nil, err
	}
	set, ok := v.(types.Set)
	if !ok {
		return t.is(v), nil
	}
	any := occi.Never
	for o := range set.All() {
		any = occi.Or(any, t.is(o))
	}
	return any, nil
}

// like gives where an attribute begins with something, which is all that can be selected.
func (t *translation) like(o ast.NodeTypeLike) (*occi.Where, error) {
	name, err := t.attribute(o.Arg)
	if err != nil {
		return nil, err
	}
	prefix, open, ok := prefixOf(o.Value)
	if !ok {
		return nil, cannot("resource.%s like %s: only patterns whose one * is at the end, as \"web*\", can be selected by", name, o.Value.MarshalCedar())
	}
	if !open {
		return t.compared(o.Arg, occi.Eq, types.String(prefix))
	}
	if t.kind == nil {
		return occi.Never, nil
	}
	c := t.kind.column(name)
	if c == "" && t.kind.shape()[types.String(name)].Type != nil {
		return nil, cannot("resource.%s can only be compared, not with a pattern", name)
	}
	if c == "" {
		return occi.Never, nil
	}
	return occi.WhereAttribute(occi.WherePrefix, occi.Cond{Name: c, Value: occi.Str(prefix)}), nil
}

// maxPrefix is how long a text is that stores find others by that begin with it, in bytes.
const maxPrefix = 200

// prefixOf gives the text that a pattern begins with, and whether more may follow; ok is
// false for other patterns.
func prefixOf(p types.Pattern) (text string, open, ok bool) {
	var parts []any
	coded, err := p.MarshalJSON()
	if err != nil || json.Unmarshal(coded, &parts) != nil {
		return "", false, false
	}
	for _, part := range parts {
		if open {
			return "", false, false
		}
		if literal, is := part.(map[string]any); is {
			s, _ := literal["Literal"].(string)
			text += s
		} else {
			open = true
		}
	}
	return text, open, len(text) <= maxPrefix
}
