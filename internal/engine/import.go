package engine

import (
	"context"
	"errors"
	"path/filepath"
	"strings"

	"github.com/google/uuid"

	"github.com/occid/occid/occi"
)

// paramFile is the parameter of a task that takes in content which names the
// operator's file that has it.
const paramFile = "file"

// ImportImages makes images and templates of the operator's files, but for those it
// has made some of already. A file that is refused is logged and left out. One that has
// changed replaces the content of its image unless machines are of that. What was made
// of a file that is gone stays.
func (e *Engine) ImportImages(ctx context.Context) {
	if e.cfg.Images == nil {
		return
	}
	names, stamps, err := e.cfg.Images.Files()
	if err != nil {
		e.log.Error("the images of the operator cannot be listed", "error", err)
	}
	for i, name := range names {
		if err := e.importImage(ctx, name, stamps[i]); err != nil && ctx.Err() == nil {
			e.log.Error("an image was not taken in", "file", name, "error", err)
		}
	}
}

// importer is what images of files are made with, by the registry.
type importer struct {
	kind   string          // of volumes
	action *occi.Action    // that makes templates of them
	file   *occi.Attribute // that tells of which file one is
}

func newImporter(m *occi.Model) (importer, error) {
	var i importer
	if kinds := kindsFor(m, "volume"); len(kinds) > 0 {
		i.kind = kinds[0]
	}
	for _, a := range m.Actions {
		if op := operations[a.Do]; op != nil && op.marks && m.Mixin(a.Makes) != nil {
			i.action = a
			i.file = roleAttr(m, &occi.Entity{Kind: i.kind, Mixins: []string{a.Makes}}, roleFile)
		}
	}
	if i.kind == "" || i.action == nil || i.file == nil {
		return i, errors.New("the registry has no images of files")
	}
	return i, nil
}

func (e *Engine) importImage(ctx context.Context, name, stamp string) error {
	i, err := newImporter(e.Model())
	if err != nil {
		return err
	}
	known := &occi.Query{Kinds: []string{i.kind}, Conds: []occi.Cond{{Name: i.file.Name, Op: occi.Eq, Value: occi.Str(name)}}}
	have, err := e.store.List(ctx, known)
	if err != nil {
		return err
	}
	for _, x := range have.Entities {
		if role(e.Model(), x, roleStamp).Text == stamp && !failed(e.Model(), x) || len(x.Tasks) > 0 {
			return nil
		}
	}
	disk, err := e.cfg.Images.DiskOf(ctx, name)
	if err != nil {
		return err
	}
	if err := e.Renew(ctx, true); err != nil {
		return err
	}
	_, err = retry(ctx, func() (*Outcome, error) {
		have, err := e.store.List(ctx, known)
		if err != nil {
			return nil, err
		}
		a := acts{plan: e.plan(Caller{})}
		if len(have.Entities) > 0 {
			return nil, a.refill(ctx, have.Entities[0], name, stamp, disk)
		}
		return nil, a.imported(ctx, i, name, stamp, disk)
	})
	if err == nil {
		err = e.Renew(ctx, true)
	}
	return err
}

// sizeOf is the size that an image of a disk has at least.
func (a *acts) sizeOf(x *occi.Entity, disk int64) occi.Value {
	sized := roleAttr(a.m, x, roleSize)
	n := float64(disk) / gib
	if sized.Min != nil {
		n = max(n, *sized.Min)
	}
	return occi.Float(max(n, x.Attributes.Get(sized.Name).Num))
}

// refill has an image hold the file again that it is of.
func (a *acts) refill(ctx context.Context, x *occi.Entity, name, stamp string, disk int64) error {
	ps, err := a.e.machinesOf(ctx, a.m, []*occi.Entity{x}, nil)
	if err != nil {
		return err
	}
	if len(ps) > 0 {
		return final{occi.Problems(occi.Conflict, "the file has changed, but its image is in use; give the file another name", ps)}
	}
	w := a.put(x)
	a.set(w, roleStamp, stamp)
	w.Attributes.Set(roleAttr(a.m, w, roleSize).Name, a.sizeOf(w, disk))
	params := a.autoParams(w)
	params.Set(paramFile, occi.Str(name))
	a.task(w, w.Host, verbContent, params, nil)
	a.say(w, throughContent)
	_, err = a.commit(ctx)
	return err
}

// imported makes an image of a file, and a template of that.
func (a *acts) imported(ctx context.Context, i importer, name, stamp string, disk int64) error {
	title := strings.TrimSuffix(name, filepath.Ext(name))
	if term := termOf(title); a.templated(term) {
		return conflict("there is a template %s already", templateScheme+term)
	}
	x := &occi.Entity{Kind: i.kind, Mixins: []string{i.action.Makes}}
	d := &occi.Draft{Kind: i.kind, Mixins: x.Mixins, Attributes: []occi.DraftAttr{
		{Name: occi.AttrTitle, Value: occi.Str(title)}, {Name: roleAttr(a.m, x, roleSize).Name, Value: a.sizeOf(x, disk)}}}
	x, err := a.m.Build(d, uuid.New())
	if err != nil {
		return final{err}
	}
	a.set(x, roleFile, name)
	a.set(x, roleStamp, stamp)
	b := creation{plan: a.plan, anyhow: true}
	if err := b.add(ctx, x, x.ID); err != nil {
		return err
	}
	if err := b.place(ctx); err != nil {
		return err
	}
	if x.Host == "" {
		return conflict("there is no host for it")
	}
	if err := b.pools(); err != nil {
		return err
	}
	b.leaveTasks()
	a.template(i.action.Template, template{of: a.machineLike(x), image: x, name: title, title: title})
	_, err = a.commit(ctx)
	return err
}
