package main

import (
	"bufio"
	"context"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/occid/occid/internal/lab"
)

// TestLabctl does what the program says to try, and interrupts it.
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
	answer := try(ctx, t, bufio.NewScanner(stdout))
	for _, want := range []string{"title guest", "state active"} {
		if !strings.Contains(answer, want) {
			t.Errorf("after the last line that it shows, the answer is %q, want it to hold %q", answer, want)
		}
	}
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

// try runs the command lines of the program's greeting and gives what the last
// one prints.
func try(ctx context.Context, t *testing.T, greeting *bufio.Scanner) string {
	t.Helper()
	var answer []byte
	for lines := 0; lines < 3 && greeting.Scan(); {
		line, ok := strings.CutPrefix(greeting.Text(), "  ")
		if !ok {
			continue
		}
		lines++
		var err error
		if answer, err = exec.CommandContext(ctx, "sh", "-ec", line).Output(); err != nil {
			t.Fatalf("%s: %v: %s", line, err, answer)
		}
	}
	return string(answer)
}
