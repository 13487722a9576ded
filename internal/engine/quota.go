package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/google/uuid"

	"github.com/occid/occid/occi"
)

// roleQuotaOf is the role of the attribute that tells whose a quota is.
const roleQuotaOf = "quota.of"

// quotaPage is how many quotas are made in one change.
const quotaPage = 500

// Allowance is what new projects, or new users, may use: by what, as it is written in a
// descriptor. What is missing may be used in any amount.
type Allowance map[string]string

// Check says what is wrong with an allowance, by the registry; nil if nothing is.
func (a Allowance) Check(m *occi.Model) error {
	for what, text := range a {
		limit := m.Quotas().Limits[what]
		if limit == nil {
			return fmt.Errorf("there is no quota of %q", what)
		}
		if _, err := limit.Check(occi.Str(text)); err != nil {
			return fmt.Errorf("%s: %w", what, err)
		}
	}
	return nil
}

// allow gives a quota the limits that it does not have.
func (a Allowance) allow(m *occi.Model, q *occi.Entity) error {
	for what, limit := range m.Quotas().Limits {
		if !q.Attributes.Get(limit.Name).IsZero() {
			continue
		}
		v := occi.Value{Type: limit.Type, Num: -1}
		if text := a[what]; text != "" {
			var err error
			if v, err = limit.Check(occi.Str(text)); err != nil {
				return occi.E(occi.Internal, "the quota of %s for new ones: %w", what, err)
			}
		}
		q.Attributes.Set(limit.Name, v)
	}
	return nil
}

// allowance is what the owner of a quota may use unless an administrator says.
func (e *Engine) allowance(ofProject bool) Allowance {
	if ofProject {
		return e.cfg.ProjectQuota
	}
	return e.cfg.UserQuota
}

// quotaOf makes the quota of a new project or user.
func (e *Engine) quotaOf(m *occi.Model, x *occi.Entity) (*occi.Entity, error) {
	name := x.Title
	if name == "" {
		name = m.Path(x)
	}
	q := &occi.Entity{ID: occi.QuotaID(x.ID.String()), Kind: occi.QuotaKind, Title: "Quota of " + name, Project: x.ID.String()}
	setRole(m, q, roleQuotaOf, occi.Str(m.Path(x)))
	for _, used := range m.Quotas().Used {
		q.Attributes.Set(used.Name, used.Shown(0))
	}
	return q, e.allowance(x.Kind == occi.ProjectKind).allow(m, q)
}

// bounded has the quota of a new project or user made with it.
func (b *creation) bounded(x *occi.Entity) error {
	if b.m.Kind(occi.QuotaKind) == nil {
		return nil
	}
	q, err := b.e.quotaOf(b.m, x)
	if err == nil {
		b.put(q)
	}
	return err
}

func readyQuota(_ context.Context, b *creation, old, x *occi.Entity) error {
	if old == nil {
		return occi.E(occi.Forbidden, "a quota comes with its project or user; it cannot be created")
	}
	x.Project = old.Project
	return b.e.allowance(b.m.ParseRef(role(b.m, x, roleQuotaOf).Text).Kind == occi.ProjectKind).allow(b.m, x)
}

