package engine

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/occid/occid/internal/auth"
	"github.com/occid/occid/occi"
)

// Roles of what says who may do what; see internal/auth for the rest of them.
const (
	roleUserSecret  = "identity.secret"
	roleUserChanged = "identity.changed"
)

const (
	// tokenLife is how long a token lasts unless its maker says, tokenMost how long at most.
	tokenLife = 24 * time.Hour
	tokenMost = 366 * 24 * time.Hour
	// sessionLife and sessionMost are those of sessions.
	sessionLife = 8 * time.Hour
	sessionMost = 7 * 24 * time.Hour
	// tokenGrace is how long a token is shown after its end.
	tokenGrace = 10 * time.Minute
)

// identify makes an entity ready that says who may do what.
func (b *creation) identify(ctx context.Context, old, x *occi.Entity) error {
	ready := part(b.m, x).ready
	if ready == nil {
		return nil
	}
	b.identities = true
	return ready(ctx, b, old, x)
}

func readyUser(ctx context.Context, b *creation, old, x *occi.Entity) error {
	if b.c.Name == x.ID.String() && (isTrue(role(b.m, x, auth.RoleDisabled)) || b.c.Operates() && !isTrue(role(b.m, x, auth.RoleAdministrator))) {
		return occi.E(occi.Forbidden, "administrators do not lock themselves out; another one can do it")
	}
	x.Project = x.ID.String()
	name := auth.UserName(role(b.m, x, auth.RoleName).Text)
	if old == nil {
		if _, err := b.e.store.Secret(ctx, name); err == nil {
			return conflict("there is a user of the name %s already", role(b.m, x, auth.RoleName).Text)
		} else if !errors.Is(err, occi.NotFound) {
			return err
		}
	}
	given := x.Secrets.Get(roleAttr(b.m, x, roleUserSecret).Name).Text
	x.Secrets = nil
	if old != nil && given == "" {
		return nil
	}
	if old == nil && b.by != "" {
		setRole(b.m, x, auth.RoleBy, occi.Str(b.by))
	}
	if old == nil {
		if err := b.bounded(x); err != nil {
			return err
		}
	}
	s := occi.Secret{Entity: x.ID, Owner: x.ID, Name: name}
	if given != "" {
		var err error
		if s.Hash, err = auth.Hash(ctx, given); err != nil {
			return err
		}
		setRole(b.m, x, roleUserChanged, occi.Str(b.now.Format(time.RFC3339Nano)))
	}
	b.change.Secrets = append(b.change.Secrets, s)
	return nil
}

func readyProject(_ context.Context, b *creation, old, x *occi.Entity) error {
	x.Project = x.ID.String()
	if old != nil {
		return nil
	}
	return b.bounded(x)
}

func readyMembership(_ context.Context, b *creation, old, x *occi.Entity) error {
	if old == nil && b.by != "" {
		setRole(b.m, x, auth.RoleBy, occi.Str(b.by))
	}
	if x.Source.Kind != "" && x.Source.Kind != occi.UserKind {
		return occi.Problems(occi.Invalid, "the link is not valid", []occi.Problem{{What: occi.AttrSource, Text: "only users have roles in projects"}})
	}
	return b.namedHosts(x)
}

func readyToken(ctx context.Context, b *creation, old, x *occi.Entity) error {
	x.Project, x.Owner = b.c.Name, b.c.Name
	if old != nil {
		x.Project, x.Owner = old.Project, old.Owner
		return nil
	}
	owner, ok := occi.ParseID(b.c.Name)
	if !ok {
		return occi.E(occi.Forbidden, "a token is a user's, and nobody is authenticated here")
	}
	if b.token != "" {
		return occi.E(occi.Invalid, "one request makes one token, which is shown in its answer")
	}
	project, err := b.tokenProject(ctx, owner, x)
	if err != nil {
		return err
	}
	setRole(b.m, x, auth.RoleProject, textValue(project))
	if err := b.expires(x, tokenLife, tokenMost); err != nil {
		return err
	}
	return b.presents(ctx, owner, x, auth.TokenName)
}

// expires sets when what is presented ends: after life unless its maker says, after most
// at most.
func (b *creation) expires(x *occi.Entity, life, most time.Duration) error {
	ends := b.now.Add(life)
	if given := role(b.m, x, auth.RoleExpires).Text; given != "" {
		var err error
		if ends, err = time.Parse(time.RFC3339, given); err != nil || !ends.After(b.now) || ends.After(b.now.Add(most)) {
			return occi.Problems(occi.Invalid, "the "+b.term(x.Kind)+" cannot be made", []occi.Problem{{What: roleAttr(b.m, x, auth.RoleExpires).Name,
				Text: fmt.Sprintf("is not a time from now on and within %d days", most/(24*time.Hour))}})
		}
	}
	setRole(b.m, x, auth.RoleExpires, occi.Str(ends.UTC().Format(time.RFC3339)))
	return nil
}

// presents makes what a user is recognised by as long as its secret stays the same.
func (b *creation) presents(ctx context.Context, owner uuid.UUID, x *occi.Entity, name func(string) string) error {
	of, err := b.e.store.Secret(ctx, auth.UserName(b.c.Login))
	if err != nil {
		return err
	}
	b.token = auth.NewToken()
	b.change.Secrets = append(b.change.Secrets, occi.Secret{Entity: x.ID, Owner: owner, Name: name(b.token), Hash: auth.Era(of.Hash)})
	return nil
}

