package spec

import "go.yaml.in/yaml/v3"

// What a file holds, as it is written. Every definition keeps its node for the
// lines of faults.

type fileDoc struct {
	Kinds      []*kindDef      `yaml:"kinds"`
	Mixins     []*mixinDef     `yaml:"mixins"`
	Extensions []*extensionDef `yaml:"extensions"`
}

type kindDef struct {
	ID         string     `yaml:"id"`
	Title      string     `yaml:"title"`
	Parent     string     `yaml:"parent"`
	Location   string     `yaml:"location"`
	Abstract   bool       `yaml:"abstract"`
	Own        bool       `yaml:"own"`
	Link       bool       `yaml:"link"`
	Target     string     `yaml:"target"`
	Host       string     `yaml:"host"`
	Uses       string     `yaml:"uses"`
	Aliases    []string   `yaml:"aliases"`
	Attributes []*attrDef `yaml:"attributes"`
	Actions    []*actDef  `yaml:"actions"`
	States     *stateDef  `yaml:"states"`
	node       *yaml.Node
}

type mixinDef struct {
	ID         string     `yaml:"id"`
	Title      string     `yaml:"title"`
	Location   string     `yaml:"location"`
	Depends    []string   `yaml:"depends"`
	Applies    []string   `yaml:"applies"`
	Exclusive  bool       `yaml:"exclusive"`
	Uses       string     `yaml:"uses"`
	Auto       string     `yaml:"auto"`
	Attributes []*attrDef `yaml:"attributes"`
	Actions    []*actDef  `yaml:"actions"`
	node       *yaml.Node
}

type extensionDef struct {
	Extend     string     `yaml:"extend"`
	Aliases    []string   `yaml:"aliases"`
	Attributes []*attrDef `yaml:"attributes"`
	Actions    []*actDef  `yaml:"actions"`
	States     *stateDef  `yaml:"states"`
	node       *yaml.Node
}

type attrDef struct {
	Name         string   `yaml:"name"`
	Short        string   `yaml:"short"`
	Aliases      []string `yaml:"aliases"`
	Type         string   `yaml:"type"`
	Mutable      *bool    `yaml:"mutable"`
	Required     bool     `yaml:"required"`
	Internal     bool     `yaml:"internal"`
	Observed     bool     `yaml:"observed"`
	Secret       bool     `yaml:"secret"`
	Confidential bool     `yaml:"confidential"`
	Once         bool     `yaml:"once"`
	Enum         []string `yaml:"enum"`
	Min          *float64 `yaml:"min"`
	Max          *float64 `yaml:"max"`
	Pattern      string   `yaml:"pattern"`
	Unit         string   `yaml:"unit"`
	Role         string   `yaml:"role"`
	Format       string   `yaml:"format"`
	Indexed      bool     `yaml:"indexed"`
	Live         bool     `yaml:"live"`
	Uses         string   `yaml:"uses"`
	Limits       string   `yaml:"limits"`
	Tells        string   `yaml:"tells"`
	Description  string   `yaml:"description"`
	node         *yaml.Node
}

type actDef struct {
	ID         string     `yaml:"id"`
	Title      string     `yaml:"title"`
	Do         string     `yaml:"do"`
	Makes      string     `yaml:"makes"`
	Template   string     `yaml:"template"`
	Attributes []*attrDef `yaml:"attributes"`
	node       *yaml.Node
}

type stateDef struct {
	Attribute   string            `yaml:"attribute"`
	Message     string            `yaml:"message"`
	Initial     string            `yaml:"initial"`
	Failed      string            `yaml:"failed"`
	Auto        string            `yaml:"auto"`
	Ready       string            `yaml:"ready"`
	Values      []string          `yaml:"values"`
	Aliases     map[string]string `yaml:"aliases"`
	Transitions []*transDef       `yaml:"transitions"`
	node        *yaml.Node
}

type transDef struct {
	From    string `yaml:"from"`
	Action  string `yaml:"action"`
	To      string `yaml:"to"`
	Through string `yaml:"through"`
	node    *yaml.Node
}

func (d *kindDef) UnmarshalYAML(n *yaml.Node) error {
	type bare kindDef
	d.node = n
	return n.Decode((*bare)(d))
}

func (d *mixinDef) UnmarshalYAML(n *yaml.Node) error {
	type bare mixinDef
	d.node = n
	return n.Decode((*bare)(d))
}

func (d *extensionDef) UnmarshalYAML(n *yaml.Node) error {
	type bare extensionDef
	d.node = n
	return n.Decode((*bare)(d))
}

func (d *attrDef) UnmarshalYAML(n *yaml.Node) error {
	type bare attrDef
	d.node = n
	return n.Decode((*bare)(d))
}

func (d *actDef) UnmarshalYAML(n *yaml.Node) error {
	type bare actDef
	d.node = n
	return n.Decode((*bare)(d))
}

func (d *stateDef) UnmarshalYAML(n *yaml.Node) error {
	type bare stateDef
	d.node = n
	return n.Decode((*bare)(d))
}

func (d *transDef) UnmarshalYAML(n *yaml.Node) error {
	type bare transDef
	d.node = n
	return n.Decode((*bare)(d))
}

// line is the line of a definition's key, of the definition itself if it has no
// such key.
func line(n *yaml.Node, key string) int {
	if _, v := entry(n, key); v != nil {
		return v.Line
	}
	if n != nil {
		return n.Line
	}
	return 0
}

// itemLine is the line of an item in a definition's list.
func itemLine(n *yaml.Node, key string, i int) int {
	_, v := entry(n, key)
	if v != nil && i < len(v.Content) && v.Kind == yaml.SequenceNode {
		return v.Content[i].Line
	}
	return line(n, key)
}
