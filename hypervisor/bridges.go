package hypervisor

import (
	"fmt"
	"regexp"
	"strconv"
)

// Bridges are the bridges of a host that its operator offers to networks, by what
// they are offered for. ParseBridges makes them.
type Bridges map[Wire]string

// Wire is what a network can be bridged to: a bridge, with a VLAN or 0 for none.
type Wire struct {
	Bridge string
	VLAN   int
}

var bridgeEntry = regexp.MustCompile(`^([\w-]+)(?:\.([1-9]\d{0,3})=([\w.-]+))?$`)

// maxBridge is how long the name of a Linux interface may be, in bytes; maxVLAN the
// highest VLAN that traffic can have.
const (
	maxBridge = 15
	maxVLAN   = 4094
)

// ParseBridges reads what an operator writes. An entry is the name of a bridge, for
// traffic without tags, or BRIDGE.VLAN=NAME: what is bridged to BRIDGE with that VLAN
// is put on the bridge NAME, which the operator has connected to the VLAN.
func ParseBridges(entries []string) (Bridges, error) {
	b := Bridges{}
	for _, e := range entries {
		m := bridgeEntry.FindStringSubmatch(e)
		if m == nil {
			return nil, fmt.Errorf("bridge %q is neither NAME nor BRIDGE.VLAN=NAME", e)
		}
		vlan, _ := strconv.Atoi(m[2])
		name := m[1]
		if vlan > 0 {
			name = m[3]
		}
		if vlan > maxVLAN || len(name) > maxBridge || len(m[1]) > maxBridge {
			return nil, fmt.Errorf("bridge %q: a VLAN is at most %d, a name at most %d bytes", e, maxVLAN, maxBridge)
		}
		b[Wire{m[1], vlan}] = name
	}
	return b, nil
}

// On gives the bridge of the host for traffic that is to be on a bridge with a VLAN,
// 0 for none. A Linux bridge carries no tags of its ports, so that each VLAN has one of
// its own. What is not offered is ErrInvalid.
func (b Bridges) On(bridge string, vlan int) (string, error) {
	if name := b[Wire{bridge, vlan}]; name != "" {
		return name, nil
	}
	if vlan == 0 {
		return "", fmt.Errorf("%w: no bridge %q is offered to networks", ErrInvalid, bridge)
	}
	return "", fmt.Errorf("%w: no bridge is offered to networks for VLAN %d of %q", ErrInvalid, vlan, bridge)
}
