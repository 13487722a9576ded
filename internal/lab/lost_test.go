package lab_test

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/occid/occid/internal/lab"
)

const restartElsewhere = "http://schemas.occid.org/occi/placement#restart_elsewhere"

// fencing ends what the machines of a host consist of, as the loss of its power would,
// once there is a file "power" beside it. Which host that is it learns as operators'
// commands do. What it was asked for is in the file "asked".
const fencing = `#!/bin/sh
cd "$(dirname "$0")"
echo "$OCCID_HOST_URI" >>asked
[ -e power ] || { echo the power switch is away; exit 1; }
first=${OCCID_HOST_URI#*socket=/proc/}
network=$(readlink "/proc/${first%%/*}/ns/net")
for process in /proc/[0-9]*; do
	[ "$(readlink "$process/ns/net")" = "$network" ] || continue
	case $(readlink "$process/exe") in
	*/qemu-system-* | */dnsmasq)
		kill -KILL "${process#/proc/}"
		n=0
		while readlink "$process/exe" && [ $n -lt 100 ]; do n=$((n + 1)); sleep 0.05; done
		[ ! -e "$process/exe" ] || ! readlink "$process/exe" || exit 1
		;;
	esac
done
exit 0
`

// fence is a command that fences hosts and fails at first.
type fence struct{ dir string }

func newFence(t *testing.T) fence {
	t.Helper()
	f := fence{t.TempDir()}
	if err := os.WriteFile(f.command(), []byte(fencing), 0o755); err != nil {
		t.Fatal(err)
	}
	return f
}

func (f fence) command() string { return filepath.Join(f.dir, "fence") }

// power has it succeed from now on.
func (f fence) power() error { return os.WriteFile(filepath.Join(f.dir, "power"), nil, 0o644) }

// asked lists the hosts that it was run for.
func (f fence) asked() []string {
	text, _ := os.ReadFile(filepath.Join(f.dir, "asked"))
	return strings.Fields(string(text))
}

// emulators lists the processes that run a machine, on whatever host.
func emulators(id string) (out []string) {
	processes, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, p := range processes {
		line, err := os.ReadFile(p)
		if err != nil {
			continue // it has ended
		}
		words := strings.Split(string(line), "\x00")
		i := slices.Index(words, "-uuid")
		if i > 0 && words[i+1] == id && strings.Contains(words[0], "qemu-system") {
			out = append(out, filepath.Dir(p))
		}
	}
	return out
}

// on tells which of the processes are a host's.
func on(h *lab.Host, processes []string) (out []string) {
	network, _ := os.Readlink(h.Path("/proc/1/ns/net"))
	for _, p := range processes {
		if name, err := os.Readlink(filepath.Join(p, "ns/net")); err == nil && name == network {
			out = append(out, p)
		}
	}
	return out
}

// neverTwice looks all the time at how many processes run a machine, until the function
// that it gives is called, which complains if they ever were more than one.
func neverTwice(ctx context.Context, t *testing.T, id string) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	var done sync.WaitGroup
	looks, most := 0, []string{}
	done.Go(func() {
		tick := time.NewTicker(10 * time.Millisecond)
		defer tick.Stop()
		for {
			if now := emulators(id); len(now) > len(most) {
				most = now
			}
			looks++
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
		}
	})
	return sync.OnceFunc(func() {
		cancel()
		done.Wait()
		if len(most) > 1 {
			t.Errorf("%v ran one machine at a time", most)
		}
		t.Logf("there was never more than one copy in %d looks", looks)
	})
}

// lose takes a host off the network and ends its libvirtd. Its machines run on.
func (f *fleet) lose(h *lab.Host) {
	f.t.Helper()
	if _, err := h.Run(f.ctx, "sh", "-c", "ip link set wire0 down && kill -KILL $(cat /run/libvirtd.pid)"); err != nil {
		f.t.Fatal(err)
	}
}

// back undoes that.
func (f *fleet) back(h *lab.Host) {
	f.t.Helper()
	if _, err := h.Run(f.ctx, "sh", "-c", "ip link set wire0 up && libvirtd -d"); err != nil {
		f.t.Fatal(err)
	}
}

// until waits for something to hold.
func (f *fleet) until(holds func() bool) {
	f.t.Helper()
	for !holds() {
		f.pause()
	}
}

