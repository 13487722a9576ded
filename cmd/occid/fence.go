package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/occid/occid/internal/engine"
)

// fenceGrace is how long what a fence command has started may hold up its end.
const fenceGrace = 2 * time.Second

// checkFence refuses times in which nothing can be fenced, and hosts fenced that are
// only being started again.
func (o *options) checkFence() error {
	if o.FenceAfter < 10*time.Second && o.FenceCommand != "" {
		return fmt.Errorf("--fence-after: %s is less than 10s", o.FenceAfter)
	}
	if o.FenceTime < time.Second {
		return fmt.Errorf("--fence-time: %s is less than a second", o.FenceTime)
	}
	return nil
}

// fence gives what fences hosts, nil without a command. No shell reads what a host tells
// of itself: it is in variables of the environment.
func (o *options) fence() func(context.Context, *engine.Fenced) error {
	argv := strings.Fields(o.FenceCommand)
	if len(argv) == 0 {
		return nil
	}
	return func(ctx context.Context, h *engine.Fenced) error {
		cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
		cmd.Env = append(slices.DeleteFunc(os.Environ(), ownVariable), "OCCID_HOST_URI="+h.Name, "OCCID_HOST_TITLE="+h.Title, "OCCID_HOST_ID="+h.ID.String(),
			"OCCID_HOST_UUID="+h.HostID, "OCCID_HOST_NAME="+h.Hostname)
		var said bytes.Buffer
		cmd.Stdout, cmd.Stderr = &said, &said
		// What it has started ends with it.
		cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
		cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
		cmd.WaitDelay = fenceGrace
		err := cmd.Run()
		switch {
		case ctx.Err() != nil:
			return fmt.Errorf("the fence command took too long: %w", ctx.Err())
		case err != nil:
			return fmt.Errorf("the fence command failed: %w: %s", err, withoutSecrets(strings.TrimSpace(said.String())))
		}
		return nil
	}
}

// ownVariable reports whether a variable of the environment is the server's: it may hold
// the password of the database, or what proves to a collector who sends spans.
func ownVariable(v string) bool {
	return strings.HasPrefix(v, "OCCID_") || strings.HasPrefix(v, "OTEL_")
}

// secretWords are in the names of variables that hold what a fence command logs in with.
var secretWords = []string{"PASS", "SECRET", "TOKEN", "KEY", "CREDENTIAL"}

// withoutSecrets is what a fence command says, without what it was told by the
// environment to log in with.
func withoutSecrets(said string) string {
	for _, v := range os.Environ() {
		name, value, _ := strings.Cut(v, "=")
		if len(value) >= 4 && slices.ContainsFunc(secretWords, func(w string) bool { return strings.Contains(strings.ToUpper(name), w) }) {
			said = strings.ReplaceAll(said, value, "***")
		}
	}
	return said
}
