package server_test

import (
	"strings"
	"testing"
)

// TestSaveMakesATemplate saves a machine, makes others of the template, and removes
// it.
func TestSaveMakesATemplate(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, c *cloud) {
		c.t = t
		wait, json := "Prefer: wait=20", "Content-Type: application/json"
		machine, disk := c.create("/compute/", `{"title":"web"}`), c.create("/storage/", `{"title":"root","size":2}`)
		c.create("/storagelink/", `{"source":"`+machine+`","target":"`+disk+`"}`)
		c.do("POST", machine+"?action=start", "", wait).want(t, 200)
		const save = `Category: save; scheme="http://schemas.ogf.org/occi/infrastructure/compute/action#"; class="action"`
		r := c.do("POST", machine+"?action=save", save+"\nX-OCCI-Attribute: name=\"Web server, 1st\"\nX-OCCI-Attribute: method=\"hot\"\n",
			"Content-Type: text/plain", wait).want(t, 200, "Category: web-server-1st;", `scheme="http://schemas.occid.org/occi/os_tpl#"`, `class="mixin"`,
			`rel="http://schemas.ogf.org/occi/infrastructure#os_tpl"`, `location="/mixin/os_tpl/web-server-1st/"`, "occid.compute.image")
		if got := strings.TrimPrefix(r.Header.Get("Location"), c.url); got != "/mixin/os_tpl/web-server-1st/" {
			t.Errorf("Location is %q", got)
		}
		c.do("GET", "/-/", "").want(t, 200, "Category: web-server-1st;")
		image := c.paths("/mixin/image/")[0]
		c.do("GET", image, "").want(t, 200, "occi.storage.size=2.0", `occid.copy.of="`+machine+`"`, `occi.storage.state="online"`)

		// A machine of the template has a disk of its own, and is started.
		template := "Category: compute; scheme=\"http://schemas.ogf.org/occi/infrastructure#\"; class=\"kind\"\n" +
			"Category: web-server-1st; scheme=\"http://schemas.occid.org/occi/os_tpl#\"; class=\"mixin\"\n"
		r = c.do("POST", "/compute/", template, "Content-Type: text/plain", wait).want(t, 201)
		copied := strings.TrimPrefix(r.Header.Get("Location"), c.url)
		c.do("GET", copied, "").want(t, 200, `occid.compute.image="`+image+`"`, `occi.compute.state="active"`)
		if volumes, err := c.host.Volumes(t.Context()); err != nil || len(volumes) != 3 {
			t.Errorf("the host has %d volumes, %v", len(volumes), err)
		}
		// Its first device is taken, and its image is nobody's to set.
		other := c.create("/storage/", `{"title":"data","size":1}`)
		c.do("POST", "/storagelink/", `{"source":"`+copied+`","target":"`+disk+`"}`, json).want(t, 409, disk, machine)
		c.do("POST", "/storagelink/", `{"source":"`+copied+`","target":"`+other+`","deviceid":"/dev/vda"}`, json).want(t, 409, "vda")
		c.do("DELETE", other, "", wait).want(t, 200)
		c.do("POST", copied, `{"image":"`+disk+`"}`, json).want(t, 403, "occid.compute.image")
		c.do("PUT", copied, c.do("GET", copied, "").text, "Content-Type: text/plain").want(t, 200, image)

		// It can be saved in turn, with any name, as another one of the same name.
		for _, action := range []string{"?action=save&name=Web+server,+1st", "?action=save", "?action=save&method=deferred&name=%F0%9F%9A%80"} {
			c.do("POST", copied+action, "", wait, "Accept: application/occi+json").want(t, 200, `"mixins"`, "os_tpl#")
		}
		c.do("GET", copied, "").want(t, 200, `occi.compute.state="active"`)
		c.do("POST", machine+"?action=save", "", "Prefer: respond-async").want(t, 202, "/task/")
		c.settle()

		// The image stays for as long as a template or a machine is of it.
		c.do("DELETE", image, "", wait).want(t, 409, image, "template http://schemas.occid.org/occi/os_tpl#web-server-1st", copied)
		c.do("DELETE", "/-/", "Category: web-server-1st; scheme=\"http://schemas.occid.org/occi/os_tpl#\"; class=\"mixin\"\n", "Content-Type: text/plain", wait).want(t, 200)
		c.do("GET", copied, "").want(t, 200, `occid.compute.image="`+image+`"`)
		c.do("POST", "/compute/", template, "Content-Type: text/plain").want(t, 400, "web-server-1st")
		before, err := c.host.Volumes(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		c.do("DELETE", copied, "", wait).want(t, 200)
		if after, err := c.host.Volumes(t.Context()); err != nil || len(after) != len(before)-1 {
			t.Errorf("the host has %d volumes after %d, %v", len(after), len(before), err)
		}
		c.do("DELETE", image, "", wait).want(t, 200)
	})
}

