package lab_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/occid/occid/internal/lab"
)

// The kinds of OCCI's infrastructure (GFD.224), and this server's direct boot.
const (
	ipNetwork        = "http://schemas.ogf.org/occi/infrastructure/network#ipnetwork"
	compute          = "http://schemas.ogf.org/occi/infrastructure#compute"
	network          = "http://schemas.ogf.org/occi/infrastructure#network"
	storage          = "http://schemas.ogf.org/occi/infrastructure#storage"
	networkInterface = "http://schemas.ogf.org/occi/infrastructure#networkinterface"
	storageLink      = "http://schemas.ogf.org/occi/infrastructure#storagelink"
	directBoot       = "http://schemas.occid.org/occi/core#direct_boot"
)

// entity is what the test reads and writes of OCCI's JSON rendering (GFD.226).
type entity struct {
	Kind       string         `json:"kind"`
	ID         string         `json:"id,omitempty"`
	Title      string         `json:"title,omitempty"`
	Mixins     []string       `json:"mixins,omitempty"`
	Attributes map[string]any `json:"attributes,omitempty"`
	Source     *end           `json:"source,omitempty"`
	Target     *end           `json:"target,omitempty"`
	Links      []entity       `json:"links,omitempty"`
}

type end struct {
	Location string `json:"location"`
	Kind     string `json:"kind"`
}

// cloud is a server that a test talks to.
type cloud struct {
	ctx context.Context
	t   *testing.T
	url string
}

// TestLab takes a machine through its life as a user of the API does, and finds
// the host as it was.
func TestLab(t *testing.T) {
	t.Parallel()
	ctx := need(t)
	h := newHost(ctx, t)
	guest := install(t, h)
	c := &cloud{ctx: ctx, t: t, url: startOccid(ctx, t, h).URL}

	machine := c.create("/compute/", entity{Kind: compute, Title: "guest", Mixins: []string{directBoot}, Attributes: map[string]any{
		"occi.compute.memory": 0.125, "occid.boot.kernel": guest.Kernel, "occid.boot.initrd": guest.Initrd, "occid.boot.cmdline": lab.Cmdline}})
	c.act(machine, "start", "active")
	console, err := h.Console(path(machine)[len("/compute/"):])
	if err != nil {
		t.Fatal(err)
	}
	defer console.Close()
	says := func(text string) {
		t.Helper()
		if _, err := console.Wait(ctx, text); err != nil {
			t.Fatal(err)
		}
	}
	says(lab.GuestUp)

	c.act(machine, "suspend", "suspended")
	c.act(machine, "start", "active")

	wire := c.create("/network/", entity{Kind: network, Title: "wire"})
	nic := c.create("/networkinterface/", entity{Kind: networkInterface, Attributes: map[string]any{"occi.networkinterface.mac": "02:00:00:00:00:01"},
		Source: &end{path(machine), compute}, Target: &end{path(wire), network}})
	says(lab.GuestInterface + "eth0, 02:00:00:00:00:01")
	c.refused(http.MethodDelete, wire, machine)
	c.refused(http.MethodPost, wire+"?action=down", machine)
	c.send(http.MethodDelete, nic, nil)
	says(lab.GuestInterface + "eth0 gone")
	nic = c.create("/networkinterface/", entity{Kind: networkInterface, Attributes: map[string]any{"occi.networkinterface.mac": "02:00:00:00:00:02"},
		Source: &end{path(machine), compute}, Target: &end{path(wire), network}})
	says(lab.GuestInterface + "eth0, 02:00:00:00:00:02")
	disk := c.create("/storage/", entity{Kind: storage, Title: "disk", Attributes: map[string]any{"occi.storage.size": 0.0625}})
	attach := entity{Kind: storageLink, Source: &end{path(machine), compute}, Target: &end{path(disk), storage}}
	c.act(disk, "offline", "offline")
	if resp, text := c.ask(http.MethodPost, c.url+"/storagelink/", attach); resp.StatusCode != http.StatusConflict || !bytes.Contains(text, []byte(path(disk))) {
		t.Errorf("a storage that is offline is attached: %s: %s", resp.Status, text)
	}
	c.act(disk, "online", "online")
	link := c.create("/storagelink/", attach)
	says(lab.GuestDisk + "vda, 131072 sectors, serial " + c.get(link).Attributes["occid.storagelink.serial"].(string))
	c.refused(http.MethodDelete, disk, machine)
	c.refused(http.MethodPost, disk+"?action=offline", machine)
	c.send(http.MethodPost, disk+"?action=resize&size=0.09375", nil)
	says(lab.GuestDisk + "vda, now 196608 sectors")
	c.send(http.MethodPost, disk, entity{Attributes: map[string]any{"occi.storage.size": 0.125}})
	says(lab.GuestDisk + "vda, now 262144 sectors")
	c.detached(link, "vda", says)
	link = c.create("/storagelink/", entity{Kind: storageLink, Attributes: map[string]any{"occid.storagelink.readonly": true},
		Source: &end{path(machine), compute}, Target: &end{path(disk), storage}})
	says(lab.GuestDisk + "vda, 262144 sectors, serial " + c.get(link).Attributes["occid.storagelink.serial"].(string) + ", read-only")

	// The guest has no driver for a balloon, so that its memory stays as it is.
	c.send(http.MethodPost, machine, entity{Attributes: map[string]any{"occi.compute.memory": 0.25}})
	if got := c.get(machine).Attributes["occid.compute.pending"]; got != "occi.compute.memory" {
		t.Errorf("pending is %v", got)
	}
	backup := c.made(disk, "backup")
	template := c.made(machine, "save&name=lab")

	c.act(machine, "stop", "inactive")
	says(lab.GuestDown)
	if got := c.get(machine).Attributes["occid.compute.pending"]; got != nil {
		t.Errorf("pending is %v of a machine that is stopped", got)
	}
	copied := c.ofTemplate(h, guest, template)
	image, _ := c.get(copied).Attributes["occid.compute.image"].(string)

	c.forget("lab")
	for _, url := range []string{nic, link, machine, copied, wire, disk, backup, c.url + image} {
		c.send(http.MethodDelete, url, nil)
	}
	if err := h.Empty(ctx); err != nil {
		t.Error(err)
	}
}

