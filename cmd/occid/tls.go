package main

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/occid/occid/internal/cert"
	"github.com/occid/occid/internal/server"
)

// webOptions say how clients reach the server.
type webOptions struct {
	Cert          string        `name:"tls-cert" env:"OCCID_TLS_CERT" placeholder:"FILE" help:"Certificate to serve --listen with, and those that lead to its authority, PEM."`
	Key           string        `name:"tls-key" env:"OCCID_TLS_KEY" placeholder:"FILE" help:"Private key of --tls-cert, PEM."`
	SelfSigned    bool          `name:"tls-self-signed" env:"OCCID_TLS_SELF_SIGNED" help:"Serve --listen with a certificate that the server makes and keeps in --data."`
	ACME          []string      `name:"tls-acme" sep:"," env:"OCCID_TLS_ACME" placeholder:"DOMAIN" help:"Serve --listen, reached at port 443 of these names, with certificates of an ACME authority, whose terms are agreed to."`
	ACMEDirectory string        `name:"tls-acme-directory" default:"https://acme-v02.api.letsencrypt.org/directory" env:"OCCID_TLS_ACME_DIRECTORY" placeholder:"URL" help:"Directory of the authority."`
	ACMECA        string        `name:"tls-acme-ca" env:"OCCID_TLS_ACME_CA" placeholder:"FILE" help:"Certificates to trust beside the system's where the authority is asked."`
	Insecure      bool          `name:"insecure-http" env:"OCCID_INSECURE_HTTP" help:"Serve without TLS at addresses that others can reach, too."`
	Proxies       []string      `name:"trusted-proxies" sep:"," env:"OCCID_TRUSTED_PROXIES" placeholder:"ADDR" help:"Addresses of proxies, or networks of them as 192.0.2.0/24, whose X-Forwarded-Proto and X-Forwarded-For are believed; none by default."`
	Origins       []string      `name:"cors-origin" sep:"," env:"OCCID_CORS_ORIGIN" placeholder:"ORIGIN" help:"Sites whose pages may use the server, as https://portal.example.org, or * for all without credentials; none by default."`
	Connections   int           `name:"max-connections" default:"4096" env:"OCCID_MAX_CONNECTIONS" placeholder:"N" help:"How many connections of clients may be open."`
	Streams       int           `name:"max-streams" default:"1024" env:"OCCID_MAX_STREAMS" placeholder:"N" help:"How many streams of /events may be open."`
	StopDelay     time.Duration `name:"stop-delay" env:"OCCID_STOP_DELAY" placeholder:"TIME" help:"How long requests are still answered once the server is to stop and /readyz says so, as in 5s."`
}

// secure reports whether the server has a certificate.
func (o *webOptions) secure() bool { return o.Cert != "" || o.SelfSigned || len(o.ACME) > 0 }

// checkWeb refuses what does not go together, and to be heard by others without TLS.
func (o *options) checkWeb() error {
	if o.Web.StopDelay < 0 {
		return fmt.Errorf("--stop-delay: %s is less than nothing", o.Web.StopDelay)
	}
	if err := o.Web.check(); err != nil {
		return err
	}
	if err := o.Web.mayListen("--listen", o.Listen, o.Dev); err != nil {
		return err
	}
	if m := o.MetricsListen; m != "" && m != withoutMetrics && !strings.HasPrefix(m, "unix:") {
		return o.Web.mayListen("--metrics-listen", m, false)
	}
	return nil
}

// mayListen refuses an address at which others would read along, or where anybody may do
// everything.
func (o *webOptions) mayListen(option, address string, anybody bool) error {
	a, err := net.ResolveTCPAddr("tcp", address)
	if err != nil {
		return fmt.Errorf("%s: %w", option, err)
	}
	switch {
	case a.IP.IsLoopback():
		return nil
	case anybody:
		return fmt.Errorf("%s: %s is not a loopback address; with --dev, which asks nobody who they are, no other is served", option, address)
	case o.secure() || o.Insecure:
		return nil
	}
	return fmt.Errorf("%s: %s is not a loopback address; without TLS (--tls-cert and --tls-key, or --tls-self-signed) "+
		"no other is served, unless --insecure-http is given", option, address)
}

