// Package libvirt implements hypervisor.Driver over libvirt: a domain, network
// or volume of the host for each of the driver's, devices for disks and
// interfaces.
//
// Open returns at once; the connection is made, watched and made again in the
// background. Every method runs its libvirt calls in a goroutine of its own and
// returns when its context ends, because a call into a host that hangs cannot be
// interrupted; how many may be under way at once is bounded.
//
// What the driver makes bears its mark (an element in the namespace Namespace of
// the definition's metadata, or a name in the driver's own pool). What does not
// is listed but never changed. All XML is made by marshalling structs.
package libvirt
