package occi

import (
	"time"

	"github.com/google/uuid"
)

// What happened, as an Event says.
const (
	EventCreated = "created"
	EventUpdated = "updated" // changed, but for its state
	EventState   = "state"   // is in another state, whatever else changed
	EventDeleted = "deleted" // is gone for clients
)

// Event is one change of an entity or of a task, as the store kept it with the change
// itself.
type Event struct {
	// Seq numbers all events of a database from 1, without a gap, in the order in which
	// they came to be seen: whoever has seen one has been able to see all before it.
	Seq  int64
	At   time.Time // of the change
	What string
	ID   uuid.UUID
	Kind string // identifier, TaskKind for tasks
	// Owner is the entity's, or of a task who asked. Project is the Reach of either.
	Owner, Project string
	// About is the source of a link, or what a task is about; else it is zero.
	About Ref
	Verb  string // of a task
	// State is what it is in after the change, Was what it was in before; empty for what
	// has none. Message explains the state, or is why a task failed.
	State, Was, Message string
}

// Entity shows what an event tells as an entity, for a Query to select it by kind and
// state.
func (m *Model) Entity(e *Event) *Entity {
	if e.Kind == TaskKind {
		t := Task{ID: e.ID, Seq: e.Seq, Entity: e.About.ID, Verb: e.Verb, State: TaskState(e.State), Error: e.Message,
			Who: e.Owner, Project: e.Project, Progress: -1, Created: e.At}
		return t.Resource()
	}
	x := &Entity{ID: e.ID, Kind: e.Kind, Seq: e.Seq, Owner: e.Owner, Project: e.Project, Created: e.At, Updated: e.At}
	if k := m.kinds[e.Kind]; k != nil && k.States != nil {
		x.Attributes.Set(k.States.Attribute, Str(e.State))
		if e.Message != "" && k.States.Message != "" {
			x.Attributes.Set(k.States.Message, Str(e.Message))
		}
	}
	return x
}

// StateMessage gives what explains an entity's state, "" if nothing does.
func (m *Model) StateMessage(e *Entity) string {
	k := m.kinds[e.Kind]
	if k == nil || k.States == nil || k.States.Message == "" {
		return ""
	}
	return e.Attributes.Get(k.States.Message).Text
}