// check refuses what does not go together.
func (o *webOptions) check() error {
	if _, err := o.proxies(); err != nil {
		return err
	}
	if _, err := o.origins(); err != nil {
		return err
	}
	switch {
	case o.Connections < 1:
		return fmt.Errorf("--max-connections: %d is less than one", o.Connections)
	case o.Streams < 1:
		return fmt.Errorf("--max-streams: %d is less than one", o.Streams)
	case (o.Cert == "") != (o.Key == ""):
		return errors.New("--tls-cert and --tls-key need each other")
	case o.Cert != "" && o.SelfSigned:
		return errors.New("--tls-cert and --tls-self-signed exclude each other")
	case len(o.ACME) > 0 && (o.Cert != "" || o.SelfSigned):
		return errors.New("--tls-acme excludes --tls-cert and --tls-self-signed")
	}
	for _, name := range o.ACME {
		if _, err := netip.ParseAddr(name); err == nil || !strings.Contains(strings.Trim(name, "."), ".") || strings.ContainsAny(name, ":/*") {
			return fmt.Errorf("--tls-acme: %q is no domain such as cloud.example.org", name)
		}
	}
	if u, err := url.Parse(o.ACMEDirectory); err != nil || u.Scheme != "https" || u.Host == "" {
		return fmt.Errorf("--tls-acme-directory: %q is no https URL", o.ACMEDirectory)
	}
	return nil
}

// proxies reads who is believed.
func (o *webOptions) proxies() ([]netip.Prefix, error) {
	list := make([]netip.Prefix, len(o.Proxies))
	for i, text := range o.Proxies {
		p, err := netip.ParsePrefix(text)
		if a, alone := netip.ParseAddr(text); alone == nil {
			p, err = a.Prefix(a.BitLen())
		}
		if err != nil {
			return nil, fmt.Errorf("--trusted-proxies: %q is neither an address nor a network such as 192.0.2.0/24", text)
		}
		list[i] = p
	}
	return list, nil
}

// origins reads whose pages may ask.
func (o *webOptions) origins() (*server.Origins, error) {
	origins, err := server.NewOrigins(o.Origins)
	if err != nil {
		return nil, fmt.Errorf("--cors-origin: %w", err)
	}
	return origins, nil
}

// certificates are what a listener shows.
type certificates interface {
	Server() *tls.Config
	Reload()
}

// openTLS reads the certificate, if there is to be one.
func (s *service) openTLS() error {
	o := s.options
	switch {
	case len(o.Web.ACME) > 0:
		a, err := cert.OpenACME(cert.ACMEConfig{Domains: o.Web.ACME, Directory: o.Web.ACMEDirectory, CA: o.Web.ACMECA,
			Dir: filepath.Join(o.Data, "acme"), Logger: s.log})
		if err != nil {
			return fmt.Errorf("--tls-acme-ca: %w", err)
		}
		s.cert = a
	case o.Web.SelfSigned:
		names, err := certNames(o.Listen)
		if err != nil {
			return fmt.Errorf("--listen: %w", err)
		}
		k, err := cert.Open(cert.Config{Cert: filepath.Join(o.Data, "tls.crt"), Key: filepath.Join(o.Data, "tls.key"), Names: names, Logger: s.log})
		if err != nil {
			return fmt.Errorf("--tls-self-signed: %w", err)
		}
		s.cert = k
	case o.Web.Cert != "":
		k, err := cert.Open(cert.Config{Cert: o.Web.Cert, Key: o.Web.Key, Logger: s.log})
		if err != nil {
			return fmt.Errorf("--tls-cert: %w", err)
		}
		s.cert = k
	}
	return nil
}

// tlsListener is one that speaks TLS.
type tlsListener struct{ net.Listener }

// secured gives a listener that speaks TLS, if the server has a certificate.
func (s *service) secured(l net.Listener) net.Listener {
	if s.cert == nil {
		return l
	}
	return tlsListener{tls.NewListener(l, s.cert.Server())}
}

// entrance is secured for those who log in, who may show certificates.
func (s *service) entrance(l net.Listener) net.Listener {
	if s.clients == nil {
		return s.secured(l)
	}
	return tlsListener{tls.NewListener(l, s.clients.Ask(s.cert.Server()))}
}

// where tells where a listener is reached.
func where(l net.Listener) string {
	switch a := l.Addr(); l.(type) {
	case *net.UnixListener:
		return "unix:" + a.String()
	case tlsListener:
		return "https://" + a.String()
	default:
		return "http://" + a.String()
	}
}

// certNames are what clients may call a server that listens at an address.
func certNames(address string) ([]string, error) {
	names := []string{"localhost", "127.0.0.1", "::1"}
	add := func(name string) {
		if name != "" && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	if own, err := os.Hostname(); err == nil {
		add(own)
	}
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	host, _, _ = strings.Cut(host, "%")
	if ip, err := netip.ParseAddr(host); host != "" && (err != nil || !ip.IsUnspecified()) {
		add(host)
		return names, nil
	}
	all, err := net.InterfaceAddrs()
	if err != nil {
		return nil, err
	}
	for _, a := range all {
		if p, err := netip.ParsePrefix(a.String()); err == nil && p.Addr().IsGlobalUnicast() {
			add(p.Addr().String())
		}
	}
	return names, nil
}
