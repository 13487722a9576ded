package lab_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/occid/occid/internal/lab"
)

// bursting is how many guests are asked for at once.
const bursting = 20

// burstRange is the range of the network that they are in.
const burstRange = "198.18.0.0/24"

// templateFile is a registry file with a template of a guest that boots directly, so
// that a single request makes a machine and starts it.
const templateFile = `
mixins:
  - id: http://example.com/lab/os_tpl#small
    title: Guest of the lab
    depends: [http://schemas.ogf.org/occi/infrastructure#os_tpl, http://schemas.occid.org/occi/core#direct_boot]
    applies: [http://schemas.ogf.org/occi/infrastructure#compute]
    attributes:
      - {name: occid.boot.kernel, default: %q}
      - {name: occid.boot.initrd, default: %q}
      - {name: occid.boot.cmdline, default: %q}
      - {name: occid.compute.graphics, default: none}
`

// promised is a machine and the address that it is to have.
type promised struct {
	id, address string
	err         error
}

// TestBurst asks for machines all at once: the answer to each shows an address of its
// own, all become active, and each guest gets the address that its answer showed. It
// has the processors for itself: the guests would make those of other tests late.
func TestBurst(t *testing.T) {
	long(t, "it has the processors for itself")
	ctx := need(t)
	h := newHost(ctx, t)
	guest := install(t, h)
	registry := t.TempDir()
	// The kernel boots faster without what these words turn off.
	template := fmt.Sprintf(templateFile, guest.Kernel, guest.Initrd, lab.Cmdline+" mitigations=off nokaslr")
	if err := os.WriteFile(filepath.Join(registry, "guest.yaml"), []byte(template), 0o600); err != nil {
		t.Fatal(err)
	}
	c := &cloud{ctx: ctx, t: t, url: startOccid(ctx, t, h, "--spec", registry, "--hosts", h.URI+",cores-overcommit=32").URL}
	wire := c.create("/network/", entity{Kind: network, Mixins: []string{ipNetwork}, Attributes: map[string]any{
		"occi.network.address": burstRange, "occi.network.allocation": "dynamic"}})
	began := time.Now()
	machines := c.burst(bursting, entity{Kind: compute, Mixins: []string{"http://example.com/lab/os_tpl#small"},
		Attributes: map[string]any{"occi.compute.memory": 0.09375},
		Links:      []entity{{Kind: networkInterface, Mixins: []string{ipInterface}, Target: &end{path(wire), network}}}})
	accepted := time.Since(began)
	distinct(t, machines)
	var all []string
	for _, m := range machines {
		all = append(all, m.id)
	}
	c.tells(c.url+"/compute/?state=active", all...)
	active := time.Since(began)
	for _, m := range machines {
		console, err := h.Console(m.id)
		if err != nil {
			t.Fatal(err)
		}
		line, err := console.Wait(ctx, lab.GuestAddress)
		if err = errors.Join(err, console.Close()); err != nil {
			t.Fatal(err)
		}
		if want := lab.GuestAddress + "eth0 " + m.address + "/24"; line != want {
			t.Errorf("the guest of %s says %q, want %q", m.id, line, want)
		}
	}
	t.Logf("%d machines: accepted after %v, active after %v, with their addresses after %v", bursting,
		accepted.Round(time.Millisecond), active.Round(time.Millisecond), time.Since(began).Round(time.Millisecond))
}

// burst makes n machines as one says, each in a request of its own, all at once.
func (c *cloud) burst(n int, x entity) []promised {
	c.t.Helper()
	text, err := json.Marshal(x)
	if err != nil {
		c.t.Fatal(err)
	}
	machines := make([]promised, n)
	var made sync.WaitGroup
	for i := range machines {
		made.Go(func() { machines[i] = c.promise(text) })
	}
	made.Wait()
	for _, m := range machines {
		if m.err != nil {
			c.t.Fatal(m.err)
		}
	}
	return machines
}

// promise makes a machine with one interface and reads its address before it starts.
func (c *cloud) promise(text []byte) (m promised) {
	resp, said, err := roundTrip(c.ctx, http.MethodPost, c.url+"/compute/", text, "Content-Type: application/occi+json", "Accept: application/occi+json")
	if err != nil {
		return promised{err: err}
	}
	var x entity
	if err := json.Unmarshal(said, &x); err != nil || resp.StatusCode != http.StatusCreated || x.state() != "inactive" {
		return promised{err: fmt.Errorf("%s: %v: %s", resp.Status, err, said)}
	}
	m.id = strings.TrimPrefix(x.ID, "urn:uuid:")
	for _, l := range x.Links {
		if l.Kind == networkInterface {
			m.address, _ = l.Attributes["occi.networkinterface.address"].(string)
		}
	}
	return m
}

// distinct complains about addresses that are not of the range, or of two machines.
func distinct(t *testing.T, machines []promised) {
	t.Helper()
	of := map[netip.Addr]string{}
	for _, m := range machines {
		a, err := netip.ParseAddr(m.address)
		if err != nil || !netip.MustParsePrefix(burstRange).Contains(a) {
			t.Errorf("%s is promised %q, want an address of %s", m.id, m.address, burstRange)
			continue
		}
		if other := of[a]; other != "" {
			t.Errorf("%s and %s are both promised %s", m.id, other, a)
		}
		of[a] = m.id
	}
}
