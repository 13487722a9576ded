package store

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"

	"github.com/occid/occid/occi"
)

const (
	// auditDoc is how many bytes of documents a row holds before the next is begun: see
	// appendEvents.
	auditDoc = 1700
	// auditText is how many bytes of a value the trail has; of a longer one it has the
	// beginning.
	auditText = 240
)

// auditHead is where the chain of the audit trail ends: the number of the last record, and the
// hash of its row.
type auditHead struct {
	seq  int64
	hash []byte
}

// auditHash is the hash of a row, which depends on all rows before it.
func auditHash(before []byte, seq, first, at int64, doc []byte) []byte {
	h := sha256.New()
	var n [8]byte
	put := func(i int64) {
		binary.BigEndian.PutUint64(n[:], uint64(i))
		h.Write(n[:])
	}
	h.Write(before)
	put(seq)
	put(first)
	put(at)
	h.Write(doc)
	return h.Sum(nil)
}

// auditBook is what a group adds to the audit trail.
type auditBook struct {
	head    auditHead
	records []occi.Record
	model   *occi.Model // nil for none
	// by is who asks for the job that is applied, over the tasks that end with it by what
	// they are about.
	by   *occi.Origin
	over map[uuid.UUID]*occi.Task
	told map[*occi.Task]bool // what they are about has told of them
	at   time.Time
}

// auditIn finds the end of the chain.
func (g *group) auditIn() query {
	return query{statement{sql: `SELECT seq, hash FROM audit ORDER BY seq DESC LIMIT 1`}, func(r row) error {
		return r.Scan(&g.audit.head.seq, &g.audit.head.hash)
	}}
}

// beginAudit prepares for a job.
func (g *group) beginAudit(j *job) {
	a := &g.audit
	a.by, a.over, a.told, a.at = j.origin, nil, nil, j.change.At
	for _, t := range j.change.Tasks {
		if a.by == nil && t.State.Over() {
			if a.over == nil {
				a.over, a.told = map[uuid.UUID]*occi.Task{}, map[*occi.Task]bool{}
			}
			a.over[t.Entity] = t
		}
	}
	for _, r := range j.change.Records {
		if r.At.IsZero() {
			r.At = j.change.At
		}
		if a.by != nil && r.Origin == (occi.Origin{}) {
			r.Origin = *a.by
		}
		a.records = append(a.records, r)
	}
}

// endAudit notes the outcome of the job's tasks, unless what they are about told of it.
func (g *group) endAudit(j *job) {
	for _, p := range j.tasks {
		if p.t.State.Over() && !g.audit.told[p.t] {
			g.outcome(p.t, p.t.Project, nil)
		}
	}
}

// outcome notes what became of a task.
func (g *group) outcome(t *occi.Task, reach string, changes []occi.Alteration) {
	r := occi.Record{At: g.audit.at, What: string(t.State), ID: t.Entity, Kind: t.Kind, Reach: reach, Task: t.ID, Verb: t.Verb,
		Message: cut(t.Error), Changes: changes}
	if g.audit.by != nil {
		r.Origin = *g.audit.by
	} else {
		r.User, r.Project, r.Request = t.Who, t.Project, t.Request
	}
	g.audit.records = append(g.audit.records, r)
}

// audited notes what became of an entity. What the server changes by itself is noted if a
// task leads to it, or if it comes, goes, is moved or is in another state: the rest is
// what it measures, and what it says of its work.
func (g *group) audited(what string, old, now *occi.Entity) {
	e := now
	if e == nil {
		e = old
	}
	a := &g.audit
	if t := a.over[e.ID]; t != nil && !a.told[t] {
		a.told[t] = true
		g.outcome(t, e.Reach(), a.alterations(old, now))
		return
	}
	r := occi.Record{At: a.at, ID: e.ID, Kind: e.Kind, Reach: e.Reach()}
	switch what {
	case occi.EventCreated:
		r.What, old = occi.AuditCreated, nil
	case occi.EventDeleted:
		r.What, now = occi.AuditDeleted, nil
	default:
		r.What = occi.AuditUpdated
	}
	if a.by != nil {
		r.Origin = *a.by
	} else if r.What == occi.AuditUpdated && (isLink(e) || what != occi.EventState && old.Host == now.Host) {
		return
	}
	if r.Changes = a.alterations(old, now); len(r.Changes) == 0 && r.What == occi.AuditUpdated {
		return
	}
	a.records = append(a.records, r)
}

