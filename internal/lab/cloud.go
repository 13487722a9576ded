package lab

import (
	"crypto/sha256"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

//go:embed cloud
var cloudFiles embed.FS

// cloudPlaces are where the files of a cloud image that are not Debian's lie in
// it.
var cloudPlaces = map[string]string{
	"cloud/90_lab.cfg": "etc/cloud/cloud.cfg.d/90_lab.cfg",
	"cloud/lab-init":   "usr/sbin/lab-init",
	"cloud/lab-source": "usr/bin/lab-source",
	"guest/power":      "usr/sbin/lab-power",
}

// GuestCloud begins the lines with which lab-source, a program of cloud images, tells
// what cloud-init has learned; a Told follows.
const GuestCloud = "guest: cloud-init {"

// Told is what cloud-init learned of a machine.
type Told struct {
	Source   string            `json:"source"` // name of the data source
	ID       string            `json:"id"`
	Hostname string            `json:"hostname"`
	Keys     []string          `json:"keys"`
	Meta     map[string]string `json:"meta"` // what its owner wrote down
	UserData []byte            `json:"user_data"`
	Network  json.RawMessage   `json:"network"` // cloud-init's network configuration, version 1 or 2
	Seconds  float64           `json:"seconds"` // what the reading took, 0 at boot
}

// ParseTold reads a line that begins with GuestCloud.
func ParseTold(line string) (Told, error) {
	var t Told
	_, text, _ := strings.Cut(line, strings.TrimSuffix(GuestCloud, "{"))
	if err := json.Unmarshal([]byte(text), &t); err != nil {
		return Told{}, fmt.Errorf("what cloud-init says is %q: %w", line, err)
	}
	return t, nil
}

// CloudPackages lists the Debian packages that a cloud image is made of.
func CloudPackages() []string {
	text, err := cloudFiles.ReadFile("cloud/packages")
	if err != nil {
		panic(err) // it is part of the program
	}
	return strings.Fields(string(text))
}

// BuildCloudImage makes a disk image with Debian's cloud-init, of the packages
// that lie in the directory debs. It boots through cloud-init's stages in 512 MiB
// of memory, has the program lab-source for user data to run, and is kept in dir as
// BuildImage keeps its own.
func BuildCloudImage(dir, debs string) (Image, error) {
	g, err := BuildGuest(dir)
	if err != nil {
		return Image{}, err
	}
	dir = filepath.Dir(g.Initrd)
	root, err := buildRoot(dir, debs)
	if err != nil {
		return Image{}, fmt.Errorf("build a cloud image in %s: %w", dir, err)
	}
	image, err := buildImage(dir, g, CloudCmdline, root)
	if err != nil {
		return Image{}, fmt.Errorf("build a cloud image in %s: %w", dir, err)
	}
	return image, nil
}

// CloudCmdline is the kernel command line of a cloud image. The kernel and the initial
// RAM disk are those of BuildGuest; a machine that boots them directly with this line
// and its disk may add to it what cloud-init reads there.
const CloudCmdline = Cmdline + " lab.root=" + cloudLabel

// cloudLabel is the label of a cloud image's own file system, and cloudBytes its
// size.
const (
	cloudLabel = "labcloud"
	cloudBytes = 160 << 20
)

// buildRoot makes the file system of a cloud image and gives the path of its file.
func buildRoot(dir, debs string) (string, error) {
	archives, name, err := cloudArchives(debs)
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "cloud-"+name+".ext4")
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		return path, err
	}
	tree, err := os.MkdirTemp("", "occid-cloud-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(tree)
	for _, a := range archives {
		if err := tool("dpkg-deb", "-x", a, tree); err != nil {
			return "", err
		}
	}
	if err := errors.Join(settleRoot(tree), placeCloudFiles(tree), compile(tree)); err != nil {
		return "", err
	}
	return path, makeFileSystem(tree, path)
}

// cloudArchives gives the paths of the packages' archives in a directory, and a
// short name of all that a cloud image's file system is made of.
func cloudArchives(debs string) (archives []string, name string, err error) {
	sum := sha256.New()
	var missing []string
	for _, p := range CloudPackages() {
		found, err := filepath.Glob(filepath.Join(debs, p+"_*.deb"))
		if err != nil {
			return nil, "", err
		}
		if len(found) == 0 {
			missing = append(missing, p)
			continue
		}
		slices.Sort(found)
		archives = append(archives, found[len(found)-1])
		fmt.Fprintln(sum, filepath.Base(found[len(found)-1]))
	}
	if len(missing) > 0 {
		return nil, "", fmt.Errorf("%s has no archive of the packages %s; .ci/setup test fetches them", debs, strings.Join(missing, ", "))
	}
	for _, from := range slices.Sorted(maps.Keys(cloudPlaces)) {
		text, err := cloudFile(from)
		if err != nil {
			return nil, "", err
		}
		sum.Write(text)
	}
	return archives, fmt.Sprintf("%x", sum.Sum(nil)[:8]), nil
}

