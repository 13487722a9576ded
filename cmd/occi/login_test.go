package main

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// TestLogin looks at what the client presents, and to whom.
func TestLogin(t *testing.T) {
	var got http.Header
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { got = r.Header })
	server, other := httptest.NewServer(handler), httptest.NewServer(handler)
	t.Cleanup(server.Close)
	t.Cleanup(other.Close)
	for name, c := range map[string]struct {
		env            map[string]string
		line, at       string
		authorization  string
		project, error string
	}{
		"nobody":           {line: "list compute"},
		"a user":           {line: "list compute --user ann:secret", authorization: "Basic YW5uOnNlY3JldA=="},
		"a user's secret":  {line: "list compute --user ann", env: map[string]string{"OCCI_SECRET": "secret"}, authorization: "Basic YW5uOnNlY3JldA=="},
		"by variables":     {line: "list compute", env: map[string]string{"OCCI_USER": "ann:secret"}, authorization: "Basic YW5uOnNlY3JldA=="},
		"a token":          {line: "list compute --project lab", env: map[string]string{"OCCI_TOKEN": "t"}, authorization: "Bearer t", project: "lab"},
		"somebody else":    {line: "show " + other.URL + "/compute/x", env: map[string]string{"OCCI_TOKEN": "t"}},
		"user and a token": {line: "list compute --user a --token b", error: "exclude"},
	} {
		t.Run(name, func(t *testing.T) {
			for k, v := range c.env {
				t.Setenv(k, v)
			}
			var out, errs strings.Builder
			got = http.Header{}
			run(t.Context(), append(strings.Fields(c.line), "--server", server.URL), streams{out: &out, err: &errs})
			if got.Get("Authorization") != c.authorization || got.Get("X-Project") != c.project || !strings.Contains(errs.String(), c.error) {
				t.Errorf("presents %q for %q: %s", got.Get("Authorization"), got.Get("X-Project"), &errs)
			}
		})
	}
}
