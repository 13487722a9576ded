package guest_test

import (
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/occid/occid/internal/guest"
)

var key = guest.Key("a key of tests that is long enough")

// echo answers with what reaches it.
type echo struct{}

func (echo) Answer(w http.ResponseWriter, r *http.Request, p guest.Peer) {
	body, _ := io.ReadAll(r.Body)
	w.Header().Set("X-Seen", r.Header.Get("X-Forwarded-For")+r.Header.Get("Accept"))
	w.WriteHeader(http.StatusTeapot)
	fmt.Fprintf(w, "%s %s %s %q %q", r.Method, r.URL.RequestURI(), p, body, r.Header["X-Occid-Guest"])
}

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

// TestProxy sends through a proxy what a server answers, over TCP and a socket.
func TestProxy(t *testing.T) {
	t.Parallel()
	gate := &guest.Gate{Answerer: echo{}, Key: key, Logger: quiet()}
	web := httptest.NewServer(gate)
	t.Cleanup(web.Close)
	local, err := net.Listen("unix", filepath.Join(t.TempDir(), "s"))
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	ctx, stop := newStop(t)
	go func() { served <- guest.Serve(ctx, local, gate, quiet()) }()
	t.Cleanup(func() {
		stop()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	for _, server := range []string{web.URL, "unix:" + local.Addr().String()} {
		p, err := guest.NewProxy(server, key, quiet())
		if err != nil {
			t.Fatal(err)
		}
		ask := func(method, path, body string) *http.Response {
			r := httptest.NewRequest(method, "http://169.254.169.254"+path, strings.NewReader(body))
			r.Header.Set("X-Occid-Guest", "1 forged")
			r.Header.Set("X-Forwarded-For", "x")
			r.Header.Set("Accept", "y")
			rec := httptest.NewRecorder()
			p.Answer(rec, r, peerOne)
			return rec.Result()
		}
		for _, path := range []string{"/", "/a%2Fb?c=d&e", "//x/../y", "/%20"} {
			resp := ask(http.MethodPut, path, "body")
			got, err := io.ReadAll(resp.Body)
			want := fmt.Sprintf("PUT %s %s %q []", path, peerOne, "body")
			if err != nil || resp.StatusCode != http.StatusTeapot || string(got) != want || resp.Header.Get("X-Seen") != "xy" {
				t.Errorf("%s: %d %q %q, want %q: %v", server, resp.StatusCode, got, resp.Header, want, err)
			}
		}
		if resp := ask(http.MethodPost, "/", strings.Repeat("x", 1<<20+1)); resp.StatusCode != http.StatusRequestEntityTooLarge {
			t.Errorf("a large body: %s", resp.Status)
		}
	}
}

func TestProxyWithoutServer(t *testing.T) {
	t.Parallel()
	p, err := guest.NewProxy("unix:"+filepath.Join(t.TempDir(), "none"), key, quiet())
	if err != nil {
		t.Fatal(err)
	}
	rec := httptest.NewRecorder()
	p.Answer(rec, httptest.NewRequest(http.MethodGet, "http://169.254.169.254/", nil), peerOne)
	if rec.Code != http.StatusServiceUnavailable || rec.Header().Get("Retry-After") == "" {
		t.Errorf("without a server: %d %q", rec.Code, rec.Header())
	}
	for _, bad := range []string{"", "ftp://x", "http://", "http://x/path", "x:1", "http://x?y"} {
		if _, err := guest.NewProxy(bad, key, quiet()); err == nil {
			t.Errorf("%q is taken for a server", bad)
		}
	}
	if _, err := guest.NewProxy("http://x", key[:31], quiet()); err == nil {
		t.Error("a short key is taken")
	}
}

// TestGate lets pass nothing but what a proxy has just sent, once.
func TestGate(t *testing.T) {
	t.Parallel()
	now := time.Now()
	gate := &guest.Gate{Answerer: echo{}, Key: key, Logger: quiet(), Now: func() time.Time { return now }}
	send := func(r *http.Request) int {
		rec := httptest.NewRecorder()
		gate.ServeHTTP(rec, r)
		return rec.Code
	}
	signed := func(at time.Time, k guest.Key) *http.Request {
		r := httptest.NewRequest(http.MethodPost, "http://x/a", strings.NewReader("body"))
		k.Sign(r, []byte("body"), peerOne, at)
		return r
	}
	for name, x := range map[string]struct {
		r    *http.Request
		bend func(*http.Request)
		want int
	}{
		"as it was sent":    {signed(now, key), nil, 418},
		"a bit late":        {signed(now.Add(-29*time.Second), key), nil, 418},
		"late":              {signed(now.Add(-31*time.Second), key), nil, 401},
		"early":             {signed(now.Add(31*time.Second), key), nil, 401},
		"another key":       {signed(now, guest.Key("another key, of the same length...")), nil, 401},
		"another path":      {signed(now, key), func(r *http.Request) { r.URL.Path = "/b" }, 401},
		"another query":     {signed(now, key), func(r *http.Request) { r.URL.RawQuery = "b" }, 401},
		"another method":    {signed(now, key), func(r *http.Request) { r.Method = http.MethodPut }, 401},
		"another body":      {signed(now, key), func(r *http.Request) { r.Body = io.NopCloser(strings.NewReader("BODY")) }, 401},
		"another address":   {signed(now, key), field(func(s string) string { return strings.Replace(s, "192.0.2.10", "192.0.2.11", 1) }), 401},
		"another MAC":       {signed(now, key), field(func(s string) string { return strings.Replace(s, ":01", ":02", 1) }), 401},
		"another bridge":    {signed(now, key), field(func(s string) string { return strings.Replace(s, peerOne.Bridge, peerTwo.Bridge, 1) }), 401},
		"two fields":        {signed(now, key), func(r *http.Request) { r.Header["X-Occid-Guest"] = append(r.Header["X-Occid-Guest"], "1") }, 401},
		"no field":          {signed(now, key), func(r *http.Request) { r.Header.Del("X-Occid-Guest") }, 401},
		"a field of spaces": {signed(now, key), field(func(s string) string { return strings.ReplaceAll(s, " ", "  ") }), 401},
		"capitals":          {signed(now, key), field(strings.ToUpper), 401},
		"a part":            {signed(now, key), field(func(s string) string { return s[:len(s)-2] }), 401},
	} {
		if x.bend != nil {
			x.bend(x.r)
		}
		if got := send(x.r); got != x.want {
			t.Errorf("%s: %d, want %d", name, got, x.want)
		}
	}
	r := signed(now, key)
	again := r.Clone(t.Context())
	again.Body = io.NopCloser(strings.NewReader("body"))
	if a, b := send(r), send(again); a != 418 || b != 401 {
		t.Errorf("twice: %d, then %d", a, b)
	}
	// A later request has others forgotten, but none that is still in time.
	recent, copied := signed(now.Add(20*time.Second), key), signed(now, key)
	copied.Header = recent.Header.Clone()
	now = now.Add(20 * time.Second)
	first := send(recent)
	now = now.Add(25 * time.Second)
	if second := send(copied); first != 418 || second != 401 {
		t.Errorf("twice, later: %d, then %d", first, second)
	}
}

func field(change func(string) string) func(*http.Request) {
	return func(r *http.Request) { r.Header["X-Occid-Guest"] = []string{change(r.Header["X-Occid-Guest"][0])} }
}

// FuzzGate looks for a field that is let pass without the key.
func FuzzGate(f *testing.F) {
	r := httptest.NewRequest(http.MethodGet, "http://x/", nil)
	key.Sign(r, nil, peerOne, time.Now())
	f.Add(r.Header.Get("X-Occid-Guest"))
	f.Add("1 0 00 x 02:00:00:00:00:01 ::1%eth0 00")
	gate := &guest.Gate{Answerer: echo{}, Key: guest.Key("the key that nobody of these has."), Logger: quiet()}
	f.Fuzz(func(t *testing.T, field string) {
		r := httptest.NewRequest(http.MethodGet, "http://x/", nil)
		r.Header["X-Occid-Guest"] = []string{field}
		rec := httptest.NewRecorder()
		if gate.ServeHTTP(rec, r); rec.Code != http.StatusUnauthorized {
			t.Errorf("%q is let pass", field)
		}
	})
}

// FuzzPaths looks for a path that shows a machine what is another's, or fails.
func FuzzPaths(f *testing.F) {
	w := twins(f)
	for _, path := range []string{"/", "/latest/meta-data/public-keys/0/openssh-key", "/openstack/latest/meta_data.json", "/nocloud/user-data", "/-/.json",
		"/networkinterface/" + ident(nicTwo).String() + ".json", "/compute/.xml", "/.well-known/org/ogf/occi/-/"} {
		f.Add(path)
	}
	other := ident(machineTwo).String()
	f.Fuzz(func(t *testing.T, path string) {
		r := httptest.NewRequest(http.MethodGet, "http://169.254.169.254/", nil)
		r.URL.Path = path
		rec := httptest.NewRecorder()
		w.handler.Answer(rec, r, peerOne)
		if rec.Code >= 500 || strings.Contains(rec.Body.String(), other) && !strings.Contains(path, other[:8]) {
			t.Errorf("GET %q: %d %.300s", path, rec.Code, rec.Body)
		}
	})
}

func listenUnix(path string) (net.Listener, error) { return net.Listen("unix", path) }
