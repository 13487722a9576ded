package lab

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

//go:embed guest
var guestScripts embed.FS

// modules are the kernel modules that the guest loads, in this order.
var modules = []string{
	"virtio_ring", "virtio", "virtio_pci_legacy_dev", "virtio_pci_modern_dev", "virtio_pci",
	"failover", "net_failover", "virtio_net", "virtio_blk", "evdev", "button",
	"virtio-rng", "virtio_console", "cdrom", "isofs", "scsi_common", "scsi_mod", "virtio_scsi", "sr_mod",
}

// Cmdline is the kernel command line of a Guest.
const Cmdline = "console=ttyS0 quiet panic=-1"

// Running is a word for the kernel command line of a Guest that has it run a shell
// script once it is up. What the script prints is on the console. The line holds
// 2 KiB at most.
func Running(script string) string {
	return "lab.run=" + base64.StdEncoding.EncodeToString([]byte(script))
}

// What a guest says on its serial console. Reports of devices begin with these
// texts and go on with the device's name.
const (
	GuestUp        = "guest: up"
	GuestDisk      = "guest: disk "
	GuestInterface = "guest: interface "
	GuestSeed      = "guest: seed "   // a file of the CD-ROM and its first line
	GuestSystem    = "guest: system " // firmware, maker, product and UUID
	GuestPort      = "guest: port "
	GuestRandom    = "guest: random numbers of "
	GuestDisplay   = "guest: display "
	GuestAddress   = "guest: address " // then a space and the address with its prefix
	GuestDown      = "guest: power button, going down"
)

// Guest is a Linux that a host boots directly, with Cmdline; 128 MiB of memory
// are enough. It tells what it has, says when it is up, reports the disks and network
// interfaces that come, change and go, asks a DHCP server for the IPv4 address of each
// interface, and powers off when the ACPI power button is pressed. If the user data of
// a NoCloud config drive is a script, it is run.
type Guest struct {
	Kernel, Initrd string // absolute paths
}

// BuildGuest makes a guest of the installed Debian packages. The result lies in
// dir under a name made of the contents of all that went into it; if it is there
// it is used as it is.
func BuildGuest(dir string) (Guest, error) {
	g, err := buildGuest(dir, nil)
	if err != nil {
		return Guest{}, fmt.Errorf("build a guest in %s: %w", dir, err)
	}
	return g, nil
}

// buildGuest makes a guest to which more may add files.
func buildGuest(dir string, more func(files map[string][]byte) error) (Guest, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return Guest{}, err
	}
	kernel, err := newestKernel()
	if err != nil {
		return Guest{}, err
	}
	files, err := guestFiles(kernel)
	if err == nil && more != nil {
		err = more(files)
	}
	if err != nil {
		return Guest{}, err
	}
	g := Guest{Kernel: kernel, Initrd: filepath.Join(dir, "guest-"+digest(files)+".cpio")}
	if _, err := os.Stat(g.Initrd); !errors.Is(err, fs.ErrNotExist) {
		return g, err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return Guest{}, err
	}
	return g, pack(files, g.Initrd)
}

// BootDir is the directory on a host that Install copies guests to, where libvirt
// keeps what it boots directly.
const BootDir = "/var/lib/libvirt/boot"

// Install copies a guest to the host and gives the paths that it has there.
func (h *Host) Install(g Guest) (Guest, error) {
	for _, file := range []*string{&g.Kernel, &g.Initrd} {
		inside := filepath.Join(BootDir, filepath.Base(*file))
		content, err := os.ReadFile(*file)
		if err == nil {
			err = os.MkdirAll(h.Path(BootDir), 0o755)
		}
		if err == nil {
			err = os.WriteFile(h.Path(inside), content, 0o644)
		}
		if err != nil {
			return Guest{}, fmt.Errorf("install a guest: %w", err)
		}
		*file = inside
	}
	return g, nil
}

