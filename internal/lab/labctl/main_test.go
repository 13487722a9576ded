package main

import (
	"bufio"
	"context"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/occid/occid/internal/lab"
)

// TestLabctl does what the program says to try, with the guest that this makes, and
// interrupts it.
func TestLabctl(t *testing.T) {
	t.Parallel()
	if err := lab.Available(); err != nil {
		t.Skip(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	dir, temp := t.TempDir(), t.TempDir()
	build := exec.CommandContext(ctx, "go", "build", "-o", dir,
		"github.com/occid/occid/cmd/occid", "github.com/occid/occid/internal/lab/labctl")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	labctl := exec.CommandContext(ctx, filepath.Join(dir, "labctl"), "-occid", filepath.Join(dir, "occid"), "-listen", "127.0.0.1:0")
	labctl.Env = append(os.Environ(), "TMPDIR="+temp)
	labctl.Stderr = t.Output()
	labctl.WaitDelay = time.Minute // what it leaves behind may hold that open
	stdout, err := labctl.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := labctl.Start(); err != nil {
		t.Fatal(err)
	}
	try(ctx, t, bufio.NewScanner(stdout))
	if err := labctl.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if rest, err := io.ReadAll(stdout); err != nil || len(rest) > 0 {
		t.Errorf("it goes on with %q, %v", rest, err)
	}
	if err := labctl.Wait(); err != nil {
		t.Error(err)
	}
	if left, err := os.ReadDir(temp); err != nil || len(left) > 0 {
		t.Errorf("it leaves %v, %v", left, err)
	}
}

// try runs the command lines of the program's greeting in one shell, as they stand. Among
// them is one that goes on until it is interrupted.
func try(ctx context.Context, t *testing.T, greeting *bufio.Scanner) {
	t.Helper()
	var lines []string
	for greeting.Scan() && (greeting.Text() != "" || len(lines) == 0) {
		if line, ok := strings.CutPrefix(greeting.Text(), "  "); ok {
			lines = append(lines, line)
		}
	}
	// A shell that handles the interrupt goes on, as one at a terminal does.
	shell := exec.CommandContext(ctx, "sh", "-c", "trap : INT\n"+strings.Join(lines, "\n"))
	shell.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	shell.Cancel = func() error { return syscall.Kill(-shell.Process.Pid, syscall.SIGKILL) }
	shell.Stderr = t.Output()
	stdout, err := shell.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := shell.Start(); err != nil {
		t.Fatal(err)
	}
	said := bufio.NewScanner(stdout)
	for _, want := range []string{"title guest", "state active", "guest: up", "address 198.18.0."} {
		if !reads(said, want) {
			t.Errorf("what the program shows does not lead to %q", want)
		}
	}
	if err := syscall.Kill(-shell.Process.Pid, syscall.SIGINT); err != nil {
		t.Error(err)
	}
	for said.Scan() {
	}
	if err := shell.Wait(); err != nil {
		t.Errorf("the last line that the program shows: %v", err)
	}
}

// reads reports whether a line to come holds a text, and reads up to that.
func reads(said *bufio.Scanner, text string) bool {
	for said.Scan() {
		if strings.Contains(said.Text(), text) {
			return true
		}
	}
	return false
}
