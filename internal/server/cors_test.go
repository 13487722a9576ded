package server_test

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/occid/occid/internal/server"
)

const (
	portal   = "https://portal.example.org"
	stranger = "https://evil.example"
)

// page is a browser with a page of a site that asks a server.
func page(t *testing.T, c *cloud, origins []string, method, path, origin string, more ...string) *httptest.ResponseRecorder {
	t.Helper()
	o, err := server.NewOrigins(origins)
	if err != nil {
		t.Fatal(err)
	}
	s := server.New(server.Config{Engine: c.engine, Version: "test", Origins: o, Logger: slog.New(slog.DiscardHandler)})
	r := httptest.NewRequest(method, "http://cloud.example.org"+path, strings.NewReader(`{"title":"a"}`))
	r.Header.Set("Content-Type", "application/json")
	if origin != "" {
		r.Header.Set("Origin", origin)
		r.Header.Set("Sec-Fetch-Site", "cross-site")
	}
	for _, h := range more {
		name, value, _ := strings.Cut(h, ": ")
		r.Header.Add(name, value)
	}
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	return w
}

func TestPagesOfOtherSites(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	one, all := []string{"http://localhost:3000", portal}, []string{"*"}
	const basic, cookie = "Authorization: Basic eDp5", "Cookie: a=b"
	for _, x := range []struct {
		name    string
		origins []string
		origin  string
		write   int    // status of a POST
		allowed string // Access-Control-Allow-Origin
		more    []string
	}{
		{"none is allowed", nil, portal, 403, "", nil},
		{"the server's own page", nil, "", 201, "", nil},
		{"one that is allowed", one, portal, 201, portal, nil},
		{"another one", one, "http://localhost:3000", 201, "http://localhost:3000", nil},
		{"with credentials", one, portal, 201, portal, []string{basic}},
		{"a stranger", one, stranger, 403, "", nil},
		{"a stranger with credentials", one, stranger, 403, "", []string{basic}},
		{"another scheme", one, "http://portal.example.org", 403, "", nil},
		{"another port", one, portal + ":8443", 403, "", nil},
		{"a longer name", one, portal + ".evil.example", 403, "", nil},
		{"a page of nowhere", one, "null", 403, "", nil},
		{"two origins", one, portal, 400, "", []string{"Origin: " + stranger}},
		{"any", all, stranger, 201, "*", nil},
		{"any, of nowhere", all, "null", 201, "*", nil},
		{"any with credentials", all, stranger, 403, "*", []string{basic}},
		{"any with a cookie", all, stranger, 403, "*", []string{cookie}},
		{"any with a token", all, stranger, 403, "*", []string{"X-Auth-Token: t"}},
		{"any, without a page", all, "", 201, "*", []string{basic}},
	} {
		w := page(t, c, x.origins, "POST", "/compute/", x.origin, x.more...)
		if w.Code != x.write {
			t.Errorf("%s: POST is %d, want %d: %s", x.name, w.Code, x.write, w.Body)
		}
		for _, path := range []string{"/compute/", "/compute/.atom", "/nowhere"} {
			w := page(t, c, x.origins, "GET", path, x.origin, x.more...)
			h := w.Header()
			if got := h.Get("Access-Control-Allow-Origin"); got != x.allowed {
				t.Errorf("%s: GET %s allows %q, want %q", x.name, path, got, x.allowed)
			}
			credentials := ""
			if x.allowed != "" && x.allowed != "*" {
				credentials = "true"
			}
			if got := h.Get("Access-Control-Allow-Credentials"); got != credentials {
				t.Errorf("%s: GET %s allows credentials: %q", x.name, path, got)
			}
			for _, field := range []string{"ETag", "Location", "Link", "X-Auth-Token", "X-OCCI-Attribute", "X-OCCI-Location", "Retry-After"} {
				if shows := strings.Contains(", "+h.Get("Access-Control-Expose-Headers")+",", ", "+field+","); shows != (x.allowed != "") {
					t.Errorf("%s: GET %s shows %s: %v", x.name, path, field, shows)
				}
			}
			varies := strings.Contains(strings.Join(h["Vary"], ", "), "Origin")
			if varies != (len(x.origins) > 1) {
				t.Errorf("%s: GET %s has Vary %q", x.name, path, h["Vary"])
			}
			if w.Code == http.StatusOK && path == "/compute/" && !strings.Contains(strings.Join(h["Vary"], ", "), "Accept, Category") {
				t.Errorf("%s: Vary is %q", x.name, h["Vary"])
			}
		}
	}
}

