package server

import (
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
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

// secure reports whether the client speaks TLS, to the server or to a proxy before it.
func (s *Server) secure(r *http.Request) bool {
	if r.TLS != nil {
		return true
	}
	proto := r.Header["X-Forwarded-Proto"]
	return len(proto) == 1 && strings.EqualFold(proto[0], "https") && s.trusts(r.RemoteAddr)
}

// trusts reports whether an address is that of a proxy whose word counts.
func (s *Server) trusts(remote string) bool {
	a, err := netip.ParseAddrPort(remote)
	return err == nil && slices.ContainsFunc(s.proxies, func(p netip.Prefix) bool { return p.Contains(a.Addr().Unmap().WithZone("")) })
}
