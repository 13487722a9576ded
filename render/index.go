package render

import (
	"strings"
	"sync"
	"sync/atomic"

	"github.com/occid/occid/occi"
)

// index holds what codecs write again and again of a model, ready
// to be copied. It does not change.
type index struct {
	model  *occi.Model
	kinds  map[string]*kindIndex
	mixins map[string]*mixinIndex
}

type kindIndex struct {
	kind     *occi.Kind // nil if the model has no such kind
	text     string     // value of Category
	json     string     // identifier, quoted
	atom     string     // category element
	location string
	possible map[string][]actionIndex // by state; "" if the kind has none
	keys     []key                    // of a descriptor, but those of the state
	state    []key                    // the state and its message
}

type mixinIndex struct {
	text, json, atom string // as of a kind
	acts             bool   // it brings actions, of its own or of what it depends on
	keys             []key
}

// key is what a descriptor calls an attribute.
type key struct {
	name string // of the attribute
	key  string
	def  *occi.Attribute
}

type actionIndex struct {
	action *occi.Action
	text   string // of a Link, behind the entity's path
	json   string // identifier, quoted
	// of a link element, before and behind its reference
	atomRel, stateRel, atomTitle string
}

// latest is the index of the model that was rendered last: nearly always the
// registry in force, as one project has it.
var latest atomic.Pointer[index]

// recent are the indexes of models that were rendered lately.
var recent struct {
	mu  sync.Mutex
	all map[*occi.Model]*index
}

// maxRecent bounds them.
const maxRecent = 64

func indexOf(m *occi.Model) *index {
	if x := latest.Load(); x != nil && x.model == m {
		return x
	}
	recent.mu.Lock()
	defer recent.mu.Unlock()
	x := recent.all[m]
	if x == nil {
		if len(recent.all) >= maxRecent || recent.all == nil {
			recent.all = map[*occi.Model]*index{}
		}
		x = newIndex(m)
		recent.all[m] = x
	}
	latest.Store(x)
	return x
}

func newIndex(m *occi.Model) *index {
	x := &index{model: m, kinds: map[string]*kindIndex{}, mixins: map[string]*mixinIndex{}}
	for _, k := range m.Kinds {
		ki := &kindIndex{
			kind:     k,
			text:     categoryText(&k.Category, occi.ClassKind),
			json:     string(appendJSONString(nil, k.ID())),
			atom:     categoryAtom(&k.Category),
			location: k.Location,
			possible: map[string][]actionIndex{},
		}
		ki.keys, ki.state = kindKeys(m, k)
		states, attribute := []string{""}, ""
		if k.States != nil {
			states, attribute = k.States.Values, k.States.Attribute
		}
		for _, s := range states {
			e := &occi.Entity{Kind: k.ID()}
			if attribute != "" {
				e.Attributes.Set(attribute, occi.Str(s))
			}
			ki.possible[s] = actionIndexes(m.Possible(e))
		}
		x.kinds[k.ID()] = ki
	}
	for _, mx := range m.Mixins {
		mi := &mixinIndex{text: categoryText(&mx.Category, occi.ClassMixin), json: string(appendJSONString(nil, mx.ID())), atom: categoryAtom(&mx.Category)}
		for _, c := range m.Closure([]string{mx.ID()}) {
			mi.acts = mi.acts || len(c.Actions) > 0
			mi.keys = append(mi.keys, keysOf(c.Attributes)...)
		}
		x.mixins[mx.ID()] = mi
	}
	return x
}

// kindKeys lists the keys of a kind's attributes. Core attributes are none: an
// entity has them beside its others.
func kindKeys(m *occi.Model, k *occi.Kind) (keys, state []key) {
	for _, x := range keysOf(m.KindAttributes(k)) {
		switch {
		case strings.HasPrefix(x.name, "occi.core."):
		case k.States != nil && (x.name == k.States.Attribute || x.name == k.States.Message):
			state = append(state, x)
		default:
			keys = append(keys, x)
		}
	}
	return keys, state
}

func keysOf(as []*occi.Attribute) []key {
	out := make([]key, len(as))
	for i, a := range as {
		if out[i] = (key{a.Name, a.Short, a}); a.Short == "" {
			out[i].key = a.Name
		}
	}
	return out
}

func actionIndexes(as []*occi.Action) []actionIndex {
	out := make([]actionIndex, len(as))
	for i, a := range as {
		out[i] = actionIndex{
			action:    a,
			text:      "?action=" + a.Term + `>; rel="` + a.ID() + `"`,
			json:      string(appendJSONString(nil, a.ID())),
			atomRel:   `<link rel="` + string(appendXML(nil, a.ID())) + `" href="`,
			stateRel:  `<link rel="` + string(appendXML(nil, stateRelation+a.Term)) + `" href="`,
			atomTitle: `" title="` + string(appendXML(nil, a.Title)) + `"/>`,
		}
	}
	return out
}

// categoryText is a category as an entity shows it: without what its definition
// holds beside the title.
func categoryText(c *occi.Category, class string) string {
	return string(appendCategoryHead(nil, c, class))
}

// kind gives a kind's index; that of a kind which the model has no more shows
// the identifier alone.
func (x *index) kind(id string) *kindIndex {
	if k := x.kinds[id]; k != nil {
		return k
	}
	c := namedCategory(id)
	return &kindIndex{text: categoryText(&c, occi.ClassKind), json: string(appendJSONString(nil, id)), atom: categoryAtom(&c), location: "/"}
}

func (x *index) mixin(id string) *mixinIndex {
	if mx := x.mixins[id]; mx != nil {
		return mx
	}
	c := namedCategory(id)
	return &mixinIndex{text: categoryText(&c, occi.ClassMixin), json: string(appendJSONString(nil, id)), atom: categoryAtom(&c)}
}

func namedCategory(id string) occi.Category {
	scheme, term, ok := occi.SplitID(id)
	if !ok {
		term = id
	}
	return occi.Category{Scheme: scheme, Term: term}
}

// actions lists what can be invoked on an entity now.
func (x *index) actions(k *kindIndex, e *occi.Entity) []actionIndex {
	if k.kind == nil {
		return nil
	}
	for _, id := range e.Mixins {
		if mx := x.mixins[id]; mx != nil && mx.acts {
			return actionIndexes(x.model.Possible(e))
		}
	}
	state := ""
	if k.kind.States != nil {
		state = e.Attributes.Get(k.kind.States.Attribute).Text
	}
	return k.possible[state]
}

// tasks lists the links from a resource to what is under way for it.
func (k *kindIndex) tasks(e *occi.Entity) []*occi.Entity {
	if len(e.Tasks) == 0 || k.kind == nil || k.kind.Link {
		return nil
	}
	out := make([]*occi.Entity, len(e.Tasks))
	for i, id := range e.Tasks {
		out[i] = occi.TaskLink(e, id)
	}
	return out
}

// appendPath adds the path of an entity of a kind, as occi.Model.Path gives it.
func (x *index) appendPath(dst []byte, e *occi.Entity) []byte {
	return appendID(append(dst, x.kind(e.Kind).location...), e.ID)
}

// appendRef adds where a link's end is found, as occi.Model.RefPath gives it.
func (x *index) appendRef(dst []byte, r occi.Ref) []byte {
	if r.URI != "" {
		return append(dst, r.URI...)
	}
	return appendID(append(dst, x.kind(r.Kind).location...), r.ID)
}
