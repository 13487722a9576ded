package guest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/occid/occid/internal/web"
)

// Addresses are where guests expect the service, in each network.
var Addresses = []netip.AddrPort{
	netip.MustParseAddrPort("169.254.169.254:80"),
	netip.MustParseAddrPort("[fe80::a9fe:a9fe]:80"),
	netip.MustParseAddrPort("[fd00:ec2::254]:80"),
}

// scanTime is how long a network may be there before it is listened to.
const scanTime = time.Second

// Bridges listens on every interface of this host that is a network's, for as long
// as that is there, and tells an Answerer who asks. All fields but the last are
// required.
type Bridges struct {
	Answerer Answerer
	// Serves reports whether an interface is a network's, by its name.
	Serves func(name string) bool
	Logger *slog.Logger
	// Opened, when set, is called after each interface that is listened to, before
	// requests are answered.
	Opened func(name string, at netip.AddrPort)
}

// front is a listener on one interface.
type front struct {
	index int
	at    netip.AddrPort
}

// Run listens until ctx ends, and returns when all is closed. What cannot be
// listened to is logged, and tried again. From the first interface on until it returns
// the host has the address that guests have a route to.
func (b *Bridges) Run(ctx context.Context) {
	r := fronts{Bridges: b, open: map[front]context.CancelFunc{}, failed: map[front]string{}}
	defer r.work.Wait()
	defer r.removeRouted()
	tick := time.NewTicker(scanTime)
	defer tick.Stop()
	for {
		if there, err := b.there(); err != nil {
			b.Logger.Warn("interfaces not listed", "error", err)
		} else {
			r.follow(ctx, there)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// fronts are the listeners of a run.
type fronts struct {
	*Bridges
	open   map[front]context.CancelFunc
	failed map[front]string // why what is not open is not
	work   sync.WaitGroup
	// given tells that the host was given the address that guests have a route to, due
	// when it is to be looked after next; unrouted tells why it has not got it.
	given    bool
	due      time.Time
	unrouted string
}

// keepRouted has the host have the address that guests have a route to.
func (r *fronts) keepRouted() {
	given, err := keepRouted()
	if err == nil {
		r.given, r.unrouted, r.due = given, "", time.Now().Add(routedLife/4)
		return
	}
	if r.unrouted != err.Error() {
		r.Logger.Warn("guests not served by a route", "address", routed.String(), "error", err)
	}
	r.unrouted = err.Error()
}

func (r *fronts) removeRouted() {
	if !r.given {
		return
	}
	if err := removeRouted(); err != nil {
		r.Logger.Warn("address not removed", "address", routed.String(), "error", err)
	}
}

// follow closes what is at interfaces that are gone, and opens what is missing.
func (r *fronts) follow(ctx context.Context, there map[int]string) {
	for f, end := range r.open {
		if _, ok := there[f.index]; !ok {
			end()
			delete(r.open, f)
		}
	}
	if (len(there) > 0 || r.given) && !time.Now().Before(r.due) {
		r.keepRouted()
	}
	maps.DeleteFunc(r.failed, func(f front, _ string) bool { return there[f.index] == "" })
	for index, name := range there {
		for _, at := range Addresses {
			if f := (front{index, at}); r.open[f] == nil {
				r.listen(ctx, f, name)
			}
		}
	}
}

// listen opens one listener.
func (r *fronts) listen(ctx context.Context, f front, name string) {
	l, err := listen(ctx, name, f.at)
	if err != nil {
		if r.failed[f] != err.Error() {
			r.Logger.Warn("guests not served", "interface", name, "address", f.at.String(), "error", err)
		}
		r.failed[f] = err.Error()
		return
	}
	delete(r.failed, f)
	until, end := context.WithCancel(ctx)
	r.open[f] = end
	r.Logger.Info("guests served", "interface", name, "address", f.at.String())
	r.work.Go(func() { r.serve(until, l, name, f.index) })
	if r.Opened != nil {
		r.Opened(name, f.at)
	}
}

// there lists the networks' interfaces by their index, which another interface of
// the same name would not have.
func (b *Bridges) there() (map[int]string, error) {
	all, err := net.Interfaces()
	if err != nil {
		return nil, err
	}
	out := map[int]string{}
	for _, i := range all {
		if b.Serves(i.Name) {
			out[i.Index] = i.Name
		}
	}
	return out, nil
}

// listen opens an address on one interface only, whether or not the host has the
// address already.
func listen(ctx context.Context, name string, at netip.AddrPort) (net.Listener, error) {
	network := "tcp4"
	if at.Addr().Is6() {
		network = "tcp6"
	}
	c := net.ListenConfig{Control: func(_, _ string, conn syscall.RawConn) error {
		var err error
		outer := conn.Control(func(fd uintptr) {
			err = errors.Join(unix.SetsockoptString(int(fd), unix.SOL_SOCKET, unix.SO_BINDTODEVICE, name), freebind(int(fd), network))
		})
		return errors.Join(outer, err)
	}}
	return c.Listen(ctx, network, at.String())
}

func freebind(fd int, network string) error {
	if network == "tcp6" {
		return unix.SetsockoptInt(fd, unix.SOL_IPV6, unix.IPV6_FREEBIND, 1)
	}
	return unix.SetsockoptInt(fd, unix.SOL_IP, unix.IP_FREEBIND, 1)
}

// serve answers what comes in by an interface.
func (b *Bridges) serve(ctx context.Context, l net.Listener, name string, index int) {
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p, err := peer(r.RemoteAddr, name, index)
		if err != nil {
			b.Logger.Warn("guest not recognised", "interface", name, "remote", r.RemoteAddr, "error", err)
			http.Error(w, "who asks is not known in this network", http.StatusForbidden)
			return
		}
		b.Answerer.Answer(w, r, p)
	})
	if err := Serve(ctx, l, h, b.Logger); err != nil {
		b.Logger.Warn("guests not served any more", "interface", name, "error", err)
	}
}

// peer recognises who asks from an address.
func peer(remote, name string, index int) (Peer, error) {
	from, err := netip.ParseAddrPort(remote)
	if err != nil {
		return Peer{}, fmt.Errorf("the remote address: %w", err)
	}
	a := from.Addr().Unmap().WithZone("")
	hw, err := neighbour(index, a)
	if err != nil {
		return Peer{}, err
	}
	return Peer{Bridge: name, MAC: hw.String(), Addr: a}, nil
}

// times bound what a guest can hold on to.
var times = web.Bounds{Header: 10 * time.Second, Read: 30 * time.Second, Write: time.Minute, Idle: time.Minute, Stop: 5 * time.Second}

// Serve answers requests that come to l until ctx ends, then lets those under way
// finish for a few seconds. It closes l.
func Serve(ctx context.Context, l net.Listener, h http.Handler, log *slog.Logger) error {
	return web.Serve(ctx, l, h, times, log, func() {})
}
