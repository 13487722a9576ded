package render

import (
	"strconv"

	"github.com/google/uuid"

	"github.com/occid/occid/occi"
)

// Name spaces of an OVF envelope. OVF 1 differs from OVF 2 in what it lacks.
const (
	ovfSpace    = "http://schemas.dmtf.org/ovf/envelope/2"
	ovf1Space   = "http://schemas.dmtf.org/ovf/envelope/1"
	cimSpace    = "http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_"
	rasdSpace   = cimSpace + "ResourceAllocationSettingData"
	sasdSpace   = cimSpace + "StorageAllocationSettingData"
	epasdSpace  = cimSpace + "EthernetPortAllocationSettingData"
	systemSpace = cimSpace + "VirtualSystemSettingData"
)

// What the registry calls that of which OVF has elements of its own.
const (
	hostDomain = "domain"
	hostNIC    = "nic"
	hostDisk   = "disk"

	roleVCPUs  = "domain.vcpus"
	roleMemory = "domain.memory"
	roleShares = "domain.shares"
	roleMAC    = "nic.mac"
	roleSize   = "volume.size"
)

// Resource types (CIM_ResourceAllocationSettingData.ResourceType).
const (
	resourceCPU    = 3
	resourceMemory = 4
	resourceNIC    = 10
	resourceDisk   = 17
)

// ovfCodec is the OVF envelope (DSP0243 2.0) of one machine. What OVF has an
// element for is there and nowhere else: processors, memory, title, summary, and
// an item for each disk and interface. The rest (identifier, mixins, other
// attributes and links) is a descriptor in this project's name space, in the
// places that the schema leaves open: at the end of the hardware, and of the
// item of a link. Disks are the storages that there are, named by their UUIDs;
// an envelope has no files.
type ovfCodec struct{}

// hardware is what an envelope is made of.
type hardware struct {
	v        *View
	d        *describer
	e        *occi.Entity // without what items and sections say
	cores    *occi.Attribute
	memory   *occi.Attribute
	shares   *occi.Attribute
	devices  []*occi.Entity
	disks    []uuid.UUID
	networks []uuid.UUID
}

func (ovfCodec) entity(dst []byte, v *View, e *occi.Entity) ([]byte, error) {
	k := v.Model.Kind(e.Kind)
	if k == nil || k.Host != hostDomain {
		return nil, noOVF("what is no machine")
	}
	h := newHardware(v, k, e)
	dst = append(append(dst, xmlHead...), `<Envelope xmlns="`+ovfSpace+`" xmlns:ovf="`+ovfSpace+`" xmlns:rasd="`+rasdSpace+
		`" xmlns:vssd="`+systemSpace+"\">\n  <References/>\n"...)
	dst, err := h.diskSection(dst)
	if err != nil {
		return nil, err
	}
	dst = h.networkSection(dst)
	dst = append(appendID(append(dst, `  <VirtualSystem ovf:id="`...), e.ID), "\">\n    <Info>A virtual machine</Info>\n"...)
	if e.Title != "" {
		dst = append(appendXML(append(dst, "    <Name>"...), e.Title), "</Name>\n"...)
	}
	if e.Summary != "" {
		dst = append(dst, "    <AnnotationSection>\n      <Info>What it is for</Info>\n      <Annotation>"...)
		dst = append(appendXML(dst, e.Summary), "</Annotation>\n    </AnnotationSection>\n"...)
	}
	return append(h.section(dst, e), "  </VirtualSystem>\n</Envelope>\n"...), nil
}

// newHardware parts an entity into what OVF has words for and the rest.
func newHardware(v *View, k *occi.Kind, e *occi.Entity) *hardware {
	h := &hardware{v: v, d: newDescriber(v), e: e.Clone()}
	h.d.portable = true
	h.e.Title, h.e.Summary, h.e.Tasks, h.e.Links = "", "", nil, nil
	h.cores, h.memory, h.shares = attributeFor(v.Model, k, roleVCPUs), attributeFor(v.Model, k, roleMemory), attributeFor(v.Model, k, roleShares)
	for _, a := range []*occi.Attribute{h.cores, h.shares} {
		if a != nil {
			h.e.Attributes.Delete(a.Name)
		}
	}
	if a := h.memory; a != nil {
		if value := e.Attributes.Get(a.Name); quantityOf(value).value() == value.Num {
			h.e.Attributes.Delete(a.Name)
		}
	}
	for _, l := range e.Links {
		host := ""
		if lk := v.Model.Kind(l.Kind); lk != nil && l.Target.ID != uuid.Nil {
			host = lk.Host
		}
		switch host {
		case hostDisk:
			h.disks = addID(h.disks, l.Target.ID)
		case hostNIC:
			h.networks = addID(h.networks, l.Target.ID)
		default:
			h.e.Links = append(h.e.Links, l)
			continue
		}
		h.devices = append(h.devices, l)
	}
	return h
}

func addID(ids []uuid.UUID, id uuid.UUID) []uuid.UUID {
	for _, have := range ids {
		if have == id {
			return ids
		}
	}
	return append(ids, id)
}

