package lab_test

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/json"
	"maps"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/occid/occid/internal/lab"
)

// What a machine of a template has (GFD.224 section 3.5, GFD.222).
const (
	sshKey    = "http://schemas.ogf.org/occi/infrastructure/credentials#ssh_key"
	userData  = "http://schemas.ogf.org/occi/infrastructure/compute#user_data"
	smallSize = "http://schemas.ogf.org/occi/infrastructure/compute/template/1.1#small"
	guestOwn  = "http://schemas.occid.org/occi/compute#guest"
)

// annsKey is the public key of whom TestWholeWay is about.
const annsKey = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHN0YW5kcyBmb3IgYSBrZXkgb2YgMzIgYnl0ZXM= ann@example.com"

// telling has a machine say what cloud-init made of it and, with further arguments
// of lab-source, what it learned where.
const telling = `exec >/dev/console
echo "guest: I am $(hostname), of $(cat /home/debian/.ssh/authorized_keys)"
lab-source`

// slow is longer than cloud-init takes to read of a source that answers everything at
// once, in seconds; what it does not find it looks for ten times, a second apart.
const slow = 9

// annsMetadata is what she writes down for her machines.
const annsMetadata = "role=web\nteam=blue, of two"

// contextualised is a machine of the template.
type contextualised struct {
	name       string
	attributes map[string]any // that others do not have
	data       string         // user data, as it is sent
	reads      []byte         // as it is read
	sources    []string       // what it reads with cloud-init, the first one as it boots

	addresses []string // of its interface that it gets, as promised: the name and the address
}

// archive is user data with a part that is a script.
func archive(script string) string {
	return "Content-Type: multipart/mixed; boundary=\"==of ann==\"\nMIME-Version: 1.0\n\n--==of ann==\n" +
		"Content-Type: text/x-shellscript; charset=\"us-ascii\"\n\n" + script + "\n--==of ann==--\n"
}

