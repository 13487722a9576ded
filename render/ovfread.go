package render

import (
	"encoding/xml"
	"strings"

	"github.com/occid/occid/occi"
)

// ovfElement is an element of an envelope that is read.
type ovfElement struct {
	space, name string
	attrs       []xml.Attr
	line        int
	text        string
	kids        []*ovfElement
	own         int // where its descriptor is in the tree, if the name space is ours
}

// isOVF reports whether a name is that of an envelope's outermost element.
func isOVF(name xml.Name) bool { return isOVFSpace(name.Space) && name.Local == "Envelope" }

func isOVFSpace(s string) bool { return s == ovfSpace || s == ovf1Space }

// envelope reads an element with all in it. Descriptors go to the tree. left is
// how many elements may follow.
func (r *xmlReader) envelope(start xml.StartElement, left *int) (*ovfElement, error) {
	if *left--; *left < 0 {
		return nil, tooMany(r.line(), "elements", maxNodes)
	}
	e := &ovfElement{space: start.Name.Space, name: start.Name.Local, attrs: start.Attr, line: r.line(), own: len(r.t.nodes)}
	if e.space == occiSpace {
		return e, r.descriptor(start)
	}
	var text strings.Builder
	for {
		tok, err := r.next()
		if err != nil {
			return nil, err
		}
		switch tok := tok.(type) {
		case xml.StartElement:
			kid, err := r.envelope(tok, left)
			if err != nil {
				return nil, err
			}
			e.kids = append(e.kids, kid)
		case xml.CharData:
			text.Write(tok)
		case xml.EndElement:
			if e.text = text.String(); len(e.kids) > 0 && strings.TrimSpace(e.text) != "" {
				return nil, syntax(e.line, e.name, "text and elements are mixed")
			}
			return e, nil
		}
	}
}

// attr gives an XML attribute of OVF, with or without the prefix that it should
// have.
func (e *ovfElement) attr(name string) (string, bool) {
	for _, a := range e.attrs {
		if a.Name.Local == name && (a.Name.Space == "" || isOVFSpace(a.Name.Space)) {
			return a.Value, true
		}
	}
	return "", false
}

// required reports whether an envelope must be refused if the element is not
// understood (DSP0243 section 7).
func (e *ovfElement) required() bool {
	v, _ := e.attr("required")
	return v != "false" && v != "0"
}

// maxFaults bounds what is said to be wrong with one envelope.
const maxFaults = 50

// ovfReader makes a draft of an envelope. What the server cannot give is gathered
// and refused together: a machine that lacks what its envelope asks for is not
// the one that was sent.
type ovfReader struct {
	m     *occi.Model
	u     undescriber
	d     *occi.Draft
	kind  *occi.Kind
	disks map[string]*ovfElement
	// networks are nil if there is no section of them.
	networks map[string]*ovfElement
	once     map[int]bool // the types of resources of which a machine has one
	faults   []occi.Problem
}

func (ovfCodec) decode(m *occi.Model, body []byte) (*occi.Draft, error) {
	x, start, err := openXML(body)
	if err != nil {
		return nil, err
	}
	if !isOVF(start.Name) {
		return nil, syntax(x.line(), start.Name.Local, "is no envelope; that is the element Envelope in the name space %s", ovfSpace)
	}
	left := maxNodes
	root, err := x.envelope(start, &left)
	if err == nil {
		err = x.finish()
	}
	if err != nil {
		return nil, err
	}
	r := &ovfReader{m: m, u: undescriber{m: m, t: x.t}, disks: map[string]*ovfElement{}, once: map[int]bool{}}
	if r.kind = kindOf(m, hostDomain); r.kind == nil {
		return nil, occi.E(occi.Invalid, "the registry has no kind of machines")
	}
	r.d = &occi.Draft{Kind: r.kind.ID()}
	if err := r.read(root); err != nil {
		return nil, err
	}
	if err := occi.Problems(occi.Invalid, "the envelope cannot be taken as it is", r.faults); err != nil {
		return nil, err
	}
	return r.d, nil
}

// kindOf gives the first kind that something on a host represents.
func kindOf(m *occi.Model, host string) *occi.Kind {
	for _, k := range m.Kinds {
		if k.Host == host {
			return k
		}
	}
	return nil
}

func (r *ovfReader) refuse(e *ovfElement, format string, args ...any) {
	if len(r.faults) < maxFaults {
		r.faults = append(r.faults, fault(e, format, args...))
	}
}

// skip passes over an element that is not understood, if that is allowed.
func (r *ovfReader) skip(e *ovfElement) {
	if e.required() {
		r.refuse(e, `is not understood; ovf:required="false" lets it be left out`)
	}
}

