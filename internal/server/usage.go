package server

import (
	"slices"
	"strings"
	"time"

	"github.com/occid/occid/occi"
	"github.com/occid/occid/render"
)

// usagePath is where it is told what was used.
const usagePath = "/usage"

// usageCSV is the format of spreadsheets.
var usageCSV = &render.Format{Media: "text/csv", Type: "text/csv; charset=utf-8; header=present", Suffix: ".csv"}

// usageFormats are what usage can be had as, by default the first.
var usageFormats = []*render.Format{render.Named("application/json"), usageCSV, render.Named("application/atom+xml")}

// getUsage answers with what was used between two times.
func (c *call) getUsage() error {
	var err error
	if c.format, err = c.usageFormat(); err != nil {
		return err
	}
	q, by, what, err := c.usageQuery()
	if err != nil {
		return err
	}
	used, err := c.s.engine.Usage(c.r.Context(), c.caller, q, by)
	if err != nil {
		return err
	}
	if len(what) > 0 {
		used = slices.DeleteFunc(used, func(u *occi.Usage) bool { return !slices.Contains(what, u.What) })
	}
	l := &render.UsageList{Usage: used, From: q.From, To: q.To, Path: usagePath, Query: unsafeInURL.Replace(c.r.URL.RawQuery)}
	return c.showText(func(v *render.View) ([]byte, error) {
		switch c.format {
		case usageCSV:
			return render.UsageCSV(nil, v, l)
		case usageFormats[0]:
			return render.UsageJSON(nil, v, l)
		}
		return render.UsageFeed(nil, v, l)
	})
}

func (c *call) usageFormat() (*render.Format, error) {
	if f := c.to.suffix; f != nil {
		if !slices.Contains(usageFormats, f) {
			return nil, nothingAt(c.r.URL.Path)
		}
		return f, nil
	}
	return render.Accept(c.r.Header["Accept"], usageFormats)
}

// usageQuery reads what a request selects: by default this month, up to now.
func (c *call) usageQuery() (q *occi.UsageQuery, by occi.UsageBy, what []string, err error) {
	now := c.s.now().UTC()
	q = &occi.UsageQuery{From: time.Date(now.Year(), now.Month(), 1, 0, 0, 0, 0, time.UTC), To: now}
	if err := c.params.only("project", "user", "from", "to", "kind", "by"); err != nil {
		return nil, 0, nil, err
	}
	read := func(name string, f func(value string) error) {
		value, given, e := c.params.single(name)
		if e == nil && given {
			e = f(value)
		}
		if err == nil {
			err = e
		}
	}
	id := func(name string, to *string) func(string) error {
		return func(value string) error {
			id, ok := occi.ParseID(value[strings.LastIndexByte(value, '/')+1:])
			if *to = id.String(); !ok {
				return badParam(name, "%.80q is not a UUID", value)
			}
			return nil
		}
	}
	moment := func(name string, to *time.Time) func(string) error {
		return func(value string) (e error) {
			if *to, e = time.Parse(time.RFC3339, value); e != nil {
				*to, e = time.Parse(time.DateOnly, value)
			}
			// Times beyond these are no numbers of microseconds.
			if e != nil || to.Year() < 1970 || to.Year() > 9999 {
				return badParam(name, "%.80q is neither a time such as %q nor a date", value, "2006-01-02T15:04:05Z")
			}
			return nil
		}
	}
	read("project", id("project", &q.Project))
	read("user", id("user", &q.Owner))
	read("from", moment("from", &q.From))
	read("to", moment("to", &q.To))
	read("kind", func(value string) error {
		what = strings.Split(value, ",")
		for _, w := range what {
			if !slices.Contains(occi.UseNames, w) {
				return badParam("kind", "%.80q is none of %s", w, strings.Join(occi.UseNames, ", "))
			}
		}
		return nil
	})
	read("by", func(value string) error {
		if value != "entity" && value != "user" {
			return badParam("by", "%.80q is neither user nor entity", value)
		}
		if value == "entity" {
			by = occi.ByEntity
		}
		return nil
	})
	if err == nil && q.To.Before(q.From) {
		err = badParam("to", "is before from")
	}
	return q, by, what, err
}
