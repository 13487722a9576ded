package guest_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/uuid"
	"go.yaml.in/yaml/v3"

	"github.com/occid/occid/hypervisor/libvirt"
	"github.com/occid/occid/internal/guest"
	"github.com/occid/occid/occi"
	"github.com/occid/occid/spec"
)

func newStop(t *testing.T) (context.Context, context.CancelFunc) {
	return context.WithCancel(t.Context())
}

// machine describes a compute that is in no store.
func machine(t *testing.T, mixins []string, attributes ...string) *guest.Machine {
	t.Helper()
	m, err := spec.Builtin()
	if err != nil {
		t.Fatal(err)
	}
	x := &occi.Entity{ID: uuid.MustParse("12345678-0000-4000-8000-000000000000"), Kind: compute, Mixins: mixins}
	for i := 0; i < len(attributes); i += 2 {
		if attributes[i] == occi.AttrTitle {
			x.Title = attributes[i+1]
			continue
		}
		v, err := m.Attribute(attributes[i]).Check(occi.Str(attributes[i+1]))
		if err != nil {
			t.Fatal(err)
		}
		x.Attributes.Set(attributes[i], v)
	}
	return guest.MachineOf(m, x, nil)
}

func TestHostnames(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("a", 70)
	for _, x := range []struct{ hostname, title, want string }{
		{"web-1", "a title", "web-1"},
		{"Web-1.Example.COM", "", "web-1.example.com"},
		{"", "Web server №1", "web-server-1"},
		{"", "-a_b-", "a-b"},
		{"...", "t", "t"},
		{"", "", "vm-12345678"},
		{"", "日本", "vm-12345678"},
		{"日本", "x", "x"},
		{long, "", long[:63]},
		{long[:62] + "-b", "", long[:62]},
		{strings.Repeat(long[:50]+".", 9), "", strings.TrimSuffix(strings.Repeat(long[:50]+".", 4), ".")},
		{"a..b.", "", "a.b"},
		{"$(reboot)", "", "reboot"},
	} {
		if got := machine(t, nil, "occi.compute.hostname", x.hostname, occi.AttrTitle, x.title).Hostname; got != x.want {
			t.Errorf("of %q, %q: %q, want %q", x.hostname, x.title, got, x.want)
		}
	}
}

func TestUserData(t *testing.T) {
	t.Parallel()
	var zipped bytes.Buffer
	z := gzip.NewWriter(&zipped)
	if _, err := z.Write([]byte("#cloud-config\n{}\n")); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	code := func(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }
	const standard, old = "occi.compute.userdata", "org.openstack.compute.user_data"
	mime := "Content-Type: multipart/mixed; boundary=\"x\"\nMIME-Version: 1.0\n\n--x\n"
	for name, x := range map[string]struct{ attribute, given, want string }{
		"a script":                      {standard, "#!/bin/sh\necho\n", "#!/bin/sh\necho\n"},
		"cloud-config":                  {standard, "#cloud-config\n{}\n", "#cloud-config\n{}\n"},
		"a MIME archive":                {standard, mime, mime},
		"free text":                     {standard, "hello", "hello"},
		"text that could be base64":     {standard, "aGVsbG8=", "aGVsbG8="},
		"a script in base64":            {standard, code("#!/bin/sh\n"), "#!/bin/sh\n"},
		"in lines":                      {standard, code("#cloud-config\n{}\n")[:8] + "\r\n" + code("#cloud-config\n{}\n")[8:] + "\n", "#cloud-config\n{}\n"},
		"without padding":               {standard, strings.TrimRight(code("#!/bin/sh"), "="), "#!/bin/sh"},
		"MIME in base64":                {standard, code(mime), mime},
		"compressed":                    {standard, code(zipped.String()), zipped.String()},
		"under its older name":          {"occi.compute.user_data", code("#!/bin/sh\n"), "#!/bin/sh\n"},
		"base64 by definition":          {old, code("hello"), "hello"},
		"base64 by definition, and not": {old, "#!/bin/sh\n", "#!/bin/sh\n"},
		"none":                          {standard, "", ""},
	} {
		if got := machine(t, []string{userDataID, oldUserData}, x.attribute, x.given).UserData; string(got) != x.want {
			t.Errorf("%s: %q, want %q", name, got, x.want)
		}
	}
}

// TestBigUserData names the limit of what a machine can be handed.
func TestBigUserData(t *testing.T) {
	t.Parallel()
	m, err := spec.Builtin()
	if err != nil {
		t.Fatal(err)
	}
	d := &occi.Draft{Kind: compute, Mixins: []string{userDataID}, Attributes: []occi.DraftAttr{{Name: "occi.compute.userdata", Value: occi.Str(strings.Repeat("x", occi.MaxText+1))}}}
	if _, err := m.Build(d, uuid.New()); err == nil || !strings.Contains(err.Error(), "65536") || !strings.Contains(err.Error(), "occi.compute.userdata") {
		t.Errorf("too much: %v", err)
	}
}

