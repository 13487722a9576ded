package engine

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/google/uuid"

	"github.com/occid/occid/hypervisor"
	"github.com/occid/occid/occi"
)

// rootTarget is the device that a machine's own disk, a copy of its template's
// image, appears as.
const rootTarget = "vda"

// imageOf is the entity whose volume a machine's own disk is copied from, the nil
// UUID if it has none.
func imageOf(m *occi.Model, x *occi.Entity) uuid.UUID {
	text := role(m, x, roleImage).Text
	if text == "" {
		return uuid.Nil
	}
	return m.ParseRef(text).ID
}

// root gives the disk that a machine has of its template, nil if it has none. It
// lives as long as the machine, and its volume's UUID follows from the machine's.
func root(m *occi.Model, x *occi.Entity) *hypervisor.Disk {
	if imageOf(m, x) == uuid.Nil {
		return nil
	}
	id := uuid.NewSHA1(x.ID, []byte("root"))
	return &hypervisor.Disk{ID: id, Volume: id, Target: rootTarget}
}

// makeRoot makes the disk of a machine that has an image, at least of the size that the
// machine is to have.
func makeRoot(ctx context.Context, j *job) error {
	disk := root(j.m, j.x)
	if disk == nil {
		return nil
	}
	if err := copyRoot(ctx, j, disk); err != nil {
		return err
	}
	size := bytesOf(role(j.m, j.x, roleDiskSize))
	switch v := (hypervisor.Volume{ID: disk.Volume, SizeBytes: size}); {
	case size == 0:
		return nil
	case j.verb == verbCreate:
		return j.drv.CreateVolume(ctx, v)
	default:
		return scratch(ctx, j.drv, v)
	}
}

// copyRoot makes the disk of a machine that has an image: backed by that, or a copy of
// a volume that can still be written to. What is there of a machine that is being
// created is what an attempt left that did not come to an end; the disk of any other
// is only made if it is missing.
func copyRoot(ctx context.Context, j *job, disk *hypervisor.Disk) error {
	anew := false
	if j.verb == verbCreate {
		_, err := j.drv.Domain(ctx, j.x.ID)
		if anew = errors.Is(err, hypervisor.ErrNotFound); err != nil && !anew {
			return err
		}
	}
	if !anew {
		if there, err := onHost(ctx, j.drv, disk.Volume); err != nil || there != nil {
			return err
		}
	}
	err := fillRoot(ctx, j, disk.Volume)
	if errors.Is(err, hypervisor.ErrNotFound) {
		// Not of its class: an image made anew would be empty.
		return fmt.Errorf("the image of the machine, %s, is not on its host: %v", role(j.m, j.x, roleImage).Text, err)
	}
	return err
}

func fillRoot(ctx context.Context, j *job, volume uuid.UUID) error {
	image := imageOf(j.m, j.x)
	if j.image == nil || !isImage(j.m, j.image) {
		return j.drv.CopyVolume(ctx, image, volume)
	}
	if err := gone(j.drv.DeleteVolume(ctx, volume)); err != nil {
		return err
	}
	return j.drv.CreateVolume(ctx, hypervisor.Volume{ID: volume, Backing: image})
}

// removeRoot deletes the volume that makeRoot made.
func removeRoot(ctx context.Context, j *job) error {
	if disk := root(j.m, j.x); disk != nil {
		return gone(j.drv.DeleteVolume(ctx, disk.Volume))
	}
	return nil
}

// images finds the images of new machines, in one query for all, and refuses
// machines whose image is not there.
func (b *creation) images(ctx context.Context) error {
	var ids []uuid.UUID
	for _, x := range b.tops {
		ids = append(ids, imageOf(b.m, x))
	}
	if err := b.read(ctx, ids); err != nil {
		return err
	}
	var ps []occi.Problem
	for i, x := range b.tops {
		if ids[i] == uuid.Nil {
			continue
		}
		a := roleAttr(b.m, x, roleImage)
		switch image := b.entity(ids[i]); {
		case image == nil || !b.usable(x, image):
			ps = append(ps, occi.Problem{What: a.Name, Text: "the template's image " + x.Attributes.Get(a.Name).Text + " is gone"})
		case failed(b.m, image):
			ps = append(ps, occi.Problem{What: a.Name, Text: "the template's image " + b.m.Path(image) + " is in the state " + b.m.State(image)})
		default:
			ps = append(ps, tooSmall(b.m, x, image)...)
		}
	}
	if len(ps) > 0 {
		return final{occi.Problems(occi.Conflict, "the machine cannot be made of its template", ps)}
	}
	return nil
}

