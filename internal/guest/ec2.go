package guest

import (
	"bytes"
	"cmp"
	"encoding/base64"
	"encoding/json"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/occid/occid/occi"
)

// ec2Versions are those of EC2's instance metadata service, oldest first.
var ec2Versions = []string{"1.0", "2007-01-19", "2007-03-01", "2007-08-29", "2007-10-10", "2007-12-15", "2008-02-01", "2008-09-01",
	"2009-04-04", "2011-01-01", "2011-05-01", "2012-01-12", "2014-02-25", "2014-11-05", "2015-10-20", "2016-04-19", "2016-06-30",
	"2016-09-02", "2018-03-28", "2018-08-17", "2018-09-24", "2019-10-01", "2020-10-27", "2021-01-03", "2021-03-23", "2021-07-15",
	"2022-09-24", "2024-04-11", "latest"}

// versioned is what the first segment of EC2's paths looks like.
var versioned = regexp.MustCompile(`^(?:latest|1\.0|\d{4}-\d{2}-\d{2})$`)

// zone is where every machine is, as far as it can tell.
const zone = "occid"

// ec2Tree is a file or a directory of EC2's metadata.
type ec2Tree struct {
	file []byte // nil for a directory
	// names are those in the directory in order, in the way they are listed.
	names []string
	in    map[string]*ec2Tree
}

// put makes a file at a path, unless its text is empty.
func (t *ec2Tree) put(path, text string) {
	if text == "" {
		return
	}
	segments := strings.Split(path, "/")
	for i, s := range segments {
		next := t.in[s]
		if next == nil {
			next = &ec2Tree{in: map[string]*ec2Tree{}}
			t.in[s] = next
			if i < len(segments)-1 {
				s += "/"
			}
			t.names = append(t.names, s)
		}
		t = next
	}
	t.file = []byte(text)
}

// at finds what is at a path.
func (t *ec2Tree) at(segments []string) *ec2Tree {
	for _, s := range segments {
		if t = t.in[s]; t == nil {
			return nil
		}
	}
	return t
}

// text is what a GET shows: a file, or the sorted names of a directory.
func (t *ec2Tree) text() []byte {
	if t.file != nil {
		return t.file
	}
	names := slices.Clone(t.names)
	slices.Sort(names)
	return []byte(strings.Join(names, "\n"))
}

// ec2At answers for a path below a version; NotFound if there is nothing.
func ec2At(tree func() *ec2Tree, segments []string) ([]byte, error) {
	version := segments[0]
	if !slices.Contains(ec2Versions, version) {
		return nil, nothingAt(segments)
	}
	t := tree().at(segments[1:])
	if t == nil {
		return nil, nothingAt(segments)
	}
	text := t.text()
	if len(segments) == 1 {
		text = bytes.ReplaceAll(text, []byte("/"), nil) // of this one, the names come bare
	}
	return text, nil
}

func nothingAt(segments []string) error {
	return occi.E(occi.NotFound, "there is nothing at /%.200s", strings.Join(segments, "/"))
}

// ec2Of makes the tree of a version, which are all alike: newer ones only have more.
func ec2Of(m *Machine) *ec2Tree {
	t := &ec2Tree{in: map[string]*ec2Tree{}}
	if len(m.UserData) > 0 {
		t.put("user-data", string(m.UserData))
	}
	t.put("dynamic/instance-identity/document", identity(m))
	meta := func(path, text string) { t.put("meta-data/"+path, text) }
	meta("ami-id", cmp.Or(m.Image, "none"))
	meta("ami-launch-index", "0")
	meta("ami-manifest-path", "(unknown)")
	meta("hostname", m.Hostname)
	meta("instance-action", "none")
	meta("instance-id", m.ID.String())
	meta("instance-life-cycle", "on-demand")
	meta("instance-type", cmp.Or(m.Type, "custom"))
	meta("local-hostname", m.Hostname)
	meta("local-ipv4", m.localIPv4())
	meta("placement/availability-zone", zone)
	meta("placement/region", zone)
	meta("reservation-id", "r-"+m.ID.String()[:8])
	meta("security-groups", "default")
	meta("services/domain", "internal")
	for i, k := range m.Keys {
		meta("public-keys/"+strconv.Itoa(i)+"/openssh-key", k.Text)
	}
	if keys := t.at([]string{"meta-data", "public-keys"}); keys != nil {
		for i, k := range m.Keys {
			keys.names[i] = strconv.Itoa(i) + "=" + k.Name
		}
	}
	ec2Disks(m, meta)
	ec2NICs(m, meta)
	if m.Title != "" {
		meta("tags/instance/Name", m.Title)
	}
	for _, p := range m.Metadata {
		if !strings.Contains(p.Name, "/") {
			meta("tags/instance/"+p.Name, p.Text)
		}
	}
	return t
}

