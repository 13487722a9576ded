package auth

import (
	"strings"

	"github.com/occid/occid/internal/policy"
)

// Roles are what a caller may be: an administrator of everything, the others in its
// project.
type Roles uint8

// The roles.
const (
	Administrator Roles = 1 << iota
	Manager
	Member
	Reader
	Recovery
	Auditor
)

// roleNames are the roles as people write them.
var roleNames = []struct {
	role Roles
	name string
}{
	{Administrator, "administrator"}, {Manager, "manager"}, {Member, "member"}, {Reader, "reader"}, {Recovery, "recovery"}, {Auditor, "auditor"},
}

// RoleNamed gives the role of a name, none if there is no such.
func RoleNamed(name string) Roles {
	for _, r := range roleNames {
		if r.name == name {
			return r.role
		}
	}
	return 0
}

// list lists the names of roles.
func (r Roles) list() string {
	var names []string
	for _, known := range roleNames {
		if r&known.role != 0 {
			names = append(names, known.name)
		}
	}
	return strings.Join(names, ",")
}

// String lists the names of roles.
func (r Roles) String() string {
	if r == 0 {
		return "none"
	}
	return r.list()
}

// Caller is who is asking. The zero Caller is the server itself, and whoever asks a
// server without authentication: it may do everything.
type Caller struct {
	// Name is the UUID of the user, Login what the user is called.
	Name, Login string
	// Project is the UUID of the project that the request is about, empty for none. What
	// the caller makes is of it.
	Project string
	// Roles are those in Project, and Administrator whatever that is.
	Roles Roles
	// Scoped callers presented a token, which is for one project.
	Scoped bool
	// Session is the UUID of the session of who presented a cookie, which a browser sends
	// whoever wrote the page that it shows; else empty.
	Session string
	// Hosts are those at which the caller may bring machines back, separated by spaces.
	Hosts string
	// Note, if there is one, is told which policies decide.
	Note *Note

	rights *policy.Rights // nil before it is judged by policies
}

// Operates reports whether the caller runs the provider's equipment.
func (c Caller) Operates() bool { return c.Roles&Administrator != 0 || c == Caller{} }

// Audits reports whether the caller may read the audit trail, of its project unless it
// Operates.
func (c Caller) Audits() bool { return c.Operates() || c.Roles&Auditor != 0 }

// Owns lists whose the things are that are the caller's: its project's and its own.
func (c Caller) Owns() []string {
	if c.Project == "" {
		return []string{c.Name}
	}
	return []string{c.Project, c.Name}
}

// Who names the caller where the same word of another, or about another project, means
// something else.
func (c Caller) Who() string {
	if c.Project == "" {
		return c.Name
	}
	return c.Name + " " + c.Project
}
