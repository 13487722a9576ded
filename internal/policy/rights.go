package policy

import (
	"slices"
	"strings"
	"sync"

	"github.com/cedar-policy/cedar-go/types"
	"github.com/cedar-policy/cedar-go/x/exp/ast"
	"github.com/cedar-policy/cedar-go/x/exp/eval"

	"github.com/occid/occid/occi"
)

// Principal is who asks, as policies see it.
type Principal struct {
	// ID is the UUID of a user, Login its name.
	ID, Login string
	// Project is the UUID of the project that it asks about, empty for none.
	Project string
	// Roles are those that it has there, separated by commas.
	Roles string
	// Hosts are those that its membership names, separated by spaces.
	Hosts string
	// Token tells that it presented a token.
	Token bool
}

// noProject is the project of who asks about none; nothing is of it.
const noProject = "none"

// Rights are what somebody may do: what the policies leave to be asked of things. It is
// safe for concurrent use.
type Rights struct {
	p    *Policies
	env  eval.Env
	self types.Entity
	// list are the policies whose principals somebody is of.
	list []*policy
	// free tells that they may do everything, by which policy.
	free   bool
	freeBy string
	// hides is Hides, found out at once.
	hides bool

	mu     sync.RWMutex
	rules  map[ruleKey]*Rule
	scopes map[string]*Scope
	hidden map[string][]string
	can    map[ruleKey]possibility
}

type ruleKey struct{ action, kind, attribute string }

func newRights(p *Policies, who Principal) *Rights {
	r := &Rights{p: p, rules: map[ruleKey]*Rule{}, scopes: map[string]*Scope{}, hidden: map[string][]string{}, can: map[ruleKey]possibility{}}
	uid := types.NewEntityUID(callerType, types.String(who.ID))
	var roles []types.EntityUID
	for role := range strings.SplitSeq(who.Roles, ",") {
		if role != "" {
			roles = append(roles, types.NewEntityUID(roleType, types.String(role)))
		}
	}
	var hosts []types.Value
	for _, h := range strings.Fields(who.Hosts) {
		hosts = append(hosts, types.String(h))
	}
	project := who.Project
	if project == "" {
		project = noProject
	}
	r.self = types.Entity{UID: uid, Parents: types.NewEntityUIDSet(roles...), Attributes: types.NewRecord(types.RecordMap{
		"id": types.String(who.ID), "login": types.String(who.Login), "project": types.String(project),
		"hosts": types.NewSet(hosts...), "token": types.Boolean(who.Token)})}
	r.env = eval.Env{Principal: uid, Entities: r, Context: types.Record{}}
	for _, o := range p.list {
		if r.isOf(o.ast.Principal) {
			r.list = append(r.list, o)
		}
	}
	r.free = r.everything()
	r.hides = !r.free && (!r.shows() || slices.ContainsFunc(r.list, func(o *policy) bool { return !o.permit && p.covers(o.ast.Action, Show) }))
	return r
}

// Get gives what is known of an entity to an evaluation.
func (r *Rights) Get(uid types.EntityUID) (types.Entity, bool) {
	if uid == r.self.UID {
		return r.self, true
	}
	return r.p.groups.Get(uid)
}

// isOf reports whether somebody is of the principals of a policy.
func (r *Rights) isOf(scope ast.IsScopeNode) bool {
	in := func(uid types.EntityUID) bool { return uid == r.self.UID || r.self.Parents.Contains(uid) }
	switch s := scope.(type) {
	case ast.ScopeTypeAll:
		return true
	case ast.ScopeTypeEq:
		return s.Entity == r.self.UID
	case ast.ScopeTypeIn:
		return in(s.Entity)
	case ast.ScopeTypeIs:
		return s.Type == callerType
	case ast.ScopeTypeIsIn:
		return s.Type == callerType && in(s.Entity)
	}
	return false
}

// covers reports whether an action is of those of a policy.
func (p *Policies) covers(scope ast.IsScopeNode, name string) bool {
	in := func(uid types.EntityUID) bool {
		a, ok := p.groups[action(name)]
		return uid == action(name) || ok && a.Parents.Contains(uid)
	}
	switch s := scope.(type) {
	case ast.ScopeTypeAll:
		return true
	case ast.ScopeTypeEq:
		return s.Entity == action(name)
	case ast.ScopeTypeIn:
		return in(s.Entity)
	case ast.ScopeTypeInSet:
		return slices.ContainsFunc(s.Entities, in)
	}
	return false
}

// everything reports whether somebody may do everything: something permits all, and
// nothing forbids anything.
func (r *Rights) everything() bool {
	all := false
	for _, o := range r.list {
		if _, actions := o.ast.Action.(ast.ScopeTypeAll); o.permit && actions {
			_, resources := o.ast.Resource.(ast.ScopeTypeAll)
			if resources && len(o.ast.Conditions) == 0 {
				all, r.freeBy = true, o.id
			}
		}
		if !o.permit && !r.idle(o) {
			return false
		}
	}
	return all
}

