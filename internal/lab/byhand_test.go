package lab_test

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/occid/occid/internal/lab"
)

// byHand makes a network, a volume in the server's pool and a machine with both, as an
// operator may. Arguments: the UUID of the machine, kernel and initial RAM disk.
const byHand = `
set -e
qemu-img create -q -f qcow2 ` + pool + `byhand.qcow2 16M
cat >/run/net.xml <<-END
	<network><name>byhand</name><bridge name='byhand0'/></network>
END
cat >/run/domain.xml <<-END
	<domain type='qemu'>
	<name>byhand</name><uuid>$1</uuid><memory unit='MiB'>128</memory>
	<os><type>hvm</type><kernel>$2</kernel><initrd>$3</initrd><cmdline>console=ttyS0 quiet</cmdline></os>
	<devices>
	<disk type='file'><driver name='qemu' type='qcow2'/><source file='` + pool + `byhand.qcow2'/><target dev='vda' bus='virtio'/></disk>
	<interface type='network'><source network='byhand'/><model type='virtio'/></interface>
	</devices>
	</domain>
END
export LIBVIRT_DEFAULT_URI=qemu:///system
virsh -q net-define /run/net.xml
virsh -q net-start byhand
virsh -q define /run/domain.xml
virsh -q start byhand
`

// TestByHand has a machine on a host that the server did not make. It is nobody's, and runs
// on as it was made while the server repairs the host, is told to make one of the same
// UUID, and removes all that is its own.
func TestByHand(t *testing.T) {
	long(t, "it waits for a host to be compared with the rows")
	t.Parallel()
	ctx := need(t)
	h := newHost(ctx, t)
	guest := install(t, h)
	s := startOccid(ctx, t, h)
	f := &fleet{cloud: &cloud{ctx: ctx, t: t, url: s.URL}, guest: guest}
	f.tells(f.url+"/host/", `"up"`)
	disk := f.create("/storage/", entity{Kind: storage, Attributes: map[string]any{"occi.storage.size": 0.03125}})
	wire := f.create("/network/", entity{Kind: network, Title: "wire"})
	own := f.machine(disk, wire, "true")
	id := uuid.NewString()
	if out, err := h.Run(ctx, "sh", "-c", byHand, "byhand", id, guest.Kernel, guest.Initrd); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	before := asMade(ctx, t, h, id)

	f.unmade(h, own)
	again := asMade(ctx, t, h, id)
	if again != before {
		t.Errorf("after a repair of the host it is\n%s\nand was\n%s", again, before)
	}

	same := f.url + "/compute/" + id
	for url, method := range map[string]string{same: http.MethodGet, same + "?action=stop": http.MethodPost} {
		if resp, text := f.ask(method, url, nil); resp.StatusCode != http.StatusNotFound {
			t.Errorf("%s %s: %s: %s", method, url, resp.Status, text)
		}
	}
	if resp, text := f.ask(http.MethodPut, same, entity{Kind: compute}, "Prefer: wait=60"); resp.StatusCode != http.StatusCreated {
		t.Fatalf("%s: %s", resp.Status, text)
	}
	if x := f.get(same); x.state() != "error" {
		t.Errorf("one of the same UUID is %v", x.Attributes)
	}
	for _, url := range []string{same, own, wire, disk} {
		f.send(http.MethodDelete, url, nil)
	}
	if now := asMade(ctx, t, h, id); now != before {
		t.Errorf("in the end it is\n%s\nand was\n%s", now, before)
	}
}

// unmade undefines a machine by hand and restarts libvirt, which has the server compare the
// host with its rows and make the machine again.
func (f *fleet) unmade(h *lab.Host, machine string) {
	f.t.Helper()
	if out, err := h.Run(f.ctx, "sh", "-c", "virsh -q -c qemu:///system undefine "+uuidOf(machine)+" && kill $(cat /run/libvirtd.pid) && while ! libvirtd -d; do sleep 0.1; done"); err != nil {
		f.t.Fatalf("%v: %s", err, out)
	}
	f.until(func() bool {
		out, err := h.Run(f.ctx, "virsh", "-q", "-c", "qemu:///system", "domstate", uuidOf(machine))
		return err == nil && strings.TrimSpace(string(out)) == "shut off"
	})
}

// asMade tells how a machine is defined, its state, its network and volume, and the process
// that runs it.
func asMade(ctx context.Context, t *testing.T, h *lab.Host, id string) string {
	t.Helper()
	var all []string
	for _, command := range []string{"dumpxml --inactive " + id, "domstate " + id, "net-dumpxml --inactive byhand", "net-info byhand"} {
		out, err := h.Run(ctx, append([]string{"virsh", "-q", "-c", "qemu:///system"}, strings.Fields(command)...)...)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, string(out))
	}
	out, err := h.Run(ctx, "qemu-img", "info", "-U", pool+"byhand.qcow2")
	if err != nil {
		t.Fatal(err)
	}
	lines := slices.DeleteFunc(strings.Split(string(out), "\n"), func(l string) bool { return strings.HasPrefix(l, "disk size") })
	return strings.Join(append(all, lines...), "\n") + fmt.Sprint(emulators(id))
}
