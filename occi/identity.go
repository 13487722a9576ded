package occi

import "github.com/google/uuid"

// Identifiers of the kinds that say who may do what: users, projects, which role a user
// has in a project, and what programs and browsers present in a user's
// place.
const (
	identityScheme = "http://schemas.occid.org/occi/identity#"
	UserKind       = identityScheme + "user"
	ProjectKind    = identityScheme + "project"
	MembershipKind = identityScheme + "membership"
	TokenKind      = identityScheme + "token"
	SessionKind    = identityScheme + "session"
	IdentityKind   = identityScheme + "identity"
)

// SharedMixin is the mixin of what all projects may see and link to.
const SharedMixin = identityScheme + "shared"

// Everyone stands for all projects.
const Everyone = "*"

// Reach is in whose lists an entity is: those of its project, of Everyone, or the
// provider's alone if it is empty.
func (e *Entity) Reach() string {
	if e.HasMixin(SharedMixin) {
		return Everyone
	}
	return e.Project
}

// Secret is what a user, a token or a session is recognised by. It is kept apart from the entity,
// and never shown.
type Secret struct {
	Entity uuid.UUID // the user, the token or the session
	Owner  uuid.UUID // the user
	// Name is unique: what is looked up.
	Name string
	// Hash is of what must be presented beside Name, empty for nothing; of a token or a session,
	// it tells which secret the user had when it was made.
	Hash string
}