// idle reports whether a policy comes to nothing, whatever it is asked about.
func (r *Rights) idle(o *policy) bool {
	v := r.p.vocabulary
	for _, k := range append([]*kind{nil}, v.kinds...) {
		actions := slices.Concat(fixed, v.acts)
		if k != nil {
			actions = k.actions
		}
		// No attribute is named, so a condition on that cannot be told, and is not idle.
		t := r.translation(k, "", "")
		for _, name := range actions {
			t.env.Action = action(name)
			if !r.p.covers(o.ast.Action, name) {
				continue
			}
			if w, err := t.conditions(o.ast); err != nil || w != occi.Never {
				return false
			}
		}
	}
	return true
}

// translation is one for the thing of a kind that an action is about.
func (r *Rights) translation(k *kind, name, attribute string) *translation {
	t := &translation{v: r.p.vocabulary, kind: k, env: r.env}
	t.env.Action = action(name)
	if name == Show || name == Set {
		t.env.Context = types.NewRecord(types.RecordMap{"attribute": types.String(attribute)})
	}
	return t
}

// Everything reports whether somebody may do everything, and by which policy.
func (r *Rights) Everything() (free bool, policy string) { return r.free, r.freeBy }

// Rule is whether an action is permitted on things of a kind, as far as that depends on
// them.
type Rule struct {
	permits, forbids []clause
	where            *occi.Where
}

// clause is what is left of a policy.
type clause struct {
	id    string
	where *occi.Where
}

// Decide decides of a thing, and names the policy that did; none did if that is empty,
// so that nothing permits it.
func (u *Rule) Decide(x *occi.Entity) (permitted bool, policy string) {
	if x.Whole != nil {
		x = x.Whole
	}
	for i := range u.forbids {
		if u.forbids[i].where.Holds(x) {
			return false, u.forbids[i].id
		}
	}
	for i := range u.permits {
		if u.permits[i].where.Holds(x) {
			return true, u.permits[i].id
		}
	}
	return false, ""
}

// Possible reports whether there can be a thing on which the action is permitted; if not,
// it names the policy that forbids it.
func (u *Rule) Possible() (possible bool, policy string) {
	if u.where != occi.Never {
		return true, ""
	}
	for _, f := range u.forbids {
		if f.where == nil {
			return false, f.id
		}
	}
	return false, ""
}

// possibility is whether there can be something, and what policy forbids it.
type possibility struct {
	ok     bool
	policy string
}

// Possible reports whether there can be a thing of a kind, of any for none, on which an
// action is permitted; if not, it names the policy that forbids it, if one does. Act is
// any action of a kind.
func (r *Rights) Possible(action, kind string) (possible bool, policy string) {
	key := ruleKey{action: action, kind: kind}
	r.mu.RLock()
	c, known := r.can[key]
	r.mu.RUnlock()
	if !known {
		c = r.possibility(action, kind)
		r.mu.Lock()
		if len(r.can) < maxRules {
			r.can[key] = c
		}
		r.mu.Unlock()
	}
	return c.ok, c.policy
}

func (r *Rights) possibility(action, kind string) (c possibility) {
	for _, k := range r.p.vocabulary.kinds {
		if kind != "" && k.id != kind {
			continue
		}
		for _, a := range k.actions {
			if a != action && (action != Act || !r.p.acts(a)) {
				continue
			}
			if c.ok, c.policy = r.Rule(a, k.id).Possible(); c.ok {
				return c
			}
		}
	}
	return c
}

// acts reports whether an action is one of a kind, or of those that count as such.
func (p *Policies) acts(name string) bool {
	a, ok := p.groups[action(name)]
	return ok && a.Parents.Contains(action(Act))
}

// Acts lists the actions that a kind brings.
func (r *Rights) Acts(kind string) []string {
	var acts []string
	if k := r.p.vocabulary.byID[kind]; k != nil {
		for _, a := range k.actions {
			if r.p.acts(a) {
				acts = append(acts, a)
			}
		}
	}
	return acts
}

// Action is how policies call the action of a term: Act for one that is none's.
func (r *Rights) Action(term string) string {
	if r.p.acts(term) && term != Cancel {
		return term
	}
	return Act
}

// Plain reports whether whose a thing of a kind is tells whether it is seen.
func (r *Rights) Plain(kind string) bool { return plain(r.Rule(Read, kind).where) }

// ByLinks reports whether links of a thing of a kind tell whether it is seen.
func (r *Rights) ByLinks(kind string) bool { return r.Rule(Read, kind).where.Uses(occi.WhereBelongs) }

