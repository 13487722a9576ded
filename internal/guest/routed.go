package guest

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"

	"golang.org/x/sys/unix"
)

// The last of Addresses is of no link: guests have a route to it, over the one before.
// No bridge can hold it. The DNS servers of two networks would both take it of theirs,
// and a bridge that is without guests, as one for all networks would be, has no carrier:
// the address would stay tentative there. So the host has it where it has its own.
const loopback = "lo"

// routed is that address.
var routed = Addresses[len(Addresses)-1].Addr()

// addRouted gives the host the address, unless it has it. remove takes it away again.
func addRouted() (remove func() error, err error) {
	nothing := func() error { return nil }
	has, err := net.InterfaceAddrs()
	if err != nil {
		return nothing, err
	}
	if slices.ContainsFunc(has, func(a net.Addr) bool {
		p, err := netip.ParsePrefix(a.String())
		return err == nil && p.Addr() == routed
	}) {
		return nothing, nil
	}
	i, err := net.InterfaceByName(loopback)
	if err != nil {
		return nothing, err
	}
	err = exchange(addressRequest(unix.RTM_NEWADDR, unix.NLM_F_CREATE|unix.NLM_F_EXCL, i.Index))
	if errors.Is(err, unix.EEXIST) {
		return nothing, nil
	}
	if err != nil {
		return nothing, err
	}
	return func() error { return exchange(addressRequest(unix.RTM_DELADDR, 0, i.Index)) }, nil
}

// addressRequest adds or removes the address at an interface (rtnetlink(7)).
func addressRequest(what, flags uint16, index int) []byte {
	e := binary.NativeEndian
	address := routed.AsSlice()
	size := headerSize + unix.SizeofIfAddrmsg + attributeSize + len(address)
	b := make([]byte, 0, size)
	b = e.AppendUint32(b, uint32(size))
	b = e.AppendUint16(b, what)
	b = e.AppendUint16(b, unix.NLM_F_REQUEST|unix.NLM_F_ACK|flags)
	b = e.AppendUint32(b, 1) // sequence
	b = e.AppendUint32(b, 0) // port: the kernel's
	b = append(b, unix.AF_INET6, byte(routed.BitLen()), unix.IFA_F_NODAD, unix.RT_SCOPE_UNIVERSE)
	b = e.AppendUint32(b, uint32(index))
	b = e.AppendUint16(b, uint16(attributeSize+len(address)))
	b = e.AppendUint16(b, unix.IFA_LOCAL)
	return append(b, address...)
}

// exchange sends a request to the kernel that it acknowledges.
func exchange(request []byte) error {
	b, err := ask(request)
	if err != nil {
		return err
	}
	e := binary.NativeEndian
	if len(b) < headerSize+4 || e.Uint16(b[4:]) != unix.NLMSG_ERROR {
		return errors.New("netlink: the answer is about something else")
	}
	if errno := unix.Errno(-int32(e.Uint32(b[headerSize:]))); errno != 0 {
		return fmt.Errorf("netlink: %w", errno)
	}
	return nil
}
