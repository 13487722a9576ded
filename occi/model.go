package occi

import (
	"fmt"
	"regexp"
	"strings"
)

// Model is a registry of categories, checked and indexed. It does not change;
// extending one makes another (NewModel).
type Model struct {
	Kinds   []*Kind // in registry order: core, infrastructure, extensions
	Mixins  []*Mixin
	Actions []*Action
	// Version names what the provider defines; it changes with that.
	Version string
	// Revision is the state of what users define (With); 0 if there is nothing.
	Revision int64

	provided int // mixins that are the provider's, the first ones
	own      []string
	quotas   Quotas

	kinds     map[string]*Kind
	mixins    map[string]*Mixin
	actions   map[string]*Action
	locations map[string]any   // path -> *Kind or *Mixin
	words     map[string]*Kind // descriptor type -> kind
	attrs     map[string]*Attribute
	indexed   map[string]bool
	inherited map[*Kind][]*Attribute // own and parents' attributes
}

// NewModel checks and indexes categories; the error lists every contradiction.
func NewModel(version string, kinds []*Kind, mixins []*Mixin, actions []*Action) (*Model, error) {
	m := &Model{Version: version, Kinds: kinds, Mixins: mixins, Actions: actions,
		kinds: map[string]*Kind{}, mixins: map[string]*Mixin{}, actions: map[string]*Action{},
		locations: map[string]any{}, words: map[string]*Kind{}, attrs: map[string]*Attribute{},
		indexed: map[string]bool{}, inherited: map[*Kind][]*Attribute{}, provided: len(mixins)}
	var ps []Problem
	bad := func(id, format string, args ...any) {
		ps = append(ps, Problem{What: id, Text: fmt.Sprintf(format, args...)})
	}
	for _, a := range actions {
		if m.actions[a.ID()] != nil {
			bad(a.ID(), "action defined twice")
		}
		m.actions[a.ID()] = a
		m.addAttributes(&a.Category, bad)
	}
	for _, k := range kinds {
		m.addKind(k, bad)
	}
	for _, x := range mixins {
		m.addMixin(x, bad)
	}
	for _, k := range kinds {
		m.checkKind(k, bad)
	}
	for _, x := range mixins {
		for _, d := range x.Depends {
			if m.mixins[d] == nil && !x.User {
				bad(x.ID(), "depends on unknown mixin %s", d)
			}
		}
		for _, k := range x.Applies {
			if m.kinds[k] == nil {
				bad(x.ID(), "applies to unknown kind %s", k)
			}
		}
	}
	if err := Problems(Invalid, "the registry contradicts itself", ps); err != nil {
		return nil, err
	}
	for _, k := range kinds {
		m.inherited[k] = m.inherit(k)
	}
	m.addQuotas()
	return m, nil
}

func (m *Model) addKind(k *Kind, bad func(string, string, ...any)) {
	if m.kinds[k.ID()] != nil {
		bad(k.ID(), "kind defined twice")
	}
	m.kinds[k.ID()] = k
	if k.Own {
		m.own = append(m.own, k.ID())
	}
	m.addAttributes(&k.Category, bad)
	if k.Location != "" {
		m.addLocation(k.ID(), k.Location, k, bad)
	}
	for _, w := range append([]string{k.Term}, k.Aliases...) {
		if o := m.words[w]; o != nil {
			bad(k.ID(), "name %q is taken by %s", w, o.ID())
		}
		m.words[w] = k
	}
}

func (m *Model) addMixin(x *Mixin, bad func(string, string, ...any)) {
	if m.mixins[x.ID()] != nil || m.kinds[x.ID()] != nil {
		bad(x.ID(), "defined twice")
	}
	m.mixins[x.ID()] = x
	m.addAttributes(&x.Category, bad)
	if x.Location != "" {
		m.addLocation(x.ID(), x.Location, x, bad)
	}
}

func (m *Model) addLocation(id, loc string, c any, bad func(string, string, ...any)) {
	if !strings.HasPrefix(loc, "/") || !strings.HasSuffix(loc, "/") {
		bad(id, "location %q does not begin and end with a slash", loc)
	}
	if m.locations[loc] != nil {
		bad(id, "location %s is taken", loc)
	}
	m.locations[loc] = c
}

// addAttributes indexes attribute definitions by name. Categories may repeat a
// name (a template gives another default); the first one is the definition.
func (m *Model) addAttributes(c *Category, bad func(string, string, ...any)) {
	for _, a := range c.Attributes {
		if a.Pattern != "" {
			re, err := regexp.Compile(`^(?:` + a.Pattern + `)$`)
			if err != nil {
				bad(c.ID(), "attribute %s: pattern: %v", a.Name, err)
				continue
			}
			a.match = re.MatchString
		}
		if !a.Default.IsZero() {
			v, err := a.Check(a.Default)
			if err != nil {
				bad(c.ID(), "attribute %s: default: %v", a.Name, err)
			}
			a.Default = v
		}
		if m.attrs[a.Name] == nil {
			m.attrs[a.Name] = a
		}
		if a.Indexed {
			m.indexed[a.Name] = true
		}
	}
}