func plain(w *occi.Where) bool {
	if w == nil {
		return true
	}
	return w.Op == occi.WhereNothing || w.Op == occi.WhereProject || w.Op == occi.WhereShared ||
		(w.Op == occi.WhereAny || w.Op == occi.WhereAll || w.Op == occi.WhereNot) && !slices.ContainsFunc(w.Of, func(o *occi.Where) bool { return !plain(o) })
}

// Hides reports whether anything may not be shown of what is seen.
func (r *Rights) Hides() bool { return r.hides }

// shows reports whether something permits that all be shown.
func (r *Rights) shows() bool {
	return slices.ContainsFunc(r.list, func(o *policy) bool {
		_, all := o.ast.Resource.(ast.ScopeTypeAll)
		return o.permit && all && len(o.ast.Conditions) == 0 && r.p.covers(o.ast.Action, Show)
	})
}

// Version tells the policies from others.
func (r *Rights) Version() string { return r.p.Version }

// Where is on what the action is permitted; nil for everything.
func (u *Rule) Where() *occi.Where { return u.where }

// Rule gives what is left to decide of an action on things of a kind.
func (r *Rights) Rule(action, kind string) *Rule { return r.rule(ruleKey{action, kind, ""}) }

// Attribute is Rule of Show or Set of an attribute of a kind, by its full name.
func (r *Rights) Attribute(action, kind, attribute string) *Rule {
	return r.rule(ruleKey{action, kind, attribute})
}

func (r *Rights) rule(key ruleKey) *Rule {
	r.mu.RLock()
	u := r.rules[key]
	r.mu.RUnlock()
	if u != nil {
		return u
	}
	u = r.left(key)
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.rules) < maxRules {
		r.rules[key] = u
	}
	return u
}

// maxRules bounds the rules that are kept of somebody: names of attributes may be
// anything.
const maxRules = 4096

// left evaluates the policies as far as they are not about the thing.
func (r *Rights) left(key ruleKey) *Rule {
	u := &Rule{}
	k := r.p.vocabulary.byID[key.kind]
	attribute := key.attribute
	if k != nil && k.names[attribute] != "" {
		attribute = k.names[attribute]
	}
	var permits, forbids []*occi.Where
	for _, o := range r.list {
		if !r.p.covers(o.ast.Action, key.action) {
			continue
		}
		t := r.translation(k, key.action, attribute)
		w, err := t.resources(o.ast.Resource)
		if err == nil && w != occi.Never {
			var when *occi.Where
			when, err = t.conditions(o.ast)
			w = occi.And(w, when)
		}
		if key.action == Show && w != nil && w != occi.Never {
			continue // it is about things, not about what is shown of all
		}
		switch {
		case err != nil && !o.permit:
			w = nil // what cannot be told is forbidden
		case err != nil || w == occi.Never:
			continue
		}
		if o.permit {
			u.permits, permits = append(u.permits, clause{o.id, w}), append(permits, w)
		} else {
			u.forbids, forbids = append(u.forbids, clause{o.id, w}), append(forbids, w)
		}
	}
	u.where = occi.And(occi.Or(permits...), occi.Not(occi.Or(forbids...)))
	return u
}

// resources gives where a thing is of those of a policy.
func (t *translation) resources(scope ast.IsScopeNode) (*occi.Where, error) {
	is := func(name types.EntityType) bool { return t.kind != nil && string(name) == t.kind.name }
	switch s := scope.(type) {
	case ast.ScopeTypeAll:
		return nil, nil
	case ast.ScopeTypeEq:
		return t.is(s.Entity), nil
	case ast.ScopeTypeIn:
		return t.is(s.Entity), nil
	case ast.ScopeTypeIs:
		return constant(is(s.Type)), nil
	case ast.ScopeTypeIsIn:
		return occi.And(constant(is(s.Type)), t.is(s.Entity)), nil
	}
	return nil, cannot("what the policy is about is not known")
}

// Hidden lists the full names of the attributes of a kind that are not shown.
func (r *Rights) Hidden(kind string) []string {
	r.mu.RLock()
	names, known := r.hidden[kind]
	r.mu.RUnlock()
	if known {
		return names
	}
	if k := r.p.vocabulary.byID[kind]; k != nil {
		for name := range k.names {
			if ok, _ := r.Attribute(Show, kind, name).Possible(); !ok {
				names = append(names, name)
			}
		}
	}
	slices.Sort(names)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.hidden[kind] = names
	return names
}

// Called is how policies call an attribute of a kind.
func (r *Rights) Called(kind, attribute string) string {
	if k := r.p.vocabulary.byID[kind]; k != nil && k.names[attribute] != "" {
		return k.names[attribute]
	}
	return attribute
}
