package main

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/occid/occid/internal/engine"
)

func TestHostRules(t *testing.T) {
	t.Parallel()
	o, err := parse([]string{"--libvirt", "a:///,b:///", "--placement", "pack",
		"--hosts", "a:///,name=kvm1,label=ssd,label=zone=a,cores=64,memory=256GiB,cores-overcommit=2.5,memory-overcommit=1.2"})
	if err != nil {
		t.Fatal(err)
	}
	for uri, want := range map[string]engine.Host{
		"a:///": {Name: "a:///", Title: "kvm1", Labels: []string{"ssd", "zone=a"}, Cores: 64, MemoryBytes: 256 << 30, CoresOvercommit: 2.5, MemoryOvercommit: 1.2},
		"b:///": {Name: "b:///"},
	} {
		got, err := o.hostRules(uri)
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("%s: %v\n%s", uri, err, diff)
		}
	}
	for text, word := range map[string]string{
		"c:///":                       "names no host",
		"a:///;a:///,unlimited":       "twice",
		"a:///,name=x;b:///,name=x":   `called "x"`,
		"a:///,speed=2":               `no setting "speed"`,
		"a:///,label=a b":             "label",
		"a:///,cores=none":            "cores",
		"a:///,memory=12":             "memory",
		"a:///,cores-overcommit=0":    "cores-overcommit",
		"a:///,memory-overcommit=NaN": "memory-overcommit",
		"a:///,name=":                 "name",
	} {
		_, err := parse([]string{"--libvirt", "a:///,b:///", "--hosts", text})
		if err == nil || !strings.Contains(err.Error(), "--hosts") || !strings.Contains(err.Error(), word) {
			t.Errorf("%s: %v, want %q", text, err, word)
		}
	}
}
