package lab

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
)

// tools are the programs that a host is made of, with their Debian packages.
var tools = []struct{ name, pkg string }{
	{"busybox", "busybox-static"},
	{"dnsmasq", "dnsmasq-base"},
	{"ip", "iproute2"},
	{"iptables", "iptables"},
	{"libvirtd", "libvirt-daemon"},
	{"mcopy", "mtools"},
	{"mount", "mount"},
	{"nsenter", "util-linux"},
	{"qemu-img", "qemu-utils"},
	{"qemu-system-x86_64", "qemu-system-x86"},
	{"syslinux", "syslinux"},
	{"tail", "coreutils"},
	{"virsh", "libvirt-clients"},
	{"virtlogd", "libvirt-daemon"},
}

// loaders are the boot loader's files, with their Debian packages.
var loaders = []struct{ file, pkg string }{
	{bootRecord, "syslinux"},
	{bootFiles["EFI/BOOT/BOOTX64.EFI"], "syslinux-efi"},
	{bootFiles["EFI/BOOT/ldlinux.e64"], "syslinux-common"},
}

// namespaces are what a host has of its own.
const namespaces = syscall.CLONE_NEWPID | syscall.CLONE_NEWNS | syscall.CLONE_NEWNET | syscall.CLONE_NEWUTS | syscall.CLONE_NEWIPC

// Available reports in one line what this machine lacks to make a Host, a
// Guest and an Image; nil if nothing.
func Available() error {
	if os.Geteuid() != 0 {
		return fmt.Errorf("lab: needs root")
	}
	var missing []string
	for _, t := range tools {
		if _, err := exec.LookPath(t.name); err != nil {
			missing = append(missing, t.name+" (Debian package "+t.pkg+")")
		}
	}
	for _, l := range loaders {
		if _, err := os.Stat(l.file); err != nil {
			missing = append(missing, l.file+" (Debian package "+l.pkg+")")
		}
	}
	if len(missing) > 0 {
		return fmt.Errorf("lab: needs %s", strings.Join(missing, ", "))
	}
	if _, err := newestKernel(); err != nil {
		return fmt.Errorf("lab: needs %w", err)
	}
	if _, err := os.Stat("/dev/net/tun"); err != nil {
		return fmt.Errorf("lab: needs TUN interfaces: %w", err)
	}
	try := exec.Command("true")
	try.SysProcAttr = &syscall.SysProcAttr{Cloneflags: namespaces}
	if err := try.Run(); err != nil {
		return fmt.Errorf("lab: needs namespaces: %w", err)
	}
	return nil
}
