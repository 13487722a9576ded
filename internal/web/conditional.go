package web

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/occid/occid/occi"
)

// eachTag calls f for the tags of If-Match or If-None-Match, without quotes and
// weakness, until it returns true, and reports whether it did. Bad syntax is
// Invalid.
func eachTag(name string, fields []string, f func(tag string, weak bool) bool) (bool, error) {
	for _, s := range fields {
		for rest := strings.TrimSpace(s); rest != ""; {
			weak := false
			if t, ok := strings.CutPrefix(rest, "W/"); ok {
				weak, rest = true, t
			}
			if rest[:min(1, len(rest))] != `"` {
				return false, occi.E(occi.Invalid, "%s: %q is not a list of entity tags", name, s)
			}
			end := strings.IndexByte(rest[1:], '"')
			if end < 0 {
				return false, occi.E(occi.Invalid, "%s: %q has no closing quote", name, s)
			}
			if f(rest[1:end+1], weak) {
				return true, nil
			}
			rest = strings.TrimLeft(rest[end+2:], " \t,")
		}
	}
	return false, nil
}

// NotModified reports whether a GET may be answered with 304 (RFC 9110 section
// 13.2.2): If-None-Match decides if it is there, else If-Modified-Since.
func NotModified(r *http.Request, tag string, modified time.Time) (bool, error) {
	if fields := r.Header["If-None-Match"]; len(fields) > 0 {
		if len(fields) == 1 && fields[0] == tag {
			return true, nil
		}
		if isStar(fields) {
			return true, nil
		}
		bare := strings.Trim(tag, `"`)
		return eachTag("If-None-Match", fields, func(t string, _ bool) bool { return t == bare })
	}
	since := r.Header["If-Modified-Since"]
	if len(since) == 0 || modified.IsZero() {
		return false, nil
	}
	at, err := http.ParseTime(since[0])
	if err != nil {
		return false, occi.E(occi.Invalid, "If-Modified-Since: %q is not a date", since[0])
	}
	return !modified.Truncate(time.Second).After(at), nil
}

func isStar(fields []string) bool { return len(fields) == 1 && strings.TrimSpace(fields[0]) == "*" }

// Guard reads a write's conditions; nil if it has none. The function compares
// them with the state of an entity, nil for one that does not exist, and gives a
// Precondition error if one does not hold.
func Guard(r *http.Request) (func(*occi.Entity) error, error) {
	match, none := r.Header["If-Match"], r.Header["If-None-Match"]
	since := r.Header["If-Unmodified-Since"]
	if len(match)+len(none)+len(since) == 0 {
		return nil, nil
	}
	if _, err := eachTag("If-Match", unstarred(match), func(string, bool) bool { return false }); err != nil {
		return nil, err
	}
	if _, err := eachTag("If-None-Match", unstarred(none), func(string, bool) bool { return false }); err != nil {
		return nil, err
	}
	var at time.Time
	if len(since) > 0 && len(match) == 0 {
		var err error
		if at, err = http.ParseTime(since[0]); err != nil {
			return nil, occi.E(occi.Invalid, "If-Unmodified-Since: %q is not a date", since[0])
		}
	}
	return func(e *occi.Entity) error {
		if e == nil {
			return compare(match, none, 0, time.Time{}, time.Time{})
		}
		return compare(match, none, e.Revision, e.Updated, at)
	}, nil
}

func unstarred(fields []string) []string {
	if isStar(fields) {
		return nil
	}
	return fields
}

// compare applies a write's conditions to a state; revision 0 is that of what
// does not exist.
func compare(match, none []string, revision int64, updated, unmodifiedSince time.Time) error {
	prefix := strconv.FormatInt(revision, 36) + "."
	same := func(tag string, weak bool) bool {
		return !weak && revision > 0 && strings.HasPrefix(tag, prefix)
	}
	if len(match) > 0 {
		ok := isStar(match) && revision > 0
		if !ok && !isStar(match) {
			ok, _ = eachTag("If-Match", match, same)
		}
		if !ok {
			return occi.E(occi.Precondition, "If-Match: %s is not the present version", strings.Join(match, ", "))
		}
	}
	if !unmodifiedSince.IsZero() && updated.Truncate(time.Second).After(unmodifiedSince) {
		return occi.E(occi.Precondition, "If-Unmodified-Since: it was changed at %s", updated.Format(http.TimeFormat))
	}
	if len(none) > 0 {
		hit := isStar(none) && revision > 0
		if !hit && !isStar(none) {
			hit, _ = eachTag("If-None-Match", none, same)
		}
		if hit {
			return occi.E(occi.Precondition, "If-None-Match: %s is the present version", strings.Join(none, ", "))
		}
	}
	return nil
}
