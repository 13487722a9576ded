// Package lab makes real virtual machine hosts for tests on one Linux machine.
//
// A Host is a libvirtd with QEMU in process, mount, network, host name and IPC
// namespaces of its own. What it writes is in memory, and its processes, mounts
// and networks end with the process that made it, however that ends. A Guest is
// a Linux made of the installed Debian packages that boots in seconds under
// emulation and tells on its serial console, which a Console reads, what it
// sees. An Image is a disk with such a guest, which boots by itself with BIOS or
// UEFI. Server runs occid beside them, and Furnish gives it what a person needs to try it.
//
// Hosts are emulated (TCG) also where KVM is at hand: what the tests see is then
// the same everywhere.
//
// Making hosts needs root; Available says what is missing.
package lab
