package occi

import (
	"bytes"
	"cmp"
	"maps"
	"math/big"
	"slices"
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

// Add counts a charge too, if it is of what is billed for.
func (u *Use) Add(c Charge) {
	switch c.What {
	case "computes":
		u.Computes += c.Amount
	case "cores":
		u.Cores += c.Amount
	case "memory":
		u.Memory += c.Amount
	case UseStorage:
		u.Storage += c.Amount
	case "addresses":
		u.Addresses += c.Amount
	}
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

// UsageBy says what a Usage sums up: what a user used in a project of one thing, or
// also of what entity.
type UsageBy int

// The ways to sum up.
const (
	ByUser UsageBy = iota
	ByEntity
)

// Usage is how much of something was used for how long. Times count by whole seconds, so
// that what was used in two intervals that meet is what was used in both together.
type Usage struct {
	Project, Owner string
	Entity         uuid.UUID // zero unless asked for
	Kind           string    // of the entity
	What           string    // as "cores"
	// Seconds is for how long something was used, by each entity, Amount how much of it
	// times the seconds: core-seconds, byte-seconds.
	Seconds, Amount *big.Int
	// From and To are between when: of what was asked for.
	From, To time.Time
}

// Unit is what Amount counts.
func (u *Usage) Unit() string { return useUnits[u.What] }

// useUnits are the units of what can be used.
var useUnits = map[string]string{"computes": "compute-seconds", "cores": "core-seconds", "memory": "byte-seconds", "storage": "byte-seconds",
	"addresses": "address-seconds"}

// UseNames are what can be used.
var UseNames = []string{"computes", "cores", "memory", "storage", "addresses"}

// amounts are those of UseNames.
func (u *Use) amounts() [5]int64 {
	return [...]int64{u.Computes, u.Cores, u.Memory, u.Storage, u.Addresses}
}

// UsageSums sums up intervals.
type UsageSums struct {
	by       UsageBy
	from, to int64 // in seconds
	sums     map[usageKey]*Usage
}

type usageKey struct {
	project, owner string
	entity         uuid.UUID
	what           int
}

// NewUsageSums sums up what a query selects, up to now at most.
func NewUsageSums(q *UsageQuery, by UsageBy, now time.Time) *UsageSums {
	to := q.To
	if to.After(now) {
		to = now
	}
	return &UsageSums{by: by, from: q.From.Unix(), to: to.Unix(), sums: map[usageKey]*Usage{}}
}

// Add adds the part of an interval that is between the times of the query.
func (s *UsageSums) Add(i *Interval) {
	began, ended := max(s.from, i.Began.Unix()), s.to
	if !i.Ended.IsZero() {
		ended = min(ended, i.Ended.Unix())
	}
	seconds := ended - began
	if seconds <= 0 {
		return
	}
	for what, amount := range i.amounts() {
		if amount == 0 {
			continue
		}
		k := usageKey{project: i.Project, owner: i.Owner, what: what}
		if s.by == ByEntity {
			k.entity = i.Entity
		}
		u := s.sums[k]
		if u == nil {
			u = &Usage{Project: i.Project, Owner: i.Owner, Entity: k.entity, What: UseNames[what], Seconds: new(big.Int), Amount: new(big.Int),
				From: time.Unix(s.from, 0).UTC(), To: time.Unix(s.to, 0).UTC()}
			if s.by == ByEntity {
				u.Kind = i.Kind
			}
			s.sums[k] = u
		}
		n := big.NewInt(seconds)
		u.Seconds.Add(u.Seconds, n)
		u.Amount.Add(u.Amount, n.Mul(n, big.NewInt(amount)))
	}
}

// All gives what was summed up, by project, user, entity and what.
func (s *UsageSums) All() []*Usage {
	keys := slices.SortedFunc(maps.Keys(s.sums), func(a, b usageKey) int {
		return cmp.Or(cmp.Compare(a.project, b.project), cmp.Compare(a.owner, b.owner), bytes.Compare(a.entity[:], b.entity[:]), cmp.Compare(a.what, b.what))
	})
	out := make([]*Usage, len(keys))
	for i, k := range keys {
		out[i] = s.sums[k]
	}
	return out
}
