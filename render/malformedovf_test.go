package render_test

import (
	"strings"
	"testing"

	"github.com/occid/occid/occi"
	"github.com/occid/occid/render"
)

// anItem is an Item on line 3 whose properties are on the lines behind it.
func anItem(resource string, properties ...string) string {
	var b strings.Builder
	b.WriteString("<Item>\n")
	for _, p := range append(properties, "ResourceType "+resource) {
		name, value, _ := strings.Cut(p, " ")
		b.WriteString("<rasd:" + name + ">" + value + "</rasd:" + name + ">\n")
	}
	return b.String() + "</Item>\n"
}

// disk is a section of one disk, all on line 1.
func disk(attrs string) string {
	return `<DiskSection><Info/><Disk ` + attrs + `/></DiskSection>`
}

func TestMalformedOVF(t *testing.T) {
	t.Parallel()
	const (
		id   = "00000000-0000-4000-8000-000000000001"
		good = `ovf:diskId="` + id + `" ovf:capacity="1" `
		nets = `<NetworkSection><Info/><Network ovf:name="` + id + `"/><Network ovf:name="VM Network"/></NetworkSection>`
	)
	cpu := anItem("3", "VirtualQuantity 2")
	in := func(hardware string) string { return envelope(hardware, "") }
	inSystem := func(section string) string {
		return strings.Replace(envelope("", ""), "</VirtualHardwareSection>", "</VirtualHardwareSection>\n"+section, 1)
	}
	ref := anItem("17", "HostResource ovf:/disk/"+id)
	refuse(t, []malformed{
		{"nothing", mediaOVF, "", occi.Invalid, 1, "no XML element"},
		{"cut off", mediaOVF, envelope(cpu, "")[:420], occi.Invalid, 7, "unexpected EOF"},
		{"a document type", mediaOVF, "<!DOCTYPE Envelope>\n" + envelope(cpu, ""), occi.Invalid, 1, "document type"},
		{"more behind the end", mediaOVF, envelope(cpu, "") + "\n<a/>", occi.Invalid, 8, "follows the outermost"},
		{"not UTF-8", mediaOVF, envelope(cpu, "<!--\xff-->"), occi.Invalid, 1, "UTF-8"},
		{"another document", mediaOVF, "<occi/>", occi.Invalid, 1, "occi: is no envelope"},
		{"another version", mediaOVF, `<Envelope xmlns="http://schemas.dmtf.org/ovf/envelope/3"/>`, occi.Invalid, 1, "Envelope: is no envelope"},
		{"text among elements", mediaOVF, in("text" + cpu), occi.Invalid, 2, "VirtualHardwareSection: text and elements are mixed"},
		{"deep", mediaOVF, in(many(40, "", "<a>", "")), occi.TooLarge, 3, "levels of elements"},
		{"many elements", mediaOVF, in(many(1<<18, "", "<a/>", "")), occi.TooLarge, 3, "elements: more than"},
		{"many disks", mediaOVF, envelope(many(1025, "", ref, ""), disk(good)), occi.TooLarge, 3 + 4*1024, "links: more than 1024"},

		{"no machine", mediaOVF, `<Envelope xmlns="` + ovfSpace + `"><References/></Envelope>`, occi.Invalid, 1, "Envelope: holds no VirtualSystem"},
		{"several machines", mediaOVF, strings.ReplaceAll(in(""), "VirtualSystem ", "VirtualSystemCollection "), occi.Invalid, 3, "element <VirtualSystemCollection> closed by </VirtualSystem>"},
		{"a collection", mediaOVF, strings.ReplaceAll(in(""), "VirtualSystem", "VirtualSystemCollection"), occi.Invalid, 2, "VirtualSystemCollection: holds several"},
		{"a second machine", mediaOVF, strings.Replace(in(""), "</Envelope>", "\n<VirtualSystem/></Envelope>", 1), occi.Invalid, 4, "VirtualSystem: is a second machine, after that on line 2"},
		{"an unknown section", mediaOVF, strings.Replace(in(""), "\n<V", "\n<DeploymentOptionSection/><V", 1), occi.Invalid, 2, "DeploymentOptionSection: is not understood"},
		{"a section of others", mediaOVF, inSystem(`<x:Own xmlns:x="x"/>`), occi.Invalid, 4, "Own: is not understood"},
		{"a licence", mediaOVF, inSystem("<EulaSection/>"), occi.Invalid, 4, "EulaSection: is not understood"},
		{"an installation", mediaOVF, inSystem(`<InstallSection ovf:initialBootStopDelay="0"/>`), occi.Invalid, 4, "InstallSection: is not understood"},
		{"properties for the guest", mediaOVF, inSystem("<ProductSection>\n<Property ovf:key='ip'/></ProductSection>"), occi.Invalid, 5, `Property: "ip" cannot be handed`},
		{"a choice of hardware", mediaOVF, inSystem("<VirtualHardwareSection/>"), occi.Invalid, 4, "VirtualHardwareSection: is a second choice of hardware, after that on line 2"},
		{"a choice of size", mediaOVF, in(strings.Replace(cpu, "<Item>", `<Item ovf:configuration="big">`, 1)), occi.Invalid, 3, `Item: ovf:configuration "big"`},
		{"a range", mediaOVF, in(strings.Replace(cpu, "<Item>", `<Item ovf:bound="min">`, 1)), occi.Invalid, 3, `Item: ovf:bound "min"`},

		{"no resource type", mediaOVF, in("<Item/>"), occi.Invalid, 3, `Item: ResourceType "" is no type`},
		{"a resource type of words", mediaOVF, in(anItem("cpu")), occi.Invalid, 4, `ResourceType: ResourceType "cpu" is no type`},
		{"a CD drive", mediaOVF, in(anItem("15")), occi.Invalid, 3, "do not have a CD drive"},
		{"an unknown resource", mediaOVF, in(anItem("33000")), occi.Invalid, 3, "ResourceType 33000: machines here do not have what it asks for"},
		{"a property twice", mediaOVF, in(anItem("3", "VirtualQuantity 1", "VirtualQuantity 2")), occi.Invalid, 5, "VirtualQuantity: is given twice, first on line 4"},
		{"a property of others", mediaOVF, in(strings.Replace(cpu, "</Item>", `<x:Config xmlns:x="x"/></Item>`, 1)), occi.Invalid, 6, "Config: is not understood"},
		{"a reservation", mediaOVF, in(anItem("3", "VirtualQuantity 2", "Reservation 500")), occi.Invalid, 5, `Reservation: "500" cannot be honoured`},
		{"a limit", mediaOVF, in(anItem("4", "VirtualQuantity 2", "AllocationUnits byte * 2^30", "Limit 1")), occi.Invalid, 6, `Limit: "1" cannot be honoured`},
		{"dedicated", mediaOVF, in(anItem("3", "VirtualQuantity 2", "MappingBehavior 3")), occi.Invalid, 5, `MappingBehavior: "3" cannot`},

		{"no number of processors", mediaOVF, in(anItem("3")), occi.Invalid, 3, `Item: VirtualQuantity "" is no whole`},
		{"half a processor", mediaOVF, in(anItem("3", "VirtualQuantity 0.5")), occi.Invalid, 4, `VirtualQuantity "0.5" is no whole`},
		{"processors twice", mediaOVF, in(cpu + cpu), occi.Invalid, 7, "Item: is a second item of ResourceType 3"},
		{"a weight of words", mediaOVF, in(anItem("3", "VirtualQuantity 1", "Weight high")), occi.Invalid, 5, `Weight: Weight "high" is no whole`},
		{"memory without a unit", mediaOVF, in(anItem("4", "VirtualQuantity 1")), occi.Invalid, 3, `AllocationUnits "" is no unit`},
		{"an unknown unit", mediaOVF, in(anItem("4", "VirtualQuantity 1", "AllocationUnits pages")), occi.Invalid, 5, `AllocationUnits "pages" is no unit`},
		{"a unit without end", mediaOVF, in(anItem("4", "VirtualQuantity 1", "AllocationUnits byte * 2^63")), occi.Invalid, 5, "is no unit"},
		{"a unit of nothing", mediaOVF, in(anItem("4", "VirtualQuantity 1", "AllocationUnits byte * 0")), occi.Invalid, 5, "is no unit"},
		{"memory without end", mediaOVF, in(anItem("4", "VirtualQuantity 99999999999999999999", "AllocationUnits byte")), occi.Invalid, 4, "is no whole number"},

		{"an interface to nothing", mediaOVF, in(anItem("10")), occi.Invalid, 3, "Item: names no network"},
		{"an unlisted network", mediaOVF, envelope(anItem("10", "Connection lan"), nets), occi.Invalid, 4, `Connection: "lan" is not in the NetworkSection`},
		{"an unknown network", mediaOVF, envelope(anItem("10", "Connection VM Network"), nets), occi.Invalid, 4, `Connection: "VM Network" is none of this server`},
		{"a network that is a storage", mediaOVF, in(anItem("10", "Connection /storage/"+id)), occi.Invalid, 4, "Connection: \"/storage/" + id + "\" is none"},
		{"two networks of a name", mediaOVF, envelope("", strings.ReplaceAll(nets, "VM Network", id)), occi.Invalid, 1, "Network: ovf:name"},
		{"a network without a name", mediaOVF, envelope("", strings.ReplaceAll(nets, "VM Network", "")), occi.Invalid, 1, "Network: has no ovf:name"},
		{"an unplugged interface", mediaOVF, envelope(anItem("10", "Connection "+id, "AutomaticAllocation false"), nets), occi.Invalid, 5, "AutomaticAllocation: what is there but not connected"},
		{"two networks at once", mediaOVF, envelope(anItem("10", "Connection "+id, "Connection "+id), nets), occi.Invalid, 5, "Connection: is given twice"},

		{"a disk of nothing", mediaOVF, in(anItem("17")), occi.Invalid, 3, `Item: "" is no disk of the envelope`},
		{"a disk of the host", mediaOVF, in(anItem("17", "HostResource /dev/sda")), occi.Invalid, 4, `HostResource: "/dev/sda" is no disk`},
		{"a file as a disk", mediaOVF, in(anItem("17", "HostResource ovf:/file/f")), occi.Invalid, 4, "HostResource: \"ovf:/file/f\""},
		{"an unlisted disk", mediaOVF, in(ref), occi.Invalid, 4, "HostResource: there is no Disk"},
		{"a disk image", mediaOVF, envelope(ref, disk(good+`ovf:fileRef="f"`)), occi.Invalid, 1, `Disk: ovf:fileRef "f": the content`},
		{"a disk on another", mediaOVF, envelope(ref, disk(good+`ovf:parentRef="f"`)), occi.Invalid, 1, `Disk: ovf:parentRef "f"`},
		{"a disk that is unknown", mediaOVF, envelope(anItem("17", "HostResource ovf:/disk/d"), disk(`ovf:diskId="d" ovf:capacity="1"`)), occi.Invalid, 1, `Disk: "d" is none of this server`},
		{"a disk without a capacity", mediaOVF, envelope(ref, disk(`ovf:diskId="`+id+`"`)), occi.Invalid, 1, `Disk: ovf:capacity "" is no whole`},
		{"a capacity to be filled in", mediaOVF, envelope(ref, disk(`ovf:diskId="`+id+`" ovf:capacity="${size}"`)), occi.Invalid, 1, `ovf:capacity "${size}"`},
		{"an unknown unit of a disk", mediaOVF, envelope(ref, disk(good+`ovf:capacityAllocationUnits="sectors"`)), occi.Invalid, 1, `ovf:capacityAllocationUnits "sectors"`},
		{"two disks of a name", mediaOVF, envelope("", strings.Repeat(disk(good), 2)), occi.Invalid, 1, "Disk: ovf:diskId"},

		{"a descriptor of another kind", mediaOVF, in("<o:occi><o:type>network</o:type></o:occi>"), occi.Invalid, 3, "stands beside"},
		{"a second descriptor", mediaOVF, in("<o:occi/>\n<o:occi/>"), occi.Invalid, 4, "occi: is a second descriptor, after that on line 3"},
		{"a descriptor that is none", mediaOVF, in("<o:cores>1</o:cores>"), occi.Invalid, 3, "cores: is no descriptor"},
		{"a contradiction", mediaOVF, in(cpu + "<o:occi><o:cores>3</o:cores></o:occi>"), occi.Invalid, 4, "occi.compute.cores is 2 here and 3 on line 7"},
		{"two titles", mediaOVF, strings.Replace(in("<o:occi><o:title>a</o:title></o:occi>"), "<VirtualH", "<Name>b</Name><VirtualH", 1), occi.Invalid, 2, "Name: occi.core.title is b here and a on line 3"},
		{"two identifiers", mediaOVF, strings.Replace(in("<o:occi><o:id>"+id+"</o:id></o:occi>"), `"vm"`, `"00000000-0000-4000-8000-000000000002"`, 1), occi.Invalid, 2, "VirtualSystem: occi.core.id is"},
		{"a link of another kind", mediaOVF, envelope(strings.Replace(ref, "</Item>", "<o:occi><o:type>networkinterface</o:type></o:occi></Item>", 1), disk(good)), occi.Invalid, 6, "occi: describes a http"},
		{"a link to another disk", mediaOVF, envelope(strings.Replace(ref, "</Item>", "<o:occi><o:target>/storage/00000000-0000-4000-8000-000000000002</o:target></o:occi></Item>", 1), disk(good)), occi.Invalid, 6, "occi: leads to /storage/"},
		{"a link with two descriptors", mediaOVF, envelope(strings.Replace(ref, "</Item>", "<o:occi/><o:occi/></Item>", 1), disk(good)), occi.Invalid, 6, "second descriptor"},
		{"two addresses", mediaOVF, envelope(strings.Replace(anItem("10", "Connection "+id, "Address 52:54:00:00:00:01"), "</Item>",
			"<o:occi><o:mac>52:54:00:00:00:02</o:mac></o:occi></Item>", 1), nets), occi.Invalid, 5, "Address: occi.networkinterface.mac is 52:54:00:00:00:01 here"},
		{"as XML", "application/xml", in(anItem("15")), occi.Invalid, 3, "do not have a CD drive"},
	})
}

