// Package web holds what every face of the server does with HTTP alike: how a class of
// failure becomes a status, how bodies are bounded, what conditions a request is made
// under, and how a listener is served until the server stops.
package web

import (
	"context"
	"errors"
	"io"
	"net/http"

	"github.com/occid/occid/occi"
)

// statuses maps the classes of failure to HTTP (GFD.223 section 12).
var statuses = map[occi.Class]int{
	occi.Invalid:      http.StatusBadRequest,
	occi.Unauthorized: http.StatusUnauthorized,
	occi.Forbidden:    http.StatusForbidden,
	occi.NotFound:     http.StatusNotFound,
	occi.Method:       http.StatusMethodNotAllowed,
	occi.Unacceptable: http.StatusNotAcceptable,
	occi.Conflict:     http.StatusConflict,
	occi.Precondition: http.StatusPreconditionFailed,
	occi.TooLarge:     http.StatusRequestEntityTooLarge,
	occi.Media:        http.StatusUnsupportedMediaType,
	occi.TooMany:      http.StatusTooManyRequests,
	occi.Unsupported:  http.StatusNotImplemented,
	occi.Unavailable:  http.StatusServiceUnavailable,
	occi.Full:         http.StatusInsufficientStorage,
	occi.Internal:     http.StatusInternalServerError,
}

// Status is that of a class of failure.
func Status(c occi.Class) int { return statuses[c] }

// Classify gives every error a class: those of other packages that a request
// can cause by itself are told apart from faults of the server.
func Classify(err error) *occi.Error {
	var e *occi.Error
	if errors.As(err, &e) {
		return e
	}
	var big *http.MaxBytesError
	switch {
	case errors.As(err, &big):
		return occi.E(occi.TooLarge, "the request body is larger than %d bytes", big.Limit)
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return &occi.Error{Class: occi.Unavailable, Message: "the request was not finished in time", Err: err}
	}
	return &occi.Error{Class: occi.Internal, Message: err.Error(), Err: err}
}

// Body reads the body of a request, of at most so many bytes.
func Body(w http.ResponseWriter, r *http.Request, most int64) ([]byte, error) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, most))
	if err == nil {
		return body, nil
	}
	if e := Classify(err); e.Class != occi.Internal {
		return nil, e
	}
	return nil, occi.E(occi.Invalid, "the request body cannot be read: %w", err)
}
