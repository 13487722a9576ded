package occi

import (
	"net"
	"net/netip"

	"github.com/google/uuid"
)

// Address is an IP or MAC address in a network, which one entity at most has. It is
// comparable; two are equal if they mean the same address.
type Address struct {
	Network uuid.UUID
	// Key is what the address is kept and ordered by: a byte for its sort, and its
	// bytes.
	Key string
}

// What keys begin with.
const (
	ipv4Key = '4'
	ipv6Key = '6'
	macKey  = 'm'
)

// IPAddress is an IP address in a network.
func IPAddress(network uuid.UUID, ip netip.Addr) Address {
	sort := byte(ipv6Key)
	if ip.Is4() {
		sort = ipv4Key
	}
	return Address{network, string(append([]byte{sort}, ip.AsSlice()...))}
}

// MACAddress is a MAC address in a network; ok is false for a text that is none.
func MACAddress(network uuid.UUID, mac string) (a Address, ok bool) {
	hw, err := net.ParseMAC(mac)
	if err != nil {
		return Address{}, false
	}
	return Address{network, string(append([]byte{macKey}, hw...))}, true
}

// IP gives the address if it is an IP address.
func (a Address) IP() (ip netip.Addr, ok bool) {
	if a.Key == "" || a.Key[0] != ipv4Key && a.Key[0] != ipv6Key {
		return netip.Addr{}, false
	}
	return netip.AddrFromSlice([]byte(a.Key[1:]))
}

// String is the address as people write it.
func (a Address) String() string {
	if ip, ok := a.IP(); ok {
		return ip.String()
	}
	if a.Key == "" {
		return ""
	}
	return net.HardwareAddr(a.Key[1:]).String()
}

// Hold is what an entity has of addresses.
type Hold struct {
	Holder    uuid.UUID
	Addresses []Address
}

// Span is the addresses from First to Last, both included.
type Span struct{ First, Last netip.Addr }
