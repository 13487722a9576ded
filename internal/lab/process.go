package lab

import (
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"time"
)

// process is a program that ends with the process that started it.
type process struct {
	cmd  *exec.Cmd
	done chan struct{} // closed when it has ended
	err  error         // of the process; read it after done
}

// newProcess prepares a program, whose output goes to out.
func newProcess(out io.Writer, program string, args ...string) *process {
	p := &process{cmd: exec.Command(program, args...), done: make(chan struct{})}
	p.cmd.Stdout, p.cmd.Stderr = out, out
	// A process group of its own keeps a terminal's interrupt from it.
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	return p
}

// start runs it. The kernel sends Pdeathsig when the thread that started it ends, so
// one is kept for that.
func (p *process) start() error {
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		defer close(p.done)
		err := p.cmd.Start()
		started <- err
		if err == nil {
			p.err = p.cmd.Wait()
		}
	}()
	return <-started
}

// stop asks it to end, kills it if it takes too long, and returns when it is gone.
func (p *process) stop() error {
	// It fails only for a process that has ended.
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	late := time.AfterFunc(stopTime, func() { p.cmd.Process.Kill() })
	defer late.Stop()
	<-p.done
	if p.err != nil {
		return fmt.Errorf("%s ended: %w", filepath.Base(p.cmd.Path), p.err)
	}
	return nil
}
