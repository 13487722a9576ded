package engine_test

import (
	"sync"
	"testing"

	"github.com/google/uuid"

	"github.com/occid/occid/internal/auth"
	"github.com/occid/occid/internal/engine"
	"github.com/occid/occid/occi"
	"github.com/occid/occid/spec"
)

const tags = "http://example.com/u/ann/tags#"

func (c *cloud) define(ds ...occi.DraftCategory) {
	c.t.Helper()
	if _, err := c.Define(c.ctx, engine.Caller{Name: "ann", Project: "lab", Roles: auth.Member}, ds, engine.Options{}); err != nil {
		c.t.Fatal(err)
	}
}

func (c *cloud) undefine(ids ...string) {
	c.t.Helper()
	if _, err := c.Undefine(c.ctx, engine.Caller{}, ids, engine.Options{}); err != nil {
		c.t.Fatal(err)
	}
}

func TestMixinsOfUsersOutliveTheServer(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	c.define(occi.DraftCategory{ID: tags + "b", Title: "B", Location: "/b/", Depends: []string{tags + "c"}, Applies: []string{compute}},
		occi.DraftCategory{ID: tags + "a"})
	x := c.create(&occi.Draft{Kind: compute, Mixins: []string{tags + "b"}})
	c.shut()
	c.open()
	var got []string
	for _, m := range c.Model().Mixins {
		if m.User {
			got = append(got, m.ID()+" "+m.Title+" "+m.Location+" "+m.Owner)
		}
	}
	if want := []string{tags + "b B /b/ ann", tags + "a  /mixin/example.com/u/ann/tags/a/ ann"}; len(got) != 2 || got[0] != want[0] || got[1] != want[1] {
		t.Errorf("after a restart there are %q, want %q", got, want)
	}
	if !c.get(x.ID).HasMixin(tags + "b") {
		t.Error("an entity has lost its mixin")
	}
	n := c.create(draft(network))
	_, err := c.Associate(c.ctx, engine.Caller{}, tags+"b", engine.Members{Add: refs(n.ID)}, engine.Options{})
	wantClass(t, err, occi.Invalid, "does not apply")
}

func TestARemovedMixinTakesWhatItBrought(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	c.define(occi.DraftCategory{ID: tags + "keyed", Depends: []string{sshKey}}, occi.DraftCategory{ID: tags + "more", Depends: []string{tags + "keyed"}})
	var ids []uuid.UUID
	for _, mixins := range [][]string{{tags + "keyed"}, {tags + "more"}, {tags + "keyed", sshKey}} {
		d := draft(compute, publicKey, "ssh-ed25519 AAAA", "occi.compute.cores", 2)
		d.Mixins = mixins
		ids = append(ids, c.create(d).ID)
	}
	c.undefine(tags + "keyed")
	for i, want := range []struct {
		mixins int
		key    bool
	}{{0, false}, {1, false}, {1, true}} {
		x := c.get(ids[i])
		if len(x.Mixins) != want.mixins || x.HasMixin(tags+"keyed") || x.Attributes.Get(publicKey).IsZero() == want.key {
			t.Errorf("entity %d is left with %v and %v", i, x.Mixins, x.Attributes)
		}
		if x.Attributes.Get("occi.compute.cores") != occi.Int(2) {
			t.Errorf("entity %d has lost what is of its kind", i)
		}
	}
}

// TestNoEntityKeepsAMixinThatIsRemovedMeanwhile has users associate a mixin while
// others define and remove it.
func TestNoEntityKeepsAMixinThatIsRemovedMeanwhile(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	var ids []uuid.UUID
	for range 3 {
		ids = append(ids, c.create(draft(compute)).ID)
	}
	var group sync.WaitGroup
	for range 2 {
		group.Go(func() {
			for range 30 {
				_, _ = c.Define(c.ctx, engine.Caller{}, []occi.DraftCategory{{ID: tags + "x"}}, engine.Options{})
				_, _ = c.Undefine(c.ctx, engine.Caller{}, []string{tags + "x"}, engine.Options{})
			}
		})
		group.Go(func() {
			for range 30 {
				_, _ = c.Associate(c.ctx, engine.Caller{}, tags+"x", engine.Members{Add: refs(ids...)}, engine.Options{})
			}
		})
	}
	group.Wait()
	there := c.Model().Mixin(tags+"x") != nil
	for _, id := range ids {
		if x := c.get(id); x.HasMixin(tags+"x") && !there {
			t.Errorf("%s has a mixin that nobody defines", id)
		}
	}
}

func TestTheProvidersCategoriesHideThoseOfUsers(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	c.define(occi.DraftCategory{ID: tags + "a", Location: "/a/"}, occi.DraftCategory{ID: tags + "b", Location: "/b/"})
	// A model makes its categories ready, so they are not those that others have.
	m, err := spec.Load("")
	if err != nil {
		t.Fatal(err)
	}
	x := &occi.Mixin{Category: occi.Category{Scheme: "http://example.com/provider#", Term: "a"}, Location: "/a/"}
	next, err := occi.NewModel("next", m.Kinds, append(append([]*occi.Mixin(nil), m.Mixins...), x), m.Actions)
	if err != nil {
		t.Fatal(err)
	}
	c.Stop() // which asks for the model
	c.model = next
	if got := c.Model(); got.At("/a/") != any(x) || got.Mixin(tags+"a") != nil || got.Mixin(tags+"b") == nil {
		t.Error("the provider's mixin is not the one in force")
	}
}
