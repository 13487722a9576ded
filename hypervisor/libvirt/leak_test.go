package libvirt

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/google/uuid"
	"libvirt.org/go/libvirt"

	"github.com/occid/occid/hypervisor"
)

// TestGivesBack checks that no call keeps an object of libvirt, each of which
// holds a reference to its connection.
func TestGivesBack(t *testing.T) {
	t.Parallel()
	// On a host of its own: events of other tests' domains hold references too.
	node := filepath.Join(t.TempDir(), "node.xml")
	if err := os.WriteFile(node, []byte("<node/>"), 0o600); err != nil {
		t.Fatal(err)
	}
	d, err := Open(Config{URI: "test://" + node, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.Close() })
	s, err := d.keeper.get(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := s.hold(); err != nil {
		t.Fatal(err)
	}
	everyCall(t, d)
	// The session is held, so that it is this test that ends it.
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	if !inLoop(t, s.end) {
		t.Error("a call has kept something")
	}
}

// inLoop runs f in libvirt's event loop: while an event is handed out, its
// callback holds the connection, deregistered or not.
func inLoop(t *testing.T, f func() bool) bool {
	t.Helper()
	result := make(chan bool, 1)
	once := sync.OnceFunc(func() { result <- f() })
	timer, err := libvirt.EventAddTimeout(0, func(int) { once() })
	if err != nil {
		t.Fatal(err)
	}
	ok := <-result
	if err := libvirt.EventRemoveTimeout(timer); err != nil {
		t.Error(err)
	}
	return ok
}

// everyCall makes each call, with success and in vain.
func everyCall(t *testing.T, d *Driver) {
	ctx := t.Context()
	volume, network := hypervisor.Volume{ID: uuid.New(), SizeBytes: 1 << 20}, hypervisor.Network{ID: uuid.New(), CIDR: "198.18.0.0/24", DHCP: true}
	domain := hypervisor.Domain{ID: uuid.New(), VCPUs: 1, MemoryBytes: 1 << 20}
	copied := uuid.New()
	disk := hypervisor.Disk{ID: uuid.New(), Volume: volume.ID, Target: "vda"}
	nic := hypervisor.NIC{ID: uuid.New(), Network: network.ID, MAC: "02:00:00:00:00:01", Addresses: []string{"198.18.0.2"}}
	lists := func() error {
		_, a := d.Domains(ctx)
		_, b := d.Networks(ctx)
		_, c := d.Volumes(ctx)
		_, e := d.Domain(ctx, domain.ID)
		if errors.Is(e, hypervisor.ErrNotFound) {
			e = nil
		}
		return errors.Join(a, b, c, e)
	}
	deletes := func() error {
		return errors.Join(d.DeleteDomain(ctx, domain.ID), d.DeleteVolume(ctx, volume.ID), d.DeleteNetwork(ctx, network.ID))
	}
	for range 2 {
		for i, err := range []error{
			d.CreateVolume(ctx, volume), d.DefineNetwork(ctx, network), d.StartNetwork(ctx, network.ID),
			d.DefineDomain(ctx, domain), d.DefineDomain(ctx, domain), d.AttachDisk(ctx, domain.ID, disk), d.StartDomain(ctx, domain.ID),
			d.AttachNIC(ctx, domain.ID, nic), d.AdjustDomain(ctx, domain.ID), d.CopyVolume(ctx, volume.ID, copied), d.DeleteVolume(ctx, copied), d.CreateVolume(ctx, hypervisor.Volume{ID: volume.ID, SizeBytes: 2 << 20}), lists(),
			d.SuspendDomain(ctx, domain.ID, hypervisor.SuspendDisk), d.RestartDomain(ctx, domain.ID, hypervisor.RestartWarm),
			d.DetachDisk(ctx, domain.ID, disk.ID), d.DetachNIC(ctx, domain.ID, nic.ID), d.StopNetwork(ctx, network.ID),
			deletes(), deletes(), lists(),
		} {
			if err != nil {
				t.Errorf("call %d: %v", i, err)
			}
		}
		for i, err := range []error{
			d.StartDomain(ctx, domain.ID), d.AttachDisk(ctx, domain.ID, disk), d.StartNetwork(ctx, network.ID),
		} {
			if !errors.Is(err, hypervisor.ErrNotFound) {
				t.Errorf("call %d in vain: got %v, want ErrNotFound", i, err)
			}
		}
	}
}
