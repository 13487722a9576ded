package libvirt_test

import (
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	lv "libvirt.org/go/libvirt"
	"libvirt.org/go/libvirtxml"

	"github.com/occid/occid/hypervisor"
	"github.com/occid/occid/hypervisor/libvirt"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// golden compares with a file under testdata, whose name ends in .xml.
func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name+".xml")
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s differs (-want +got):\n%s", file, diff)
	}
}

// private makes a test host of this test's own, with nothing on it, and
// gives its URI.
func private(t *testing.T) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "host.xml")
	const node = `<node><cpu><nodes>1</nodes><sockets>1</sockets><cores>2</cores><threads>1</threads></cpu><memory>8192000</memory></node>`
	if err := os.WriteFile(file, []byte(node), 0o644); err != nil {
		t.Fatal(err)
	}
	return "test://" + file
}

// number gives the same UUID in each run.
func number(n byte) uuid.UUID {
	return uuid.UUID{0: 0x11, 6: 0x40, 8: 0x80, 15: n}
}

// TestGolden shows what definitions the host is given, as it gives them back.
func TestGolden(t *testing.T) {
	t.Parallel()
	d, conn := open(t, libvirt.Config{}), connect(t, testHost)
	volume := hypervisor.Volume{ID: number(1), SizeBytes: 1 << 30}
	network := hypervisor.Network{ID: number(2), Name: "front", Title: `in "front" <of> all`, VLAN: 7, CIDR: "198.18.0.0/24", Gateway: "198.18.0.9", DHCP: true}
	domain := hypervisor.Domain{
		ID: number(3), Name: "web 1", Title: `"><&]]>`, VCPUs: 2, MemoryBytes: 1<<30 - 1, Arch: "x86_64", CPUShares: 512,
		Kernel: "/var/lib/libvirt/boot/vmlinuz", Initrd: "/var/lib/libvirt/boot/initrd", Cmdline: `console=ttyS0 x="<&>"`,
		Disks:    []hypervisor.Disk{{ID: number(4), Volume: volume.ID, Target: "vda", ReadOnly: true}},
		NICs:     []hypervisor.NIC{{ID: number(5), Network: network.ID, MAC: "02-00-00-00-00-0A"}},
		Firmware: hypervisor.FirmwareUEFI, Graphics: true, Seed: []byte("an image"),
	}
	must(t, d.CreateVolume(t.Context(), volume))
	t.Cleanup(func() { must(t, d.DeleteVolume(ctx(t), volume.ID)) })
	must(t, d.DefineNetwork(t.Context(), network))
	t.Cleanup(func() { must(t, d.DeleteNetwork(ctx(t), network.ID)) })
	must(t, d.DefineDomain(t.Context(), domain))
	t.Cleanup(func() { must(t, d.DeleteDomain(ctx(t), domain.ID)) })

	dom, err := conn.LookupDomainByUUID(domain.ID[:])
	must(t, err)
	defer func() { _ = dom.Free() }()
	doc, err := dom.GetXMLDesc(lv.DOMAIN_XML_INACTIVE)
	must(t, err)
	golden(t, "domain", regexp.MustCompile(`testnet\d+`).ReplaceAllString(doc, "testnetN"))

	net, err := conn.LookupNetworkByUUID(network.ID[:])
	must(t, err)
	defer func() { _ = net.Free() }()
	doc, err = net.GetXMLDesc(0)
	must(t, err)
	golden(t, "network", doc)

	pool, err := conn.LookupStoragePoolByName("occid")
	must(t, err)
	defer func() { _ = pool.Free() }()
	goldenPool(t, "pool", pool)
	vol, err := pool.LookupStorageVolByName(volume.ID.String() + ".qcow2")
	must(t, err)
	defer func() { _ = vol.Free() }()
	doc, err = vol.GetXMLDesc(0)
	must(t, err)
	golden(t, "volume", doc)
}

// goldenPool is golden for what the host has of a pool, sizes excepted.
func goldenPool(t *testing.T, name string, pool *lv.StoragePool) {
	t.Helper()
	doc, err := pool.GetXMLDesc(0)
	must(t, err)
	golden(t, name, regexp.MustCompile(`(?m)^  <(capacity|allocation|available).*\n`).ReplaceAllString(doc, ""))
}

