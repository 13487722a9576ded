package auth

import "net/http"

// Need is what a request on a route needs, before it is known what it is about.
type Need struct {
	// Open routes need nothing, Operating ones an administrator.
	Open, Operating bool
	// Auditing routes need an auditor, or an administrator.
	Auditing bool
	// Verb is what is done to what the route is about, or to what it selects of the
	// caller's project.
	Verb Verb
}

type needs map[string]Need

var (
	open      = needs{http.MethodGet: {Open: true}, http.MethodOptions: {Open: true}}
	operating = needs{http.MethodGet: {Operating: true}}
	reading   = needs{http.MethodGet: {Verb: Read}}
)

// routes say what requests need, by the name of the route and by method. HEAD needs what
// GET does, and OPTIONS that somebody asks. What is not here is for nobody.
var routes = map[string]needs{
	"all":        {http.MethodGet: {Verb: Read}, http.MethodPost: {Verb: Create}, http.MethodDelete: {Verb: Delete}},
	"union":      {http.MethodGet: {Verb: Read}, http.MethodPost: {Verb: Act}, http.MethodDelete: {Verb: Delete}},
	"collection": {http.MethodGet: {Verb: Read}, http.MethodPost: {Verb: Create}, http.MethodDelete: {Verb: Delete}},
	"entity":     {http.MethodGet: {Verb: Read}, http.MethodPost: {Verb: Update}, http.MethodPut: {Verb: Create | Update}, http.MethodDelete: {Verb: Delete}},
	"actuator":   {http.MethodPost: {Verb: Act}},
	"content":    {http.MethodGet: {Verb: Read}, http.MethodPut: {Verb: Update}, http.MethodDelete: {Verb: Update}},
	"mixin":      {http.MethodGet: {Verb: Read}, http.MethodPost: {Verb: Update}, http.MethodPut: {Verb: Update}, http.MethodDelete: {Verb: Update}},
	"categories": {http.MethodGet: {Verb: Read}, http.MethodPost: {Verb: Create}, http.MethodDelete: {Verb: Delete}},
	// Which action is queued may be said by the body; who may invoke none may queue none.
	"tasks":    {http.MethodGet: {Verb: Read}, http.MethodPost: {Verb: Start | Act}},
	"task":     {http.MethodGet: {Verb: Read}, http.MethodDelete: {Verb: Act}},
	"tasklink": reading, "unfinished": reading, "reverse": reading, "prefix": reading, "search": reading,
	"states": reading, "permissions": reading, "events": reading, "opensearch": reading, "schema": reading,
	"usage": reading, "audit": {http.MethodGet: {Verb: Read, Auditing: true}},
	"metrics": operating,
	"logout":  {http.MethodPost: {Verb: Read}}, // of nobody's session but the caller's
	"health":  open, "ready": open, "exchange": open, "certificate": open, "login": open, "callback": open,
}

// NeedOf gives what a request on a route needs; ok is false if nobody may make it.
func NeedOf(route, method string) (n Need, ok bool) {
	of, ok := routes[route]
	if !ok {
		return n, false
	}
	if n, ok = of[method]; ok {
		return n, true
	}
	switch method {
	case http.MethodHead:
		n, ok = of[http.MethodGet]
	case http.MethodOptions:
		return Need{Verb: Read}, true
	}
	return n, ok
}
