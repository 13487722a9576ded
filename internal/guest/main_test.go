package guest_test

import (
	"context"
	"flag"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/occid/occid/hypervisor"
	"github.com/occid/occid/hypervisor/libvirt"
	"github.com/occid/occid/internal/dbtest"
	"github.com/occid/occid/internal/engine"
	"github.com/occid/occid/internal/guest"
	"github.com/occid/occid/occi"
	"github.com/occid/occid/spec"
	"github.com/occid/occid/store"
)

var update = flag.Bool("update", false, "rewrite the golden files")

const (
	compute      = "http://schemas.ogf.org/occi/infrastructure#compute"
	network      = "http://schemas.ogf.org/occi/infrastructure#network"
	storage      = "http://schemas.ogf.org/occi/infrastructure#storage"
	nic          = "http://schemas.ogf.org/occi/infrastructure#networkinterface"
	disk         = "http://schemas.ogf.org/occi/infrastructure#storagelink"
	ipNetwork    = "http://schemas.ogf.org/occi/infrastructure/network#ipnetwork"
	ip6Network   = "http://schemas.occid.org/occi/network#ip6network"
	ipNIC        = "http://schemas.ogf.org/occi/infrastructure/networkinterface#ipnetworkinterface"
	sshKey       = "http://schemas.ogf.org/occi/infrastructure/credentials#ssh_key"
	userDataID   = "http://schemas.ogf.org/occi/infrastructure/compute#user_data"
	oldUserData  = "http://schemas.openstack.org/compute/instance#user_data"
	guestMixin   = "http://schemas.occid.org/occi/compute#guest"
	directBoot   = "http://schemas.occid.org/occi/core#direct_boot"
	smallMachine = "http://schemas.ogf.org/occi/infrastructure/compute/template/1.1#small"
)

// world is an engine over libvirt's test host, and what answers guests.
type world struct {
	*engine.Engine
	t       testing.TB
	ctx     context.Context
	handler *guest.Handler
	now     time.Time
}

func newWorld(t testing.TB) *world {
	t.Helper()
	m, err := spec.Builtin()
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, ctx: t.Context(), now: time.Now()}
	st, err := store.Open(w.ctx, dbtest.SQLite(t), store.WithModel(func() *occi.Model { return m }))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closes(t, st) })
	quiet := slog.New(slog.DiscardHandler)
	host := filepath.Join(t.TempDir(), "host.xml")
	if err := os.WriteFile(host, []byte("<node/>"), 0o600); err != nil {
		t.Fatal(err)
	}
	bridges := hypervisor.Bridges{{Bridge: "br0"}: "br0", {Bridge: "br0", VLAN: 7}: "vmbr7"}
	driver, err := libvirt.Open(libvirt.Config{URI: "test://" + host, Bridges: bridges, Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closes(t, driver) })
	w.Engine = engine.New(engine.Config{Store: st, Model: func() *occi.Model { return m }, Worker: "test",
		Hosts: []engine.Host{{Name: "one", Driver: driver}}, Bridges: bridges, Logger: quiet})
	if err := w.Start(context.Background()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.Stop)
	w.handler = guest.NewHandler(guest.Config{Engine: w.Engine, Bridge: libvirt.BridgeOf, Bridged: bridges.On,
		Secret: []byte("a secret of tests"), Version: "test", Logger: quiet, Now: func() time.Time { return w.now }})
	return w
}

func closes(t testing.TB, c io.Closer) {
	if err := c.Close(); err != nil {
		t.Error(err)
	}
}

// put makes an entity with an identifier that ends in n.
func (w *world) put(kind string, n int, mixins []string, attributes ...any) *occi.Entity {
	w.t.Helper()
	d := &occi.Draft{Kind: kind, Mixins: mixins}
	for i := 0; i < len(attributes); i += 2 {
		a := occi.DraftAttr{Name: attributes[i].(string)}
		switch v := attributes[i+1].(type) {
		case string:
			a.Value = occi.Str(v)
		case int:
			a.Value = occi.Int(int64(v))
		}
		d.Attributes = append(d.Attributes, a)
	}
	out, err := w.Put(w.ctx, engine.Caller{}, kind, ident(n), d, engine.Options{})
	if err != nil {
		w.t.Fatal(err)
	}
	w.wait(out)
	return out.Entities[0]
}

func (w *world) wait(out *engine.Outcome) {
	w.t.Helper()
	if err := w.Wait(w.ctx, out.IDs()); err != nil {
		w.t.Fatal(err)
	}
}

// settle waits until the hosts have nothing to do.
func (w *world) settle() {
	w.t.Helper()
	tasks, err := w.Unfinished(w.ctx, engine.Caller{})
	if err != nil {
		w.t.Fatal(err)
	}
	for _, task := range tasks {
		if err := w.Wait(w.ctx, []uuid.UUID{task.ID}); err != nil {
			w.t.Fatal(err)
		}
	}
}

