package guest

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"

	"golang.org/x/sys/unix"
)

// errNoNeighbour tells that the host knows no MAC address for an address.
var errNoNeighbour = errors.New("the host has no neighbour with this address there")

// neighbour asks the kernel for the MAC address behind an address on an interface.
func neighbour(index int, a netip.Addr) (net.HardwareAddr, error) {
	b, err := ask(neighbourRequest(index, a))
	if err != nil {
		return nil, err
	}
	return neighbourAnswer(b)
}

// ask sends a request to the kernel that it has one answer to.
func ask(request []byte) ([]byte, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("netlink: %w", err)
	}
	defer unix.Close(fd)
	if err := unix.Sendto(fd, request, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return nil, fmt.Errorf("netlink: %w", err)
	}
	buf := make([]byte, 4096)
	n, _, err := unix.Recvfrom(fd, buf, 0)
	if err != nil {
		return nil, fmt.Errorf("netlink: %w", err)
	}
	return buf[:n], nil
}

// Sizes of the kernel's structures, in bytes.
const (
	headerSize    = unix.SizeofNlMsghdr
	neighbourSize = unix.SizeofNdMsg
	attributeSize = unix.SizeofRtAttr
)

// neighbourRequest is RTM_GETNEIGH for one entry (rtnetlink(7)).
func neighbourRequest(index int, a netip.Addr) []byte {
	family, address := byte(unix.AF_INET), a.AsSlice()
	if a.Is6() {
		family = unix.AF_INET6
	}
	e := binary.NativeEndian
	size := headerSize + neighbourSize + attributeSize + len(address)
	b := make([]byte, 0, size)
	b = e.AppendUint32(b, uint32(size))
	b = e.AppendUint16(b, unix.RTM_GETNEIGH)
	b = e.AppendUint16(b, unix.NLM_F_REQUEST)
	b = e.AppendUint32(b, 1) // sequence
	b = e.AppendUint32(b, 0) // port: the kernel's
	b = append(b, family, 0, 0, 0)
	b = e.AppendUint32(b, uint32(index))
	b = append(b, 0, 0, 0, 0) // state, flags, type
	b = e.AppendUint16(b, uint16(attributeSize+len(address)))
	b = e.AppendUint16(b, unix.NDA_DST)
	return append(b, address...)
}

// neighbourAnswer reads what the kernel says to that.
func neighbourAnswer(b []byte) (net.HardwareAddr, error) {
	e := binary.NativeEndian
	if len(b) < headerSize {
		return nil, errors.New("netlink: the answer is too short")
	}
	if size := int(e.Uint32(b)); size < headerSize || size > len(b) {
		return nil, errors.New("netlink: the answer has a wrong size")
	} else {
		b = b[:size]
	}
	kind := e.Uint16(b[4:])
	b = b[headerSize:]
	switch {
	case kind == unix.NLMSG_ERROR && len(b) >= 4:
		if errno := unix.Errno(-int32(e.Uint32(b))); errno != unix.ENOENT {
			return nil, fmt.Errorf("netlink: %w", errno)
		}
		return nil, errNoNeighbour
	case kind != unix.RTM_NEWNEIGH || len(b) < neighbourSize:
		return nil, errors.New("netlink: the answer is about something else")
	}
	if state := e.Uint16(b[8:]); state&(unix.NUD_INCOMPLETE|unix.NUD_FAILED|unix.NUD_NOARP) != 0 {
		return nil, errNoNeighbour
	}
	for b = b[neighbourSize:]; len(b) >= attributeSize; {
		size, what := int(e.Uint16(b)), e.Uint16(b[2:])
		if size < attributeSize || size > len(b) {
			break
		}
		if what == unix.NDA_LLADDR && size == attributeSize+6 {
			return net.HardwareAddr(append([]byte(nil), b[attributeSize:size]...)), nil
		}
		b = b[min((size+3)&^3, len(b)):]
	}
	return nil, errNoNeighbour
}

// parseMAC reads a MAC address in the one way in which Peers have it.
func parseMAC(s string) (hw [6]byte, ok bool) {
	b, err := net.ParseMAC(s)
	if err != nil || len(b) != len(hw) || b.String() != s {
		return hw, false
	}
	return [6]byte(b), true
}
