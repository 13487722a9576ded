package render_test

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/occid/occid/occi"
	"github.com/occid/occid/render"
)

const (
	mediaOVF  = "application/ovf"
	ovfSpace  = "http://schemas.dmtf.org/ovf/envelope/2"
	cimSpace  = "http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_"
	rasdSpace = cimSpace + "ResourceAllocationSettingData"
	vssdSpace = cimSpace + "VirtualSystemSettingData"
	ownSpace  = "http://purl.org/occi"
)

// anyMachine draws a compute with disks and interfaces.
func anyMachine(t *rapid.T, m *occi.Model) *occi.Entity {
	e := entityOf(t, m, m.Kind(infra+"compute"))
	for rapid.Bool().Draw(t, "one more link") {
		l := entityOf(t, m, m.Kind(infra+rapid.SampledFrom([]string{"networkinterface", "storagelink"}).Draw(t, "kind of link")))
		l.Source = occi.Ref{ID: e.ID, Kind: e.Kind}
		e.Links = append(e.Links, l)
	}
	return e
}

// TestOVFRoundTrip sends back the envelope of any machine: it is the machine
// again, whatever another client has left of it. So is a copy of it elsewhere.
func TestOVFRoundTrip(t *testing.T) {
	t.Parallel()
	m := builtin(t)
	f := render.Named(mediaOVF)
	rapid.Check(t, func(t *rapid.T) {
		e := anyMachine(t, m)
		body, err := f.Entity(nil, &render.View{Model: m, Targets: targets(e)}, e)
		if err != nil {
			t.Fatal(err)
		}
		if fault := envelopeFault(body); fault != "" {
			t.Fatalf("%s\n%s", fault, body)
		}
		d := comesBack(t, m, f, e, body)
		if links, err := m.LinkDrafts(e, d, false); err != nil || len(links) > 0 {
			t.Fatalf("%d links are new, %v\n%s", len(links), err, body)
		}
		copied := *e
		copied.Links = nil
		links, err := m.LinkDrafts(&copied, d, false)
		if err != nil || len(links) != len(e.Links) {
			t.Fatalf("%d links of %d, %v\n%s", len(links), len(e.Links), err, body)
		}
		for i, l := range links {
			x, err := m.Build(l, anyID(t))
			if err != nil || x.ID != e.Links[i].ID || x.Target.ID != e.Links[i].Target.ID {
				t.Fatalf("link %d became %+v, %v\n%s", i, x, err, body)
			}
		}
	})
}

// TestOVFQuantities reads and writes amounts of memory.
func TestOVFQuantities(t *testing.T) {
	t.Parallel()
	m := builtin(t)
	f := render.Named(mediaOVF)
	for _, x := range []struct {
		gib         float64
		units, text string
	}{
		{16, "byte * 2^30", "16"}, {1.5, "byte * 2^20", "1536"}, {0.1, "byte", "107374182"}, {0.0009765625, "byte * 2^20", "1"},
		{1048576, "byte * 2^30", "1048576"}, {0, "byte", "0"},
	} {
		e := entity(1, "compute", "occi.compute.cores", occi.Int(1), "occi.compute.memory", occi.Float(x.gib))
		body, err := f.Entity(nil, &render.View{Model: m}, e)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range []string{"<rasd:AllocationUnits>" + x.units + "<", "<rasd:VirtualQuantity>" + x.text + "<"} {
			if !strings.Contains(string(body), s) {
				t.Errorf("%v GiB: no %s in\n%s", x.gib, s, body)
			}
		}
	}
	for units, want := range map[string]float64{"byte": 1 << 20, "byte * 2^10": 1 << 30, "byte*2^20": 1 << 40, "byte * 1024 * 1024": 1 << 40,
		"MegaBytes": 1 << 40, "KB": 1 << 30, "byte * 10^3": 1 << 20 * 1000} {
		d, err := f.Decode(m, []byte(envelope(cpuless("4", units, "1048576"), "")))
		if err != nil {
			t.Fatal(err)
		}
		if got := d.Attr("occi.compute.memory").Value.Num * (1 << 30); got < want*0.999999 || got > want*1.000001 {
			t.Errorf("1048576 of %q is %v bytes, want %v", units, got, want)
		}
	}
}

// cpuless is an Item of a quantity.
func cpuless(resource, units, quantity string) string {
	return fmt.Sprintf("<Item>\n<rasd:AllocationUnits>%s</rasd:AllocationUnits>\n<rasd:ElementName>x</rasd:ElementName><rasd:InstanceID>1</rasd:InstanceID>"+
		"<rasd:ResourceType>%s</rasd:ResourceType>\n<rasd:VirtualQuantity>%s</rasd:VirtualQuantity>\n</Item>\n", units, resource, quantity)
}

// envelope is a machine with hardware from line 3 on, after sections.
func envelope(hardware, sections string) string {
	return `<Envelope xmlns="` + ovfSpace + `" xmlns:ovf="` + ovfSpace + `" xmlns:rasd="` + rasdSpace + `" xmlns:o="` + ownSpace + `"><References/>` + sections + "\n" +
		`<VirtualSystem ovf:id="vm"><Info/><VirtualHardwareSection><Info/>` + "\n" + hardware + "</VirtualHardwareSection></VirtualSystem></Envelope>"
}