func cloudFile(from string) ([]byte, error) {
	if strings.HasPrefix(from, "guest/") {
		return guestScripts.ReadFile(from)
	}
	return cloudFiles.ReadFile(from)
}

// settleRoot does what the packages' installation would have done, and drops what
// only people read.
func settleRoot(tree string) error {
	for _, dir := range []string{"usr/share/doc", "usr/share/man", "usr/share/locale", "usr/share/lintian"} {
		if err := os.RemoveAll(filepath.Join(tree, dir)); err != nil {
			return err
		}
	}
	for _, dir := range []string{"proc", "sys", "dev", "run", "tmp", "root", "mnt", "home", "var/lib/dhcp", "var/log", "etc/network/interfaces.d"} {
		if err := os.MkdirAll(filepath.Join(tree, dir), 0o755); err != nil {
			return err
		}
	}
	for from, to := range map[string]string{"passwd.master": "passwd", "group.master": "group"} {
		text, err := os.ReadFile(filepath.Join(tree, "usr/share/base-passwd", from))
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(tree, "etc", to), text, 0o644); err != nil {
			return err
		}
	}
	for name, text := range map[string]string{
		"etc/shadow": "root:*:19000:0:99999:7:::\n", "etc/gshadow": "", "etc/fstab": "", "etc/hostname": "localhost\n",
		"etc/hosts":              "127.0.0.1 localhost\n::1 localhost\n",
		"etc/network/interfaces": "auto lo\niface lo inet loopback\nsource /etc/network/interfaces.d/*\n",
		"etc/os-release":         "ID=debian\nNAME=\"Debian GNU/Linux\"\nVERSION_ID=\"12\"\nVERSION_CODENAME=bookworm\nPRETTY_NAME=\"Debian GNU/Linux 12\"\n",
	} {
		if err := os.WriteFile(filepath.Join(tree, name), []byte(text), 0o644); err != nil {
			return err
		}
	}
	return linkBusybox(tree)
}

// linkBusybox gives the tree busybox, and its programs where Debian's are not.
func linkBusybox(tree string) error {
	busybox, err := exec.LookPath("busybox")
	if err != nil {
		return err
	}
	inside := filepath.Join(tree, "bin/busybox")
	if err := copyFile(busybox, inside, 0o755); err != nil {
		return err
	}
	list, err := exec.Command(busybox, "--list").Output()
	if err != nil {
		return err
	}
	if err := os.Symlink("dash", filepath.Join(tree, "bin/sh")); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	for _, name := range strings.Fields(string(list)) {
		if !slices.ContainsFunc([]string{"bin", "sbin", "usr/bin", "usr/sbin"}, func(dir string) bool {
			_, err := os.Lstat(filepath.Join(tree, dir, name))
			return err == nil
		}) {
			if err := os.Symlink("/bin/busybox", filepath.Join(tree, "bin", name)); err != nil {
				return err
			}
		}
	}
	return nil
}

func placeCloudFiles(tree string) error {
	for from, to := range cloudPlaces {
		text, err := cloudFile(from)
		if err != nil {
			return err
		}
		place := filepath.Join(tree, to)
		if err := os.MkdirAll(filepath.Dir(place), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(place, text, 0o755); err != nil {
			return err
		}
	}
	return nil
}

// compile has the image's Python compile its programs, which a guest would
// otherwise do at every start.
func compile(tree string) error {
	return tool("chroot", tree, "/usr/bin/python3", "-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash",
		"/usr/lib/python3", "/usr/lib/python3.11")
}

// makeFileSystem makes an ext4 file system of a tree, wholly or not at all.
func makeFileSystem(tree, path string) error {
	temp, err := os.CreateTemp(filepath.Dir(path), ".cloud-")
	if err != nil {
		return err
	}
	defer os.Remove(temp.Name())
	if err := errors.Join(temp.Truncate(cloudBytes), temp.Close(),
		tool("mke2fs", "-q", "-t", "ext4", "-O", "^has_journal", "-L", cloudLabel, "-d", tree, temp.Name())); err != nil {
		return err
	}
	return os.Rename(temp.Name(), path)
}

func copyFile(from, to string, mode fs.FileMode) error {
	r, err := os.Open(from)
	if err != nil {
		return err
	}
	defer r.Close()
	w, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, mode)
	if err != nil {
		return err
	}
	_, err = io.Copy(w, r)
	return errors.Join(err, w.Close())
}