// startOccid runs the server with the host.
func startOccid(ctx context.Context, t *testing.T, h *lab.Host, args ...string) *lab.Server {
	t.Helper()
	return startOn(ctx, t, []*lab.Host{h}, args...)
}

// startOn runs the server with hosts.
func startOn(ctx context.Context, t *testing.T, hosts []*lab.Host, args ...string) *lab.Server {
	t.Helper()
	binary, err := occid()
	if err != nil {
		t.Fatal(err)
	}
	s, err := lab.StartServer(ctx, lab.ServerOptions{Binary: binary, Dir: t.TempDir(), Hosts: hosts, Args: args, Log: t.Output()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Stop(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// occid builds the server, once.
var occid = sync.OnceValues(func() (binary string, err error) {
	if binary, err = filepath.Abs(filepath.Join(built, "occid")); err != nil {
		return "", err
	}
	out, err := exec.Command("go", "build", "-o", binary, "github.com/occid/occid/cmd/occid").CombinedOutput()
	if err != nil {
		err = fmt.Errorf("build occid: %w\n%s", err, out)
	}
	return binary, err
})

// path gives a URL's path.
func path(url string) string {
	_, rest, _ := strings.Cut(url, "://")
	return rest[strings.IndexByte(rest, '/'):]
}

// create makes an entity, waits until the host has it, and gives its URL.
func (c *cloud) create(collection string, x entity) string {
	c.t.Helper()
	resp, _ := c.send(http.MethodPost, c.url+collection, x)
	url := resp.Header.Get("Location")
	if resp.StatusCode != http.StatusCreated || url == "" {
		c.t.Fatalf("POST %s: %s, location %q", collection, resp.Status, url)
	}
	if strings.HasPrefix(url, "/") {
		url = c.url + url
	}
	if got := c.get(url); got.message() != "" || got.state() == "error" {
		c.t.Fatalf("%s is %v", url, got.Attributes)
	}
	return url
}

// lan makes a network that hands out addresses.
func (c *cloud) lan() string {
	c.t.Helper()
	return c.create("/network/", entity{Kind: network, Title: "lan", Mixins: []string{ipNetwork}, Attributes: map[string]any{
		"occi.network.address": "198.51.100.0/24", "occi.network.allocation": "dynamic"}})
}

// act invokes an action and waits until the entity has the state it leads to.
func (c *cloud) act(url, action, state string) {
	c.t.Helper()
	c.send(http.MethodPost, url+"?action="+action, nil)
	if got := c.get(url); got.state() != state {
		c.t.Fatalf("after %s it is %v, want state %q", action, got.Attributes, state)
	}
}

// detached deletes a link that is a device in a running guest.
func (c *cloud) detached(link, device string, says func(string)) {
	c.t.Helper()
	c.send(http.MethodDelete, link, nil)
	says(lab.GuestDisk + device + " gone")
}

// refused makes a request that is a conflict with what another entity has.
func (c *cloud) refused(method, url, other string) {
	c.t.Helper()
	resp, text := c.ask(method, url, nil)
	if resp.StatusCode != http.StatusConflict || !bytes.Contains(text, []byte(path(other))) {
		c.t.Errorf("%s %s: %s: %s; want a conflict with %s", method, url, resp.Status, text, other)
	}
}

// made invokes an action that makes something, and gives the URL of that.
func (c *cloud) made(url, action string) string {
	c.t.Helper()
	resp, text := c.send(http.MethodPost, url+"?action="+action, nil)
	made := resp.Header.Get("Location")
	if made == "" || made == url {
		c.t.Fatalf("%s made nothing: %s", action, text)
	}
	return made
}

// ofTemplate makes a machine of a template that sees the disk it gets of it.
func (c *cloud) ofTemplate(h *lab.Host, guest lab.Guest, template string) string {
	c.t.Helper()
	term := template[strings.LastIndexByte(strings.TrimSuffix(template, "/"), '/')+1:]
	copied := c.create("/compute/", entity{Kind: compute, Title: "copy",
		Mixins: []string{directBoot, "http://schemas.occid.org/occi/os_tpl#" + strings.TrimSuffix(term, "/")}, Attributes: map[string]any{
			"occi.compute.memory": 0.125, "occid.compute.disk.size": 0.25, "occid.boot.kernel": guest.Kernel, "occid.boot.initrd": guest.Initrd, "occid.boot.cmdline": lab.Cmdline}})
	console, err := h.Console(path(copied)[len("/compute/"):])
	if err != nil {
		c.t.Fatal(err)
	}
	defer console.Close()
	for _, text := range []string{lab.GuestDisk + "vda, 524288 sectors", lab.GuestUp} {
		if _, err := console.Wait(c.ctx, text); err != nil {
			c.t.Fatal(err)
		}
	}
	return copied
}

func (c *cloud) get(url string) entity {
	c.t.Helper()
	_, text := c.send(http.MethodGet, url, nil)
	var x entity
	if err := json.Unmarshal(text, &x); err != nil {
		c.t.Fatalf("GET %s: %v: %s", url, err, text)
	}
	return x
}

// send makes a request, with a body if there is one, that waits for its outcome.
func (c *cloud) send(method, url string, content any) (*http.Response, []byte) {
	c.t.Helper()
	resp, text := c.ask(method, url, content, "Accept: application/occi+json", "Prefer: wait=60")
	if resp.StatusCode >= 400 {
		c.t.Fatalf("%s %s: %s: %s", method, url, resp.Status, text)
	}
	return resp, text
}

// ask makes a request, with content as JSON if there is any.
func (c *cloud) ask(method, url string, content any, header ...string) (*http.Response, []byte) {
	c.t.Helper()
	if content == nil {
		return exchange(c.ctx, c.t, method, url, nil, header...)
	}
	text, err := json.Marshal(content)
	if err != nil {
		c.t.Fatal(err)
	}
	return exchange(c.ctx, c.t, method, url, text, append(header, "Content-Type: application/occi+json")...)
}

// exchange makes a request and reads the answer.
func exchange(ctx context.Context, t *testing.T, method, url string, content []byte, header ...string) (*http.Response, []byte) {
	t.Helper()
	resp, text, err := roundTrip(ctx, method, url, content, header...)
	if err != nil {
		t.Fatal(err)
	}
	return resp, text
}

// roundTrip does what exchange does, for goroutines, which cannot end the test.
func roundTrip(ctx context.Context, method, url string, content []byte, header ...string) (*http.Response, []byte, error) {
	req, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader(content))
	if err != nil {
		return nil, nil, err
	}
	for _, field := range header {
		name, value, _ := strings.Cut(field, ": ")
		req.Header.Set(name, value)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, nil, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	return resp, text, err
}

// state gives the value of the kind's state attribute.
func (x entity) state() string { return x.text(".state") }

// message says what is under way or went wrong.
func (x entity) message() string { return x.text(".state.message") }

func (x entity) text(suffix string) string {
	_, term, _ := strings.Cut(x.Kind, "#")
	s, _ := x.Attributes["occi."+term+suffix].(string)
	return s
}
