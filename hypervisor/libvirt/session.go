package libvirt

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/google/uuid"
	"libvirt.org/go/libvirt"
	"libvirt.org/go/libvirtxml"

	"github.com/occid/occid/hypervisor"
)

// Keepalive: a host that is silent for this many intervals is lost.
const (
	keepAliveSeconds = 5
	keepAliveCount   = 3
)

// session is an open connection with what was learned of its host.
type session struct {
	cfg *Config
	// more are the pools that volumes can be in beside those of cfg.
	more *atomic.Pointer[[]Pool]
	hub  *hub
	// nets keeps changes of a network apart, by its UUID, those by calls about a domain
	// too. Only calls under way hold a lock of it, one at a time.
	nets *locks
	conn *libvirt.Connect
	kind string // of the host, "QEMU" or "TEST"
	// simulated is set on libvirt's test host, which answers some calls in its
	// own way.
	simulated bool
	arch      string              // the host's own
	hostID    uuid.UUID           // nil if it tells none
	cpus      uint                // of the host
	types     map[string][]string // domain types by the guest's architecture
	filters   bool                // it has network filters

	callbacks []int
	gone      chan struct{}
	lose      func() // closes gone, once

	mu      sync.Mutex
	users   int // calls under way
	closing bool
}

// dial opens a connection. It may hang as long as the host does.
func dial(c *Config, more *atomic.Pointer[[]Pool], h *hub, nets *locks) (*session, error) {
	conn, err := libvirt.NewConnect(c.URI)
	if err != nil {
		return nil, err
	}
	gone, lose := closeOnce()
	s := &session{cfg: c, more: more, hub: h, nets: nets, conn: conn, gone: gone, lose: lose}
	if err := s.prepare(); err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

func (s *session) prepare() error {
	if err := s.conn.SetKeepAlive(keepAliveSeconds, keepAliveCount); err != nil && !unsupported(err) {
		return err
	}
	if err := s.conn.RegisterCloseCallback(func(*libvirt.Connect, libvirt.ConnectCloseReason) { s.lose() }); err != nil && !unsupported(err) {
		return err
	}
	if err := s.listen(); err != nil {
		return err
	}
	var err error
	if s.kind, err = s.conn.GetType(); err != nil {
		return err
	}
	s.simulated = s.kind == "TEST"
	if err := s.learn(); err != nil {
		return err
	}
	return s.learnFilters()
}

// learn reads what kinds of guests the host runs.
func (s *session) learn() error {
	doc, err := s.conn.GetCapabilities()
	if err != nil {
		return err
	}
	var caps libvirtxml.Caps
	if err := caps.Unmarshal(doc); err != nil {
		return fmt.Errorf("the host's capabilities: %w", err)
	}
	if caps.Host.CPU != nil {
		s.arch = caps.Host.CPU.Arch
	}
	// A host without one has none to tell.
	s.hostID, _ = uuid.Parse(caps.Host.UUID)
	node, err := s.conn.GetNodeInfo()
	if err != nil {
		return err
	}
	s.cpus = node.Cpus
	s.types = map[string][]string{}
	for _, g := range caps.Guests {
		if g.OSType != "hvm" {
			continue
		}
		for _, d := range g.Arch.Domains {
			s.types[g.Arch.Name] = append(s.types[g.Arch.Name], d.Type)
		}
	}
	return nil
}

// lost is closed when the connection has ended by itself.
func (s *session) lost() <-chan struct{} { return s.gone }

// close gives the connection back. Calls that still hold it keep it open until
// they end.
func (s *session) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closing = true
	if s.users == 0 {
		s.end()
	}
}

// hold keeps the connection open until release.
func (s *session) hold() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closing {
		return fmt.Errorf("%w: the connection was lost", hypervisor.ErrUnavailable)
	}
	s.users++
	return nil
}

func (s *session) release() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.users--; s.users == 0 && s.closing {
		s.end()
	}
}

// end ends the connection; nobody uses it any more. It reports whether no object
// of libvirt refers to it; one that does keeps it open.
func (s *session) end() bool {
	for _, id := range s.callbacks {
		// It fails on a connection that is dead, where nothing is left to end.
		_ = s.conn.DomainEventDeregister(id)
	}
	_ = s.conn.UnregisterCloseCallback()
	left, err := s.conn.Close()
	return err == nil && left == 0
}

// check finds out whether the connection still lives.
func (s *session) check() {
	if alive, err := s.conn.IsAlive(); err != nil || !alive {
		s.lose()
	}
}

// change makes one libvirt call that changes the host, unless ctx has ended.
func (s *session) change(ctx context.Context, op string, f func() error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if trace := s.cfg.Trace; trace != nil {
		trace(op, false)
		defer trace(op, true)
	}
	_, end := s.cfg.Observer.Change(ctx, op)
	err := f()
	end(err)
	return err
}

// info describes the host.
func (s *session) info() (hypervisor.Info, error) {
	node, err := s.conn.GetNodeInfo()
	if err != nil {
		return hypervisor.Info{}, err
	}
	name, err := s.conn.GetHostname()
	if err != nil {
		return hypervisor.Info{}, err
	}
	version, err := s.conn.GetVersion()
	if err != nil {
		return hypervisor.Info{}, err
	}
	manager, err := s.conn.GetLibVersion()
	if err != nil {
		return hypervisor.Info{}, err
	}
	return hypervisor.Info{
		Hostname: name, Hypervisor: s.kind, Version: dotted(version), ManagerVersion: dotted(manager), Arch: s.arch, ID: s.hostID,
		CPUs: int(node.Cpus), MemoryBytes: int64(node.Memory) * kib, Filters: s.filters, Simulated: s.simulated,
	}, nil
}

// dotted spells a version as libvirt counts it: a million for the major one, a
// thousand for the minor one.
func dotted(v uint32) string {
	return fmt.Sprintf("%d.%d.%d", v/1_000_000, v/1000%1000, v%1000)
}

// domainType chooses what runs a guest of an architecture.
func (s *session) domainType(arch string) (string, error) {
	if s.simulated {
		return "test", nil
	}
	want := []string{"kvm", "qemu"}
	switch s.cfg.Acceleration {
	case Auto:
	case KVM, QEMU:
		want = []string{string(s.cfg.Acceleration)}
	default:
		return "", fmt.Errorf("%w: no acceleration is called %q", hypervisor.ErrInvalid, s.cfg.Acceleration)
	}
	for _, w := range want {
		for _, t := range s.types[arch] {
			if t == w {
				return t, nil
			}
		}
	}
	return "", fmt.Errorf("%w: it runs no %s guests with %v", hypervisor.ErrInvalid, arch, want)
}

// closeOnce gives a channel and the function that closes it, which may be called
// more than once.
func closeOnce() (chan struct{}, func()) {
	ch := make(chan struct{})
	return ch, sync.OnceFunc(func() { close(ch) })
}
