package render

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/occid/occid/occi"
)

// scanner reads the value of one field of the text rendering. It is as tolerant
// as GFD.229's readers should be: blanks around separators, empty elements,
// separators at the end, parameters in any order, text without quotes.
type scanner struct {
	s string
	i int
}

func (s *scanner) blanks() {
	for s.i < len(s.s) && (s.s[s.i] == ' ' || s.s[s.i] == '\t') {
		s.i++
	}
}

// more skips what separates elements and reports whether one follows.
func (s *scanner) more() bool {
	for s.i < len(s.s) && strings.IndexByte(" \t,;", s.s[s.i]) >= 0 {
		s.i++
	}
	return s.i < len(s.s)
}

// at reports whether the next character is c, and skips it if so.
func (s *scanner) at(c byte) bool {
	if s.i < len(s.s) && s.s[s.i] == c {
		s.i++
		return true
	}
	return false
}

// rest shows where reading stopped, for messages.
func (s *scanner) rest() string {
	r := s.s[s.i:]
	if len(r) > 20 {
		cut := 20
		for !utf8.RuneStart(r[cut]) {
			cut--
		}
		return strconv.Quote(r[:cut]) + "..."
	}
	return strconv.Quote(r)
}

// word reads a term or a name; "" if there is none.
func (s *scanner) word() string {
	start := s.i
	for s.i < len(s.s) && isWordByte(s.s[s.i]) {
		s.i++
	}
	return s.s[start:s.i]
}

func isWordByte(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '.' || c == '_' || c == '-'
}

// parameter is a name with a value.
type parameter struct {
	name, value string
	quoted      bool
}

// text gives the value as an attribute's.
func (p parameter) draft() (occi.Value, error) {
	if p.quoted {
		return occi.Str(p.value), nil
	}
	return bareValue(p.value)
}

// next reads the parameter that follows within an element; ok is false at the
// element's end.
func (s *scanner) next() (p parameter, ok bool, err error) {
	for s.blanks(); s.at(';'); s.blanks() {
	}
	if s.i == len(s.s) || s.s[s.i] == ',' {
		return p, false, nil
	}
	p, err = s.pair()
	return p, err == nil, err
}

// pair reads NAME=VALUE.
func (s *scanner) pair() (p parameter, err error) {
	p.name = s.word()
	if p.name == "" {
		return p, fmt.Errorf("no name where %s is", s.rest())
	}
	s.blanks()
	if !s.at('=') {
		return p, fmt.Errorf("%s has no value", p.name)
	}
	s.blanks()
	if s.at('"') {
		p.quoted = true
		p.value, err = s.quoted()
		if err != nil {
			err = fmt.Errorf("%s: %w", p.name, err)
		}
		return p, err
	}
	start := s.i
	for s.i < len(s.s) && s.s[s.i] != ',' && s.s[s.i] != ';' {
		if s.s[s.i] == '"' {
			return p, fmt.Errorf("%s: a quote within text that does not begin with one", p.name)
		}
		s.i++
	}
	p.value = strings.TrimRight(s.s[start:s.i], " \t")
	return p, nil
}

// quoted reads to the closing quote; appendQuoted tells of the escapes.
func (s *scanner) quoted() (string, error) {
	end := s.i
	for end < len(s.s) && s.s[end] != '"' && s.s[end] != '\\' {
		end++
	}
	if end < len(s.s) && s.s[end] == '"' {
		text := s.s[s.i:end]
		s.i = end + 1
		return text, nil
	}
	var b strings.Builder
	for s.i < len(s.s) {
		c := s.s[s.i]
		s.i++
		if c == '"' {
			return b.String(), nil
		}
		if c == '\\' && s.i < len(s.s) {
			c = unescape(s.s[s.i])
			s.i++
		}
		b.WriteByte(c)
	}
	return "", fmt.Errorf("the closing quote is missing")
}

func unescape(c byte) byte {
	switch c {
	case 'n':
		return '\n'
	case 'r':
		return '\r'
	case 't':
		return '\t'
	}
	return c
}

// bareValue types what is written without quotes: a number, a boolean, or text.
func bareValue(s string) (occi.Value, error) {
	switch {
	case s == "true":
		return occi.Bool(true), nil
	case s == "false":
		return occi.Bool(false), nil
	case isNumber(s):
		return numberValue(s)
	}
	return occi.Str(s), nil
}

// isNumber reports whether s is a decimal number, with a sign, a fraction and an
// exponent or without.
func isNumber(s string) bool {
	rest := strings.TrimLeft(strings.TrimPrefix(strings.TrimPrefix(s, "-"), "+"), "0123456789")
	if rest == s || len(s) == 0 || !isDigit(s[len(s)-1]) || strings.HasPrefix(s, "-+") || strings.HasPrefix(s, "+-") {
		return false
	}
	rest = strings.TrimPrefix(rest, ".")
	rest = strings.TrimLeft(rest, "0123456789")
	if rest == "" {
		return true
	}
	if rest[0] != 'e' && rest[0] != 'E' {
		return false
	}
	exponent := strings.TrimLeft(rest[1:], "+-")
	return len(rest)-1-len(exponent) <= 1 && exponent != "" && strings.Trim(exponent, "0123456789") == ""
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

// numberValue reads a number: an Integer if it is written as one.
func numberValue(s string) (occi.Value, error) {
	n, err := strconv.ParseFloat(s, 64)
	if err != nil {
		return occi.Value{}, fmt.Errorf("%.40s is out of range", s)
	}
	if strings.ContainsAny(s, ".eE") || math.Abs(n) > 1<<53 {
		return occi.Float(n), nil
	}
	return occi.Int(int64(n)), nil
}
