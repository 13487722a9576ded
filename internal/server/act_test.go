package server_test

import (
	"testing"
)

// TestActionsOnCollections invokes actions on the members of kinds and mixins. If
// one cannot follow, none does, and the answer names it.
func TestActionsOnCollections(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	c.do("POST", "/-/", `{"mixins":[{"term":"blue","scheme":"http://example.com/tags#","location":"/mixin/blue/"},
		{"term":"none","scheme":"http://example.com/tags#","location":"/mixin/none/"}]}`, "Content-Type: application/occi+json").want(t, 200)
	one, two, other := c.create("/compute/", `{"title":"one"}`), c.create("/compute/", `{"title":"two"}`), c.create("/compute/", `{"title":"other"}`)
	disk := c.create("/storage/", `{"title":"disk","size":2}`)
	member := func(paths ...string) {
		for _, p := range paths {
			c.do("POST", "/mixin/blue/", p, "Content-Type: text/uri-list").want(t, 200)
		}
	}
	state := func(path, want string) {
		t.Helper()
		c.do("GET", path, "").want(t, 200, `state="`+want+`"`)
	}
	act := func(query string, status int, words ...string) {
		t.Helper()
		c.do("POST", query, "", "Prefer: wait=20").want(t, status, words...)
	}
	member(one, two)
	act("/mixin/blue/?action=start", 200, one, two)
	state(one, "active")
	state(two, "active")
	state(other, "inactive")

	// Attributes hold for all: in the URL, and in a body.
	act("/mixin/blue/?action=stop&method=kick", 400, "method", "poweroff")
	c.do("POST", "/mixin/blue/?action=stop", `{"action":"http://schemas.ogf.org/occi/infrastructure/compute/action#stop","attributes":{"force":true}}`,
		"Content-Type: application/occi+json").want(t, 400, "force")
	c.do("POST", "/mixin/blue/?action=suspend", `{"action":"http://schemas.ogf.org/occi/infrastructure/compute/action#suspend","attributes":{"method":"suspend"}}`,
		"Content-Type: application/occi+json", "Prefer: wait=20").want(t, 200)
	state(one, "suspended")

	// One that cannot follow keeps all from it: by its state, by its kind.
	act(one+"?action=start", 200)
	before := c.revision()
	act("/mixin/blue/?action=restart", 409, two, "suspended")
	act("/compute/?action=restart", 409, two, other, "inactive")
	if now := c.revision(); now != before {
		t.Error("an action that is refused changed something")
	}
	member(disk)
	before = c.revision()
	act("/mixin/blue/?action=start", 400, disk, "start")
	act("/?action=resize&size=4", 400, "compute", "resize")
	if now := c.revision(); now != before {
		t.Errorf("something changed")
	}
	act("/storage/?action=resize&size=1", 400, "size", disk, "shrinks")
	act("/storage/?action=resize&size=4", 200, disk)
	c.do("GET", disk, "").want(t, 200, "occi.storage.size=4.0")

	// Without members an action must be possible all the same.
	act("/mixin/none/?action=start", 200)
	act("/mixin/none/?action=fly", 400, "fly")
	act("/mixin/none/?action=stop&method=kick", 400, "method")
	act("/network/?action=start", 400, "network", "start")
}

// TestActionsOnCollectionsKeepFromWhatIsInUse takes offline what machines at work
// hold, among others that they do not.
func TestActionsOnCollectionsKeepFromWhatIsInUse(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	machine := c.create("/compute/", `{"title":"m"}`)
	used, idle := c.create("/storage/", `{"title":"used","size":1}`), c.create("/storage/", `{"title":"idle","size":1}`)
	c.create("/storagelink/", `{"source":"`+machine+`","target":"`+used+`"}`)
	c.do("POST", machine+"?action=start", "", "Prefer: wait=20").want(t, 200)
	c.do("POST", "/storage/?action=offline", "", "Prefer: wait=20").want(t, 409, used, "is in use by "+machine)
	c.do("GET", idle, "").want(t, 200, `occi.storage.state="online"`)
	c.do("POST", machine+"?action=stop&method=poweroff", "", "Prefer: wait=20").want(t, 200)
	c.do("POST", "/storage/?action=offline", "", "Prefer: wait=20").want(t, 200)
	c.do("GET", idle, "").want(t, 200, `occi.storage.state="offline"`)
}
