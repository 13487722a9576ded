package lab_test

import (
	"context"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"libvirt.org/go/libvirt"
	"libvirt.org/go/libvirtxml"

	"github.com/occid/occid/internal/lab"
)

const (
	// pacePairs is how often both ways are taken, in turn.
	pacePairs = 3
	// paceMost is how many times as long as libvirt alone a request may take, in the median.
	paceMost = 1.3
)

// TestPace compares the time from the request for a machine until its guest is up with
// that of the same guest on a disk like its own, which libvirt alone defines and starts. It
// has the processors for itself: other guests would be part of what it measures.
func TestPace(t *testing.T) {
	long(t, "a measurement")
	ctx := need(t)
	h := newHost(ctx, t)
	_, own := offered(t, "pace.qcow2")
	c := &cloud{ctx: ctx, t: t, url: startOccid(ctx, t, h, "--images", own).URL}
	image := c.imageOf(osTemplate + "pace")
	conn, err := libvirt.NewConnect(h.URI)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()

	var ratios []float64
	for range pacePairs {
		url, ours := c.paced(h)
		// The config drive stays until the machine is deleted.
		c.act(url, "stop&method=poweroff", "inactive")
		alone := pacedAlone(ctx, t, h, conn, path(url)[len("/compute/"):], pool+path(image)[len("/storage/"):]+".qcow2")
		c.send("DELETE", url, nil)
		ratios = append(ratios, ours.Seconds()/alone.Seconds())
		t.Logf("from the request until the guest is up: %v; by libvirt alone: %v; ratio %.3f",
			ours.Round(time.Millisecond), alone.Round(time.Millisecond), ratios[len(ratios)-1])
	}
	slices.Sort(ratios)
	median := ratios[len(ratios)/2]
	t.Logf("median ratio %.3f, at most %.1f", median, paceMost)
	if median > paceMost {
		t.Errorf("a request takes %.3f times as long as libvirt alone, want %.1f at most", median, paceMost)
	}
	c.forget("pace")
	c.send("DELETE", image, nil)
	if err := h.Empty(ctx); err != nil {
		t.Error(err)
	}
}

// paced makes a machine and gives the time that it takes until its guest is up.
func (c *cloud) paced(h *lab.Host) (url string, took time.Duration) {
	c.t.Helper()
	began := time.Now()
	url = c.create("/compute/", entity{Kind: compute, Mixins: []string{osTemplate + "pace"}, Attributes: map[string]any{"occi.compute.memory": 0.125}})
	up(c.ctx, c.t, h, uuid.MustParse(path(url)[len("/compute/"):]))
	return url, time.Since(began)
}

// pacedAlone gives the time that a domain takes which is defined as another is, on an
// overlay of the image that is made before.
func pacedAlone(ctx context.Context, t *testing.T, h *lab.Host, conn *libvirt.Connect, other, image string) time.Duration {
	t.Helper()
	id := uuid.New()
	overlay := "/var/lib/libvirt/images/" + id.String() + ".qcow2"
	if _, err := h.Run(ctx, "qemu-img", "create", "-q", "-f", "qcow2", "-b", image, "-F", "qcow2", overlay); err != nil {
		t.Fatal(err)
	}
	text := likewise(t, conn, other, id.String(), overlay)
	began := time.Now()
	d, err := conn.DomainDefineXML(text)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Free()
	if err := d.Create(); err != nil {
		t.Fatal(err)
	}
	up(ctx, t, h, id)
	took := time.Since(began)
	if err := errors.Join(d.Destroy(), d.Undefine(), os.Remove(h.Path(overlay))); err != nil {
		t.Fatal(err)
	}
	return took
}

// likewise gives the definition of a domain with another UUID and another disk.
func likewise(t *testing.T, conn *libvirt.Connect, other, id, disk string) string {
	t.Helper()
	d, err := conn.LookupDomainByUUIDString(other)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Free()
	text, err := d.GetXMLDesc(libvirt.DOMAIN_XML_INACTIVE)
	if err != nil {
		t.Fatal(err)
	}
	var x libvirtxml.Domain
	if err := x.Unmarshal(strings.ReplaceAll(text, other, id)); err != nil {
		t.Fatal(err)
	}
	x.Metadata = nil // or occid would take it for a machine of its own
	x.Devices.Disks[0].Source.File.File = disk
	x.Devices.Serials[0].Log.File = "/var/log/libvirt/" + id + ".log" // where occid does not look after it
	return marshal(t, &x)
}
