package engine

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"github.com/google/uuid"

	"github.com/occid/occid/hypervisor"
	"github.com/occid/occid/occi"
)

// isImage reports whether an entity is marked as an image that templates share.
func isImage(m *occi.Model, x *occi.Entity) bool { return roleAttr(m, x, roleSource) != nil }

// imageUsers names, for each image among entities, the machines whose disks are
// backed by it and the templates that name it, but for machines that are ignored.
func (e *Engine) imageUsers(ctx context.Context, m *occi.Model, xs []*occi.Entity, ignored map[uuid.UUID]bool) ([]occi.Problem, error) {
	var ps []occi.Problem
	paths := imagePaths(m, xs)
	if len(paths) == 0 {
		return nil, nil
	}
	named := map[string]bool{}
	for _, k := range m.Kinds {
		for _, a := range m.KindAttributes(k) {
			named[a.Name] = named[a.Name] || a.Role == roleImage
		}
	}
	for _, mx := range m.Mixins {
		for _, a := range mx.Attributes {
			if named[a.Name] && paths[a.Default.Text] {
				ps = append(ps, occi.Problem{What: a.Default.Text, Text: "is the image of the template " + mx.ID()})
			}
		}
	}
	of, err := e.machinesOf(ctx, m, xs, ignored)
	return append(ps, of...), err
}

// imagePaths are the paths of the images among entities.
func imagePaths(m *occi.Model, xs []*occi.Entity) map[string]bool {
	paths := map[string]bool{}
	for _, x := range xs {
		if isImage(m, x) {
			paths[m.Path(x)] = true
		}
	}
	return paths
}

// machinesOf names the machines whose disks are backed by the images among entities,
// but for those that are ignored.
func (e *Engine) machinesOf(ctx context.Context, m *occi.Model, xs []*occi.Entity, ignored map[uuid.UUID]bool) ([]occi.Problem, error) {
	paths := imagePaths(m, xs)
	if len(paths) == 0 {
		return nil, nil
	}
	var ps []occi.Problem
	for _, k := range m.Kinds {
		for _, a := range m.KindAttributes(k) {
			if a.Role != roleImage || !parts[k.Host].isMachine() {
				continue
			}
			page, err := e.store.List(ctx, &occi.Query{Kinds: []string{k.ID()}, Conds: []occi.Cond{anyOf(a.Name, paths)}})
			if err != nil {
				return nil, err
			}
			for _, x := range page.Entities {
				if !ignored[x.ID] {
					ps = append(ps, occi.Problem{What: x.Attributes.Get(a.Name).Text, Text: "is the image of " + m.Path(x)})
				}
			}
		}
	}
	return ps, nil
}

func (p *partOps) isMachine() bool { return p != nil && p.machine }

// anyOf is the condition that an attribute is one of some texts.
func anyOf(name string, texts map[string]bool) occi.Cond {
	var c occi.Cond
	for text := range texts {
		one := occi.Cond{Name: name, Op: occi.Eq, Value: occi.Str(text)}
		if c.Name == "" {
			c = one
			continue
		}
		c.Or = append(c.Or, one)
	}
	return c
}

// shared refuses to make an image of what a machine can write to, and to let go of
// one that is used.
func (b *creation) shared(ctx context.Context, old, next *occi.Entity) error {
	was, is := isImage(b.m, old), isImage(b.m, next)
	if was == is {
		return nil
	}
	var ps []occi.Problem
	var err error
	if was {
		ps, err = b.e.imageUsers(ctx, b.m, []*occi.Entity{old}, nil)
	} else {
		ps, err = b.e.linkedTo(ctx, b.m, []uuid.UUID{old.ID}, true)
	}
	if err == nil && len(ps) > 0 {
		err = final{occi.Problems(occi.Conflict, "the change is not possible now", ps)}
	}
	return err
}