// TestSaveOfAllMakesTemplates saves a collection.
func TestSaveOfAllMakesTemplates(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	for _, name := range []string{"one", "two"} {
		machine, disk := c.create("/compute/", `{"title":"`+name+`"}`), c.create("/storage/", `{"size":1}`)
		c.create("/storagelink/", `{"source":"`+machine+`","target":"`+disk+`"}`)
	}
	r := c.do("POST", "/compute/?action=save&name=all", "", "Prefer: wait=20", "Accept: text/uri-list").want(t, 200)
	if lines := strings.Fields(r.text); len(lines) != 2 || lines[0] != c.url+"/mixin/os_tpl/all/" {
		t.Errorf("the templates are\n%s", r.text)
	}
	if images := c.paths("/mixin/image/"); len(images) != 2 {
		t.Errorf("the images are %v", images)
	}
	// A machine without a disk has a template without an image; one that is
	// suspended keeps all from it.
	diskless := c.create("/compute/", `{"title":"three"}`)
	r = c.do("POST", diskless+"?action=save&name=bare", "").want(t, 200, "Category: bare;")
	if strings.Contains(r.text, "image") {
		t.Errorf("the template has an image:\n%s", r.text)
	}
	c.do("POST", diskless+"?action=start", "", "Prefer: wait=20").want(t, 200)
	c.do("POST", diskless+"?action=suspend", "", "Prefer: wait=20").want(t, 200)
	before := c.do("GET", "/-/", "").want(t, 200, "Category: bare;").Header.Get("ETag")
	c.do("POST", "/compute/?action=save", "").want(t, 409, diskless, "suspended")
	if now := c.do("GET", "/-/", "").Header.Get("ETag"); now != before {
		t.Errorf("%s became %s", before, now)
	}
}

// TestAnImportLeavesWhatTheOtherServerSays takes over a machine of a template with
// something pending and a backup: what their server says of them is none of this
// one's business.
func TestAnImportLeavesWhatTheOtherServerSays(t *testing.T) {
	t.Parallel()
	from := newCloud(t)
	wait := "Prefer: wait=20"
	machine := from.create("/compute/", `{"ephemeral":1,"mixin":"http://schemas.ogf.org/occi/infrastructure/compute/template/1.1#small"}`)
	from.do("POST", machine+"?action=save&name=t", "", wait).want(t, 200)
	copied := from.create("/compute/", `{"mixin":"http://schemas.occid.org/occi/os_tpl#t"}`)
	from.do("POST", copied, `{"memory":"2 GiB"}`, "Content-Type: application/json", wait).want(t, 200, "occid.compute.pending", "occid.compute.image")
	from.do("DELETE", "/-/", `Category: t; scheme="http://schemas.occid.org/occi/os_tpl#"; class="mixin"`, "Content-Type: text/plain", wait).want(t, 200)
	disk := from.create("/storage/", `{"size":1}`)
	backup := strings.TrimPrefix(from.do("POST", disk+"?action=backup", "", wait).want(t, 200).Header.Get("Location"), from.url)
	for _, media := range []string{"text/plain", "application/occi+json", "application/json"} {
		to := newCloud(t)
		for _, path := range []string{copied, backup} {
			body, header := from.show(path, media)
			to.do("POST", path[:strings.LastIndexByte(path, '/')+1], body, header...).want(t, 201)
			r := to.do("GET", path, "").want(t, 200)
			if strings.Contains(r.text, "X-OCCI-Attribute: occid.") {
				t.Errorf("as %s it says what another server said:\n%s", media, r.text)
			}
		}
	}
}
