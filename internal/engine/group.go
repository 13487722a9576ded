package engine

import (
	"context"
	"fmt"
	"slices"

	"github.com/occid/occid/hypervisor"
	"github.com/occid/occid/occi"
)

// maxGrouped bounds the rules that an entity has by all its security groups, so that
// a host can hold those of an interface and of its machine together.
const maxGrouped = 256

// groupsOf gives the texts of the rules that an entity has of its own and of each of
// its security groups. grouped tells whether it has a group at all, which may be one
// that lets nothing in.
func groupsOf(m *occi.Model, x *occi.Entity) (texts []string, grouped bool) {
	for _, mx := range m.Closure(x.Mixins) {
		for _, a := range mx.Attributes {
			if a.Role != roleRules {
				continue
			}
			grouped = true
			own := ""
			if a.Live {
				own = a.Default.Text
			}
			for _, text := range []string{own, x.Attributes.Get(a.Name).Text} {
				if text != "" && !slices.Contains(texts, text) {
					texts = append(texts, text)
				}
			}
		}
	}
	return texts, grouped
}

// rulesOf gives the rules of security groups, each once. Those that cannot be read,
// which the model keeps from being, let nothing in.
func rulesOf(texts []string) []hypervisor.Rule {
	var out []hypervisor.Rule
	for _, text := range texts {
		rules, err := occi.ParseRules(text)
		if err != nil {
			continue
		}
		for _, r := range rules {
			rule := hypervisor.Rule{Protocol: r.Protocol, FromPort: r.From, ToPort: r.To, Source: r.Source}
			if !slices.Contains(out, rule) {
				out = append(out, rule)
			}
		}
	}
	return out
}

// checkGroups refuses more rules than a host can hold.
func checkGroups(m *occi.Model, _, x *occi.Entity) []occi.Problem {
	texts, _ := groupsOf(m, x)
	n := len(rulesOf(texts))
	if n <= maxGrouped {
		return nil
	}
	return []occi.Problem{{What: roleAttr(m, x, roleRules).Name,
		Text: fmt.Sprintf("the security groups have %d rules; there can be %d", n, maxGrouped)}}
}

// regrouped reports whether a change is one of what may come in to an entity.
func regrouped(before *occi.Model, a *occi.Entity, after *occi.Model, b *occi.Entity) bool {
	texts, grouped := groupsOf(before, a)
	others, still := groupsOf(after, b)
	return grouped != still || !slices.Equal(rulesOf(texts), rulesOf(others))
}

// recarried has the hosts follow mixins that are defined as next has them: all that
// carry one, or one that depends on it, are written, so that nothing comes to carry it
// meanwhile.
func (b *creation) recarried(ctx context.Context, next *occi.Model) error {
	var ids []string
	for _, x := range slices.Concat(b.change.Define, b.change.Redefine) {
		ids = append(ids, x.ID())
	}
	for _, id := range next.Dependents(ids...) {
		if b.m.Mixin(id) != nil {
			b.change.Carriers = append(b.change.Carriers, id)
		}
	}
	if len(b.change.Carriers) == 0 {
		return nil
	}
	page, err := b.e.store.List(ctx, &occi.Query{AnyMixins: b.change.Carriers})
	if err != nil {
		return err
	}
	for _, old := range page.Entities {
		if ps := checkGroups(next, nil, old); len(ps) > 0 {
			return final{occi.Problems(occi.Conflict, b.m.Path(old)+" cannot follow the mixin", ps)}
		}
		b.known[old.ID] = old
		b.regroup(old, b.put(old), next)
	}
	return nil
}

// regroup has the host of an entity follow the groups that it has in another registry,
// unless it is to follow the entity anyway.
func (b *creation) regroup(old, x *occi.Entity, next *occi.Model) {
	ops := part(b.m, x)
	if x.Host == "" || ops.update == nil || len(x.Tasks) > len(old.Tasks) || !regrouped(b.m, old, next, x) {
		return
	}
	x = b.put(x)
	b.task(x, x.Host, verbUpdate, updateParams(b.m, old, x), nil)
	b.say(x, throughUpdate)
}

// redefined notes a user's mixin that is there and is to be as x is. Only the project
// whose it is may change it.
func (p *plan) redefined(x *occi.Mixin) error {
	if !p.c.Operates() && x.Project != p.c.Project {
		return final{occi.E(occi.Forbidden, "%s is everybody's; only administrators change it", x.ID())}
	}
	p.change.Redefine = slices.DeleteFunc(p.change.Redefine, func(o *occi.Mixin) bool { return o.ID() == x.ID() })
	p.change.Redefine = append(p.change.Redefine, x)
	return nil
}
