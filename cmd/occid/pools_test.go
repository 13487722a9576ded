package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/occid/occid/hypervisor/libvirt"
	"github.com/occid/occid/internal/engine"
)

func TestPools(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "occid.yaml")
	text := `libvirt: [a:///, b:///]
pools:
  - fast=dir:/srv/fast,default,shared,capacity=1.5TiB
  - {host: "b:///", name: vg0, type: logical, source: data, overcommit: 1.5}
  - {name: nfs1, type: nfs, source: "files:/export", target: /mnt/nfs1, unlimited: true}
  - {name: occid, type: dir, target: /srv/occid, capacity: 100 GiB}
`
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	o, err := parse([]string{"--config", file})
	if err != nil {
		t.Fatal(err)
	}
	fast := libvirt.Pool{Name: "fast", Type: libvirt.PoolDir, Target: "/srv/fast"}
	nfs := libvirt.Pool{Name: "nfs1", Type: libvirt.PoolNFS, Source: "files:/export", Target: "/mnt/nfs1"}
	rules := []engine.Pool{{Name: "fast", Default: true, Shared: true, CapacityBytes: 3 << 39, Type: "dir", Source: "/srv/fast"},
		{Name: "nfs1", Unlimited: true, Type: "nfs", Source: "files:/export", Target: "/mnt/nfs1"}, {Name: "occid", CapacityBytes: 100 << 30, Type: "dir", Source: "/srv/occid", Apart: true}}
	for uri, want := range map[string]struct {
		c     libvirt.Config
		rules []engine.Pool
	}{
		"a:///": {libvirt.Config{Pools: []libvirt.Pool{fast, nfs}, DefaultPool: "fast", PoolDir: "/srv/occid"}, rules},
		"b:///": {libvirt.Config{Pools: []libvirt.Pool{fast, {Name: "vg0", Type: libvirt.PoolLogical, Source: "data"}, nfs}, DefaultPool: "fast", PoolDir: "/srv/occid"},
			[]engine.Pool{rules[0], {Name: "vg0", Overcommit: 1.5, Type: "logical", Source: "data"}, rules[1], rules[2]}},
	} {
		var c libvirt.Config
		got, err := o.poolsOf(uri, &c)
		if diff := cmp.Diff(want.c, c); diff != "" || err != nil {
			t.Errorf("%s: %v\n%s", uri, err, diff)
		}
		if diff := cmp.Diff(want.rules, got, unadded); diff != "" {
			t.Errorf("%s: %s", uri, diff)
		}
	}

	standard := engine.Pool{Name: "occid", Unlimited: true, Default: true, Type: "dir", Source: "/var/lib/libvirt/images/occid", Apart: true}
	o, err = parse([]string{"--pools", "a=dir:/a;b=dir:/b"})
	if err != nil {
		t.Fatal(err)
	}
	got, err := o.poolsOf("test:///default", &libvirt.Config{})
	if diff := cmp.Diff([]engine.Pool{{Name: "a", Type: "dir", Source: "/a"}, {Name: "b", Type: "dir", Source: "/b"}, standard}, got, unadded); diff != "" || err != nil {
		t.Errorf("%v\n%s", err, diff)
	}
}

// unadded leaves out what the engine alone sets.
var unadded = cmpopts.IgnoreUnexported(engine.Pool{})

func TestPoolsRefused(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"fast", "=dir:/x", "fast=dir:", "fast=zfs:tank", "fast=dir:/x,overcommit=much", "fast=dir:/x,overcommit=-1",
		"fast=dir:/x,capacity=100", "fast=dir:/x,capacity=-1GiB", "fast=dir:/x,colour=blue", "fast=dir:/x,host=no:///", "fast=logical:vg0,shared", "occid=dir:/x,shared", "occid=logical:vg0",
		"a=dir:/a,default;b=dir:/b,default"} {
		if _, err := parse([]string{"--pools", text}); err == nil || !strings.Contains(err.Error(), "--pools") {
			t.Errorf("%s: %v", text, err)
		}
	}
}
