package engine

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/occid/occid/occi"
)

// Parameters of the tasks that copy a volume: what is copied, and to where; and, of
// the one that creates the entity which the copy is, the task that copies.
const (
	paramFrom = "from"
	paramTo   = "to"
	paramCopy = "copy"
)

// copyTime bounds one attempt at a task that copies a volume, which has paramFrom.
const copyTime = 12 * time.Hour

// copied leaves what an action makes that copies a volume of x: a task that copies,
// and an entity which is made of the outcome, on the same host. Of an x that has no
// volume there is only the template.
func (a *acts) copied(x *occi.Entity, action *occi.Action, params occi.Attrs, through string) error {
	op := operations[action.Do]
	from, kind, size, err := op.copies(a.m, x)
	if err != nil {
		return final{occi.Problems(occi.Conflict, "the action is not possible now", []occi.Problem{{What: a.m.Path(x), Text: err.Error()}})}
	}
	name := params.Get("name").Text
	title := cmp.Or(name, fmt.Sprintf("%s of %s", action.Term, cmp.Or(x.Title, a.m.Path(x))))
	if from == uuid.Nil {
		a.template(action.Template, template{of: x, name: name, title: title})
		return nil
	}
	d := &occi.Draft{Kind: kind}
	if action.Makes != "" {
		d.Mixins = []string{action.Makes}
	}
	made := &occi.Entity{Kind: kind, Mixins: d.Mixins}
	sized := roleAttr(a.m, made, roleSize)
	if size.IsZero() && sized.Min != nil {
		size = occi.Float(*sized.Min) // until the copy can be measured
	}
	for name, v := range map[string]occi.Value{occi.AttrTitle: occi.Str(title), sized.Name: size} {
		d.Attributes = append(d.Attributes, occi.DraftAttr{Name: name, Value: v})
	}
	if made, err = a.m.Build(d, uuid.New()); err != nil {
		return err
	}
	a.set(made, roleCopyOf, a.m.Path(x))
	a.set(made, roleCopyTaken, a.now.Format(time.RFC3339))
	made.Owner, made.Project, made.Host = a.c.Name, x.Project, x.Host
	if part(a.m, x).machine && root(a.m, x) != nil {
		made.Reserved = ownDisk(a.m, x)
	}
	if h := a.e.host(x.Host); h != nil && h.defaultPool() != "" {
		pool := h.poolOf(a.m, x)
		if !h.hasPool(pool) {
			pool = h.defaultPool()
		}
		a.set(made, roleVolumePool, pool)
	}
	a.put(made)
	a.made = append(a.made, made.ID)
	if h := a.e.host(x.Host); h != nil {
		h.placed.Add(1)
	}
	params = params.Clone()
	params.Set(paramFrom, occi.Str(from.String()))
	params.Set(paramTo, occi.Str(made.ID.String()))
	t := a.task(a.put(x), x.Host, action.Term, params, nil)
	auto := a.autoParams(made)
	auto.Set(paramCopy, occi.Str(t.ID.String()))
	a.task(made, x.Host, verbCreate, auto, []uuid.UUID{t.ID})
	a.say(made, throughCreate)
	if action.Template != "" {
		of := x
		if !part(a.m, x).machine {
			of = a.machineLike(made)
		}
		a.template(action.Template, template{of: of, image: made, name: name, title: title})
	}
	a.say(a.put(x), through)
	return nil
}

// set gives an entity the text of the attribute that has a role, if one has.
func (p *plan) set(x *occi.Entity, role, text string) {
	setRole(p.m, x, role, occi.Str(text))
}

// wholeVolume copies the volume that an entity is.
func wholeVolume(m *occi.Model, x *occi.Entity) (from uuid.UUID, kind string, size occi.Value, err error) {
	return x.ID, x.Kind, role(m, x, roleSize), nil
}

// runCopy carries out a task that copies.
func runCopy(ctx context.Context, j *job) error {
	from, err := uuid.Parse(j.param(paramFrom))
	if err != nil {
		return err
	}
	to, err := uuid.Parse(j.param(paramTo))
	if err != nil {
		return err
	}
	return j.drv.CopyVolume(ctx, from, to)
}

// wanted reports whether what a task copies to is still there to be made: errGone
// if not.
func (h *host) wanted(ctx context.Context, params occi.Attrs) error {
	to, err := uuid.Parse(params.Get(paramTo).Text)
	if err != nil {
		return nil
	}
	x, err := h.e.store.EntityAny(ctx, to)
	if errors.Is(err, occi.NotFound) || err == nil && x.Deleted {
		return errGone
	}
	return err
}

// outcomeOf fails unless the task that makes a copy was done.
func (h *host) outcomeOf(ctx context.Context, copying string) error {
	id, err := uuid.Parse(copying)
	if err != nil {
		return err
	}
	t, err := h.e.store.Task(ctx, id)
	if err != nil {
		return err
	}
	if t.State != occi.TaskDone {
		return fmt.Errorf("the copy was not made: %s: %s", t.State, t.Error)
	}
	return nil
}

// measure writes the size of the volume that a new entity is a copy of: it may
// have grown since the copy was asked for.
func (p *plan) measure(ctx context.Context, w *occi.Entity) {
	h := p.e.host(w.Host)
	if h == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, lookTime)
	defer cancel()
	all, err := h.drv.Volumes(ctx)
	if err != nil {
		return
	}
	for _, v := range all {
		if v.ID == w.ID && h.hasPool(v.Pool) {
			p.set(w, roleVolumePool, v.Pool)
		}
		if v.ID == w.ID && v.SizeBytes > volumeOf(p.m, w).SizeBytes {
			w.Attributes.Set(roleAttr(p.m, w, roleSize).Name, occi.Float(float64(v.SizeBytes)/gib))
		}
	}
}
