package server

import (
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/occid/occid/occi"
)

// base is what absolute URIs begin with on one host.
type base struct {
	host   string
	secure bool
	text   string
}

// base is what absolute URIs begin with. Most requests name the same host.
func (c *call) base() string {
	host := c.r.Host
	if host == "" {
		if a, ok := c.r.Context().Value(http.LocalAddrContextKey).(net.Addr); ok {
			host = a.String()
		}
	}
	last := c.s.lastBase.Load()
	if last == nil || last.host != host || last.secure != c.secure {
		last = &base{host: host, secure: c.secure, text: "http://" + host}
		if c.secure {
			last.text = "https://" + host
		}
		c.s.lastBase.Store(last)
	}
	return last.text
}

// addressed refuses requests that do not say properly to which host they are.
func (c *call) addressed() error {
	if u := c.r.URL; u.Scheme != "" && (u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil) {
		return occi.E(occi.Invalid, "%.80q is no URL of this server", c.r.RequestURI)
	}
	if !wellFormed(c.r.Host) {
		return occi.E(occi.Invalid, "Host: %.80q is no host", c.r.Host)
	}
	return nil
}

// wellFormed reports whether a Host field names a host, which URLs in answers can begin
// with, or none.
func wellFormed(host string) bool {
	name, port := host, ""
	if i := strings.LastIndexByte(host, ':'); i >= 0 && !strings.HasSuffix(host, "]") {
		name, port = host[:i], host[i+1:]
	}
	if n, err := strconv.ParseUint("0"+port, 10, 17); err != nil || n > 65535 || name == "" && host != "" {
		return false
	}
	if inner, ok := strings.CutPrefix(name, "["); ok {
		a, err := netip.ParseAddr(strings.TrimSuffix(inner, "]"))
		return err == nil && a.Is6() && a.Zone() == "" && strings.HasSuffix(inner, "]")
	}
	return name == "" || plainWord(name, 253)
}

// secure reports whether the client speaks TLS, to the server or to a proxy before it.
func (s *Server) secure(r *http.Request) bool {
	if r.TLS != nil {
		return true
	}
	proto := r.Header["X-Forwarded-Proto"]
	return len(proto) == 1 && strings.EqualFold(proto[0], "https") && s.trusts(r.RemoteAddr)
}

// client is the address that a request comes from: of a proxy that is believed, the last
// one that it names and that is none.
func (s *Server) client(r *http.Request) string {
	remote := r.RemoteAddr
	named := strings.Split(strings.Join(r.Header["X-Forwarded-For"], ","), ",")
	for i := len(named) - 1; i >= 0 && s.trusts(remote); i-- {
		a, err := netip.ParseAddr(strings.TrimSpace(named[i]))
		if err != nil {
			break
		}
		remote = netip.AddrPortFrom(a, 0).String()
	}
	return remote
}

// trusts reports whether an address is that of a proxy whose word counts.
func (s *Server) trusts(remote string) bool {
	a, err := netip.ParseAddrPort(remote)
	return err == nil && slices.ContainsFunc(s.proxies, func(p netip.Prefix) bool { return p.Contains(a.Addr().Unmap().WithZone("")) })
}