// alterations lists what differs between two states of an entity, nil standing for none.
// Of confidential attributes it says no more than that.
func (a *auditBook) alterations(old, now *occi.Entity) []occi.Alteration {
	return a.between(a.facts(old), a.facts(now))
}

func (a *auditBook) between(was, is []fact) []occi.Alteration {
	out := make([]occi.Alteration, 0, len(is))
	for _, f := range is {
		before, _ := lookUp(was, f.name)
		if before.value != f.value {
			out = append(out, a.alteration(f.name, before.value, f.value))
		}
	}
	for _, f := range was {
		if _, kept := lookUp(is, f.name); !kept {
			out = append(out, a.alteration(f.name, f.value, ""))
		}
	}
	return out
}

func (a *auditBook) alteration(name, was, now string) occi.Alteration {
	if a.model != nil {
		if d := a.model.Attribute(name); d != nil && (d.Confidential || d.Secret) {
			return occi.Alteration{Name: name, Was: confidential(was), Now: confidential(now)}
		}
	}
	return occi.Alteration{Name: name, Was: cut(was), Now: cut(now)}
}

// confidential stands for a value that is nobody's business.
func confidential(value string) string {
	if value == "" {
		return ""
	}
	return "(" + strconv.Itoa(len(value)) + " bytes, confidential)"
}

// cut shortens a text.
func cut(s string) string {
	s = strings.ToValidUTF8(s, "\uFFFD")
	if len(s) <= auditText {
		return s
	}
	end := auditText
	for !utf8.RuneStart(s[end]) {
		end--
	}
	return s[:end] + "… (" + strconv.Itoa(len(s)) + " bytes)"
}

// fact is something about an entity that can be altered.
type fact struct{ name, value string }

func lookUp(fs []fact, name string) (fact, bool) {
	for _, f := range fs {
		if f.name == name {
			return f, true
		}
	}
	return fact{}, false
}

// facts lists what the trail says of an entity: without what changes by itself or explains
// a state.
func (a *auditBook) facts(e *occi.Entity) []fact {
	if e == nil {
		return nil
	}
	out := make([]fact, 0, len(e.Attributes)+6)
	text := func(name, value string) {
		if value != "" {
			out = append(out, fact{name, value})
		}
	}
	text(occi.AttrTitle, e.Title)
	text(occi.AttrSummary, e.Summary)
	if isLink(e) {
		text(occi.AttrSource, e.Source.ID.String())
		if e.Target.ID != uuid.Nil {
			text(occi.AttrTarget, e.Target.ID.String())
		} else {
			text(occi.AttrTarget, e.Target.URI)
		}
	}
	text("mixins", strings.Join(e.Mixins, " "))
	text("host", e.Host)
	message := ""
	if a.model != nil {
		if k := a.model.Kind(e.Kind); k != nil && k.States != nil {
			message = k.States.Message
		}
	}
	for _, at := range e.Attributes {
		if at.Name == message {
			continue
		}
		if a.model != nil {
			if d := a.model.Attribute(at.Name); d != nil && d.Observed {
				continue
			}
		}
		text(at.Name, at.Value.String())
	}
	return out
}

// auditMixins notes a job's changes to users' mixins, before they are applied.
func (g *group) auditMixins(j *job) {
	note := func(what, id, project string, changes []occi.Alteration) {
		r := occi.Record{At: g.audit.at, What: what, Kind: id, Reach: project, Changes: changes}
		if g.audit.by != nil {
			r.Origin = *g.audit.by
		}
		g.audit.records = append(g.audit.records, r)
	}
	for _, x := range j.change.Define {
		note(occi.AuditDefined, x.ID(), x.Project, g.audit.between(nil, mixinFacts(x)))
	}
	for _, x := range j.change.Redefine {
		note(occi.AuditDefined, x.ID(), x.Project, g.audit.between(g.mixinWas(x.ID()), mixinFacts(x)))
	}
	for _, id := range j.change.Undefine {
		project := ""
		if x, err := decodeMixin(id, "", g.mixins[id].doc); err == nil {
			project = x.Project
		}
		note(occi.AuditUndefined, id, project, g.audit.between(g.mixinWas(id), nil))
	}
}