// linkedTo names the machines that volumes are devices of, at work or not; those alone
// that may write to them if that is asked for.
func (e *Engine) linkedTo(ctx context.Context, m *occi.Model, ids []uuid.UUID, writing bool) ([]occi.Problem, error) {
	users, err := e.users(ctx, ids, nil)
	if err != nil {
		return nil, err
	}
	if writing {
		return users.writers(m), nil
	}
	return users.attached(m, func(*occi.Entity) bool { return true }), nil
}

// writers names the machines that may write to what they have, at work or not.
func (u *users) writers(m *occi.Model) []occi.Problem {
	return u.attached(m, func(l *occi.Entity) bool { return !isTrue(role(m, l, roleReadOnly)) })
}

// attached names the machines that have something by some of the links.
func (u *users) attached(m *occi.Model, by func(*occi.Entity) bool) []occi.Problem {
	var ps []occi.Problem
	for _, l := range u.links {
		if part(m, l).device && by(l) {
			ps = append(ps, occi.Problem{What: m.RefPath(l.Target), Text: "is attached to " + m.RefPath(l.Source)})
		}
	}
	return ps
}

// marking is an image and a template that a volume is to become.
type marking struct {
	x       *occi.Entity
	action  *occi.Action
	params  occi.Attrs
	through string
}

// mark makes images and templates of volumes: of a copy where a machine that is stopped
// may write to the volume.
func (a *acts) mark(ctx context.Context) error {
	for _, mk := range a.marking {
		users, err := a.e.users(ctx, []uuid.UUID{mk.x.ID}, nil)
		if err != nil {
			return err
		}
		switch busy, written := users.inUse(a.m), users.writers(a.m); {
		case len(written) > 0 && len(busy) > 0:
			a.conflicts = append(a.conflicts, busy...)
		case len(written) > 0:
			if err := a.copied(mk.x, mk.action, mk.params, mk.through); err != nil {
				return err
			}
		default:
			a.marked(mk.x, mk.action, mk.params)
		}
	}
	return nil
}

// marked makes an image of a volume, and a template of that.
func (a *acts) marked(x *occi.Entity, action *occi.Action, params occi.Attrs) {
	w := a.put(x)
	if !w.HasMixin(action.Makes) {
		w.Mixins = append(w.Mixins, action.Makes)
	}
	a.apart = append(a.apart, x.ID)
	name := params.Get("name").Text
	a.template(action.Template, template{of: a.machineLike(w), image: w, name: name, title: cmp.Or(name, x.Title, a.m.Path(x))})
}

// machineLike is of the kind that templates of images are for, and of the project of
// the image.
func (a *acts) machineLike(image *occi.Entity) *occi.Entity {
	x := &occi.Entity{Project: image.Project}
	for _, k := range a.m.Kinds {
		if parts[k.Host].isMachine() {
			x.Kind = k.ID()
			break
		}
	}
	return x
}

// linked refuses to make images of what machines may write to. Whoever links to one
// meanwhile writes it too, so that this is judged anew.
func (a *acts) linked(ctx context.Context) error {
	ps, err := a.e.linkedTo(ctx, a.m, a.apart, true)
	a.conflicts = append(a.conflicts, ps...)
	return err
}

// unshared refuses to remove a volume that others on the host are backed by: those
// of machines that are being deleted are waited for.
func unshared(ctx context.Context, j *job) error {
	if !isImage(j.m, j.x) {
		return nil
	}
	over, err := j.drv.Overlays(ctx, j.x.ID)
	if err != nil || len(over) == 0 {
		return err
	}
	err = fmt.Errorf("%w: volumes on the host are backed by it: %v", hypervisor.ErrUnavailable, over)
	if j.task.Attempts >= patientAttempts {
		err = errors.Join(errLasting, err)
	}
	return err
}

// patientAttempts is how often something is tried that mostly passes soon.
const patientAttempts = 6

// errLasting marks a fault that was thought to pass and has not.
var errLasting = errors.New("it was tried often")
