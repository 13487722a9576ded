package engine

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"strings"

	"github.com/google/uuid"

	"github.com/occid/occid/internal/auth"
	"github.com/occid/occid/occi"
)

// maxSubject bounds by what somebody is known elsewhere, in bytes.
const maxSubject = 2048

// readyIdentity has who is known elsewhere be recognised as a user here.
func readyIdentity(ctx context.Context, b *creation, old, x *occi.Entity) error {
	if old != nil {
		x.Project, x.Owner = old.Project, old.Owner
		return nil
	}
	subject := role(b.m, x, auth.RoleSubject).Text
	if subject == "" || len(subject) > maxSubject {
		return occi.Problems(occi.Invalid, "the identity cannot be made", []occi.Problem{{What: roleAttr(b.m, x, auth.RoleSubject).Name, Text: "is empty or longer than 2048 bytes"}})
	}
	id, ok := occi.ParseID(strings.TrimPrefix(role(b.m, x, auth.RoleUser).Text, "/user/"))
	user := b.puts[id]
	if ok && user == nil {
		var err error
		if user, err = b.e.store.Entity(ctx, id); err != nil && !errors.Is(err, occi.NotFound) {
			return err
		}
	}
	if user == nil || user.Kind != occi.UserKind {
		return occi.Problems(occi.Invalid, "the identity cannot be made", []occi.Problem{{What: roleAttr(b.m, x, auth.RoleUser).Name, Text: "there is no such user"}})
	}
	setRole(b.m, x, auth.RoleUser, occi.Str(id.String()))
	x.Project = id.String()
	if b.puts[id] == nil {
		b.change.There = append(b.change.There, id)
	}
	name := auth.IdentityName(role(b.m, x, auth.RoleMechanism).Text, subject)
	if _, err := b.e.store.Secret(ctx, name); err == nil {
		return conflict("the subject is a user's already")
	} else if !errors.Is(err, occi.NotFound) {
		return err
	}
	b.change.Secrets = append(b.change.Secrets, occi.Secret{Entity: x.ID, Owner: id, Name: name})
	return nil
}

// Admit finds the user whom a way to log in knows, and gives the name of its account. The
// roles that it has by this way become those that are granted now; those it was given
// otherwise stay. It is Forbidden if the user is nobody's and may not be made.
func (e *Engine) Admit(ctx context.Context, a auth.Admission) (name string, err error) {
	secret, err := e.identified(ctx, a)
	for range attempts {
		if !errors.Is(err, occi.NotFound) {
			break
		}
		// It is a Conflict if another request, or server, has just done it, or has taken the
		// login for somebody else.
		if err = e.introduce(ctx, a); err == nil || errors.Is(err, occi.Conflict) {
			secret, err = e.identified(ctx, a)
		}
	}
	if err != nil {
		return "", err
	}
	user, err := e.store.Entity(ctx, secret.Owner)
	if err != nil {
		return "", err
	}
	return secret.Name, e.grant(ctx, user, a)
}

// identified finds what is known of any of the subjects.
func (e *Engine) identified(ctx context.Context, a auth.Admission) (*occi.Secret, error) {
	for _, subject := range a.Subjects {
		s, err := e.store.Secret(ctx, auth.IdentityName(a.Mechanism, subject))
		if err == nil || !errors.Is(err, occi.NotFound) {
			return s, err
		}
	}
	return nil, occi.E(occi.NotFound, "nobody is known by that")
}

// introduce makes the first subject known as that of a user: one who has the login, or a
// new one, as the operator's rules have it.
func (e *Engine) introduce(ctx context.Context, a auth.Admission) error {
	login := loginOf(a.Login)
	taken, err := e.store.Secret(ctx, auth.UserName(login))
	if err != nil && !errors.Is(err, occi.NotFound) {
		return err
	}
	var drafts []*occi.Draft
	user := uuid.New()
	switch {
	case taken != nil && a.Join:
		user = taken.Owner
	case !a.Make:
		return occi.E(occi.Forbidden, "you have shown who you are, but are no user here; an administrator can make that so")
	default:
		if taken != nil || login == "" {
			// Whose login it is keeps it; nobody becomes somebody else by a name alone.
			sum := sha256.Sum256([]byte(auth.IdentityName(a.Mechanism, a.Subjects[0])))
			login = strings.TrimLeft(login[:min(len(login), 50)]+"-"+hex.EncodeToString(sum[:4]), "-")
		}
		drafts = append(drafts, e.drafted(occi.UserKind, map[string]occi.Value{auth.RoleName: occi.Str(login)},
			occi.DraftAttr{Name: occi.AttrID, Value: occi.Str(user.String())}, occi.DraftAttr{Name: occi.AttrTitle, Value: occi.Str(lineOf(a.Title, login))}))
	}
	drafts = append(drafts, e.drafted(occi.IdentityKind, map[string]occi.Value{auth.RoleMechanism: occi.Str(a.Mechanism),
		auth.RoleSubject: occi.Str(a.Subjects[0]), auth.RoleUser: occi.Str(user.String())}))
	_, err = e.Create(ctx, Caller{}, "", drafts, Options{By: a.Mechanism})
	return err
}

