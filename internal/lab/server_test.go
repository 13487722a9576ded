package lab_test

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/occid/occid/internal/lab"
)

// serve stands for occid: it is ready when asked for the second time, and shows
// its arguments.
func serve() {
	if strings.Contains(strings.Join(os.Args, " "), "nowhere") {
		fmt.Fprintln(os.Stderr, "the data directory is missing")
		os.Exit(1)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	var asked atomic.Int32
	http.HandleFunc("/readyz", func(w http.ResponseWriter, _ *http.Request) {
		if asked.Add(1) == 1 {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	})
	http.HandleFunc("/pid", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, os.Getpid()) })
	http.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, strings.Join(os.Args[1:], " "))
	})
	ended, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	go http.Serve(l, nil)
	fmt.Fprintf(os.Stderr, "level=INFO msg=listening address=%s\n", l.Addr())
	<-ended.Done()
}

func TestServer(t *testing.T) {
	t.Setenv(roleEnv, "server")
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var log strings.Builder
	s, err := lab.StartServer(ctx, lab.ServerOptions{Binary: os.Args[0], Dir: "data", Log: &log,
		Hosts: []*lab.Host{{URI: "test:///one"}, {URI: "test:///two"}}})
	if err != nil {
		t.Fatal(err)
	}
	got := body(ctx, t, s.URL+"/")
	want := "--dev --guest-bridges none --guest-listen unix:data/guest.sock --listen 127.0.0.1:0 --data data --db sqlite:data/occid.db --libvirt test:///one,test:///two"
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("arguments (-want +got):\n%s", diff)
	}
	if err := s.Stop(); err != nil {
		t.Error(err)
	}
	<-s.Done()
	if !strings.Contains(log.String(), "listening") {
		t.Errorf("log = %q, want what the server said", log.String())
	}
	_, err = lab.StartServer(ctx, lab.ServerOptions{Binary: os.Args[0], Dir: "nowhere"})
	if err == nil || !strings.Contains(err.Error(), "the data directory is missing") {
		t.Errorf("StartServer = %v, want what the server complained of", err)
	}
	if _, err := lab.StartServer(ctx, lab.ServerOptions{Binary: "/nowhere/occid"}); err == nil {
		t.Error("a missing server starts")
	}
}

func body(ctx context.Context, t *testing.T, url string) string {
	t.Helper()
	_, text := exchange(ctx, t, http.MethodGet, url, nil)
	return string(text)
}
