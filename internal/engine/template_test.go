package engine_test

import (
	"testing"

	"github.com/google/uuid"

	"github.com/occid/occid/internal/engine"
	"github.com/occid/occid/occi"
)

const crtp = "http://schemas.ogf.org/occi/infrastructure/compute/template/1.1#"

// gib is what a host counts sizes by.
const gib = 1 << 30

// TestATemplateReplacesAnother has a machine of each template get another.
func TestATemplateReplacesAnother(t *testing.T) {
	t.Parallel()
	sizes := map[string]struct {
		cores      int
		gib, space int64
	}{"small": {1, 1, 10}, "medium": {2, 2, 20}, "large": {4, 4, 40}, "mem_small": {1, 4, 10}}
	c := newCloud(t)
	for from := range sizes {
		for to, want := range sizes {
			x := c.create(&occi.Draft{Kind: compute, Mixins: []string{crtp + from}})
			out, err := c.Associate(c.ctx, engine.Caller{}, crtp+to, engine.Members{Add: refs(x.ID)}, engine.Options{})
			if err != nil {
				t.Fatal(err)
			}
			x = c.settled(out)
			d, err := c.host.Domain(c.ctx, x.ID)
			if err != nil {
				t.Fatal(err)
			}
			if len(x.Mixins) != 1 || c.state(x) != "inactive" || d.VCPUs != want.cores || d.MemoryBytes != want.gib*gib {
				t.Errorf("from %s to %s: %v, %s, on the host %d cores and %d bytes", from, to, x.Mixins, c.state(x), d.VCPUs, d.MemoryBytes)
			}
			if len(d.Disks) != 1 || c.host.volumes[d.Disks[0].Volume].SizeBytes < want.space*gib {
				t.Errorf("from %s to %s: scratch space %v", from, to, d.Disks)
			}
			if err := c.delete(x.ID); err != nil {
				t.Fatal(err)
			}
		}
	}
	c.empty()
}

func TestAScratchDiskComesAndGoesWithItsTemplate(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	x := c.create(draft(compute, "occi.compute.cores", 1, "occi.compute.memory", 1.0))
	vol := c.create(draft(storage, "occi.storage.size", 1))
	c.create(link(disk, x, vol))
	associate := func(m engine.Members) *occi.Entity {
		t.Helper()
		out, err := c.Associate(c.ctx, engine.Caller{}, crtp+"small", m, engine.Options{})
		if err != nil {
			t.Fatal(err)
		}
		return c.settled(out)
	}
	// Nothing but the scratch space changes, and vda is taken.
	x = associate(engine.Members{Add: refs(x.ID)})
	const deviceid = "occi.compute.ephemeral_storage.deviceid"
	if d, err := c.host.Domain(c.ctx, x.ID); err != nil || len(d.Disks) != 2 || x.Attributes.Get(deviceid) != occi.Str("vdb") {
		t.Errorf("the machine has %v, %v, %v", d.Disks, err, x.Attributes)
	}
	_, err := c.Update(c.ctx, engine.Caller{}, x.ID, draft("", deviceid, "vda"), engine.Options{})
	wantClass(t, err, occi.Conflict, deviceid, "vda")
	_, err = c.Update(c.ctx, engine.Caller{}, x.ID, draft("", deviceid, "floppy"), engine.Options{})
	wantClass(t, err, occi.Invalid, deviceid, "floppy")
	x = associate(engine.Members{Drop: refs(x.ID)})
	if d, err := c.host.Domain(c.ctx, x.ID); err != nil || len(d.Disks) != 1 || !x.Attributes.Get(deviceid).IsZero() {
		t.Errorf("without the template the machine has %v, %v, %v", d.Disks, err, x.Attributes)
	}
	for _, id := range []uuid.UUID{x.ID, vol.ID} {
		if err := c.delete(id); err != nil {
			t.Fatal(err)
		}
	}
	c.empty()
}