func (w *world) start(x *occi.Entity) {
	w.t.Helper()
	out, err := w.Act(w.ctx, engine.Caller{}, []uuid.UUID{x.ID}, &occi.Draft{Action: "start"}, engine.Options{})
	if err != nil {
		w.t.Fatal(err)
	}
	w.wait(out)
}

// ident is a UUID whose first bytes, by which bridges are named, differ too.
func ident(n int) uuid.UUID {
	id := uuid.MustParse("00000000-0000-4000-8000-000000000000")
	id[0], id[15] = byte(n), byte(n)
	return id
}

// The entities of a world with two machines, each in a network of its own with the
// same range, and with the same address.
const (
	lanOne = iota + 1
	lanTwo
	machineOne
	machineTwo
	nicOne
	nicTwo
	volume
	diskOne
)

var (
	peerOne = guest.Peer{Bridge: libvirt.BridgeOf(ident(lanOne)), MAC: "02:00:00:00:00:01", Addr: netip.MustParseAddr("192.0.2.10")}
	peerTwo = guest.Peer{Bridge: libvirt.BridgeOf(ident(lanTwo)), MAC: "02:00:00:00:00:02", Addr: netip.MustParseAddr("192.0.2.10")}
)

// twins makes that world. The first machine has all that a machine can have, the
// second nothing.
func twins(t testing.TB) *world {
	t.Helper()
	w := newWorld(t)
	for i, allocation := range []string{"dynamic", "static"} {
		w.put(network, lanOne+i, []string{ipNetwork}, occi.AttrTitle, "lan", "occi.network.address", "192.0.2.0/24",
			"occi.network.gateway", "192.0.2.1", "occi.network.allocation", allocation)
	}
	w.put(storage, volume, nil, occi.AttrTitle, "data", "occi.storage.size", 1)
	one := w.put(compute, machineOne, []string{smallMachine, sshKey, userDataID, guestMixin, directBoot}, occi.AttrTitle, "Web server №1",
		"occi.credentials.ssh.publickey", "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ ann@example.com\nssh-rsa AAAAB3NzaC1yc2E\n",
		"occi.compute.userdata", "#cloud-config\npackages: [nginx]\n", "occid.guest.metadata", "role=front\ncolour=deep blue\n",
		"occid.guest.writable", "ready, title", "occid.boot.kernel", "/var/lib/libvirt/boot/secret")
	two := w.put(compute, machineTwo, nil)
	w.put(nic, nicOne, []string{ipNIC}, occi.AttrSource, "/compute/"+one.ID.String(), occi.AttrTarget, "/network/"+ident(lanOne).String(),
		"occi.networkinterface.mac", peerOne.MAC, "occi.networkinterface.address", "192.0.2.10")
	w.put(nic, nicTwo, []string{ipNIC}, occi.AttrSource, "/compute/"+two.ID.String(), occi.AttrTarget, "/network/"+ident(lanTwo).String(),
		"occi.networkinterface.mac", strings.ToUpper(peerTwo.MAC), "occi.networkinterface.address", "192.0.2.10")
	w.put(disk, diskOne, nil, occi.AttrSource, "/compute/"+one.ID.String(), occi.AttrTarget, "/storage/"+ident(volume).String())
	w.start(one)
	w.start(two)
	return w
}

// ask asks as a peer. The arguments after the path are lines of the header, and
// after an empty one the body.
func (w *world) ask(p guest.Peer, method, path string, rest ...string) *http.Response {
	w.t.Helper()
	var header []string
	body := ""
	for i, line := range rest {
		if line == "" {
			body = strings.Join(rest[i+1:], "\n")
			break
		}
		header = append(header, line)
	}
	r := httptest.NewRequest(method, "http://169.254.169.254"+path, strings.NewReader(body))
	for _, h := range header {
		name, value, _ := strings.Cut(h, ": ")
		r.Header.Add(name, value)
	}
	rec := httptest.NewRecorder()
	w.handler.Answer(rec, r, p)
	return rec.Result()
}

func (w *world) text(p guest.Peer, method, path string, rest ...string) (int, string) {
	w.t.Helper()
	resp := w.ask(p, method, path, rest...)
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

// change gives a machine mixins and attributes.
func (w *world) change(n int, mixins []string, attributes ...string) error {
	d := &occi.Draft{Mixins: mixins}
	for i := 0; i < len(attributes); i += 2 {
		d.Attributes = append(d.Attributes, occi.DraftAttr{Name: attributes[i], Value: occi.Str(attributes[i+1])})
	}
	_, err := w.Update(w.ctx, engine.Caller{}, ident(n), d, engine.Options{})
	return err
}
