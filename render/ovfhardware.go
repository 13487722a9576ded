package render

import (
	"strconv"
	"strings"

	"github.com/google/uuid"

	"github.com/occid/occid/occi"
)

// fault is a problem with an element.
func fault(e *ovfElement, format string, args ...any) occi.Problem {
	return problem(e.line, e.name, format, args...)
}

// resources name what hosts do not give, for messages.
var resources = map[int]string{1: "another resource", 5: "an IDE controller", 6: "a SCSI controller", 8: "iSCSI", 14: "a floppy drive", 15: "a CD drive",
	16: "a DVD drive", 18: "a tape drive", 19: "a storage extent", 20: "a storage controller", 21: "a serial port", 22: "a parallel port",
	23: "a USB controller", 24: "a graphics adapter", 35: "a sound card"}

// controllers are what disks hang on elsewhere. Here they hang on the machine, so
// a controller asks for nothing.
var controllers = map[int]bool{5: true, 6: true, 20: true}

// hints are properties of an item that change nothing about what it asks for.
var hints = map[string]bool{"AddressOnParent": true, "AutomaticDeallocation": true, "Caption": true, "ChangeableType": true,
	"ConfigurationName": true, "ConsumerVisibility": true, "Description": true, "ElementName": true, "Generation": true,
	"InstanceID": true, "Parent": true, "ResourceSubType": true, "ResourceType": true, "SoID": true, "SoOrgID": true, "VirtualQuantityUnits": true}

// settings are the properties of an item by their names.
type settings struct {
	item *ovfElement
	of   map[string]*ovfElement
	own  *ovfElement
	used map[string]bool
}

// take gives the value of a property, "" if it has none.
func (s *settings) take(name string) string {
	s.used[name] = true
	if p := s.of[name]; p != nil {
		return strings.TrimSpace(p.text)
	}
	return ""
}

// at is the property's element, or the item's if it has no such property.
func (s *settings) at(name string) *ovfElement {
	if p := s.of[name]; p != nil {
		return p
	}
	return s.item
}

// hardware reads the items, and before them the descriptor at their end.
func (r *ovfReader) hardware(section *ovfElement) error {
	var own *ovfElement
	for _, e := range section.kids {
		if e.space != occiSpace {
			continue
		}
		if own != nil {
			r.refuse(e, "is a second descriptor, after that on line %d", own.line)
			continue
		}
		own = e
		if err := r.u.entity(r.d, e.own, 0); err != nil {
			return err
		}
	}
	for _, e := range section.kids {
		switch {
		case e.space == occiSpace:
		case !isOVFSpace(e.space):
			r.skip(e)
		case e.name == "Info" || e.name == "System":
		case e.name == "Item" || e.name == "EthernetPortItem" || e.name == "StorageItem":
			if err := r.item(e); err != nil {
				return err
			}
		default:
			r.skip(e)
		}
	}
	return nil
}

// item reads what one item asks for.
func (r *ovfReader) item(e *ovfElement) error {
	for _, name := range []string{"configuration", "bound"} {
		if v, given := e.attr(name); given {
			r.refuse(e, "ovf:%s %.80q: a machine is made in one configuration; send that", name, v)
			return nil
		}
	}
	s := r.settings(e)
	if s == nil {
		return nil
	}
	if strings.EqualFold(s.take("AutomaticAllocation"), "false") {
		r.refuse(s.at("AutomaticAllocation"), "what is there but not connected cannot be made")
		return nil
	}
	text := s.take("ResourceType")
	kind, err := strconv.ParseUint(text, 10, 16)
	if err != nil {
		r.refuse(s.at("ResourceType"), "ResourceType %.40q is no type of resource", text)
		return nil
	}
	switch int(kind) {
	case resourceCPU:
		r.processors(s)
	case resourceMemory:
		r.memory(s)
	case resourceNIC:
		err = r.device(s, hostNIC, r.network(s))
	case resourceDisk:
		err = r.device(s, hostDisk, r.disk(s))
	default:
		if !controllers[int(kind)] && e.required() {
			what := resources[int(kind)]
			if what == "" {
				what = "what it asks for"
			}
			r.refuse(e, `ResourceType %d: machines here do not have %s; ovf:required="false" lets it be left out`, kind, what)
		}
		return nil
	}
	r.unused(s)
	return err
}

