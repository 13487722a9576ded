package lab

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"libvirt.org/go/libvirt"
	"libvirt.org/go/libvirtxml"
)

// ConsoleDir is the directory on a host where occid has it keep what each machine writes
// to its console, in UUID.log.
const ConsoleDir = "/var/log/libvirt/occid"

// Console reads what a domain writes to its serial console, from its first line
// on. It has one user at a time; Close ends it.
type Console struct {
	tail  *exec.Cmd
	pipe  *os.File
	lines *bufio.Reader
	seen  strings.Builder
}

// Console opens the console of the domain with the given UUID, whose definition
// must have a serial port that is logged to a file. The file may not exist yet.
func (h *Host) Console(domain string) (*Console, error) {
	file, err := h.serialLog(domain)
	if err != nil {
		return nil, fmt.Errorf("console of domain %s: %w", domain, err)
	}
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer w.Close()
	// With --pid it ends with the host, also when nobody calls Close.
	tail := exec.Command("tail", "--lines=+1", "--follow=name", "--retry", "--sleep-interval=0.2",
		"--pid="+strconv.Itoa(h.pid), h.Path(file))
	tail.Stdout = w
	if err := tail.Start(); err != nil {
		r.Close()
		return nil, fmt.Errorf("console of domain %s: %w", domain, err)
	}
	return &Console{tail: tail, pipe: r, lines: bufio.NewReader(r)}, nil
}

// serialLog gives the path on the host of the file that holds what a domain's
// serial port wrote.
func (h *Host) serialLog(domain string) (string, error) {
	c, err := libvirt.NewConnect(h.URI)
	if err != nil {
		return "", err
	}
	defer c.Close()
	d, err := c.LookupDomainByUUIDString(domain)
	if err != nil {
		return "", err
	}
	defer d.Free()
	text, err := d.GetXMLDesc(0)
	if err != nil {
		return "", err
	}
	var x libvirtxml.Domain
	if err := x.Unmarshal(text); err != nil {
		return "", err
	}
	if x.Devices != nil {
		for _, s := range x.Devices.Serials {
			switch {
			case s.Log != nil:
				return s.Log.File, nil
			case s.Source != nil && s.Source.File != nil:
				return s.Source.File.Path, nil
			}
		}
	}
	return "", errors.New("no serial port is logged to a file")
}

// Wait reads on to the next line that contains text and returns it. If ctx ends
// before, the error shows all that was read.
func (c *Console) Wait(ctx context.Context, text string) (string, error) {
	if err := c.pipe.SetReadDeadline(time.Time{}); err != nil {
		return "", err
	}
	stop := context.AfterFunc(ctx, func() { c.pipe.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	for {
		line, err := c.lines.ReadString('\n')
		c.seen.WriteString(line)
		if err != nil {
			return "", fmt.Errorf("wait for %q on the console: %w; it says:\n%s",
				text, errors.Join(ctx.Err(), err), c.seen.String())
		}
		if strings.Contains(line, text) {
			return strings.TrimRight(line, "\r\n"), nil
		}
	}
}

// Close ends the reading.
func (c *Console) Close() error {
	err := errors.Join(c.tail.Process.Kill(), c.pipe.Close())
	c.tail.Wait()
	return err
}
