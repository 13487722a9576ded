package occi

// Take is what an entity takes of its host, however much of it is used.
type Take struct {
	What   string // "cores"; the unit is its own
	Amount int64
	// Shared is counted of all hosts together instead.
	Shared bool
	// Host, if set, names another host that it is taken of: one that the entity is to
	// move to.
	Host string
}

// Limit bounds what all entities of a host, of all hosts for none, take of something
// together.
type Limit struct {
	Host, What string
	Most       int64
	// Gate holds for a change that takes no more of it than before, too.
	Gate bool
}

// Load is what all entities of a host, of all hosts for none, take of something together.
type Load struct {
	Host, What string
	Amount     int64
}

// Overload tells that a host has less than Asked left of something, Free of it.
type Overload struct {
	Host, What  string
	Asked, Free int64
}

// Error implements error.
func (*Overload) Error() string { return "the host has no room" }

// TakesOf lists what the entity takes of a host, not of all together.
func (e *Entity) TakesOf(host string) []Take {
	var out []Take
	for _, t := range e.Takes {
		at := t.Host
		if at == "" {
			at = e.Host
		}
		if at == host && !t.Shared {
			out = append(out, t)
		}
	}
	return out
}
