package guest_test

import (
	"bufio"
	"context"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/occid/occid/hypervisor/libvirt"
	"github.com/occid/occid/internal/guest"
)

// inNamespace marks a process whose network is the test's own.
const inNamespace = "OCCID_TEST_IN_NAMESPACE"

// TestBridges has guests ask over real bridges, in a network namespace of its own.
func TestBridges(t *testing.T) {
	t.Parallel()
	if os.Getenv(inNamespace) == "" {
		if os.Geteuid() != 0 {
			t.Skip("network namespaces need root")
		}
		cmd := exec.CommandContext(t.Context(), "unshare", "--net", os.Args[0], "-test.run=^TestBridges$", "-test.timeout=2m")
		cmd.Env = append(os.Environ(), inNamespace+"=1")
		cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		return
	}
	w := twins(t)
	n := &wires{t: t}
	n.run("ip", "link", "set", "lo", "up")
	one, two := n.guest(peerOne.Bridge, peerOne.MAC), n.guest(peerTwo.Bridge, peerTwo.MAC)

	direct := n.listen(w.handler)
	for round, name := range []string{"", "a bridge that came again"} {
		if round > 0 {
			n.run("ip", "link", "del", peerOne.Bridge)
			one = n.guest(peerOne.Bridge, peerOne.MAC)
			direct.opened(peerOne.Bridge)
		}
		for _, url := range []string{"http://169.254.169.254", "http://[fe80::a9fe:a9fe%25eth0]", "http://[fd00:ec2::254]"} {
			one.gets(url+"/latest/meta-data/instance-id", "200", ident(machineOne).String())
			two.gets(url+"/latest/meta-data/instance-id", "200", ident(machineTwo).String())
		}
		if t.Failed() {
			t.Fatal(name)
		}
	}
	one.forges()
	// Nobody who is killed leaves it for ever.
	if has := n.routed(); !strings.Contains(has, "valid_lft") || strings.Contains(has, "forever") {
		t.Errorf("the host has the address as %q", has)
	}
	direct.stop()
	if left := n.routed(); left != "" {
		t.Errorf("the host keeps the address: %s", left)
	}
	const address = "fd00:ec2::254/128"
	n.run("ip", "address", "add", address, "dev", "lo")
	n.listen(w.handler).stop()
	if has := n.routed(); !strings.Contains(has, "forever") {
		t.Errorf("the operator's own address is now %q", has)
	}
	n.run("ip", "address", "del", address, "dev", "lo")
	n.run("ip", "address", "add", address, "dev", "lo", "preferred_lft", "0", "valid_lft", "60") // somebody was killed

	// The same guests, through a proxy.
	served := make(chan error, 1)
	local, err := listenUnix(filepath.Join(t.TempDir(), "s"))
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := newStop(t)
	go func() {
		served <- guest.Serve(ctx, local, &guest.Gate{Answerer: w.handler, Key: key, Logger: quiet()}, quiet())
	}()
	proxy, err := guest.NewProxy("unix:"+local.Addr().String(), key, quiet())
	if err != nil {
		t.Fatal(err)
	}
	far := n.listen(proxy)
	one.gets("http://169.254.169.254/latest/meta-data/instance-id", "200", ident(machineOne).String())
	two.gets("http://169.254.169.254/latest/meta-data/instance-id", "200", ident(machineTwo).String())
	one.gets("http://169.254.169.254/.json", "200", "Web server")
	one.forges()
	far.stop()
	if left := n.routed(); left != "" {
		t.Errorf("the host keeps the address that was left: %s", left)
	}
	stop()
	if err := <-served; err != nil {
		t.Error(err)
	}
}

// wires are bridges with guests.
type wires struct {
	t *testing.T
	n int
}

func (n *wires) run(command ...string) string {
	n.t.Helper()
	out, err := exec.CommandContext(n.t.Context(), command[0], command[1:]...).CombinedOutput()
	if err != nil {
		n.t.Fatalf("%q: %v\n%s", command, err, out)
	}
	return string(out)
}

// routed tells how the host has the address that guests have a route to.
func (n *wires) routed() string {
	n.t.Helper()
	return n.run("ip", "address", "show", "to", "fd00:ec2::254")
}

// wired is a guest: a network namespace with one interface, at 192.0.2.10.
type wired struct {
	n   *wires
	pid string
}

