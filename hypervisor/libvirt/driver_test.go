package libvirt_test

import (
	"io"
	"log/slog"
	"testing"

	"github.com/google/uuid"
	lv "libvirt.org/go/libvirt"
	"libvirt.org/go/libvirtxml"

	"github.com/occid/occid/hypervisor"
	"github.com/occid/occid/hypervisor/hypertest"
	"github.com/occid/occid/hypervisor/libvirt"
	"github.com/occid/occid/internal/lab"
)

// testHost is libvirt's own host inside the process. All connections of the
// process share it.
const testHost = "test:///default"

func open(t testing.TB, c libvirt.Config) *libvirt.Driver {
	t.Helper()
	if c.URI == "" {
		c.URI = testHost
	}
	c.Logger = slog.New(slog.NewTextHandler(io.Discard, nil))
	d, err := libvirt.Open(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.Close() })
	return d
}

// connect gives a connection beside the driver's, to see what it did.
func connect(t testing.TB, uri string) *lv.Connect {
	t.Helper()
	conn, err := lv.NewConnect(uri)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = conn.Close() })
	return conn
}

// embedded is a Driver as a program may have it that watches its calls.
type embedded struct{ *libvirt.Driver }

func TestSuite(t *testing.T) {
	t.Parallel()
	hypertest.Run(t, func(t *testing.T) hypervisor.Driver {
		return open(t, libvirt.Config{Bridges: hypervisor.Bridges{{Bridge: "br0"}: "br0", {Bridge: "br0", VLAN: 7}: "br7"},
			Pools: []libvirt.Pool{{Name: "other", Type: libvirt.PoolDir, Target: "/srv/other"}}})
	}, hypertest.Traits{
		Pool:      "other",
		PoolDir:   "/srv/added",
		Simulated: true,
		Other: func(t *testing.T) hypervisor.Driver {
			return embedded{open(t, libvirt.Config{URI: private(t), Pools: []libvirt.Pool{{Name: "other", Type: libvirt.PoolDir, Target: "/srv/other"}}})}
		},
		Bridge:   "br0",
		Reserved: func(t *testing.T, network uuid.UUID) []string { return reserved(t, testHost, network) },
		Foreign:  func(t *testing.T) uuid.UUID { return foreign(t, testHost, "test") },
		Stray: func(t *testing.T) uuid.UUID {
			conn := connect(t, testHost)
			id, err := lab.StrayDomain{Type: "test", Dir: "/srv"}.Make(conn)
			must(t, err)
			t.Cleanup(func() { must(t, lab.RemoveStray(conn, id)) })
			return id
		},
	})
}

// reserved gives the reservations of a network.
func reserved(t *testing.T, uri string, network uuid.UUID) []string {
	t.Helper()
	out, err := lab.Reserved(connect(t, uri), network.String())
	if err != nil {
		t.Error(err)
	}
	return out
}

// foreign makes a running domain as somebody else's tool would.
func foreign(t *testing.T, uri, kind string) uuid.UUID {
	t.Helper()
	id := uuid.New()
	x := libvirtxml.Domain{Type: kind, Name: "others-" + id.String(), UUID: id.String(),
		Memory: &libvirtxml.DomainMemory{Value: 64, Unit: "MiB"}, OS: &libvirtxml.DomainOS{Type: &libvirtxml.DomainOSType{Type: "hvm"}}}
	doc, err := x.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	dom, err := connect(t, uri).DomainDefineXML(doc)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = dom.Destroy()
		if err := dom.Undefine(); err != nil {
			t.Error(err)
		}
		_ = dom.Free()
	})
	if err := dom.Create(); err != nil {
		t.Fatal(err)
	}
	return id
}
