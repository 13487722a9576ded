package libvirt_test

import (
	"strings"
	"testing"

	"github.com/occid/occid/hypervisor/libvirt"
)

func TestURIsAreChecked(t *testing.T) {
	t.Parallel()
	for uri, want := range map[string]string{
		"qemu:///system": "", "qemu+ssh://root@kvm1.example.org:2222/system?keyfile=/etc/occid/key&no_tty=1": "",
		"qemu+tls://kvm1/system?pkipath=/etc/pki": "", "qemu+unix:///session?socket=/run/libvirt/libvirt-sock": "",
		"test:///default": "", "test+unix:///default?socket=/run/x": "", "qemu+ssh://[2001:db8::1]/system": "",

		"": "is not qemu", "kvm1": "is not qemu", "qemu:system": "not a URI", "qemu:///system#x": "not a URI", "xen:///system": "is not qemu",
		"qemu+ext:///system?command=/bin/sh": "is not qemu", "file:///etc/passwd": "is not qemu", "qemu+ssh+tls://a/system": "is not qemu",
		"qemu://a/": "path", "test:///etc/passwd": "path", "qemu+ssh://a/system/../x": "path",
		"qemu+ssh://root:secret@kvm1/system": "password", "qemu+ssh://-oProxyCommand=x/system": "hyphen", "qemu+ssh://-l@kvm1/system": "hyphen",
		"qemu+ssh://a/system?command=/bin/sh": "parameter", "qemu+ssh://a/system?netcat=/bin/sh": "parameter", "qemu+ssh://a/system?proxy=native": "parameter",
		"qemu+libssh://a/system?auth=x": "parameter", "qemu+unix:///system?socket=x": "absolute", "qemu+ssh://a/system?keyfile=%zz": "parameters",
		"qemu+ssh://a\x00/system": "not a URI", "qemu+ssh://a\n/system": "not a URI",
	} {
		err := libvirt.CheckURI(uri)
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%q: %v, want %q", uri, err, want)
		}
		if err != nil && strings.Contains(err.Error(), "secret@") {
			t.Errorf("%q is repeated: %v", uri, err)
		}
	}
}
