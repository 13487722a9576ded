package image

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/occid/occid/occi"
)

// Limits of qemu-img.
const (
	toolMemory = 2 << 30 // bytes of address space
	toolTime   = 4 * time.Hour
	infoTime   = time.Minute
	toolFiles  = 64
	// toolSays bounds what is kept of its output and of its complaints, in bytes.
	toolSays = 1 << 20
)

// source names a file to qemu-img, which is to open that one file in that one
// format and nothing else.
func source(file string, f Format) string {
	node := map[string]any{"driver": f, "file": map[string]any{"driver": "file", "filename": file, "locking": "off"}}
	if f == QCOW2 || f == VMDK {
		node["backing"] = nil
	}
	text, _ := json.Marshal(node) // of texts alone it does not fail
	return "json:" + string(text)
}

// info is what counts of the output of qemu-img info.
type info struct {
	Format    string  `json:"format"`
	Size      int64   `json:"virtual-size"`
	Encrypted bool    `json:"encrypted"`
	Backing   *string `json:"backing-filename"`
	Full      *string `json:"full-backing-filename"`
	Specific  struct {
		Data map[string]any `json:"data"`
	} `json:"format-specific"`
}

// inspect has qemu-img tell the size of a disk, and refuses what it says is partly
// in another file or not of a size from 1 byte to most.
func (s *Store) inspect(ctx context.Context, file string, f Format) (int64, error) {
	ctx, cancel := context.WithTimeout(ctx, infoTime)
	defer cancel()
	out, err := s.run(ctx, nil, "info", "--output=json", source(file, f))
	if err != nil {
		return 0, err
	}
	var i info
	if err := json.Unmarshal(out, &i); err != nil {
		return 0, fmt.Errorf("what qemu-img says is not understood: %w", err)
	}
	switch data := i.Specific.Data; {
	case i.Format != string(f):
		return 0, refuse("it seems to be %s and turns out to be %s", f, i.Format)
	case i.Backing != nil || i.Full != nil:
		return 0, refuse("it is backed by another file")
	case i.Encrypted || data["encrypt"] != nil:
		return 0, refuse("it is encrypted")
	case data["data-file"] != nil:
		return 0, refuse("its data is in another file")
	case i.Size <= 0:
		return 0, refuse("its disk has no size")
	case i.Size > s.cfg.MostDisk:
		return 0, refuse("its disk has %d bytes; at most %d are taken in", i.Size, s.cfg.MostDisk)
	}
	return i.Size, nil
}

// convert makes a qcow2 file of a disk.
func (s *Store) convert(ctx context.Context, from string, f Format, to string, progress func(done, total int64)) error {
	ctx, cancel := context.WithTimeout(ctx, toolTime)
	defer cancel()
	_, err := s.run(ctx, progress, "convert", "-p", "-O", "qcow2", "-o", "compat=1.1,lazy_refcounts=off", source(from, f), to)
	return err
}

// run runs qemu-img under limits and gives its output. An image that it refuses is
// occi.Invalid.
func (s *Store) run(ctx context.Context, progress func(done, total int64), args ...string) ([]byte, error) {
	limits := []string{"--as=" + strconv.Itoa(toolMemory), "--cpu=" + strconv.Itoa(int(toolTime.Seconds())), "--core=0",
		"--nofile=" + strconv.Itoa(toolFiles), "--fsize=" + strconv.FormatInt(s.cfg.Most+s.cfg.Most/8+slack, 10), "--", "qemu-img"}
	cmd := exec.CommandContext(ctx, "prlimit", append(limits, args...)...)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "LC_ALL=C"}
	cmd.Dir = s.cfg.Dir
	cmd.WaitDelay = 5 * time.Second
	// A server that is killed takes it along: the next one begins anew.
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	complaints := &tail{}
	out := &tail{progress: progress}
	cmd.Stdout, cmd.Stderr = out, complaints
	err := running(cmd)
	if err == nil {
		return out.text, nil
	}
	var exit *exec.ExitError
	switch {
	case ctx.Err() != nil:
		return nil, context.Cause(ctx)
	case !errors.As(err, &exit):
		return nil, occi.E(occi.Unsupported, "images need the programs prlimit and qemu-img on the server: %w", err)
	}
	said := strings.TrimSpace(strings.ReplaceAll(string(complaints.text), s.cfg.Dir+"/", ""))
	if status, ok := exit.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return nil, refuse("qemu-img went over a limit with it (%s) %s", status.Signal(), said)
	}
	if strings.Contains(said, "No space left on device") {
		return nil, occi.E(occi.Full, "there is no room for the image on the server")
	}
	if strings.Contains(said, "File too large") {
		return nil, refuse("unpacked it is larger than the %d bytes that are taken in", s.cfg.Most)
	}
	return nil, refuse("%s", said)
}

// slack is what a qcow2 file may have beside its data, in bytes.
const slack = 16 << 20

// running runs a program from a thread that lives as long: the kernel would take
// the end of the thread for the end of the server.
func running(cmd *exec.Cmd) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		done <- cmd.Run()
	}()
	return <-done
}

// tail keeps the beginning of what a program writes, and reads in it how far
// qemu-img is: "    (12.34/100%)" and a carriage return.
type tail struct {
	text     []byte
	progress func(done, total int64)
}

func (t *tail) Write(b []byte) (int, error) {
	if room := toolSays - len(t.text); room > 0 {
		t.text = append(t.text, b[:min(room, len(b))]...)
	}
	if t.progress == nil {
		return len(b), nil
	}
	for line := range strings.FieldsFuncSeq(string(b), func(r rune) bool { return r == '\r' || r == '\n' }) {
		text, ok := strings.CutPrefix(strings.TrimSpace(line), "(")
		if percent, err := strconv.ParseFloat(strings.TrimSuffix(text, "/100%)"), 64); ok && err == nil {
			t.progress(int64(percent*100), 10000)
		}
	}
	return len(b), nil
}
