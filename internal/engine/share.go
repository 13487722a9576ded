package engine

import (
	"context"
	"fmt"

	"github.com/google/uuid"

	"github.com/occid/occid/occi"
)

// share refuses to attach what another machine has, unless neither can write to it, and
// writes to what is attached, so that of two requests at once one finds the other.
func (b *creation) share(ctx context.Context) error {
	var disks []*occi.Entity
	var targets []uuid.UUID
	for _, l := range b.links {
		if part(b.m, l).holds && b.entity(l.Target.ID) != nil {
			disks, targets = append(disks, l), append(targets, l.Target.ID)
		}
	}
	if len(disks) == 0 {
		return nil
	}
	incoming, err := b.e.store.Incoming(ctx, targets...)
	if err != nil {
		return err
	}
	others := map[uuid.UUID][]*occi.Entity{}
	for _, o := range incoming {
		if part(b.m, o).holds {
			others[o.Target.ID] = append(others[o.Target.ID], o)
		}
	}
	var ps []occi.Problem
	for _, l := range disks {
		target := b.put(b.entity(l.Target.ID))
		ps = append(ps, b.readOnly(l, target)...)
		for _, o := range others[target.ID] {
			if o.ID == l.ID {
				continue // there is such a link: committing this one tells
			}
			if o.Deleted {
				tasks, err := b.e.ending(ctx, o)
				if err != nil {
					return err
				}
				b.comesAfter(l, tasks)
			} else if !b.reads(l) || !b.reads(o) {
				ps = append(ps, b.attached(l, o))
			}
		}
		others[target.ID] = append(others[target.ID], l)
	}
	if len(ps) > 0 {
		return final{occi.Problems(occi.Conflict, "the storage cannot be attached", ps)}
	}
	return nil
}

// reads reports whether a link's machine cannot write to what it has by it.
func (b *creation) reads(l *occi.Entity) bool { return isTrue(role(b.m, l, roleReadOnly)) }

// readOnly lets a new link only read what is not to be written.
func (b *creation) readOnly(l, target *occi.Entity) []occi.Problem {
	a := roleAttr(b.m, l, roleReadOnly)
	if a == nil || b.reads(l) || !isTrue(role(b.m, target, roleNoWrites)) && !isImage(b.m, target) {
		return nil
	}
	if !l.Attributes.Get(a.Name).IsZero() {
		return []occi.Problem{{What: a.Name, Text: b.m.Path(target) + " can only be read"}}
	}
	l.Attributes.Set(a.Name, occi.Bool(true))
	return nil
}

// attached tells that what a link leads to is another machine's.
func (b *creation) attached(l, o *occi.Entity) occi.Problem {
	p := occi.Problem{What: occi.AttrTarget, Line: b.lines[l.ID],
		Text: fmt.Sprintf("%s is attached to %s", b.m.RefPath(l.Target), b.called(o, o.Source))}
	if a := roleAttr(b.m, l, roleReadOnly); a != nil {
		p.Text += "; machines share what none of them can write to, by " + a.Name
	}
	return p
}
