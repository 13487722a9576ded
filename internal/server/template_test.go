package server_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/occid/occid/internal/dbtest"
	"github.com/occid/occid/spec"
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

// TestAMachineIsWhatItsTemplatesSay makes one of an operator's sizes with a template
// that wants UEFI, and has it grow with its size.
func TestAMachineIsWhatItsTemplatesSay(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "sizes.yaml"), []byte(`mixins:
  - id: http://example.com/size#web
    title: A web server
    depends: [http://schemas.ogf.org/occi/infrastructure#resource_tpl]
    applies: [http://schemas.ogf.org/occi/infrastructure#compute]
    attributes: [{name: occi.compute.cores, default: 2}, {name: occid.compute.disk.size, default: 4.0}]
  - id: http://example.com/size#big
    title: A large web server
    depends: [http://schemas.ogf.org/occi/infrastructure#resource_tpl]
    applies: [http://schemas.ogf.org/occi/infrastructure#compute]
    attributes: [{name: occi.compute.cores, default: 4}, {name: occid.compute.disk.size, default: 8.0}]
  - id: http://example.com/size#tiny
    title: Too small
    depends: [http://schemas.ogf.org/occi/infrastructure#resource_tpl]
    applies: [http://schemas.ogf.org/occi/infrastructure#compute]
    attributes: [{name: occid.compute.disk.size, default: 1.0}]
  - id: http://example.com/firmware#uefi
    title: Starts with UEFI
    applies: [http://schemas.ogf.org/occi/infrastructure#compute]
    attributes: [{name: occid.compute.firmware, default: uefi}]
`), 0o600); err != nil {
		t.Fatal(err)
	}
	m, err := spec.Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	c := newCloudOf(t, dbtest.SQLite(t), m)
	wait, json := "Prefer: wait=20", "Content-Type: application/json"
	machine, disk := c.create("/compute/", `{"title":"first"}`), c.create("/storage/", `{"size":2}`)
	c.create("/storagelink/", `{"source":"`+machine+`","target":"`+disk+`"}`)
	c.do("POST", machine+"?action=save&name=web", "", wait).want(t, 200)
	const os = "http://schemas.occid.org/occi/os_tpl#web"
	of := func(size string) string {
		return `{"title":"web","mixins":["` + os + `","http://example.com/size#` + size + `","http://example.com/firmware#uefi"]}`
	}
	c.do("POST", "/compute/", of("tiny"), json).want(t, 409, "occid.compute.disk.size", "1.0", "2.0", "/storage/")
	made := c.create("/compute/", of("web"))
	c.do("GET", made, "").want(t, 200, `compute.state="active"`, "compute.cores=2", "compute.disk.size=4.0", `compute.firmware="uefi"`)
	root := uuid.NewSHA1(uuid.MustParse(strings.TrimPrefix(made, "/compute/")), []byte("root"))
	size := func(want int64) {
		t.Helper()
		volumes, err := c.host.Volumes(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, v := range volumes {
			if v.ID == root && v.SizeBytes == want<<30 {
				return
			}
		}
		t.Errorf("its disk of %d GiB is not among %v", want, volumes)
	}
	size(4)
	c.do("POST", "/mixin/big/", made, "Content-Type: text/uri-list", wait).want(t, 200)
	c.do("DELETE", "/mixin/uefi/", made, "Content-Type: text/uri-list", wait).want(t, 200)
	c.do("GET", made, "").want(t, 200, `compute.state="active"`, "compute.cores=4", "compute.disk.size=8.0", `compute.firmware="uefi"`)
	size(8)
	c.do("DELETE", made, "", wait).want(t, 200)
}