// unbounded has the quota of a project or user go with it.
func (r *removal) unbounded(ctx context.Context, x *occi.Entity) error {
	q, err := r.e.store.Entity(ctx, occi.QuotaID(x.ID.String()))
	if errors.Is(err, occi.NotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	r.known[q.ID] = q
	r.change.Removes = append(r.change.Removes, occi.Removal{ID: q.ID})
	return nil
}

// enrolQuotas makes the quotas of projects and users that have none.
func (e *Engine) enrolQuotas(ctx context.Context) error {
	if e.Model().Kind(occi.QuotaKind) == nil {
		return nil
	}
	_, err := retry(ctx, func() (*Outcome, error) {
		m := e.Model()
		owners, err := e.store.List(ctx, &occi.Query{Kinds: []string{occi.ProjectKind, occi.UserKind}})
		if err != nil {
			return nil, err
		}
		quotas, err := e.store.List(ctx, &occi.Query{Kinds: []string{occi.QuotaKind}})
		if err != nil {
			return nil, err
		}
		have := map[uuid.UUID]bool{}
		for _, q := range quotas.Entities {
			have[q.ID] = true
		}
		var missing []*occi.Entity
		for _, x := range owners.Entities {
			if have[occi.QuotaID(x.ID.String())] {
				continue
			}
			q, err := e.quotaOf(m, x)
			if err != nil {
				return nil, err
			}
			missing = append(missing, q)
		}
		for part := range slices.Chunk(missing, quotaPage) {
			// Another server may make them too; then the lists are read again.
			if err := e.store.Commit(ctx, &occi.Change{At: e.now(), Puts: part}); err != nil {
				return nil, err
			}
		}
		return nil, nil
	})
	return err
}

// reserve has machines reserve what the disk of their image takes beyond the size that
// they give themselves.
func (p *plan) reserve() {
	for _, x := range p.change.Puts {
		if x.Deleted || !part(p.m, x).machine {
			continue
		}
		disk := func(x *occi.Entity) int64 { return bytesOf(role(p.m, x, roleDiskSize)) }
		if x.Revision == 0 {
			if image := p.entity(imageOf(p.m, x)); image != nil {
				x.Reserved = max(0, volumeOf(p.m, image).SizeBytes-disk(x))
			}
		} else if old := p.known[x.ID]; old != nil && old.Reserved > 0 {
			x.Reserved = max(0, old.Reserved+disk(old)-disk(x))
		}
	}
}

// ownDisk is what the own disk of a machine uses.
func ownDisk(m *occi.Model, x *occi.Entity) int64 {
	return x.Reserved + bytesOf(role(m, x, roleDiskSize))
}

// reserveGrowth has a volume reserve what a task is about to add to it.
func (p *plan) reserveGrowth(w *occi.Entity, to occi.Value) {
	w.Reserved = max(w.Reserved, bytesOf(to)-volumeOf(p.m, w).SizeBytes)
}

// settleReserved puts down what a volume reserves now that a task is over which may have
// changed its size from what it was.
func (p *plan) settleReserved(w *occi.Entity, was int64) {
	if w.Reserved = max(0, w.Reserved+was-volumeOf(p.m, w).SizeBytes); len(w.Tasks) == 0 {
		w.Reserved = 0
	}
}

// overQuota makes an error of what exceeds quotas, nil of any other error. What is neither
// of the caller nor of its project is told without figures.
func (p *plan) overQuota(err error) error {
	over, ok := errors.AsType[*occi.OverQuota](err)
	if !ok {
		return nil
	}
	var ps []occi.Problem
	for _, x := range over.All {
		ps = append(ps, p.excess(x))
	}
	return occi.Problems(occi.Forbidden, "this is more than the quota allows", ps)
}

func (p *plan) excess(x occi.Excess) occi.Problem {
	a := p.m.Quotas().Limits[x.What]
	b := &occi.Bound{Of: "project", Limit: a.Shown(x.Limit), Used: a.Shown(x.Used), Requested: a.Shown(x.Request)}
	if owned := func(o *occi.Entity) bool { return o.Owner == x.Owner }; slices.ContainsFunc(p.change.Puts, owned) {
		b.Of = "user"
	}
	problem := occi.Problem{What: a.Name}
	if !p.c.Operates() && !slices.Contains(p.c.Owns(), x.Owner) {
		problem.Text = "the " + b.Of + " whose it is has not so much left"
		return problem
	}
	problem.Bound = b
	problem.Text = fmt.Sprintf("the limit of the %s is %s, %s are used, and %s more are requested",
		b.Of, figure(b.Limit, a.Unit), figure(b.Used, a.Unit), figure(b.Requested, a.Unit))
	return problem
}

// figure is a number as people write it.
func figure(v occi.Value, unit string) string {
	return strings.TrimSpace(strconv.FormatFloat(v.Num, 'f', -1, 64) + " " + unit)
}
