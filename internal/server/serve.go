package server

import (
	"cmp"
	"context"
	"net"
	"time"

	"github.com/occid/occid/internal/web"
)

// Times that bound what a client can hold on to.
const (
	readTime  = time.Minute
	writeTime = maxWait + time.Minute
)

// defaultStreams is how many streams of events may be open unless it is configured.
const defaultStreams = 1024

// bounded fills in what is not configured.
func bounded(b web.Bounds) web.Bounds {
	return web.Bounds{Header: cmp.Or(b.Header, 10*time.Second), Read: cmp.Or(b.Read, readTime), Write: cmp.Or(b.Write, writeTime),
		Idle: cmp.Or(b.Idle, 2*time.Minute), Stop: cmp.Or(b.Stop, 10*time.Second), Leave: b.Leave, Connections: b.Connections, Connected: b.Connected}
}

// Serve answers requests that come to l until ctx ends, then lets those under
// way finish, for at most ten seconds; waits for tasks end at once. It closes l.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	return web.Serve(ctx, l, s, s.bounds, s.log, s.end)
}
