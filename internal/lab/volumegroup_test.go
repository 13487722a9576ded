package lab_test

import (
	"context"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/google/uuid"
	"golang.org/x/sys/unix"

	"github.com/occid/occid/internal/lab"
)

// loop makes a block device of some bytes that goes with the test, or with its process.
func loop(t *testing.T, size int64) (device string, err error) {
	t.Helper()
	file, err := os.Create(filepath.Join(t.TempDir(), "disk"))
	if err == nil {
		t.Cleanup(func() { file.Close() })
		err = file.Truncate(size)
	}
	if err != nil {
		return "", err
	}
	control, err := os.OpenFile("/dev/loop-control", os.O_RDWR, 0)
	if err != nil {
		return "", err
	}
	defer control.Close()
	for range 10 {
		n, err := unix.IoctlRetInt(int(control.Fd()), unix.LOOP_CTL_GET_FREE)
		if err != nil {
			return "", err
		}
		device = "/dev/loop" + strconv.Itoa(n)
		held, err := os.OpenFile(device, os.O_RDWR, 0)
		if err != nil {
			return "", err
		}
		t.Cleanup(func() { held.Close() })
		c := unix.LoopConfig{Fd: uint32(file.Fd())}
		c.Info.Flags = unix.LO_FLAGS_AUTOCLEAR
		if err = unix.IoctlLoopConfigure(int(held.Fd()), &c); !errors.Is(err, unix.EBUSY) {
			return device, err
		}
	}
	return "", unix.EBUSY
}

// grouped makes a volume group on a host, out of a device.
func grouped(ctx context.Context, t *testing.T, h *lab.Host, device string) (name string) {
	t.Helper()
	name = "occid-lab-" + uuid.NewString()[:8]
	sh := func(ctx context.Context, command string) error {
		_, err := h.Run(ctx, "sh", "-ec", command, "sh", name, device)
		return err
	}
	// What LVM writes down of it stays on the host.
	if err := sh(ctx, `mount -t tmpfs lab /etc/lvm; vgcreate -q "$1" "$2"`); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := sh(context.Background(), `vgremove -q -f "$1"; pvremove -q "$2"`); err != nil {
			t.Error(err)
		}
	})
	return name
}

// TestVolumeGroup has a pool of a volume group: it has the size that LVM tells, and takes
// no more. Logical volumes are made where the kernel has a device mapper; where it has
// none the task says so.
func TestVolumeGroup(t *testing.T) {
	long(t, "takes long")
	t.Parallel()
	ctx := need(t)
	device, err := loop(t, 64<<20)
	if err != nil {
		t.Skipf("there is no block device to make a volume group of: %v", err)
	}
	misc, err := os.ReadFile("/proc/misc")
	if err != nil {
		t.Fatal(err)
	}
	h := newHost(ctx, t)
	name := grouped(ctx, t, h, device)
	c := &cloud{ctx: ctx, t: t, url: startOccid(ctx, t, h, "--pools", "vg=logical:"+name).URL}
	c.tells(c.url+"/storagepool/?pool_name=vg", `"occid.storagepool.state":"up"`, `"occid.storagepool.capacity":0.05859375`)
	of := func(size float64) entity {
		return entity{Kind: storage, Attributes: map[string]any{"occi.storage.size": size, "occid.storage.pool": "vg"}}
	}
	if status, text := c.answered(of(0.0625)); status != http.StatusConflict || !strings.Contains(text, "pool vg") || !strings.Contains(text, "0.059 GiB are free") {
		t.Errorf("%d: %s", status, text)
	}
	if !strings.Contains(string(misc), "device-mapper") {
		url := c.accepted(of(0.03125))
		c.tells(url, `"error"`, "device-mapper")
		c.send(http.MethodDelete, url, nil)
		return
	}
	disk := c.create("/storage/", of(0.03125))
	id := path(disk)[len("/storage/"):]
	if out, err := h.Run(ctx, "lvs", "--noheadings", "-o", "lv_name", name); err != nil || !strings.Contains(string(out), id) {
		t.Errorf("the group has %s, %v", out, err)
	}
	c.send(http.MethodDelete, disk, nil)
	if out, err := h.Run(ctx, "lvs", "--noheadings", "-o", "lv_name", name); err != nil || strings.Contains(string(out), id) {
		t.Errorf("the group still has %s, %v", out, err)
	}
}
