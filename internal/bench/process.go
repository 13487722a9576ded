package main

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// process is a server under measurement.
type process struct {
	cmd *exec.Cmd
	url string
	// start is how long it took from its start until it was ready.
	start time.Duration
}

// occid starts the server on a database and waits until it is ready.
func (b *bench) occid(dsn string) (*process, error) { return b.occidWith(dsn, "test:///default") }

// occidWith is occid with a host of a URI.
func (b *bench) occidWith(dsn, uri string) (*process, error) {
	data, err := os.MkdirTemp(b.dir, "data-")
	if err != nil {
		return nil, err
	}
	return b.serve(dsn, data, "--dev", "--libvirt", uri)
}

// serve is occid with a directory and further options of choice. Its host is libvirt's
// test host, unless they name another.
func (b *bench) serve(dsn, data string, options ...string) (*process, error) {
	args := append([]string{"--listen", "127.0.0.1:0", "--db", dsn, "--data", data}, options...)
	return b.launch("/readyz", exec.Command(b.binary, args...))
}

// launch starts a process that prints the URL it listens at, and waits until a
// path of it answers 200.
func (b *bench) launch(ready string, cmd *exec.Cmd) (*process, error) {
	began := time.Now()
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	found := make(chan string, 1)
	go func() {
		lines := bufio.NewScanner(out)
		for lines.Scan() {
			if _, url, ok := strings.Cut(lines.Text(), " listens on "); ok {
				found <- url
			}
		}
		close(found)
	}()
	p := &process{cmd: cmd}
	select {
	case p.url = <-found:
	case <-b.ctx.Done():
	case <-time.After(time.Minute):
	}
	if p.url == "" {
		p.stop()
		return nil, fmt.Errorf("%s did not say where it listens", filepath.Base(cmd.Path))
	}
	for time.Since(began) < time.Minute {
		if resp, err := http.Get(p.url + ready); err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				p.start = time.Since(began)
				return p, nil
			}
		}
		time.Sleep(time.Millisecond)
	}
	p.stop()
	return nil, fmt.Errorf("%s is not ready after a minute", filepath.Base(cmd.Path))
}

func (p *process) stop() {
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	done := time.AfterFunc(20*time.Second, func() { _ = p.cmd.Process.Kill() })
	defer done.Stop()
	_ = p.cmd.Wait()
}

// resident is the memory a process has, in MB.
func (p *process) resident() (float64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kb, err := strconv.ParseFloat(strings.Fields(rest)[0], 64)
			return kb / 1024, err
		}
	}
	return 0, fmt.Errorf("process %d has no VmRSS", p.cmd.Process.Pid)
}

// bare starts a plain net/http server that answers with what occid answers at
// each of the targets.
func (b *bench) bare(occid string, targets []target) (*process, error) {
	args := []string{"bare", occid}
	for _, t := range targets {
		args = append(args, t.path, t.accept)
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	return b.launch("/ready", exec.Command(self, args...))
}

// target is something to GET.
type target struct {
	name, path, accept string
	least              float64
	// conditional asks with the ETag that is current.
	conditional bool
	// login is a header field that only the server is sent, which is measured.
	login string
}

func get(ctx context.Context, url string, t target) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url+t.path, nil)
	if err != nil {
		return nil, err
	}
	if t.accept != "" {
		req.Header.Set("Accept", t.accept)
	}
	resp, err := http.DefaultClient.Do(req)
	if err == nil && resp.StatusCode != http.StatusOK {
		resp.Body.Close()
		return nil, fmt.Errorf("GET %s: %s", t.path, resp.Status)
	}
	return resp, err
}
