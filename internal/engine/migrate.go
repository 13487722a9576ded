package engine

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/google/uuid"

	"github.com/occid/occid/occi"
)

// mover is a machine that an action is to move.
type mover struct {
	x       *occi.Entity
	action  *occi.Action
	params  occi.Attrs
	through string
}

// operation gives what a task has a host do; nil if that is none of an action.
func (e *Engine) operation(t *occi.Task) *operation {
	m := e.Model()
	k := m.Kind(t.Kind)
	if k == nil {
		return nil
	}
	action := m.ActionOf(k, nil, t.Verb)
	if action == nil {
		return nil
	}
	return operations[action.Do]
}

// lasts reports whether a task may take as long as much data takes to move.
func (e *Engine) lasts(t *occi.Task) bool {
	op := e.operation(t)
	return moves(t) || op != nil && (op.moves || op.empties)
}

// move leaves what moves machines to other hosts: what they take is taken there too from
// now on, and they and what goes with them are marked as on their way.
func (a *acts) move(ctx context.Context) error {
	for _, v := range a.movers {
		if err := a.moveOne(ctx, v); err != nil {
			return err
		}
	}
	return nil
}

func (a *acts) moveOne(ctx context.Context, v mover) error {
	among, err := a.targets(v)
	if len(among) == 0 || err != nil {
		return err
	}
	if err := a.read(ctx, []uuid.UUID{imageOf(a.m, v.x)}); err != nil {
		return err
	}
	with, after, err := a.luggage(ctx, v.x)
	if err != nil || len(a.conflicts) > 0 {
		return err
	}
	b := creation{plan: a.plan}
	to, err := b.find(ctx, among, a.needToMove(v.x, with, among))
	if err != nil {
		return err
	}
	b.reliesOn(to)
	w := a.put(v.x)
	w.Moving = to.name
	for _, l := range v.x.Links {
		if part(a.m, l).device {
			a.known[l.ID] = l
			a.put(l).Moving = to.name
		}
	}
	a.arriving(v.x, to)
	for _, x := range with {
		a.put(x).Moving = to.name
		a.arriving(x, to)
	}
	a.task(w, v.x.Host, v.action.Term, v.params, after)
	a.say(w, v.through)
	return nil
}

// targets are the hosts that a machine may move to: the one that was asked for, or all
// others; none if it is there already.
func (a *acts) targets(v mover) ([]*host, error) {
	if a.e.host(v.x.Host) == nil {
		return nil, conflict("the host of the machine is none of this server")
	}
	wanted := v.params.Get("target").Text
	var out []*host
	for _, h := range a.e.all() {
		at := nodeID(h.name).String()
		switch {
		case h.name == v.x.Host:
			if wanted == at {
				return nil, nil
			}
		case wanted == "" || wanted == at:
			out = append(out, h)
		}
	}
	if len(out) > 0 {
		return out, nil
	}
	if wanted == "" {
		return nil, conflict("there is no other host")
	}
	return nil, final{occi.Problems(occi.Invalid, "the machine cannot move", []occi.Problem{{What: "target", Text: "there is no host " + wanted}})}
}

// luggage lists the storage that moves with a machine and the tasks that have something to
// do with it, and tells what of it cannot go.
func (a *acts) luggage(ctx context.Context, x *occi.Entity) (with []*occi.Entity, after []uuid.UUID, err error) {
	var ids []uuid.UUID
	for _, l := range x.Links {
		if part(a.m, l).holds && !l.Deleted {
			ids = append(ids, l.Target.ID)
		}
	}
	if err := a.read(ctx, ids); err != nil || len(ids) == 0 {
		return nil, nil, err
	}
	incoming, err := a.e.store.Incoming(ctx, ids...)
	if err != nil {
		return nil, nil, err
	}
	stays := func(u *occi.Entity, format string, args ...any) {
		a.conflicts = append(a.conflicts, occi.Problem{What: a.m.Path(u), Text: "cannot move with " + a.m.Path(x) + ": " + fmt.Sprintf(format, args...)})
	}
	for _, id := range ids {
		u := a.entity(id)
		switch {
		case u == nil:
			continue
		case u.Moving != "":
			stays(u, "it is moving already")
		case u.Host != x.Host:
			stays(u, "it is on another host")
		case isImage(a.m, u):
			stays(u, "it is an image, which machines of its host share")
		}
		for _, l := range incoming {
			if l.Target.ID == id && l.Source.ID != x.ID && part(a.m, l).device {
				stays(u, "it is attached to %s too", a.m.RefPath(l.Source))
			}
		}
		with, after = append(with, u), append(after, u.Tasks...)
	}
	return with, after, nil
}

