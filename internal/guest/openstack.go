package guest

import (
	"cmp"
	"crypto/rand"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// openStackVersions are those of OpenStack's metadata service, oldest first.
var openStackVersions = []string{"2012-08-10", "2013-04-04", "2013-10-17", "2015-10-15", "2016-06-30", "2016-10-06", "2017-02-22",
	"2018-08-27", "2020-10-14", "2025-04-04", "latest"}

// openStackFile is a file of a version's directory.
type openStackFile struct {
	name  string
	since string // the first version that has it
	media string
	// text gives the content, nil if this machine has none.
	text func(*Machine) []byte
}

var openStackFiles = []openStackFile{
	{"meta_data.json", "2012-08-10", jsonMedia, func(m *Machine) []byte { return jsonText(openStackMeta(m)) }},
	{"network_data.json", "2015-10-15", jsonMedia, func(m *Machine) []byte { return jsonText(openStackNetwork(m)) }},
	{"user_data", "2012-08-10", dataMedia, func(m *Machine) []byte { return m.UserData }},
	{"vendor_data.json", "2013-10-17", jsonMedia, func(*Machine) []byte { return []byte("{}\n") }},
	{"vendor_data2.json", "2016-10-06", jsonMedia, func(*Machine) []byte { return []byte("{}\n") }},
}

// openStackAt answers for a path below /openstack; NotFound if there is nothing.
func openStackAt(m *Machine, segments []string) (text []byte, media string, err error) {
	if len(segments) == 1 {
		return []byte(strings.Join(openStackVersions, "\n")), textMedia, nil
	}
	version := segments[1]
	if !slices.Contains(openStackVersions, version) || len(segments) > 3 {
		return nil, "", nothingAt(segments)
	}
	var names []string
	for _, f := range openStackFiles {
		if version < f.since {
			continue
		}
		if len(segments) == 3 && segments[2] == f.name {
			if text = f.text(m); text != nil {
				return text, f.media, nil
			}
		}
		if len(segments) == 2 && (f.name != "user_data" || m.UserData != nil) {
			names = append(names, f.name)
		}
	}
	if len(segments) == 3 {
		return nil, "", nothingAt(segments)
	}
	return []byte(strings.Join(names, "\n")), textMedia, nil
}

type osMeta struct {
	UUID             string            `json:"uuid"`
	Name             string            `json:"name"`
	Hostname         string            `json:"hostname"`
	LaunchIndex      int               `json:"launch_index"`
	AvailabilityZone string            `json:"availability_zone"`
	ProjectID        string            `json:"project_id,omitempty"`
	Created          string            `json:"created_at,omitempty"`
	Meta             map[string]string `json:"meta"`
	PublicKeys       map[string]string `json:"public_keys,omitempty"`
	Keys             []osKey           `json:"keys,omitempty"`
	RandomSeed       string            `json:"random_seed"`
	Devices          []osDevice        `json:"devices"`
	DedicatedCPUs    []int             `json:"dedicated_cpus"`
}

type osKey struct {
	Name string `json:"name"`
	Type string `json:"type"`
	Data string `json:"data"`
}

type osDevice struct {
	Type string   `json:"type"`
	Bus  string   `json:"bus"`
	MAC  string   `json:"mac,omitempty"`
	Path string   `json:"path,omitempty"`
	Tags []string `json:"tags"`
}

// seedBytes is how much randomness a guest is given.
const seedBytes = 512

// openStackMeta is meta_data.json; its seed is another one each time.
func openStackMeta(m *Machine) osMeta {
	seed := make([]byte, seedBytes)
	rand.Read(seed)
	d := osMeta{UUID: m.ID.String(), Name: cmp.Or(m.Title, m.Hostname), Hostname: m.Hostname, AvailabilityZone: zone, ProjectID: m.Project,
		Created: m.Created.UTC().Format(time.RFC3339), Meta: m.meta(), RandomSeed: base64Text(seed), Devices: []osDevice{}, DedicatedCPUs: []int{}}
	for _, k := range m.Keys {
		if d.PublicKeys == nil {
			d.PublicKeys = map[string]string{}
		}
		d.PublicKeys[k.Name] = k.Text
		d.Keys = append(d.Keys, osKey{k.Name, "ssh", k.Text})
	}
	for _, n := range m.NICs {
		d.Devices = append(d.Devices, osDevice{Type: "nic", Bus: "pci", MAC: n.MAC, Tags: tags(n.Title)})
	}
	for _, k := range m.Disks {
		if k.Target != "" {
			d.Devices = append(d.Devices, osDevice{Type: "disk", Bus: "virtio", Path: "/dev/" + k.Target, Tags: tags(k.Title)})
		}
	}
	return d
}

func tags(title string) []string {
	if title == "" {
		return []string{}
	}
	return []string{title}
}

type osNetwork struct {
	Links    []osLink    `json:"links"`
	Networks []osNet     `json:"networks"`
	Services []osService `json:"services"`
}

type osLink struct {
	ID   string `json:"id"`
	Name string `json:"name,omitempty"`
	Type string `json:"type"`
	MAC  string `json:"ethernet_mac_address"`
	VIF  string `json:"vif_id"`
}

type osNet struct {
	ID        string      `json:"id"`
	NetworkID string      `json:"network_id"`
	Link      string      `json:"link"`
	Type      string      `json:"type"`
	Address   string      `json:"ip_address,omitempty"`
	Netmask   string      `json:"netmask,omitempty"`
	Gateway   string      `json:"gateway,omitempty"`
	Routes    []osRoute   `json:"routes,omitempty"`
	DNS       []string    `json:"dns_nameservers,omitempty"`
	Services  []osService `json:"services,omitempty"`
}

type osRoute struct {
	Network string `json:"network"`
	Netmask string `json:"netmask"`
	Gateway string `json:"gateway"`
}

type osService struct {
	Type    string `json:"type"`
	Address string `json:"address"`
}

// openStackNetwork is network_data.json.
func openStackNetwork(m *Machine) osNetwork {
	d := osNetwork{Links: []osLink{}, Networks: []osNet{}, Services: []osService{}}
	var told []netip.Addr
	for i, n := range m.NICs {
		link := "tap-" + n.ID.String()
		d.Links = append(d.Links, osLink{ID: link, Name: n.name(i), Type: "phy", MAC: n.MAC, VIF: n.ID.String()})
		for _, f := range []struct {
			Family
			name string
		}{{n.V4, "ipv4"}, {n.V6, "ipv6"}} {
			if x, ok := osNetOf(f.Family, f.name); ok {
				x.ID, x.NetworkID, x.Link = f.name+"-"+n.ID.String(), n.Network.String(), link
				d.Networks = append(d.Networks, x)
			}
		}
		for _, a := range n.DNS {
			if !slices.Contains(told, a) {
				told = append(told, a)
				d.Services = append(d.Services, osService{"dns", a.String()})
			}
		}
	}
	return d
}

// osNetOf tells how an interface gets addresses of a family, if it does.
func osNetOf(f Family, name string) (osNet, bool) {
	switch {
	case f.DHCP:
		return osNet{Type: name + "_dhcp"}, true
	case !f.Address.IsValid():
		return osNet{}, false
	}
	x := osNet{Type: name, Address: f.Address.Addr().String(), Netmask: netmask(f.Address)}
	if f.Gateway.IsValid() {
		x.Gateway = f.Gateway.String()
		all := netip.PrefixFrom(f.Gateway, 0).Masked()
		x.Routes = []osRoute{{Network: all.Addr().String(), Netmask: netmask(all), Gateway: x.Gateway}}
	}
	return x, true
}

// netmask writes the length of a prefix as a mask.
func netmask(p netip.Prefix) string {
	return net.IP(net.CIDRMask(p.Bits(), p.Addr().BitLen())).String()
}
