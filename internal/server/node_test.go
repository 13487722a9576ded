package server_test

import (
	"slices"
	"strings"
	"testing"
	"time"
)

// described waits until the only host has told what it is, and gives its path.
func (c *cloud) described() string {
	c.t.Helper()
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if found := c.paths("/host/?state=up"); len(found) == 1 {
			return found[0]
		}
	}
	c.t.Fatal("the host is never up")
	return ""
}

func TestHosts(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	host := c.described()
	vm := c.create("/compute/", `{"title":"a"}`)
	c.do("GET", host, "", "Accept: application/json").want(t, 200, `"type": "host"`, `"title": "one"`, `"state": "up"`,
		`"hypervisor": "TEST"`, `"host_cores"`, `"host_memory"`, `"manager_version"`, "action=drain")
	c.do("GET", host, "", "Accept: text/plain").want(t, 200, `Category: host; scheme="http://schemas.occid.org/occi/infrastructure#"`, `occid.host.state="up"`)
	for path, want := range map[string][]string{"/": {vm}, "/resource/": {vm}, "/host/": {host}, host + "/compute/": {vm}, host + "/storage/": nil,
		vm + "/host/": {host}, "/host/?host_cores.ge=1": {host}} {
		if got := c.paths(path); !slices.Equal(got, want) {
			t.Errorf("%s lists %q, want %q", path, got, want)
		}
	}
	c.do("GET", "/host/"+strings.TrimPrefix(vm, "/compute/")+"/compute/", "").want(t, 404)

	c.do("POST", "/host/", `{"title":"b"}`, "Content-Type: application/json").want(t, 403, "configuration")
	c.do("PUT", "/host/2f5c0f7e-5a6b-4f3d-9f0e-0d6a7c9f3f11", `{"title":"b"}`, "Content-Type: application/json").want(t, 403, "configuration")
	c.do("DELETE", host, "").want(t, 403, "configuration")
	c.do("DELETE", "/", "").want(t, 200)
	c.do("GET", host, "").want(t, 200)

	vm = c.create("/compute/", `{"title":"c"}`)
	task := strings.TrimPrefix(c.do("POST", host+"?action=drain", "", "Prefer: wait=60").Header.Get("X-Task-Location"), c.url)
	c.do("GET", task, "", "Accept: application/json").want(t, 200, `"state": "failed"`, vm)
	c.do("GET", host, "", "Accept: application/json").want(t, 200, `"state": "maintenance"`, vm, "action=activate")
	c.do("POST", host+"?action=activate", "", "Prefer: wait=60").want(t, 200)
	c.do("GET", host, "", "Accept: application/json").want(t, 200, `"state": "up"`)
}
