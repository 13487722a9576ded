package engine_test

import (
	"slices"
	"testing"

	"github.com/occid/occid/hypervisor"
)

func TestALostHostIsMadeAgainInOrder(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	vm := c.create(draft(compute))
	vol := c.create(draft(storage, "occi.storage.size", 1))
	c.create(link(disk, vm, vol))
	c.host.mu.Lock()
	clear(c.host.domains)
	clear(c.host.volumes)
	c.host.mu.Unlock()
	before := len(c.host.calls())
	c.host.events <- hypervisor.Event{Reconnected: true}
	c.until("the machine is made again", func() bool {
		return len(values(c.host, c.host.domains)) == 1 && len(c.get(vm.ID).Tasks) == 0
	})
	calls := c.host.calls()[before:]
	volume := slices.Index(calls, "create volume "+vol.ID.String())
	machine := slices.Index(calls, "define domain "+vm.ID.String())
	if volume < 0 || machine < volume {
		t.Errorf("a machine was made before its disk: %q", calls)
	}
}
