package web

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"time"
)

// Bounds are what clients can hold on to.
type Bounds struct {
	// How long the header of a request may take to come, with its body, how long until the
	// answer is taken, how long a connection may rest, and with Stop how long requests
	// under way may take to end once the server stops.
	Header, Read, Write, Idle, Stop time.Duration
	// Leave is how long requests still come in once the server stops, so that who spreads
	// them sees that it does before they are refused.
	Leave time.Duration
	// Connections is how many may be open, 0 for any number. Connected, if set, is told
	// of each one more (1) and less (-1).
	Connections int
	Connected   func(change int)
}

// headerBytes bounds the header of a request. It leaves room for text/occi, whose
// content is header fields.
const headerBytes = 128 << 10

// streams is how many requests may be under way in one connection of HTTP/2.
const streams = 100

// Serve answers requests that come to l until ctx ends, then calls stopping, goes on for
// as long as b.Leave, and lets those under way finish for a time. It closes l.
func Serve(ctx context.Context, l net.Listener, h http.Handler, b Bounds, log *slog.Logger, stopping func()) error {
	srv := &http.Server{Handler: h, ReadHeaderTimeout: b.Header, ReadTimeout: b.Read, WriteTimeout: b.Write,
		IdleTimeout: b.Idle, MaxHeaderBytes: headerBytes, ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug),
		HTTP2: &http.HTTP2Config{MaxConcurrentStreams: streams, SendPingTimeout: b.Idle, WriteByteTimeout: time.Minute}}
	l = limited(l, srv, b, log)
	stopped := make(chan error, 1)
	defer context.AfterFunc(ctx, func() {
		stopping()
		if b.Leave > 0 {
			<-time.After(b.Leave)
		}
		bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), b.Stop)
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
