package lab_test

import (
	"encoding/json"
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
)

// annsKey is the public key of whom TestWholeWay is about.
const annsKey = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHN0YW5kcyBmb3IgYSBrZXkgb2YgMzIgYnl0ZXM= ann@example.com"

// telling has a machine say what cloud-init made of it and, with further arguments
// of lab-source, what it learned where.
const telling = `exec >/dev/console
echo "guest: I am $(hostname), of $(cat /home/debian/.ssh/authorized_keys)"
lab-source`

// contextualised is a machine of the template.
type contextualised struct {
	name    string
	mixins  []string
	boot    map[string]any // attributes that others do not have
	data    string         // user data
	sources []string       // what it reads with cloud-init, the first one as it boots

	address string // of its interface, as promised: the name and the address
}

// TestWholeWay goes from the file of a Debian with cloud-init to machines that run: Ann
// uploads it, makes a template of it and machines of the template. One knows all that it
// does of its config drive, the other of the metadata service.
func TestWholeWay(t *testing.T) {
	t.Parallel()
	ctx := need(t)
	h := newHost(ctx, t)
	guest := install(t, h)
	image, err := lab.BuildCloudImage(built, built+"/debs")
	if err != nil {
		t.Fatal(err)
	}
	c := &cloud{ctx: ctx, t: t, url: startOccid(ctx, t, h).URL}
	disk := c.create("/storage/", entity{Kind: storage, Title: "debian", Attributes: map[string]any{"occi.storage.size": 0.25}})
	c.put(disk, content(t, image.QCOW2), 200, "")
	c.made(disk, "template&name=debian")
	wire := c.lan()

	const service = "http://169.254.169.254/"
	machines := map[string]contextualised{}
	for _, m := range []contextualised{
		{name: "drive", sources: []string{"NoCloud", "Ec2", "OpenStack", "NoCloud"},
			data: "#!/bin/sh\n" + telling + " Ec2=" + service + " OpenStack=" + service + " NoCloud=" + service + "nocloud/\n"},
		// It has a config drive as well, where cloud-init is kept from looking.
		{name: "service", sources: []string{"Ec2"}, mixins: []string{directBoot}, boot: map[string]any{
			"occid.boot.kernel": guest.Kernel, "occid.boot.initrd": guest.Initrd,
			"occid.boot.cmdline": lab.CloudCmdline + " cc: datasource_list: [Ec2, None] end_cc"},
			data: "#cloud-config\nruncmd:\n- |\n  " + strings.ReplaceAll(telling, "\n", "\n  ") + "\n"},
	} {
		url := c.contextualise(&m, wire)
		machines[url] = m
	}
	for url, m := range machines {
		c.learned(h, url, m)
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
	attributes := map[string]any{"occi.compute.hostname": m.name, "occi.credentials.ssh.publickey": annsKey, "occi.compute.userdata": m.data}
	for name, value := range m.boot {
		attributes[name] = value
	}
	resp, text := c.send(http.MethodPost, c.url+"/compute/", map[string]any{"kind": compute, "attributes": attributes,
		"mixins": append([]string{osTemplate + "debian", smallSize, sshKey, userData}, m.mixins...),
		"links":  []any{map[string]any{"kind": networkInterface, "target": end{path(wire), network}}}})
	url := resp.Header.Get("Location")
	if resp.StatusCode != http.StatusCreated || url == "" {
		c.t.Fatalf("POST /compute/: %s: %s", resp.Status, text)
	}
	m.address = c.promised(text)
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
	for _, text := range []string{lab.GuestUp, lab.GuestAddress + m.address + "/24", "guest: I am " + m.name + ", of " + annsKey} {
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
		got.Network, got.Seconds = nil, 0
		want := lab.Told{Source: source, ID: id, Hostname: m.name, Keys: []string{annsKey}, UserData: m.data}
		if diff := cmp.Diff(want, got); diff != "" {
			c.t.Errorf("%s has learned (-want +got):\n%s", m.name, diff)
		}
	}
}

// promised gives the name and the address of the one interface in what was answered.
func (c *cloud) promised(answer []byte) string {
	c.t.Helper()
	var x struct {
		Links []entity `json:"links"`
	}
	if err := json.Unmarshal(answer, &x); err != nil || len(x.Links) != 1 {
		c.t.Fatalf("%v: %s", err, answer)
	}
	name, _ := x.Links[0].Attributes["occi.networkinterface.interface"].(string)
	address, _ := x.Links[0].Attributes["occi.networkinterface.address"].(string)
	if address == "" {
		c.t.Fatalf("there is no address in %s", answer)
	}
	return name + " " + address
}
