package server

import (
	"net/http"
	"time"

	"github.com/google/uuid"
)

// Observer is told of requests. It is called from several goroutines and must not
// block.
type Observer interface {
	// Begun is told that a request is taken up, Answered that it was answered. The
	// route is the pattern of the path, such as "/compute/{id}": one of a few,
	// whatever clients ask for. The method is the client's.
	Begun()
	Answered(route, method string, status int, took time.Duration)
	// Connected and Streamed are told of a connection, or a stream of events, that was
	// opened (1) or has ended (-1).
	Connected(change int)
	Streamed(change int)
}

// unobserved observes nothing.
type unobserved struct{}

func (unobserved) Begun()                                      {}
func (unobserved) Connected(int)                               {}
func (unobserved) Streamed(int)                                {}
func (unobserved) Answered(string, string, int, time.Duration) {}

// Routes of paths that are not named by a kind.
const (
	routeNone   = "none" // there is nothing
	routeMixin  = "/{mixin}/"
	routeBelow  = "/{prefix}/"
	routeSearch = searchPath + "{categories}"
	routeID     = "{id}"
)

// metricsPath is where the server shows its metrics.
const metricsPath = "/metrics"

// passedTo answers GET with a handler.
func passedTo(h http.Handler) *verbs {
	return &verbs{name: "metrics", plain: true, get: func(c *call) error {
		h.ServeHTTP(&c.rec, c.r)
		return nil
	}}
}

// route is the pattern that a target's path follows. The router knows only the
// server's own paths; the others have the locations of kinds in them, of which an
// operator has few. Those of mixins are the users' own, and not told apart.
func (t *target) route() string {
	switch {
	case t.verbs == nil:
		return routeNone
	case t.fixed != "":
		return t.fixed
	case t.verbs == foundVerbs:
		return routeSearch
	case t.mixin != nil:
		return routeMixin
	case t.verbs == prefixVerbs:
		return routeBelow
	case t.verbs == tasksVerbs:
		return t.of.Location + routeID + "/tasks/"
	case t.of != nil:
		return t.of.Location + routeID + t.kind.Location
	case t.verbs == contentVerbs:
		return t.kind.Location + routeID + "/" + contentWord
	case t.verbs == actuatorVerbs:
		return t.kind.Location + routeID + "/state/{action}"
	case t.id != uuid.Nil:
		return t.kind.Location + routeID
	case t.kind != nil:
		return t.kind.Location
	}
	return "/"
}
