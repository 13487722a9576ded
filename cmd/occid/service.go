package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/google/uuid"

	"github.com/occid/occid/hypervisor"
	"github.com/occid/occid/hypervisor/libvirt"
	"github.com/occid/occid/internal/auth"
	"github.com/occid/occid/internal/clientcert"
	"github.com/occid/occid/internal/engine"
	"github.com/occid/occid/internal/image"
	"github.com/occid/occid/internal/oidc"
	"github.com/occid/occid/internal/server"
	"github.com/occid/occid/spec"
	"github.com/occid/occid/store"
)

// seams are where tests get between the parts; the program leaves them empty.
type seams struct {
	store func(engine.Store) engine.Store
	trace func(op string, after bool) // see libvirt.Config
}

// service is the running program: all that is opened, to be closed in reverse
// order.
type service struct {
	options  *options
	seams    seams
	log      *slog.Logger
	people   io.Writer // gets what people must read beside the log
	registry *registry
	policies *auth.Policies
	judged   func() // has who logs in judged anew
	engine   *engine.Engine
	server   *server.Server
	cert     certificates            // nil without TLS
	login    *auth.Authenticator     // nil with --dev
	browser  *oidc.Provider          // nil without one
	clients  *clientcert.Authorities // nil without certificates of clients
	listener net.Listener
	guests   guests
	closers  []func() error

	monitoring monitoring
}

// build opens what the options name. The hosts need not answer yet.
func build(ctx context.Context, o *options, log io.Writer, between seams) (*service, error) {
	s := &service{options: o, seams: between, log: logger(o, log), people: log}
	if err := s.open(ctx); err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

// logLevels are the values of the option.
var logLevels = map[string]slog.Level{"debug": slog.LevelDebug, "info": slog.LevelInfo, "warn": slog.LevelWarn, "error": slog.LevelError}

func logger(o *options, to io.Writer) *slog.Logger {
	level := &slog.HandlerOptions{Level: logLevels[o.LogLevel]}
	if o.LogFormat == "text" {
		return slog.New(slog.NewTextHandler(to, level))
	}
	return slog.New(slog.NewJSONHandler(to, level))
}

func (s *service) open(ctx context.Context) error {
	o := s.options
	if err := os.MkdirAll(o.Data, 0o700); err != nil {
		return fmt.Errorf("--data: %w", err)
	}
	worker, err := workerName(filepath.Join(o.Data, "worker"))
	if err != nil {
		return err
	}
	s.registry = &registry{named: o.Spec, standard: filepath.Join(o.Data, "registry")}
	if err := s.registry.load(); err != nil {
		return err
	}
	if err := s.openPolicies(); err != nil {
		return err
	}
	if err := s.openTLS(); err != nil {
		return err
	}
	if err := s.openMonitoring(ctx); err != nil {
		return err
	}
	st, err := store.Open(ctx, o.DB, append(s.monitoring.store(), store.WithModel(s.registry.model), store.WithUses(engine.Uses(s.registry.model)))...)
	if err != nil {
		return err
	}
	s.closers = append(s.closers, st.Close)
	bridges, err := o.bridges()
	if err != nil {
		return err
	}
	hosts, err := s.hosts(bridges)
	if err != nil {
		return err
	}
	var kept engine.Store = st
	if s.seams.store != nil {
		kept = s.seams.store(st)
	}
	images, err := image.Open(image.Config{Dir: filepath.Join(o.Data, "uploads"), Files: o.Images, Most: int64(o.MaxImage),
		Hosts: o.ImageHosts, Private: o.ImagePrivate, CA: o.ImageCA})
	if err != nil {
		return fmt.Errorf("images: %w", err)
	}
	login, err := s.authenticator(st)
	if err != nil {
		return err
	}
	identities := func() {}
	if login != nil {
		identities = login.Changed
	}
	project, user, err := o.Quotas.read(s.registry.model())
	if err != nil {
		return err
	}
	s.judged = identities
	eng := engine.New(engine.Config{Store: kept, Identities: identities, Policies: s.policies, Model: s.registry.model, Hosts: hosts, Opener: opener{s, bridges}, Worker: worker,
		ProjectQuota: project, UserQuota: user,
		Fence: o.fence(), FenceAfter: o.FenceAfter, FenceTime: o.FenceTime,
		Images: images, KeepUploads: o.KeepUploads, Seed: drive, Bridges: bridges,
		KeepStopped: o.KeepStopped, Pack: o.Placement == "pack", KeepTasks: o.KeepTasks, KeepKeys: o.KeepKeys, KeepEvents: o.KeepEvents,
		Observe: o.Observe, ObserveAll: o.Statistics == "all", Observer: s.monitoring.tasks(), Tracer: s.monitoring.traces(), Logger: s.log})
	if err := eng.Start(ctx); err != nil {
		return err
	}
	s.closers = append(s.closers, func() error { eng.Stop(); return nil })
	s.engine = eng
	if err := s.admit(ctx, eng, s.people); err != nil {
		return err
	}
	signer, err := s.signer()
	if err != nil {
		return err
	}
	c := server.Config{Engine: eng, Signer: signer, Version: version, Auth: login, Logger: s.log, Schemas: spec.Schemas()}
	if s.browser != nil {
		c.Browser, c.Callback = s.browser, o.Login.Callback
	}
	if c.Proxies, err = o.Web.proxies(); err != nil {
		return err
	}
	c.Bounds.Connections, c.Bounds.Leave, c.Streams = o.Web.Connections, o.Web.StopDelay, o.Web.Streams
	if c.Origins, err = o.Web.origins(); err != nil {
		return err
	}
	s.monitoring.show(&c, st, eng)
	s.server = server.New(c)
	if err := s.server.Warm(ctx); err != nil {
		return err
	}
	if err := s.openGuests(eng, bridges); err != nil {
		return err
	}
	l, err := net.Listen("tcp", o.Listen)
	if err != nil {
		return fmt.Errorf("--listen: %w", err)
	}
	s.listener = s.entrance(l)
	return nil
}

// accelerations are the values of the option as the driver has them.
var accelerations = map[string]libvirt.Acceleration{"auto": libvirt.Auto, "kvm": libvirt.KVM, "qemu": libvirt.QEMU}

// hosts opens a driver for each host. Entities remember a host by its URI.
func (s *service) hosts(bridges hypervisor.Bridges) ([]engine.Host, error) {
	var hosts []engine.Host
	for _, uri := range s.options.Libvirt {
		d, pools, err := s.driver(uri, bridges)
		if err != nil {
			return nil, fmt.Errorf("--libvirt: %s: %w", uri, err)
		}
		s.closers = append(s.closers, d.Close)
		h, err := s.options.hostRules(uri)
		if err != nil {
			return nil, err
		}
		h.Driver, h.Pools = d, pools
		hosts = append(hosts, h)
	}
	return hosts, nil
}

// driver opens the driver of a host, which is monitored until it is closed.
func (s *service) driver(uri string, bridges hypervisor.Bridges) (*monitored, []engine.Pool, error) {
	c := libvirt.Config{URI: uri, Acceleration: accelerations[s.options.Acceleration],
		BootDirs: s.options.BootDirs, Bridges: bridges, AllowSpoofing: s.options.AllowSpoofing, Trace: s.seams.trace, Observer: s.monitoring.host(uri), Logger: s.log}
	pools, err := s.options.poolsOf(uri, &c)
	if err != nil {
		return nil, nil, err
	}
	d, err := libvirt.Open(c)
	if err != nil {
		return nil, nil, err
	}
	return s.monitoring.monitor(uri, d), pools, nil
}

// opener opens hosts that are added at run time.
type opener struct {
	s       *service
	bridges hypervisor.Bridges
}

// Check implements engine.Opener.
func (opener) Check(uri string) error { return libvirt.CheckURI(uri) }

// Open implements engine.Opener.
func (o opener) Open(uri string) (engine.Host, error) {
	d, pools, err := o.s.driver(uri, o.bridges)
	if err != nil {
		return engine.Host{}, fmt.Errorf("host %s: %w", uri, err)
	}
	return engine.Host{Name: uri, Driver: d, Pools: pools}, nil
}

// serve answers requests until ctx ends.
func (s *service) serve(ctx context.Context, out io.Writer) error {
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP)
	defer signal.Stop(hangups)
	reloaded := make(chan struct{})
	ended, end := context.WithCancel(ctx)
	go func() {
		defer close(reloaded)
		s.engine.ImportImages(ended)
		for {
			select {
			case <-hangups:
				if s.cert != nil {
					s.cert.Reload()
				}
				if s.clients != nil {
					s.clients.Reload()
				}
				s.remap()
				s.registry.reload(s.log)
				s.reloadPolicies(s.log)
				s.engine.ImportImages(ended)
			case <-ended.Done():
				return
			}
		}
	}()
	url := where(s.listener)
	fmt.Fprintf(out, "occid %s listens on %s\n", version, url)
	if s.options.Dev {
		fmt.Fprint(out, strings.ReplaceAll(beginning, "URL", url))
	}
	if s.guests.proxies != nil {
		fmt.Fprintf(out, "guest proxies are answered at %s\n", where(s.guests.proxies))
	}
	if l := s.monitoring.listener; l != nil {
		fmt.Fprintf(out, "metrics are shown at %s\n", where(l))
	}
	asked, scraped := make(chan error, 1), make(chan error, 1)
	go func() { asked <- s.guests.serve(ended, s) }()
	go func() { scraped <- s.monitoring.serve(ended, s) }()
	err := s.server.Serve(ctx, s.listener)
	end()
	<-reloaded
	return errors.Join(err, <-asked, <-scraped)
}