// needToMove is what a machine needs of the host that it moves to.
func (a *acts) needToMove(x *occi.Entity, with []*occi.Entity, among []*host) *need {
	var pools []string
	if h := a.e.host(x.Host); len(h.offers()) > 0 {
		for _, o := range append([]*occi.Entity{x}, with...) {
			for _, r := range a.rooms(o) {
				_, pool, _ := strings.Cut(r.Pool, "\n")
				pools = append(pools, pool)
			}
		}
	}
	n := &need{used: a.e.ledger.used, machines: true, leaves: 1, labels: strings.Fields(role(a.m, x, roleLabels).Text), pools: poolNeeds(a.m, x), suits: func(h *host) bool {
		for _, p := range pools {
			if !h.hasPool(p) || h.closed(p) {
				return false
			}
		}
		return true
	}}
	on := *x
	on.Host, on.Moving = among[0].name, ""
	for _, t := range takesOf(a.m, &on) {
		if !t.Shared {
			n.takes = append(n.takes, t)
		}
	}
	n.sum()
	return n
}

// arrivingRoom is what a volume takes of the pool that it is on its way to.
func arrivingRoom(volume uuid.UUID) uuid.UUID { return uuid.NewSHA1(volume, []byte("arriving")) }

// arriving has the volumes of an entity take room on the host where it is to arrive.
func (a *acts) arriving(x *occi.Entity, to *host) {
	on := x.Clone()
	on.Host = to.name
	for _, r := range a.rooms(on) {
		r.Volume = arrivingRoom(r.Volume)
		a.change.Rooms = append(a.change.Rooms, r)
	}
}

// settled refuses to change what is on its way to another host: it would be changed on
// the host that it leaves.
func (p *plan) settled() error {
	for _, x := range p.change.Puts {
		moving := x.Moving != ""
		if old := p.known[x.ID]; old != nil {
			moving = old.Moving != ""
		}
		if src := p.entity(x.Source.ID); x.Revision == 0 && src != nil {
			x, moving = src, src.Moving != ""
		}
		if moving {
			path := p.m.Path(x)
			if x.Source.ID != uuid.Nil {
				path = p.m.RefPath(x.Source)
			}
			return conflict("%s is moving to another host; the task of that can be cancelled", path)
		}
	}
	return nil
}

// arrived puts down where a machine is whose move has ended, with all that went with it.
func (p *plan) arrived(ctx context.Context, w *occi.Entity, done bool) error {
	to := w.Moving
	if to == "" {
		return nil
	}
	if err := p.read(ctx, []uuid.UUID{imageOf(p.m, w)}); err != nil {
		return err
	}
	all := []*occi.Entity{w}
	for _, l := range w.Links {
		if l.Moving == "" {
			continue
		}
		all = append(all, p.put(l))
		if !part(p.m, l).holds {
			continue
		}
		u, err := p.e.anyway(ctx, l.Target.ID)
		if err != nil {
			return err
		}
		if u != nil && u.Moving == to {
			all = append(all, p.put(u))
		}
	}
	for _, x := range all {
		x.Moving = ""
		p.rehouse(x, to, done)
	}
	return nil
}

// rehouse has the volumes of an entity take no more than they do where it is now, at the
// host where it was to arrive if it has.
func (p *plan) rehouse(x *occi.Entity, to string, done bool) {
	before, on := p.rooms(x), x.Clone()
	on.Host = to
	after := p.rooms(on)
	free := func(r occi.Room) {
		r.Bytes, r.Limit = 0, 0
		p.change.Rooms = append(p.change.Rooms, r)
	}
	for _, r := range after {
		r.Volume = arrivingRoom(r.Volume)
		free(r)
	}
	if !done {
		return
	}
	x.Host = to
	p.settleRooms(x)
	for _, r := range before {
		if !slices.ContainsFunc(after, func(o occi.Room) bool { return o.Volume == r.Volume }) {
			free(r)
		}
	}
}