// TestEnvelopes holds all that is shown to the structure of the standard.
func TestEnvelopes(t *testing.T) {
	t.Parallel()
	m := builtin(t)
	for what, write := range shown(m) {
		body, err := write(render.Named(mediaOVF), &render.View{Model: m, Base: "http://127.0.0.1:8787", Targets: targets(machine())})
		if err != nil || !bytes.Contains(body, []byte("<Envelope")) {
			continue
		}
		if fault := envelopeFault(body); fault != "" {
			t.Errorf("%s: %s\n%s", what, fault, body)
		}
	}
}

// part is an element of an envelope.
type part struct {
	XMLName xml.Name
	Attrs   []xml.Attr `xml:",any,attr"`
	Text    string     `xml:",chardata"`
	Parts   []part     `xml:",any"`
}

func (p *part) attr(name string) string {
	for _, a := range p.Attrs {
		if a.Name.Local == name && a.Name.Space == ovfSpace {
			return a.Value
		}
	}
	return ""
}

// contents is what elements of an envelope hold, in order, as regular expressions
// over names, each with a blank behind it (DSP0243 2.0 and its schema, DSP8023). o is
// any element of this project's. Properties of CIM classes are in the order of
// their names (DSP8004).
var contents = map[string]*regexp.Regexp{
	"Envelope":               regexp.MustCompile(`^References (DiskSection )?(NetworkSection )?VirtualSystem $`),
	"References":             regexp.MustCompile(`^$`),
	"DiskSection":            regexp.MustCompile(`^Info (Disk )*$`),
	"Disk":                   regexp.MustCompile(`^$`),
	"NetworkSection":         regexp.MustCompile(`^Info (Network )*$`),
	"Network":                regexp.MustCompile(`^(Description )?$`),
	"VirtualSystem":          regexp.MustCompile(`^Info (Name )?(AnnotationSection )?VirtualHardwareSection $`),
	"AnnotationSection":      regexp.MustCompile(`^Info Annotation $`),
	"VirtualHardwareSection": regexp.MustCompile(`^Info System (Item )*(o )?$`),
	"System":                 regexp.MustCompile(`^ElementName InstanceID VirtualSystemIdentifier $`),
	"Item": regexp.MustCompile(`^(Address )?(AllocationUnits )?(Connection )?ElementName (HostResource )?InstanceID ResourceType ` +
		`(VirtualQuantity )?(Weight )?(o )?$`),
}

// envelopeFault says how an envelope differs from the standard, "" if it does not.
func envelopeFault(body []byte) string {
	var root part
	if err := xml.Unmarshal(body, &root); err != nil {
		return err.Error()
	}
	c := checker{instances: map[string]bool{}, named: map[string]bool{}}
	c.check(&root, "")
	for _, name := range c.used {
		if !c.named[name] {
			c.faults = append(c.faults, name+" is used but not there")
		}
	}
	for name := range c.named {
		if !slices.Contains(c.used, name) {
			c.faults = append(c.faults, name+" is there but not used")
		}
	}
	return strings.Join(c.faults, "; ")
}

type checker struct {
	faults    []string
	instances map[string]bool
	named     map[string]bool // "disk ID" and "network NAME"
	used      []string
}

func (c *checker) fault(format string, args ...any) {
	c.faults = append(c.faults, fmt.Sprintf(format, args...))
}

func (c *checker) check(p *part, in string) {
	name, space := p.XMLName.Local, ovfSpace
	switch in {
	case "Item":
		space = rasdSpace
	case "System":
		space = vssdSpace
	}
	if p.XMLName.Space != space {
		c.fault("%s in %s is in the name space %q", name, in, p.XMLName.Space)
	}
	var names strings.Builder
	for i := range p.Parts {
		if q := &p.Parts[i]; q.XMLName.Space == ownSpace {
			names.WriteString("o ")
		} else {
			names.WriteString(q.XMLName.Local + " ")
			c.check(q, name)
		}
	}
	switch want := contents[name]; {
	case want == nil && len(p.Parts) > 0:
		c.fault("%s holds %s", name, &names)
	case want != nil && in != "Item" && in != "System" && !want.MatchString(names.String()):
		c.fault("%s holds %s", name, &names)
	}
	c.values(p, in)
}

// values checks what attributes and properties say.
func (c *checker) values(p *part, in string) {
	number := func(what, s string) {
		if _, err := strconv.ParseUint(s, 10, 63); err != nil {
			c.fault("%s %q is no number", what, s)
		}
	}
	define := func(what string) {
		if c.named[what] {
			c.fault("%s is there twice", what)
		}
		c.named[what] = true
	}
	switch p.XMLName.Local {
	case "VirtualSystem":
		if p.attr("id") == "" {
			c.fault("VirtualSystem has no id")
		}
	case "Disk":
		define("disk " + p.attr("diskId"))
		number("capacity", p.attr("capacity"))
		if !regexp.MustCompile(`^byte( \* 2\^[123]0)?$`).MatchString(p.attr("capacityAllocationUnits")) {
			c.fault("capacityAllocationUnits %q", p.attr("capacityAllocationUnits"))
		}
	case "Network":
		define("network " + p.attr("name"))
	case "Connection":
		c.used = append(c.used, "network "+p.Text)
	case "HostResource":
		c.used = append(c.used, "disk "+strings.TrimPrefix(p.Text, "ovf:/disk/"))
	case "ResourceType", "VirtualQuantity", "Weight":
		number(p.XMLName.Local, p.Text)
	case "InstanceID":
		if c.instances[p.Text] || p.Text == "" {
			c.fault("InstanceID %q in %s is no identifier", p.Text, in)
		}
		c.instances[p.Text] = true
	}
}
