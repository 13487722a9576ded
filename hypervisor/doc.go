// Package hypervisor drives virtual machine hosts in the hosts' own terms:
// domains, networks, volumes, devices, in bytes and counts.
//
// It knows nothing of OCCI. Driver is the interface, package libvirt below this
// one implements it, and package hypertest holds the suite for implementations.
// Every method is idempotent: asked for what already holds, it does nothing and
// succeeds, so a caller that was killed half way may ask again. Every method
// honours its context's deadline even when the host hangs.
package hypervisor