// settings gathers an item's properties, nil if they are not as they should be.
func (r *ovfReader) settings(e *ovfElement) *settings {
	s := &settings{item: e, of: map[string]*ovfElement{}, used: map[string]bool{}}
	for _, p := range e.kids {
		switch p.space {
		case occiSpace:
			if s.own != nil {
				r.refuse(p, "is a second descriptor, after that on line %d", s.own.line)
				return nil
			}
			s.own = p
		case rasdSpace, sasdSpace, epasdSpace:
			if have := s.of[p.name]; have != nil {
				r.refuse(p, "is given twice, first on line %d", have.line)
				return nil
			}
			s.of[p.name] = p
		default:
			r.skip(p)
		}
	}
	return s
}

// unused refuses what an item says beyond what was taken of it.
func (r *ovfReader) unused(s *settings) {
	for _, p := range s.item.kids {
		text := strings.TrimSpace(p.text)
		if s.of[p.name] != p || s.used[p.name] || hints[p.name] || text == "" || text == "0" {
			continue
		}
		r.refuse(p, "%.80q cannot be honoured", text)
	}
}

// single reports whether this is the only item of its type.
func (r *ovfReader) single(s *settings, resource int) bool {
	if r.once[resource] {
		r.refuse(s.item, "is a second item of ResourceType %d; a machine has one", resource)
		return false
	}
	r.once[resource] = true
	return true
}

// number reads a property that is a whole number.
func (r *ovfReader) number(s *settings, name string) (uint64, bool) {
	text := s.take(name)
	n, err := strconv.ParseUint(text, 10, 53)
	if err != nil {
		r.refuse(s.at(name), "%s %.40q is no whole number", name, text)
	}
	return n, err == nil
}

func (r *ovfReader) processors(s *settings) {
	s.used["AllocationUnits"] = true // of a reservation
	if !r.single(s, resourceCPU) {
		return
	}
	n, ok := r.number(s, "VirtualQuantity")
	if a := attributeFor(r.m, r.kind, roleVCPUs); ok && a != nil {
		r.set(s.at("VirtualQuantity"), a.Name, occi.Int(int64(n)))
	}
	if a := attributeFor(r.m, r.kind, roleShares); a != nil && s.of["Weight"] != nil {
		if n, ok := r.number(s, "Weight"); ok {
			r.set(s.at("Weight"), a.Name, occi.Int(int64(n)))
		}
	}
}

func (r *ovfReader) memory(s *settings) {
	if !r.single(s, resourceMemory) {
		return
	}
	n, ok := r.number(s, "VirtualQuantity")
	units := s.take("AllocationUnits")
	factor, known := parseUnit(units)
	if !known {
		r.refuse(s.at("AllocationUnits"), "AllocationUnits %.40q is no unit of memory, such as byte * 2^20", units)
	}
	if a := attributeFor(r.m, r.kind, roleMemory); ok && known && a != nil {
		r.set(s.at("VirtualQuantity"), a.Name, occi.Float(quantity{n, factor}.value()))
	}
}

// network gives what an interface is connected to, uuid.Nil if that is refused.
func (r *ovfReader) network(s *settings) uuid.UUID {
	name, at := s.take("Connection"), s.at("Connection")
	if name == "" {
		r.refuse(at, "names no network")
		return uuid.Nil
	}
	if r.networks != nil && r.networks[name] == nil {
		r.refuse(at, "%.80q is not in the NetworkSection", name)
		return uuid.Nil
	}
	return r.named(at, name, hostNIC)
}

