package occi

import (
	"math"
	"sort"
	"strconv"
	"strings"
)

// Type is the type of an attribute's value.
type Type string

// The types of values. Integer is a number without a fraction; Number keeps one
// when rendered (GFD.229, attribute rendering).
const (
	String  Type = "string"
	Integer Type = "integer"
	Number  Type = "number"
	Boolean Type = "boolean"
	Array   Type = "array"
	Object  Type = "object"
)

// Value is one attribute value. Values compare with ==. The zero Value is no
// value. Text holds a String, or the compact JSON of an Array or Object; Num
// holds an Integer or Number, and a Boolean as 0 or 1.
type Value struct {
	Type Type
	Num  float64
	Text string
}

// Str makes a String value.
func Str(s string) Value { return Value{Type: String, Text: s} }

// Int makes an Integer value.
func Int(i int64) Value { return Value{Type: Integer, Num: float64(i)} }

// Float makes a Number value.
func Float(f float64) Value { return Value{Type: Number, Num: f} }

// Bool makes a Boolean value.
func Bool(b bool) Value {
	if b {
		return Value{Type: Boolean, Num: 1}
	}
	return Value{Type: Boolean}
}

// IsZero reports whether there is no value.
func (v Value) IsZero() bool { return v.Type == "" }

// Bare reports whether the value is written without quotes in text renderings.
func (v Value) Bare() bool {
	return v.Type == Integer || v.Type == Number || v.Type == Boolean
}

// Append adds the value's text to b: unquoted, numbers of type Number with a
// fraction ("2.0").
func (v Value) Append(b []byte) []byte {
	switch v.Type {
	case Integer:
		return strconv.AppendInt(b, int64(v.Num), 10)
	case Number:
		if v.Num == math.Trunc(v.Num) && math.Abs(v.Num) < 1e15 {
			return append(strconv.AppendInt(b, int64(v.Num), 10), ".0"...)
		}
		return strconv.AppendFloat(b, v.Num, 'g', -1, 64)
	case Boolean:
		return strconv.AppendBool(b, v.Num != 0)
	default:
		return append(b, v.Text...)
	}
}

// String is the value's text, as Append writes it.
func (v Value) String() string {
	if v.Type == String {
		return v.Text
	}
	return string(v.Append(nil))
}

// Attr is a named value.
type Attr struct {
	Name  string
	Value Value
}

// Attrs is a set of named values in rendering order (see less). The zero Attrs
// is empty. Set and Delete change the receiver's own slice only.
type Attrs []Attr

// less orders names alphabetically, but a name that extends another with a dot
// comes before it: clients that nest dotted names keep the later one, which must
// be the shorter (occi.compute.state after occi.compute.state.message).
func less(a, b string) bool {
	if strings.HasPrefix(a, b) && len(a) > len(b) && a[len(b)] == '.' {
		return true
	}
	if strings.HasPrefix(b, a) && len(b) > len(a) && b[len(a)] == '.' {
		return false
	}
	return a < b
}

// Get gives the named value, or the zero Value.
func (as Attrs) Get(name string) Value {
	for i := range as {
		if as[i].Name == name {
			return as[i].Value
		}
	}
	return Value{}
}

// Set puts a value under a name, replacing the one there; a zero Value deletes.
func (as *Attrs) Set(name string, v Value) {
	if v.IsZero() {
		as.Delete(name)
		return
	}
	s := *as
	i := sort.Search(len(s), func(i int) bool { return !less(s[i].Name, name) })
	if i < len(s) && s[i].Name == name {
		s[i].Value = v
		return
	}
	n := make(Attrs, 0, len(s)+1)
	n = append(append(append(n, s[:i]...), Attr{name, v}), s[i:]...)
	*as = n
}

// Delete removes the named value.
func (as *Attrs) Delete(name string) {
	for i, a := range *as {
		if a.Name == name {
			n := make(Attrs, 0, len(*as)-1)
			*as = append(append(n, (*as)[:i]...), (*as)[i+1:]...)
			return
		}
	}
}

// Clone copies the set.
func (as Attrs) Clone() Attrs { return append(Attrs(nil), as...) }
