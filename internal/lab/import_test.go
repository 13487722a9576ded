package lab_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	lv "libvirt.org/go/libvirt"

	"github.com/occid/occid/internal/lab"
)

// counting has a guest say again and again how long it has been up.
const counting = `exec >/dev/console
while sleep 0.3; do echo "guest: tick $(cut -d. -f1 /proc/uptime)"; done`

// TestImport has a machine made by hand that runs become a compute, which goes on and is
// as any other: devices come and go, it stops, starts and is deleted. Its network stays.
func TestImport(t *testing.T) {
	t.Parallel()
	ctx := need(t)
	h := newHost(ctx, t)
	guest := install(t, h)
	conn := connected(t, h)
	f := &fleet{cloud: &cloud{ctx: ctx, t: t, url: startOccid(ctx, t, h).URL}, guest: guest}
	f.tells(f.url+"/host/", `"up"`)
	made, err := lab.StrayDomain{Type: "qemu", Dir: "/var/lib/libvirt", Kernel: guest.Kernel, Initrd: guest.Initrd,
		Cmdline: lab.Cmdline + " " + lab.Running(counting), Logs: "/var/log/libvirt"}.Make(conn)
	if err != nil {
		t.Fatal(err)
	}
	id := made.String()
	up := func(before int) (now int) {
		t.Helper()
		console, err := h.Console(id)
		if err != nil {
			t.Fatal(err)
		}
		defer console.Close()
		for {
			line, err := console.Wait(ctx, "guest: tick ")
			if err != nil {
				t.Fatal(err)
			}
			if n, _ := fmt.Sscanf(line, "guest: tick %d", &now); n == 1 && now > before {
				return now
			}
		}
	}

	f.tells(f.url+"/domain/", id, `"occid.domain.importable":true`, "by hand.qcow2", `"active"`)
	row := f.listed(id)
	first, process := up(0), emulators(id)
	f.send(http.MethodPost, row+"?action=import&title=taken", nil)
	vm := f.url + "/compute/" + id
	x := f.get(vm)
	if x.state() != "active" || x.Title != "taken" || len(x.Links) != 2 || x.message() != "" {
		t.Errorf("it has become %+v", x)
	}
	first = up(first + 1)
	if now := emulators(id); !slices.Equal(now, process) {
		t.Errorf("the processes are %v, and were %v", now, process)
	}
	if resp, text := f.ask(http.MethodGet, row, nil); resp.StatusCode != http.StatusNotFound {
		t.Errorf("GET %s: %s: %s", row, resp.Status, text)
	}
	links := map[string]entity{}
	for _, l := range x.Links {
		links[l.Kind] = f.get(f.url + "/" + map[string]string{storageLink: "storagelink", networkInterface: "networkinterface"}[l.Kind] + "/" + uuidOf(l.ID))
	}
	disk, wire := f.url+links[storageLink].Target.Location, f.url+links[networkInterface].Target.Location

	more := f.create("/storage/", entity{Kind: storage, Attributes: map[string]any{"occi.storage.size": 0.0625}})
	plugged := f.create("/storagelink/", entity{Kind: storageLink, Source: &end{path(vm), compute}, Target: &end{path(more), storage}})
	f.says(h, id, lab.GuestDisk+"vdb, 131072 sectors")
	f.send(http.MethodPost, disk+"?action=resize&size=0.03125", nil)
	f.says(h, id, lab.GuestDisk+"vda, now 65536 sectors")
	f.send(http.MethodDelete, f.url+"/storagelink/"+uuidOf(links[storageLink].ID), nil)
	f.says(h, id, lab.GuestDisk+"vda gone")
	f.send(http.MethodDelete, f.url+"/networkinterface/"+uuidOf(links[networkInterface].ID), nil)
	f.says(h, id, lab.GuestInterface+"eth0 gone")
	if up(first) <= first || !slices.Equal(emulators(id), process) {
		t.Error("it was started again")
	}
	f.create("/storagelink/", entity{Kind: storageLink, Source: &end{path(vm), compute}, Target: &end{path(disk), storage}})
	f.create("/networkinterface/", entity{Kind: networkInterface, Source: &end{path(vm), compute}, Target: &end{path(wire), network}})
	f.send(http.MethodDelete, plugged, nil)

	f.act(vm, "suspend", "suspended")
	f.act(vm, "start", "active")
	f.act(vm, "stop", "inactive")
	f.act(vm, "start", "active")
	up(0)
	f.unchanged(h, vm)
	for _, url := range []string{vm, disk, more, wire} {
		f.send(http.MethodDelete, url, nil)
	}
	if out, err := h.Run(ctx, "virsh", "-q", "-c", "qemu:///system", "net-list"); err != nil || !strings.Contains(string(out), "by"+id[:8]) {
		t.Errorf("%v: the networks are %s", err, out)
	}
	// libvirt was started again.
	if err := lab.RemoveStray(connected(t, h), made); err != nil {
		t.Error(err)
	}
	if err := h.Empty(ctx); err != nil {
		t.Error(err)
	}
}

func connected(t *testing.T, h *lab.Host) *lv.Connect {
	t.Helper()
	conn, err := lv.NewConnect(h.URI)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = conn.Close() })
	return conn
}

// listed gives the URL of what stands for a machine of others.
func (f *fleet) listed(id string) string {
	f.t.Helper()
	var all struct {
		Resources []entity `json:"resources"`
	}
	_, text := f.send(http.MethodGet, f.url+"/domain/?domain_uuid="+id, nil)
	if err := json.Unmarshal(text, &all); err != nil || len(all.Resources) != 1 {
		f.t.Fatalf("%v: listed are %s", err, text)
	}
	return f.url + "/domain/" + uuidOf(all.Resources[0].ID)
}

// unchanged has the server lose the host and compare it with its rows, and waits until a
// machine is shown as before.
func (f *fleet) unchanged(h *lab.Host, vm string) {
	f.t.Helper()
	_, before := f.send(http.MethodGet, vm, nil)
	other := f.machine("", "", "true")
	f.unmade(h, other)
	f.until(func() bool {
		_, now := f.send(http.MethodGet, vm, nil)
		return string(now) == string(before)
	})
	f.send(http.MethodDelete, other, nil)
}
