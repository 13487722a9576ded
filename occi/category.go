package occi

import (
	"slices"
	"strings"
)

// Schemes of the OCCI core (GFD.221 section 5).
const (
	CoreScheme   = "http://schemas.ogf.org/occi/core#"
	EntityKind   = CoreScheme + "entity"
	ResourceKind = CoreScheme + "resource"
	LinkKind     = CoreScheme + "link"
)

// HostKind is the kind of the hosts that the provider runs machines on.
const HostKind = "http://schemas.occid.org/occi/infrastructure#host"

// Core attribute names (GFD.229 section 5.5.1); they are part of every entity
// rather than of its Attributes.
const (
	AttrID         = "occi.core.id"
	AttrTitle      = "occi.core.title"
	AttrSummary    = "occi.core.summary"
	AttrSource     = "occi.core.source"
	AttrSourceKind = "occi.core.source.kind"
	AttrTarget     = "occi.core.target"
	AttrTargetKind = "occi.core.target.kind"
)

// Class names of categories in the text rendering.
const (
	ClassKind   = "kind"
	ClassMixin  = "mixin"
	ClassAction = "action"
)

// Category is what kinds, mixins and actions have in common (GFD.221 section
// 5.3.1). Its identifier is Scheme followed by Term.
type Category struct {
	Scheme     string // ends in "#"
	Term       string
	Title      string
	Attributes []*Attribute
}

// ID is the category's identifier: scheme and term together.
func (c *Category) ID() string { return c.Scheme + c.Term }

// is reports whether the identifier is the category's, without making that.
func (c *Category) is(id string) bool {
	scheme, ok := strings.CutSuffix(id, c.Term)
	return ok && scheme == c.Scheme
}

// Attribute gives the named attribute's definition, or nil.
func (c *Category) Attribute(name string) *Attribute {
	for _, a := range c.Attributes {
		if a.Name == name {
			return a
		}
	}
	return nil
}

// SplitID parts an identifier into scheme (with its "#") and term.
func SplitID(id string) (scheme, term string, ok bool) {
	i := strings.LastIndexByte(id, '#')
	if i < 1 || i == len(id)-1 {
		return "", "", false
	}
	return id[:i+1], id[i+1:], true
}

// Attribute defines an attribute (GFD.221 section 5.2).
type Attribute struct {
	Name  string
	Short string // the descriptor's key; unique within a kind and its mixins
	// Aliases are other keys that are read in its place, as unique.
	Aliases  []string
	Type     Type
	Mutable  bool // a client may change it after creation
	Required bool // a client must give it at creation
	Internal bool // only the server sets it (implies not Mutable)
	// Observed ones are Internal, and change by themselves: what a client sends of one
	// is out of date already, and ignored.
	Observed bool
	// Secret ones are given and never shown: what a draft gives is among an entity's
	// Secrets, which nothing keeps.
	Secret bool
	// Confidential ones hold what is for the machine alone, such as data that it is handed:
	// the audit trail tells that they were changed, not to what.
	Confidential bool
	Once         bool // may be set once, at creation or later, then never changed
	Default      Value
	Enum         []string
	Min, Max     *float64
	Pattern      string // anchored regular expression (RE2)
	Unit         string // of a bare number: "GiB", "GHz"; empty if it has none
	Role         string // what the value means to a host, as "domain.memory"
	Format       string // "ip", "cidr", "mac", "hostname", "line", "state", "rules"
	Indexed      bool   // filters on it use an index
	// Live: a mixin's default is not copied to what carries it; who wants to know asks
	// the mixin, so that changing it changes them all.
	Live        bool
	Description string
	// Uses is what the value is counted as where quotas bound it: "cores"; empty for
	// nothing. Limits and Tells are of the attributes of a quota: what the value is the most
	// of, and what it tells the use of.
	Uses, Limits, Tells string

	match func(string) bool // compiled Pattern
}

// called reports whether a descriptor's key means the attribute.
func (a *Attribute) called(key string) bool { return a.Short == key || contains(a.Aliases, key) }