// mixinWas lists what a mixin says before a job; nothing if it cannot be read.
func (g *group) mixinWas(id string) []fact {
	x, err := decodeMixin(id, g.mixins[id].location, g.mixins[id].doc)
	if err != nil {
		return nil
	}
	return mixinFacts(x)
}

func mixinFacts(x *occi.Mixin) []fact {
	out := []fact{{"location", x.Location}, {"title", x.Title}, {"depends", strings.Join(x.Depends, " ")}, {"applies", strings.Join(x.Applies, " ")}}
	out = slices.DeleteFunc(out, func(f fact) bool { return f.value == "" })
	for _, a := range x.Attributes {
		out = append(out, fact{a.Name, a.Default.String()})
	}
	return out
}

// auditRows chains the records of the group to those that are there, and gives their rows.
func (g *group) auditRows() [][]any {
	var rows [][]any
	head := &g.audit.head
	for rest := g.audit.records; len(rest) > 0; {
		var w auditWriter
		at := int64(0)
		for len(rest) > 0 && len(w.dst) < auditDoc {
			w.add(&rest[0])
			at = max(at, micros(rest[0].At))
			rest = rest[1:]
		}
		first := head.seq + 1
		head.seq += int64(w.records)
		head.hash = auditHash(head.hash, head.seq, first, at, w.dst)
		rows = append(rows, []any{head.seq, first, at, w.dst, head.hash})
	}
	return rows
}

// clocks is how far apart servers' clocks may be: times may not be in the order of numbers.
const clocks = time.Minute

// AuditRange gives the numbers of the first and the last record of the trail that are kept;
// the last is one less than the first if none is. With times, of those which may be
// from one on and from before the other; the zero time is for any.
func (s *Store) AuditRange(ctx context.Context, from, to time.Time) (first, last int64, err error) {
	sql := `SELECT COALESCE((SELECT first FROM audit ORDER BY seq LIMIT 1), 1), COALESCE((SELECT seq FROM audit ORDER BY seq DESC LIMIT 1), 0)`
	err = s.run(ctx, query{statement{sql, nil}, func(r row) error { return r.Scan(&first, &last) }})
	if err != nil || first > last {
		return first, max(last, first-1), err
	}
	if !to.IsZero() {
		end, err := s.auditAt(ctx, micros(to.Add(clocks)), first, last)
		if err != nil {
			return 0, 0, err
		}
		last = end - 1
	}
	if !from.IsZero() && first <= last {
		first, err = s.auditAt(ctx, micros(from.Add(-clocks)), first, last)
	}
	return first, max(last, first-1), err
}

// auditAt gives the number of the first record between two whose row is of a time or a
// later one, one more than the last if there is none.
func (s *Store) auditAt(ctx context.Context, at, low, high int64) (int64, error) {
	for low <= high {
		middle := low + (high-low)/2
		var first, seq, when int64
		err := s.run(ctx, query{statement{`SELECT first, seq, at FROM audit WHERE seq >= $1 ORDER BY seq LIMIT 1`, []any{middle}},
			func(r row) error { return r.Scan(&first, &seq, &when) }})
		switch {
		case err != nil:
			return 0, err
		case when >= at:
			high = first - 1
		default:
			low = seq + 1
		}
	}
	return low, nil
}

// AuditBefore gives the records of the trail before a number and from another on, the
// newest first. It is Internal if a row cannot be read.
func (s *Store) AuditBefore(ctx context.Context, before, from int64) ([]*occi.Record, error) {
	var found []*occi.Record
	sql := `SELECT first, doc FROM audit WHERE seq >= $1 AND seq < COALESCE((SELECT seq + 1 FROM audit WHERE seq >= $2 ORDER BY seq LIMIT 1), $2) ORDER BY seq`
	err := s.run(ctx, query{statement{sql, []any{from, before}}, func(r row) error {
		var first int64
		var doc []byte
		if err := r.Scan(&first, &doc); err != nil {
			return err
		}
		rs, err := decodeAudit(doc, first)
		if err != nil {
			return occi.E(occi.Internal, "the records of the audit trail from %d are kept as what cannot be read: %w", first, err)
		}
		for _, d := range rs {
			if d.Seq >= from && d.Seq < before {
				found = append(found, d)
			}
		}
		return nil
	}})
	slices.Reverse(found)
	return found, err
}
