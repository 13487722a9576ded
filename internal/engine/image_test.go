package engine_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/occid/occid/hypervisor"
	"github.com/occid/occid/internal/engine"
	"github.com/occid/occid/occi"
)

// saved makes a machine with a disk and a template of it.
func (c *cloud) saved() (vm *occi.Entity, template string, image *occi.Entity) {
	c.t.Helper()
	vm = c.create(draft(compute))
	c.create(link(disk, vm, c.create(draft(storage, "occi.storage.size", 2))))
	out, image := c.copy(vm, "save")
	c.settled(out)
	return vm, out.Defined[0].ID(), c.get(image.ID)
}

func (c *cloud) ofTemplate(template string) (*engine.Outcome, error) {
	d := draft(compute)
	d.Mixins = []string{template}
	return c.Create(c.ctx, engine.Caller{}, compute, []*occi.Draft{d}, engine.Options{})
}

func TestADeferredSaveStopsTheMachine(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	vm, _, _ := c.saved()
	c.mustAct(vm, "start")
	for method, want := range map[string]string{"hot": "copy", "deferred": "stop copy start"} {
		before := len(c.host.calls())
		out, err := c.act(vm, "save", "method", method)
		if err != nil {
			t.Fatal(err)
		}
		if got := c.state(c.settled(out)); got != "active" {
			t.Errorf("after a %s save it is %s", method, got)
		}
		var did []string
		for _, call := range c.host.calls()[before:] {
			word, _, _ := strings.Cut(call, " ")
			did = append(did, word)
		}
		if got := strings.Join(did, " "); got != want {
			t.Errorf("a %s save did %q, want %q", method, got, want)
		}
	}
}

// TestAnInterruptedDiskOfAnImageIsMadeAnew fails a creation after its disk was
// made, as if by halves, and changes a machine that works.
func TestAnInterruptedDiskOfAnImageIsMadeAnew(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	_, template, image := c.saved()
	failed := false
	c.host.intercept(func(_ context.Context, op string, _ uuid.UUID) error {
		if op == "define domain" && !failed {
			failed = true
			return hypervisor.ErrUnavailable
		}
		return nil
	})
	out, err := c.ofTemplate(template)
	if err != nil {
		t.Fatal(err)
	}
	vm := c.settled(out)
	if c.state(vm) != "active" || vm.Attributes.Get("occid.compute.image").Text != "/storage/"+image.ID.String() {
		t.Errorf("the machine is %v", vm.Attributes)
	}
	root := uuid.NewSHA1(vm.ID, []byte("root"))
	wantMade := func(want int) {
		t.Helper()
		n := 0
		for _, call := range c.host.calls() {
			if call == "create volume "+root.String() {
				n++
			}
		}
		if over, err := c.host.Overlays(c.ctx, image.ID); n != want || err != nil || !slices.Contains(over, root) {
			t.Errorf("the disk was made %d times, want %d; disks of the image are %v", n, want, over)
		}
	}
	wantMade(2)
	// A change does not touch the disk.
	c.update(vm, "occi.compute.cores", 2)
	wantMade(2)
	if err := c.delete(vm.ID); err != nil {
		t.Fatal(err)
	}
	if slices.ContainsFunc(values(c.host, c.host.volumes), func(v hypervisor.VolumeStatus) bool { return v.ID == root }) {
		t.Error("the disk is still there")
	}
}

// TestATemplateWithoutItsImage fails to copy, so that the template is of no use.
func TestATemplateWithoutItsImage(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	vm, _, _ := c.saved()
	c.host.intercept(func(_ context.Context, op string, _ uuid.UUID) error {
		if strings.HasPrefix(op, "copy") {
			return errors.New("no room")
		}
		return nil
	})
	out, _ := c.copy(vm, "save")
	c.settled(out)
	_, err := c.ofTemplate(out.Defined[0].ID())
	wantClass(t, err, occi.Conflict, "occid.compute.image", "error")
}

// TestATemplateOfAStoppedMachinesStorage copies what the machine may write to when it
// is started again.
func TestATemplateOfAStoppedMachinesStorage(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	vm, vol := c.create(draft(compute)), c.create(draft(storage, "occi.storage.size", 2))
	c.create(link(disk, vm, vol))
	out, err := c.act(vol, "template", "name", "Mine")
	if err != nil {
		t.Fatal(err)
	}
	if got := c.settled(out); got.HasMixin(imageTag) || c.state(got) != "online" {
		t.Errorf("the storage is %v, with %v", got.Attributes, got.Mixins)
	}
	image := c.get(out.Made[0].ID)
	if !image.HasMixin(imageTag) || c.state(image) != "online" || image.Attributes.Get("occi.storage.size").Num != 2 {
		t.Errorf("the image is %v, with %v", image.Attributes, image.Mixins)
	}
	c.mustAct(vm, "start")
	made, err := c.ofTemplate(out.Defined[0].ID())
	if err != nil {
		t.Fatal(err)
	}
	of := c.settled(made)
	if c.state(of) != "active" || of.Attributes.Get("occid.compute.image").Text != c.model.Path(image) {
		t.Errorf("the machine is %v", of.Attributes)
	}
	_, err = c.act(vol, "template", "name", "Mine")
	wantClass(t, err, occi.Conflict, c.model.Path(vol), c.model.Path(vm))
	wantClass(t, c.delete(image.ID), occi.Conflict, c.model.Path(of))
	if err := c.delete(vm.ID, vol.ID); err != nil {
		t.Fatal(err)
	}
}
