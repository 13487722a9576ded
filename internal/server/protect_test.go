package server_test

import (
	"crypto/tls"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"

	"github.com/occid/occid/internal/server"
	"github.com/occid/occid/render"
	"github.com/occid/occid/spec"
)

// hsts is the field that has browsers use TLS.
const hsts = "Strict-Transport-Security"

// TestEveryAnswerIsProtected looks at answers of every sort.
func TestEveryAnswerIsProtected(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	compute := c.create("/compute/", `{"title":"a"}`)
	answers := []reply{
		c.do("GET", "/", ""), c.do("HEAD", "/-/", ""), c.do("GET", "/nowhere", "").want(t, 404), c.do("PATCH", "/compute/", "").want(t, 405),
		c.do("OPTIONS", "/compute/", "").want(t, 204), c.do("GET", "/healthz", ""), c.do("GET", "/readyz", ""), c.do("GET", "/-/opensearch", ""),
		c.do("GET", compute, "", "Accept: image/png").want(t, 406),
		c.do("HEAD", "/events", ""), c.do("GET", "/schema/occi.xsd", "").want(t, 200), c.do("GET", "/compute/.atom", "").want(t, 200), c.do("POST", "/compute/", "{", "Content-Type: application/json").want(t, 400),
		c.do("POST", "/compute/", "{}", "Sec-Fetch-Site: cross-site").want(t, 403),
	}
	for _, f := range render.Formats() {
		answers = append(answers, c.do("GET", "/compute/", "", "Accept: "+f.Media))
	}
	for _, r := range answers {
		for name, value := range map[string]string{
			"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer", "X-Frame-Options": "DENY", hsts: "",
			"Content-Security-Policy": "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
		} {
			if got := r.Header.Get(name); got != value {
				t.Errorf("%s %s, %d: %s is %q, want %q", r.Request.Method, r.Request.URL.Path, r.StatusCode, name, got, value)
			}
		}
	}
}

// TestUnchangedIsShort has an answer without a body repeat nothing of the one it tells of.
func TestUnchangedIsShort(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	path := c.create("/compute/", `{"title":"a"}`)
	r := c.do("GET", path, "", "If-None-Match: "+c.do("GET", path, "").Header.Get("ETag")).want(t, 304)
	for _, name := range []string{"X-Content-Type-Options", "Referrer-Policy", "X-Frame-Options", "Content-Security-Policy", "Content-Type"} {
		if got, ok := r.Header[name]; ok {
			t.Errorf("%s: %q is repeated", name, got)
		}
	}
	for _, name := range []string{"Etag", "Vary", "Date"} {
		if r.Header.Get(name) == "" {
			t.Errorf("there is no %s", name)
		}
	}
}

// TestLinksOfTLS has links lead where the client came from.
func TestLinksOfTLS(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	c.create("/compute/", `{"title":"a"}`)
	var proxies []netip.Prefix
	for _, p := range []string{"192.0.2.1/32", "2001:db8::/32"} {
		proxies = append(proxies, netip.MustParsePrefix(p))
	}
	s := server.New(server.Config{Engine: c.engine, Version: "test", Schemas: spec.Schemas(), Proxies: proxies, Logger: slog.New(slog.DiscardHandler)})
	for _, x := range []struct {
		name, remote string
		tls          bool
		forwarded    []string
		secure       bool
	}{
		{"without TLS", "192.0.2.9:1", false, nil, false},
		{"TLS", "192.0.2.9:1", true, nil, true},
		{"TLS, whatever is said", "192.0.2.1:1", true, []string{"http"}, true},
		{"a proxy", "192.0.2.1:1", false, []string{"https"}, true},
		{"a proxy in a network", "[2001:db8:9::1]:1", false, []string{"HTTPS"}, true},
		{"a proxy whose client has none", "192.0.2.1:1", false, []string{"http"}, false},
		{"a proxy that says nothing", "192.0.2.1:1", false, nil, false},
		{"a proxy by another family", "[::ffff:192.0.2.1]:1", false, []string{"https"}, true},
		{"a client that passes for a proxy", "192.0.2.9:1", false, []string{"https"}, false},
		{"a client that speaks for itself first", "192.0.2.1:1", false, []string{"https", "http"}, false},
	} {
		leads := false
		for _, accept := range []string{"application/atom+xml", "application/json", "application/xml", "text/uri-list", "application/occi+json", "text/plain"} {
			for _, path := range []string{"/compute/", "/-/opensearch"} {
				r := httptest.NewRequest(http.MethodGet, path, nil)
				r.Host, r.RemoteAddr = "cloud.example.org", x.remote
				r.Header.Set("Accept", accept)
				r.Header["X-Forwarded-Proto"] = x.forwarded
				if x.tls {
					r.TLS = &tls.ConnectionState{}
				}
				w := httptest.NewRecorder()
				s.ServeHTTP(w, r)
				all := w.Body.String() + strings.Join(w.Header()["Link"], "")
				own, other := "http://cloud.example.org/", "https://cloud.example.org/"
				if x.secure {
					own, other = other, own
				}
				leads = leads || strings.Contains(all, own)
				if w.Code != http.StatusOK || strings.Contains(all, other) {
					t.Errorf("%s: %s as %s: %d, with links to %s: %s", x.name, path, accept, w.Code, other, all)
				}
				if got := w.Header().Get(hsts); got != "" != x.secure || got != "" && got != "max-age=31536000" {
					t.Errorf("%s: %s is %q", x.name, hsts, got)
				}
			}
		}
		if !leads {
			t.Errorf("%s: no link was seen", x.name)
		}
	}
}
