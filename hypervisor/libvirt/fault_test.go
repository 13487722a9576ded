package libvirt_test

import (
	"context"
	"errors"
	"net"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/occid/occid/hypervisor"
	"github.com/occid/occid/hypervisor/libvirt"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// ctx gives a context for cleaning up, when the test's own has ended.
func ctx(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// expired gives a context that ends soon, with a call under way.
func expired(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	t.Cleanup(cancel)
	return ctx
}

// hang makes the host hang at an operation on its first call, until the function
// it gives is called.
type hang struct {
	at      string
	hung    atomic.Bool
	reached chan struct{}
	release chan struct{}
	mu      sync.Mutex
	seen    []string
}

func newHang(at string) *hang {
	return &hang{at: at, reached: make(chan struct{}), release: make(chan struct{})}
}

func (h *hang) trace(op string, after bool) {
	if after {
		return
	}
	h.mu.Lock()
	h.seen = append(h.seen, op)
	h.mu.Unlock()
	if op == h.at && h.hung.CompareAndSwap(false, true) {
		close(h.reached)
		<-h.release
	}
}

func (h *hang) ops() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.seen)
}

// TestHang checks that a call that hangs holds up nobody but those who want the
// same domain, and that it is not lost on them.
func TestHang(t *testing.T) {
	t.Parallel()
	h := newHang("domain.create")
	calls := &observed{}
	d := open(t, libvirt.Config{URI: private(t), Trace: h.trace, Observer: calls})
	one := hypervisor.Domain{ID: uuid.New(), VCPUs: 1, MemoryBytes: 1 << 20}
	two := one
	two.ID = uuid.New()
	must(t, d.DefineDomain(t.Context(), one))
	must(t, d.DefineDomain(t.Context(), two))

	if err := d.StartDomain(expired(t), one.ID); !errors.Is(err, hypervisor.ErrUnavailable) {
		t.Errorf("a start that hangs gave %v, want ErrUnavailable", err)
	}
	<-h.reached
	must(t, d.StartDomain(t.Context(), two.ID))
	if st, err := d.Domain(t.Context(), one.ID); err != nil || st.State != hypervisor.Stopped {
		t.Errorf("the domain whose start hangs is %+v, %v", st, err)
	}
	if err := d.StartDomain(expired(t), one.ID); !errors.Is(err, hypervisor.ErrUnavailable) {
		t.Errorf("a start behind one that hangs gave %v, want ErrUnavailable", err)
	}
	if u := d.Usage(); !u.Connected || u.Calls != 1 || u.Hung != 1 {
		t.Errorf("while a call hangs: %+v", u)
	}
	close(h.release)
	must(t, d.StartDomain(t.Context(), one.ID))
	if u := d.Usage(); u.Hung != 0 {
		t.Errorf("when no call hangs any more: %+v", u)
	}
	calls.want(t, "define domain ok", "domain.define ok", "start domain ok", "domain.create ok", "describe domain ok")
	want := []string{"domain.define", "domain.define", "domain.create", "domain.create"}
	if got := h.ops(); !slices.Equal(got, want) {
		t.Errorf("the host was asked for %v, want %v: the second start must find the first", got, want)
	}
}

// TestHangChangesNothingLater checks that the steps after one that hung are not
// made for a caller that has gone.
func TestHangChangesNothingLater(t *testing.T) {
	t.Parallel()
	h := newHang("domain.destroy")
	d := open(t, libvirt.Config{URI: private(t), Trace: h.trace})
	one := hypervisor.Domain{ID: uuid.New(), VCPUs: 1, MemoryBytes: 1 << 20}
	must(t, d.DefineDomain(t.Context(), one))
	must(t, d.StartDomain(t.Context(), one.ID))
	if err := d.DeleteDomain(expired(t), one.ID); !errors.Is(err, hypervisor.ErrUnavailable) {
		t.Errorf("a deletion that hangs gave %v, want ErrUnavailable", err)
	}
	close(h.release)
	// Detaching what is not there waits for the deletion and does nothing.
	must(t, d.DetachDisk(t.Context(), one.ID, uuid.New()))
	if st, err := d.Domain(t.Context(), one.ID); err != nil || st.State != hypervisor.Stopped {
		t.Errorf("after the step that hung the domain is %+v, %v, want it stopped and defined", st, err)
	}
}

