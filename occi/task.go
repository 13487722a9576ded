package occi

import (
	"time"

	"github.com/google/uuid"
)

// TaskState is how far a task is.
type TaskState string

// The states of a task.
const (
	TaskPending   TaskState = "pending"
	TaskRunning   TaskState = "running"
	TaskDone      TaskState = "done"
	TaskFailed    TaskState = "failed"
	TaskCancelled TaskState = "cancelled"
)

// Over reports whether the task will not change any more.
func (s TaskState) Over() bool {
	return s == TaskDone || s == TaskFailed || s == TaskCancelled
}

// Task is something asked of a host. Tasks of one lane run one at a time in the
// order of their Seq.
type Task struct {
	ID     uuid.UUID
	Seq    int64     // the store gives it
	Entity uuid.UUID // what it is about
	Kind   string    // identifier of the entity's kind
	Lane   uuid.UUID // what it must not run beside: the resource it works on
	// After lists tasks that must be over before it starts.
	After []uuid.UUID
	Host  string
	// Verb is "create", "update", "delete", or the term of an action.
	Verb       string
	Attributes Attrs // parameters of the action
	State      TaskState
	Progress   int // percent; -1 if not known
	// Done and Total are how many bytes were sent and will be, of a task that counts them.
	Done, Total int64
	Attempts    int
	Error       string
	Who         string
	Project     string // of the entity
	Created     time.Time
	Started     time.Time // zero until then
	Finished    time.Time // zero until then
	NotBefore   time.Time // do not start earlier; zero for at once
	Cancel      bool      // somebody asked to cancel it while it ran
	// Trace is what leads to the trace of the request that left the task; "" for none.
	Trace string
	// Request identifies the request that left the task; empty for none.
	Request string
}

// Queue counts the tasks of a host that are in a state.
type Queue struct {
	Host   string
	State  TaskState
	Tasks  int
	Oldest time.Time // when the first of them was accepted
}

// Identifiers of the kinds under which tasks are shown.
const (
	TaskKind     = "http://schemas.occid.org/occi/core#task"
	TaskLinkKind = "http://schemas.occid.org/occi/core#tasklink"
)

// Resource shows the task as an entity of TaskKind.
func (t *Task) Resource() *Entity {
	e := &Entity{ID: t.ID, Kind: TaskKind, Serial: t.Seq, Seq: t.Seq, Owner: t.Who, Project: t.Project, Created: t.Created, Updated: t.Created,
		Title: t.Verb + " of " + t.Entity.String()}
	set := func(name string, v Value) { e.Attributes.Set("occid.task."+name, v) }
	text := func(name, s string) {
		if s != "" {
			set(name, Str(s))
		}
	}
	moment := func(name string, at time.Time) {
		if !at.IsZero() {
			set(name, Str(at.UTC().Format(time.RFC3339Nano)))
			e.Updated = at
		}
	}
	text("state", string(t.State))
	text("verb", t.Verb)
	text("error", t.Error)
	text("who", t.Who)
	text("entity", t.Entity.String())
	if t.Progress >= 0 {
		set("progress", Int(int64(t.Progress)))
	}
	if t.Total > 0 {
		set("bytes", Int(t.Done))
		set("bytes.total", Int(t.Total))
	}
	set("attempts", Int(int64(t.Attempts)))
	moment("created", t.Created)
	moment("started", t.Started)
	moment("finished", t.Finished)
	e.Revision = 1 + int64(t.Attempts)
	return e
}

// TaskLink shows that a task is about an entity, as the link from the entity to
// the task; it has the task's UUID.
func TaskLink(e *Entity, task uuid.UUID) *Entity {
	return &Entity{ID: task, Kind: TaskLinkKind, Seq: e.Seq, Revision: 1, Owner: e.Owner, Project: e.Project,
		Created: e.Updated, Updated: e.Updated,
		Source: Ref{ID: e.ID, Kind: e.Kind}, Target: Ref{ID: task, Kind: TaskKind}}
}
