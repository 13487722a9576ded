package engine_test

import (
	"bytes"
	"slices"
	"testing"

	"github.com/google/uuid"

	"github.com/occid/occid/occi"
)

// TestConfigDrive checks that a machine's drive is up to date when it starts, without
// a change of the machine itself.
func TestConfigDrive(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	c.shut()
	c.seed = func(x *occi.Entity, linked map[uuid.UUID]*occi.Entity) map[string][]byte {
		var titles []byte
		for _, l := range x.Links {
			if n := linked[l.Target.ID]; n != nil && !l.Deleted {
				titles = append(titles, n.Title...)
			}
		}
		if len(titles) == 0 {
			return nil
		}
		return map[string][]byte{"network-config": titles}
	}
	c.open()
	vm := c.create(draft(compute))
	if seed := c.host.spec(vm.ID).Seed; seed != nil {
		t.Errorf("a machine without files has a drive of %d bytes", len(seed))
	}
	wire := c.create(draft(network, occi.AttrTitle, "first wire"))
	c.create(link(nic, vm, wire))
	c.mustAct(vm, "start")
	holds := func(text string) {
		t.Helper()
		if seed := c.host.spec(vm.ID).Seed; !bytes.Contains(seed, []byte(text)) || !bytes.Contains(seed, []byte("cidata")) {
			t.Errorf("the drive of %d bytes does not say %q", len(seed), text)
		}
	}
	holds("first wire")
	c.update(wire, occi.AttrTitle, "other wire")
	c.mustAct(vm, "stop")
	c.mustAct(vm, "start")
	holds("other wire")
	if n := len(slices.DeleteFunc(c.host.calls(), func(s string) bool { return s != "define domain "+vm.ID.String() })); n != 3 {
		t.Errorf("the machine was defined %d times, want once when it was made and once before each start", n)
	}
}