// drafted describes an entity of a kind by attributes that have roles.
func (e *Engine) drafted(kind string, byRole map[string]occi.Value, more ...occi.DraftAttr) *occi.Draft {
	d := &occi.Draft{Kind: kind, Attributes: more}
	m := e.Model()
	if k := m.Kind(kind); k != nil {
		for _, a := range m.KindAttributes(k) {
			if v, ok := byRole[a.Role]; ok && a.Role != "" {
				d.Attributes = append(d.Attributes, occi.DraftAttr{Name: a.Name, Value: v})
			}
		}
	}
	return d
}

// loginOf makes a login of what somebody is called elsewhere, "" if nothing is left of it.
func loginOf(text string) string {
	login := strings.Map(func(r rune) rune {
		if 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || strings.ContainsRune("._@-", r) {
			return r
		}
		return '-'
	}, text)
	login = strings.TrimLeft(login, "._@-")
	return login[:min(len(login), 64)]
}

// lineOf gives a text in which no control character is left, or another for none.
func lineOf(text, instead string) string {
	text = strings.TrimSpace(strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return -1
		}
		return r
	}, text))
	if text == "" || len(text) > 256 {
		return instead
	}
	return text
}

// grant makes the roles that a user has by a way to log in those that it grants now.
func (e *Engine) grant(ctx context.Context, user *occi.Entity, a auth.Admission) error {
	m := e.Model()
	wanted, err := e.projects(ctx, a.Grants)
	if err != nil {
		return err
	}
	var gone []uuid.UUID
	for _, l := range user.Links {
		if l.Kind != occi.MembershipKind || role(m, l, auth.RoleBy).Text != a.Mechanism {
			continue
		}
		g := auth.Grant{Project: l.Target.ID.String(), Role: role(m, l, auth.RoleRole).Text}
		if wanted[g] {
			delete(wanted, g)
			continue
		}
		gone = append(gone, l.ID)
	}
	var drafts []*occi.Draft
	for g := range wanted {
		drafts = append(drafts, e.drafted(occi.MembershipKind, map[string]occi.Value{auth.RoleRole: occi.Str(g.Role)},
			occi.DraftAttr{Name: occi.AttrSource, Value: occi.Str("/user/" + user.ID.String())}, occi.DraftAttr{Name: occi.AttrTarget, Value: occi.Str("/project/" + g.Project)}))
	}
	if len(gone) > 0 {
		if _, err := e.Delete(ctx, Caller{}, gone, Options{}); err != nil && !errors.Is(err, occi.NotFound) {
			return err
		}
	}
	if len(drafts) > 0 {
		if _, err := e.Create(ctx, Caller{}, "", drafts, Options{By: a.Mechanism}); err != nil {
			return err
		}
	}
	// Who is an administrator is this way's to say for users that it made alone.
	if role(m, user, auth.RoleBy).Text != a.Mechanism || isTrue(role(m, user, auth.RoleAdministrator)) == a.Administrator {
		return nil
	}
	d := e.drafted(occi.UserKind, map[string]occi.Value{auth.RoleAdministrator: occi.Bool(a.Administrator)})
	_, err = e.Update(ctx, Caller{}, user.ID, d, Options{})
	return err
}

// projects finds the projects of grants, which are named by UUID or by title, the oldest
// of a title. A project that there is not is left out, and logged.
func (e *Engine) projects(ctx context.Context, grants []auth.Grant) (map[auth.Grant]bool, error) {
	if len(grants) == 0 {
		return nil, nil
	}
	page, err := e.store.List(ctx, &occi.Query{Kinds: []string{occi.ProjectKind}})
	if err != nil {
		return nil, err
	}
	ids := map[string]string{}
	for _, p := range page.Entities {
		ids[p.ID.String()] = p.ID.String()
		if _, taken := ids[p.Title]; !taken {
			ids[p.Title] = p.ID.String()
		}
	}
	found := map[auth.Grant]bool{}
	for _, g := range grants {
		if id := ids[g.Project]; id != "" {
			found[auth.Grant{Project: id, Role: g.Role}] = true
		} else {
			e.log.Warn("a rule grants a role in a project that there is not", "project", g.Project, "role", g.Role)
		}
	}
	return found, nil
}
