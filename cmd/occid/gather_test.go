package main

import (
	"path/filepath"
	"strings"
	"testing"
)

// TestHostsAreAddedThroughTheAPI has a server without hosts be given one, and keep it.
func TestHostsAreAddedThroughTheAPI(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	args := []string{"--db", "sqlite:" + filepath.Join(dir, "x.db"), "--data", dir, "--libvirt", "none"}
	p := start(t, args...)
	for body, want := range map[string]string{
		`{"title":"a"}`: "occid.host.uri",
		`{"uri":"qemu+ssh://root:hidden@kvm1/system"}`: "occid.host.uri",
		`{"uri":"qemu+ext:///system?command=/bin/sh"}`: "occid.host.uri",
		`{"uri":"test:///default","labels":"a b,c"}`:   "occid.host.labels",
	} {
		if _, text := p.curl(400, "POST", "/host/", body, asJSON, "Accept: application/json"); !strings.Contains(text, want) || strings.Contains(text, "hidden") {
			t.Errorf("%s is answered with %s", body, text)
		}
	}
	h, _ := p.curl(201, "POST", "/host/", `{"uri":"test:///default","title":"bench","labels":"ssd","offered_cores":4,"offered_memory":"8 GiB","cores_overcommit":1}`, asJSON)
	host := strings.TrimPrefix(h.Get("Location"), p.url)
	shows := func(text string) {
		t.Helper()
		for p.ctx.Err() == nil {
			if _, shown := p.curl(200, "GET", host+".txt", ""); strings.Contains(shown, text) {
				return
			}
		}
		t.Fatalf("the host never shows %q\n%s", text, p.log)
	}
	shows("\nstate up\n")
	p.curl(409, "POST", "/host/", `{"uri":"test:///default"}`, asJSON)
	p.curl(409, "POST", "/compute/", `{"cores":5}`, asJSON)
	p.curl(200, "POST", host, `{"offered_cores":8,"labels":"ssd hot"}`, asJSON)
	shows("\nhost_cores 8\n")
	h, _ = p.curl(201, "POST", "/compute/", `{"cores":5,"memory":1,"mixins":["http://schemas.occid.org/occi/placement#host_labels"],"required_labels":"hot"}`, asJSON, waiting)
	vm := strings.TrimPrefix(h.Get("Location"), p.url)
	if _, text := p.curl(409, "DELETE", host, ""); !strings.Contains(text, "placed") {
		t.Errorf("it cannot be deleted because %s", text)
	}
	p.stop()

	p = start(t, args...)
	shows("\nstate up\n")
	p.curl(200, "DELETE", vm, "", waiting)
	p.curl(200, "DELETE", host, "")
	p.curl(404, "GET", host, "")
	p.logged("a host was removed")
}
