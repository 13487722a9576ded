package occi

import (
	"time"

	"github.com/google/uuid"
)

// Change is a write as a value; a store commits it whole or not at all.
type Change struct {
	At time.Time // the one time of all it writes
	// Puts are entities to create (Revision 0) or to replace, each based on its
	// Revision. The store sets Seq, Serial, Revision, Created and Updated of each
	// once it is committed. Putting or removing a link counts the revision of its
	// source up too, unless the source is itself among the Puts. It is a Conflict to
	// mark as deleted, or to forget, a resource that a link leads to which is neither
	// deleted nor goes with the change.
	Puts []*Entity
	// Removes are entities to forget, with the revision that is based on.
	Removes []Removal
	// Tasks are new tasks (Seq 0) or new states of known ones.
	Tasks []*Task
	// Claim, when set, has the new tasks of a host claimed as they are stored, but those
	// that come after others or whose lane has one that is not over. The store sets State,
	// Attempts and Started of what it claimed.
	Claim *Claim
	// Define are users' mixins to keep, Undefine identifiers of those to forget. It
	// is a Conflict to define one whose identifier or location another has, or to
	// forget one that is not there or that an entity keeps.
	Define   []*Mixin
	Undefine []string
	// Redefine are users' mixins that are there, to keep as they are now. Carriers are
	// identifiers of mixins all of whose carriers are among the Puts; that another
	// entity carries one is a Conflict.
	Redefine []*Mixin
	Carriers []string
	// Needs are identifiers of users' mixins that the Puts rely on; if one is not
	// there any more, that is a Conflict.
	Needs []string
	// Holds are the addresses that entities have from now on; what else one of them
	// had is free, and so is all that an entity had which is forgotten. It is a
	// Conflict if another entity has one of them.
	Holds []Hold
	// Rooms are what volumes take of pools from now on; what volumes of an entity took
	// that is forgotten is free. It is a Conflict with a NoRoom for its cause if a pool
	// then has more than a Limit, unless the change takes no more of it than before, and
	// a Conflict if an Entity is not there.
	Rooms []Room
	// Limits bound what is taken of hosts: it is a Conflict with an Overload for its cause if
	// more is taken of one of them then, unless the change takes no more of it than before.
	Limits []Limit
	// Quotas bounds what is used: the change is Forbidden, with an OverQuota for its cause, if
	// it uses more of something than a quota of a project or user has left.
	Quotas bool
	// Reads are entities that the change relies on as they were read; if one has
	// changed since, or is gone, that is a Conflict.
	Reads []Version
	// There are entities that the change relies on, as whatever they are now; if one is
	// gone or marked as deleted, that is a Conflict.
	There []uuid.UUID
	// Vacant are hosts on which nothing is placed but what the change removes; that
	// something else is, be it marked as deleted, is a Conflict.
	Vacant []string
	// Unused are pools of which no volume takes anything once the change is made; that one
	// does is a Conflict.
	Unused []string
	// Based is what was counted of collections that the change is based on; if there
	// were changes in one since, that is a Conflict.
	Based []Based
	// Secrets are what users and tokens are recognised by from now on; what one that is
	// forgotten had is forgotten too. It is a Conflict if another has the name.
	Secrets []Secret
	// Records are for the audit trail, beside those of what the change does itself. The
	// store numbers them.
	Records []Record
	// Key, when set, is committed with the rest; a store that has it already
	// answers Duplicate and commits nothing.
	Key *Key
}

// Removal names an entity to forget. Revision 0 means whatever revision.
type Removal struct {
	ID       uuid.UUID
	Revision int64
}

// Claim is by whom tasks of a host are worked on, and how long others wait for news of it.
type Claim struct {
	Host, Worker string
	Lease        time.Duration
}

// Version is an entity at a revision.
type Version struct {
	ID       uuid.UUID
	Revision int64
}

// Key makes a repeated request harmless: it remembers what the first made.
type Key struct {
	Who, Name string
	Hash      string // of the request; another request under the key is a Conflict
	Entities  []uuid.UUID
	Made      []uuid.UUID // entities that an action on Entities made
	Defined   []string    // identifiers of mixins that it defined
	Created   time.Time
}

// Based is the revision of the collections of kinds, of all but Own ones for none.
type Based struct {
	Kinds    []string // identifiers
	Reach    []string // whose part of them; nil for all
	Revision int64    // of their Count
}
