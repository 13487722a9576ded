package main

import (
	"context"
	"encoding/base64"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/occid/occid/hypervisor/libvirt"
	"github.com/occid/occid/internal/engine"
	"github.com/occid/occid/internal/guest"
)

// A secret is kept by the server in one of these ways.
type keeping int

const (
	hashed  keeping = iota // nothing that is stored has it
	private                // who has to do with its entity may read it there
)

// planted is a secret that the server is given, or gives out.
type planted struct {
	text string
	keeping
}

// garden is a server in which secrets are planted.
type garden struct {
	*program
	secrets map[string]planted
}

// plant makes a secret up, of a text that is nowhere else.
func (g *garden) plant(name string, k keeping) string {
	text := "planted-" + strings.ReplaceAll(uuid.NewString(), "-", "")
	g.found(name, k, text)
	return text
}

func (g *garden) found(name string, k keeping, text string) {
	g.secrets[name] = planted{text, k}
}

// told lists the secrets that a text holds, plain or in base64.
func (g *garden) told(text string, of ...keeping) (names []string) {
	for name, s := range g.secrets {
		if len(of) > 0 && !slices.Contains(of, s.keeping) {
			continue
		}
		if strings.Contains(text, s.text) || inBase64(text, s.text) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// inBase64 reports whether a text holds a secret in base64, wherever in what was encoded
// it is: the middle of it is as one of three texts.
func inBase64(text, secret string) bool {
	for skip := range 3 {
		middle := base64.StdEncoding.EncodeToString([]byte(strings.Repeat("x", skip) + secret))
		if middle = middle[4 : len(middle)-4]; strings.Contains(text, middle) {
			return true
		}
	}
	return false
}

// TestSecretsStaySecret gives the server secrets of twenty kinds, in requests that succeed
// and in ones that fail, and looks for them in all that it tells and keeps.
func TestSecretsStaySecret(t *testing.T) {
	t.Parallel()
	home := t.TempDir()
	g := &garden{secrets: map[string]planted{}}
	source := httptest.NewTLSServer(http.NotFoundHandler())
	t.Cleanup(source.Close)
	write := func(name, text string) string {
		t.Helper()
		path := filepath.Join(home, name)
		if err := os.WriteFile(path, []byte(text+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	admin := g.plant("the first administrator's secret", hashed)
	key := strings.Repeat("k", 24) + g.plant("the key of guest proxies", hashed)
	socket := filepath.Join(home, "guest.sock")
	program := write("login", "#!/bin/sh\ncat >&2\nexit 1")
	if err := os.Chmod(program, 0o700); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(os.Args[0], "--auth", "basic,token,session,external", "--auth-program", program, "--auth-program-schemes", "Negotiate", "--listen", "127.0.0.1:0", "--data", filepath.Join(home, "data"), "--log-level", "debug",
		"--admin-secret-file", write("secret", admin), "--guest-listen", "unix:"+socket, "--guest-key-file", write("guest.key", key), "--guest-bridges", "none",
		"--image-hosts", source.Listener.Addr().String(), "--image-private")
	cmd.Env = append(os.Environ(), asProgram+"=1", "OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:1", "OTEL_BSP_SCHEDULE_DELAY=20",
		"OTEL_EXPORTER_OTLP_HEADERS=authorization=Bearer%20"+g.plant("a header field for the collector of spans", hashed))
	g.program = launch(t, cmd)

	people := g.people(admin)
	g.entities(people, source.URL)
	g.failures(people)
	g.guest(people, socket, guest.Key(key))
	g.settles(people["admin"])
	if len(g.secrets) < 20 {
		t.Errorf("only %d kinds of secrets were planted", len(g.secrets))
	}
	g.look(people)
	if names := g.told(g.log.String()); names != nil {
		t.Errorf("the log tells %s", names)
	}
	g.stop()
	if names := g.told(g.log.String()); names != nil {
		t.Errorf("the log tells %s", names)
	}
	err := filepath.WalkDir(filepath.Join(home, "data"), func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		text, err := os.ReadFile(path)
		if names := g.told(string(text), hashed); names != nil {
			t.Errorf("%s holds %s", path, names)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

// visitor sends requests with what it logs in by.
type visitor struct {
	g     *garden
	login []string
}

// asks sends a request, and reports what its answer gives away of what it should not.
func (v *visitor) asks(status int, method, path, body string, header ...string) (http.Header, string) {
	v.g.t.Helper()
	return v.g.curl(status, method, path, body, append(header, v.login...)...)
}

// made creates an entity and gives its path.
func (v *visitor) made(collection, descriptor string) string {
	v.g.t.Helper()
	h, _ := v.asks(201, "POST", collection, descriptor, asJSON, "Prefer: wait=20")
	return strings.TrimPrefix(h.Get("Location"), v.g.url)
}

// people makes users of two projects, who log in in every way there is.
func (g *garden) people(admin string) map[string]*visitor {
	g.t.Helper()
	by := func(login, secret string) *visitor {
		return &visitor{g, []string{"Authorization: " + basicField(login, secret)}}
	}
	p := map[string]*visitor{"admin": by("admin", admin)}
	for _, name := range []string{"ann", "bob", "oda"} {
		secret := g.plant("the first secret of "+name, hashed)
		p["admin"].made("/user/", `{"name":"`+name+`","secret":"`+secret+`"}`)
		p[name] = by(name, secret)
	}
	theirs := map[string]string{"ann": p["admin"].made("/project/", `{"title":"lab"}`), "bob": p["admin"].made("/project/", `{"title":"other"}`)}
	theirs["oda"] = theirs["ann"]
	for name, role := range map[string]string{"ann": "member", "bob": "member", "oda": "auditor"} {
		_, user := p["admin"].asks(200, "GET", "/user/.uri?name="+name, "")
		p["admin"].made("/membership/", `{"source":"`+strings.TrimPrefix(strings.TrimSpace(user), g.url)+`","target":"`+theirs[name]+`","role":"`+role+`"}`)
	}
	changed := g.plant("a secret that was changed", hashed)
	_, user := p["ann"].asks(200, "GET", "/user/.uri", "")
	p["ann"].asks(200, "POST", strings.TrimPrefix(strings.TrimSpace(user), g.url), `{"secret":"`+changed+`"}`, asJSON)
	p["ann"] = by("ann", changed)
	h, _ := p["ann"].asks(201, "POST", "/token/", `{"title":"script"}`, asJSON)
	g.found("a token", hashed, h.Get("X-Auth-Token"))
	h, _ = p["ann"].asks(201, "POST", "/session/", `{"title":"browser"}`, asJSON)
	cookie, _, _ := strings.Cut(h.Get("Set-Cookie"), ";")
	_, value, _ := strings.Cut(cookie, "=")
	g.found("a session of a browser", hashed, value)
	g.found("what a page shows with a session", hashed, h.Get("X-CSRF-Token"))
	(&visitor{g, []string{"Cookie: " + cookie}}).asks(200, "GET", "/compute/", "")
	h, _ = g.curl(204, "GET", "/v1.0", "", "X-Auth-User: ann", "X-Auth-Key: "+changed)
	g.found("a token that a key was exchanged for", hashed, h.Get("X-Auth-Token"))
	(&visitor{g, []string{"X-Auth-Token: " + h.Get("X-Auth-Token")}}).asks(200, "GET", "/compute/", "")
	return p
}

// entities makes what holds secrets.
func (g *garden) entities(p map[string]*visitor, source string) {
	g.t.Helper()
	ssh := base64.StdEncoding.EncodeToString([]byte("-----BEGIN OPENSSH PRIVATE KEY-----\n" + g.plant("an SSH key in user data", private)))
	const in = "http://schemas.openstack.org/compute/instance#user_data"
	vm := p["ann"].made("/compute/", `{"title":"a","mixins":["`+in+`","http://schemas.occid.org/occi/compute#guest","http://schemas.occid.org/occi/core#direct_boot"],
		"occi.compute.user_data":"#cloud-config\npassword: `+g.plant("a password in user data", private)+`","org.openstack.compute.user_data":"`+ssh+`",
		"metadata":"db_password=`+g.plant("a password in metadata", private)+`","cmdline":"root=/dev/vda key=`+g.plant("a kernel's command line", private)+`"}`)
	p["ann"].asks(200, "POST", vm, `{"metadata":"db_password=`+g.plant("a password in metadata that was changed", private)+`"}`, asJSON, "Prefer: wait=20")
	p["ann"].asks(200, "POST", vm+"?action=start", "", "Prefer: wait=20")
	p["ann"].asks(201, "POST", "/storage/", `{"title":"d","size":"1 GiB"}`, asJSON, "Idempotency-Key: "+g.plant("an idempotency key", hashed))
	const image, shared = "http://schemas.occid.org/occi/storage#image", "http://schemas.occid.org/occi/identity#shared"
	signed := source + "/image.qcow2?X-Signature=" + g.plant("the signature of an image's URL", private)
	p["admin"].asks(201, "POST", "/storage/", `{"title":"i","size":"1 GiB","mixins":["`+image+`","`+shared+`"],"image_source":"`+signed+`"}`, asJSON, "Prefer: wait=20")
	for _, query := range []string{"q=" + signed[len(signed)-8:], "image_source.ge=https", "sort=image_source"} {
		// Else it could be guessed bit by bit.
		if status, _, text, err := g.ask("GET", "/storage/.uri?"+query, "", p["bob"].login...); err != nil || status == 200 && strings.TrimSpace(text) != "" {
			g.t.Errorf("%s finds %s, %v", query, text, err)
		}
	}
}

// failures are requests that are refused, and starts of servers.
func (g *garden) failures(p map[string]*visitor) {
	t := g.t
	t.Helper()
	nobody := &visitor{g: g}
	refused := func(v *visitor, method, path, body string, header ...string) {
		t.Helper()
		status, h, text, err := g.ask(method, path, body, append(header, v.login...)...)
		if err != nil || status < 400 || status >= 500 {
			t.Errorf("%s %s: %d, %v", method, path, status, err)
		}
		if names := g.told(text + fmt.Sprint(h)); names != nil {
			t.Errorf("the answer to %s %s tells %s: %s", method, path, names, text)
		}
	}
	refused(nobody, "GET", "/", "", "Authorization: "+basicField("ann", g.plant("a wrong secret", hashed)))
	refused(nobody, "GET", "/", "", "Authorization: "+basicField(g.plant("a secret in the place of a login", hashed), "x"))
	refused(nobody, "GET", "/", "", "Authorization: Bearer "+g.plant("a token that is none", hashed))
	refused(nobody, "GET", "/", "", "Authorization: Negotiate "+g.plant("what a program is asked about", hashed))
	refused(nobody, "GET", "/v1.0", "", "X-Auth-User: ann", "X-Auth-Key: "+g.plant("a wrong key", hashed))
	refused(nobody, "GET", "/", "", "Cookie: session="+g.plant("a cookie", hashed), "Proxy-Authorization: Basic "+g.plant("a login for a proxy", hashed))
	refused(p["admin"], "POST", "/user/", `{"name":"eve","secret":"`+strings.Repeat(g.plant("a secret that is too long", hashed), 10)+`"}`, asJSON)
	refused(p["admin"], "POST", "/user/", `{"name":"ann","secret":"`+g.plant("a secret for a name that is taken", hashed)+`"}`, asJSON)
	refused(p["admin"], "POST", "/user/", `{"name":"eve","passphrase":"`+g.plant("a secret in the wrong attribute", hashed)+`"}`, asJSON)
	refused(p["admin"], "POST", "/user/", `{"name":"eve","secret":"`+g.plant("a secret in a body that is cut off", hashed), asJSON)
	refused(p["admin"], "POST", "/host/", `{"title":"h","uri":"qemu+ssh://root:`+g.plant("a password in a host's URI", hashed)+`@127.0.0.1/system"}`, asJSON)
	for _, url := range []string{"https://u:" + g.plant("a password in an image's URL", hashed) + "@127.0.0.1/i", "ftp://u:" + g.plant("a password in another URL", hashed) + "@127.0.0.1/i"} {
		refused(p["ann"], "POST", "/storage/", `{"title":"i","size":"1 GiB","mixins":["http://schemas.occid.org/occi/storage#image"],"image_source":"`+url+`"}`, asJSON)
	}
	pair := filepath.Join(t.TempDir(), "tls.pem")
	pem := "-----BEGIN PRIVATE KEY-----\n" + base64.StdEncoding.EncodeToString([]byte(g.plant("a key of TLS", hashed))) + "\n-----END PRIVATE KEY-----\n"
	if err := os.WriteFile(pair, []byte(pem), 0o600); err != nil {
		t.Fatal(err)
	}
	dsn := "postgres://occid:" + g.plant("a password of the database", hashed) + "@127.0.0.1:1/occid?connect_timeout=2"
	for _, args := range [][]string{
		{"--tls-cert", pair, "--tls-key", pair}, {"--db", dsn}, {"--db", dsn + "&sslmode=none"}, {"--db", strings.Replace(dsn, "postgres", "mysql", 1)},
		{"--libvirt", "qemu+ssh://root:" + g.plant("a password in the URI of --libvirt", hashed) + "@127.0.0.1/system"},
	} {
		cmd := exec.Command(os.Args[0], append([]string{"--listen", "127.0.0.1:0", "--data", t.TempDir(), "--log-level", "debug"}, args...)...)
		cmd.Env = append(os.Environ(), asProgram+"=1")
		out, err := cmd.CombinedOutput()
		if names := g.told(string(out)); err == nil || names != nil {
			t.Errorf("a server with %s ends with %v and tells %s: %s", args[0], err, names, out)
		}
	}
}

// guest has a machine ask for a token about itself, and with another.
func (g *garden) guest(p map[string]*visitor, socket string, key guest.Key) {
	t := g.t
	t.Helper()
	lan := p["ann"].made("/network/", `{"title":"n","address":"192.0.2.0/24"}`)
	vm := p["ann"].made("/compute/", `{"title":"g","links":[{"type":"networkinterface","target":"`+lan+`"}]}`)
	p["ann"].asks(200, "POST", vm+"?action=start", "", "Prefer: wait=20")
	_, text := p["ann"].asks(200, "GET", vm, "")
	mac := regexp.MustCompile(`networkinterface\.mac="([0-9a-f:]+)"`).FindStringSubmatch(text)
	address := regexp.MustCompile(`networkinterface\.address="([0-9.]+)"`).FindStringSubmatch(text)
	if mac == nil || address == nil {
		t.Fatalf("the machine has no interface: %s", text)
	}
	peer := guest.Peer{Bridge: libvirt.BridgeOf(uuid.MustParse(lan[len("/network/"):])), MAC: mac[1], Addr: netip.MustParseAddr(address[1])}
	transport := &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", socket)
	}}
	ask := func(want int, method, path, name, value string) string {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), method, "http://localhost"+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set(name, value)
		key.Sign(r, nil, peer, time.Now())
		resp, err := transport.RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		var b strings.Builder
		if err := resp.Write(&b); err != nil || resp.StatusCode != want {
			t.Fatalf("%s %s: %d, want %d, %v: %s", method, path, resp.StatusCode, want, err, b.String())
		}
		return b.String()
	}
	const token = "X-aws-ec2-metadata-token"
	given := ask(200, "PUT", "/latest/api/token", token+"-ttl-seconds", "60")
	given = strings.TrimSpace(given[strings.LastIndex(given, "\r\n\r\n")+4:])
	g.found("a token of a machine", hashed, given)
	ask(200, "GET", "/latest/meta-data/", token, given)
	ask(401, "GET", "/latest/meta-data/", token, g.plant("a token that is no machine's", hashed))
}

// settles waits for the records of what was refused, and for all tasks.
func (g *garden) settles(admin *visitor) {
	g.t.Helper()
	for g.ctx.Err() == nil {
		_, tasks := admin.asks(200, "GET", "/task/.uri?state=running", "")
		_, records := admin.asks(200, "GET", "/audit/.uri?status=401&number=100", "")
		_, failed := admin.asks(200, "GET", "/audit/.uri?what=failed", "")
		if strings.TrimSpace(tasks) == "" && strings.Count(records, "/audit/") >= 2 && strings.TrimSpace(failed) != "" {
			return
		}
		select {
		case <-g.ctx.Done():
		case <-time.After(50 * time.Millisecond):
		}
	}
	g.t.Fatalf("requests that were refused are not in the trail\n%s", g.log)
}

// look has everybody read everything in every rendering.
func (g *garden) look(p map[string]*visitor) {
	t := g.t
	t.Helper()
	medias := []string{"text/plain", "text/occi", "text/uri-list", "application/json", "application/xml", "application/yaml", "application/occi+json",
		"application/occi+text", "application/atom+xml", "application/ovf", "text/csv"}
	paths := []string{"/", "/?content=json", "/-/", "/-/permissions", "/-/states", "/audit/?number=10000", "/audit/?content=json&number=10000", "/events?number=1000", "/usage", "/usage?by=entity",
		"/metrics", "/healthz", "/task/", "/tasklink/", "/mixin/", "/mixin/shared/", "/schema/", "/resource/", "/link/"}
	for _, kind := range []string{"compute", "storage", "network", "networkinterface", "storagelink", "user", "project", "membership", "token", "session", "identity", "host", "pool"} {
		paths = append(paths, "/"+kind+"/")
		_, uris := p["admin"].asks(200, "GET", "/"+kind+"/.uri", "")
		for uri := range strings.FieldsSeq(uris) {
			path := strings.TrimPrefix(uri, g.url)
			paths = append(paths, path, path+"/tasks/")
		}
	}
	looks := 0
	for name, v := range p {
		for _, path := range paths {
			for _, media := range medias {
				status, h, text, err := g.ask("GET", path, "", append([]string{"Accept: " + media}, v.login...)...)
				if err != nil || status >= 500 {
					t.Fatalf("%s %s as %s: %d, %v: %s", name, path, media, status, err, text)
				}
				looks++
				all := text + fmt.Sprint(h)
				names := g.told(all)
				// Whose an entity is may read what is private there.
				if name != "bob" && !regexp.MustCompile(`^/(audit|events|usage|metrics|task|tasklink|-|user|token)|/tasks/`).MatchString(path) {
					names = g.told(all, hashed)
				}
				if names != nil {
					t.Errorf("%s is told %s at %s as %s", name, names, path, media)
				}
			}
		}
	}
	if looks < 1000 {
		t.Errorf("only %d answers were looked at", looks)
	}
}

// TestFenceTellsNoSecret has a fence command show all that it knows.
func TestFenceTellsNoSecret(t *testing.T) {
	t.Setenv("BMC_PASSWORD", "planted-in-the-environment")
	t.Setenv("OCCID_DB", "postgres://occid:planted-for-the-database@h/db")
	t.Setenv("OTEL_EXPORTER_OTLP_HEADERS", "authorization=planted-for-spans")
	script := filepath.Join(t.TempDir(), "fence")
	if err := os.WriteFile(script, []byte("#!/bin/sh\nenv\nexit 1\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	err := (&options{FenceCommand: script}).fence()(t.Context(), &engine.Fenced{Name: "qemu:///system", Hostname: "h1"})
	if err == nil || strings.Contains(err.Error(), "planted") || !strings.Contains(err.Error(), "BMC_PASSWORD=***") || !strings.Contains(err.Error(), "OCCID_HOST_NAME=h1") {
		t.Errorf("%v", err)
	}
}
