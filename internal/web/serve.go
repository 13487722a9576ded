package web

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"time"
)

// Times bound what a client can hold on to, and with Stop how long requests under way
// may take to end once the server stops.
type Times struct {
	Header, Read, Write, Idle, Stop time.Duration
}

// headerBytes bounds the header of a request. It leaves room for text/occi, whose
// content is header fields.
const headerBytes = 128 << 10

// Serve answers requests that come to l until ctx ends, then calls stopping and lets
// those under way finish for a time. It closes l.
func Serve(ctx context.Context, l net.Listener, h http.Handler, t Times, log *slog.Logger, stopping func()) error {
	srv := &http.Server{Handler: h, ReadHeaderTimeout: t.Header, ReadTimeout: t.Read, WriteTimeout: t.Write,
		IdleTimeout: t.Idle, MaxHeaderBytes: headerBytes, ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug)}
	stopped := make(chan error, 1)
	defer context.AfterFunc(ctx, func() {
		stopping()
		bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), t.Stop)
		defer cancel()
		err := srv.Shutdown(bounded)
		if errors.Is(err, context.DeadlineExceeded) {
			err = srv.Close()
		}
		stopped <- err
	})()
	if err := srv.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return <-stopped
}
