package conformance

import (
	"fmt"
	"regexp"
	"strings"
)

// judge holds an answer against what is expected of it. It gives the line of
// the transcript that is not met and why, or no text.
func (s *speaker) judge(all []expectation, r *answer) (int, string) {
	if all[0].text != fmt.Sprint(r.status) {
		return all[0].line, fmt.Sprintf("the status is %d, want %s", r.status, all[0].text)
	}
	rest := all[1:]
	for ; len(rest) > 0 && rest[0].text != ""; rest = rest[1:] {
		if problem := s.judgeField(rest[0], r); problem != "" {
			return rest[0].line, problem
		}
	}
	if len(rest) == 0 {
		return 0, ""
	}
	return s.judgeBody(rest[1:], r.body)
}

// judgeField holds the head against one line.
func (s *speaker) judgeField(e expectation, r *answer) string {
	field, want, _ := strings.Cut(e.text, ":")
	values := r.header.Values(field)
	if e.sign == "<!" {
		if len(values) > 0 {
			return fmt.Sprintf("%s is there: %q", field, values)
		}
		return ""
	}
	for _, v := range values {
		if s.matches("^"+s.pattern(strings.TrimSpace(want))+"$", v) {
			return ""
		}
	}
	return fmt.Sprintf("%s is %q", field, values)
}

// judgeBody holds the body against the lines about it.
func (s *speaker) judgeBody(all []expectation, body string) (int, string) {
	left := strings.Split(strings.TrimSuffix(body, "\n"), "\n")
	exact := false
	for _, e := range all {
		switch e.sign {
		case "<!":
			if strings.Contains(body, s.filled(e.text)) {
				return e.line, "the body holds this"
			}
		case "<=":
			exact = true
			if len(left) == 0 || !s.matches("^"+s.pattern(e.text)+"$", left[0]) {
				return e.line, "the body has another line here"
			}
			left = left[1:]
		default:
			i := s.find(e.text, left)
			if i < 0 {
				return e.line, "no line of the rest of the body holds this"
			}
			left = left[i+1:]
		}
	}
	if exact && len(left) > 0 {
		return all[len(all)-1].line, fmt.Sprintf("the body goes on: %q", left[0])
	}
	return 0, ""
}

// find is the index of the first line that holds a text, or -1.
func (s *speaker) find(text string, lines []string) int {
	pattern := s.pattern(text)
	for i, l := range lines {
		if s.matches(pattern, l) {
			return i
		}
	}
	return -1
}

// pattern is the regular expression of an expected text. A name that keeps
// nothing yet is a group.
func (s *speaker) pattern(text string) string {
	p := regexp.QuoteMeta(s.filled(text))
	p = strings.ReplaceAll(p, regexp.QuoteMeta("{*}"), ".*")
	return regexp.MustCompile(`\\\{([a-z][a-z0-9]*)\\\}`).ReplaceAllString(p, `(?P<$1>[^ "<>;,?]+)`)
}

// matches tells whether a line matches, and keeps what its groups have found.
func (s *speaker) matches(pattern, line string) bool {
	re := regexp.MustCompile(pattern)
	found := re.FindStringSubmatch(line)
	for i, text := range found {
		if n := re.SubexpNames()[i]; n != "" {
			s.kept[n] = text
		}
	}
	return found != nil
}
