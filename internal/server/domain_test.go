package server_test

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/occid/occid/hypervisor/libvirt"
	"github.com/occid/occid/internal/dbtest"
	"github.com/occid/occid/internal/engine"
)

// furnished is a test host with machines that were made by hand: one that runs, and one
// whose disk is in no pool.
const furnished = `<node>
<domain type='test'><name>first</name><uuid>5d0f3b0e-6c1d-4d5e-8f00-000000000001</uuid><title>By hand</title><memory unit='MiB'>512</memory><vcpu>2</vcpu>
	<os><type>hvm</type></os><devices>
	<disk type='file'><driver type='qcow2'/><source file='/images/first.qcow2'/><target dev='vda' bus='virtio'/></disk>
	<interface type='network'><mac address='52:54:00:00:00:01'/><source network='lan'/></interface></devices></domain>
<domain type='test'><name>second</name><uuid>5d0f3b0e-6c1d-4d5e-8f00-000000000002</uuid><memory unit='MiB'>512</memory>
	<os><type>hvm</type></os><devices>
	<disk type='file'><driver type='raw'/><source file='/elsewhere/disk'/><target dev='vda' bus='virtio'/></disk></devices></domain>
<network><name>lan</name><uuid>5d0f3b0e-6c1d-4d5e-8f00-000000000003</uuid><bridge name='lan0'/></network>
<pool type='dir'><name>images</name><uuid>5d0f3b0e-6c1d-4d5e-8f00-000000000004</uuid><target><path>/images</path></target>
	<volume><name>first.qcow2</name><capacity unit='MiB'>512</capacity><target><format type='qcow2'/></target></volume></pool>
</node>`

// newFurnished is a guarded cloud on that host.
func newFurnished(t *testing.T) *cloud {
	t.Helper()
	file := filepath.Join(t.TempDir(), "node.xml")
	if err := os.WriteFile(file, []byte(furnished), 0o600); err != nil {
		t.Fatal(err)
	}
	driver, err := libvirt.Open(libvirt.Config{URI: "test://" + file, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closes(t, driver) })
	c := newCloudWith(t, dbtest.SQLite(t), builtin(t), nil, true, func(cfg *engine.Config) { cfg.Hosts[0].Driver = driver })
	if made, err := c.engine.FirstAdministrator(context.Background(), "admin", adminSecret); err != nil || !made {
		t.Fatalf("the administrator: %t, %v", made, err)
	}
	return c
}

// domains waits until all machines of others are listed, and gives their paths by name.
func (p *person) domains(names ...string) map[string]string {
	p.t.Helper()
	all := map[string]string{}
	for end := time.Now().Add(time.Minute); time.Now().Before(end) && len(all) < len(names); time.Sleep(5 * time.Millisecond) {
		for _, name := range names {
			if text := strings.TrimSpace(p.do("GET", "/domain/.uri?domain_name="+name, "").text); text != "" {
				all[name] = strings.TrimPrefix(text, p.url)
			}
		}
	}
	return all
}

func TestDomains(t *testing.T) {
	t.Parallel()
	c := newFurnished(t)
	admin := c.admin()
	project := admin.made("/project/", `{"title":"web"}`)
	member := admin.user("mia", project, "member")
	rows := admin.domains("first", "second")
	first, second := rows["first"], rows["second"]
	host := strings.TrimPrefix(strings.TrimSpace(admin.do("GET", "/host/.uri", "").text), c.url)
	const vm, json = "/compute/5d0f3b0e-6c1d-4d5e-8f00-000000000001", "Content-Type: application/json"
	admin.do("GET", first, "", "Accept: application/json").want(t, 200, `"type": "domain"`, `"title": "By hand"`, `"domain_name": "first"`, `"domain_cores": 2`,
		`"importable": true`, `"vda: first.qcow2 in pool images, 0.500 GiB"`, `"52:54:00:00:00:01: lan"`, "action=import")
	admin.do("GET", second, "", "Accept: application/json").want(t, 200, `"importable": false`, "/elsewhere/disk, is in no active storage pool")
	for path, want := range map[string]string{host + "/domain/.uri?importable=true": first, first + "/host/.uri": host, "/resource/.uri?category=domain": "", "/.uri": ""} {
		if got := admin.do("GET", path, "").text; want != "" && strings.TrimSpace(got) != c.url+want || want == "" && strings.Contains(got, "/domain/") {
			t.Errorf("%s lists %q, want %q", path, got, want)
		}
	}
	member.do("GET", first, "").want(t, 404)
	for method, path := range map[string]string{"POST": first + "?action=import", "DELETE": first} {
		member.do(method, path, "").want(t, 403, "role")
	}
	if got := strings.TrimSpace(member.do("GET", "/domain/.uri", "").text); got != "" {
		t.Errorf("a member is shown %q", got)
	}
	admin.do("POST", first+"?action=import&project=nobody's", "").want(t, 400, "project", "nobody's")
	admin.do("POST", first+"?action=import", "").want(t, 400, "project", "no part in any project")
	admin.do("POST", second+"?action=import&project=web", "").want(t, 409, "/elsewhere/disk")
	admin.do("DELETE", first, "").want(t, 403, "its host")
	admin.do("POST", "/domain/", `{"title":"x"}`, json).want(t, 403, "cannot be created")
	member.do("PUT", "/storage/ad0b7ed0-968b-856c-8b19-719d119a5a4f", `{"size":"1 GiB"}`, json).want(t, 400, "imported")

	admin.do("POST", first+"?action=import&project=web&user=mia&title=mine", "", "Prefer: wait=60").want(t, 200)
	admin.do("GET", first, "").want(t, 404)
	admin.do("POST", first+"?action=import&project=web", "").want(t, 404)
	member.do("GET", vm, "", "Accept: application/json").want(t, 200, `"title": "mine"`, `"state": "active"`, `"cores": 2`, `"memory": "0.5 Gb"`, `"imported"`, "storagelink", "networkinterface")
	disk := strings.TrimPrefix(strings.TrimSpace(member.do("GET", vm+"/storage/.uri", "").text), c.url)
	network := strings.TrimPrefix(strings.TrimSpace(member.do("GET", vm+"/network/.uri", "").text), c.url)
	member.do("GET", disk, "", "Accept: application/json").want(t, 200, `"title": "first.qcow2"`, `"size": "0.5 Gb"`, `"pool": "images"`, `"state": "online"`)
	member.do("GET", network, "", "Accept: application/json").want(t, 200, `"title": "lan"`, `"state": "active"`)
	member.do("POST", network+"?action=down", "").want(t, 409, "not made by the server")
	member.do("POST", vm+"?action=stop&method=poweroff", "", "Prefer: wait=60").want(t, 200, "inactive")
	member.do("POST", vm+"?action=start", "", "Prefer: wait=60").want(t, 200, "active")
	for _, path := range []string{vm, disk, network} {
		member.do("DELETE", path, "", "Prefer: wait=60").want(t, 200)
	}
	if got := admin.domains("second"); got["second"] != second {
		t.Errorf("left is %v", got)
	}
}
