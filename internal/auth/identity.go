package auth

import (
	"context"
	"crypto/subtle"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/occid/occid/occi"
)

// Roles of attributes of what says who may do what. The registry says which attribute has
// which.
const (
	RoleName          = "identity.name"
	RoleAdministrator = "identity.administrator"
	RoleDisabled      = "identity.disabled"
	RoleToken         = "identity.token" // what is presented, shown once
	RoleProject       = "identity.project"
	RoleExpires       = "identity.expires"
	RoleBy            = "identity.by"        // the mechanism whose word it is
	RoleMechanism     = "identity.mechanism" // of an identity, with who it is and whose
	RoleSubject       = "identity.subject"
	RoleUser          = "identity.user"
	RoleRole          = "identity.role"
	RoleHosts         = "identity.hosts" // of a membership
)

// value gives the attribute of an entity that has a role.
func value(m *occi.Model, x *occi.Entity, role string) string {
	if a := m.RoleAttribute(x.Kind, role); a != nil {
		return x.Attributes.Get(a.Name).String()
	}
	return ""
}

func isSet(m *occi.Model, x *occi.Entity, role string) bool { return value(m, x, role) == "true" }

// RolesIn gives the roles that a user, with its links, has in a project.
func RolesIn(m *occi.Model, user *occi.Entity, project string) Roles {
	var roles Roles
	for _, l := range user.Links {
		if l.Kind == occi.MembershipKind && l.Target.ID.String() == project {
			roles |= RoleNamed(value(m, l, RoleRole))
		}
	}
	return roles
}

// hostsIn gives the hosts that the memberships of a user, with its links, name in a project.
func hostsIn(m *occi.Model, user *occi.Entity, project string) string {
	var hosts []string
	for _, l := range user.Links {
		if l.Kind == occi.MembershipKind && l.Target.ID.String() == project {
			hosts = append(hosts, strings.Fields(value(m, l, RoleHosts))...)
		}
	}
	slices.Sort(hosts)
	return strings.Join(slices.Compact(hosts), " ")
}

// account is what was found of who presented something.
type account struct {
	secret *occi.Secret
	user   *occi.Entity // with its memberships
	// projects are those that the user has a part in, by UUID and by title.
	projects map[string]string
	first    string       // the UUID of the first of them
	token    *occi.Entity // or session; nil for a user
}

// account reads what is known under a name; NotFound if nothing is, or it counts no more.
func (a *Authenticator) account(ctx context.Context, name string) (*account, error) {
	secret, err := a.accounts.Secret(ctx, name)
	if err != nil {
		return nil, err
	}
	found := &account{secret: secret, projects: map[string]string{}}
	user, projects, err := a.accounts.Linked(ctx, secret.Owner)
	if err != nil {
		return nil, err
	}
	m := a.model()
	if isSet(m, user, RoleDisabled) {
		return nil, occi.E(occi.NotFound, "the user is disabled")
	}
	found.user = user
	for _, l := range user.Links {
		if l.Kind == occi.MembershipKind && found.first == "" {
			found.first = l.Target.ID.String()
		}
	}
	for _, p := range projects {
		if p.Kind == occi.ProjectKind {
			found.projects[p.ID.String()] = p.ID.String()
			if _, taken := found.projects[p.Title]; !taken {
				found.projects[p.Title] = p.ID.String()
			}
		}
	}
	if secret.Entity == secret.Owner || strings.HasPrefix(name, identityPrefix) {
		return found, nil
	}
	if found.token, err = a.accounts.Entity(ctx, secret.Entity); err != nil {
		return nil, err
	}
	if !found.ends(m).After(a.now()) {
		return nil, occi.E(occi.NotFound, "the token has ended")
	}
	of, err := a.accounts.Secret(ctx, UserName(value(m, user, RoleName)))
	if err != nil {
		return nil, err
	}
	if subtle.ConstantTimeCompare([]byte(Era(of.Hash)), []byte(secret.Hash)) != 1 {
		return nil, occi.E(occi.NotFound, "the secret of the user was changed")
	}
	return found, nil
}

// ends tells when an account does.
func (f *account) ends(m *occi.Model) time.Time {
	if f.token == nil {
		return time.Unix(1<<40, 0)
	}
	at, err := time.Parse(time.RFC3339, value(m, f.token, RoleExpires))
	if err != nil {
		return time.Time{}
	}
	return at
}

// caller tells who an account is for the project that a request names; empty for none.
func (a *Authenticator) caller(ctx context.Context, f *account, named string) (Caller, error) {
	m := a.model()
	c := Caller{Name: f.user.ID.String(), Login: value(m, f.user, RoleName)}
	administers := isSet(m, f.user, RoleAdministrator)
	project := f.projects[named]
	if f.token != nil && f.token.Kind == occi.SessionKind {
		c.Session = f.token.ID.String()
	} else if f.token != nil {
		c.Scoped, c.Project = true, value(m, f.token, RoleProject)
		if named != "" && named != c.Project && (project == "" || project != c.Project) {
			return c, noPart(named)
		}
		c.Hosts = hostsIn(m, f.user, c.Project)
		switch c.Roles = RolesIn(m, f.user, c.Project); {
		case administers && c.Project == "":
			c.Roles = Administrator
		case administers && c.Roles == 0:
			c.Roles = Manager
		}
		return c, nil
	}
	if c.Project = project; named == "" && !administers {
		c.Project = f.first
	}
	if administers {
		c.Roles = Administrator
	}
	c.Roles |= RolesIn(m, f.user, c.Project)
	c.Hosts = hostsIn(m, f.user, c.Project)
	if named == "" || c.Project != "" {
		return c, nil
	}
	id, ok := occi.ParseID(named)
	if !administers || !ok || !a.isProject(ctx, id) {
		return c, noPart(named)
	}
	c.Project = id.String()
	return c, nil
}

func (a *Authenticator) isProject(ctx context.Context, id uuid.UUID) bool {
	p, err := a.accounts.Entity(ctx, id)
	return err == nil && p.Kind == occi.ProjectKind
}

func noPart(project string) error {
	return occi.E(occi.Forbidden, "you have no part in the project %.80q", project)
}
