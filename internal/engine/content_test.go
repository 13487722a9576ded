package engine_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/occid/occid/hypervisor"
	"github.com/occid/occid/internal/engine"
	"github.com/occid/occid/occi"
)

// diskFile makes the file of a disk of some MiB with qemu-img.
func diskFile(t *testing.T, format string, mib int, options ...string) []byte {
	t.Helper()
	file := filepath.Join(t.TempDir(), "disk")
	args := append([]string{"create", "-q", "-f", format}, options...)
	if out, err := exec.Command("qemu-img", append(args, file, fmt.Sprintf("%dM", mib))...).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func (c *cloud) upload(x *occi.Entity, text []byte) (*engine.Uploaded, error) {
	return c.Upload(c.ctx, engine.Caller{}, x.ID, engine.Upload{Total: int64(len(text)), Body: bytes.NewReader(text)}, engine.Options{})
}

// uploaded has a volume hold content, and gives it as it is then.
func (c *cloud) uploaded(x *occi.Entity, text []byte) *occi.Entity {
	c.t.Helper()
	up, err := c.upload(x, text)
	if err != nil {
		c.t.Fatal(err)
	}
	return c.settled(up.Outcome)
}

func message(x *occi.Entity) string { return x.Attributes.Get("occi.storage.state.message").Text }

// kept tells what is left of uploads.
func (c *cloud) kept() []string {
	c.t.Helper()
	entries, err := os.ReadDir(c.uploads)
	if err != nil {
		c.t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// TestAnUploadBecomesATemplate uploads disks of several formats, makes a template of
// one and a machine of that, and lets nobody take what is shared.
func TestAnUploadBecomesATemplate(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	for format, options := range map[string][]string{"raw": nil, "qcow2": nil, "vmdk": {"-o", "subformat=streamOptimized"}, "vdi": nil, "vhdx": nil} {
		vol := c.create(draft(storage, "occi.storage.size", 2))
		if got := c.uploaded(vol, diskFile(t, format, 3, options...)); c.state(got) != "online" || message(got) != "" {
			t.Errorf("%s: the volume is %v", format, got.Attributes)
		}
		if !strings.HasPrefix(c.host.contents[vol.ID], "QFI\xfb") || c.host.volumes[vol.ID].SizeBytes != 2<<30 {
			t.Errorf("%s: the host has %v", format, c.host.volumes[vol.ID])
		}
	}
	vm, vol := c.create(draft(compute)), c.create(draft(storage, "occi.storage.size", 1))
	c.uploaded(vol, diskFile(t, "raw", 3))
	_, err := c.upload(c.create(draft(network)), nil)
	wantClass(t, err, occi.NotFound, "has no content")

	l := c.create(link(disk, vm, vol))
	c.mustAct(vm, "start")
	_, err = c.act(vol, "template", "name", "Mine")
	wantClass(t, err, occi.Conflict, c.model.Path(vm))
	c.mustAct(vm, "stop")
	_, err = c.upload(vol, []byte("x"))
	wantClass(t, err, occi.Conflict, c.model.Path(vm))
	_, err = c.Associate(c.ctx, engine.Caller{}, "http://schemas.occid.org/occi/storage#image", engine.Members{Add: []occi.Ref{{ID: vol.ID}}}, engine.Options{})
	wantClass(t, err, occi.Conflict, c.model.Path(vm))
	if err := c.delete(l.ID); err != nil {
		t.Fatal(err)
	}
	out, err := c.act(vol, "template", "name", "Mine")
	if err != nil {
		t.Fatal(err)
	}
	template := out.Defined[0].ID()
	made, err := c.ofTemplate(template)
	if err != nil {
		t.Fatal(err)
	}
	user := c.settled(made)
	if over, _ := c.host.Overlays(c.ctx, vol.ID); len(over) != 1 || c.state(user) != "active" {
		t.Errorf("the image backs %v, and the machine is %v", over, user.Attributes)
	}

	// What is shared is nobody's to change or to take away.
	if l := c.create(link(disk, vm, vol)); l.Attributes.Get("occid.storagelink.readonly") != occi.Bool(true) {
		t.Errorf("the image is attached by %v", l.Attributes)
	} else if err := c.delete(l.ID); err != nil {
		t.Fatal(err)
	}
	_, err = c.upload(vol, []byte("x"))
	wantClass(t, err, occi.Conflict, template, c.model.Path(user))
	_, err = c.act(vol, "resize", "size", 4)
	wantClass(t, err, occi.Invalid, "shared read-only")
	_, err = c.Associate(c.ctx, engine.Caller{}, "http://schemas.occid.org/occi/storage#image", engine.Members{Drop: []occi.Ref{{ID: vol.ID}}}, engine.Options{})
	wantClass(t, err, occi.Conflict, template, c.model.Path(user))
	wantClass(t, c.delete(vol.ID), occi.Conflict, template, c.model.Path(user))
	c.undefine(template)
	wantClass(t, c.delete(vol.ID), occi.Conflict, c.model.Path(user))
	// With the machine it goes, after the machine's own disk.
	if err := c.delete(user.ID, vol.ID); err != nil {
		t.Fatal(err)
	}
	calls := strings.Join(c.host.calls(), "\n")
	own := uuid.NewSHA1(user.ID, []byte("root"))
	if i, j := strings.Index(calls, "delete volume "+own.String()), strings.Index(calls, "delete volume "+vol.ID.String()); i < 0 || j < i {
		t.Errorf("the image went before the disk of it, at %d and %d", j, i)
	}
	if left := c.kept(); len(left) > 0 {
		t.Errorf("of uploads there is left %v", left)
	}
}

// TestAnUploadInParts goes on where it was cut, and begins anew.
func TestAnUploadInParts(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	vol, text := c.create(draft(storage, "occi.storage.size", 1)), diskFile(t, "qcow2", 3)
	n, half := int64(len(text)), int64(len(text)/2)
	part := func(from, to int64, sum []byte) (*engine.Uploaded, error) {
		return c.Upload(c.ctx, engine.Caller{}, vol.ID, engine.Upload{Offset: from, Total: n, Sum: sum, Body: bytes.NewReader(text[from:to])}, engine.Options{})
	}
	if up, err := part(0, half, nil); err != nil || up.Have != half || up.Outcome != nil {
		t.Fatalf("after the first part it is %v, %v", up, err)
	}
	up, err := part(half+1, n, nil)
	if wantClass(t, err, occi.Conflict, fmt.Sprint(half)); up.Have != half {
		t.Errorf("after a part too far on there are %d bytes", up.Have)
	}
	if up, err := c.Uploaded(c.ctx, engine.Caller{}, vol.ID); err != nil || up.Have != half || up.Total != n {
		t.Errorf("it is %v, %v", up, err)
	}
	wrong := sha256.Sum256([]byte("other"))
	_, err = part(half, n, wrong[:])
	wantClass(t, err, occi.Invalid, "SHA-256", "nothing of it was kept")
	if up, err := c.Uploaded(c.ctx, engine.Caller{}, vol.ID); err != nil || up.Have != 0 {
		t.Errorf("of what is wrong there is %v, %v", up, err)
	}
	if _, err := part(0, half, nil); err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(text)
	if up, err = part(half, n, sum[:]); err != nil || up.Outcome == nil {
		t.Fatalf("after all parts it is %v, %v", up, err)
	}
	if got := c.settled(up.Outcome); c.state(got) != "online" {
		t.Errorf("the volume is %v", got.Attributes)
	}
	if _, err := part(0, half, nil); err != nil {
		t.Fatal(err)
	}
	if err := c.DropUpload(c.ctx, engine.Caller{}, vol.ID); err != nil {
		t.Fatal(err)
	}
	if _, err := part(0, half, nil); err != nil {
		t.Fatal(err)
	}
	if err := c.delete(vol.ID); err != nil {
		t.Fatal(err)
	}
	if left := c.kept(); len(left) > 0 {
		t.Errorf("of uploads there is left %v", left)
	}
}

// TestWhatIsRefusedIsNotKept uploads what is no disk, or too large a one.
func TestWhatIsRefusedIsNotKept(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	backing := filepath.Join(t.TempDir(), "base")
	if err := os.WriteFile(backing, diskFile(t, "qcow2", 1), 0o600); err != nil {
		t.Fatal(err)
	}
	vol := c.create(draft(storage, "occi.storage.size", 0.0625))
	for want, text := range map[string][]byte{
		"backed by another file":     diskFile(t, "qcow2", 1, "-F", "qcow2", "-b", backing),
		"it is a text":               bytes.Repeat([]byte("<html>"), 512),
		"more than the 67108864":     diskFile(t, "qcow2", 65),
		"which are no whole sectors": []byte("MZ"),
		"compressed with gzip":       []byte("\x1f\x8b\x08 and more"),
	} {
		up, err := c.upload(vol, text)
		if err != nil {
			t.Fatal(err)
		}
		got := c.settled(up.Outcome)
		if task, err := c.store.Task(c.ctx, up.Outcome.Tasks[0].ID); err != nil || task.State != occi.TaskFailed || !strings.Contains(task.Error, want) {
			t.Errorf("%s: the task is %v, %v", want, task, err)
		}
		if c.state(got) != "error" || !strings.Contains(message(got), want) {
			t.Errorf("%s: the volume is %v", want, got.Attributes)
		}
	}
	if left := c.kept(); len(left) > 0 {
		t.Errorf("of uploads there is left %v", left)
	}
	_, err := c.upload(vol, make([]byte, 64<<20+1))
	wantClass(t, err, occi.TooLarge, "67108864")
	if got := c.uploaded(vol, diskFile(t, "raw", 1)); c.state(got) != "online" || message(got) != "" {
		t.Errorf("after a good upload the volume is %v", got.Attributes)
	}
}

// TestAnUploadOutlivesTheServer stops the server while it takes in what arrived.
func TestAnUploadOutlivesTheServer(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	vol := c.create(draft(storage, "occi.storage.size", 1))
	writing := make(chan struct{}, 8)
	c.host.intercept(func(ctx context.Context, op string, _ uuid.UUID) error {
		if op != "write volume" {
			return nil
		}
		writing <- struct{}{}
		<-ctx.Done()
		return fmt.Errorf("%w: %w", hypervisor.ErrUnavailable, ctx.Err())
	})
	up, err := c.upload(vol, diskFile(t, "qcow2", 3))
	if err != nil {
		t.Fatal(err)
	}
	<-writing
	if up, err := c.Uploaded(c.ctx, engine.Caller{}, vol.ID); err != nil || up.Outcome == nil || up.Outcome.Tasks[0].Verb != "content" {
		t.Errorf("meanwhile it is %v, %v", up, err)
	}
	c.until("the task shows its progress", func() bool {
		task, err := c.store.Task(c.ctx, up.Outcome.Tasks[0].ID)
		return err == nil && task.Progress > 0 && task.Progress < 100
	})
	_, err = c.upload(vol, []byte("x"))
	wantClass(t, err, occi.Conflict, up.Outcome.Tasks[0].ID.String())
	wantClass(t, c.DropUpload(c.ctx, engine.Caller{}, vol.ID), occi.Conflict, up.Outcome.Tasks[0].ID.String())
	c.shut()
	c.host.intercept(nil)
	c.open()
	if got := c.settled(up.Outcome); c.state(got) != "online" || message(got) != "" || c.host.contents[vol.ID] == "" {
		t.Errorf("the volume is %v", got.Attributes)
	}
	if left := c.kept(); len(left) > 0 {
		t.Errorf("of uploads there is left %v", left)
	}
}

// TestAnImageThatVanishes loses the file of an image: it is not made again empty, and
// machines are not made of nothing.
func TestAnImageThatVanishes(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	vol := c.create(draft(storage, "occi.storage.size", 1))
	c.uploaded(vol, diskFile(t, "raw", 3))
	out, err := c.act(vol, "template", "name", "Mine")
	if err != nil {
		t.Fatal(err)
	}
	c.host.mu.Lock()
	delete(c.host.volumes, vol.ID)
	c.host.mu.Unlock()
	made, err := c.ofTemplate(out.Defined[0].ID())
	if err != nil {
		t.Fatal(err)
	}
	if vm := c.settled(made); c.state(vm) != "error" || !strings.Contains(vm.Attributes.Get("occi.compute.state.message").Text, "the image of the machine, "+c.model.Path(vol)) {
		t.Errorf("the machine is %v", vm.Attributes)
	}
	c.host.events <- hypervisor.Event{Reconnected: true}
	c.until("the loss is told", func() bool { return c.state(c.get(vol.ID)) == "error" })
	if got := c.get(vol.ID); !strings.Contains(message(got), "gone from its host") || c.host.volumes[vol.ID] != nil {
		t.Errorf("the image is %v", got.Attributes)
	}
	_, err = c.ofTemplate(out.Defined[0].ID())
	wantClass(t, err, occi.Conflict, "error")
}

// TestAnImageIsNotRemovedUnderMachines deletes one while a machine of it is on its way.
func TestAnImageIsNotRemovedUnderMachines(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	_, template, image := c.saved()
	deleting := make(chan struct{})
	c.host.intercept(func(_ context.Context, op string, id uuid.UUID) error {
		if op == "delete domain" {
			<-deleting
			return errors.New("it does not end")
		}
		return nil
	})
	made, err := c.ofTemplate(template)
	if err != nil {
		t.Fatal(err)
	}
	vm := c.settled(made)
	c.undefine(template)
	if _, err := c.Delete(c.ctx, engine.Caller{}, []uuid.UUID{vm.ID}, engine.Options{}); err != nil {
		t.Fatal(err)
	}
	// The machine is gone for clients, its disk is not.
	out, err := c.Delete(c.ctx, engine.Caller{}, []uuid.UUID{image.ID}, engine.Options{})
	if err != nil {
		t.Fatal(err)
	}
	close(deleting)
	if err := c.Wait(c.ctx, out.IDs()); err != nil {
		t.Fatal(err)
	}
	if task, err := c.store.Task(c.ctx, out.Tasks[0].ID); err != nil || task.State != occi.TaskFailed || !strings.Contains(task.Error, c.model.Path(vm)) {
		t.Errorf("the task is %v, %v", task, err)
	}
	if c.host.volumes[image.ID] == nil || c.state(c.get(image.ID)) == "" {
		t.Error("the image is gone")
	}
}

// TestImagesOfFiles makes templates of the files in a directory, once, and again of one
// that has changed.
func TestImagesOfFiles(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	c.shut()
	c.files = t.TempDir()
	c.open()
	put := func(name string, text []byte) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(c.files, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	put("Debian 12.qcow2", diskFile(t, "qcow2", 3)) // no name of an image
	put("debian-12.qcow2", diskFile(t, "qcow2", 3))
	put("other.qcow2", diskFile(t, "raw", 3)) // it is not what it says
	put("evil.img", []byte("#!/bin/sh\n"))
	put("README", []byte("no image"))
	images := func() []*occi.Entity {
		t.Helper()
		page, err := c.store.List(c.ctx, &occi.Query{Mixins: []string{"http://schemas.occid.org/occi/storage#image"}})
		if err != nil {
			t.Fatal(err)
		}
		return page.Entities
	}
	rest := func() *occi.Entity {
		t.Helper()
		c.until("the image is there", func() bool { x := images(); return len(x) == 1 && len(x[0].Tasks) == 0 })
		return images()[0]
	}
	written := func() int {
		n := 0
		for _, call := range c.host.calls() {
			if strings.HasPrefix(call, "write volume") {
				n++
			}
		}
		return n
	}
	for range 2 {
		c.ImportImages(c.ctx)
		image := rest()
		if c.state(image) != "online" || image.Title != "debian-12" || image.Attributes.Get("occid.image.file").Text != "debian-12.qcow2" || written() != 1 {
			t.Errorf("the image is %v, written %d times", image.Attributes, written())
		}
	}
	const template = "http://schemas.occid.org/occi/os_tpl#debian-12"
	put("debian-12.qcow2", diskFile(t, "qcow2", 5000))
	c.ImportImages(c.ctx)
	if image := rest(); c.state(image) != "online" || c.host.volumes[image.ID].SizeBytes != 5000<<20 || written() != 2 {
		t.Errorf("the image of the changed file is %v", c.host.volumes[image.ID])
	}
	made, err := c.ofTemplate(template)
	if err != nil {
		t.Fatal(err)
	}
	vm := c.settled(made)
	if c.state(vm) != "active" {
		t.Errorf("the machine is %v", vm.Attributes)
	}
	// What a machine is of stays as it is, whatever becomes of the file.
	put("debian-12.qcow2", diskFile(t, "qcow2", 6000))
	c.ImportImages(c.ctx)
	if err := os.Remove(filepath.Join(c.files, "debian-12.qcow2")); err != nil {
		t.Fatal(err)
	}
	c.ImportImages(c.ctx)
	if rest(); written() != 2 || c.Model().Mixin(template) == nil {
		t.Errorf("the image was written %d times", written())
	}
}