// TestCallsAreBounded checks that calls that hang fill no more than their share.
func TestCallsAreBounded(t *testing.T) {
	t.Parallel()
	h := newHang("domain.define")
	d := open(t, libvirt.Config{URI: private(t), Calls: 1, Trace: h.trace})
	one := hypervisor.Domain{ID: uuid.New(), VCPUs: 1, MemoryBytes: 1 << 20}
	first := make(chan error)
	go func() { first <- d.DefineDomain(t.Context(), one) }()
	<-h.reached
	if _, err := d.Info(expired(t)); !errors.Is(err, hypervisor.ErrUnavailable) {
		t.Errorf("a call beyond the bound gave %v, want ErrUnavailable", err)
	}
	close(h.release)
	must(t, <-first)
	_, err := d.Info(t.Context())
	must(t, err)
}

// TestCloseWhileHanging checks that Close lets callers go, and waits for no call.
func TestCloseWhileHanging(t *testing.T) {
	t.Parallel()
	h := newHang("domain.define")
	d := open(t, libvirt.Config{URI: private(t), Trace: h.trace})
	result := make(chan error)
	go func() {
		result <- d.DefineDomain(t.Context(), hypervisor.Domain{ID: uuid.New(), VCPUs: 1, MemoryBytes: 1 << 20})
	}()
	<-h.reached
	must(t, d.Close())
	if err := <-result; !errors.Is(err, hypervisor.ErrUnavailable) {
		t.Errorf("a call under way when the driver was closed gave %v, want ErrUnavailable", err)
	}
	close(h.release)
}

func TestUnreachable(t *testing.T) {
	t.Parallel()
	silent := filepath.Join(t.TempDir(), "silent")
	l, err := net.Listen("unix", silent)
	must(t, err)
	t.Cleanup(func() { _ = l.Close() })
	for name, uri := range map[string]string{
		"no socket":     "qemu+unix:///system?socket=" + filepath.Join(t.TempDir(), "none"),
		"silent socket": "qemu+unix:///system?socket=" + silent,
		"no driver":     "nothing:///at/all",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := open(t, libvirt.Config{URI: uri})
			if _, err := d.Info(expired(t)); !errors.Is(err, hypervisor.ErrUnavailable) {
				t.Errorf("got %v, want ErrUnavailable", err)
			}
			must(t, d.Close())
		})
	}
}

func TestOpenWithoutURI(t *testing.T) {
	t.Parallel()
	if d, err := libvirt.Open(libvirt.Config{}); err == nil {
		t.Errorf("got %v, want an error", d)
	}
}

// TestOps checks that only operations that are listed are traced.
func TestOps(t *testing.T) {
	t.Parallel()
	h := newHang("")
	d := open(t, libvirt.Config{URI: private(t), Trace: h.trace})
	one, volume, network := hypervisor.Domain{ID: number(1), VCPUs: 1, MemoryBytes: 1 << 20}, number(2), number(3)
	for _, err := range []error{
		d.CreateVolume(t.Context(), hypervisor.Volume{ID: volume, SizeBytes: 1 << 20}),
		d.DefineNetwork(t.Context(), hypervisor.Network{ID: network}),
		d.StartNetwork(t.Context(), network),
		d.DefineDomain(t.Context(), one),
		d.AttachDisk(t.Context(), one.ID, hypervisor.Disk{ID: number(4), Volume: volume, Target: "vda"}),
		d.StartDomain(t.Context(), one.ID),
		d.AttachNIC(t.Context(), one.ID, hypervisor.NIC{ID: number(5), Network: network, MAC: "02:00:00:00:00:01"}),
		d.DetachNIC(t.Context(), one.ID, number(5)),
		d.StopDomain(t.Context(), one.ID, hypervisor.StopMode{Force: true}),
		d.DeleteDomain(t.Context(), one.ID),
		d.DeleteNetwork(t.Context(), network),
		d.DeleteVolume(t.Context(), volume),
	} {
		must(t, err)
	}
	want := []string{
		"pool.define", "pool.build", "pool.autostart", "pool.create", "volume.create",
		"network.define", "network.autostart", "network.create",
		"domain.define", "device.define", "domain.create", "device.attach", "device.define", "device.define",
		"domain.destroy", "domain.undefine", "network.destroy", "network.undefine", "volume.delete",
	}
	if got := h.ops(); !slices.Equal(got, want) {
		t.Errorf("the host was asked for\n%v, want\n%v", got, want)
	}
	for _, op := range want {
		if !slices.Contains(libvirt.Ops(), op) {
			t.Errorf("%s is not in Ops", op)
		}
	}
}
