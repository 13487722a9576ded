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
	Attempts   int
	Error      string
	Who        string
	Created    time.Time
	Started    time.Time // zero until then
	Finished   time.Time // zero until then
	NotBefore  time.Time // do not start earlier; zero for at once
	Cancel     bool      // somebody asked to cancel it while it ran
}
