package occi

import (
	"errors"
	"fmt"
	"strings"
)

// A Class says what kind of failure an Error is. A Class is itself an error, so
// errors.Is(err, occi.NotFound) asks for it.
type Class string

// Error makes a Class usable with errors.Is.
func (c Class) Error() string { return string(c) }

// The classes of failure. Faces turn them into their own codes.
const (
	Invalid      Class = "invalid"       // the request is malformed or breaks the model
	Unauthorized Class = "unauthorized"  // nobody is asking
	Forbidden    Class = "forbidden"     // it may not be done
	NotFound     Class = "not found"     // there is no such thing, or it may not be seen
	Method       Class = "not allowed"   // the resource has no such verb
	Unacceptable Class = "unacceptable"  // it cannot be rendered as asked
	Conflict     Class = "conflict"      // the present state rules it out
	Precondition Class = "precondition"  // If-Match or its like does not hold
	TooLarge     Class = "too large"     // the request or the page is over a limit
	Media        Class = "unknown media" // the request's media type is not read
	TooMany      Class = "too many"      // too much was asked for in too short a time
	Unsupported  Class = "unsupported"   // not implemented, as a higher OCCI version
	Unavailable  Class = "unavailable"   // a host or the store does not answer now
	Full         Class = "full"          // there is no room to store it
	Internal     Class = "internal"      // a fault of ours; its text is not for clients
)

// A Problem is one thing wrong with a request. What names the attribute,
// parameter or category at fault; Line is its line in the body, 0 if none.
type Problem struct {
	What string
	Text string
	Line int
	// Bound, if set, is the quota that the request exceeds.
	Bound *Bound
}

// String is the problem as one sentence without a period.
func (p Problem) String() string {
	var b strings.Builder
	if p.Line > 0 {
		fmt.Fprintf(&b, "line %d: ", p.Line)
	}
	if p.What != "" {
		b.WriteString(p.What + ": ")
	}
	b.WriteString(p.Text)
	return b.String()
}

// Error is the one error type that crosses package borders. Message and
// Problems are for the client unless Class is Internal; Err is for the log.
type Error struct {
	Class    Class
	Message  string
	Problems []Problem
	Err      error
}

// Error tells all of it, for logs.
func (e *Error) Error() string {
	s := e.Public()
	if e.Err != nil && !strings.HasSuffix(s, e.Err.Error()) {
		s += ": " + e.Err.Error()
	}
	return s
}

// Public is the text a client may see: the message and every problem.
func (e *Error) Public() string {
	if len(e.Problems) == 0 {
		return e.Message
	}
	parts := make([]string, len(e.Problems))
	for i, p := range e.Problems {
		parts[i] = p.String()
	}
	if e.Message == "" {
		return strings.Join(parts, "; ")
	}
	return e.Message + ": " + strings.Join(parts, "; ")
}

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Err }

// Is reports whether target is the error's Class.
func (e *Error) Is(target error) bool {
	c, ok := target.(Class)
	return ok && c == e.Class
}

// E makes an Error of a class with a formatted message; %w keeps a cause for
// the log, whose text then is part of the message too.
func E(c Class, format string, args ...any) *Error {
	err := fmt.Errorf(format, args...)
	return &Error{Class: c, Message: err.Error(), Err: errors.Unwrap(err)}
}

// Problems makes an Invalid error of all that is wrong, or nil of nothing.
func Problems(c Class, message string, ps []Problem) error {
	if len(ps) == 0 {
		return nil
	}
	return &Error{Class: c, Message: message, Problems: ps}
}

// ClassOf gives an error's class; errors from elsewhere are Internal.
func ClassOf(err error) Class {
	var e *Error
	if errors.As(err, &e) {
		return e.Class
	}
	return Internal
}