// beginning is what a person can try first.
const beginning = `
  curl -X POST -H 'Content-Type: application/json' -d '{"type":"compute","title":"web-1","cores":2,"memory":"1 GiB"}' URL/compute/
  curl -X POST 'URL/compute/?action=start' -H 'Prefer: wait=10'
  curl URL/.txt

`

// close ends the service: nothing uses what is closed after it.
func (s *service) close() {
	for i := len(s.closers) - 1; i >= 0; i-- {
		if err := s.closers[i](); err != nil {
			s.log.Error("not closed", "error", err)
		}
	}
	s.closers = nil
}

// workerName gives the name under which this server claims tasks: it outlives a
// restart, and no other server has it.
func workerName(path string) (string, error) {
	name := uuid.NewString()
	made, err := makeOnce(path, name+"\n")
	if err != nil {
		return "", fmt.Errorf("--data: %w", err)
	}
	if made {
		return name, nil
	}
	text, err := os.ReadFile(path)
	if name := strings.TrimSpace(string(text)); err == nil && name != "" {
		return name, nil
	}
	return "", fmt.Errorf("%s holds no name; remove it while the server is stopped", path)
}

// makeOnce makes a file with a text that nobody else can read, unless it is there, and
// reports whether it did.
func makeOnce(path, text string) (made bool, err error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if _, err := f.WriteString(text); err != nil {
		return false, errors.Join(err, f.Close())
	}
	return true, errors.Join(f.Sync(), f.Close())
}
