package engine_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/occid/occid/internal/engine"
	"github.com/occid/occid/occi"
)

const copies = "http://schemas.occid.org/occi/storage#"

func (c *cloud) copy(x *occi.Entity, action string) (*engine.Outcome, *occi.Entity) {
	c.t.Helper()
	out, err := c.act(x, action)
	if err != nil {
		c.t.Fatal(err)
	}
	if len(out.Made) != 1 || len(out.Tasks) != 2 {
		c.t.Fatalf("%s made %v with %d tasks", action, out.Made, len(out.Tasks))
	}
	return out, out.Made[0]
}

func TestCopiesOfAVolume(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	vol := c.create(draft(storage, "occi.storage.size", 2, "occi.core.title", "data"))
	for _, action := range []string{"backup", "snapshot"} {
		out, made := c.copy(vol, action)
		if got := c.settled(out); c.state(got) != "online" || !got.Attributes.Get("occi.storage.state.message").IsZero() {
			t.Errorf("after a %s the volume is %v", action, got.Attributes)
		}
		made = c.get(made.ID)
		if c.state(made) != "online" || made.Title != action+" of data" || !made.HasMixin(copies+action) ||
			made.Attributes.Get("occid.copy.of").Text != "/storage/"+vol.ID.String() || made.Attributes.Get("occi.storage.size").Num != 2 {
			t.Errorf("the %s is %+v", action, made)
		}
		if err := c.delete(made.ID); err != nil {
			t.Error(err)
		}
	}
	// A copy of what is being resized is as large as that is then.
	c.act(vol, "resize", "size", 3)
	out, made := c.copy(vol, "backup")
	c.settled(out)
	if got := c.get(made.ID).Attributes.Get("occi.storage.size").Num; got != 3 {
		t.Errorf("the copy has %v GiB", got)
	}
	if err := c.delete(vol.ID, made.ID); err != nil {
		t.Fatal(err)
	}
	c.empty()
}

// TestARepeatedActionShowsWhatTheFirstMade sends each twice under one key.
func TestARepeatedActionShowsWhatTheFirstMade(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	vm, vol := c.create(draft(compute)), c.create(draft(storage, "occi.storage.size", 1))
	c.create(link(disk, vm, vol))
	for action, x := range map[string]*occi.Entity{"backup": vol, "save": vm} {
		var outs [2]*engine.Outcome
		for i := range outs {
			var err error
			outs[i], err = c.Act(c.ctx, engine.Caller{}, []uuid.UUID{x.ID}, &occi.Draft{Action: action}, engine.Options{Key: action, Hash: "h"})
			if err != nil {
				t.Fatal(err)
			}
			c.settled(outs[i])
		}
		first, second := outs[0], outs[1]
		if !second.Repeated || len(second.Made) != 1 || second.Made[0].ID != first.Made[0].ID {
			t.Errorf("%s again made %v, at first %v", action, second.Made, first.Made)
		}
		if len(second.Defined) != len(first.Defined) || len(first.Defined) > 0 && second.Defined[0].ID() != first.Defined[0].ID() {
			t.Errorf("%s again defined %v, at first %v", action, second.Defined, first.Defined)
		}
		for _, x := range first.Defined {
			if _, err := c.Undefine(c.ctx, engine.Caller{}, []string{x.ID()}, engine.Options{}); err != nil {
				t.Fatal(err)
			}
		}
		if err := c.delete(first.Made[0].ID); err != nil {
			t.Fatal(err)
		}
		_, err := c.Act(c.ctx, engine.Caller{}, []uuid.UUID{x.ID}, &occi.Draft{Action: action}, engine.Options{Key: action, Hash: "h"})
		wantClass(t, err, occi.Conflict, "gone")
	}
}

// TestACopyThatIsNotMade has the host refuse to copy.
func TestACopyThatIsNotMade(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	vol := c.create(draft(storage, "occi.storage.size", 1))
	c.host.intercept(func(_ context.Context, op string, _ uuid.UUID) error {
		if strings.HasPrefix(op, "copy") {
			return errors.New("no room")
		}
		return nil
	})
	out, made := c.copy(vol, "backup")
	if got := c.settled(out); c.state(got) != "online" || !strings.Contains(got.Attributes.Get("occi.storage.state.message").Text, "no room") {
		t.Errorf("the volume is %v", got.Attributes)
	}
	made = c.get(made.ID)
	if c.state(made) != "error" || !strings.Contains(made.Attributes.Get("occi.storage.state.message").Text, "no room") {
		t.Errorf("the copy is %v", made.Attributes)
	}
	if n := len(values(c.host, c.host.volumes)); n != 1 {
		t.Errorf("the host has %d volumes", n)
	}
	_, err := c.act(made, "backup")
	wantClass(t, err, occi.Conflict, made.ID.String(), "error")
	if err := c.delete(made.ID); err != nil {
		t.Error(err)
	}
}

// TestACopyOfWhatWasLost is not one of nothing.
func TestACopyOfWhatWasLost(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	vol := c.create(draft(storage, "occi.storage.size", 1))
	c.host.wipe()
	out, made := c.copy(vol, "snapshot")
	c.settled(out)
	if c.state(c.get(made.ID)) != "error" {
		t.Errorf("the copy is %v", c.get(made.ID).Attributes)
	}
}

// TestACopyThatIsDeletedIsNotMade deletes the copy before its turn has come.
func TestACopyThatIsDeletedIsNotMade(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	vol := c.create(draft(storage, "occi.storage.size", 1))
	begun, end := make(chan struct{}), make(chan struct{})
	c.host.intercept(func(_ context.Context, op string, _ uuid.UUID) error {
		if op == "create volume" {
			close(begun)
			<-end
		}
		return nil
	})
	if _, err := c.act(vol, "resize", "size", 2); err != nil {
		t.Fatal(err)
	}
	<-begun
	out, made := c.copy(vol, "backup")
	gone, err := c.Delete(c.ctx, engine.Caller{}, []uuid.UUID{made.ID}, engine.Options{})
	if err != nil {
		t.Fatal(err)
	}
	close(end)
	c.settled(out)
	if err := c.Wait(c.ctx, gone.IDs()); err != nil {
		t.Fatal(err)
	}
	if n := len(values(c.host, c.host.volumes)); n != 1 {
		t.Errorf("the host has %d volumes", n)
	}
}