func ec2Disks(m *Machine, meta func(path, text string)) {
	root, n := "", 0
	for _, d := range m.Disks {
		if d.Root || root == "" {
			root = d.Target
		}
	}
	for _, d := range m.Disks {
		switch {
		case d.Target == "" || d.Target == root:
		case d.Scratch:
			meta("block-device-mapping/ephemeral0", d.Target)
		default:
			n++
			meta("block-device-mapping/ebs"+strconv.Itoa(n), d.Target)
		}
	}
	if root != "" {
		meta("block-device-mapping/ami", root)
		meta("block-device-mapping/root", "/dev/"+root)
	}
}

func ec2NICs(m *Machine, meta func(path, text string)) {
	for i, n := range m.NICs {
		if i == 0 {
			meta("mac", n.MAC)
		}
		at := func(name, text string) { meta("network/interfaces/macs/"+n.MAC+"/"+name, text) }
		at("device-number", strconv.Itoa(i))
		at("interface-id", "eni-"+n.ID.String()[:8])
		at("local-hostname", m.Hostname)
		at("mac", n.MAC)
		at("security-groups", "default")
		at("subnet-id", "subnet-"+n.Network.String())
		at("vpc-id", "vpc-"+n.Network.String())
		if a := n.V4.Address; a.IsValid() {
			at("local-ipv4s", a.Addr().String())
		}
		if a := n.V6.Address; a.IsValid() {
			at("ipv6s", a.Addr().String())
		}
		for _, name := range []string{"subnet", "vpc"} {
			if r := n.V4.Range; r.IsValid() {
				at(name+"-ipv4-cidr-block", r.String())
			}
			if r := n.V6.Range; r.IsValid() {
				at(name+"-ipv6-cidr-blocks", r.String())
			}
		}
		if g := n.V4.Gateway; g.IsValid() {
			at("gateway", g.String())
		}
	}
}

func (m *Machine) localIPv4() string {
	for _, n := range m.NICs {
		if n.V4.Address.IsValid() {
			return n.V4.Address.Addr().String()
		}
	}
	return ""
}

// identity is EC2's instance identity document.
func identity(m *Machine) string {
	doc := struct {
		AccountID               string  `json:"accountId"`
		Architecture            string  `json:"architecture"`
		AvailabilityZone        string  `json:"availabilityZone"`
		BillingProducts         *string `json:"billingProducts"`
		DevpayProductCodes      *string `json:"devpayProductCodes"`
		MarketplaceProductCodes *string `json:"marketplaceProductCodes"`
		ImageID                 string  `json:"imageId"`
		InstanceID              string  `json:"instanceId"`
		InstanceType            string  `json:"instanceType"`
		KernelID                *string `json:"kernelId"`
		PendingTime             string  `json:"pendingTime"`
		PrivateIP               string  `json:"privateIp"`
		RamdiskID               *string `json:"ramdiskId"`
		Region                  string  `json:"region"`
		Version                 string  `json:"version"`
	}{AccountID: cmp.Or(m.Project, "default"), Architecture: m.Arch, AvailabilityZone: zone, ImageID: cmp.Or(m.Image, "none"), InstanceID: m.ID.String(),
		InstanceType: cmp.Or(m.Type, "custom"), PendingTime: m.Created.UTC().Format(time.RFC3339), PrivateIP: m.localIPv4(), Region: zone,
		Version: "2017-09-30"}
	return string(jsonText(doc))
}

// jsonText writes values that can always be written.
func jsonText(v any) []byte {
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		panic(err)
	}
	return append(b, '\n')
}

// base64Text is the standard encoding.
func base64Text(b []byte) string { return base64.StdEncoding.EncodeToString(b) }