// newestKernel gives the path of the newest cloud kernel that has its modules.
func newestKernel() (string, error) {
	kernels, err := filepath.Glob("/boot/vmlinuz-*-cloud-amd64")
	if err != nil {
		return "", err
	}
	newest := ""
	var built int64
	for _, k := range kernels {
		info, err := os.Stat(k)
		if err != nil {
			return "", err
		}
		if _, err := os.Stat(modulesOf(k)); err == nil && info.ModTime().Unix() > built {
			newest, built = k, info.ModTime().Unix()
		}
	}
	if newest == "" {
		return "", errors.New("a cloud kernel with its modules (Debian package linux-image-cloud-amd64)")
	}
	return newest, nil
}

func modulesOf(kernel string) string {
	return "/lib/modules/" + strings.TrimPrefix(filepath.Base(kernel), "vmlinuz-")
}

// guestFiles gives the content of every file of the guest by its path.
func guestFiles(kernel string) (map[string][]byte, error) {
	files := map[string][]byte{"lib/order": []byte(strings.Join(modules, "\n") + "\n")}
	scripts, err := guestScripts.ReadDir("guest")
	if err != nil {
		return nil, err
	}
	for _, s := range scripts {
		if files[s.Name()], err = guestScripts.ReadFile("guest/" + s.Name()); err != nil {
			return nil, err
		}
	}
	busybox, err := exec.LookPath("busybox")
	if err != nil {
		return nil, err
	}
	if files["bin/busybox"], err = os.ReadFile(busybox); err != nil {
		return nil, err
	}
	if err := addModules(kernel, modules, files); err != nil {
		return nil, err
	}
	return files, nil
}

// addModules adds kernel modules to the files of a guest.
func addModules(kernel string, modules []string, files map[string][]byte) error {
	root := modulesOf(kernel)
	err := filepath.WalkDir(root, func(path string, _ fs.DirEntry, err error) error {
		name := strings.TrimSuffix(filepath.Base(path), ".ko")
		if err != nil || filepath.Ext(path) != ".ko" || !slices.Contains(modules, name) {
			return err
		}
		files["lib/"+name+".ko"], err = os.ReadFile(path)
		return err
	})
	for _, m := range modules {
		if err == nil && files["lib/"+m+".ko"] == nil {
			err = fmt.Errorf("there is no module %s.ko in %s", m, root)
		}
	}
	return err
}

// digest is a short name of the files' paths and contents.
func digest(files map[string][]byte) string {
	sum := sha256.New()
	for _, name := range slices.Sorted(maps.Keys(files)) {
		fmt.Fprintf(sum, "%s %d\n", name, len(files[name]))
		sum.Write(files[name])
	}
	return fmt.Sprintf("%x", sum.Sum(nil)[:8])
}

// pack writes the files as an initial RAM disk to path, wholly or not at all.
func pack(files map[string][]byte, path string) error {
	tree, err := os.MkdirTemp("", "occid-guest-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tree)
	var names []string
	for _, name := range slices.Sorted(maps.Keys(files)) {
		for _, dir := range parents(name) {
			if slices.Contains(names, dir) {
				continue
			}
			if err := os.Mkdir(filepath.Join(tree, dir), 0o755); err != nil {
				return err
			}
			names = append(names, dir)
		}
		if err := os.WriteFile(filepath.Join(tree, name), files[name], 0o755); err != nil {
			return err
		}
		names = append(names, name)
	}
	cpio := exec.Command("busybox", "cpio", "-o", "-H", "newc")
	cpio.Dir = tree
	cpio.Stdin = strings.NewReader(strings.Join(names, "\n") + "\n")
	var complaints bytes.Buffer
	cpio.Stderr = &complaints
	archive, err := cpio.Output()
	if err != nil {
		return fmt.Errorf("cpio: %w: %s", err, bytes.TrimSpace(complaints.Bytes()))
	}
	return writeWhole(path, archive)
}

// parents lists the directories that a file is in, the outermost first.
func parents(name string) []string {
	var out []string
	for dir := filepath.Dir(name); dir != "."; dir = filepath.Dir(dir) {
		out = append([]string{dir}, out...)
	}
	return out
}

// writeWhole puts a file in place in one step, whoever else does the same.
func writeWhole(path string, content []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".guest-")
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		os.Remove(f.Name())
	}
	return err
}
