package occi

// Without makes the entity that e becomes when it loses a mixin, with the
// attributes that nothing else of it defines. e itself is not changed; one that
// does not carry the mixin gives an equal entity. The error is Invalid if a
// required attribute would be missing.
func (m *Model) Without(e *Entity, mixin string) (*Entity, error) {
	k := m.kinds[e.Kind]
	if k == nil {
		return nil, E(Conflict, "the registry has no kind %s any more", e.Kind)
	}
	b := &builder{m: m, k: k, e: e.Clone(), old: e}
	b.e.Mixins = nil
	for _, id := range e.Mixins {
		if id != mixin {
			b.e.Mixins = append(b.e.Mixins, id)
		}
	}
	b.mixins(&Draft{}, e.Mixins)
	b.defaults(b.e.Mixins, e.Mixins)
	b.required()
	return b.e, b.err("the mixin cannot be taken from " + m.Path(e))
}
