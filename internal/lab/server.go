package lab

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"syscall"
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
	// Log gets what the server logs.
	Log io.Writer
}

// Server is an occid with libvirt hosts. Stop ends it; the end of the process
// that started it kills it.
type Server struct {
	// URL is the server's root, without a final slash.
	URL string

	cmd  *exec.Cmd
	out  *output
	done chan struct{} // closed when the process has ended
	err  error         // of the process; read it after done
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
	s := &Server{out: &output{to: o.Log, found: make(chan struct{})}, done: make(chan struct{})}
	s.cmd = exec.Command(o.Binary, "--dev", "--listen", o.Listen, "--data", o.Dir,
		"--db", "sqlite:"+filepath.Join(o.Dir, "occid.db"), "--libvirt", strings.Join(uris, ","))
	s.cmd.Stdout, s.cmd.Stderr = s.out, s.out
	// A process group of its own keeps a terminal's interrupt from the server.
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	err := s.start()
	if err == nil {
		if err = s.ready(ctx); err != nil {
			err = errors.Join(err, s.Stop())
		}
	}
	if err != nil {
		return nil, fmt.Errorf("start %s: %w\n%s", o.Binary, err, s.out.forget())
	}
	s.out.forget()
	return s, nil
}

// start runs the process. The kernel sends Pdeathsig when the thread that
// started it ends, so one is kept for that.
func (s *Server) start() error {
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		defer close(s.done)
		err := s.cmd.Start()
		started <- err
		if err == nil {
			s.err = s.cmd.Wait()
		}
	}()
	return <-started
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

// Stop asks the server to end, kills it if it takes too long, and returns when
// it is gone. The error is that of a server that did not end well.
func (s *Server) Stop() error {
	// It fails only for a process that has ended.
	_ = s.cmd.Process.Signal(syscall.SIGTERM)
	late := time.AfterFunc(stopTime, func() { s.cmd.Process.Kill() })
	defer late.Stop()
	<-s.done
	if s.err != nil {
		return fmt.Errorf("occid ended: %w", s.err)
	}
	return nil
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
