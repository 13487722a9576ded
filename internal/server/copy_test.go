package server_test

import (
	"strings"
	"testing"
)

// TestBackupsAndSnapshots makes copies of volumes, those of a machine at work
// among them, and finds them.
func TestBackupsAndSnapshots(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	wait := "Prefer: wait=20"
	machine, disk := c.create("/compute/", `{"title":"m"}`), c.create("/storage/", `{"title":"data","size":2}`)
	link := c.create("/storagelink/", `{"source":"`+machine+`","target":"`+disk+`"}`)
	c.do("POST", machine+"?action=start", "", wait).want(t, 200)
	made := map[string]string{}
	for _, action := range []string{"backup", "snapshot"} {
		r := c.do("POST", disk+"?action="+action, "Category: "+action+`; scheme="http://schemas.ogf.org/occi/infrastructure/storage/action#"; class="action"`,
			"Content-Type: text/plain", wait).want(t, 200, disk[len("/storage/"):], `occi.storage.state="online"`)
		path := strings.TrimPrefix(r.Header.Get("Location"), c.url)
		c.do("GET", path, "").want(t, 200, `occi.core.title="`+action+` of data"`, "occi.storage.size=2.0", `occid.copy.of="`+disk+`"`,
			`occi.storage.state="online"`, "Category: "+action+";")
		if found := strings.Join(c.paths("/mixin/"+action+"/"), " "); found != path {
			t.Errorf("%ss are %s", action, found)
		}
		made[action] = path
	}
	if found := c.paths("/storage/?copy_of=" + disk); len(found) != 2 {
		t.Errorf("copies of %s are %v", disk, found)
	}
	// A copy is a volume like others: it grows, is attached, and stays when the
	// original goes.
	c.do("POST", made["snapshot"]+"?action=resize&size=4", "", wait).want(t, 200, "occi.storage.size=4.0")
	c.create("/storagelink/", `{"source":"`+machine+`","target":"`+made["snapshot"]+`"}`)
	c.do("POST", machine+"?action=stop&method=poweroff", "", wait).want(t, 200)
	c.do("DELETE", disk, "", wait).want(t, 409, disk, "attached", machine)
	c.do("DELETE", link, "", wait).want(t, 200)
	c.do("DELETE", disk, "", wait).want(t, 200)
	c.do("GET", made["backup"], "").want(t, 200, `occi.storage.state="online"`)
	c.do("POST", "/storage/?action=backup", "", wait).want(t, 200)
	if all := c.paths("/mixin/backup/"); len(all) != 3 {
		t.Errorf("backups of two volumes and the first one are %v", all)
	}
}