// guest makes a bridge with a guest.
func (n *wires) guest(bridge, mac string) *wired {
	n.t.Helper()
	n.n++
	cmd := exec.CommandContext(n.t.Context(), "unshare", "--net", "sh", "-c", "echo ready; exec sleep 1000")
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := cmd.StdoutPipe()
	if err != nil {
		n.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		n.t.Fatal(err)
	}
	n.t.Cleanup(func() { _, _ = cmd.Process.Kill(), cmd.Wait() })
	if _, err := bufio.NewReader(out).ReadString('\n'); err != nil {
		n.t.Fatal(err)
	}
	g := &wired{n: n, pid: strconv.Itoa(cmd.Process.Pid)}
	tap := "tap" + strconv.Itoa(n.n)
	n.run("ip", "link", "add", bridge, "type", "bridge")
	n.run("ip", "link", "set", bridge, "up")
	for _, address := range []string{"192.0.2.1/24", "169.254.169.254/32"} {
		n.run("ip", "address", "add", address, "dev", bridge)
	}
	n.run("ip", "address", "add", "fe80::a9fe:a9fe/64", "dev", bridge, "nodad")
	n.run("ip", "link", "add", tap, "type", "veth", "peer", "name", "eth0", "address", mac, "netns", g.pid)
	n.run("ip", "link", "set", tap, "master", bridge, "up")
	g.run("sysctl", "-qw", "net.ipv6.conf.eth0.accept_dad=0")
	g.run("ip", "address", "add", "192.0.2.10/24", "dev", "eth0")
	g.run("ip", "address", "add", "192.0.2.11/24", "dev", "eth0")
	g.run("ip", "link", "set", "eth0", "up")
	g.run("ip", "route", "add", "169.254.169.254", "dev", "eth0", "src", "192.0.2.10")
	g.run("ip", "route", "add", "fd00:ec2::254", "via", "fe80::a9fe:a9fe", "dev", "eth0")
	return g
}

func (g *wired) run(command ...string) string {
	g.n.t.Helper()
	return g.n.run(append([]string{"nsenter", "--net=/proc/" + g.pid + "/ns/net", "--"}, command...)...)
}

// gets asks with curl. The arguments after what is expected are curl's.
func (g *wired) gets(url, status, holds string, more ...string) {
	g.n.t.Helper()
	out := g.run(append([]string{"curl", "--silent", "--globoff", "--retry", "10", "--retry-delay", "1", "--retry-connrefused", "--max-time", "30", "--write-out", "\n%{http_code}", url}, more...)...)
	if !strings.HasSuffix(out, "\n"+status) || !strings.Contains(out, holds) {
		g.n.t.Errorf("%s %q: %s, want %s with %q", url, more, out, status, holds)
	}
}

// forges asks from an address that is none of the guest's.
func (g *wired) forges() {
	g.n.t.Helper()
	g.gets("http://169.254.169.254/", "403", "192.0.2.11", "--interface", "192.0.2.11")
}

// listening are bridges that are listened to.
type listening struct {
	t    *testing.T
	open chan string
	stop func()
}

// listen answers guests on all bridges, and returns once it does.
func (n *wires) listen(a guest.Answerer) *listening {
	n.t.Helper()
	ctx, cancel := context.WithCancel(n.t.Context())
	l := &listening{t: n.t, open: make(chan string, 16)}
	done := make(chan struct{})
	b := &guest.Bridges{Answerer: a, Serves: libvirt.IsBridge, Logger: quiet(),
		Opened: func(name string, at netip.AddrPort) { l.open <- fmt.Sprint(name, " ", at) }}
	go func() { b.Run(ctx); close(done) }()
	l.stop = func() { cancel(); <-done }
	n.t.Cleanup(l.stop)
	for range 2 * len(guest.Addresses) {
		l.next()
	}
	return l
}

func (l *listening) next() string {
	l.t.Helper()
	select {
	case name := <-l.open:
		return name
	case <-time.After(time.Minute):
		l.t.Fatal("a bridge is not listened to")
		return ""
	}
}

// opened waits until a bridge is listened to at all addresses.
func (l *listening) opened(bridge string) {
	l.t.Helper()
	for range guest.Addresses {
		if got := l.next(); !strings.HasPrefix(got, bridge) {
			l.t.Fatalf("%s is listened to, not %s", got, bridge)
		}
	}
}
