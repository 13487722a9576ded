package lab

import (
	"bufio"
	"bytes"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/google/uuid"
)

//go:embed host.sh
var hostScript string

// closeTime bounds what the kernel may take to end a host's processes before
// their first one is killed.
const closeTime = 10 * time.Second

// Options describe a Host. The zero value is usable.
type Options struct {
	// Name is the host's name, "lab" if empty.
	Name string
	// Address, if valid, is what the host has on the wire to other hosts (see Join), and
	// what it tells them to send machines to.
	Address netip.Prefix
}

// Host is a virtual machine host. It is safe for concurrent use. Close ends it;
// the end of the process that made it does so too.
type Host struct {
	// URI is the libvirt URI of the host for programs outside it.
	URI string

	address netip.Prefix
	cmd     *exec.Cmd
	stdin   io.Closer // its end is the end of the host
	pid     int       // of the first process, as seen from outside
	initial map[string]int

	once     sync.Once
	closeErr error
}

// NewHost makes a host and returns when its libvirtd answers. ctx bounds only
// that.
func NewHost(ctx context.Context, o Options) (*Host, error) {
	if o.Name == "" {
		o.Name = "lab"
	}
	reached := ""
	if o.Address.IsValid() {
		reached = o.Address.Addr().String()
	}
	h := &Host{address: o.Address, cmd: exec.Command("sh", "-c", hostScript, "host.sh", o.Name, uuid.NewString(), reached)}
	// A process group of its own keeps a terminal's interrupt from the host: its
	// owner ends it.
	h.cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: namespaces, Setpgid: true}
	h.cmd.WaitDelay = closeTime
	var complaints bytes.Buffer
	h.cmd.Stderr = &complaints
	stdout, err := h.start()
	if err != nil {
		return nil, fmt.Errorf("make host %s: %w", o.Name, err)
	}
	if err := h.settle(ctx, stdout); err != nil {
		err = errors.Join(err, h.Close())
		return nil, fmt.Errorf("make host %s: %w\n%s", o.Name, err, strings.TrimSpace(complaints.String()))
	}
	return h, nil
}

// start runs the host's first process and gives its standard output.
func (h *Host) start() (io.Reader, error) {
	stdin, err := h.cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	stdout, err := h.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := h.cmd.Start(); err != nil {
		return nil, err
	}
	h.stdin = stdin
	h.pid = h.cmd.Process.Pid
	h.URI = "qemu+unix:///system?socket=" + h.Path("/run/libvirt/libvirt-sock")
	return stdout, nil
}

// settle waits until the host is ready and notes what it has from the start.
func (h *Host) settle(ctx context.Context, stdout io.Reader) error {
	stop := context.AfterFunc(ctx, func() { h.stdin.Close() })
	defer stop()
	line, err := bufio.NewReader(stdout).ReadString('\n')
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case err != nil:
		return fmt.Errorf("it ended before it was ready: %w", err)
	case line != "ready\n":
		return errors.New("its libvirtd does not answer")
	}
	h.initial, err = h.inventory()
	return err
}

// Path is the name outside the host of the file that has the given absolute path
// inside. It is valid until Close.
func (h *Host) Path(inside string) string {
	return filepath.Join("/proc", strconv.Itoa(h.pid), "root", inside)
}

// network is the file of the host's network namespace.
func (h *Host) network() string {
	return filepath.Join("/proc", strconv.Itoa(h.pid), "ns/net")
}

// Run executes a command inside the host and returns its standard output. The
// error of a command that fails ends with its standard error.
func (h *Host) Run(ctx context.Context, command ...string) ([]byte, error) {
	args := []string{"--target", strconv.Itoa(h.pid), "--mount", "--net", "--uts", "--ipc", "--pid", "--"}
	cmd := exec.CommandContext(ctx, "nsenter", append(args, command...)...)
	// nsenter forks: only the group reaches the command.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	var complaints bytes.Buffer
	cmd.Stderr = &complaints
	out, err := cmd.Output()
	if err != nil {
		return out, fmt.Errorf("run %q on the host: %w: %s", command, err, bytes.TrimSpace(complaints.Bytes()))
	}
	return out, nil
}

// Close ends every process of the host, its mounts and its network, and returns
// when they are gone. It may be called more than once.
func (h *Host) Close() error {
	h.once.Do(func() {
		h.stdin.Close()
		late := time.AfterFunc(closeTime, func() { h.cmd.Process.Kill() })
		defer late.Stop()
		if err := h.cmd.Wait(); err != nil {
			h.closeErr = fmt.Errorf("end the host: %w", err)
		}
	})
	return h.closeErr
}
