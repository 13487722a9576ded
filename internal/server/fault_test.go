package server_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/occid/occid/internal/engine"
	"github.com/occid/occid/internal/server"
	"github.com/occid/occid/occi"
	"github.com/occid/occid/render"
	"github.com/occid/occid/spec"
)

// failing is an engine whose reads fail as told; all else would panic.
type failing struct {
	server.Engine
	model *occi.Model
	get   func() (*occi.Entity, error)
}

func (f *failing) ModelOf(engine.Caller) *occi.Model { return f.model }

func (f *failing) Refuse(*occi.Record) {}

func (f *failing) Renew(context.Context, bool) error { return nil }

func (f *failing) Get(context.Context, engine.Caller, uuid.UUID) (*occi.Entity, error) {
	return f.get()
}

func (f *failing) Linked(context.Context, engine.Caller, uuid.UUID) (*occi.Entity, []*occi.Entity, error) {
	e, err := f.get()
	return e, nil, err
}

func (f *failing) Ready(context.Context) error {
	_, err := f.get()
	return err
}

// ask sends a GET of an entity to a server whose engine fails.
func ask(t *testing.T, log *bytes.Buffer, path, accept string, get func() (*occi.Entity, error)) *httptest.ResponseRecorder {
	t.Helper()
	m, err := spec.Builtin()
	if err != nil {
		t.Fatal(err)
	}
	s := server.New(server.Config{Engine: &failing{model: m, get: get}, Version: "test", Logger: slog.New(slog.NewTextHandler(log, nil))})
	w := httptest.NewRecorder()
	r := httptest.NewRequest(http.MethodGet, path, nil)
	r.Header.Set("Accept", accept)
	s.ServeHTTP(w, r)
	return w
}

const somewhere = "/compute/5dde93d8-789e-4416-9381-79c7f4062d42"

func TestEveryClassHasAStatusAndABody(t *testing.T) {
	t.Parallel()
	for class, status := range map[occi.Class]int{
		occi.Invalid: 400, occi.Unauthorized: 401, occi.Forbidden: 403, occi.NotFound: 404, occi.Method: 405, occi.Unacceptable: 406,
		occi.Conflict: 409, occi.Precondition: 412, occi.TooLarge: 413, occi.Media: 415, occi.Unsupported: 501, occi.Unavailable: 503,
	} {
		for _, f := range render.Formats() {
			var log bytes.Buffer
			w := ask(t, &log, somewhere, f.Media, func() (*occi.Entity, error) {
				return nil, &occi.Error{Class: class, Message: "the message", Problems: []occi.Problem{{What: "the.attribute", Text: "the reason"}}}
			})
			if w.Code != status || w.Header().Get("Content-Type") != f.Type {
				t.Errorf("%s as %s: %d, %s", class, f.Media, w.Code, w.Header().Get("Content-Type"))
			}
			for _, word := range []string{"the message", "the.attribute", "the reason"} {
				if !strings.Contains(w.Body.String(), word) {
					t.Errorf("%s as %s: %q lacks %q", class, f.Media, w.Body, word)
				}
			}
		}
	}
}

func TestFaultsOfTheServerAreForTheLog(t *testing.T) {
	t.Parallel()
	for name, x := range map[string]struct {
		get    func() (*occi.Entity, error)
		status int
		logged string
	}{
		"panic":         {func() (*occi.Entity, error) { panic("secret panic") }, 500, "secret panic"},
		"foreign error": {func() (*occi.Entity, error) { return nil, errors.New("secret path") }, 500, "secret path"},
		"internal":      {func() (*occi.Entity, error) { return nil, occi.E(occi.Internal, "secret %s", "table") }, 500, "secret table"},
		"wrapped":       {func() (*occi.Entity, error) { return nil, fmt.Errorf("secret: %w", context.DeadlineExceeded) }, 503, ""},
		"cancelled":     {func() (*occi.Entity, error) { return nil, context.Canceled }, 503, ""},
	} {
		var log bytes.Buffer
		w := ask(t, &log, somewhere, "application/json", x.get)
		if w.Code != x.status || strings.Contains(w.Body.String(), "secret") {
			t.Errorf("%s: %d %s", name, w.Code, w.Body)
		}
		id := w.Header().Get("X-Request-Id")
		if id == "" || !strings.Contains(log.String(), x.logged) || !strings.Contains(log.String(), "request_id="+id) {
			t.Errorf("%s: under %q the log says %s", name, id, &log)
		}
		if x.status == 500 && !strings.Contains(w.Body.String(), id) {
			t.Errorf("%s: the answer does not name its request %q: %s", name, id, w.Body)
		}
		if x.status == 503 && w.Header().Get("Retry-After") == "" {
			t.Errorf("%s: 503 without Retry-After", name)
		}
	}
}

func TestReadiness(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	w := ask(t, &log, "/readyz", "", func() (*occi.Entity, error) { return nil, occi.E(occi.Unavailable, "the database is away") })
	if w.Code != 503 || !strings.Contains(w.Body.String(), "the database is away") {
		t.Errorf("not ready: %d %s", w.Code, w.Body)
	}
	if w := ask(t, &log, "/readyz", "", func() (*occi.Entity, error) { return nil, nil }); w.Code != 200 {
		t.Errorf("ready: %d %s", w.Code, w.Body)
	}
}