// TestPreflight asks as a browser does before it lets a page ask.
func TestPreflight(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	const asks, fields = "Access-Control-Request-Method: PUT", "Access-Control-Request-Headers: if-match,x-occi-attribute"
	for _, x := range []struct {
		name           string
		origins        []string
		origin         string
		more           []string
		allowed        string
		authorizes, is bool // Authorization may be sent; it is an answer to the question
	}{
		{"none is allowed", nil, portal, []string{asks, fields}, "", false, false},
		{"one that is allowed", []string{portal}, portal, []string{asks, fields}, portal, true, true},
		{"a stranger", []string{portal}, stranger, []string{asks, fields}, "", false, false},
		{"any", []string{"*"}, stranger, []string{asks}, "*", false, true},
		{"OPTIONS itself", []string{portal}, portal, nil, portal, false, false},
		{"no browser", []string{"*"}, "", []string{asks}, "*", false, false},
	} {
		for _, path := range []string{"/compute/5dde93d8-789e-4416-9381-79c7f4062d42", "/compute/", "/events", "/-/"} {
			w := page(t, c, x.origins, "OPTIONS", path, x.origin, x.more...)
			h := w.Header()
			if w.Code != http.StatusNoContent || h.Get("Access-Control-Allow-Origin") != x.allowed {
				t.Errorf("%s: %s: %d, allowed %q", x.name, path, w.Code, h.Get("Access-Control-Allow-Origin"))
			}
			methods, names := h.Get("Access-Control-Allow-Methods"), h.Get("Access-Control-Allow-Headers")
			if (methods != "") != x.is || x.is && !strings.Contains(methods, "PUT") || (h.Get("Access-Control-Max-Age") != "") != x.is {
				t.Errorf("%s: %s: methods %q", x.name, path, methods)
			}
			if x.is && (!strings.Contains(names, "If-Match") || !strings.Contains(names, "X-OCCI-Attribute") || !strings.Contains(names, "Content-Type")) ||
				strings.Contains(names, "Authorization") != x.authorizes || strings.Contains(names, "X-Auth-Token") != x.authorizes || strings.Contains(names, "X-Project") != x.is {
				t.Errorf("%s: %s: fields %q", x.name, path, names)
			}
			if (h.Get("Allow") == "") != x.is {
				t.Errorf("%s: %s: Allow is %q", x.name, path, h.Get("Allow"))
			}
		}
	}
}

func TestOrigins(t *testing.T) {
	t.Parallel()
	for _, good := range [][]string{nil, {"*"}, {portal}, {"http://localhost:3000", "https://[2001:db8::1]:8443"}} {
		if _, err := server.NewOrigins(good); err != nil {
			t.Error(err)
		}
	}
	var bad []string
	for _, text := range []string{"", "null", "portal.example.org", portal + "/", portal + "/x", portal + ":443", "http://x:80", "https://*.example.org", "*", "HTTPS://x", "https://X",
		"https://u@x", "ftp://x", "https://", portal + "?", portal + "#x", " " + portal} {
		if _, err := server.NewOrigins([]string{portal, text}); err == nil {
			bad = append(bad, text)
		}
	}
	if d := cmp.Diff([]string(nil), bad); d != "" {
		t.Errorf("taken as origins: %s", d)
	}
}
