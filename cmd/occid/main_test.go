package main

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// asProgram makes the test binary run main instead of tests.
const asProgram = "OCCID_TEST_AS_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

// program is an occid in a process of its own.
type program struct {
	t   *testing.T
	cmd *exec.Cmd
	url string
	log *lines
	ctx context.Context // bounds every wait
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

// start runs occid on a free port and returns when it listens. It is killed with
// the test.
func start(t *testing.T, args ...string) *program {
	t.Helper()
	p := &program{t: t, log: &lines{seen: make(chan struct{}, 1)}}
	var cancel context.CancelFunc
	p.ctx, cancel = context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	p.cmd = exec.Command(os.Args[0], append([]string{"--dev", "--listen", "127.0.0.1:0"}, args...)...)
	p.cmd.Env = append(os.Environ(), asProgram+"=1")
	p.cmd.Stderr = p.log
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.kill)
	first, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatalf("it does not say where it listens: %v\n%s", err, p.log)
	}
	p.url = strings.TrimSpace(first[strings.LastIndexByte(first, ' ')+1:])
	return p
}

// kill ends the process as a power failure would.
func (p *program) kill() {
	if p.cmd.ProcessState == nil {
		_ = p.cmd.Process.Kill()
		_ = p.cmd.Wait()
	}
}

// stop ends the process as an operator does.
func (p *program) stop() {
	p.t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		p.t.Fatal(err)
	}
	if err := p.cmd.Wait(); err != nil {
		p.t.Errorf("it ended with %v\n%s", err, p.log)
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

// curl sends a request and gives the answer with its text; header lines are
// "Name: value".
func (p *program) curl(status int, method, path, body string, header ...string) (http.Header, string) {
	p.t.Helper()
	req, err := http.NewRequestWithContext(p.ctx, method, p.url+path, strings.NewReader(body))
	if err != nil {
		p.t.Fatal(err)
	}
	for _, h := range header {
		name, value, _ := strings.Cut(h, ": ")
		req.Header.Set(name, value)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		p.t.Fatalf("%v\n%s", err, p.log)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		p.t.Fatal(err)
	}
	if resp.StatusCode != status {
		p.t.Fatalf("%s %s: %s, want %d\n%s", method, path, resp.Status, status, text)
	}
	return resp.Header, string(text)
}

func TestTheWalkThrough(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	args := []string{"--db", "sqlite:" + filepath.Join(dir, "x.db"), "--data", dir, "--libvirt"}
	p := start(t, append(args, "test:///default")...)
	h, _ := p.curl(201, "POST", "/compute/", `{"type":"compute","title":"web-1","cores":2,"memory":"1 GiB"}`,
		"Content-Type: application/json", "Prefer: wait=20")
	path := strings.TrimPrefix(h.Get("Location"), p.url)
	for suffix, text := range map[string]string{".txt": "memory 1 Gb", ".json": `"title": "web-1"`, ".xml": "<cores>2</cores>", ".atom": "web-1", "": "occi.compute.cores=2"} {
		if _, body := p.curl(200, "GET", path+suffix, ""); !strings.Contains(body, text) {
			t.Errorf("%s lacks %q: %s", suffix, text, body)
		}
	}
	_, body := p.curl(200, "POST", path+"?action=start", "", "Prefer: wait=20")
	if !strings.Contains(body, `occi.compute.state="active"`) {
		t.Errorf("not started: %s", body)
	}
	for _, x := range [][2]string{{"/network/", `{"title":"net"}`}, {"/storage/", `{"title":"disk","size":"1 GiB"}`}} {
		h, _ := p.curl(201, "POST", x[0], x[1], "Content-Type: application/json", "Prefer: wait=20")
		kind := map[string]string{"/network/": "/networkinterface/", "/storage/": "/storagelink/"}[x[0]]
		p.curl(201, "POST", kind, `{"source":"`+path+`","target":"`+h.Get("Location")+`"}`, "Content-Type: application/json", "Prefer: wait=20")
	}
	if _, body := p.curl(200, "GET", path, ""); !strings.Contains(body, `occi.storagelink.deviceid="vda"`) || !strings.Contains(body, "occi.networkinterface.mac=") {
		t.Errorf("links are missing: %s", body)
	}
	p.curl(200, "POST", path+"?action=stop", "", "Prefer: wait=20")

	tags := func() [3]string {
		var out [3]string
		for i, path := range []string{path, "/compute/", "/"} {
			h, _ := p.curl(200, "GET", path, "")
			out[i] = h.Get("ETag")
		}
		return out
	}
	before := tags()
	p.stop()
	// The test host has lost everything with its process and would be repaired;
	// one that does not answer leaves the rows as they are.
	p = start(t, append(args, "qemu+unix:///system?socket="+dir+"/none")...)
	if after := tags(); after != before {
		t.Errorf("entity tags %q after a restart, %q before", after, before)
	}
	p.stop()
	p = start(t, append(args, "test:///default")...)
	p.logged(`"kind":"compute"`)
	_, body = p.curl(200, "POST", path+"?action=start", "", "Prefer: wait=20")
	if !strings.Contains(body, `occi.compute.state="active"`) {
		t.Errorf("not started after a restart: %s", body)
	}
	p.curl(200, "DELETE", "/", "", "Prefer: wait=20")
	if _, body := p.curl(200, "GET", "/", ""); body != "" {
		t.Errorf("left after deleting all: %s", body)
	}
}

func TestTheRegistryIsLoadedAgain(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	p := start(t, "--data", dir)
	write := func(name, text string) {
		t.Helper()
		if err := os.MkdirAll(filepath.Join(dir, "registry"), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "registry", name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := p.cmd.Process.Signal(syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
	}
	h, _ := p.curl(200, "GET", "/-/", "")
	write("10-tag.yaml", "mixins:\n  - id: http://example.com/tags#red\n    title: Red\n    location: /mixin/red/\n")
	p.logged("the registry was loaded")
	if after, _ := p.curl(200, "GET", "/-/", ""); after.Get("ETag") == h.Get("ETag") {
		t.Error("another registry has the same entity tag")
	}
	p.curl(200, "GET", "/mixin/red/", "")
	write("20-bad.yaml", "mixins:\n  - id: http://example.com/tags#blue\n    colour: blue\n")
	p.logged("20-bad.yaml")
	p.logged("the registry stays as it was")
	p.curl(200, "GET", "/mixin/red/", "")
	p.curl(404, "GET", "/mixin/blue/", "")
}
