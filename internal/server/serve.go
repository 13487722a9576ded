package server

import (
	"cmp"
	"context"
	"net"
	"time"

	"github.com/occid/occid/internal/engine"
	"github.com/occid/occid/internal/web"
	"github.com/occid/occid/occi"
	"github.com/occid/occid/render"
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

// warmed is how many entities Warm reads and renders.
const warmed = 100

// Warm reads and renders a page of entities in each format, so that no client waits for
// what that takes only once: the program's own pages, statements and memory. It changes
// nothing.
func (s *Server) Warm(ctx context.Context) error {
	page, err := s.engine.List(ctx, engine.Caller{}, &occi.Query{Limit: warmed})
	if err != nil {
		return err
	}
	reg := s.registry(engine.Caller{})
	c := &render.Collection{Path: "/", Entities: page.Entities, Total: page.Total, Page: 1, Number: warmed, Updated: page.Count.Updated}
	for _, f := range render.Formats() {
		// Some formats show single entities only.
		_, err := f.Collection(nil, &render.View{Model: reg.model}, c)
		if err != nil && occi.ClassOf(err) != occi.Unacceptable {
			return err
		}
	}
	return nil
}

// Serve answers requests that come to l until ctx ends, then lets those under
// way finish, for at most ten seconds; waits for tasks end at once. It closes l.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	return web.Serve(ctx, l, s, s.bounds, s.log, s.end)
}
