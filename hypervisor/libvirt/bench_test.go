package libvirt_test

import (
	"testing"

	"github.com/google/uuid"
	lv "libvirt.org/go/libvirt"
	"libvirt.org/go/libvirtxml"

	"github.com/occid/occid/hypervisor"
	"github.com/occid/occid/hypervisor/libvirt"
)

// BenchmarkDefineStart compares what a domain costs from its definition to its
// end, through the driver and by bare calls of libvirt.
func BenchmarkDefineStart(b *testing.B) {
	b.Run("Driver", func(b *testing.B) {
		d := open(b, libvirt.Config{})
		for b.Loop() {
			spec := hypervisor.Domain{ID: uuid.New(), VCPUs: 1, MemoryBytes: 64 << 20, Title: "benchmark"}
			must(b, d.DefineDomain(b.Context(), spec))
			must(b, d.StartDomain(b.Context(), spec.ID))
			must(b, d.DeleteDomain(b.Context(), spec.ID))
		}
	})
	b.Run("Libvirt", func(b *testing.B) {
		conn := connect(b, testHost)
		for b.Loop() {
			id := uuid.NewString()
			x := libvirtxml.Domain{Type: "test", Name: id, UUID: id, Memory: &libvirtxml.DomainMemory{Value: 64, Unit: "MiB"},
				OS: &libvirtxml.DomainOS{Type: &libvirtxml.DomainOSType{Type: "hvm"}}}
			doc, err := x.Marshal()
			must(b, err)
			bare(b, conn, doc)
		}
	})
}

func bare(b *testing.B, conn *lv.Connect, doc string) {
	dom, err := conn.DomainDefineXML(doc)
	must(b, err)
	must(b, dom.Create())
	must(b, dom.Destroy())
	must(b, dom.Undefine())
	must(b, dom.Free())
}

// BenchmarkDomains lists a host with 1,000 domains.
func BenchmarkDomains(b *testing.B) {
	d := open(b, libvirt.Config{})
	for range 1000 {
		spec := hypervisor.Domain{ID: uuid.New(), VCPUs: 1, MemoryBytes: 64 << 20}
		must(b, d.DefineDomain(b.Context(), spec))
		b.Cleanup(func() { must(b, d.DeleteDomain(ctx(b), spec.ID)) })
	}
	for b.Loop() {
		_, err := d.Domains(b.Context())
		must(b, err)
	}
}
