package policy

import (
	"slices"
	"strings"

	"github.com/occid/occid/occi"
)

// Scope is what of everything an action is permitted on, as a store selects it.
type Scope struct {
	// Reach are whose lists it is in, as occi.Query has it; nil for all.
	Reach []string
	// Where holds of it; nil if the Reach says all.
	Where *occi.Where
	// None tells that there is nothing.
	None bool
}

// Scope gives on what of some kinds an action is permitted, of all but the provider's own
// for none. If the action is to read, so it gives what links are seen with that.
func (r *Rights) Scope(action string, kinds []string) *Scope {
	if r.free {
		return &everywhere
	}
	key := action + "\n" + strings.Join(kinds, "\n")
	r.mu.RLock()
	s := r.scopes[key]
	r.mu.RUnlock()
	if s != nil {
		return s
	}
	s = r.scope(action, r.seen(kinds))
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.scopes) < maxRules {
		r.scopes[key] = s
	}
	return s
}

var everywhere Scope

// seen lists kinds and those of the links that are shown with what is of them.
func (r *Rights) seen(ids []string) []*kind {
	own := slices.ContainsFunc(ids, func(id string) bool { k := r.p.vocabulary.byID[id]; return k != nil && !k.tenant })
	var out []*kind
	for _, k := range r.p.vocabulary.kinds {
		switch {
		case k.id == MixinKind, k.id == ServerKind, k.id == occi.TaskKind, k.id == occi.TaskLinkKind:
		case slices.Contains(ids, k.id), k.link && (k.tenant || own), len(ids) == 0 && k.tenant:
			out = append(out, k)
		}
	}
	return out
}

func (r *Rights) scope(action string, kinds []*kind) *Scope {
	groups := map[string][]string{}
	wheres := map[string]*occi.Where{}
	for _, k := range kinds {
		w := occi.And(r.Rule(Read, k.id).where, r.Rule(action, k.id).where)
		if w != occi.Never {
			groups[w.String()] = append(groups[w.String()], k.id)
			wheres[w.String()] = w
		}
	}
	if len(groups) == 0 {
		return &Scope{Where: occi.Never, None: true}
	}
	if reach, ok := r.plainly(action, kinds); ok {
		return &Scope{Reach: reach}
	}
	s := &Scope{Where: occi.Never}
	for text, ids := range groups {
		s.Where = occi.Or(s.Where, occi.And(occi.WhereNames(occi.WhereKind, ids...), wheres[text]))
	}
	if reach, _ := s.Where.Within(); !slices.Contains(reach, "") {
		s.Reach = reach
	}
	return s
}

// plainly gives whose lists hold just what an action is permitted on; ok is false if no
// lists do.
func (r *Rights) plainly(action string, kinds []*kind) (reach []string, ok bool) {
	everywhere, first := true, true
	for _, k := range kinds {
		w := occi.And(r.Rule(Read, k.id).where, r.Rule(action, k.id).where)
		everywhere = everywhere && w == nil
		if w == nil {
			continue
		}
		lists, exactly := w.Within()
		if !k.shared && w.Op == occi.WhereProject {
			exactly = !slices.Contains(lists, "")
		}
		if !exactly {
			return nil, false
		}
		// What cannot be shared is in no list of all.
		lists = append(slices.DeleteFunc(slices.Clone(lists), func(s string) bool { return s == occi.Everyone }), occi.Everyone)
		if !first && !slices.Equal(lists, reach) {
			return nil, false
		}
		reach, first = lists, false
	}
	return reach, everywhere || !first && !slices.ContainsFunc(kinds, func(k *kind) bool {
		return occi.And(r.Rule(Read, k.id).where, r.Rule(action, k.id).where) == nil
	})
}
