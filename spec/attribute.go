package spec

import (
	"bytes"
	"encoding/json"
	"fmt"
	"regexp"
	"strings"

	"github.com/occid/occid/occi"
	"go.yaml.in/yaml/v3"
)

// ownPrefixes are those of attributes that only the built-in files define.
var ownPrefixes = []string{"occi.", "occid."}

// reservedShorts are keys of every descriptor.
var reservedShorts = map[string]bool{"type": true, "kind": true, "id": true, "title": true, "summary": true,
	"links": true, "mixins": true, "actions": true}

// defineAttributes makes a file's definitions with a type, so that mixins
// anywhere may refer to them by name alone.
func (b *builder) defineAttributes(l *loaded) {
	define := func(defs []*attrDef) {
		for _, d := range defs {
			if d.Type == "" {
				continue
			}
			at := place{l.src, line(d.node, "name"), d.Name}
			if old, ok := b.attrAt[d.Name]; ok {
				b.bad(at, "is defined already (%s line %d); a mixin uses it by its name alone without a type", old.src.name, old.line)
				continue
			}
			if !l.src.builtin {
				b.foreign(l.src, d)
			}
			a := b.attribute(l.src, d)
			b.attrs[d.Name], b.attrAt[d.Name], b.built[d] = a, at, a
		}
	}
	for _, d := range l.doc.Kinds {
		define(d.Attributes)
	}
	for _, d := range l.doc.Mixins {
		define(d.Attributes)
	}
	for _, d := range l.doc.Extensions {
		define(d.Attributes)
	}
}

// foreign checks what operators must keep clear of.
func (b *builder) foreign(src *source, d *attrDef) {
	for _, p := range ownPrefixes {
		if strings.HasPrefix(d.Name, p) {
			b.bad(place{src, line(d.node, "name"), d.Name}, "names under %s are reserved; use a prefix of your own such as com.example", p)
		}
	}
	if reservedShorts[d.Short] {
		b.bad(place{src, line(d.node, "short"), d.Name}, "short name %q is reserved", d.Short)
	}
	for i, alias := range d.Aliases {
		if reservedShorts[alias] {
			b.bad(place{src, itemLine(d.node, "aliases", i), d.Name}, "short name %q is reserved", alias)
		}
	}
}

// attributes gives the definitions of a kind or mixin.
func (b *builder) attributes(src *source, defs []*attrDef) []*occi.Attribute {
	var out []*occi.Attribute
	seen := map[string]bool{}
	for _, d := range defs {
		at := place{src, line(d.node, "name"), d.Name}
		if seen[d.Name] {
			b.bad(at, "is given twice")
			continue
		}
		seen[d.Name] = true
		if d.Type != "" {
			if a := b.built[d]; a != nil {
				out = append(out, a)
			}
			continue
		}
		base := b.attrs[d.Name]
		switch {
		case base == nil:
			b.bad(at, "is defined nowhere; give it a type")
			continue
		case base.Internal:
			b.bad(at, "only the server sets it")
			continue
		}
		a := *base
		if d.Description != "" {
			a.Description = d.Description
		}
		b.setDefault(src, d, &a)
		out = append(out, &a)
	}
	return out
}

// attribute makes a definition that has a type.
func (b *builder) attribute(src *source, d *attrDef) *occi.Attribute {
	a := &occi.Attribute{Name: d.Name, Short: d.Short, Aliases: d.Aliases, Type: occi.Type(d.Type), Required: d.Required, Internal: d.Internal, Observed: d.Observed, Secret: d.Secret, Confidential: d.Confidential,
		Once: d.Once, Enum: d.Enum, Min: d.Min, Max: d.Max, Pattern: d.Pattern, Unit: d.Unit, Role: d.Role,
		Format: d.Format, Indexed: d.Indexed, Live: d.Live, Uses: d.Uses, Limits: d.Limits, Tells: d.Tells, Description: d.Description, Mutable: !d.Internal}
	if d.Mutable != nil {
		a.Mutable = *d.Mutable
	}
	bad := func(key, format string, args ...any) {
		b.bad(place{src, line(d.node, key), d.Name}, format, args...)
	}
	if a.Internal {
		if a.Mutable {
			bad("mutable", "an internal attribute cannot be mutable")
		}
		if a.Required {
			bad("required", "an internal attribute cannot be required")
		}
		if a.Once {
			bad("once", "an internal attribute cannot be set once")
		}
	}
	if a.Observed && !a.Internal {
		bad("observed", "what is observed must be internal")
	}
	if text := a.Type == occi.String; !text {
		for _, key := range []string{"enum", "pattern", "format"} {
			if k, _ := entry(d.node, key); k != nil {
				bad(key, "%s is for strings only", key)
			}
		}
	}
	if number := a.Type == occi.Integer || a.Type == occi.Number; !number {
		for _, key := range []string{"min", "max", "unit"} {
			if k, _ := entry(d.node, key); k != nil {
				bad(key, "%s is for numbers only", key)
			}
		}
	}
	if a.Min != nil && a.Max != nil && *a.Min > *a.Max {
		bad("min", "min is more than max")
	}
	if _, err := compile(a.Pattern); err != nil {
		bad("pattern", "pattern: %v", err)
		return a
	}
	b.setDefault(src, d, a)
	return a
}

func compile(pattern string) (*regexp.Regexp, error) {
	return regexp.Compile(`^(?:` + pattern + `)$`)
}

// setDefault gives an attribute the default that its definition names.
func (b *builder) setDefault(src *source, d *attrDef, a *occi.Attribute) {
	_, n := entry(d.node, "default")
	if n == nil {
		return
	}
	v, err := value(n, a.Type)
	if err == nil {
		v, err = a.Check(v)
	}
	if err == nil && a.Pattern != "" {
		if re, e := compile(a.Pattern); e == nil && !re.MatchString(v.Text) {
			err = fmt.Errorf("%q does not match %s", v.Text, a.Pattern)
		}
	}
	if err != nil {
		b.bad(place{src, n.Line, d.Name}, "default: %v", err)
		return
	}
	a.Default = v
}

// value turns a node into a value fit for an attribute of a type. Text must be
// written as text, lest 1.10 become 1.1; numbers may be text with a unit.
func value(n *yaml.Node, t occi.Type) (occi.Value, error) {
	x, f := new(plain).value(n, 0)
	if f != nil {
		return occi.Value{}, fmt.Errorf("%s", f.text)
	}
	switch x := x.(type) {
	case string:
		return occi.Str(x), nil
	case bool:
		if t == occi.Boolean {
			return occi.Bool(x), nil
		}
		return occi.Value{}, fmt.Errorf("%s is a boolean where %s is meant; quote text", n.Value, article(string(t)))
	case float64:
		if t == occi.Integer || t == occi.Number {
			return occi.Float(x), nil
		}
		return occi.Value{}, fmt.Errorf("%s is a number where %s is meant; quote text", n.Value, article(string(t)))
	case []any:
		return compact(occi.Array, x)
	case map[string]any:
		return compact(occi.Object, x)
	}
	return occi.Value{}, fmt.Errorf("has no value")
}

// compact keeps a list or mapping as JSON.
func compact(t occi.Type, x any) (occi.Value, error) {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(x); err != nil {
		return occi.Value{}, err
	}
	return occi.Value{Type: t, Text: strings.TrimSpace(buf.String())}, nil
}
