package main

import (
	"maps"
	"testing"

	"github.com/occid/occid/internal/engine"
	"github.com/occid/occid/spec"
)

func TestQuotaOptions(t *testing.T) {
	t.Parallel()
	m, err := spec.Builtin()
	if err != nil {
		t.Fatal(err)
	}
	for _, bad := range [][]string{{"cores"}, {"cores=x"}, {"cores=1.5"}, {"cores=1", "cores=2"}, {"horses=1"}, {"memory=-2"}, {"requests=1e9"}, {""}} {
		o := quotaOptions{UserQuota: bad}
		if got, _, err := o.read(m); err == nil {
			t.Errorf("%q is read as %v", bad, got)
		}
	}
	o := quotaOptions{ProjectQuota: []string{"cores=4", "memory=2GiB", "storage=1.5 GiB", "requests=0.5", "images=0"}}
	project, user, err := o.read(m)
	want := engine.Allowance{"cores": "4", "memory": "2GiB", "storage": "1.5 GiB", "requests": "0.5", "images": "0"}
	if err != nil || !maps.Equal(project, want) || len(user) != 0 {
		t.Errorf("read are %v and %v: %v", project, user, err)
	}
}
