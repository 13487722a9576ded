package engine_test

import (
	"testing"

	"github.com/google/uuid"

	"github.com/occid/occid/internal/engine"
	"github.com/occid/occid/occi"
)

const (
	sshKey    = "http://schemas.ogf.org/occi/infrastructure/credentials#ssh_key"
	publicKey = "occi.credentials.ssh.publickey"
)

func refs(ids ...uuid.UUID) []occi.Ref {
	out := make([]occi.Ref, len(ids))
	for i, id := range ids {
		out[i].ID = id
	}
	return out
}

func TestMixinsComeAndGo(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	a, b := c.create(draft(compute)), c.create(draft(compute, publicKey, "ssh-ed25519 AAAA"))
	change := func(m engine.Members) error {
		out, err := c.Associate(c.ctx, engine.Caller{}, sshKey, m, engine.Options{})
		if err == nil && len(out.Entities) != len(m.Add)+len(m.Drop) {
			t.Errorf("%d entities are told of, want %d", len(out.Entities), len(m.Add)+len(m.Drop))
		}
		return err
	}
	if err := change(engine.Members{Add: refs(a.ID, b.ID)}); err != nil {
		t.Fatal(err)
	}
	if got := c.get(a.ID); !got.HasMixin(sshKey) {
		t.Errorf("mixins %v lack the one given", got.Mixins)
	}
	if got := c.get(b.ID); got.Revision != b.Revision {
		t.Error("an entity that had the mixin was written")
	}
	if err := change(engine.Members{Add: refs(a.ID), Drop: refs(b.ID)}); err != nil {
		t.Fatal(err)
	}
	if got := c.get(b.ID); got.HasMixin(sshKey) || !got.Attributes.Get(publicKey).IsZero() {
		t.Errorf("left behind: %v, %v", got.Mixins, got.Attributes)
	}
	wantClass(t, change(engine.Members{Drop: refs(a.ID, uuid.New())}), occi.Invalid, "there is no such entity")
	if got := c.get(a.ID); !got.HasMixin(sshKey) {
		t.Error("half a request was carried out")
	}
	n := c.create(draft(network))
	wantClass(t, change(engine.Members{Add: refs(n.ID)}), occi.Invalid, sshKey, "does not apply")
}