// TestDrives are for machines that have something to read, and something to read it
// with.
func TestDrives(t *testing.T) {
	t.Parallel()
	const image, scratch = "occid.compute.image", "occi.compute.ephemeral_storage.size"
	for name, x := range map[string]struct {
		m    *guest.Machine
		want bool
	}{
		"nothing":   {machine(t, nil), false},
		"a title":   {machine(t, nil, occi.AttrTitle, "x"), false},
		"an image":  {machine(t, nil, image, "/storage/x"), true},
		"scratch":   {machine(t, []string{smallMachine}, scratch, "1"), false},
		"a key":     {machine(t, []string{sshKey}, "occi.credentials.ssh.publickey", "ssh-rsa AAAA"), true},
		"user data": {machine(t, []string{userDataID}, "occi.compute.userdata", "x"), true},
		"no drive":  {machine(t, []string{guestMixin}, image, "/storage/x", "occid.guest.drive", "none"), false},
		"NoCloud's": {machine(t, []string{guestMixin}, image, "/storage/x", "occid.guest.drive", "nocloud"), true},
		"metadata":  {machine(t, []string{guestMixin}, "occid.guest.metadata", "a=b"), true},
	} {
		files := guest.Drive(x.m)
		if got := files != nil; got != x.want {
			t.Errorf("%s: %t, want %t", name, got, x.want)
		}
		if x.want && (files["meta-data"] == nil || files["user-data"] == nil || files["vendor-data"] == nil) {
			t.Errorf("%s: the drive lacks a file: %q", name, files)
		}
	}
}

// TestRoutes are to EC2's IPv6 address, over the first interface at which the host has
// it.
func TestRoutes(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	lans := [][]any{
		{"occi.network.address", "192.0.2.0/24"},
		{"occid.network.mode", "bridged", "occid.network.bridge", "br0", "occid.network.address6", "fd00:1::/64"},
		{"occi.network.allocation", "dynamic", "occid.network.address6", "fd00:2::/64"},
		{"occi.network.address", "fd00:3::/64"},
	}
	vm := w.put(compute, 9, nil)
	for i, lan := range lans {
		x := w.put(network, 20+i, []string{ipNetwork, ip6Network}, lan...)
		w.put(nic, 30+i, nil, occi.AttrSource, "/compute/"+vm.ID.String(), occi.AttrTarget, "/network/"+x.ID.String(),
			"occi.networkinterface.mac", fmt.Sprintf("02:00:00:00:00:%02d", i))
	}
	w.start(vm)
	asks := guest.Peer{Bridge: libvirt.BridgeOf(ident(20)), MAC: "02:00:00:00:00:00", Addr: netip.MustParseAddr("fe80::ff:fe00:0")}
	status, text := w.text(asks, http.MethodGet, "/nocloud/network-config")
	var got struct {
		Ethernets map[string]struct {
			Routes []struct{ To, Via string }
		}
	}
	if err := yaml.Unmarshal([]byte(text), &got); status != http.StatusOK || err != nil {
		t.Fatalf("%d %s: %v", status, text, err)
	}
	for name, e := range got.Ethernets {
		routes := ""
		for _, r := range e.Routes {
			routes += r.To + " via " + r.Via + "\n"
		}
		want := map[string]string{"eth2": "fd00:ec2::254/128 via fe80::a9fe:a9fe\n"}[name]
		if routes != want {
			t.Errorf("%s has the routes %q, want %q", name, routes, want)
		}
	}
	if len(got.Ethernets) != len(lans) {
		t.Errorf("there are %d interfaces: %s", len(got.Ethernets), text)
	}
}

func TestKeys(t *testing.T) {
	t.Parallel()
	got := machine(t, []string{sshKey, "http://schemas.openstack.org/instance/credentials#public_key"},
		"occi.credentials.ssh.publickey", "# mine\nssh-rsa AAAA ann\r\n\n  ssh-rsa BBBB ann\nssh-rsa AAAA ann\nssh-rsa CCCC",
		"org.openstack.credentials.publickey.name", "a key/of=mine", "org.openstack.credentials.publickey.data", "ssh-rsa DDDD x").Keys
	want := []guest.PublicKey{{Name: "ann", Text: "ssh-rsa AAAA ann"}, {Name: "ann-2", Text: "ssh-rsa BBBB ann"}, {Name: "key", Text: "ssh-rsa CCCC"},
		{Name: "a-key-of-mine", Text: "ssh-rsa DDDD x"}}
	if len(got) != len(want) {
		t.Fatalf("%q", got)
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("%q, want %q", got[i], want[i])
		}
	}
}

// TestMetadata refuses what could not be told to a machine.
func TestMetadata(t *testing.T) {
	t.Parallel()
	w := twins(t)
	for text, good := range map[string]bool{"a=1\nb=2\r\n\nc=": true, "no sign": false, "=x": false, "a/b=c": false, "a b=c": false} {
		err := w.change(machineTwo, []string{guestMixin}, "occid.guest.metadata", text)
		if good != (err == nil) || !good && (occi.ClassOf(err) != occi.Invalid || !strings.Contains(err.Error(), "occid.guest.metadata")) {
			t.Errorf("%q: %v", text, err)
		}
	}
	if _, got := w.text(peerTwo, http.MethodGet, "/latest/meta-data/tags/instance/"); got != "a\nb" {
		t.Errorf("the tags are %q", got)
	}
}