func readySession(ctx context.Context, b *creation, old, x *occi.Entity) error {
	x.Project, x.Owner = b.c.Name, b.c.Name
	if old != nil {
		x.Project, x.Owner = old.Project, old.Owner
		return nil
	}
	owner, ok := occi.ParseID(b.c.Name)
	switch {
	case !ok:
		return occi.E(occi.Forbidden, "a session is a user's, and nobody is authenticated here")
	case b.c.Scoped || b.c.Session != "":
		return occi.E(occi.Forbidden, "who presents a token or a session gets no session; log in for one")
	case b.token != "":
		return occi.E(occi.Invalid, "one request makes one session, whose cookie is in its answer")
	}
	if err := b.expires(x, sessionLife, sessionMost); err != nil {
		return err
	}
	return b.presents(ctx, owner, x, auth.SessionName)
}

// tokenProject chooses the project of a new token: one that its owner has a part in. That
// of an administrator is of none unless one is named.
func (b *creation) tokenProject(ctx context.Context, owner uuid.UUID, x *occi.Entity) (string, error) {
	given := strings.ToLower(strings.TrimPrefix(role(b.m, x, auth.RoleProject).Text, "/project/"))
	switch {
	case given == "" && b.c.Operates():
		return "", nil
	case given == "" || given == b.c.Project:
		return b.c.Project, nil
	case b.c.Scoped && !b.c.Operates():
		return "", occi.E(occi.Forbidden, "who presents a token makes others for its project alone")
	}
	if b.c.Operates() {
		id, _ := occi.ParseID(given)
		if p, err := b.e.store.Entity(ctx, id); err == nil && p.Kind == occi.ProjectKind {
			return given, nil
		}
	} else if u, err := b.e.store.Entity(ctx, owner); err == nil && auth.RolesIn(b.m, u, given) != 0 {
		return given, nil
	}
	return "", occi.E(occi.Forbidden, "you have no part in the project %.80s", given)
}

// dismissed checks the deletion of what says who may do what, and has what goes with it
// go too.
func (r *removal) dismissed(ctx context.Context, x *occi.Entity) error {
	if part(r.m, x).ready == nil {
		return nil
	}
	r.identities = true
	switch x.Kind {
	case occi.QuotaKind:
		return occi.E(occi.Forbidden, "%s goes with its project or user", r.m.Path(x))
	case occi.UserKind:
		if r.c.Name == x.ID.String() {
			return occi.E(occi.Forbidden, "administrators do not lock themselves out; another one can do it")
		}
		tokens, err := r.e.store.List(ctx, &occi.Query{Kinds: usersKinds, Reach: []string{x.ID.String()}})
		if err != nil {
			return err
		}
		for _, t := range tokens.Entities {
			if !r.doomed[t.ID] {
				r.known[t.ID], r.doomed[t.ID] = t, true
				r.result = append(r.result, t.ID)
			}
		}
		return r.unbounded(ctx, x)
	case occi.ProjectKind:
		n, err := r.e.store.Count(ctx, nil, x.ID.String())
		if err != nil {
			return err
		}
		if n.Members > 0 {
			return conflict("%s has %d resources and links", r.m.Path(x), n.Members)
		}
		return r.unbounded(ctx, x)
	}
	return nil
}

// presentedKinds are those of what is presented in a user's place. users' goes with the
// user.
var (
	presentedKinds = []string{occi.TokenKind, occi.SessionKind}
	usersKinds     = append([]string{occi.IdentityKind}, presentedKinds...)
)

// purgeTokens forgets up to n tokens, and n sessions, that ended before a time.
func (e *Engine) purgeTokens(ctx context.Context, before time.Time, n int) (int, error) {
	c := &occi.Change{At: e.now()}
	for _, kind := range presentedKinds {
		a := e.Model().RoleAttribute(kind, auth.RoleExpires)
		if a == nil {
			continue
		}
		page, err := e.store.List(ctx, &occi.Query{Kinds: []string{kind}, Limit: n,
			Conds: []occi.Cond{{Name: a.Name, Op: occi.Lt, Value: occi.Str(before.UTC().Format(time.RFC3339))}}})
		if err != nil {
			return 0, err
		}
		for _, t := range page.Entities {
			c.Removes = append(c.Removes, occi.Removal{ID: t.ID})
		}
	}
	if len(c.Removes) == 0 {
		return 0, nil
	}
	return len(c.Removes), e.store.Commit(ctx, c)
}

// FirstAdministrator makes an administrator of a name and a secret if there is no user at
// all, and reports whether it did.
func (e *Engine) FirstAdministrator(ctx context.Context, name, secret string) (bool, error) {
	n, err := e.store.Count(ctx, []string{occi.UserKind})
	if err != nil || n.Members > 0 {
		return false, err
	}
	m := e.Model()
	k := m.Kind(occi.UserKind)
	d := &occi.Draft{Kind: occi.UserKind, Attributes: []occi.DraftAttr{{Name: occi.AttrTitle, Value: occi.Str("First administrator")}}}
	for _, a := range k.Attributes {
		switch a.Role {
		case auth.RoleName:
			d.Attributes = append(d.Attributes, occi.DraftAttr{Name: a.Name, Value: occi.Str(name)})
		case roleUserSecret:
			d.Attributes = append(d.Attributes, occi.DraftAttr{Name: a.Name, Value: occi.Str(secret)})
		case auth.RoleAdministrator:
			d.Attributes = append(d.Attributes, occi.DraftAttr{Name: a.Name, Value: occi.Bool(true)})
		}
	}
	_, err = e.Create(ctx, Caller{}, occi.UserKind, []*occi.Draft{d}, Options{})
	if errors.Is(err, occi.Conflict) {
		// Another server has made it.
		return false, nil
	}
	return err == nil, err
}
