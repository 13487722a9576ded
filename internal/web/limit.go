package web

import (
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"
)

// complaint is how often the log tells that there are too many connections, at most.
const complaint = time.Minute

// bounded is a listener that keeps who comes waiting while too many connections are open.
type bounded struct {
	net.Listener
	server *http.Server
	slots  chan struct{} // one is taken for each connection
	once   sync.Once
	closed chan struct{}
	log    *slog.Logger
	told   time.Time // when the log told last
}

// limited has a server count its connections, and gives a listener that bounds them. A
// connection stays what the listener made it, so that TLS is seen.
func limited(l net.Listener, srv *http.Server, b Bounds, log *slog.Logger) net.Listener {
	bound := &bounded{Listener: l, server: srv, closed: make(chan struct{}), log: log}
	if b.Connections > 0 {
		bound.slots = make(chan struct{}, b.Connections)
	}
	srv.ConnState = func(_ net.Conn, s http.ConnState) {
		switch s {
		case http.StateNew:
			if b.Connected != nil {
				b.Connected(1)
			}
		case http.StateClosed, http.StateHijacked:
			if b.Connected != nil {
				b.Connected(-1)
			}
			if bound.slots != nil {
				<-bound.slots
			}
		}
	}
	return bound
}

// Accept waits for a connection, then for one of the others to end if there are too many.
func (b *bounded) Accept() (net.Conn, error) {
	c, err := b.Listener.Accept()
	if err != nil || b.slots == nil {
		return c, err
	}
	select {
	case b.slots <- struct{}{}:
		return c, nil
	default:
	}
	if now := time.Now(); now.Sub(b.told) >= complaint {
		b.told = now
		b.log.Warn("too many connections are open; who comes must wait", "connections", cap(b.slots))
	}
	// Those that rest are closed at once, and the others once they are answered.
	b.server.SetKeepAlivesEnabled(false)
	defer b.server.SetKeepAlivesEnabled(true)
	select {
	case b.slots <- struct{}{}:
		return c, nil
	case <-b.closed:
		// Who waits was promised nothing.
		_ = c.Close()
		return nil, net.ErrClosed
	}
}

// Close stops listening.
func (b *bounded) Close() error {
	b.once.Do(func() { close(b.closed) })
	return b.Listener.Close()
}
