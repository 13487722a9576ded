package main

import (
	"crypto/tls"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/occid/occid/internal/oidctest"
)

const adminSecret = "open-sesame-8787"

// files writes files of a folder of its own, and gives their paths.
func files(t *testing.T, texts map[string]string) func(name string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range texts {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return func(name string) string { return filepath.Join(dir, name) }
}

const oidcRules = `
- {mechanism: oidc, when: {email: '.*@zitadel\.ch', email_verified: 'true'}, make: true}
- {mechanism: oidc, when: {groups: 'lab-(?P<role>\w+)'}, project: lab, role: '${role}'}
`

// rules is the file of rules that a program was started with.
func (p *program) rules() string {
	return p.cmd.Args[slices.Index(p.cmd.Args, "--auth-rules")+1]
}

// believing starts the program with a provider of OpenID Connect.
func believing(t *testing.T, is *oidctest.Provider, more ...string) *program {
	t.Helper()
	file := files(t, map[string]string{"admin": adminSecret, "client": oidctest.ClientSecret + "\n", "rules": oidcRules})
	return guarded(t, t.TempDir(), append([]string{"--admin-secret-file", file("admin"), "--auth", "oidc,basic,token,session", "--auth-rules", file("rules"),
		"--oidc-issuer", is.Issuer, "--oidc-client", oidctest.Client, "--oidc-secret-file", file("client")}, more...)...)
}

// ask sends a request with header lines, and gives the answer and its text.
func ask(t *testing.T, b *http.Client, method, at, body string, header ...string) (*http.Response, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, at, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	for _, line := range header {
		name, value, _ := strings.Cut(line, ": ")
		r.Header.Set(name, value)
	}
	resp, err := b.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(text)
}

// wants is ask, of which a status is expected.
func wants(t *testing.T, status int, b *http.Client, method, at, body string, header ...string) (*http.Response, string) {
	t.Helper()
	r, text := ask(t, b, method, at, body, header...)
	if r.StatusCode != status {
		t.Fatalf("%s %s: %d, want %d: %s", method, at, r.StatusCode, status, text)
	}
	return r, text
}

func asAdmin() string {
	r := &http.Request{Header: http.Header{}}
	r.SetBasicAuth("admin", adminSecret)
	return "Authorization: " + r.Header.Get("Authorization")
}

// TestOpenIDConnect logs in at a real provider, as a program and as a browser does.
func TestOpenIDConnect(t *testing.T) {
	t.Parallel()
	is := oidctest.Start(t, "127.0.0.1:0")
	p := believing(t, is)
	b := oidctest.Browser(t)
	is.Redirect(p.url + "/login/callback")
	is.Claims(`{"groups":["lab-member","lab-administrator"]}`)
	wants(t, 201, b, "POST", p.url+"/project/", `{"title":"lab"}`, asAdmin())
	r, _ := wants(t, 401, b, "GET", p.url+"/", "")
	if got := r.Header.Values("WWW-Authenticate"); len(got) != 4 || got[0] != `Bearer realm="occid", issuer="`+is.Issuer+`"` {
		t.Errorf("%q", got)
	}

	// A program with a token.
	email := map[string]any{"email": "test-user2@zitadel.ch", "email_verified": true, "groups": []string{"lab-reader"}}
	bearer := "Authorization: Bearer " + is.Token(email)
	_, text := wants(t, 200, b, "GET", p.url+"/-/permissions.json", "", bearer)
	if !strings.Contains(text, `"user":"test-user2","`) || !strings.Contains(text, `"roles":["reader"]`) {
		t.Errorf("%s", text)
	}
	wants(t, 200, b, "GET", p.url+"/compute/", "", "X-Auth-Token: "+is.Token(email))
	wants(t, 401, b, "GET", p.url+"/", "", "Authorization: Bearer "+is.Token(map[string]any{"aud": "other"}))
	wants(t, 403, b, "GET", p.url+"/", "", "Authorization: Bearer "+is.Token(map[string]any{"sub": "another"}))

	// Other rules count once the server is told to read them.
	reloads := func(rules, roles string) {
		t.Helper()
		if err := os.WriteFile(p.rules(), []byte(rules), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := p.cmd.Process.Signal(syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
		for end := time.Now().Add(time.Minute); ; time.Sleep(50 * time.Millisecond) {
			if _, text := ask(t, b, "GET", p.url+"/-/permissions.json", "", bearer); strings.Contains(text, `"roles":["`+roles+`"]`) {
				return
			} else if time.Now().After(end) {
				t.Fatalf("with other rules: %s", text)
			}
		}
	}
	reloads(`[{mechanism: oidc, when: {email: '.*@zitadel\.ch'}, make: true}]`, "none")
	reloads(oidcRules, "reader")

	// A browser.
	r, _ = wants(t, 303, b, "GET", p.url+"/login?to=/compute/.json", "")
	at := r.Header.Get("Location")
	asked, err := url.Parse(at)
	if err != nil {
		t.Fatal(err)
	}
	if q := asked.Query(); q.Get("code_challenge_method") != "S256" || len(q.Get("code_challenge")) < 43 || len(q.Get("state")) < 20 || len(q.Get("nonce")) < 20 || q.Get("response_type") != "code" || q.Get("scope") != "openid profile email" {
		t.Errorf("the browser is sent to %s", at)
	}
	back := is.Login(b, at)
	// Who has not begun it cannot end it, and the code is good for this login alone.
	stranger := oidctest.Browser(t)
	wants(t, 401, stranger, "GET", back, "")
	wants(t, 303, stranger, "GET", p.url+"/login", "")
	if r, _ := wants(t, 401, stranger, "GET", back, ""); strings.Contains(strings.Join(r.Header["Set-Cookie"], ""), "occid=") {
		t.Errorf("a stranger gets %v", r.Header)
	}
	r, _ = wants(t, 303, b, "GET", back, "")
	if r.Header.Get("Location") != "/compute/.json" || r.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("it comes to %v", r.Header)
	}
	csrf := r.Header.Get("X-CSRF-Token")
	_, text = wants(t, 200, b, "GET", p.url+"/-/permissions.json", "")
	if !strings.Contains(text, `"user":"test-user2","`) || !strings.Contains(text, `"roles":["member"]`) {
		t.Errorf("with the session: %s", text)
	}
	wants(t, 201, b, "POST", p.url+"/compute/", `{"title":"a"}`, "X-CSRF-Token: "+csrf)
	wants(t, 403, b, "POST", p.url+"/compute/", `{"title":"a"}`)
	wants(t, 401, b, "GET", back, "") // a second time
	wants(t, 204, b, "POST", p.url+"/logout", "", "X-CSRF-Token: "+csrf)
	wants(t, 401, b, "GET", p.url+"/", "")

	for _, bad := range []string{"?to=https://evil.example", "?to=//evil.example", "?to=/%5Cevil.example", "?to=/x%0d%0aSet-Cookie:x", "?to=javascript:x", "?other=1", "?to=x"} {
		wants(t, 400, b, "GET", p.url+"/login"+bad, "")
	}
	state := func() string {
		r, _ := wants(t, 303, b, "GET", p.url+"/login", "")
		u, err := r.Location()
		if err != nil {
			t.Fatal(err)
		}
		return u.Query().Get("state")
	}
	for _, bad := range []string{"", "?state=", "?state=x&code=y", "?code=y", "?state=STATE", "?state=STATE&state=STATE&code=x", "?state=STATE&error=access_denied", "?state=STATE&code=made-up", "?state=STATE&code=x&iss=https://evil.example"} {
		r, text := ask(t, b, "GET", p.url+"/login/callback"+strings.ReplaceAll(bad, "STATE", state()), "")
		if r.StatusCode != 401 || strings.Contains(strings.Join(r.Header["Set-Cookie"], ""), "occid=") {
			t.Errorf("%s: %d %v %s", bad, r.StatusCode, r.Header, text)
		}
	}
	for _, secret := range []string{strings.TrimPrefix(bearer, "Authorization: Bearer "), oidctest.ClientSecret, csrf} {
		if strings.Contains(p.log.String(), secret) {
			t.Errorf("the log tells %q", secret)
		}
	}
}

// TestProviderOutage: who logs in otherwise does not notice that the provider is away.
func TestProviderOutage(t *testing.T) {
	t.Parallel()
	is := oidctest.Start(t, "127.0.0.1:0")
	token := "Authorization: Bearer " + is.Token(map[string]any{"email": "a@zitadel.ch", "email_verified": true})
	is.Stop()
	begun := time.Now()
	p := believing(t, is) // it starts
	t.Logf("started in %s", time.Since(begun))
	b := oidctest.Browser(t)
	for range 3 {
		r, text := wants(t, 503, b, "GET", p.url+"/", "", token)
		if r.Header.Get("Retry-After") == "" || !strings.Contains(text, "other ways to log in go on") {
			t.Errorf("%v %s", r.Header, text)
		}
		wants(t, 503, b, "GET", p.url+"/login", "")
		wants(t, 200, b, "GET", p.url+"/", "", asAdmin())
	}
	made, _ := wants(t, 201, b, "POST", p.url+"/token/", `{"title":"t"}`, asAdmin())
	wants(t, 200, b, "GET", p.url+"/", "", "X-Auth-Token: "+made.Header.Get("X-Auth-Token"))
	wants(t, 401, b, "GET", p.url+"/", "")
	// It is found again by itself.
	again := oidctest.Start(t, is.Address())
	token = "Authorization: Bearer " + again.Token(map[string]any{"email": "a@zitadel.ch", "email_verified": true})
	for end := time.Now().Add(time.Minute); ; time.Sleep(100 * time.Millisecond) {
		if r, text := ask(t, b, "GET", p.url+"/", "", token); r.StatusCode == 200 {
			break
		} else if time.Now().After(end) {
			t.Fatalf("with the provider back: %d %s", r.StatusCode, text)
		}
	}
	// What was verified counts on while it is away.
	again.Stop()
	wants(t, 200, b, "GET", p.url+"/", "", token)
}

// TestClientCertificates logs in over TLS by what the client shows, and otherwise without.
func TestClientCertificates(t *testing.T) {
	t.Parallel()
	home := t.TempDir()
	openssl := func(args ...string) {
		t.Helper()
		cmd := exec.Command("openssl", args...)
		cmd.Dir = home
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("openssl %v: %v\n%s", args, err, out)
		}
	}
	file := files(t, map[string]string{"admin": adminSecret, "rules": `
- {mechanism: cert, when: {dn: '/O=Physics/CN=(?P<name>\w+)'}, make: true, login: '${name}'}
- {mechanism: cert, when: {subject: 'CN=\w+,O=Physics'}, project: lab, role: member}
`})
	for _, ca := range []string{"ca", "other"} {
		openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", ca+".key", "-out", ca+".pem", "-days", "2", "-subj", "/CN=Test CA")
	}
	show := func(ca, subject string, days string) *http.Client {
		t.Helper()
		openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", "c.key", "-out", "c.csr", "-subj", subject)
		openssl("x509", "-req", "-in", "c.csr", "-CA", ca+".pem", "-CAkey", ca+".key", "-CAcreateserial", "-days", days, "-out", "c.pem")
		pair, err := tls.LoadX509KeyPair(filepath.Join(home, "c.pem"), filepath.Join(home, "c.key"))
		if err != nil {
			t.Fatal(err)
		}
		b := trusting(t, filepath.Join(home, "data", "tls.crt"))
		b.Transport.(*http.Transport).TLSClientConfig.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &pair, nil }
		return b
	}
	p := guarded(t, home, "--admin-secret-file", file("admin"), "--auth", "cert,basic,token,session", "--auth-rules", file("rules"), "--tls-self-signed", "--client-ca", filepath.Join(home, "ca.pem"))
	none := trusting(t, filepath.Join(home, "data", "tls.crt"))
	wants(t, 201, none, "POST", p.url+"/project/", `{"title":"lab"}`, asAdmin())
	r, _ := wants(t, 401, none, "GET", p.url+"/", "")
	if got := r.Header.Values("WWW-Authenticate"); len(got) != 4 || got[0] != `Certificate realm="occid"` {
		t.Errorf("%q", got)
	}
	ann := show("ca", "/O=Physics/CN=Ann", "1")
	r, text := wants(t, 200, ann, "GET", p.url+"/-/permissions.json", "")
	if r.ProtoMajor != 2 || !strings.Contains(text, `"user":"Ann","`) || !strings.Contains(text, `"roles":["member"]`) {
		t.Errorf("%s: %s", r.Proto, text)
	}
	wants(t, 201, ann, "POST", p.url+"/compute/", `{"title":"a"}`)
	wants(t, 403, ann, "POST", p.url+"/compute/", `{"title":"a"}`, "Origin: https://evil.example") // as any page can have a browser do
	wants(t, 403, show("ca", "/O=Chemistry/CN=Eve", "1"), "GET", p.url+"/", "")
	wants(t, 401, show("other", "/O=Physics/CN=Ann", "1"), "GET", p.url+"/", "")
	wants(t, 401, show("ca", "/O=Physics/CN=Old", "-1"), "GET", p.url+"/", "")

	// Another file counts without a start.
	text2, err := os.ReadFile(filepath.Join(home, "other.pem"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(home, "ca.pem"), text2, 0o600); err != nil {
		t.Fatal(err)
	}
	bob := show("other", "/O=Physics/CN=Bob", "1")
	for end := time.Now().Add(time.Minute); ; time.Sleep(100 * time.Millisecond) {
		if r, text := ask(t, bob, "GET", p.url+"/", ""); r.StatusCode == 200 {
			break
		} else if time.Now().After(end) {
			t.Fatalf("%d %s", r.StatusCode, text)
		}
	}
}

// TestMechanismsThatAreNot: the program does not start with a way to log in that it could
// not offer.
func TestMechanismsThatAreNot(t *testing.T) {
	t.Parallel()
	file := files(t, map[string]string{"rules": "[{}]", "secret": ""})
	for want, args := range map[string][]string{
		`no mechanism "kerberos"`:     {"--auth", "basic,kerberos"},
		"oidc is not configured":      {"--auth", "basic,oidc"},
		"cert is not configured":      {"--auth", "cert"},
		"external is not configured":  {"--auth", "external"},
		"oidc is configured, but not": {"--oidc-issuer", "https://idp.example.org", "--oidc-client", "x"},
		"by no client":                {"--auth", "oidc", "--oidc-issuer", "https://idp.example.org"},
		"no https URL":                {"--auth", "oidc", "--oidc-issuer", "http://idp.example.org", "--oidc-client", "x"},
		`"HS256" is no algorithm`:     {"--auth", "oidc", "--oidc-issuer", "https://idp.example.org", "--oidc-client", "x", "--oidc-algorithms", "HS256"},
		"--oidc-issuer is missing":    {"--oidc-client", "x"},
		"the file is empty":           {"--auth", "oidc", "--oidc-issuer", "https://idp.example.org", "--oidc-client", "x", "--oidc-secret-file", file("secret")},
		"gives nothing":               {"--auth-rules", file("rules")},
		"--auth-program: stat":        {"--auth", "external", "--auth-program", "/nowhere", "--auth-program-schemes", "X"},
		"for --auth-program":          {"--auth-program-schemes", "X"},
		"for --client-ca":             {"--voms-dir", "/"},
		"speaks TLS itself":           {"--auth", "cert", "--client-ca", file("rules")},
		"has no certificate":          {"--auth", "cert", "--client-ca", file("rules"), "--tls-self-signed"},
	} {
		cmd := exec.Command(os.Args[0], append([]string{"--listen", "127.0.0.1:0", "--data", filepath.Join(t.TempDir(), "data")}, args...)...)
		cmd.Env = append(os.Environ(), asProgram+"=1")
		p := begin(t, cmd)
		if p.url != "" || !strings.Contains(p.log.String(), want) {
			t.Errorf("%v: %s, want %q", args, p.log, want)
		}
	}
}
