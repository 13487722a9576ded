package auth

import (
	"slices"
	"sync/atomic"

	"github.com/occid/occid/internal/policy"
	"github.com/occid/occid/occi"
)

// Policies are those in force, which can be replaced at any time. It is safe for
// concurrent use.
type Policies struct {
	current atomic.Pointer[policy.Policies]
}

// NewPolicies makes policies of the program's own and of more, for what is in a registry.
func NewPolicies(m *occi.Model, more ...policy.Source) (*Policies, error) {
	p := &Policies{}
	return p, p.Replace(m, more...)
}

// Replace puts others in force. If any is wrong, those that were before stay.
func (p *Policies) Replace(m *occi.Model, more ...policy.Source) error {
	next, err := policy.New(m, more...)
	if err != nil {
		return err
	}
	p.current.Store(next)
	return nil
}

// For gives a caller with what it may do by the policies in force.
func (p *Policies) For(c Caller) Caller {
	if c == (Caller{}) {
		return c
	}
	c.rights = p.current.Load().For(policy.Principal{ID: c.Name, Login: c.Login, Project: c.Project, Roles: c.Roles.list(), Hosts: c.Hosts, Token: c.Scoped})
	return c
}

// Decision is whether something may be done.
type Decision int

// The decisions. What is Hidden is not there, for who asks.
const (
	Allowed Decision = iota
	Forbidden
	Hidden
)

// Note is which policy decided about a request. A refusal counts more than what was
// permitted before it.
type Note struct {
	Policy string
	denied bool
}

// nothingPermits is noted where no policy permits what was asked for.
const nothingPermits = "none"

// note keeps which policy decided.
func (c Caller) note(d Decision, policy string) {
	switch n := c.Note; {
	case n == nil || n.denied:
	case d != Allowed && policy == "":
		n.Policy, n.denied = nothingPermits, true
	case d != Allowed:
		n.Policy, n.denied = policy, true
	case n.Policy == "":
		n.Policy = policy
	}
}

// unrestricted names what lets the server itself, and everybody where nobody logs in, do
// everything.
const unrestricted = "unrestricted"

// May decides whether a caller may do something with a thing, with its links: any of what
// is named, as policies call it. Who cannot see the thing is not told that it is there.
func (c Caller) May(x *occi.Entity, do ...string) Decision {
	d, _ := c.decide(x, do)
	return d
}

// Asks is May of what a request is about: which policy decides is noted.
func (c Caller) Asks(x *occi.Entity, do ...string) Decision {
	d, policy := c.decide(x, do)
	c.note(d, policy)
	return d
}

func (c Caller) decide(x *occi.Entity, do []string) (Decision, string) {
	if c.isServer() {
		return Allowed, unrestricted
	}
	if c.rights == nil {
		return Hidden, ""
	}
	// What cannot be seen is not there for anything else, but to be made.
	seen, by := c.rights.Rule(policy.Read, x.Kind).Decide(x)
	if !seen && !slices.Contains(do, policy.Create) {
		return Hidden, by
	}
	refused := ""
	for _, action := range do {
		ok, policy := true, by
		if action != readAction || !seen {
			ok, policy = c.rights.Rule(action, x.Kind).Decide(x)
		}
		if ok {
			return Allowed, policy
		}
		if refused == "" {
			refused = policy
		}
	}
	if !seen {
		return Hidden, by
	}
	return Forbidden, refused
}

const readAction = policy.Read

// Sees reports whether a caller may know of a thing.
func (c Caller) Sees(x *occi.Entity) bool { return c.Free() || c.May(x, policy.Read) == Allowed }

// Could reports whether there can be anything of a kind, of any for none, with which a
// caller may do any of what is named. What it may not is noted.
func (c Caller) Could(kind string, do ...string) bool {
	if c.isServer() {
		return true
	}
	by := ""
	for _, action := range do {
		if c.rights == nil {
			break
		}
		ok, policy := c.rights.Possible(action, kind)
		if ok {
			return true
		}
		by = policy
	}
	c.note(Forbidden, by)
	return false
}

// Action is how policies call the action of a term.
func (c Caller) Action(term string) string {
	if c.rights == nil {
		return policy.Act
	}
	return c.rights.Action(term)
}

// Acts lists the actions of a kind, as policies call them.
func (c Caller) Acts(kind string) []string {
	if c.rights == nil {
		return nil
	}
	return c.rights.Acts(kind)
}

// Sets reports whether a caller may give an attribute of a thing a value, and how policies
// call the attribute.
func (c Caller) Sets(x *occi.Entity, attribute string) (ok bool, name string) {
	if c.Free() {
		return true, ""
	}
	if c.rights == nil {
		return false, attribute
	}
	ok, by := c.rights.Attribute(policy.Set, x.Kind, attribute).Decide(x)
	if !ok {
		c.note(Forbidden, by)
	}
	return ok, c.rights.Called(x.Kind, attribute)
}

// Hides reports whether a caller is not shown all of what it sees.
func (c Caller) Hides() bool { return !c.isServer() && (c.rights == nil || c.rights.Hides()) }

// Hidden lists the attributes of a kind that a caller is not shown.
func (c Caller) Hidden(kind string) []string {
	if !c.Hides() || c.rights == nil {
		return nil
	}
	return c.rights.Hidden(kind)
}

// Scope is what of some kinds a caller may do something with; see policy.Rights.
func (c Caller) Scope(do string, kinds []string) *policy.Scope {
	switch {
	case c.isServer():
		return &policy.Scope{}
	case c.rights == nil:
		return &policy.Scope{Where: occi.Never, None: true}
	}
	return c.rights.Scope(do, kinds)
}

// Plain reports whether a caller sees things of a kind by whose they are.
func (c Caller) Plain(kind string) bool {
	return c.isServer() || c.rights != nil && c.rights.Plain(kind)
}

// ByLinks reports whether a caller sees things of a kind by their links.
func (c Caller) ByLinks(kind string) bool { return c.rights != nil && c.rights.ByLinks(kind) }

// Within gives whose things of a kind a caller may see at most, as occi.Query has it; nil
// for everybody's.
func (c Caller) Within(kind string) []string {
	if c.rights == nil {
		return nil
	}
	reach, _ := c.rights.Rule(policy.Read, kind).Where().Within()
	if slices.Contains(reach, "") {
		return nil
	}
	return reach
}

// Free reports whether a caller may do everything.
func (c Caller) Free() bool {
	if c.rights == nil {
		return c.isServer()
	}
	free, _ := c.rights.Everything()
	return free
}

// Freely notes by which policy a caller may do everything, if it may.
func (c Caller) Freely() bool {
	if c.rights == nil {
		return c.isServer()
	}
	free, policy := c.rights.Everything()
	if free {
		c.note(Allowed, policy)
	}
	return free
}

// isServer reports whether the caller is the server itself, or anybody at one where nobody
// logs in.
func (c Caller) isServer() bool { return c == Caller{} }

// Judged reports whether it is known what the caller may do.
func (c Caller) Judged() bool { return c.rights != nil || c.isServer() }

// View tells apart those who see different things: it is the same for those who may do
// everything.
func (c Caller) View() Caller {
	if c.Free() {
		return Caller{}
	}
	c.Note = nil
	return c
}

// Version tells the policies that a caller is judged by from others.
func (c Caller) Version() string {
	if c.rights == nil {
		return ""
	}
	return c.rights.Version()
}
