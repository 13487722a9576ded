package auth

import "github.com/occid/occid/occi"

// Verb is what is to be done; several of them can be asked for and granted together.
type Verb uint8

// The verbs. Start is the action of that name, Move the one that takes a machine to
// another host, Act any other one.
const (
	Read Verb = 1 << iota
	Create
	Update
	Start
	Act
	Delete
	Move
)

const all = Read | Create | Update | Start | Act | Delete

// startTerm is the term of the action that those may invoke who bring machines back.
const startTerm = "start"

// moveTerm is the term of the action that is for operators alone, whosever the machine is.
const moveTerm = "migrate"

// Action gives the verb of an action of a term.
func Action(term string) Verb {
	switch term {
	case startTerm:
		return Start
	case moveTerm:
		return Move
	}
	return Act
}

// Thing is what is asked about.
type Thing struct {
	Kind string // identifier; empty for what is of no kind
	// Own things are of a kind that is the provider's own.
	Own bool
	// Project is whose it is; empty for the provider's.
	Project string
	// Shared things are seen by everybody.
	Shared bool
}

// ThingOf is an entity as it is asked about.
func ThingOf(m *occi.Model, x *occi.Entity) Thing {
	k := m.Kind(x.Kind)
	return Thing{Kind: x.Kind, Own: k != nil && k.Own, Project: x.Project, Shared: x.HasMixin(occi.SharedMixin)}
}

// rules say what a role may do with what is of the caller's project, and with what is
// shared. Of all else only administrators know, who may do everything.
var rules = []struct {
	role         Roles
	mine, shared Verb
}{
	{Manager, all, Read},
	{Member, all, Read},
	{Reader, Read, Read},
	{Recovery, Read | Start, Read},
	{Auditor, Read, Read},
}

// personal says what anybody may do with what is the provider's own and about
// themselves, by kind.
var personal = map[string]Verb{
	occi.UserKind:       Read | Update,
	occi.MembershipKind: Read,
	occi.ProjectKind:    Read,
	occi.TokenKind:      Read | Create | Delete,
	occi.SessionKind:    Read | Create | Delete,
	occi.IdentityKind:   Read,
	occi.QuotaKind:      Read,
}

// Made is a thing of a kind that the caller is about to make.
func (c Caller) Made(k *occi.Kind) Thing {
	t := Thing{Kind: k.ID(), Own: k.Own, Project: c.Project}
	if k.Own {
		t.Project = c.Name
	}
	return t
}

// Decision is whether something may be done.
type Decision int

// The decisions. What is Hidden is not there, for who asks.
const (
	Allowed Decision = iota
	Forbidden
	Hidden
)

// May decides whether a caller may do something. It may if it may do any of the verbs
// that are asked for.
func (c Caller) May(v Verb, t Thing) Decision {
	granted := c.granted(t)
	switch {
	case granted&v != 0:
		return Allowed
	case granted&Read != 0:
		return Forbidden
	}
	return Hidden
}

func (c Caller) granted(t Thing) Verb {
	switch {
	case c.Operates():
		return all | Move
	case t.Own && t.Project != "" && (t.Project == c.Name || t.Project == c.Project):
		return personal[t.Kind]
	case t.Own:
		return 0
	}
	var granted Verb
	for _, r := range rules {
		switch {
		case c.Roles&r.role == 0:
		case t.Project != "" && t.Project == c.Project:
			granted |= r.mine
		}
		if c.Roles&r.role != 0 && t.Shared {
			granted |= r.shared
		}
	}
	return granted
}
