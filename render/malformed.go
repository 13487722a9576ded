package render

import (
	"bytes"
	"fmt"
	"unicode/utf8"

	"github.com/occid/occid/occi"
)

// malformed heads every error of a decoder about syntax.
const malformed = "the request is malformed"

// syntax is a decoder's error about one place in a body.
func syntax(line int, what, format string, args ...any) error {
	return &occi.Error{Class: occi.Invalid, Message: malformed, Problems: []occi.Problem{problem(line, what, format, args...)}}
}

func problem(line int, what, format string, args ...any) occi.Problem {
	return occi.Problem{What: what, Line: line, Text: fmt.Sprintf(format, args...)}
}

// tooMany is the error about a body that holds more of something than a limit.
func tooMany(line int, what string, limit int) error {
	return &occi.Error{Class: occi.TooLarge, Message: "the request is too large",
		Problems: []occi.Problem{{What: what, Line: line, Text: fmt.Sprintf("more than %d", limit)}}}
}

// textFault finds what no request holds: a NUL character or text that is not
// UTF-8. It gives the line, from 1, and what is wrong; "" if nothing is.
func textFault(body []byte) (line int, text string) {
	at := bytes.IndexByte(body, 0)
	text = "a NUL character"
	if at < 0 {
		if utf8.Valid(body) {
			return 0, ""
		}
		text = "text that is not UTF-8"
		for at = 0; ; {
			r, n := utf8.DecodeRune(body[at:])
			if r == utf8.RuneError && n == 1 {
				break
			}
			at += n
		}
	}
	return 1 + bytes.Count(body[:at], []byte("\n")), text
}
