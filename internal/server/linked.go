package server

import (
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/occid/occid/occi"
)

// linked is what some formats show of the resources that an entity leads to. They
// change without it, so its tag is part of the entity's.
type linked struct {
	targets map[uuid.UUID]*occi.Entity
	tag     string
	updated time.Time // when any of them was changed last
}

// entityShown reads the target's entity, and what it leads to if the format shows
// that, in one statement.
func (c *call) entityShown() (*occi.Entity, error) {
	if !c.format.Targets {
		return c.entity()
	}
	e, err := c.readLinked(c.to.id)
	if err != nil {
		return nil, err
	}
	if c.reg.model.Kind(e.Kind) != c.to.kind {
		return nil, nothingAt(c.to.path)
	}
	return e, nil
}

// readLinked reads an entity and notes what it leads to.
func (c *call) readLinked(id uuid.UUID) (*occi.Entity, error) {
	e, targets, err := c.s.engine.Linked(c.r.Context(), c.caller, id)
	if err != nil {
		return nil, err
	}
	c.linked.targets = make(map[uuid.UUID]*occi.Entity, len(targets))
	var tag strings.Builder
	for _, x := range targets {
		c.linked.targets[x.ID] = x
		if x.Updated.After(c.linked.updated) {
			c.linked.updated = x.Updated
		}
		tag.WriteString(x.ID.String() + "." + strconv.FormatInt(x.Revision, 36) + " ")
	}
	c.linked.tag = tag.String()
	return e, nil
}

// modified is when what is shown of an entity was changed last.
func (c *call) modified(e *occi.Entity) time.Time {
	if c.linked.updated.After(e.Updated) {
		return c.linked.updated
	}
	return e.Updated
}

// showLinked prepares the answer to a write on one entity for a format that shows
// what it leads to. The write is done: if that cannot be read, the answer is in
// another format.
func (c *call) showLinked(e *occi.Entity) *occi.Entity {
	if c.format.Targets {
		if now, err := c.readLinked(e.ID); err == nil {
			return now
		}
	}
	return e
}
