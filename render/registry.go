package render

import (
	"maps"
	"slices"

	"github.com/occid/occid/occi"
)

// categories adds a selection of the registry to a tree.
func (t *tree) categories(c *Categories) {
	root := t.open("", dictShape)
	i := t.open("kinds", listShape)
	for _, k := range c.Kinds {
		t.kind(k)
	}
	t.closeFilled(i)
	i = t.open("mixins", listShape)
	for _, x := range c.Mixins {
		t.mixin(x)
	}
	t.closeFilled(i)
	i = t.open("actions", listShape)
	for _, a := range c.Actions {
		t.action(a)
	}
	t.closeFilled(i)
	t.close(root)
}

func (t *tree) kind(k *occi.Kind) {
	i := t.open("", dictShape)
	t.category(&k.Category)
	t.addGiven("parent", k.Parent)
	t.addGiven("location", k.Location)
	t.addTexts("actions", actionList(k.Actions))
	t.close(i)
}

func (t *tree) mixin(x *occi.Mixin) {
	i := t.open("", dictShape)
	t.category(&x.Category)
	t.addTexts("depends", x.Depends)
	t.addTexts("applies", x.Applies)
	t.addGiven("location", x.Location)
	t.addTexts("actions", actionList(x.Actions))
	t.close(i)
}

func (t *tree) action(a *occi.Action) {
	i := t.open("", dictShape)
	t.category(&a.Category)
	t.close(i)
}

// category adds what kinds, mixins and actions have in common.
func (t *tree) category(c *occi.Category) {
	t.addText("term", c.Term)
	t.addText("scheme", c.Scheme)
	t.addGiven("title", c.Title)
	t.definitions(c.Attributes)
}

func (t *tree) definitions(as []*occi.Attribute) {
	list := t.open("attributes", listShape)
	for _, a := range as {
		i := t.open("", dictShape)
		t.addText("name", a.Name)
		t.addGiven("key", a.Short)
		t.addText("type", string(a.Type))
		t.addGiven("unit", a.Unit)
		t.addBool("mutable", !fixed(a))
		t.addBool("required", a.Required)
		if !a.Default.IsZero() {
			t.addValue("default", a.Default)
		}
		t.addTexts("values", a.Enum)
		if a.Min != nil {
			t.addValue("min", occi.Float(*a.Min))
		}
		if a.Max != nil {
			t.addValue("max", occi.Float(*a.Max))
		}
		t.addGiven("pattern", a.Pattern)
		t.addGiven("description", a.Description)
		t.close(i)
	}
	t.closeFilled(list)
}

func actionList(as []*occi.Action) []string {
	ids := make([]string, len(as))
	for i, a := range as {
		ids[i] = a.ID()
	}
	return ids
}

// states adds the state machines of a model.
func (t *tree) states(m *occi.Model) {
	root := t.open("", dictShape)
	list := t.open("states", listShape)
	for _, k := range m.Kinds {
		if k.States != nil {
			t.machine(m, k)
		}
	}
	t.close(list)
	t.close(root)
}

func (t *tree) machine(m *occi.Model, k *occi.Kind) {
	s := k.States
	i := t.open("", dictShape)
	t.addText("type", k.Term)
	t.addText("kind", k.ID())
	t.addText("attribute", s.Attribute)
	t.addGiven("message", s.Message)
	t.addText("initial", s.Initial)
	t.addGiven("failed", s.Failed)
	t.addGiven("auto", s.Auto)
	t.addTexts("values", s.Values)
	aliases := t.open("aliases", dictShape)
	for _, name := range slices.Sorted(maps.Keys(s.Aliases)) {
		t.addText(name, s.Aliases[name])
	}
	t.closeFilled(aliases)
	list := t.open("transitions", listShape)
	for _, x := range s.Transitions {
		t.transition(m, k, x)
	}
	t.closeFilled(list)
	t.close(i)
}

func (t *tree) transition(m *occi.Model, k *occi.Kind, x occi.Transition) {
	i := t.open("", dictShape)
	t.addText("from", x.From)
	if a := m.ActionOf(k, nil, x.Action); a != nil {
		t.addText("action", a.Term)
		t.definitions(a.Attributes)
	}
	t.addGiven("through", x.Through)
	t.addText("to", x.To)
	t.close(i)
}

// fault adds an error. Its message is the whole text, problems included.
func (t *tree) fault(f *Fault) {
	root := t.open("", dictShape)
	t.addValue("code", occi.Int(int64(f.Status)))
	t.addGiven("reason", f.Reason)
	whole := occi.Error{Message: f.Message, Problems: f.Problems}
	t.addGiven("message", whole.Public())
	list := t.open("problems", listShape)
	for _, p := range f.Problems {
		i := t.open("", dictShape)
		if p.Line > 0 {
			t.addValue("line", occi.Int(int64(p.Line)))
		}
		t.addGiven("what", p.What)
		t.addGiven("text", p.Text)
		if b := p.Bound; b != nil {
			t.addGiven("of", b.Of)
			t.addValue("limit", b.Limit)
			t.addValue("used", b.Used)
			t.addValue("requested", b.Requested)
		}
		t.close(i)
	}
	t.closeFilled(list)
	t.close(root)
}
