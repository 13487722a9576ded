package render

import (
	"iter"
	"strconv"
	"strings"

	"github.com/occid/occid/occi"
)

// Accept picks one of the offered formats by the Accept fields of a request (RFC
// 9110 section 12.5.1). The highest quality wins; among equals the more specific
// range, then the one named first, then the format offered first. No fields at
// all, or only empty ones, accept the first.
//
// The error is of class Invalid if a field is malformed, Unacceptable if nothing
// offered is accepted.
func Accept(fields []string, offered []*Format) (*Format, error) {
	ranges, err := parseRanges("Accept", fields)
	if err != nil {
		return nil, err
	}
	if len(ranges) == 0 && len(offered) > 0 {
		return offered[0], nil
	}
	var best *Format
	var bestRange acceptRange
	for _, f := range offered {
		r, ok := rangeOf(f.Media, ranges)
		if ok && r.quality > 0 && (best == nil || r.before(bestRange)) {
			best, bestRange = f, r
		}
	}
	if best == nil {
		names := make([]string, len(offered))
		for i, f := range offered {
			names[i] = f.Media
		}
		return nil, occi.E(occi.Unacceptable, "nothing here is rendered as %.200s; choose one of %s",
			strings.Join(fields, ", "), strings.Join(names, ", "))
	}
	return best, nil
}

// Request gives the format of a request body by the Content-Type fields: the
// first that is read of those named. Without any, a body is looked at; an empty
// one has the default format.
//
// The error is of class Invalid if a field is malformed, Media if nothing named
// is read.
func Request(fields []string, body []byte) (*Format, error) {
	ranges, err := parseRanges("Content-Type", fields)
	if err != nil {
		return nil, err
	}
	if len(ranges) == 0 {
		return sniff(body), nil
	}
	for _, r := range ranges {
		if f := Named(r.media()); f != nil && f.Reads {
			return f, nil
		}
	}
	return nil, occi.E(occi.Media, "a request of type %.200s is not read here; send one of %s",
		strings.Join(fields, ", "), strings.Join(readable(), ", "))
}

func readable() []string {
	var names []string
	for _, f := range formats {
		if f.Reads {
			names = append(names, f.Media)
		}
	}
	return names
}

// sniff tells the format of a body by its first character. What is neither JSON
// nor XML is text/plain, whose decoder tells OCCI's text from a descriptor.
func sniff(body []byte) *Format {
	media := "text/plain"
	if text := strings.TrimSpace(string(body[:min(len(body), 64)])); text != "" {
		switch text[0] {
		case '{', '[':
			media = "application/occi+json"
		case '<':
			media = "application/xml"
		}
	}
	return Named(media)
}

// acceptRange is one element of an Accept or Content-Type field.
type acceptRange struct {
	major, minor string // lower case; "*" for any
	quality      float64
	position     int
}

func (r acceptRange) media() string { return r.major + "/" + r.minor }

// specificity is higher the fewer types the range matches.
func (r acceptRange) specificity() int {
	switch {
	case r.major == "*":
		return 0
	case r.minor == "*":
		return 1
	}
	return 2
}

func (r acceptRange) matches(media string) bool {
	major, minor, _ := strings.Cut(media, "/")
	return (r.major == "*" || r.major == major) && (r.minor == "*" || r.minor == minor)
}

// before reports whether a format of this range is preferred to one of another.
func (r acceptRange) before(o acceptRange) bool {
	if r.quality != o.quality {
		return r.quality > o.quality
	}
	if r.specificity() != o.specificity() {
		return r.specificity() > o.specificity()
	}
	return r.position < o.position
}

// rangeOf gives the range that decides about a media type: the most specific.
func rangeOf(media string, ranges []acceptRange) (acceptRange, bool) {
	var best acceptRange
	found := false
	for _, r := range ranges {
		if r.matches(media) && (!found || r.specificity() > best.specificity()) {
			best, found = r, true
		}
	}
	return best, found
}

// parseRanges reads the comma lists of a header's fields. A bare "*" means any
// type: old Java clients send it.
func parseRanges(header string, fields []string) ([]acceptRange, error) {
	var out []acceptRange
	for _, field := range fields {
		for element := range splitOutside(field, ',') {
			if strings.Trim(element, " \t") == "" {
				continue
			}
			r, fault := parseRange(element)
			if fault != "" {
				return nil, &occi.Error{Class: occi.Invalid, Message: "the header field is malformed",
					Problems: []occi.Problem{{What: header, Text: fault}}}
			}
			r.position = len(out)
			out = append(out, r)
		}
	}
	return out, nil
}

// parseRange reads one media range with its parameters, of which only q counts.
func parseRange(element string) (r acceptRange, fault string) {
	r.quality = 1
	for p := range splitOutside(element, ';') {
		p = strings.Trim(p, " \t")
		if r.major == "" {
			if fault = r.setMedia(strings.ToLower(p)); fault != "" {
				return r, fault
			}
			continue
		}
		name, value, ok := strings.Cut(p, "=")
		if !ok && name == "" {
			continue
		}
		if !ok || !isToken(name) {
			return r, strconv.Quote(p) + " is not a parameter"
		}
		if strings.EqualFold(name, "q") {
			q, err := strconv.ParseFloat(strings.Trim(value, " \t"), 64)
			if err != nil || !(q >= 0 && q <= 1) {
				return r, "quality " + strconv.Quote(value) + " is not a number from 0 to 1"
			}
			r.quality = q
		}
	}
	return r, ""
}

// setMedia takes in the media type of a range, or says what is wrong with it.
func (r *acceptRange) setMedia(media string) (fault string) {
	if media == "*" {
		media = "*/*"
	}
	var ok bool
	r.major, r.minor, ok = strings.Cut(media, "/")
	if !ok || !isToken(r.major) || !isToken(r.minor) || r.major == "*" && r.minor != "*" {
		return strconv.Quote(media) + " is not a media type"
	}
	return ""
}

// splitOutside gives the parts of s between a separator, where that is not in
// double quotes.
func splitOutside(s string, sep byte) iter.Seq[string] {
	return func(yield func(string) bool) {
		quoted, start := false, 0
		for i := 0; i < len(s); i++ {
			switch {
			case s[i] == '\\' && quoted:
				i++
			case s[i] == '"':
				quoted = !quoted
			case s[i] == sep && !quoted:
				if !yield(s[start:i]) {
					return
				}
				start = i + 1
			}
		}
		yield(s[start:])
	}
}

// isToken reports whether s is an HTTP token (RFC 9110 section 5.6.2).
func isToken(s string) bool {
	for i := 0; i < len(s); i++ {
		c := s[i]
		if !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9') &&
			!strings.ContainsRune("!#$%&'*+-.^_`|~", rune(c)) {
			return false
		}
	}
	return s != ""
}
