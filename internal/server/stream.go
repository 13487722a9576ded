package server

import (
	"context"
	"net/http"
	"strconv"
	"time"

	"github.com/occid/occid/occi"
	"github.com/occid/occid/render"
)

const (
	// heartbeat is how often a stream shows that it is alive.
	heartbeat = 15 * time.Second
	// patience is how long a client may take to read what is sent.
	patience = 30 * time.Second
	// retry is when a client may come again, in milliseconds.
	retry = "retry: 3000\n"
)

// again is when who found too many streams may ask again, in seconds.
var again = []string{"10"}

// openStream counts a stream, unless there are too many.
func (c *call) openStream() error {
	if c.s.streams.Add(1) > c.s.most {
		c.s.streams.Add(-1)
		c.rec.Header()["Retry-After"] = again
		return occi.E(occi.Unavailable, "%d streams of events are open, and no more are served; events are also a list, as JSON and as Atom", c.s.most)
	}
	c.s.watch.Streamed(1)
	return nil
}

func (s *Server) closeStream() {
	s.streams.Add(-1)
	s.watch.Streamed(-1)
}

// stream is an answer of events as they come.
type stream struct {
	c       *call
	filter  *eventFilter
	control *http.ResponseController
	at      int64 // number of the last event that was looked at
	told    int64 // number that the client has seen last
	buf     []byte
	broken  bool // the client does not read
}

// open begins the answer. The times that bound other answers are not for this one.
func (s *stream) open() {
	h := s.c.rec.Header()
	h["Content-Type"] = []string{eventStream.Type}
	h["Cache-Control"] = []string{"no-store"}
	h["X-Accel-Buffering"] = []string{"no"} // proxies are to pass on what comes
	s.c.vary(h)
	// Without a connection, as in tests, there is nothing to set.
	_ = s.control.SetReadDeadline(time.Time{})
	s.c.rec.WriteHeader(http.StatusOK)
	s.buf = append(s.buf, retry...)
}

// run sends what has come since, then what comes, until ctx or the client ends.
func (s *stream) run(ctx context.Context) error {
	// Most is sent before the stream follows, so that it is not behind from the start.
	if err := s.catchUp(ctx, 1<<62); err != nil || s.broken {
		return unless(ctx, err)
	}
	after, events, err := s.c.s.engine.Follow(ctx, s.c.caller)
	if err == nil {
		err = s.catchUp(ctx, after)
	}
	if err != nil {
		return unless(ctx, err)
	}
	tick := time.NewTicker(s.c.s.heartbeat)
	defer tick.Stop()
	for !s.broken {
		select {
		case es, ok := <-events:
			if !ok {
				return nil
			}
			s.send(es)
		case <-tick.C:
			if s.c.authenticated(false) != nil {
				return nil // not any more
			}
			s.filter.caller = s.c.caller
			s.beat()
		case <-ctx.Done():
			return nil
		}
	}
	return nil
}

// unless forgets an error that comes of the end of ctx.
func unless(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// catchUp sends events up to a number, or as many as there are.
func (s *stream) catchUp(ctx context.Context, to int64) error {
	s.flush()
	for s.at < to && !s.broken {
		es, err := s.c.s.engine.Events(ctx, s.c.caller, s.at, eventRead)
		if err != nil || len(es) == 0 {
			return err
		}
		s.send(es)
	}
	return nil
}

// send writes those of events that are new and selected.
func (s *stream) send(es []*occi.Event) {
	s.c.reg = s.c.s.registry(s.c.caller)
	v := s.c.view()
	for _, e := range es {
		if e.Seq <= s.at {
			continue
		}
		if e.Seq > s.at+1 {
			s.at = e.Seq - 1
			s.reset()
		}
		s.at = e.Seq
		if s.filter.passes(s.c.reg.model, e) {
			s.id()
			s.buf = append(append(s.buf, "event: "...), e.What...)
			s.buf = render.Event(append(s.buf, "\ndata: "...), v, e)
			s.buf = append(s.buf, "\n\n"...)
		}
	}
	s.flush()
}

func (s *stream) id() {
	s.told = s.at
	s.buf = append(strconv.AppendInt(append(s.buf, "id: "...), s.at, 10), '\n')
}

// mark tells where the stream is. A client keeps the number and sees no event.
func (s *stream) mark() {
	s.id()
	s.buf = append(s.buf, '\n')
}

// reset tells that events are missing before the next one.
func (s *stream) reset() {
	s.id()
	s.buf = append(s.buf, "event: reset\ndata: {\"event\":\"reset\",\"id\":"...)
	s.buf = append(strconv.AppendInt(s.buf, s.at, 10), "}\n\n"...)
}

// beat shows that the stream is alive, and how far it is if nothing selected came.
func (s *stream) beat() {
	s.buf = append(s.buf, ":\n\n"...)
	if s.told < s.at {
		s.mark()
	}
	s.flush()
}

// flush sends what is written.
func (s *stream) flush() {
	if len(s.buf) == 0 {
		return
	}
	_ = s.control.SetWriteDeadline(time.Now().Add(patience))
	_, err := s.c.rec.Write(s.buf)
	if err == nil {
		err = s.control.Flush()
	}
	s.broken = s.broken || err != nil
	s.buf = s.buf[:0]
}