// disk gives the storage that a disk is, uuid.Nil if that is refused.
func (r *ovfReader) disk(s *settings) uuid.UUID {
	s.used["VirtualQuantity"], s.used["AllocationUnits"] = true, true // the capacity again
	resource, at := s.take("HostResource"), s.at("HostResource")
	id, ok := strings.CutPrefix(strings.TrimPrefix(resource, "ovf:"), "/disk/")
	if !ok {
		r.refuse(at, "%.80q is no disk of the envelope, such as ovf:/disk/ID", resource)
		return uuid.Nil
	}
	disk := r.disks[id]
	if disk == nil {
		r.refuse(at, "there is no Disk with the diskId %.80q", id)
		return uuid.Nil
	}
	for _, name := range []string{"fileRef", "parentRef"} {
		if v, given := disk.attr(name); given && v != "" {
			r.refuse(disk, "ovf:%s %.80q: the content of a disk is not read; name a storage that holds it", name, v)
			return uuid.Nil
		}
	}
	capacity, _ := disk.attr("capacity")
	units, given := disk.attr("capacityAllocationUnits")
	if !given {
		units = "byte"
	}
	if _, err := strconv.ParseUint(capacity, 10, 63); err != nil {
		r.refuse(disk, "ovf:capacity %.40q is no whole number", capacity)
		return uuid.Nil
	}
	if _, known := parseUnit(units); !known {
		r.refuse(disk, "ovf:capacityAllocationUnits %.40q is no unit, such as byte * 2^30", units)
		return uuid.Nil
	}
	return r.named(disk, id, hostDisk)
}

// named reads the UUID that a disk or network is named by, bare, as a urn or at
// the end of a path.
func (r *ovfReader) named(e *ovfElement, name, host string) uuid.UUID {
	ref, k := r.m.ParseRef(name), kindOf(r.m, host)
	if k == nil {
		r.refuse(e, "the registry has no kind of links to such")
		return uuid.Nil
	}
	if ref.ID == uuid.Nil || ref.Kind != "" && ref.Kind != k.TargetKind {
		r.refuse(e, "%.80q is none of this server; name it by its UUID", name)
		return uuid.Nil
	}
	return ref.ID
}

// device adds the link that an item stands for.
func (r *ovfReader) device(s *settings, host string, target uuid.UUID) error {
	if target == uuid.Nil {
		for name := range s.of {
			s.used[name] = true
		}
		return nil
	}
	k := kindOf(r.m, host)
	l := occi.DraftLink{Kind: k.ID(), Line: s.item.line}
	if s.own != nil {
		var err error
		if l, err = r.u.link(r.d, s.own.own, k.ID()); err != nil {
			return err
		}
		l.Line = s.item.line
		if lk := r.m.Kind(l.Kind); lk == nil || lk.Host != host {
			r.refuse(s.own, "describes a %.80s, not a %s", l.Kind, k.Term)
		}
		if l.Target != "" && r.m.ParseRef(l.Target).ID != target {
			r.refuse(s.own, "leads to %.80s, the item to %s", l.Target, target)
		}
	}
	l.Target, l.TargetKind = r.m.RefPath(occi.Ref{ID: target, Kind: k.TargetKind}), k.TargetKind
	if a := attributeFor(r.m, k, roleMAC); a != nil {
		r.address(&l, s, a.Name)
	}
	if len(r.d.Links) == maxLinks {
		return tooMany(s.item.line, "links", maxLinks)
	}
	r.d.Links = append(r.d.Links, l)
	return nil
}

// address adds an interface's MAC address to its link.
func (r *ovfReader) address(l *occi.DraftLink, s *settings, name string) {
	given := s.take("Address")
	if given == "" {
		return
	}
	for _, a := range l.Attributes {
		if a.Name == name && !strings.EqualFold(a.Value.String(), given) {
			r.refuse(s.at("Address"), "%s is %.80s here and %.80s on line %d", name, given, a.Value, a.Line)
		}
		if a.Name == name {
			return
		}
	}
	l.Attributes = append(l.Attributes, occi.DraftAttr{Name: name, Value: occi.Str(given), Line: s.at("Address").line})
}