// attributeFor gives a kind's own attribute with a role, or nil.
func attributeFor(m *occi.Model, k *occi.Kind, role string) *occi.Attribute {
	if k == nil {
		return nil
	}
	for _, a := range m.KindAttributes(k) {
		if a.Role == role {
			return a
		}
	}
	return nil
}

func (h *hardware) diskSection(dst []byte) ([]byte, error) {
	if len(h.disks) == 0 {
		return dst, nil
	}
	dst = append(dst, "  <DiskSection>\n    <Info>Storages of the server, by their UUIDs</Info>\n"...)
	for _, id := range h.disks {
		target := h.v.Targets[id]
		if target == nil {
			return nil, occi.E(occi.Internal, "the storage %s was not read with what is linked to it", id)
		}
		size := attributeFor(h.v.Model, h.v.Model.Kind(target.Kind), roleSize)
		if size == nil {
			return nil, noOVF("a disk without a size")
		}
		q := quantityOf(target.Attributes.Get(size.Name))
		dst = append(appendID(append(dst, `    <Disk ovf:diskId="`...), id), `" ovf:capacity="`...)
		dst = append(strconv.AppendUint(dst, q.number, 10), `" ovf:capacityAllocationUnits="`+q.unit()+"\"/>\n"...)
	}
	return append(dst, "  </DiskSection>\n"...), nil
}

func (h *hardware) networkSection(dst []byte) []byte {
	if len(h.networks) == 0 {
		return dst
	}
	dst = append(dst, "  <NetworkSection>\n    <Info>Networks of the server, by their UUIDs</Info>\n"...)
	for _, id := range h.networks {
		dst = appendID(append(dst, `    <Network ovf:name="`...), id)
		if target := h.v.Targets[id]; target != nil && target.Title != "" {
			dst = append(appendXML(append(dst, "\">\n      <Description>"...), target.Title), "</Description>\n    </Network>\n"...)
		} else {
			dst = append(dst, "\"/>\n"...)
		}
	}
	return append(dst, "  </NetworkSection>\n"...)
}

// section adds the hardware, and behind it what else there is to say.
func (h *hardware) section(dst []byte, e *occi.Entity) []byte {
	dst = append(dst, "    <VirtualHardwareSection>\n      <Info>Processors, memory, disks and interfaces</Info>\n      <System>\n"...)
	dst = appendSetting(dst, "vssd", "ElementName", "Virtual machine")
	dst = appendSetting(dst, "vssd", "InstanceID", "0")
	dst = append(appendSetting(dst, "vssd", "VirtualSystemIdentifier", e.ID.String()), "      </System>\n"...)
	n := 0
	if a := h.cores; a != nil {
		i := allocation{name: "processors", resource: resourceCPU, quantity: e.Attributes.Get(a.Name).Text0()}
		if a := h.shares; a != nil {
			i.weight = e.Attributes.Get(a.Name).Text0()
		}
		n++
		dst = i.append(dst, n)
	}
	if a := h.memory; a != nil {
		q := quantityOf(e.Attributes.Get(a.Name))
		n++
		dst = allocation{name: "memory", resource: resourceMemory, units: q.unit(), quantity: strconv.FormatUint(q.number, 10)}.append(dst, n)
	}
	for _, l := range h.devices {
		n++
		dst = h.device(l).append(dst, n)
	}
	t := h.d.describe(h.e)
	dst = append(dst, "      "...)
	return append(appendOCCI(dst, t, inAtom), "\n    </VirtualHardwareSection>\n"...)
}

// device is the item of a link.
func (h *hardware) device(l *occi.Entity) allocation {
	k := h.v.Model.Kind(l.Kind)
	own := l.Clone()
	i := allocation{name: k.Term}
	if k.Host == hostDisk {
		i.resource, i.disk = resourceDisk, l.Target.ID.String()
	} else {
		i.resource, i.network = resourceNIC, l.Target.ID.String()
		if a := attributeFor(h.v.Model, k, roleMAC); a != nil {
			i.address = own.Attributes.Get(a.Name).Text
			own.Attributes.Delete(a.Name)
		}
	}
	t := h.d.describe(own)
	t.drop("source")
	t.drop("target")
	i.own = appendOCCI(nil, t, inAtom)
	return i
}

func noOVF(what string) error {
	return occi.E(occi.Unacceptable, "application/ovf shows one machine; %s has no rendering in it", what)
}

func (ovfCodec) collection([]byte, *View, *Collection) ([]byte, error) {
	return nil, noOVF("a collection")
}

func (c ovfCodec) created(dst []byte, v *View, es []*occi.Entity) ([]byte, error) {
	if len(es) == 1 {
		return c.entity(dst, v, es[0])
	}
	return nil, noOVF("more than one entity")
}

func (ovfCodec) categories([]byte, *View, *Categories) ([]byte, error) {
	return nil, noOVF("the registry")
}

func (ovfCodec) states([]byte, *View) ([]byte, error) { return nil, noOVF("the registry") }

// fault is an XML descriptor: OVF has no errors.
func (ovfCodec) fault(dst []byte, v *View, f *Fault) ([]byte, error) {
	return descriptor{xmlSpelling{}}.fault(dst, v, f)
}