// Kind is a type of entity (GFD.221 section 5.3.3).
type Kind struct {
	Category
	Parent   string // identifier of the parent kind; empty for core#entity
	Location string // path of its collection, "/compute/"
	Actions  []*Action
	// Abstract kinds have no instances of their own (core#entity and its like).
	Abstract bool
	// Own kinds are the provider's: what is selected or counted of no kind in particular
	// leaves them out.
	Own    bool
	States *States // nil if it has none
	// Link tells that instances connect a source to a target.
	Link bool
	// TargetKind is the kind a link's target must have; empty for any.
	TargetKind string
	// Host names what represents an instance on a host: "domain", "network",
	// "volume", "nic", "disk"; empty for nothing.
	Host string
	// Uses is what each instance is counted as one of: "computes"; empty for nothing.
	Uses string
	// Names under which the descriptor and foreign drafts know the kind.
	Aliases []string
}

// Mixin adds attributes and actions to entities (GFD.221 section 5.3.4).
type Mixin struct {
	Category
	Depends  []string // identifiers of mixins
	Applies  []string // identifiers of kinds; empty for any
	Location string
	Actions  []*Action
	// Exclusive mixins depending on the same base replace each other on an
	// entity: resource and OS templates.
	Exclusive bool
	// Auto is the term of the action that the server invokes on a new entity
	// that carries the mixin or one depending on it, empty for none.
	Auto string
	// Uses is what each entity that carries it is counted as one of; empty for nothing.
	Uses string
	// User is set on mixins that users defined; they may remove them. Owner is who
	// did, Project whose it is; empty for everybody's.
	User           bool
	Owner, Project string
}

// Action is an operation on an entity (GFD.221 section 5.3.5). Its attributes
// are its parameters.
type Action struct {
	Category
	// Do names the operation of the host that carries it out, "domain.start".
	Do string
	// Makes is the identifier of the mixin that what the action makes is marked with;
	// empty for none.
	Makes string
	// Template is the identifier of the mixin that a template which the action makes
	// depends on; empty if it makes none.
	Template string
}

// States is the state machine of a kind.
type States struct {
	Attribute string // name of the attribute that holds the state
	Message   string // name of the attribute that explains it
	Initial   string
	Failed    string // the state after a failed transition
	// Auto is the term of the action that the server invokes on every new entity,
	// empty for none.
	Auto string
	// Ready is the state in which machines that are not stopped can have an entity as a
	// device, empty for any.
	Ready  string
	Values []string
	// Aliases are other names of states in filters and descriptors. One of nothing
	// names a state that nothing is in that is there to be found.
	Aliases     map[string]string
	Transitions []Transition
}

// Transition is one arrow of a state machine: Action leads from From to To and
// shows Through as the state message while it is under way. Without an action it
// is the server's own, as a link's state follows its machine.
type Transition struct {
	From    string
	Action  string // term
	To      string
	Through string
}

// Next gives the transition that an action makes from a state; none if the action is
// empty, as in those that the server makes itself.
func (s *States) Next(from, action string) (Transition, bool) {
	for _, t := range s.Transitions {
		if action != "" && t.From == from && t.Action == action {
			return t, true
		}
	}
	return Transition{}, false
}

// Targets lists the states that an action can lead to, in order.
func (s *States) Targets(action string) []string {
	var out []string
	for _, t := range s.Transitions {
		if t.Action == action && !contains(out, t.To) {
			out = append(out, t.To)
		}
	}
	return out
}

// Canonical maps a state's alias to the state itself; unknown names map to "".
func (s *States) Canonical(name string) string {
	if contains(s.Values, name) {
		return name
	}
	return s.Aliases[name]
}

// Passes reports whether a transition has this name while it is under way.
func (s *States) Passes(name string) bool {
	return slices.ContainsFunc(s.Transitions, func(t Transition) bool { return t.Through != "" && t.Through == name })
}

func contains(list []string, s string) bool {
	for _, x := range list {
		if x == s {
			return true
		}
	}
	return false
}