// TestLostHost loses a host whose machines run on. Nothing is started elsewhere while it
// cannot be fenced. Then its machine is on the other host, with its addresses, and never
// on both; what the host has of it when it is back is removed.
func TestLostHost(t *testing.T) {
	long(t, "it waits for a host to be given up")
	t.Parallel()
	fence := newFence(t)
	ctx := need(t)
	one, two := twoHosts(ctx, t)
	shared := share(ctx, t, one, two)
	f, _ := fleetOn(ctx, t, one, two, "--fence-command", fence.command(), "--fence-after", "10s", "--pools", "shared=dir:"+sharedDir+",shared")
	wire := f.lan()
	disk, own := f.diskIn("shared", wire), f.disk(wire)
	moves, stays := f.machine(disk, wire, alive, restartElsewhere), f.machine(own, "", alive, restartElsewhere)
	id := path(moves)[len("/compute/"):]
	for _, m := range []string{moves, stays} {
		f.act(m, "start", "active")
	}
	now := f.ticks(moves, tick{})
	first, second := f.at(moves)
	if here, _ := f.at(stays); here != first {
		t.Fatalf("one machine is on %s, the other on %s", first, here)
	}
	a, b := f.hosts[first], f.hosts[second]
	address := f.addressOf(moves)
	stop := neverTwice(f.ctx, t, id)
	defer stop()

	f.lose(a)
	f.until(func() bool { return strings.Contains(f.get(moves).message(), "fencing that failed") })
	for m, x := range map[string]entity{moves: f.get(moves), stays: f.get(stays)} {
		if x.state() != "error" || !strings.HasPrefix(x.message(), "its host is lost") {
			t.Errorf("while it is lost %s is %v", m, x.Attributes)
		}
	}
	if m, want := f.get(stays).message(), path(own)+" is in the pool occid, which no other host shares"; !strings.Contains(m, want) {
		t.Errorf("what stays says %q, want %q", m, want)
	}
	f.until(func() bool {
		text, _ := f.get(first).Attributes["occid.host.state.message"].(string)
		return f.get(first).Attributes["occid.host.state"] == "down" && strings.Contains(text, "fencing it failed") && strings.Contains(text, "the power switch is away")
	})
	if on := on(a, emulators(id)); len(on) != 1 {
		t.Errorf("on the lost host it is run by %v", on)
	}
	f.has(b, "list --all --uuid", "")
	if at := f.shownAt(moves); at != first {
		t.Errorf("without fencing it is shown to be on %s", at)
	}

	if err := fence.power(); err != nil {
		t.Fatal(err)
	}
	f.until(func() bool { return f.get(moves).state() == "active" })
	if all, there := emulators(id), on(b, emulators(id)); len(all) != 1 || len(there) != 1 {
		t.Errorf("it is run by %v, on the other host by %v", all, there)
	}
	if asked := fence.asked(); len(asked) < 2 || slices.ContainsFunc(asked, func(uri string) bool { return uri != a.URI }) {
		t.Errorf("hosts fenced were %v", asked)
	}
	now = f.booted(moves, now)
	if got := f.addressOf(moves); got != address {
		t.Errorf("its address is %s, and was %s", got, address)
	}
	f.says(b, id, "guest: address eth0 "+address+"/24")
	f.says(b, id, "guest: began with kept")
	if at := f.shownAt(disk); at != second {
		t.Errorf("its disk is shown to be on %s", at)
	}
	if x := f.get(stays); x.state() != "error" || f.shownAt(stays) != first {
		t.Errorf("what stays is %v", x.Attributes)
	}

	f.back(a)
	f.until(func() bool { return f.get(first).Attributes["occid.host.state"] == "up" })
	f.has(a, "list --all --uuid", uuidOf(stays))
	f.has(a, "net-list --all --name", "occid-metadata") // which every host has
	f.left(a, uuidOf(stays), uuid.NewSHA1(uuid.MustParse(uuidOf(stays)), []byte("seed")).String(), uuidOf(own))
	f.holds(shared, uuidOf(disk)+".qcow2")
	f.until(func() bool { return f.get(stays).state() == "inactive" })
	if x := f.get(first); x.Attributes["occid.host.fenced"] != nil || x.Attributes["occid.host.moved"] != nil || fmt.Sprint(x.Attributes["occid.host.computes"]) != "1" {
		t.Errorf("the host that is back is %v", x.Attributes)
	}
	if here, _ := f.at(moves); here != second {
		t.Errorf("it is on %s", here)
	}
	f.ticks(moves, now)
	stop()
	for _, x := range []string{moves, stays, wire, disk, own} {
		f.send(http.MethodDelete, x, nil)
	}
	f.holds(shared)
	if out, err := a.Run(ctx, "virsh", "-q", "-c", "qemu:///system", "pool-refresh", "shared"); err != nil {
		t.Errorf("%v: %s", err, out)
	}
	for _, h := range []*lab.Host{a, b} {
		if err := h.Empty(f.ctx); err != nil {
			t.Error(err)
		}
	}
}

