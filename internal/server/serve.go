package server

import (
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

var times = web.Times{Header: 10 * time.Second, Read: readTime, Write: writeTime, Idle: 2 * time.Minute, Stop: 10 * time.Second}

// Serve answers requests that come to l until ctx ends, then lets those under
// way finish, for at most ten seconds; waits for tasks end at once. It closes l.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	return web.Serve(ctx, l, s, times, s.log, s.end)
}
