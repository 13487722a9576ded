package lab

import (
	"context"
	"fmt"
	"os/exec"
	"strconv"
)

// wire is the interface that joins a host to another.
const wire = "wire0"

// Join lays a wire between two hosts, which reach each other at their addresses then. It
// goes with either.
func Join(ctx context.Context, a, b *Host) error {
	pair := []string{"link", "add", wire, "netns", strconv.Itoa(a.pid), "type", "veth", "peer", "name", wire, "netns", strconv.Itoa(b.pid)}
	if out, err := exec.CommandContext(ctx, "ip", pair...).CombinedOutput(); err != nil {
		return fmt.Errorf("join two hosts: %w: %s", err, out)
	}
	for _, h := range []*Host{a, b} {
		for _, args := range [][]string{{"addr", "add", h.address.String(), "dev", wire}, {"link", "set", wire, "up"}} {
			if _, err := h.Run(ctx, append([]string{"ip"}, args...)...); err != nil {
				return fmt.Errorf("join two hosts: %w", err)
			}
		}
		h.initial["interface "+wire]++
	}
	return nil
}
