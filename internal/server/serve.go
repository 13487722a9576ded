package server

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"time"
)

// Times and sizes that bound what a client can hold on to.
const (
	headerTime = 10 * time.Second
	readTime   = time.Minute
	writeTime  = maxWait + time.Minute
	idleTime   = 2 * time.Minute
	// headerBytes leaves room for text/occi, whose content is header fields.
	headerBytes = 128 << 10
	// stopTime is how long requests under way may take to end.
	stopTime = 10 * time.Second
)

// Serve answers requests that come to l until ctx ends, then lets those under
// way finish, for at most ten seconds; waits for tasks end at once. It closes l.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	srv := &http.Server{Handler: s, ReadHeaderTimeout: headerTime, ReadTimeout: readTime, WriteTimeout: writeTime,
		IdleTimeout: idleTime, MaxHeaderBytes: headerBytes, ErrorLog: slog.NewLogLogger(s.log.Handler(), slog.LevelDebug)}
	stopped := make(chan error, 1)
	defer context.AfterFunc(ctx, func() {
		s.end()
		bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTime)
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
