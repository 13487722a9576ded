package occi

import (
	"time"

	"github.com/google/uuid"
)

// Use is how much of what is charged for an entity uses. The zero Use is of nothing.
type Use struct {
	Computes  int64
	Cores     int64
	Memory    int64 // bytes
	Storage   int64 // bytes
	Addresses int64
}

// Interval is what an entity used from one time to another.
type Interval struct {
	Entity         uuid.UUID
	Kind           string // identifier
	Project, Owner string
	Use
	Began time.Time
	Ended time.Time // zero as long as it is used
}

// UsageQuery selects intervals of which some is between two times, of a project and of
// an owner unless these are empty.
type UsageQuery struct {
	From, To       time.Time
	Project, Owner string
}
