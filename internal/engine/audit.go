package engine

import (
	"context"
	"slices"

	"github.com/google/uuid"

	"github.com/occid/occid/occi"
)

const (
	// auditRead is how many records are read at once.
	auditRead = 500
	// auditLook is how many records of the time asked for are looked through, the newest.
	auditLook = 20_000
)

// Audit gives the records of the audit trail that a query selects, as entities and the
// newest first unless it says otherwise; to auditors those of their project. With a
// condition the newest 20,000 of the time that it asks for are looked through.
func (e *Engine) Audit(ctx context.Context, c Caller, q *occi.Query) (*occi.Page, error) {
	from, to := q.Between()
	first, last, err := e.store.AuditRange(ctx, from, to)
	if err != nil {
		return nil, err
	}
	all := len(q.IDs)+len(q.Conds)+len(q.Text)+len(q.Sort)+len(q.Mixins)+len(q.Categories) == 0 && slices.Contains(q.Kinds, occi.AuditKind)
	if all && c.Operates() {
		page := &occi.Page{Total: int(last + 1 - first)}
		end := last + 1 - int64(q.Offset)
		from := first
		if q.Limit > 0 {
			from = max(first, end-int64(q.Limit))
		}
		page.Entities, err = e.records(ctx, c, q, end, max(from, end-auditLook), nil)
		return page, err
	}
	found, err := e.records(ctx, c, q, last+1, max(first, last+1-auditLook), nil)
	own := *q
	own.Kinds = []string{occi.AuditKind}
	if !slices.Contains(q.Kinds, occi.AuditKind) {
		own.Kinds = q.Kinds
	}
	return own.Select(found), err
}

// records adds the records before a number and from another on that a caller may see and
// a query selects, the newest first.
func (e *Engine) records(ctx context.Context, c Caller, q *occi.Query, before, from int64, found []*occi.Entity) ([]*occi.Entity, error) {
	for before > from {
		low := max(from, before-auditRead)
		rs, err := e.store.AuditBefore(ctx, before, low)
		if err != nil {
			return nil, err
		}
		for _, r := range rs {
			if x := r.Resource(); audits(c, r) && q.Selects(x) {
				found = append(found, x)
			}
		}
		before = low
	}
	return found, nil
}

// audits reports whether a caller who may read the audit trail may read a record of it.
func audits(c Caller, r *occi.Record) bool {
	return c.Operates() || c.Audits() && c.Project != "" && (r.Reach == c.Project || r.Project == c.Project)
}

// AuditRecord gives one record of the audit trail, or NotFound.
func (e *Engine) AuditRecord(ctx context.Context, c Caller, id uuid.UUID) (*occi.Entity, error) {
	if seq, ok := occi.AuditSeq(id); ok {
		rs, err := e.store.AuditBefore(ctx, seq+1, seq)
		if err != nil {
			return nil, err
		}
		if len(rs) == 1 && audits(c, rs[0]) {
			return rs[0].Resource(), nil
		}
	}
	return nil, occi.E(occi.NotFound, "there is no record %s", id)
}

// Usage gives what was used between two times, by project and user, to members what their
// project did.
func (e *Engine) Usage(ctx context.Context, c Caller, q *occi.UsageQuery, by occi.UsageBy) ([]*occi.Usage, error) {
	own := *q
	if !c.Operates() {
		if c.Project == "" || own.Project != "" && own.Project != c.Project {
			return nil, nil
		}
		own.Project = c.Project
	}
	sums := occi.NewUsageSums(&own, by, e.now())
	if err := e.store.Usage(ctx, &own, sums.Add); err != nil {
		return nil, err
	}
	return sums.All(), nil
}
