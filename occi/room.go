package occi

import "github.com/google/uuid"

// Room is what a volume takes of a pool, however much of that it fills so far.
type Room struct {
	Volume uuid.UUID
	// Entity is what the volume is of; all its volumes go with it.
	Entity uuid.UUID
	Pool   string // unique among the pools of all hosts
	Bytes  int64  // 0 for none any more
	// Limit is the most that all volumes of the pool may take, in bytes; 0 means no
	// limit. What is there of a pool that has become too small may stay.
	Limit int64
}

// NoRoom tells that a pool has less than Asked bytes left, Free of them.
type NoRoom struct {
	Pool        string
	Asked, Free int64
}

// Error implements error.
func (*NoRoom) Error() string { return "the pool has no room" }
