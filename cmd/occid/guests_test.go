package main

import (
	"context"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/occid/occid/internal/guest"
)

// TestGuests lets proxies ask at a socket, with the key that the server has made.
func TestGuests(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	socket := filepath.Join(dir, "guest.sock")
	// A socket that a server has left behind is in nobody's way.
	left, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	left.(*net.UnixListener).SetUnlinkOnClose(false)
	left.Close()
	args := []string{"--db", "sqlite:" + filepath.Join(dir, "x.db"), "--data", dir, "--guest-listen", "unix:" + socket}
	p := start(t, args...)
	path := filepath.Join(dir, "guest.key")
	made, err := readKey(path)
	if err != nil {
		t.Fatal(err)
	}
	ask := func(key guest.Key) int {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://localhost/", nil)
		if err != nil {
			t.Fatal(err)
		}
		key.Sign(r, nil, guest.Peer{Bridge: "occ000000000000", MAC: "02:00:00:00:00:01", Addr: netip.MustParseAddr("192.0.2.1")}, time.Now())
		transport := &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", socket)
		}}
		resp, err := transport.RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		return resp.StatusCode
	}
	if got := ask(made); got != http.StatusForbidden {
		t.Errorf("a stranger, by a proxy: %d", got)
	}
	if got := ask(guest.Key(strings.Repeat("x", 64))); got != http.StatusUnauthorized {
		t.Errorf("with another key: %d", got)
	}
	if _, err := listenAt("unix:" + socket); err == nil || !strings.Contains(err.Error(), socket) {
		t.Errorf("a socket that is served is taken over: %v", err)
	}
	p.stop()
	p = start(t, args...)
	if again, err := readKey(path); err != nil || string(again) != string(made) {
		t.Errorf("after a restart the key is another: %v", err)
	}
	p.stop()
}

// TestProxyProgram runs until it is told to end, whether or not there is anything
// to do.
func TestProxyProgram(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "key")
	if err := makeKey(path); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0], proxyCommand, "--server", "http://127.0.0.1:1", "--key-file", path, "--bridges", "none0")
	cmd.Env = append(os.Environ(), asProgram+"=1")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line := make([]byte, 1024)
	n, err := out.Read(line)
	if err != nil || !strings.Contains(string(line[:n]), "http://127.0.0.1:1") {
		t.Errorf("it says %q: %v", line[:n], err)
	}
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
}

func TestBadProxyOptions(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := func(name, text string, mode os.FileMode) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	good := file("good", strings.Repeat("k", 64), 0o600)
	open, short := file("open", strings.Repeat("k", 64), 0o644), file("short", "k", 0o600)
	for _, x := range []struct {
		args   []string
		errors []string
	}{
		{nil, []string{"--server"}},
		{[]string{"--server", "http://x"}, []string{"--key-file"}},
		{[]string{"--server", "nonsense", "--key-file", good}, []string{"--server", "nonsense"}},
		{[]string{"--server", "http://x/y", "--key-file", good}, []string{"--server", "http://x/y"}},
		{[]string{"--server", "http://x", "--key-file", filepath.Join(dir, "none")}, []string{"--key-file", "none"}},
		{[]string{"--server", "http://x", "--key-file", open}, []string{"--key-file", "open", "0600"}},
		{[]string{"--server", "http://x", "--key-file", short}, []string{"--key-file", "short", "32"}},
		{[]string{"--server", "http://x", "--key-file", good, "--bridges", "none,br0"}, []string{"--bridges", "none,br0"}},
		{[]string{"--server", "http://x", "--key-file", good, "--bridges", ","}, []string{"--bridges"}},
		{[]string{"--server", "http://x", "--key-file", good, "--log-format", "xml"}, []string{"log-format"}},
		{[]string{"surplus"}, []string{"surplus"}},
	} {
		ran, err := proxy(append([]string{proxyCommand}, x.args...))
		if !ran || err == nil {
			t.Errorf("%q is taken", x.args)
			continue
		}
		for _, word := range x.errors {
			if !strings.Contains(err.Error(), word) {
				t.Errorf("%q: the error %q lacks %q", x.args, err, word)
			}
		}
	}
}