// TestAllIsSaidAtOnce counts what is wrong with one envelope, up to a limit.
func TestAllIsSaidAtOnce(t *testing.T) {
	t.Parallel()
	m := builtin(t)
	for n, want := range map[int]int{3: 3, 1000: 50} {
		_, err := render.Named(mediaOVF).Decode(m, []byte(envelope(many(n, "", anItem("15"), ""), "")))
		if e, ok := err.(*occi.Error); !ok || len(e.Problems) != want {
			t.Errorf("%d drives: %v", n, err)
		}
	}
}

// TestWhatAnEnvelopeMayLeaveOut reads past what is not required.
func TestWhatAnEnvelopeMayLeaveOut(t *testing.T) {
	t.Parallel()
	m := builtin(t)
	body := `<?xml version="1.0"?>
<!-- as machines of other vendors are described -->
<Envelope xmlns="http://schemas.dmtf.org/ovf/envelope/1" xmlns:ovf="http://schemas.dmtf.org/ovf/envelope/1" xmlns:rasd="` + rasdSpace + `" xmlns:vssd="` + vssdSpace + `" xmlns:v="http://example.com/vendor">
<References><File ovf:id="f" ovf:href="readme.txt"/></References>
<v:Own ovf:required="false"/>
<NetworkSection><Info>Networks</Info><Network ovf:name="urn:uuid:00000000-0000-4000-8000-000000000001"/></NetworkSection>
<VirtualSystem ovf:id="web">
<Info>A machine</Info><Name>web</Name>
<OperatingSystemSection ovf:id="96" v:type="debian"><Info>The guest</Info></OperatingSystemSection>
<ProductSection><Info>What it is</Info><Product>Debian</Product></ProductSection>
<EulaSection ovf:required="false"><Info/><License>none</License></EulaSection>
<VirtualHardwareSection><Info>Hardware</Info>
<System><vssd:ElementName>x</vssd:ElementName><vssd:InstanceID>0</vssd:InstanceID><vssd:VirtualSystemType>vmx-10</vssd:VirtualSystemType></System>
` + anItem("3", "AllocationUnits hertz * 10^6", "VirtualQuantity 4", "Reservation 0") + anItem("4", "AllocationUnits MegaBytes", "VirtualQuantity 512") +
		anItem("6", "ResourceSubType lsilogic") + strings.Replace(anItem("15"), "<Item>", `<Item ovf:required="false">`, 1) +
		strings.Replace(anItem("10", "Connection urn:uuid:00000000-0000-4000-8000-000000000001", "AutomaticAllocation true", "ResourceSubType E1000"),
			"</Item>", `<v:Config ovf:required="false"/></Item>`, 1) +
		`</VirtualHardwareSection></VirtualSystem></Envelope>`
	d, err := render.Named(mediaOVF).Decode(m, []byte(body))
	if err != nil {
		t.Fatal(err)
	}
	e, err := m.Build(d, machine().ID)
	if err != nil {
		t.Fatal(err)
	}
	if e.Title != "web" || e.Attributes.Get("occi.compute.cores") != occi.Int(4) || e.Attributes.Get("occi.compute.memory") != occi.Float(0.5) ||
		len(d.Links) != 1 || d.Links[0].Target != "/network/00000000-0000-4000-8000-000000000001" {
		t.Errorf("%+v\n%+v", e, d)
	}
}
