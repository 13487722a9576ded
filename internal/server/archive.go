package server

import (
	"strings"
	"time"

	"github.com/occid/occid/occi"
	"github.com/occid/occid/render"
)

// month is how archives are named.
const month = "2006-01"

// archived reads which part of a collection is asked for: what changed last in a
// month of UTC (RFC 5005 section 4). A change moves an entity to the part that is
// current, so all parts together are the collection, and closed ones only lose
// members.
func (s *selection) archived(ps params, now time.Time) error {
	name, given, err := ps.single("archive")
	if err != nil || !given {
		return err
	}
	if _, sorted, _ := ps.single("sort"); sorted || s.page > 0 {
		return badParam("archive", "stands without page, number and sort")
	}
	now = now.UTC()
	current := time.Date(now.Year(), now.Month(), 1, 0, 0, 0, 0, time.UTC)
	from := current
	if name != render.CurrentArchive {
		if from, err = time.Parse(month, name); err != nil {
			return badParam("archive", "%.80q is neither %q nor a month such as %q", name, render.CurrentArchive, month)
		}
	}
	if from.After(current) {
		return badParam("archive", "%s is yet to come", name)
	}
	s.archive = &render.Archive{Name: name, Closed: from.Before(current)}
	s.query.Since = from
	if s.archive.Closed {
		s.query.Until = from.AddDate(0, 1, 0)
		if s.query.Until.Before(current) {
			s.archive.Next = s.query.Until.Format(month)
		}
	}
	s.query.Sort = []occi.Order{{Name: occi.Updated, Desc: true}}
	return nil
}

// before gives a part with the name of the one before it, in which the last
// earlier change was.
func before(a *render.Archive, earlier time.Time) *render.Archive {
	b := *a
	if !earlier.IsZero() {
		b.Previous = earlier.UTC().Format(month)
	}
	return &b
}

// momentOf tells of a condition on when an entity was created or changed last; ""
// if a parameter is none. The operator may also end the name: "updated.ge".
func momentOf(p param) (moment string, op occi.Op) {
	name, word, worded := strings.Cut(p.name, ".")
	if name != occi.Created && name != occi.Updated {
		return "", ""
	}
	switch {
	case !worded:
		return name, p.op
	case words[word] != "" && p.op == occi.Eq:
		return name, words[word]
	}
	return "", ""
}

// moment adds a condition on when something was: a date, or a time as RFC 3339
// writes it.
func (f *filters) moment(p param, name string, op occi.Op) error {
	at, err := time.Parse(time.RFC3339, p.value)
	if err != nil {
		at, err = time.Parse(time.DateOnly, p.value)
	}
	if err != nil {
		return badParam(p.name, "%.80q is neither a time such as %q nor a date", p.value, "2006-01-02T15:04:05Z")
	}
	f.s.query.Conds = append(f.s.query.Conds, occi.Cond{Name: name, Op: op, Value: occi.Int(at.UnixMicro())})
	return nil
}