func (m *Model) checkKind(k *Kind, bad func(string, string, ...any)) {
	if k.Parent != "" && m.kinds[k.Parent] == nil {
		bad(k.ID(), "unknown parent %s", k.Parent)
	}
	if k.Parent == "" && k.ID() != EntityKind {
		bad(k.ID(), "has no parent")
	}
	for seen, p := 0, k; p != nil; p, seen = m.kinds[p.Parent], seen+1 {
		if seen > len(m.Kinds) {
			bad(k.ID(), "is its own ancestor")
			break
		}
	}
	s := k.States
	if s == nil {
		return
	}
	reached := map[string]bool{s.Initial: true, s.Failed: true}
	for _, t := range s.Transitions {
		reached[t.To] = true
		for _, v := range []string{t.From, t.To} {
			if !contains(s.Values, v) {
				bad(k.ID(), "transition %s names unknown state %q", t.Action, v)
			}
		}
		if t.Action != "" && m.kindAction(k, t.Action) == nil {
			bad(k.ID(), "transition names unknown action %q", t.Action)
		}
	}
	for _, v := range s.Values {
		if !reached[v] {
			bad(k.ID(), "state %q cannot be reached", v)
		}
	}
	if !contains(s.Values, s.Initial) || (s.Failed != "" && !contains(s.Values, s.Failed)) {
		bad(k.ID(), "initial or failed state is not among the states")
	}
	for alias, v := range s.Aliases {
		if v != "" && !contains(s.Values, v) {
			bad(k.ID(), "alias %q stands for unknown state %q", alias, v)
		}
	}
}

func (m *Model) inherit(k *Kind) []*Attribute {
	var out []*Attribute
	for p := k; p != nil; p = m.kinds[p.Parent] {
		out = append(out, p.Attributes...)
	}
	return out
}

// Kind gives the kind with an identifier, or nil.
func (m *Model) Kind(id string) *Kind { return m.kinds[id] }

// Own lists the identifiers of the kinds that are the provider's own. The list is
// shared and must not be changed.
func (m *Model) Own() []string { return m.own }

// Mixin gives the mixin with an identifier, or nil.
func (m *Model) Mixin(id string) *Mixin { return m.mixins[id] }

// Action gives the action with an identifier, or nil.
func (m *Model) Action(id string) *Action { return m.actions[id] }

// At gives what is at a location ("/compute/"): a *Kind, a *Mixin or nil.
func (m *Model) At(location string) any { return m.locations[location] }

// KindNamed gives the kind that a descriptor calls by its term or an alias, or
// that is named by its identifier; nil if none is.
func (m *Model) KindNamed(word string) *Kind {
	if k := m.kinds[word]; k != nil {
		return k
	}
	return m.words[word]
}

// IsA reports whether a kind is, or descends from, the one with an identifier.
func (m *Model) IsA(k *Kind, id string) bool {
	for ; k != nil; k = m.kinds[k.Parent] {
		if k.is(id) {
			return true
		}
	}
	return false
}

// Attribute gives the first definition of an attribute anywhere, or nil.
func (m *Model) Attribute(name string) *Attribute { return m.attrs[name] }

// Indexed reports whether filters on the attribute use an index.
func (m *Model) Indexed(name string) bool { return m.indexed[name] }

// KindAttributes lists the attributes of a kind and its parents.
func (m *Model) KindAttributes(k *Kind) []*Attribute {
	if as, ok := m.inherited[k]; ok {
		return as
	}
	return m.inherited[m.kinds[k.ID()]] // one of another registry
}

// RoleAttribute gives the attribute of a kind, or of its parents, that has a role; nil if
// none has, or there is no such kind.
func (m *Model) RoleAttribute(kind, role string) *Attribute {
	k := m.Kind(kind)
	if k == nil {
		return nil
	}
	for _, a := range m.KindAttributes(k) {
		if a.Role == role {
			return a
		}
	}
	return nil
}

// AttributeOf gives the definition of an attribute for an entity of a kind with
// mixins: the kind's, its parents' or a mixin's, following dependencies; nil if
// none has it. A definition that fixes what a base definition leaves open (a
// template's default) does not hide it.
func (m *Model) AttributeOf(k *Kind, mixins []string, name string) *Attribute {
	for _, a := range m.KindAttributes(k) {
		if a.Name == name {
			return a
		}
	}
	for _, x := range m.Closure(mixins) {
		if a := x.Attribute(name); a != nil {
			return a
		}
	}
	return nil
}

