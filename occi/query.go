package occi

import "github.com/google/uuid"

// Op is how a condition compares.
type Op string

// The comparisons of filters.
const (
	Eq Op = "="
	Ne Op = "!="
	Lt Op = "<"
	Le Op = "<="
	Gt Op = ">"
	Ge Op = ">="
)

// Cond compares an attribute with a value. Name is an attribute's full name;
// the core attributes are under their own names. Numbers compare as numbers,
// everything else as text; an entity without the attribute never matches.
type Cond struct {
	Name  string
	Op    Op
	Value Value
	// Or are alternatives, any of which will do instead. They have none of their
	// own.
	Or []Cond
}

// Query selects entities. The zero Query selects all. Everything given must
// hold. Deleted entities are never selected.
type Query struct {
	Kinds  []string // identifiers; any of them
	Mixins []string // identifiers; each of them
	// AnyMixins are identifiers too; any of them will do.
	AnyMixins []string
	IDs       []uuid.UUID // any of them
	Conds     []Cond
	Text      []string // words, each of which title, summary or a text attribute holds, in any case
	// LinkedTo selects resources with a link to or from this one.
	LinkedTo uuid.UUID
	Sort     []Order // then by Seq
	Offset   int
	Limit    int // 0 means no limit
}

// Order is one sort criterion: an attribute's full name, or "created", "updated".
type Order struct {
	Name string
	Desc bool
}

// Page is what a Query found.
type Page struct {
	Entities []*Entity // with their Links
	Total    int       // matching without Offset and Limit
}
