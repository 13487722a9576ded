package auth

import (
	"net/http"

	"github.com/occid/occid/internal/policy"
)

// Need is what a request on a route needs, before it is known what it is about: that a
// policy may permit any of what is done, as policies call it, on something.
type Need struct {
	// Open routes need nothing.
	Open bool
	// Do is what is done to what the route is about, or to what it selects.
	Do []string
	// Kind is what it is done to, where the route is about no entity.
	Kind string
}

// Reads reports whether nothing is done but to read.
func (n Need) Reads() bool { return len(n.Do) == 1 && n.Do[0] == policy.Read }

type needs map[string]Need

func doing(what ...string) Need { return Need{Do: what} }

var (
	open    = needs{http.MethodGet: {Open: true}, http.MethodOptions: {Open: true}}
	reading = needs{http.MethodGet: doing(policy.Read)}
)

// routes say what requests need, by the name of the route and by method. HEAD needs what
// GET does, and OPTIONS that somebody asks. What is not here is for nobody.
var routes = map[string]needs{
	"all":        {http.MethodGet: doing(policy.Read), http.MethodPost: doing(policy.Create), http.MethodDelete: doing(policy.Delete)},
	"union":      {http.MethodGet: doing(policy.Read), http.MethodPost: doing(policy.Act), http.MethodDelete: doing(policy.Delete)},
	"collection": {http.MethodGet: doing(policy.Read), http.MethodPost: doing(policy.Create), http.MethodDelete: doing(policy.Delete)},
	"entity": {http.MethodGet: doing(policy.Read), http.MethodPost: doing(policy.Update),
		http.MethodPut: doing(policy.Create, policy.Update), http.MethodDelete: doing(policy.Delete)},
	"actuator": {http.MethodPost: doing(policy.Act)},
	"content":  {http.MethodGet: doing(policy.Read), http.MethodPut: doing(policy.Update), http.MethodDelete: doing(policy.Update)},
	"mixin": {http.MethodGet: doing(policy.Read), http.MethodPost: doing(policy.Update), http.MethodPut: doing(policy.Update),
		http.MethodDelete: doing(policy.Update)},
	"categories": {http.MethodGet: doing(policy.Read), http.MethodPost: {Do: []string{policy.Create}, Kind: policy.MixinKind},
		http.MethodDelete: {Do: []string{policy.Delete}, Kind: policy.MixinKind}},
	// Which action is queued may be said by the body; who may invoke none may queue none.
	"tasks":    {http.MethodGet: doing(policy.Read), http.MethodPost: doing(policy.Act)},
	"task":     {http.MethodGet: doing(policy.Read), http.MethodDelete: doing(policy.Cancel)},
	"tasklink": reading, "unfinished": reading, "reverse": reading, "prefix": reading, "search": reading,
	"states": reading, "permissions": reading, "events": reading, "opensearch": reading, "schema": reading,
	"usage": reading, "audit": {http.MethodGet: {Do: []string{policy.Audit}, Kind: policy.ServerKind}},
	"metrics": {http.MethodGet: {Do: []string{policy.Monitor}, Kind: policy.ServerKind}},
	"logout":  {http.MethodPost: doing(policy.Read)}, // of nobody's session but the caller's
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
		return doing(policy.Read), true
	}
	return n, ok
}