// read goes through the envelope.
func (r *ovfReader) read(root *ovfElement) error {
	var system *ovfElement
	for _, e := range root.kids {
		switch {
		case !isOVFSpace(e.space):
			r.skip(e)
		case e.name == "References" || e.name == "Strings":
		case e.name == "DiskSection":
			r.index(e, "Disk", "diskId", r.disks)
		case e.name == "NetworkSection":
			if r.networks == nil {
				r.networks = map[string]*ovfElement{}
			}
			r.index(e, "Network", "name", r.networks)
		case e.name == "VirtualSystemCollection":
			r.refuse(e, "holds several machines; send the envelope of one")
		case e.name != "VirtualSystem":
			r.skip(e)
		case system != nil:
			r.refuse(e, "is a second machine, after that on line %d", system.line)
		default:
			system = e
		}
	}
	if system == nil {
		if len(r.faults) == 0 {
			r.refuse(root, "holds no VirtualSystem")
		}
		return nil
	}
	return r.system(system)
}

// index notes the elements of a section by an attribute.
func (r *ovfReader) index(section *ovfElement, name, key string, to map[string]*ovfElement) {
	for _, e := range section.kids {
		if e.name == "Info" && isOVFSpace(e.space) {
			continue
		}
		if e.name != name || !isOVFSpace(e.space) {
			r.skip(e)
			continue
		}
		id, _ := e.attr(key)
		switch {
		case id == "":
			r.refuse(e, "has no ovf:%s", key)
		case to[id] != nil:
			r.refuse(e, "ovf:%s %.80q is that of line %d too", key, id, to[id].line)
		default:
			to[id] = e
		}
	}
}

// system reads the machine. Its hardware comes first, as that may hold the
// descriptor.
func (r *ovfReader) system(vs *ovfElement) error {
	var hardware *ovfElement
	for _, e := range vs.kids {
		if e.name != "VirtualHardwareSection" || !isOVFSpace(e.space) {
			continue
		}
		if hardware != nil {
			r.refuse(e, "is a second choice of hardware, after that on line %d; send one", hardware.line)
			continue
		}
		hardware = e
	}
	if hardware != nil {
		if err := r.hardware(hardware); err != nil {
			return err
		}
	}
	if id, _ := vs.attr("id"); id != "" {
		if _, ok := occi.ParseID(id); ok {
			r.set(vs, occi.AttrID, occi.Str(id))
		}
	}
	for _, e := range vs.kids {
		switch {
		case !isOVFSpace(e.space):
			r.skip(e)
		case e.name == "Info" || e.name == "VirtualHardwareSection" || e.name == "OperatingSystemSection":
		case e.name == "Name":
			r.set(e, occi.AttrTitle, occi.Str(e.text))
		case e.name == "AnnotationSection":
			r.annotation(e)
		case e.name == "ProductSection":
			r.product(e)
		default:
			r.skip(e)
		}
	}
	return nil
}

func (r *ovfReader) annotation(section *ovfElement) {
	for _, e := range section.kids {
		if e.name == "Annotation" && isOVFSpace(e.space) {
			r.set(e, occi.AttrSummary, occi.Str(e.text))
		}
	}
}

// product reads a description of software. That has no meaning for a machine, but
// its properties are meant for the guest.
func (r *ovfReader) product(section *ovfElement) {
	for _, e := range section.kids {
		if key, _ := e.attr("key"); e.name == "Property" && isOVFSpace(e.space) && section.required() {
			r.refuse(e, "%.80q cannot be handed to the guest, which gets user data instead of an OVF environment", key)
		}
	}
}

// set adds an attribute to the draft. One that is there already must be the same.
func (r *ovfReader) set(e *ovfElement, name string, v occi.Value) {
	have := r.d.Attr(name)
	if have == nil {
		r.d.Attributes = append(r.d.Attributes, occi.DraftAttr{Name: name, Value: v, Line: e.line})
		return
	}
	same := have.Value.String() == v.String()
	if name == occi.AttrID {
		a, _ := occi.ParseID(have.Value.String())
		b, ok := occi.ParseID(v.String())
		same = ok && a == b
	} else if def := r.m.Attribute(name); def != nil && !same {
		a, err1 := def.Check(have.Value)
		b, err2 := def.Check(v)
		same = err1 == nil && err2 == nil && (a == b || a.Type == occi.Number && quantityOf(a).bytes() == quantityOf(b).bytes())
	}
	if !same {
		r.refuse(e, "%s is %.80s here and %.80s on line %d", name, v, have.Value, have.Line)
	}
}
