package guest

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// The last of Addresses is of no link: guests have a route to it, over the one before.
// No bridge can hold it. The DNS servers of two networks would both take it of theirs,
// and a bridge that is without guests, as one for all networks would be, has no carrier:
// the address would stay tentative there. So the host has it where it has its own.
const loopback = "lo"

// routed is that address.
var routed = Addresses[len(Addresses)-1].Addr()

// routedLife is how long the host keeps the address after somebody who gave it was killed.
// It is given anew well before that.
const routedLife = time.Minute

// routedNow tells whether the host has the address, and whether that is for a time, as
// those have it who give it here; the operator's own is for ever.
func routedNow() (has, passing bool, err error) {
	text, err := os.ReadFile("/proc/net/if_inet6")
	if err != nil {
		return false, false, err
	}
	for line := range strings.Lines(string(text)) {
		// The address, the numbers of its interface, prefix and scope, flags, and the name.
		f := strings.Fields(line)
		if len(f) < 6 || f[0] != hex.EncodeToString(routed.AsSlice()) {
			continue
		}
		flags, err := strconv.ParseUint(f[4], 16, 32)
		return true, err == nil && f[5] == loopback && flags&unix.IFA_F_PERMANENT == 0, err
	}
	return false, false, nil
}

// keepRouted gives the host the address for routedLife, unless it has it for ever. given
// tells that it did.
func keepRouted() (given bool, err error) {
	has, passing, err := routedNow()
	if err != nil || has && !passing {
		return false, err
	}
	i, err := net.InterfaceByName(loopback)
	if err != nil {
		return false, err
	}
	err = exchange(addressRequest(unix.RTM_NEWADDR, unix.NLM_F_CREATE|unix.NLM_F_REPLACE, i.Index))
	return err == nil, err
}

// removeRouted takes the address away if the host has it for a time.
func removeRouted() error {
	has, passing, err := routedNow()
	if err != nil || !has || !passing {
		return err
	}
	i, err := net.InterfaceByName(loopback)
	if err != nil {
		return err
	}
	return exchange(addressRequest(unix.RTM_DELADDR, 0, i.Index))
}

// addressRequest adds or removes the address at an interface (rtnetlink(7)). It is
// deprecated from the beginning: the host answers with it and asks nobody.
func addressRequest(what, flags uint16, index int) []byte {
	e := binary.NativeEndian
	address := routed.AsSlice()
	size := headerSize + unix.SizeofIfAddrmsg + 2*attributeSize + len(address) + unix.SizeofIfaCacheinfo
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
	b = append(b, address...)
	b = e.AppendUint16(b, attributeSize+unix.SizeofIfaCacheinfo)
	b = e.AppendUint16(b, unix.IFA_CACHEINFO)
	// Seconds that it is preferred and that it is valid; the rest is the kernel's to say.
	b = e.AppendUint32(b, 0)
	b = e.AppendUint32(b, uint32(routedLife/time.Second))
	return append(b, make([]byte, 8)...)
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
