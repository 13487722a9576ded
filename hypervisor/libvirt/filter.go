package libvirt

import (
	"context"
	"encoding/xml"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/google/uuid"
	"libvirt.org/go/libvirt"
	"libvirt.org/go/libvirtxml"

	"github.com/occid/occid/hypervisor"
)

// learnFilters finds out whether the host has network filters.
func (s *session) learnFilters() error {
	_, err := s.conn.NumOfNWFilters()
	if s.filters = err == nil; !unsupported(err) {
		return err
	}
	s.cfg.Logger.Warn("the host has no network filters: its guests can use addresses of others, and no security group holds", "uri", s.cfg.URI)
	return nil
}

// filter makes sure of the filter of an interface, and names it; empty if it is to
// have none. A host without filters has none.
func (s *session) filter(ctx context.Context, domain uuid.UUID, n hypervisor.NIC) (string, error) {
	n.Filtered = n.Filtered && !s.cfg.AllowSpoofing
	want, err := filterDoc(domain, n)
	if want == nil || err != nil || !s.filters {
		return "", err
	}
	if same, err := s.hasFilter(want); same || err != nil {
		return want.Name, err
	}
	doc, err := xml.Marshal(want)
	if err != nil {
		return "", err
	}
	return want.Name, s.change(ctx, opFilterDefine, func() error {
		f, err := s.conn.NWFilterDefineXML(string(doc))
		if err != nil {
			return err
		}
		return f.Free()
	})
}

// hasFilter reports whether the host has a filter just like this.
func (s *session) hasFilter(want *filterXML) (bool, error) {
	f, err := s.conn.LookupNWFilterByName(want.Name)
	if code(err, libvirt.ERR_NO_NWFILTER) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer func() { _ = f.Free() }()
	doc, err := f.GetXMLDesc(0)
	if code(err, libvirt.ERR_NO_NWFILTER) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	var have filterXML
	if err := xml.Unmarshal([]byte(doc), &have); err != nil {
		return false, fmt.Errorf("the host's filter: %w", err)
	}
	return slices.EqualFunc(have.Rules, want.Rules, sameRule), nil
}

// sameRule compares rules; the host gives the attributes in an order of its own.
func sameRule(a, b ruleXML) bool {
	attrs := func(m matchXML) map[string]string {
		out := map[string]string{}
		for _, x := range m.Attrs {
			out[x.Name.Local] = x.Value
		}
		return out
	}
	return a.Action == b.Action && a.Direction == b.Direction && a.Priority == b.Priority && a.StateMatch == b.StateMatch &&
		a.Match.XMLName.Local == b.Match.XMLName.Local && maps.Equal(attrs(a.Match), attrs(b.Match))
}

// dropFilters removes the filters whose names begin with prefix but those to keep.
// Nothing that runs may use them.
func (s *session) dropFilters(ctx context.Context, prefix string, keep ...string) error {
	if !s.filters {
		return nil
	}
	all, err := s.conn.ListAllNWFilters(0)
	if err != nil {
		return err
	}
	defer func() {
		for i := range all {
			_ = all[i].Free()
		}
	}()
	for i := range all {
		name, err := all[i].GetName()
		if err != nil {
			return err
		}
		if !strings.HasPrefix(name, prefix) || slices.Contains(keep, name) {
			continue
		}
		err = s.change(ctx, opFilterUndefine, all[i].Undefine)
		if err != nil && !code(err, libvirt.ERR_NO_NWFILTER) {
			return err
		}
	}
	return nil
}

// refilter gives the interfaces of a domain that runs the filters that its
// definition names, and removes those that it does not. What filters hold has
// changed with them already.
func (m *machine) refilter(ctx context.Context) error {
	if !m.filters {
		return nil
	}
	def, err := m.definition()
	if err != nil {
		return err
	}
	live, err := m.live()
	if err != nil {
		return err
	}
	var keep []string
	for i := range def.Devices.Interfaces {
		x := &def.Devices.Interfaces[i]
		if err := m.filterLive(ctx, live, x); err != nil {
			return err
		}
		keep = append(keep, filterOf(x))
	}
	return m.dropFilters(ctx, filterPrefix(m.id), keep...)
}

// filterLive gives an interface that is plugged into a running domain the filter of
// a description of it; live is nil if the domain does not run. A host that cannot is
// forgiven, as by plug.
func (m *machine) filterLive(ctx context.Context, live *libvirtxml.Domain, want *libvirtxml.DomainInterface) error {
	if live == nil || want.Alias == nil {
		return nil
	}
	have := nicOn(live, want.Alias.Name)
	if have == nil || !sameNIC(have, want) || filterOf(have) == filterOf(want) {
		return nil
	}
	have.FilterRef = want.FilterRef
	doc, err := m.asGiven(have).Marshal()
	if err != nil {
		return err
	}
	err = m.change(ctx, opDeviceFilter, func() error {
		return m.dom.UpdateDeviceFlags(doc, libvirt.DOMAIN_DEVICE_MODIFY_LIVE)
	})
	if unsupported(err) {
		return nil
	}
	return err
}
