package occi

import (
	"strings"
	"time"

	"github.com/google/uuid"
)

// Entity is a resource or a link (GFD.221 section 5.4).
type Entity struct {
	ID   uuid.UUID
	Kind string // identifier
	// Serial numbers the entities of a kind, from 1, never reused; the store
	// gives it at the first commit.
	Serial int64
	// Seq orders all entities by creation; the store gives it.
	Seq int64
	// Revision counts the changes of the entity and of its links, from 1. In a
	// Change it is the revision the change is based on, 0 for a new entity.
	Revision         int64
	Owner, Project   string
	Created, Updated time.Time // UTC, whole microseconds
	Title, Summary   string
	Mixins           []string // identifiers, in order of association
	Attributes       Attrs
	// Secrets are what the draft that it was made of gives for Secret attributes. They are
	// neither stored nor shown.
	Secrets Attrs
	// Source and Target are set on links only.
	Source, Target Ref
	// Host names the host that represents it; empty before placement.
	Host string
	// Moving names the host that it is on its way to; empty if it is not.
	Moving string
	// Takes is what it takes of its host, for as long as it is there; of each thing
	// once.
	Takes []Take
	// Charges are what it uses that quotas bound; the store sets it when it is written.
	Charges []Charge
	// Written is, of a quota, the revision since which nothing but what it shows as used has
	// changed; a Change may be based on any since then. The store sets it.
	Written int64
	// Reserved are bytes of storage that it uses beside what its attributes say: of the disk
	// of an image, or what a task is about to add.
	Reserved int64
	// Tasks lists what is under way or waiting for it, oldest first.
	Tasks []uuid.UUID
	// Deleted entities are gone for clients, kept until the host has followed.
	Deleted bool

	// Whole is what this shows a part of, nil if it shows all. It is not stored.
	Whole *Entity

	// Links are the links whose source this is, in order of creation. A store
	// fills them when it reads; they are not written with their source.
	Links []*Entity
}

// Ref points at a resource: of this provider when ID is set, else at URI.
type Ref struct {
	ID   uuid.UUID
	Kind string // identifier; empty for targets elsewhere
	URI  string // only for targets elsewhere
}

// Clone copies the entity; the Links are shared.
func (e *Entity) Clone() *Entity {
	c := *e
	c.Mixins = append([]string(nil), e.Mixins...)
	c.Attributes = e.Attributes.Clone()
	c.Secrets = e.Secrets.Clone()
	c.Takes = append([]Take(nil), e.Takes...)
	c.Charges = append([]Charge(nil), e.Charges...)
	c.Tasks = append([]uuid.UUID(nil), e.Tasks...)
	return &c
}

// HasMixin reports whether the entity carries the mixin with this identifier.
func (e *Entity) HasMixin(id string) bool { return contains(e.Mixins, id) }

// URN is the identifier that renderings show, "urn:uuid:...".
func URN(id uuid.UUID) string { return "urn:uuid:" + id.String() }

// ParseID reads a UUID in its 36-character form, bare or as a urn. The nil UUID
// identifies nothing.
func ParseID(s string) (uuid.UUID, bool) {
	if len(s) > 9 && strings.EqualFold(s[:9], "urn:uuid:") {
		s = s[9:]
	}
	if len(s) != 36 {
		return uuid.Nil, false
	}
	id, err := uuid.Parse(s)
	return id, err == nil && id != uuid.Nil
}
