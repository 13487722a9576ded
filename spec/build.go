package spec

import (
	"fmt"
	"strings"

	"github.com/occid/occid/occi"
	"go.yaml.in/yaml/v3"
)

// maxProblems is how many problems one refusal tells in full.
const maxProblems = 100

// place is where something is written.
type place struct {
	src  *source
	line int
	what string
}

// loaded is a file that conforms to the schema.
type loaded struct {
	src *source
	doc fileDoc
}

// builder makes a model of files and gathers what is wrong with them.
type builder struct {
	files    []*loaded
	problems []occi.Problem
	fatal    error

	kinds   []*occi.Kind
	mixins  []*occi.Mixin
	actions []*occi.Action

	byID    map[string]place             // of every category
	mixinOf map[string]*occi.Mixin       // by identifier
	kindOf  map[string]*occi.Kind        // by identifier
	attrs   map[string]*occi.Attribute   // typed definitions by name
	attrAt  map[string]place             // where they are
	built   map[*attrDef]*occi.Attribute // typed definitions by their node
	states  map[string]*statesAt         // of kinds, by identifier
}

func newBuilder() *builder {
	return &builder{byID: map[string]place{}, mixinOf: map[string]*occi.Mixin{}, kindOf: map[string]*occi.Kind{},
		attrs: map[string]*occi.Attribute{}, attrAt: map[string]place{},
		built: map[*attrDef]*occi.Attribute{}, states: map[string]*statesAt{}}
}

func (b *builder) bad(p place, format string, args ...any) {
	what := p.src.name
	if p.what != "" {
		what += ": " + p.what
	}
	b.problems = append(b.problems, occi.Problem{What: what, Text: fmt.Sprintf(format, args...), Line: p.line})
}

func (b *builder) err() error {
	if b.fatal != nil {
		return b.fatal
	}
	ps := b.problems
	if len(ps) > maxProblems {
		rest := ps[maxProblems]
		rest.Text = fmt.Sprintf("%s (and %d more problems)", rest.Text, len(ps)-maxProblems-1)
		ps = append(ps[:maxProblems:maxProblems], rest)
	}
	return occi.Problems(occi.Invalid, refused, ps)
}

// file reads one file as far as it can be judged alone.
func (b *builder) file(s source) {
	src := &s
	root, f := parse(s.data)
	var value any
	if f == nil && root != nil {
		value, f = new(plain).value(root, 0)
	}
	if f != nil {
		b.bad(place{src, f.line, f.what}, "%s", f.text)
		return
	}
	if root == nil || value == nil {
		return // nothing but comments
	}
	faults, err := conform(root, value)
	if err != nil {
		b.fatal = occi.E(occi.Internal, "registry: %w", err)
		return
	}
	for _, f := range faults {
		b.bad(place{src, f.line, f.what}, "%s", f.text)
	}
	if len(faults) > 0 {
		return
	}
	l := &loaded{src: src}
	if err := root.Decode(&l.doc); err != nil {
		f := syntax(err)
		b.bad(place{src, f.line, ""}, "%s", f.text)
		return
	}
	b.files = append(b.files, l)
}

// model joins the files, checks what they say of each other and makes a model.
func (b *builder) model(version string) (*occi.Model, error) {
	for _, l := range b.files {
		b.defineAttributes(l)
	}
	for _, l := range b.files {
		for _, d := range l.doc.Kinds {
			b.kind(l.src, d)
		}
		for _, d := range l.doc.Mixins {
			b.mixin(l.src, d)
		}
	}
	for _, l := range b.files {
		for _, d := range l.doc.Extensions {
			b.extend(l.src, d)
		}
	}
	b.inherit()
	b.check()
	if err := b.err(); err != nil {
		return nil, err
	}
	m, err := occi.NewModel(version, b.kinds, b.mixins, b.actions)
	if err != nil {
		return nil, b.located(err)
	}
	return m, nil
}

// located gives the model's own complaints their files and lines.
func (b *builder) located(err error) error {
	e, ok := err.(*occi.Error)
	if !ok {
		return err
	}
	for _, p := range e.Problems {
		if at, ok := b.byID[p.What]; ok {
			b.bad(at, "%s", p.Text)
			continue
		}
		b.problems = append(b.problems, p)
	}
	return b.err()
}