// compressed is text as gzip makes it.
func compressed(t *testing.T, text string) []byte {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if _, err := z.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// TestWholeWay goes from the file of a Debian with cloud-init to machines that run: Ann
// uploads it, makes a template of it and machines of the template. One knows all that it
// does of its config drive, the other, which has none, of the metadata service. Her user data
// is an archive and a compressed file. What the machines write does not change the image.
func TestWholeWay(t *testing.T) {
	long(t, "it boots a Debian with cloud-init")
	t.Parallel()
	ctx := need(t)
	h := newHost(ctx, t)
	image, err := lab.BuildCloudImage(built, built+"/debs")
	if err != nil {
		t.Fatal(err)
	}
	c := &cloud{ctx: ctx, t: t, url: startOccid(ctx, t, h).URL}
	disk := c.create("/storage/", entity{Kind: storage, Title: "debian", Attributes: map[string]any{"occi.storage.size": 0.25}})
	c.put(disk, content(t, image.QCOW2), 200, "")
	c.made(disk, "template&name=debian")
	wire := c.create("/network/", entity{Kind: network, Title: "lan", Mixins: []string{ipNetwork, ip6Network}, Attributes: map[string]any{
		"occi.network.address": "198.51.100.0/24", "occi.network.allocation": "dynamic", "occid.network.address6": "fd00:198:51::/64", "occid.network.mode": "nat"}})

	const service, service6 = "http://169.254.169.254/", "http://[fd00:ec2::254]/"
	script := "#!/bin/sh\n" + telling + " Ec2=" + service + " OpenStack=" + service + " NoCloud=" + service + "nocloud/ Ec2=" + service6
	config := compressed(t, "#cloud-config\nruncmd:\n- |\n  "+strings.ReplaceAll(telling, "\n", "\n  ")+"\n")
	machines := map[string]contextualised{}
	for _, m := range []contextualised{
		{name: "drive", sources: []string{"NoCloud", "Ec2", "OpenStack", "NoCloud", "Ec2"}, data: archive(script), reads: []byte(archive(script))},
		{name: "service", sources: []string{"Ec2"}, attributes: map[string]any{"occid.guest.drive": "none"},
			data: base64.StdEncoding.EncodeToString(config), reads: config},
	} {
		url := c.contextualise(&m, wire)
		machines[url] = m
	}
	for url, m := range machines {
		c.learned(h, url, m)
	}
	c.download(disk, image.QCOW2)
	for url := range machines {
		c.send(http.MethodDelete, url, nil)
	}
	c.forget("debian")
	for _, url := range []string{wire, disk} {
		c.send(http.MethodDelete, url, nil)
	}
	if err := h.Empty(ctx); err != nil {
		t.Error(err)
	}
}

// contextualise makes a machine of the template, which starts by itself.
func (c *cloud) contextualise(m *contextualised, wire string) string {
	c.t.Helper()
	attributes := map[string]any{"occi.compute.hostname": m.name, "occi.credentials.ssh.publickey": annsKey, "occi.compute.userdata": m.data,
		"occid.guest.metadata": annsMetadata}
	maps.Copy(attributes, m.attributes)
	resp, text := c.send(http.MethodPost, c.url+"/compute/", map[string]any{"kind": compute, "attributes": attributes,
		"mixins": []string{osTemplate + "debian", smallSize, sshKey, userData, guestOwn},
		"links":  []any{map[string]any{"kind": networkInterface, "target": end{path(wire), network}}}})
	url := resp.Header.Get("Location")
	if resp.StatusCode != http.StatusCreated || url == "" {
		c.t.Fatalf("POST /compute/: %s: %s", resp.Status, text)
	}
	m.addresses = c.promised(text)
	if m.attributes != nil {
		m.addresses = m.addresses[:1] // who has no network configuration asks by DHCPv4 alone
	}
	for c.get(url).state() != "active" {
		select {
		case <-c.ctx.Done():
			c.t.Fatalf("it does not start: %v", c.get(url))
		case <-time.After(50 * time.Millisecond):
		}
	}
	return url
}

// learned waits until a machine tells what it has learned of itself, and checks that
// it is what the API says.
func (c *cloud) learned(h *lab.Host, url string, m contextualised) {
	c.t.Helper()
	id := path(url)[len("/compute/"):]
	console, err := h.Console(id)
	if err != nil {
		c.t.Fatal(err)
	}
	defer console.Close()
	says := []string{lab.GuestUp}
	for _, a := range m.addresses {
		says = append(says, lab.GuestAddress+a+"/")
	}
	for _, text := range append(says, "guest: I am "+m.name+", of "+annsKey) {
		if _, err := console.Wait(c.ctx, text); err != nil {
			c.t.Fatal(err)
		}
	}
	for _, source := range m.sources {
		line, err := console.Wait(c.ctx, lab.GuestCloud)
		if err != nil {
			c.t.Fatal(err)
		}
		got, err := lab.ParseTold(line)
		if err != nil {
			c.t.Fatal(err)
		}
		c.t.Logf("%s reads of %s in %v s", m.name, got.Source, got.Seconds)
		if got.Seconds > slow {
			c.t.Errorf("%s takes %v s to read of %s", m.name, got.Seconds, source)
		}
		got.Network, got.Seconds = nil, 0
		want := lab.Told{Source: source, ID: id, Hostname: m.name, Keys: []string{annsKey}, UserData: m.reads,
			Meta: map[string]string{"role": "web", "team": "blue, of two"}}
		if diff := cmp.Diff(want, got); diff != "" {
			c.t.Errorf("%s has learned (-want +got):\n%s", m.name, diff)
		}
	}
}

// promised gives the name and each address of the one interface in what was answered.
func (c *cloud) promised(answer []byte) []string {
	c.t.Helper()
	var x struct {
		Links []entity `json:"links"`
	}
	if err := json.Unmarshal(answer, &x); err != nil || len(x.Links) != 1 {
		c.t.Fatalf("%v: %s", err, answer)
	}
	name, _ := x.Links[0].Attributes["occi.networkinterface.interface"].(string)
	var addresses []string
	for _, attribute := range []string{"occi.networkinterface.address", "occid.networkinterface.address6"} {
		address, _ := x.Links[0].Attributes[attribute].(string)
		if address == "" {
			c.t.Fatalf("there is no %s in %s", attribute, answer)
		}
		addresses = append(addresses, name+" "+address)
	}
	return addresses
}