// tooSmall tells that the disk a machine is to have cannot hold its image.
func tooSmall(m *occi.Model, x, image *occi.Entity) []occi.Problem {
	has, asked := role(m, image, roleSize), role(m, x, roleDiskSize)
	if asked.IsZero() || asked.Num >= has.Num {
		return nil
	}
	return []occi.Problem{{What: roleAttr(m, x, roleDiskSize).Name,
		Text: fmt.Sprintf("%s is less than the %s of the template's image %s", asked, has, m.Path(image))}}
}

// imagesApart names the machines whose image is on another host.
func (b *creation) imagesApart() []occi.Problem {
	var ps []occi.Problem
	for _, x := range b.tops {
		if image := b.entity(imageOf(b.m, x)); image != nil && image.Host != x.Host {
			ps = append(ps, occi.Problem{What: roleAttr(b.m, x, roleImage).Name,
				Text: fmt.Sprintf("%s is on another host than what %s is linked to", b.m.Path(image), b.m.Path(x))})
		}
	}
	return ps
}

// keepMade lets a machine keep the image its disk is of and the firmware it was made
// with, whatever template it gets or loses.
func (p *plan) keepMade(old, next *occi.Entity) {
	for _, r := range []string{roleImage, roleFirmware} {
		if a := roleAttr(p.m, next, r); a != nil {
			next.Attributes.Set(a.Name, old.Attributes.Get(a.Name))
		}
	}
}

// bootVolume chooses what is copied to save a machine: its first disk, if it has
// one.
func bootVolume(m *occi.Model, x *occi.Entity) (from uuid.UUID, kind string, size occi.Value, err error) {
	disks := domainOf(m, x).Disks
	if len(disks) == 0 {
		return uuid.Nil, "", size, nil
	}
	boot := slices.MinFunc(disks, func(a, b hypervisor.Disk) int {
		return cmp.Or(cmp.Compare(len(a.Target), len(b.Target)), strings.Compare(a.Target, b.Target))
	})
	if kinds := kindsFor(m, "volume"); len(kinds) > 0 {
		return boot.Volume, kinds[0], size, nil
	}
	return from, "", size, errors.New("the registry has no kind for its disk")
}

// saveDomain copies a machine's disk: while it runs, or if that is asked for,
// stopped for the time of the copy.
func saveDomain(ctx context.Context, j *job) error {
	if j.param("method") != "deferred" || !atWork(j.m, j.x) {
		return runCopy(ctx, j)
	}
	mode := hypervisor.StopMode{ACPI: true, Force: true, Timeout: j.cfg.StopTimeout}
	if err := j.drv.StopDomain(ctx, j.x.ID, mode); err != nil {
		return err
	}
	return errors.Join(runCopy(ctx, j), j.drv.StartDomain(ctx, j.x.ID))
}

// templateScheme is that of the templates which actions make.
const templateScheme = "http://schemas.occid.org/occi/os_tpl#"

var notInTerms = regexp.MustCompile(`[^a-z0-9_-]+`)

// template is what machines are made of: those like of, with disks that begin as the
// image if it is not nil. name is what it is to be called, empty for whatever.
type template struct {
	of, image   *occi.Entity
	name, title string
}

// template defines a mixin for a template, which depends on base. It has the name
// that was asked for if that is free.
func (a *acts) template(base string, t template) {
	term := termOf(t.name)
	if t.name == "" || a.templated(term) {
		term += "-" + uuid.NewString()[:13]
	}
	mixin := &occi.Mixin{Category: occi.Category{Scheme: templateScheme, Term: term,
		Title: strings.NewReplacer(",", " ", ";", " ", `"`, "'").Replace(t.title)},
		Depends: []string{base}, Applies: []string{t.of.Kind}, Location: templatePath(term), User: true, Owner: a.c.Name, Project: t.of.Project}
	if attr := roleAttr(a.m, t.of, roleImage); attr != nil && t.image != nil {
		mixin.Attributes = []*occi.Attribute{{Name: attr.Name, Type: attr.Type, Description: attr.Description,
			Default: occi.Str(a.m.Path(t.image))}}
	}
	a.change.Define = append(a.change.Define, mixin)
}

// termOf makes a term of a name.
func termOf(name string) string {
	term := strings.TrimLeft(notInTerms.ReplaceAllString(strings.ToLower(name), "-"), "-_0123456789")
	return cmp.Or(strings.TrimRight(term[:min(len(term), 40)], "-_"), "saved")
}

func templatePath(term string) string { return "/mixin/os_tpl/" + term + "/" }

// templated reports whether a template's term or location is taken.
func (a *acts) templated(term string) bool {
	taken := a.m.Mixin(templateScheme+term) != nil || a.m.At(templatePath(term)) != nil
	return taken || slices.ContainsFunc(a.change.Define, func(x *occi.Mixin) bool { return x.Term == term })
}