// category checks an identifier and makes its category. It is not ok if there is
// one already.
func (b *builder) category(src *source, n *yaml.Node, id, title string) (c occi.Category, ok bool) {
	at := place{src, line(n, "id"), id}
	if old, ok := b.byID[id]; ok {
		b.bad(at, "is defined already (%s line %d)", old.src.name, old.line)
		return c, false
	}
	b.byID[id] = at
	if low := strings.ToLower(id); !src.builtin {
		for _, p := range []string{"schemas.ogf.org/occi/", "schemas.occid.org/"} {
			if strings.HasPrefix(low, "http://"+p) || strings.HasPrefix(low, "https://"+p) {
				b.bad(at, "schemes under http://%s are reserved; use one of your own", p)
			}
		}
	}
	scheme, term, _ := occi.SplitID(id)
	return occi.Category{Scheme: scheme, Term: term, Title: title}, true
}

// first reports whether a definition is the first of its identifier.
func (b *builder) first(src *source, n *yaml.Node, id string) bool {
	return b.byID[id] == place{src, line(n, "id"), id}
}

func (b *builder) kind(src *source, d *kindDef) {
	c, ok := b.category(src, d.node, d.ID, d.Title)
	if !ok {
		return
	}
	k := &occi.Kind{Category: c, Parent: d.Parent, Location: d.Location,
		Abstract: d.Abstract, Own: d.Own, Link: d.Link, TargetKind: d.Target, Host: d.Host, Uses: d.Uses, Aliases: d.Aliases}
	if k.Location == "" {
		k.Location = "/" + k.Term + "/"
	}
	k.Attributes = b.attributes(src, d.Attributes)
	k.Actions = b.acts(src, d.Actions)
	b.kinds = append(b.kinds, k)
	b.kindOf[d.ID] = k
	if d.States != nil {
		b.setStates(src, k, d.States)
	}
}

func (b *builder) mixin(src *source, d *mixinDef) {
	c, ok := b.category(src, d.node, d.ID, d.Title)
	if !ok {
		return
	}
	x := &occi.Mixin{Category: c, Depends: d.Depends, Applies: d.Applies,
		Location: d.Location, Exclusive: d.Exclusive, Auto: d.Auto, Uses: d.Uses}
	if x.Location == "" {
		x.Location = "/mixin/" + x.Term + "/"
	}
	x.Attributes = b.attributes(src, d.Attributes)
	x.Actions = b.acts(src, d.Actions)
	b.mixins = append(b.mixins, x)
	b.mixinOf[d.ID] = x
}

func (b *builder) acts(src *source, defs []*actDef) []*occi.Action {
	var out []*occi.Action
	for _, d := range defs {
		c, ok := b.category(src, d.node, d.ID, d.Title)
		if !ok {
			continue
		}
		a := &occi.Action{Category: c, Do: d.Do, Makes: d.Makes, Template: d.Template}
		seen := map[string]bool{}
		for _, p := range d.Attributes {
			if seen[p.Name] {
				b.bad(place{src, line(p.node, "name"), p.Name}, "is given twice")
			}
			seen[p.Name] = true
			a.Attributes = append(a.Attributes, b.attribute(src, p))
		}
		out = append(out, a)
		b.actions = append(b.actions, a)
	}
	return out
}

// extend adds to a kind that is defined elsewhere.
func (b *builder) extend(src *source, d *extensionDef) {
	at := place{src, line(d.node, "extend"), d.Extend}
	k := b.kindOf[d.Extend]
	if k == nil {
		b.bad(at, "extends an unknown kind")
		return
	}
	k.Attributes = append(k.Attributes, b.attributes(src, d.Attributes)...)
	k.Actions = append(k.Actions, b.acts(src, d.Actions)...)
	k.Aliases = append(k.Aliases, d.Aliases...)
	if d.States != nil {
		b.addStates(src, k, d.States)
	}
}

// inherit gives kinds what they leave to their parents: states, the host's
// thing, the target of links.
func (b *builder) inherit() {
	for _, k := range b.kinds {
		p := b.kindOf[k.Parent]
		for n := 0; p != nil && n <= len(b.kinds); n++ {
			if k.States == nil {
				k.States = p.States
			}
			if k.Host == "" {
				k.Host = p.Host
			}
			if k.Uses == "" {
				k.Uses = p.Uses
			}
			if k.TargetKind == "" {
				k.TargetKind = p.TargetKind
			}
			p = b.kindOf[p.Parent]
		}
		if b.isA(k, occi.LinkKind) {
			k.Link = true
		}
	}
}

// chain lists a kind and its known ancestors.
func (b *builder) chain(k *occi.Kind) []*occi.Kind {
	var out []*occi.Kind
	for ; k != nil && len(out) <= len(b.kinds); k = b.kindOf[k.Parent] {
		out = append(out, k)
	}
	return out
}

func (b *builder) isA(k *occi.Kind, id string) bool {
	for _, p := range b.chain(k) {
		if p.ID() == id {
			return true
		}
	}
	return false
}
