package main

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func TestTheWalkThrough(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	args := []string{"--db", "sqlite:" + filepath.Join(dir, "x.db"), "--data", dir, "--libvirt"}
	p := start(t, append(args, "test:///default")...)
	h, _ := p.curl(201, "POST", "/compute/", `{"type":"compute","title":"web-1","cores":2,"memory":"1 GiB"}`,
		"Content-Type: application/json", "Prefer: wait=20")
	path := strings.TrimPrefix(h.Get("Location"), p.url)
	for suffix, text := range map[string]string{".txt": "memory 1 Gb", ".json": `"title": "web-1"`, ".xml": "<cores>2</cores>", ".atom": "web-1", "": "occi.compute.cores=2"} {
		if _, body := p.curl(200, "GET", path+suffix, ""); !strings.Contains(body, text) {
			t.Errorf("%s lacks %q: %s", suffix, text, body)
		}
	}
	_, body := p.curl(200, "POST", path+"?action=start", "", "Prefer: wait=20")
	if !strings.Contains(body, `occi.compute.state="active"`) {
		t.Errorf("not started: %s", body)
	}
	for _, x := range [][2]string{{"/network/", `{"title":"net"}`}, {"/storage/", `{"title":"disk","size":"1 GiB"}`}} {
		h, _ := p.curl(201, "POST", x[0], x[1], "Content-Type: application/json", "Prefer: wait=20")
		kind := map[string]string{"/network/": "/networkinterface/", "/storage/": "/storagelink/"}[x[0]]
		p.curl(201, "POST", kind, `{"source":"`+path+`","target":"`+h.Get("Location")+`"}`, "Content-Type: application/json", "Prefer: wait=20")
	}
	if _, body := p.curl(200, "GET", path, ""); !strings.Contains(body, `occi.storagelink.deviceid="vda"`) || !strings.Contains(body, "occi.networkinterface.mac=") {
		t.Errorf("links are missing: %s", body)
	}
	p.curl(200, "POST", path+"?action=stop", "", "Prefer: wait=20")

	tags := func() [3]string {
		var out [3]string
		for i, path := range []string{path, "/compute/", "/"} {
			h, _ := p.curl(200, "GET", path, "")
			out[i] = h.Get("ETag")
		}
		return out
	}
	before := tags()
	p.stop()
	// The test host has lost everything with its process and would be repaired;
	// one that does not answer leaves the rows as they are.
	p = start(t, append(args, "qemu+unix:///system?socket="+dir+"/none")...)
	if after := tags(); after != before {
		t.Errorf("entity tags %q after a restart, %q before", after, before)
	}
	p.stop()
	p = start(t, append(args, "test:///default")...)
	p.logged(`"kind":"compute"`)
	_, body = p.curl(200, "POST", path+"?action=start", "", "Prefer: wait=20")
	if !strings.Contains(body, `occi.compute.state="active"`) {
		t.Errorf("not started after a restart: %s", body)
	}
	p.curl(200, "DELETE", "/", "", "Prefer: wait=20")
	if _, body := p.curl(200, "GET", "/", ""); body != "" {
		t.Errorf("left after deleting all: %s", body)
	}
}

func TestTheRegistryIsLoadedAgain(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	p := start(t, "--data", dir)
	write := func(name, text string) {
		t.Helper()
		if err := os.MkdirAll(filepath.Join(dir, "registry"), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "registry", name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := p.cmd.Process.Signal(syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
	}
	h, _ := p.curl(200, "GET", "/-/", "")
	write("10-tag.yaml", "mixins:\n  - id: http://example.com/tags#red\n    title: Red\n    location: /mixin/red/\n")
	p.logged("the registry was loaded")
	if after, _ := p.curl(200, "GET", "/-/", ""); after.Get("ETag") == h.Get("ETag") {
		t.Error("another registry has the same entity tag")
	}
	p.curl(200, "GET", "/mixin/red/", "")
	write("20-bad.yaml", "mixins:\n  - id: http://example.com/tags#blue\n    colour: blue\n")
	p.logged("20-bad.yaml")
	p.logged("the registry stays as it was")
	p.curl(200, "GET", "/mixin/red/", "")
	p.curl(404, "GET", "/mixin/blue/", "")
}
