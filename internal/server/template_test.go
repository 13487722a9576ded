package server_test

import (
	"strings"
	"testing"
)

// TestSizesFollowTheTemplate replaces templates in each way there is, down as well
// as up.
func TestSizesFollowTheTemplate(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	const crtp = "http://schemas.ogf.org/occi/infrastructure/compute/template/1.1#"
	category := func(term string) string { return `Category: ` + term + `; scheme="` + crtp + `"; class="mixin"` }
	wait := "Prefer: wait=20"
	path := c.create("/compute/", `{"type":"compute","cores":7,"mixins":["`+crtp+`large"]}`)
	want := func(term string, words ...string) {
		t.Helper()
		r := c.do("GET", path, "").want(t, 200, append(words, "Category: "+term, `state="inactive"`, "ephemeral_storage.deviceid=")...)
		if n := strings.Count(r.text, crtp); n != 1 {
			t.Errorf("%d templates: %s", n, r.text)
		}
		if tasks := c.do("GET", path+"/tasks/", "", "Accept: application/json").text; strings.Contains(tasks, "failed") {
			t.Fatalf("a task failed: %s", tasks)
		}
	}
	want("large", "compute.cores=4", "compute.memory=4.0", "ephemeral_storage.size=40.0")
	c.do("POST", "/mixin/resource_tpl/small/", path, "Content-Type: text/uri-list", wait).want(t, 200)
	want("small", "compute.cores=1", "compute.memory=1.0", "ephemeral_storage.size=10.0")
	c.do("POST", path, category("mem_medium")+"\nX-OCCI-Attribute: occi.compute.memory=3\n", plain, wait).want(t, 200)
	want("mem_medium", "compute.cores=2", "compute.memory=8.0", "ephemeral_storage.size=20.0")
	shown := c.do("GET", path, "").text
	edited := strings.Replace(shown, "Category: mem_medium", "Category: large", 1)
	c.do("PUT", path, edited, plain, wait).want(t, 200)
	want("large", "compute.cores=4", "compute.memory=4.0", "ephemeral_storage.size=40.0")
	c.do("POST", path, category("small")+"\n"+category("large"), plain).want(t, 400, "excludes")
	want("large", "compute.cores=4")
	c.do("DELETE", "/mixin/resource_tpl/large/", path, "Content-Type: text/uri-list", wait).want(t, 200)
	r := c.do("GET", path, "").want(t, 200, "compute.cores=4")
	if strings.Contains(r.text, "ephemeral") {
		t.Errorf("scratch space without its template: %s", r.text)
	}
	c.do("DELETE", path, "", wait).want(t, 200)
}
