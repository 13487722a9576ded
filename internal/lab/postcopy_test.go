package lab_test

import (
	"context"
	"testing"
	"time"

	"libvirt.org/go/libvirt"

	"github.com/occid/occid/internal/lab"
)

// restless has a guest change its memory faster than it is sent, beside ticking.
const restless = `(while :; do dd if=/dev/urandom of=/restless bs=1M count=16 2>/dev/null; done) &
` + ticking

// restlessMiB is how much of it is sent in a second.
const restlessMiB = "16"

// TestMigratePostCopy moves a machine that changes its memory faster than that is sent. It
// goes on at the target before all of its memory is there.
func TestMigratePostCopy(t *testing.T) {
	long(t, "it sends little at once")
	t.Parallel()
	f, _ := newFleet(t)
	machine := f.machine(f.disk(""), "", restless)
	f.act(machine, "start", "active")
	now := f.ticksAlone(machine, tick{})
	first, second := f.at(machine)
	seen := f.watched(f.hosts[second], uuidOf(machine))
	f.act(machine, "migrate&post_copy=true&bandwidth="+restlessMiB, "active")
	if looks := seen(); looks == 0 {
		t.Error("it was not seen to run there before all of its memory was")
	}
	if here, _ := f.at(machine); here != second {
		t.Fatalf("it is on %s, and was on %s", here, first)
	}
	f.ticksAlone(machine, now)
}

// watched looks at a machine on a host all the time, until the function that it gives is
// called, which tells how often it ran there without all of its memory.
func (f *fleet) watched(h *lab.Host, id string) (looks func() int) {
	f.t.Helper()
	c, err := libvirt.NewConnect(h.URI)
	if err != nil {
		f.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(f.ctx)
	f.t.Cleanup(cancel)
	ended := make(chan int, 1)
	go func() {
		defer c.Close()
		n := 0
		for tick := time.NewTicker(5 * time.Millisecond); ; {
			if d, err := c.LookupDomainByUUIDString(id); err == nil {
				if state, reason, err := d.GetState(); err == nil && state == libvirt.DOMAIN_RUNNING && libvirt.DomainRunningReason(reason) == libvirt.DOMAIN_RUNNING_POSTCOPY {
					n++
				}
				_ = d.Free()
			}
			select {
			case <-ctx.Done():
				tick.Stop()
				ended <- n
				return
			case <-tick.C:
			}
		}
	}()
	return func() int {
		cancel()
		return <-ended
	}
}
