package libvirt_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/occid/occid/hypervisor"
	"github.com/occid/occid/hypervisor/libvirt"
	"github.com/occid/occid/internal/lab"
)

// lostTime bounds what a lost host may take to be noticed and found again.
const lostTime = time.Minute

// TestLostHost checks that the end of a host's libvirtd is noticed and told, and
// that the connection is made again: when the process is killed and when it only
// falls silent.
func TestLostHost(t *testing.T) {
	t.Parallel()
	if err := lab.Available(); err != nil {
		t.Skip(err)
	}
	faults := map[string]struct{ fail, mend []string }{
		"killed": {[]string{"sh", "-c", "kill -KILL $(cat /run/libvirtd.pid)"}, []string{"libvirtd", "-d"}},
		"silent": {[]string{"sh", "-c", "kill -STOP $(cat /run/libvirtd.pid)"}, []string{"sh", "-c", "kill -CONT $(cat /run/libvirtd.pid)"}},
	}
	for name, fault := range faults {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			loseHost(t, fault.fail, fault.mend)
		})
	}
}

func loseHost(t *testing.T, fail, mend []string) {
	limit, cancel := context.WithTimeout(t.Context(), lostTime)
	t.Cleanup(cancel)
	h, err := lab.NewHost(limit, lab.Options{})
	must(t, err)
	t.Cleanup(func() { must(t, h.Close()) })
	d := open(t, libvirt.Config{URI: h.URI})
	domain := hypervisor.Domain{ID: uuid.New(), VCPUs: 1, MemoryBytes: 64 << 20}
	must(t, d.DefineDomain(limit, domain))
	reconnected := make(chan struct{}, 1)
	go func() {
		_ = d.Watch(limit, func(e hypervisor.Event) {
			if e.Reconnected {
				reconnected <- struct{}{}
			}
		})
	}()

	_, err = h.Run(limit, fail...)
	must(t, err)
	// The call is under way when the loss is noticed, and ends then.
	if _, err := d.Domain(limit, domain.ID); !errors.Is(err, hypervisor.ErrUnavailable) || limit.Err() != nil {
		t.Errorf("a call to the lost host gave %v, want ErrUnavailable", err)
	}
	_, err = h.Run(limit, mend...)
	must(t, err)
	select {
	case <-reconnected:
	case <-limit.Done():
		t.Fatal("the host was not found again")
	}
	st, err := d.Domain(limit, domain.ID)
	if err != nil || st.State != hypervisor.Stopped {
		t.Errorf("on the host that is back the domain is %+v, %v", st, err)
	}
	must(t, d.DeleteDomain(limit, domain.ID))
	must(t, h.Empty(limit))
}
