package lab

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// Image is a disk with a Guest that boots by itself, with BIOS or UEFI: it has a
// partition table, a boot loader, a kernel and all that this loads. With UEFI the
// boot loader needs 256 MiB of memory.
type Image struct {
	Raw, QCOW2 string // absolute paths of the same disk in two formats
}

// The disk has one FAT partition after the first MiB, which is the boot loader's
// and UEFI's, and may have a file system for Linux after it.
const (
	sectorBytes = 512
	bootStart   = 1 << 20
	bootBytes   = 63 << 20
)

// bootFiles are what the boot loader is made of, by their place on the disk, with
// the Debian packages syslinux-common and syslinux-efi.
var bootFiles = map[string]string{
	"EFI/BOOT/BOOTX64.EFI": "/usr/lib/SYSLINUX.EFI/efi64/syslinux.efi",
	"EFI/BOOT/ldlinux.e64": "/usr/lib/syslinux/modules/efi64/ldlinux.e64",
}

// bootRecord is the code of the first sector, of the Debian package syslinux.
const bootRecord = "/usr/lib/SYSLINUX/mbr.bin"

// BuildImage makes a disk image of the guest that BuildGuest makes. The result
// lies in dir under a name made of the contents of all that went into it; if it is
// there it is used as it is.
func BuildImage(dir string) (Image, error) {
	g, err := BuildGuest(dir)
	if err != nil {
		return Image{}, err
	}
	image, err := buildImage(filepath.Dir(g.Initrd), g, Cmdline, "")
	if err != nil {
		return Image{}, fmt.Errorf("build a disk image in %s: %w", dir, err)
	}
	return image, nil
}

// buildImage makes an image of a guest with the given kernel command line, and of
// the file system in the file root if that is not empty.
func buildImage(dir string, g Guest, cmdline, root string) (Image, error) {
	files, err := diskFiles(g, cmdline)
	if err != nil {
		return Image{}, err
	}
	name := digest(files)
	if root != "" {
		name = strings.TrimSuffix(filepath.Base(root), filepath.Ext(root)) + "-" + name
	}
	image := Image{Raw: filepath.Join(dir, "image-"+name+".raw"), QCOW2: filepath.Join(dir, "image-"+name+".qcow2")}
	if _, err := os.Stat(image.QCOW2); !errors.Is(err, fs.ErrNotExist) {
		return image, err
	}
	temp, err := os.MkdirTemp(dir, ".image-")
	if err != nil {
		return Image{}, err
	}
	defer os.RemoveAll(temp)
	raw, compact := filepath.Join(temp, "raw"), filepath.Join(temp, "qcow2")
	if err := writeDisk(raw, files, root); err != nil {
		return Image{}, err
	}
	if err := tool("qemu-img", "convert", "-O", "qcow2", raw, compact); err != nil {
		return Image{}, err
	}
	return image, errors.Join(os.Rename(raw, image.Raw), os.Rename(compact, image.QCOW2))
}

// diskFiles gives the content of every file of the boot partition by its path,
// and that of the boot record by the empty one.
func diskFiles(g Guest, cmdline string) (map[string][]byte, error) {
	files := map[string][]byte{"syslinux.cfg": fmt.Appendf(nil,
		"default guest\nlabel guest\nlinux /vmlinuz\ninitrd /initrd\nappend %s\n", cmdline)}
	from := map[string]string{"": bootRecord, "vmlinuz": g.Kernel, "initrd": g.Initrd}
	for name, path := range bootFiles {
		from[name] = path
	}
	for name, path := range from {
		content, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		files[name] = content
	}
	return files, nil
}

// writeDisk makes a raw disk.
func writeDisk(path string, files map[string][]byte, root string) error {
	size := int64(bootStart + bootBytes)
	parts := []partition{{kind: 0xef, start: bootStart, size: bootBytes, active: true}}
	if root != "" {
		info, err := os.Stat(root)
		if err != nil {
			return err
		}
		parts = append(parts, partition{kind: 0x83, start: size, size: info.Size()})
		size += info.Size()
	}
	record := append(slices.Clone(files[""]), make([]byte, sectorBytes)...)[:sectorBytes]
	partitionTable(record, parts)
	if err := os.WriteFile(path, record, 0o644); err != nil {
		return err
	}
	if err := os.Truncate(path, size); err != nil {
		return err
	}
	if err := writeBoot(path, files); err != nil || root == "" {
		return err
	}
	return tool("dd", "if="+root, "of="+path, "bs=1M", fmt.Sprint("seek=", parts[1].start>>20), "conv=notrunc,sparse", "status=none")
}

// partition is a part of a disk, in bytes.
type partition struct {
	kind        byte
	start, size int64
	active      bool
}

// partitionTable writes the table into a boot record, by sectors alone as every
// firmware since the nineties reads it.
func partitionTable(record []byte, parts []partition) {
	for i, p := range parts {
		entry := record[446+16*i:]
		if p.active {
			entry[0] = 0x80
		}
		copy(entry[1:], "\xfe\xff\xff")
		entry[4] = p.kind
		copy(entry[5:], "\xfe\xff\xff")
		binary.LittleEndian.PutUint32(entry[8:], uint32(p.start/sectorBytes))
		binary.LittleEndian.PutUint32(entry[12:], uint32(p.size/sectorBytes))
	}
	copy(record[510:], "\x55\xaa")
}

// writeBoot makes the boot partition, with nothing mounted.
func writeBoot(path string, files map[string][]byte) error {
	tree, err := os.MkdirTemp("", "occid-boot-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tree)
	for name, content := range files {
		file := filepath.Join(tree, name)
		if name == "" {
			continue
		}
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(file, content, 0o644); err != nil {
			return err
		}
	}
	top, err := filepath.Glob(filepath.Join(tree, "*"))
	if err != nil {
		return err
	}
	inside := fmt.Sprint(path, "@@", bootStart)
	return errors.Join(
		tool("mformat", "-i", inside, "-v", "LABBOOT", "-T", fmt.Sprint(bootBytes/sectorBytes), "-h", "64", "-s", "32", "-H", fmt.Sprint(bootStart/sectorBytes), "::"),
		tool("mcopy", append(append([]string{"-s", "-i", inside}, top...), "::")...),
		tool("syslinux", "--offset", fmt.Sprint(bootStart), "--install", path))
}

// tool runs a program; the error ends with what it complains of.
func tool(name string, args ...string) error {
	cmd := exec.Command(name, args...)
	var complaints bytes.Buffer
	cmd.Stderr = &complaints
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%s: %w: %s", name, err, bytes.TrimSpace(complaints.Bytes()))
	}
	return nil
}
