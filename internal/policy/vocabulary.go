package policy

import (
	"slices"
	"strings"

	"github.com/occid/occid/occi"
)

// Actions that are no action of a kind.
const (
	Read    = "read"
	Create  = "create"
	Update  = "update"
	Delete  = "delete"
	Cancel  = "cancel"  // a task
	Share   = "share"   // with all projects, or end that
	Show    = "show"    // an attribute
	Set     = "set"     // an attribute
	Monitor = "monitor" // what is shown to monitoring
	Audit   = "audit"   // the trail of what was done
	// Act stands for all actions of kinds, and for cancel.
	Act = "act"
)

// Start is the action that those may invoke who bring machines back.
const Start = "start"

// What policies can be about beside entities, named as kinds are.
const (
	// MixinKind is of what users define.
	MixinKind = occi.UserMixins
	// ServerKind is of the server itself.
	ServerKind = "server"
)

// Types of who asks.
const (
	callerType = "Caller"
	roleType   = "Role"
)

// Common attributes of what is asked about, which are no attributes of OCCI.
const (
	commonProject = "project"
	commonShared  = "shared"
	commonTenant  = "tenant"
	commonHost    = "host"
	commonMixins  = "mixins"
	commonSource  = "source"
	commonTarget  = "target"
	// memberOf are, of users, the projects that they have a part in.
	memberOf = "projects"
)

var common = []string{commonProject, commonShared, commonTenant, commonHost, commonMixins, commonSource, commonTarget, memberOf}

// kind is a kind as policies see it.
type kind struct {
	id     string // identifier
	name   string // of the type
	tenant bool   // things of it are projects'
	link   bool
	shared bool // they can be shared with all projects
	user   bool // it is that of users
	bare   bool // nothing is known of a thing but whose it is
	// attributes by the names that policies have for them, and the names by theirs.
	attributes map[string]*occi.Attribute
	names      map[string]string
	actions    []string
}

// vocabulary is what policies can speak of: a registry's.
type vocabulary struct {
	kinds  []*kind
	byID   map[string]*kind
	byName map[string]*kind
	acts   []string // terms of actions of kinds
}

func newVocabulary(m *occi.Model) *vocabulary {
	v := &vocabulary{byID: map[string]*kind{}, byName: map[string]*kind{}}
	for _, k := range m.Kinds {
		if !k.Abstract {
			v.add(newKind(m, k))
		}
	}
	v.add(&kind{id: MixinKind, name: "Mixin", tenant: true, bare: true, actions: []string{Read, Create, Update, Delete}})
	v.add(&kind{id: ServerKind, name: "Server", bare: true, actions: []string{Monitor, Audit}})
	slices.Sort(v.acts)
	v.acts = slices.Compact(v.acts)
	return v
}

func (v *vocabulary) add(k *kind) {
	for taken := k.name; v.byName[k.name] != nil || k.name == callerType || k.name == roleType || k.name == "Action"; {
		k.name = taken + "_" + string(rune('a'+len(v.kinds)%26))
		taken = k.name
	}
	v.kinds = append(v.kinds, k)
	v.byID[k.id], v.byName[k.name] = k, k
	for _, a := range k.actions {
		if !slices.Contains(fixed, a) {
			v.acts = append(v.acts, a)
		}
	}
}

// fixed are the actions that no kind has to bring.
var fixed = []string{Read, Create, Update, Delete, Cancel, Share, Show, Set, Monitor, Audit, Act}

func newKind(m *occi.Model, k *occi.Kind) *kind {
	w := &kind{id: k.ID(), name: typeName(k.Term), tenant: !k.Own, link: k.Link, user: k.ID() == occi.UserKind,
		bare: k.ID() == occi.TaskKind || k.ID() == occi.TaskLinkKind, attributes: map[string]*occi.Attribute{}, names: map[string]string{}, actions: []string{Read, Create, Update, Delete, Show, Set}}
	if k.ID() == occi.TaskKind {
		w.actions = append(w.actions, Cancel)
	}
	terms := func(as []*occi.Action) {
		for _, a := range as {
			if !slices.Contains(w.actions, a.Term) {
				w.actions = append(w.actions, a.Term)
			}
		}
	}
	for p := k; p != nil; p = m.Kind(p.Parent) {
		terms(p.Actions)
	}
	for _, a := range m.KindAttributes(k) {
		w.attribute(a)
	}
	for _, x := range m.Mixins {
		if x.User || !applies(m, x, k) {
			continue
		}
		terms(x.Actions)
		w.shared = w.shared || x.ID() == occi.SharedMixin
		for _, a := range x.Attributes {
			w.attribute(a)
		}
	}
	if w.shared {
		w.actions = append(w.actions, Share)
	}
	return w
}

func applies(m *occi.Model, x *occi.Mixin, k *occi.Kind) bool {
	return len(x.Applies) == 0 || slices.ContainsFunc(x.Applies, func(id string) bool { return m.IsA(k, id) })
}

// attribute gives an attribute a name: its short one, if nothing else has that.
func (k *kind) attribute(a *occi.Attribute) {
	switch a.Name {
	case occi.AttrID, occi.AttrSource, occi.AttrSourceKind, occi.AttrTarget, occi.AttrTargetKind:
		return
	}
	if k.names[a.Name] != "" {
		return
	}
	name := a.Short
	if name == "" || slices.Contains(common, name) || k.attributes[name] != nil {
		name = a.Name
	}
	k.attributes[name], k.names[a.Name] = a, name
}

// typeName makes the name of a type of a term: Networkinterface, HostPool.
func typeName(term string) string {
	var b strings.Builder
	for part := range strings.FieldsFuncSeq(term, func(r rune) bool { return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') }) {
		b.WriteString(strings.ToUpper(part[:1]) + part[1:])
	}
	return b.String()
}
