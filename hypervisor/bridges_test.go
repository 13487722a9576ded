package hypervisor_test

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/occid/occid/hypervisor"
)

func TestBridges(t *testing.T) {
	t.Parallel()
	b, err := hypervisor.ParseBridges([]string{"br0", "br0.7=br7", "br0.8=br0.8"})
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, x := range []struct {
		bridge string
		vlan   int
	}{{"br0", 0}, {"br0", 7}, {"br0", 8}, {"br0", 9}, {"br0.7", 0}, {"br7", 0}, {"", 0}, {"br0", -1}} {
		name, err := b.On(x.bridge, x.vlan)
		if (name == "") != errors.Is(err, hypervisor.ErrInvalid) {
			t.Errorf("%+v: %q, %v", x, name, err)
		}
		if name != "" {
			got[x.bridge] += name + " "
		}
	}
	if diff := cmp.Diff(map[string]string{"br0": "br0 br7 br0.8 "}, got); diff != "" {
		t.Errorf("offered (-want +got):\n%s", diff)
	}
	for _, bad := range []string{"", "br 0", "br0.7", "br0.0=br7", "br0.4095=br7", "br0.7=", "=br7", "br0=br1", "a-name-of-16-byte", "br0.7=a-name-of-16-byte"} {
		if _, err := hypervisor.ParseBridges([]string{bad}); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}
