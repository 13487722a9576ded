package guest

import (
	"bytes"
	"net/netip"
	"slices"
	"strconv"

	"go.yaml.in/yaml/v3"
)

// The files of NoCloud.
const (
	metaDataFile   = "meta-data"
	userDataFile   = "user-data"
	vendorDataFile = "vendor-data"
	networkFile    = "network-config"
)

// NoCloud gives the files of the NoCloud seed by their names: meta-data, user-data,
// vendor-data and, unless the machine has no interfaces, network-config.
func NoCloud(m *Machine) map[string][]byte {
	files := map[string][]byte{
		metaDataFile:   encode(metaData(m)),
		userDataFile:   m.UserData,
		vendorDataFile: {},
	}
	if files[userDataFile] == nil {
		files[userDataFile] = []byte{}
	}
	if len(m.NICs) > 0 {
		files[networkFile] = encode(networkConfig(m))
	}
	return files
}

// Drive gives the files of a machine's config drive: those of NoCloud, or none if
// its owner wants none, or there is neither a disk that it could boot and read them with,
// nor anything that only its owner can have meant for it.
func Drive(m *Machine) map[string][]byte {
	boots := slices.ContainsFunc(m.Disks, func(d Disk) bool { return !d.Scratch })
	if m.NoDrive || !boots && len(m.Keys)+len(m.UserData)+len(m.Metadata) == 0 {
		return nil
	}
	return NoCloud(m)
}

// noCloudMeta is meta-data; cloud-init takes what it does not know as it is.
type noCloudMeta struct {
	InstanceID    string            `yaml:"instance-id"`
	LocalHostname string            `yaml:"local-hostname"`
	Hostname      string            `yaml:"hostname"`
	Title         string            `yaml:"title,omitempty"`
	CloudName     string            `yaml:"cloud-name"`
	PublicKeys    []string          `yaml:"public-keys,omitempty"`
	Meta          map[string]string `yaml:"meta,omitempty"`
}

func metaData(m *Machine) noCloudMeta {
	d := noCloudMeta{InstanceID: m.ID.String(), LocalHostname: m.Hostname, Hostname: m.Hostname, Title: m.Title, CloudName: "occid", Meta: m.meta()}
	for _, k := range m.Keys {
		d.PublicKeys = append(d.PublicKeys, k.Text)
	}
	return d
}

// meta is the machine's metadata by name.
func (m *Machine) meta() map[string]string {
	out := make(map[string]string, len(m.Metadata))
	for _, p := range m.Metadata {
		out[p.Name] = p.Text
	}
	return out
}

// netConfig is version 2 of the network configuration.
type netConfig struct {
	Version   int                 `yaml:"version"`
	Ethernets map[string]ethernet `yaml:"ethernets"`
}

type ethernet struct {
	Match       matching     `yaml:"match"`
	SetName     string       `yaml:"set-name,omitempty"`
	DHCP4       bool         `yaml:"dhcp4"`
	DHCP6       bool         `yaml:"dhcp6"`
	Optional    bool         `yaml:"optional,omitempty"`
	Addresses   []string     `yaml:"addresses,omitempty"`
	Routes      []route      `yaml:"routes,omitempty"`
	Nameservers *nameservers `yaml:"nameservers,omitempty"`
}

type matching struct {
	MAC string `yaml:"macaddress"`
}

type route struct {
	To  string `yaml:"to"`
	Via string `yaml:"via"`
}

type nameservers struct {
	Addresses []string `yaml:"addresses"`
}

func networkConfig(m *Machine) netConfig {
	c := netConfig{Version: 2, Ethernets: map[string]ethernet{}}
	told := false
	for i, n := range m.NICs {
		e := ethernetOf(n, i)
		// No router need be announced, and DHCPv6 hands out no routes.
		if n.Asks6 && !told {
			e.Routes = append(e.Routes, route{netip.PrefixFrom(routed, routed.BitLen()).String(), Addresses[len(Addresses)-2].Addr().String()})
			told = true
		}
		c.Ethernets[n.name(i)] = e
	}
	return c
}

// ethernetOf has the addresses that the network hands out asked for, and others
// set. An interface without any does not hold up the boot.
func ethernetOf(n NIC, i int) ethernet {
	e := ethernet{Match: matching{n.MAC}, SetName: n.name(i), DHCP4: n.V4.DHCP, DHCP6: n.V6.DHCP}
	for _, f := range []struct {
		Family
		all string
	}{{n.V4, "0.0.0.0/0"}, {n.V6, "::/0"}} {
		if f.DHCP || !f.Address.IsValid() {
			continue
		}
		e.Addresses = append(e.Addresses, f.Address.String())
		if f.Gateway.IsValid() {
			e.Routes = append(e.Routes, route{f.all, f.Gateway.String()})
		}
	}
	e.Optional = !e.DHCP4 && !e.DHCP6 && len(e.Addresses) == 0
	if len(n.DNS) > 0 && !e.Optional {
		e.Nameservers = &nameservers{addressTexts(n.DNS)}
	}
	return e
}

func addressTexts(as []netip.Addr) []string {
	out := make([]string, len(as))
	for i, a := range as {
		out[i] = a.String()
	}
	return out
}

// name is what the guest may call its interface number i.
func (n NIC) name(i int) string {
	if n.Name != "" && len(n.Name) < 16 && label(n.Name) == n.Name {
		return n.Name
	}
	return "nic" + strconv.Itoa(i)
}

// encode writes YAML of values that can always be written.
func encode(v any) []byte {
	var b bytes.Buffer
	e := yaml.NewEncoder(&b)
	e.SetIndent(2)
	if err := e.Encode(v); err != nil {
		panic(err)
	}
	return b.Bytes()
}
