package lab

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"time"
)

const (
	// readyPause is how long StartServer waits before it asks again.
	readyPause = 50 * time.Millisecond
	// stopTime bounds what a server may take to end before it is killed.
	stopTime = 30 * time.Second
)

// ServerOptions describe a Server. All but Listen and Log are required.
type ServerOptions struct {
	Binary string // path of occid
	Dir    string // where it keeps its data
	Hosts  []*Host
	// Listen is a loopback address and port, "127.0.0.1:0" if empty.
	Listen string
	// Args are further options of occid.
	Args []string
	// Log gets what the server logs.
	Log io.Writer
}

// Server is an occid with libvirt hosts, on each of which its guest-proxy serves the
// guests. Stop ends it; the end of the process
// that started it kills it.
type Server struct {
	// URL is the server's root, without a final slash.
	URL string

	*process
	out     *output
	proxies []*process
}

// StartServer runs occid in its development mode and returns when it is ready.
// ctx bounds only that.
func StartServer(ctx context.Context, o ServerOptions) (*Server, error) {
	if o.Listen == "" {
		o.Listen = "127.0.0.1:0"
	}
	if o.Log == nil {
		o.Log = io.Discard
	}
	uris := make([]string, len(o.Hosts))
	for i, h := range o.Hosts {
		uris[i] = h.URI
	}
	s := &Server{out: &output{to: o.Log, found: make(chan struct{})}}
	socket := "unix:" + filepath.Join(o.Dir, "guest.sock")
	s.process = newProcess(s.out, o.Binary, "--dev", "--guest-bridges", "none", "--guest-listen", socket, "--listen", o.Listen, "--data", o.Dir,
		"--db", "sqlite:"+filepath.Join(o.Dir, "occid.db"), "--libvirt", strings.Join(uris, ","))
	s.cmd.Args = append(s.cmd.Args, o.Args...)
	err := s.start()
	if err == nil {
		if err = s.ready(ctx); err == nil {
			err = s.serveGuests(o, socket)
		}
		if err != nil {
			err = errors.Join(err, s.Stop())
		}
	}
	if err != nil {
		return nil, fmt.Errorf("start %s: %w\n%s", o.Binary, err, s.out.forget())
	}
	s.out.forget()
	return s, nil
}

// serveGuests runs the proxies, each in the network of its host: what guests ask
// comes in there, and the server's socket is reached from everywhere.
func (s *Server) serveGuests(o ServerOptions, socket string) error {
	for _, h := range o.Hosts {
		if h.pid == 0 {
			continue // it is none of ours
		}
		p := newProcess(s.out, "nsenter", "--net="+h.network(), "--", o.Binary, "guest-proxy", "--server", socket,
			"--key-file", filepath.Join(o.Dir, "guest.key"))
		if err := p.start(); err != nil {
			return err
		}
		s.proxies = append(s.proxies, p)
	}
	return nil
}

// ready waits until the server has said where it listens and is ready there.
func (s *Server) ready(ctx context.Context) error {
	select {
	case <-s.out.found:
	case <-s.done:
		return errors.New("it ended before it listened")
	case <-ctx.Done():
		return fmt.Errorf("it does not say where it listens: %w", ctx.Err())
	}
	s.URL = "http://" + s.out.address
	for {
		err := s.ask(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-time.After(readyPause):
		case <-s.done:
			return errors.New("it ended before it was ready")
		case <-ctx.Done():
			return fmt.Errorf("it is not ready: %w", err)
		}
	}
}

func (s *Server) ask(ctx context.Context) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.URL+"/readyz", nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("GET %s: %s", req.URL, resp.Status)
	}
	return nil
}

// Done is closed when the server has ended, whoever ended it.
func (s *Server) Done() <-chan struct{} { return s.done }

// Stop asks the server and its proxies to end, kills them if they take too long, and
// returns when they are gone. The error is that of one that did not end well.
func (s *Server) Stop() error {
	var err error
	for _, p := range append(s.proxies, s.process) {
		err = errors.Join(err, p.stop())
	}
	return err
}

// output passes on what a server writes and finds the address where it listens.
type output struct {
	to    io.Writer
	found chan struct{} // closed when address is set

	mu      sync.Mutex // guards what follows; address may be read after found
	address string
	started bool
	seen    strings.Builder // until started
}

var listens = regexp.MustCompile(`127\.0\.0\.1:[1-9][0-9]*\b`)

func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.started {
		o.seen.Write(b)
	}
	if o.address == "" {
		lines := o.seen.String()
		// A number may go on until its line has ended.
		if o.address = listens.FindString(lines[:strings.LastIndexByte(lines, '\n')+1]); o.address != "" {
			close(o.found)
		}
	}
	return o.to.Write(b)
}

// forget gives what was written and remembers no more of it.
func (o *output) forget() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	text := o.seen.String()
	o.started = true
	o.seen.Reset()
	return text
}
