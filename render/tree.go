package render

import "github.com/occid/occid/occi"

// shape is what a node of a tree is. The values name it in messages.
type shape string

const (
	dictShape shape = "an object" // keys and values in order
	listShape shape = "a list"
	textShape shape = "text"
	bareShape shape = "a number or boolean" // its text is as written
	rawShape  shape = "JSON"                // its text is a JSON value; only written
	nullShape shape = "null"
)

// tree is the one form of a descriptor between an entity or draft and all its
// spellings: values in order, each dict and list before what it holds. A tree is
// used again and again for the entities of a collection. The zero tree is empty.
type tree struct {
	nodes []node
	buf   []byte // of the nodes' texts
}

// node is one value of a tree.
type node struct {
	key      string // in a dict
	shape    shape
	from, to int // its text in the buffer
	size     int // of a dict or list: the nodes below it
	line     int // where it was read, from 1
}

func (t *tree) reset() { t.nodes, t.buf = t.nodes[:0], t.buf[:0] }

// open begins a dict or list that holds what is added until close.
func (t *tree) open(key string, s shape) int {
	t.nodes = append(t.nodes, node{key: key, shape: s})
	return len(t.nodes) - 1
}

func (t *tree) close(i int) { t.nodes[i].size = len(t.nodes) - 1 - i }

// closeFilled closes a dict or list and drops it if it is empty.
func (t *tree) closeFilled(i int) {
	if t.close(i); t.nodes[i].size == 0 {
		t.nodes = t.nodes[:i]
	}
}

// add adds a value whose text was added to the buffer from an offset on.
func (t *tree) add(key string, s shape, from int) {
	t.nodes = append(t.nodes, node{key: key, shape: s, from: from, to: len(t.buf)})
}

// addText adds text.
func (t *tree) addText(key, text string) {
	from := len(t.buf)
	t.buf = append(t.buf, text...)
	t.add(key, textShape, from)
}

// addGiven adds text unless it is empty.
func (t *tree) addGiven(key, text string) {
	if text != "" {
		t.addText(key, text)
	}
}

// addBool adds a boolean.
func (t *tree) addBool(key string, b bool) { t.addValue(key, occi.Bool(b)) }

// addValue adds a value in the form that its type has without a unit.
func (t *tree) addValue(key string, v occi.Value) {
	from := len(t.buf)
	t.buf = v.Append(t.buf)
	t.add(key, valueShape(v), from)
}

func valueShape(v occi.Value) shape {
	switch v.Type {
	case occi.Integer, occi.Number, occi.Boolean:
		return bareShape
	case occi.Array, occi.Object:
		return rawShape
	}
	return textShape
}

// addTexts adds a list of texts unless it is empty.
func (t *tree) addTexts(key string, texts []string) {
	i := t.open(key, listShape)
	for _, s := range texts {
		t.addText("", s)
	}
	t.closeFilled(i)
}

// text is the text of a node, valid until the tree changes.
func (t *tree) text(i int) []byte { return t.buf[t.nodes[i].from:t.nodes[i].to] }

// children ranges over the nodes directly in a dict or list.
func (t *tree) children(i int) func(yield func(int) bool) {
	return func(yield func(int) bool) {
		for c, end := i+1, i+t.nodes[i].size; c <= end; c += 1 + t.nodes[c].size {
			if !yield(c) {
				return
			}
		}
	}
}

// find gives the place of a key in a dict, or -1.
func (t *tree) find(i int, key string) int {
	for c := range t.children(i) {
		if t.nodes[c].key == key {
			return c
		}
	}
	return -1
}

// drop removes a key from the outermost dict.
func (t *tree) drop(key string) {
	if i := t.find(0, key); i >= 0 {
		n := 1 + t.nodes[i].size
		t.nodes = append(t.nodes[:i], t.nodes[i+n:]...)
		t.nodes[0].size -= n
	}
}

// items maps the key of a list to what one element is called, for spellings
// that write a list as its elements one after another.
var items = map[string]string{
	"resources": "resource", "links": "link", "mixins": "mixin", "kinds": "kind", "actions": "action",
	"attributes": "attribute", "problems": "problem", "states": "state", "values": "value", "transitions": "transition",
	"locations": "location",
}

// item is what an element of a list is called; the list's own key if it has no
// name for one.
func item(key string) string {
	if name := items[key]; name != "" {
		return name
	}
	return key
}