// TestDefinitionUntouched checks that a definition that says what it must is not
// written again, and that what operators added to it stays.
func TestDefinitionUntouched(t *testing.T) {
	t.Parallel()
	uri := private(t)
	ops := make(chan string, 100)
	d := open(t, libvirt.Config{URI: uri, Trace: func(op string, after bool) {
		if !after {
			ops <- op
		}
	}})
	domain := hypervisor.Domain{ID: number(1), VCPUs: 1, MemoryBytes: 1 << 30, Title: "t"}
	network := hypervisor.Network{ID: number(2), CIDR: "198.18.0.0/24", Title: "t"}
	want := []string{"domain.define", "network.define"}
	for range 3 {
		must(t, d.DefineDomain(t.Context(), domain))
		must(t, d.DefineNetwork(t.Context(), network))
	}
	for _, w := range want {
		if got := <-ops; got != w {
			t.Errorf("got %s, want %s", got, w)
		}
	}
	if len(ops) > 0 {
		t.Errorf("%s although nothing was to change", <-ops)
	}
}

// TestOperatorsChanges checks that what an operator added to a definition stays
// when it is changed.
func TestOperatorsChanges(t *testing.T) {
	t.Parallel()
	d, conn := open(t, libvirt.Config{}), connect(t, testHost)
	domain := hypervisor.Domain{ID: uuid.New(), VCPUs: 1, MemoryBytes: 1 << 30}
	must(t, d.DefineDomain(t.Context(), domain))
	t.Cleanup(func() { must(t, d.DeleteDomain(ctx(t), domain.ID)) })
	x := read(t, conn, domain.ID)
	x.Description, x.OnCrash = "ours", "preserve"
	x.Metadata.XML += `<o:note xmlns:o="http://example.com/1">keep</o:note>`
	doc, err := x.Marshal()
	must(t, err)
	dom, err := conn.DomainDefineXML(doc)
	must(t, err)
	must(t, dom.Free())
	domain.VCPUs = 2
	must(t, d.DefineDomain(t.Context(), domain))
	x = read(t, conn, domain.ID)
	if x.VCPU.Current != 2 || x.Description != "ours" || x.OnCrash != "preserve" || !strings.Contains(x.Metadata.XML, ">keep<") {
		doc, _ := x.Marshal()
		t.Errorf("the definition has become %s", doc)
	}
}

// read reads a domain's definition from the host.
func read(t testing.TB, conn *lv.Connect, id uuid.UUID) *libvirtxml.Domain {
	t.Helper()
	dom, err := conn.LookupDomainByUUID(id[:])
	must(t, err)
	defer func() { _ = dom.Free() }()
	doc, err := dom.GetXMLDesc(lv.DOMAIN_XML_INACTIVE)
	must(t, err)
	x := &libvirtxml.Domain{}
	must(t, x.Unmarshal(doc))
	return x
}

// FuzzDefine checks that no text of a client becomes anything but that text in a
// definition.
func FuzzDefine(f *testing.F) {
	f.Add(`"><&]]>`, "web", "quiet")
	f.Add("</title></domain>", "a/b\x00", `x="</cmdline><kernel>/etc/shadow</kernel>"`)
	f.Add("\ufffe\x1b\n", "<name>", "a\nb")
	d, conn := open(f, libvirt.Config{}), connect(f, testHost)
	id := uuid.New()
	f.Fuzz(func(t *testing.T, title, name, cmdline string) {
		const kernel = "/var/lib/libvirt/boot/k"
		spec := hypervisor.Domain{ID: id, Title: title, Name: name, Cmdline: cmdline, Kernel: kernel, VCPUs: 1, MemoryBytes: 1 << 20}
		err := d.DefineDomain(t.Context(), spec)
		printable := utf8.ValidString(cmdline) && !strings.ContainsFunc(cmdline, func(r rune) bool { return !unicode.IsPrint(r) })
		if printable != (err == nil) {
			t.Fatalf("command line %q: %v", cmdline, err)
		}
		if err != nil {
			return
		}
		x := read(t, conn, id)
		if x.OS.Kernel != kernel || x.OS.Cmdline != cmdline || len(x.Devices.Disks)+len(x.Devices.Interfaces) > 0 {
			t.Errorf("kernel %q, command line %q, devices %+v", x.OS.Kernel, x.OS.Cmdline, x.Devices)
		}
		must(t, d.DeleteDomain(t.Context(), id))
	})
}
