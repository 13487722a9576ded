package main

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/occid/occid/internal/oidctest"
)

// asProgram makes the test binary run main instead of tests.
const asProgram = "OCCID_TEST_AS_PROGRAM"

func TestMain(m *testing.M) {
	oidctest.Main()
	if os.Getenv(asProgram) != "" {
		command(seams{})
		return
	}
	var err error
	if built, err = os.MkdirTemp("", "occid-test-"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := m.Run()
	_ = os.RemoveAll(built)
	os.Exit(code)
}

// built is the directory of what tests build for each other.
var built string

// program is an occid in a process of its own.
type program struct {
	t   *testing.T
	cmd *exec.Cmd
	url string
	// metrics has the URL of --metrics-listen, once that is printed.
	metrics chan string
	log     *lines
	// client sends requests; nil means the default one.
	client *http.Client
	// done is closed when the process has ended, with err.
	done chan struct{}
	err  error
	ctx  context.Context // bounds every wait
}

// lines passes on the lines written to it.
type lines struct {
	mu   sync.Mutex
	text bytes.Buffer
	seen chan struct{} // of capacity 1: something was written
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	select {
	case l.seen <- struct{}{}:
	default:
	}
	return l.text.Write(b)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// startTime bounds how long a server may take to listen, its build included.
const startTime = 5 * time.Minute

// start runs occid on a free port and returns when it listens. It is killed with
// the test.
func start(t *testing.T, args ...string) *program {
	t.Helper()
	return launch(t, occid(os.Args[0], args...))
}

// occid is the command of a server on a free port, which the program of these tests is.
func occid(program string, args ...string) *exec.Cmd {
	cmd := exec.Command(program, append([]string{"--dev", "--listen", "127.0.0.1:0"}, args...)...)
	cmd.Env = append(os.Environ(), asProgram+"=1")
	return cmd
}

// launch runs a command that is or becomes occid, and returns when it listens.
func launch(t *testing.T, cmd *exec.Cmd) *program {
	t.Helper()
	p := begin(t, cmd)
	if p.url == "" {
		t.Fatalf("it does not say where it listens: %v\n%s", p.err, p.log)
	}
	return p
}

// begin is launch, but returns a program without a URL if that ends before it listens.
func begin(t *testing.T, cmd *exec.Cmd) *program {
	t.Helper()
	p := &program{t: t, cmd: cmd, log: &lines{seen: make(chan struct{}, 1)}, done: make(chan struct{}), metrics: make(chan string, 1)}
	var cancel context.CancelFunc
	p.ctx, cancel = context.WithTimeout(t.Context(), startTime)
	t.Cleanup(cancel)
	cmd.Stderr = p.log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.kill)
	found := make(chan string, 1)
	go p.follow(out, found)
	select {
	case p.url = <-found:
	case <-p.done:
	case <-p.ctx.Done():
		t.Fatalf("it does not say where it listens\n%s", p.log)
	}
	return p
}

// follow reads what the command prints, to its end, and waits for it.
func (p *program) follow(out io.Reader, found chan<- string) {
	for text := bufio.NewScanner(out); text.Scan(); {
		if _, url, ok := strings.Cut(text.Text(), " listens on "); ok {
			found <- url
		}
		if _, url, ok := strings.Cut(text.Text(), "metrics are shown at "); ok {
			p.metrics <- url
		}
	}
	p.err = p.cmd.Wait()
	close(p.done)
}

// ended reports whether the process has ended by itself.
func (p *program) ended() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// kill ends the process, and what it started, as a power failure would.
func (p *program) kill() {
	if !p.ended() {
		_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL)
		<-p.done
	}
}

// stop ends the process as an operator does.
func (p *program) stop() {
	p.t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		p.t.Fatal(err)
	}
	select {
	case <-p.done:
	case <-p.ctx.Done():
		p.t.Fatalf("it does not end\n%s", p.log)
	}
	if p.err != nil {
		p.t.Errorf("it ended with %v\n%s", p.err, p.log)
	}
}

// logged waits for a text in the log.
func (p *program) logged(text string) {
	p.t.Helper()
	for !strings.Contains(p.log.String(), text) {
		select {
		case <-p.log.seen:
		case <-p.ctx.Done():
			p.t.Fatalf("the log lacks %q:\n%s", text, p.log)
		}
	}
}

// curl sends a request that must be answered with a status, and gives the answer
// with its text; header lines are "Name: value".
func (p *program) curl(status int, method, path, body string, header ...string) (http.Header, string) {
	p.t.Helper()
	got, h, text, err := p.ask(method, path, body, header...)
	if err != nil {
		p.t.Fatalf("%s %s: %v\n%s", method, path, err, p.log)
	}
	if got != status {
		p.t.Fatalf("%s %s: %d, want %d\n%s", method, path, got, status, text)
	}
	return h, text
}

// direct is what requests are sent by. A server of another test that ends closes what is
// idle of the default client.
var direct = &http.Client{Transport: &http.Transport{}}

// ask sends a request whose connection may break.
func (p *program) ask(method, path, body string, header ...string) (status int, h http.Header, text string, err error) {
	req, err := http.NewRequestWithContext(p.ctx, method, p.url+path, strings.NewReader(body))
	if err != nil {
		return 0, nil, "", err
	}
	for _, h := range header {
		name, value, _ := strings.Cut(h, ": ")
		req.Header.Set(name, value)
	}
	resp, err := cmp.Or(p.client, direct).Do(req)
	if err != nil {
		return 0, nil, "", err
	}
	defer resp.Body.Close()
	all, err := io.ReadAll(resp.Body)
	return resp.StatusCode, resp.Header, string(all), err
}

// look is how often a server is asked what it has left to do.
const look = 20 * time.Millisecond

// settled waits until no task is left.
func (p *program) settled() {
	p.t.Helper()
	for p.ctx.Err() == nil {
		if _, left := p.curl(200, "GET", "/task/.uri", ""); strings.TrimSpace(left) == "" {
			return
		}
		select {
		case <-p.ctx.Done():
		case <-time.After(look):
		}
	}
	p.t.Fatalf("tasks are left\n%s", p.log)
}
