package occi

import "slices"

// Without makes the entity that e becomes when it loses a mixin, with those of its
// mixins that depend on it, and with the attributes that nothing else of it
// defines. e itself is not changed; one that does not carry the mixin gives an
// equal entity. The error is Invalid if a required attribute would be missing.
func (m *Model) Without(e *Entity, mixin string) (*Entity, error) {
	k := m.kinds[e.Kind]
	if k == nil {
		return nil, E(Conflict, "the registry has no kind %s any more", e.Kind)
	}
	b := &builder{m: m, k: k, e: e.Clone(), old: e}
	if e.HasMixin(mixin) {
		b.e.Mixins = slices.DeleteFunc(b.e.Mixins, func(id string) bool { return m.dependsOn(id, mixin) })
	}
	b.mixins(&Draft{}, e.Mixins)
	b.defaults(b.e.Mixins, e.Mixins)
	b.required()
	return b.e, b.err("the mixin cannot be taken from " + m.Path(e))
}

// dependsOn reports whether a mixin is another one or depends on it.
func (m *Model) dependsOn(id, other string) bool {
	return id == other || slices.ContainsFunc(m.Closure([]string{id}), func(x *Mixin) bool { return x.ID() == other })
}