// MemberAttribute gives the definition of an attribute that an entity of a kind
// may have, by itself or by a mixin that applies to the kind; nil if it may not.
func (m *Model) MemberAttribute(k *Kind, name string) *Attribute {
	if a := m.AttributeOf(k, nil, name); a != nil {
		return a
	}
	for _, x := range m.Mixins {
		if m.applies(x, k) {
			if a := x.Attribute(name); a != nil {
				return a
			}
		}
	}
	return nil
}

// applies reports whether entities of a kind may have a mixin.
func (m *Model) applies(x *Mixin, k *Kind) bool {
	for _, id := range x.Applies {
		if m.IsA(k, id) {
			return true
		}
	}
	return len(x.Applies) == 0
}

// Closure lists the known mixins with identifiers and all they depend on, each
// once, in order.
func (m *Model) Closure(ids []string) []*Mixin {
	var out []*Mixin
	var add func(ids []string, depth int)
	add = func(ids []string, depth int) {
		for _, id := range ids {
			x := m.mixins[id]
			if x == nil || depth > len(m.Mixins) {
				continue
			}
			known := false
			for _, o := range out {
				known = known || o == x
			}
			if !known {
				out = append(out, x)
				add(x.Depends, depth+1)
			}
		}
	}
	add(ids, 0)
	return out
}

// Long gives the full name of a descriptor's key for entities of a kind, nil
// for all kinds: "cores" is occi.compute.cores. Unknown keys stay as they are.
func (m *Model) Long(k *Kind, key string) string {
	switch key {
	case "":
		return "" // which attributes without a short name do not have either
	case "id":
		return AttrID
	case "title":
		return AttrTitle
	case "summary":
		return AttrSummary
	}
	if k != nil {
		for _, a := range m.KindAttributes(k) {
			if a.called(key) {
				return a.Name
			}
		}
		for _, x := range m.Mixins {
			if m.applies(x, k) {
				for _, a := range x.Attributes {
					if a.called(key) {
						return a.Name
					}
				}
			}
		}
		return key
	}
	var names []string
	for _, a := range m.attrs {
		if a.called(key) {
			names = append(names, a.Name)
		}
	}
	if len(names) == 1 {
		return names[0]
	}
	return key
}

// kindAction gives a kind's action by term, its parents' included.
func (m *Model) kindAction(k *Kind, term string) *Action {
	for ; k != nil; k = m.kinds[k.Parent] {
		for _, a := range k.Actions {
			if a.Term == term {
				return a
			}
		}
	}
	return nil
}

// ActionOf gives the action that an entity of a kind with mixins has under a
// term, or nil.
func (m *Model) ActionOf(k *Kind, mixins []string, term string) *Action {
	if a := m.kindAction(k, term); a != nil {
		return a
	}
	for _, x := range m.Closure(mixins) {
		for _, a := range x.Actions {
			if a.Term == term {
				return a
			}
		}
	}
	return nil
}

// State gives an entity's state, "" if its kind has none.
func (m *Model) State(e *Entity) string {
	k := m.kinds[e.Kind]
	if k == nil || k.States == nil {
		return ""
	}
	return e.Attributes.Get(k.States.Attribute).Text
}

// Possible lists the actions that can be invoked on an entity now, in registry
// order: a state machine's own from its present state, others always.
func (m *Model) Possible(e *Entity) []*Action {
	k := m.kinds[e.Kind]
	if k == nil {
		return nil
	}
	var out []*Action
	state := m.State(e)
	for p := k; p != nil; p = m.kinds[p.Parent] {
		for _, a := range p.Actions {
			if k.States != nil && len(k.States.Targets(a.Term)) > 0 {
				if _, ok := k.States.Next(state, a.Term); !ok {
					continue
				}
			}
			out = append(out, a)
		}
	}
	if len(e.Mixins) > 0 {
		for _, x := range m.Closure(e.Mixins) {
			out = append(out, x.Actions...)
		}
	}
	return out
}

// Path is where an entity is found: its kind's location and its UUID.
func (m *Model) Path(e *Entity) string {
	if k := m.kinds[e.Kind]; k != nil {
		return k.Location + e.ID.String()
	}
	return "/" + e.ID.String()
}

// RefPath is where a link's end is found: a path here, or a URI elsewhere.
func (m *Model) RefPath(r Ref) string {
	if r.URI != "" {
		return r.URI
	}
	if k := m.kinds[r.Kind]; k != nil {
		return k.Location + r.ID.String()
	}
	return "/" + r.ID.String()
}
