package server_test

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/occid/occid/internal/engine"
	"github.com/occid/occid/internal/server"
	"github.com/occid/occid/occi"
)

// busy is an engine whose tasks never end.
type busy struct {
	*engine.Engine
	waiting chan struct{} // a wait began
}

func (b *busy) Wait(ctx context.Context, _ []uuid.UUID) error {
	close(b.waiting)
	<-ctx.Done()
	return ctx.Err()
}

func (b *busy) Create(ctx context.Context, c engine.Caller, kind string, ds []*occi.Draft, o engine.Options) (*engine.Outcome, error) {
	out, err := b.Engine.Create(ctx, c, kind, ds, o)
	if err == nil && len(out.Tasks) == 0 {
		out.Tasks = []*occi.Task{{ID: uuid.New()}}
	}
	return out, err
}

func TestStoppingEndsWaitsAndAnswersWhatWasAccepted(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	b := &busy{Engine: c.engine, waiting: make(chan struct{})}
	s := server.New(server.Config{Engine: b, Version: "test", Logger: slog.New(slog.DiscardHandler)})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(ctx, l) }()
	answered := make(chan int, 1)
	url := "http://" + l.Addr().String() + "/compute/"
	client := &http.Client{Transport: &http.Transport{}, Timeout: time.Minute}
	go func() {
		req, _ := http.NewRequest(http.MethodPost, url, strings.NewReader(`{"title":"a"}`))
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("Prefer", "wait=60")
		resp, err := client.Do(req)
		if err != nil {
			answered <- 0
			return
		}
		answered <- resp.StatusCode
		_ = resp.Body.Close()
	}()
	<-b.waiting
	stop()
	if got := <-answered; got != http.StatusCreated {
		t.Errorf("what was accepted is answered with %d", got)
	}
	client.CloseIdleConnections()
	if err := <-ended; err != nil {
		t.Errorf("Serve: %v", err)
	}
	w := httptest.NewRecorder()
	if s.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/readyz", nil)); w.Code != http.StatusServiceUnavailable {
		t.Errorf("a server that is stopping is ready: %d", w.Code)
	}
	if conn, err := net.Dial("tcp", l.Addr().String()); err == nil {
		t.Error("it still listens")
		_ = conn.Close()
	}
}

func TestServeReportsALostListener(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if err := newCloud(t).server.Serve(t.Context(), l); err == nil {
		t.Error("Serve on a closed listener = nil")
	}
}
