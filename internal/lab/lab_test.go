package lab_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"libvirt.org/go/libvirt"
	"libvirt.org/go/libvirtxml"

	"github.com/occid/occid/internal/lab"
)

// roleEnv makes the test binary another program.
const roleEnv = "OCCID_LAB_TEST_ROLE"

func TestMain(m *testing.M) {
	switch os.Getenv(roleEnv) {
	case "owner":
		own()
	case "server":
		serve()
	default:
		os.Exit(m.Run())
	}
}

// own makes a host and a server, says where they are and waits for the end of
// standard input.
func own() {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	h, err := lab.NewHost(ctx, lab.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	os.Setenv(roleEnv, "server")
	s, err := lab.StartServer(ctx, lab.ServerOptions{Binary: os.Args[0], Dir: "data", Hosts: []*lab.Host{h}})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(h.Path(""), s.URL)
	io.Copy(io.Discard, os.Stdin)
}

// need skips a test that this machine cannot run, and bounds one that it can.
func need(t *testing.T) context.Context {
	t.Helper()
	if err := lab.Available(); err != nil {
		t.Skip(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// long leaves a test out of short runs, and says why.
func long(t *testing.T, why string) {
	t.Helper()
	if testing.Short() {
		t.Skip(why + "; make lab-test runs it")
	}
}

func newHost(ctx context.Context, t *testing.T) *lab.Host { return makeHost(ctx, t, lab.Options{}) }

// twoHosts makes hosts that reach each other.
func twoHosts(ctx context.Context, t *testing.T) (a, b *lab.Host) {
	t.Helper()
	a = makeHost(ctx, t, lab.Options{Name: "a", Address: netip.MustParsePrefix("203.0.113.1/30")})
	b = makeHost(ctx, t, lab.Options{Name: "b", Address: netip.MustParsePrefix("203.0.113.2/30")})
	if err := lab.Join(ctx, a, b); err != nil {
		t.Fatal(err)
	}
	return a, b
}

func makeHost(ctx context.Context, t *testing.T, o lab.Options) *lab.Host {
	t.Helper()
	h, err := lab.NewHost(ctx, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := h.Close(); err != nil {
			t.Error(err)
		}
	})
	// Calls of libvirt have no bounds: those that hang end with the host.
	stop := context.AfterFunc(ctx, func() {
		if errors.Is(ctx.Err(), context.DeadlineExceeded) {
			h.Close()
		}
	})
	t.Cleanup(func() { stop() })
	return h
}

// TestGuest takes a guest through its life.
func TestGuest(t *testing.T) {
	t.Parallel()
	ctx := need(t)
	h := newHost(ctx, t)
	m := boot(ctx, t, h)

	if err := errors.Join(m.Suspend(), m.Resume()); err != nil {
		t.Fatal(err)
	}
	n := m.network(t, "net")
	m.attach(t, &libvirtxml.DomainInterface{
		MAC: &libvirtxml.DomainInterfaceMAC{Address: "02:00:00:00:00:01"}, Model: &libvirtxml.DomainInterfaceModel{Type: "virtio"},
		Source: &libvirtxml.DomainInterfaceSource{Network: &libvirtxml.DomainInterfaceSourceNetwork{Network: "net"}},
	})
	m.says(ctx, t, lab.GuestInterface+"eth0, 02:00:00:00:00:01")
	v := m.volume(t, "disk.qcow2")
	m.attach(t, &libvirtxml.DomainDisk{
		Driver: &libvirtxml.DomainDiskDriver{Name: "qemu", Type: "qcow2"}, Target: &libvirtxml.DomainDiskTarget{Dev: "vda", Bus: "virtio"},
		Source: &libvirtxml.DomainDiskSource{Volume: &libvirtxml.DomainDiskSourceVolume{Pool: "pool", Volume: "disk.qcow2"}},
	})
	m.says(ctx, t, lab.GuestDisk+"vda, 131072 sectors")

	if err := m.ShutdownFlags(libvirt.DOMAIN_SHUTDOWN_ACPI_POWER_BTN); err != nil {
		t.Fatal(err)
	}
	m.says(ctx, t, lab.GuestDown)

	short, cancel := context.WithCancel(ctx)
	cancel()
	err := h.Empty(short)
	for _, thing := range []string{"domain ", "interface virbr0", "network net", "process dnsmasq", "volume disk.qcow2"} {
		if err == nil || !strings.Contains(err.Error(), thing) {
			t.Errorf("Empty = %v, want it to name %q", err, thing)
		}
	}
	m.awaitEnd(ctx, t)
	if err := errors.Join(m.Undefine(), n.Destroy(), n.Undefine(), v.Delete(0)); err != nil {
		t.Fatal(err)
	}
	if err := h.Empty(ctx); err != nil {
		t.Error(err)
	}
}

// TestHostsInParallel has hosts that do not see each other.
func TestHostsInParallel(t *testing.T) {
	t.Parallel()
	ctx := need(t)
	hosts := make([]*lab.Host, 2)
	errs := make([]error, len(hosts))
	var made sync.WaitGroup
	for i := range hosts {
		made.Go(func() { hosts[i], errs[i] = lab.NewHost(ctx, lab.Options{Name: fmt.Sprint("host", i)}) })
	}
	made.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	for i, h := range hosts {
		out, err := h.Run(ctx, "sh", "-c", "hostname; ls /run/mine 2>/dev/null; touch /run/mine; ip link add mine type bridge")
		if err != nil {
			t.Error(err)
		}
		if diff := cmp.Diff(fmt.Sprintf("host%d\n", i), string(out)); diff != "" {
			t.Errorf("Run says (-want +got):\n%s", diff)
		}
	}
	for _, h := range hosts {
		if err := errors.Join(h.Close(), h.Close()); err != nil {
			t.Error(err)
		}
	}
}

// TestClose ends a host in the middle of everything.
func TestClose(t *testing.T) {
	t.Parallel()
	ctx := need(t)
	h := newHost(ctx, t)
	m := boot(ctx, t, h)
	m.network(t, "net")
	network := namespace(t, h.Path("/proc/1/ns/net"))
	if got := members(t, network); len(got) < 4 {
		t.Fatalf("processes of the host are %v, want its first one, virtlogd, libvirtd, QEMU and more", got)
	}
	if err := h.Close(); err != nil {
		t.Error(err)
	}
	left(t, network)
}

// TestOwnerKilled kills the process that made a host and a server.
func TestOwnerKilled(t *testing.T) {
	t.Parallel()
	ctx := need(t)
	owner := exec.CommandContext(ctx, os.Args[0])
	owner.Env = append(os.Environ(), roleEnv+"=owner")
	stdin, err := owner.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	defer stdin.Close()
	stdout, err := owner.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := owner.Start(); err != nil {
		t.Fatal(err)
	}
	line, _ := bufio.NewReader(stdout).ReadString('\n')
	root, url, ok := strings.Cut(strings.TrimSpace(line), " ")
	if !ok {
		t.Fatalf("the owner says %q", line)
	}
	network := namespace(t, filepath.Join(root, "proc/1/ns/net"))
	first, server := filepath.Base(filepath.Dir(root)), body(ctx, t, url+"/pid")
	if err := owner.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := owner.Wait(); err == nil {
		t.Error("the owner was killed but ended well")
	}
	for _, pid := range []string{first, server} {
		// tail ends when the process has.
		if out, err := exec.CommandContext(ctx, "tail", "--follow", "--pid="+pid, os.DevNull).CombinedOutput(); err != nil {
			t.Fatalf("process %s did not end: %v: %s", pid, err, out)
		}
	}
	left(t, network)
}

// TestNewHostFails leaves nothing of a host that could not be made.
func TestNewHostFails(t *testing.T) {
	ctx := need(t)
	cancelled, cancel := context.WithCancel(ctx)
	cancel()
	if _, err := lab.NewHost(cancelled, lab.Options{}); !errors.Is(err, context.Canceled) {
		t.Errorf("NewHost = %v, want %v", err, context.Canceled)
	}
	broken := t.TempDir()
	script := "#!/bin/sh\necho the disk is full >&2\nexit 1\n"
	if err := os.WriteFile(filepath.Join(broken, "libvirtd"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", broken+":"+os.Getenv("PATH"))
	_, err := lab.NewHost(ctx, lab.Options{Name: "broken"})
	if err == nil || !strings.Contains(err.Error(), "broken") || !strings.Contains(err.Error(), "the disk is full") {
		t.Errorf("NewHost = %v, want it to name the host and the complaint of libvirtd", err)
	}
}

func TestRunFails(t *testing.T) {
	t.Parallel()
	ctx := need(t)
	h := newHost(ctx, t)
	_, err := h.Run(ctx, "ip", "link", "show", "nothing")
	if err == nil || !strings.Contains(err.Error(), `Device "nothing" does not exist.`) {
		t.Errorf("Run = %v, want it to end with what the command says", err)
	}
	if _, err := h.Console("8e0b8a5f-0000-4000-8000-000000000000"); err == nil {
		t.Error("Console of no domain succeeds")
	}
}

func TestBuildGuestOnce(t *testing.T) {
	t.Parallel()
	need(t)
	dir := filepath.Join(t.TempDir(), "guests")
	var infos []os.FileInfo
	for range 2 {
		g, err := lab.BuildGuest(dir)
		if err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(g.Initrd)
		if err != nil {
			t.Fatal(err)
		}
		infos = append(infos, info)
	}
	if !os.SameFile(infos[0], infos[1]) {
		t.Error("the same guest was built twice")
	}
	if files, err := os.ReadDir(dir); err != nil || len(files) != 1 {
		t.Errorf("files are %v, %v, want one guest", files, err)
	}
}

// namespace names the network namespace behind a link in a process directory.
func namespace(t *testing.T, link string) string {
	t.Helper()
	name, err := os.Readlink(link)
	if err != nil {
		t.Fatal(err)
	}
	return name
}

// members lists the processes of this machine that are in a network namespace.
func members(t *testing.T, network string) []string {
	t.Helper()
	links, err := filepath.Glob("/proc/[0-9]*/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	var in []string
	for _, l := range links {
		if name, err := os.Readlink(l); err == nil && name == network {
			in = append(in, l)
		}
	}
	return in
}

// left complains about what outlives a host.
func left(t *testing.T, network string) {
	t.Helper()
	if in := members(t, network); len(in) > 0 {
		t.Errorf("processes left of the host: %v", in)
	}
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil || strings.Contains(string(mounts), "lab /") {
		t.Errorf("mounts left of the host: %v\n%s", err, mounts)
	}
	interfaces, err := net.Interfaces()
	if err != nil {
		t.Error(err)
	}
	for _, i := range interfaces {
		if strings.HasPrefix(i.Name, "virbr") || strings.HasPrefix(i.Name, "vnet") {
			t.Errorf("interface left of the host: %s", i.Name)
		}
	}
}
