package occi

import (
	"time"

	"github.com/google/uuid"
)

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
// everything else as text; an entity without the attribute never matches. Created
// and Updated compare when that was, in microseconds since 1970.
type Cond struct {
	Name  string
	Op    Op
	Value Value
	// Or are alternatives, any of which will do instead. They have none of their
	// own.
	Or []Cond
}

// Names under which conditions and orders know what is no attribute.
const (
	Created = "created"
	Updated = "updated"
)

// Either selects entities that are of any of Kinds, have any of Mixins, or are
// without any of NoMixins: one of these will do. The zero Either selects none.
// All are identifiers.
type Either struct{ Kinds, Mixins, NoMixins []string }

// Query selects entities. The zero Query selects all but those of Own kinds. Everything given must
// hold. Deleted entities are never selected.
type Query struct {
	Kinds  []string // identifiers; any of them; none for any but Own ones, those too with IDs
	Mixins []string // identifiers; each of them
	// AnyMixins are identifiers too; any of them will do.
	AnyMixins []string
	// Categories must all hold.
	Categories []Either
	IDs        []uuid.UUID // any of them
	Conds      []Cond
	Text       []string // words, each of which title, summary or a text attribute holds, in any case
	// LinkedTo selects resources with a link to or from this one.
	LinkedTo uuid.UUID
	// LinkedKind is the kind that LinkedTo is to be of, for whoever asks for a caller.
	LinkedKind string
	// Placed selects in place of that the resources on the host that LinkedTo is, or is
	// on itself.
	Placed bool
	// Pooled, in place of both, is a kind of links from hosts. It selects the resources on
	// hosts that LinkedTo is linked from so, and what the host is linked to so that LinkedTo
	// is on.
	Pooled string
	// Stored, in place of all these, is a kind of links from machines to storages. It
	// selects what has volumes in the pool that LinkedTo is, or a link so to what has, and
	// the pools that volumes of LinkedTo, or of what it is linked to so, are in.
	Stored string
	// Reach selects what is in the lists of any of those it names, as Entity.Reach tells;
	// nil selects all.
	Reach []string
	// Where restricts everything that is found: entities, the links shown with them, and
	// LinkedTo. Nil restricts nothing.
	Where *Where
	// Do names, for whoever asks for a caller, what that must be permitted to do with what
	// is selected, as policies call it; empty for reading it.
	Do string
	// Since and Until bound when the last change was, at or after the one and before
	// the other; zero times do not.
	Since, Until time.Time
	Sort         []Order // then by Seq
	Offset       int
	Limit        int // 0 means no limit
	// Count is that of Kinds, of all kinds with LinkedTo, within Reach and Where, if the caller has just
	// read it; it spares the store from doing so.
	Count *Count
}

// Count is what a store counts of the collections of kinds.
type Count struct {
	// Revision grows with every change to members, and to links that lead to
	// them.
	Revision int64
	Members  int       // not deleted
	Updated  time.Time // of the last change; zero if there was none
}

// UserMixins stands for the kind of what users define: a store counts the changes
// to that list under it.
const UserMixins = CoreScheme + "mixin"

// Order is one sort criterion: an attribute's full name, or Created, Updated.
type Order struct {
	Name string
	// Or are attributes that stand in where an entity has none of Name, the first
	// that it has.
	Or   []string
	Desc bool
}

// Page is what a Query found.
type Page struct {
	Entities []*Entity // with their Links
	Total    int       // matching without Offset and Limit
	// LinkedTo is the entity that the query names there, without its links; nil if
	// there is none.
	LinkedTo *Entity
	// Earlier is when the last change was before the query's Since of anything that
	// meets the rest of the query; zero if there is nothing.
	Earlier time.Time
	Count   Count // that the page is based on
}

// Between gives the times that the conditions on when something was leave: from one on
// and up to the other, each zero if any will do.
func (q *Query) Between() (from, to time.Time) {
	for _, c := range q.Conds {
		if len(c.Or) > 0 || c.Name != Created && c.Name != Updated {
			continue
		}
		at := time.UnixMicro(int64(c.Value.Num)).UTC()
		if (c.Op == Ge || c.Op == Gt || c.Op == Eq) && at.After(from) {
			from = at
		}
		if (c.Op == Le || c.Op == Lt || c.Op == Eq) && (to.IsZero() || at.Before(to)) {
			to = at.Add(time.Microsecond)
		}
	}
	return from, to
}