// sharedDir is where hosts have a directory that is one place.
const sharedDir = "/var/lib/libvirt/shared"

// share gives hosts a directory that is one place, and its name outside them.
func share(ctx context.Context, t *testing.T, hosts ...*lab.Host) string {
	t.Helper()
	dir := t.TempDir()
	for _, h := range hosts {
		if _, err := h.Run(ctx, "sh", "-c", "mkdir "+sharedDir+" && mount --bind "+dir+" "+sharedDir); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// holds checks which files a directory has.
func (f *fleet) holds(dir string, want ...string) {
	f.t.Helper()
	files, err := os.ReadDir(dir)
	var got []string
	for _, x := range files {
		got = append(got, x.Name())
	}
	if err != nil || !slices.Equal(got, want) {
		f.t.Errorf("%s holds %q, %v; want %q", dir, got, err, want)
	}
}

// alive has a guest say what its disk begins with, write to that for good, and then say
// what ticking does.
const alive = `exec >/dev/console
until [ -b /dev/vda ]; do usleep 50000; done
echo "guest: began with $(head -c 4 /dev/vda | tr -d '\0')"
echo kept | dd of=/dev/vda conv=fsync 2>/dev/null
while sleep 0.3; do
echo 3 >/proc/sys/vm/drop_caches
[ "$(head -c 4 /dev/vda)" = kept ] && disk=same || disk=other
echo "guest: tick $(cut -d. -f1 /proc/uptime) $disk $(timeout 3 wget -q -O - http://169.254.169.254/latest/meta-data/instance-id)"
done`

// booted waits until a machine that was started again says so on its console.
func (f *fleet) booted(machine string, before tick) tick {
	f.t.Helper()
	now := f.ticks(machine, tick{})
	if now.up >= before.up+10 {
		f.t.Errorf("it is up for %d s, and was for %d s before", now.up, before.up)
	}
	return now
}

// addressOf gives the address of a machine's only interface.
func (f *fleet) addressOf(machine string) string {
	f.t.Helper()
	for _, l := range f.get(machine).Links {
		if a, ok := l.Attributes["occi.networkinterface.address"].(string); ok {
			return a
		}
	}
	f.t.Fatalf("%s has no address", machine)
	return ""
}

// says waits until a machine has said something on its console.
func (f *fleet) says(h *lab.Host, id, text string) {
	f.t.Helper()
	console, err := h.Console(id)
	if err != nil {
		f.t.Fatal(err)
	}
	defer console.Close()
	if _, err := console.Wait(f.ctx, text); err != nil {
		f.t.Fatal(err)
	}
}

// has checks what the host's libvirt lists.
func (f *fleet) has(h *lab.Host, list, want string) {
	f.t.Helper()
	out, err := h.Run(f.ctx, append([]string{"virsh", "-q", "-c", "qemu:///system"}, strings.Fields(list)...)...)
	if got := strings.TrimSpace(string(out)); err != nil || got != want {
		f.t.Errorf("the host has %q, %v; want %q", got, err, want)
	}
}

// left checks that a host has no volumes and console logs but those of what has a UUID.
func (f *fleet) left(h *lab.Host, ids ...string) {
	f.t.Helper()
	for _, dir := range []string{pool, lab.ConsoleDir + "/"} {
		files, err := os.ReadDir(h.Path(dir))
		if err != nil {
			f.t.Error(err)
		}
		for _, x := range files {
			if !slices.ContainsFunc(ids, func(id string) bool { return strings.HasPrefix(x.Name(), id) }) {
				f.t.Errorf("%s of the host has %s", dir, x.Name())
			}
		}
	}
}
