package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
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
		cmd.Env = append(os.Environ(), "OCCID_HOST_URI="+h.Name, "OCCID_HOST_TITLE="+h.Title, "OCCID_HOST_ID="+h.ID.String(),
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
			return fmt.Errorf("the fence command failed: %w: %s", err, strings.TrimSpace(said.String()))
		}
		return nil
	}
}
