package engine

import (
	"github.com/google/uuid"

	"github.com/occid/occid/internal/auth"
	"github.com/occid/occid/occi"
)

// Caller is who is asking. The zero Caller is the engine itself, and whoever asks a
// server without authentication.
type Caller = auth.Caller

// Options adjust a write.
type Options struct {
	// Key makes a repeated request harmless: the second one under the same key
	// by the same caller gets what the first made. Empty for none. Hash
	// identifies the request, so that another one under the same key is a
	// Conflict.
	Key, Hash string
	// Match, when set, is asked about each entity as it is before the change (nil
	// if it does not exist yet), within the change's optimistic transaction; its
	// error ends the request. It carries If-Match and its like.
	Match func(*occi.Entity) error
	// Collection, when set, is asked about the collection that is written to, in
	// the same way.
	Collection *Collection
	// By is the way to log in that the write is the word of; see Admit.
	By string
}

// Collection is a condition on the members of a collection.
type Collection struct {
	Kinds []string // identifiers of its members' kinds, none for all
	Match func(occi.Count) error
}

// Outcome is what a write led to.
type Outcome struct {
	// Entities are those created, changed or acted on, as they are now, links
	// included. They are shared and must not be changed. After a delete they are
	// the entities as they were.
	Entities []*occi.Entity
	// Tasks are those the write left for the hosts, in order; their outcome can
	// be waited for. Empty when the hosts have nothing to do.
	Tasks []*occi.Task
	// Made are entities that an action made beside those it was invoked on.
	Made []*occi.Entity
	// Defined are mixins that an action added to the registry.
	Defined []*occi.Mixin
	// Token is what a new token is to be presented as. It is shown only now.
	Token string
	// Created tells that an entity did not exist before.
	Created bool
	// Repeated tells that an earlier request under the same key had done it.
	Repeated bool
}

// IDs lists the tasks' identifiers.
func (o *Outcome) IDs() []uuid.UUID {
	ids := make([]uuid.UUID, len(o.Tasks))
	for i, t := range o.Tasks {
		ids[i] = t.ID
	}
	return ids
}
