package server

import (
	"net/http"

	"github.com/go-chi/chi/v5"

	"github.com/occid/occid/internal/engine"
)

// Rule names the rule of a path, and lists the methods that it answers to; "" if there is
// nothing at the path.
func (s *Server) Rule(path string) (name, allow string) {
	v := s.fixed[path]
	if v == nil {
		t, err := resolve(s.engine.ModelOf(engine.Caller{}), path)
		if err != nil {
			return "", ""
		}
		v = t.verbs
	}
	return v.name, v.allow()
}

// Fixed lists the patterns of the router.
func (s *Server) Fixed() (patterns []string, err error) {
	err = chi.Walk(s.routes.(chi.Routes), func(_, pattern string, _ http.Handler, _ ...func(http.Handler) http.Handler) error {
		patterns = append(patterns, pattern)
		return nil
	})
	return patterns, err
}
