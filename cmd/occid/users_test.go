package main

import (
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// usersNames are what documents write for what is made, by what the answer that
// makes it has.
var usersNames = map[string]*regexp.Regexp{
	"PROJECT": regexp.MustCompile(`/project/([0-9a-f-]{36})`), "USER": regexp.MustCompile(`/user/([0-9a-f-]{36})`),
	"UUID": regexp.MustCompile(`/compute/([0-9a-f-]{36})`), "NETWORK": regexp.MustCompile(`/network/([0-9a-f-]{36})`),
	"QUOTA": regexp.MustCompile(`/quota/([0-9a-f-]{36})`),
	"TOKEN": regexp.MustCompile(`(?i)X-Auth-Token: (\S+)`),
}

// guarded starts the program with a way to log in, and gives its URL and its errors.
func guarded(t *testing.T, home string, args ...string) *program {
	t.Helper()
	cmd := exec.Command(os.Args[0], append([]string{"--listen", "127.0.0.1:0", "--data", filepath.Join(home, "data")}, args...)...)
	cmd.Env = append(os.Environ(), asProgram+"=1")
	return launch(t, cmd)
}

func TestUsersDocument(t *testing.T) {
	t.Parallel()
	if known := followed(t, "users.md", 10); known["TOKEN"] == "" {
		t.Errorf("it makes %v", known)
	}
}

func TestQuotasDocument(t *testing.T) {
	t.Parallel()
	if known := followed(t, "quotas.md", 8); known["QUOTA"] == "" {
		t.Errorf("it makes %v", known)
	}
}

// followed runs the commands of a document at a server at which people log in, and gives what
// they made.
func followed(t *testing.T, document string, least int) map[string]string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("../../docs", document))
	if err != nil {
		t.Fatal(err)
	}
	more, err := os.ReadFile("../../docs/login.md")
	if err != nil {
		t.Fatal(err)
	}
	text = append(text, more...)
	home := t.TempDir()
	for name, content := range map[string]string{".curlrc": "silent\nshow-error\nfail-with-body\n", "secret": "open-sesame-8787\n"} {
		if err := os.WriteFile(filepath.Join(home, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	known := map[string]string{"http://127.0.0.1:8787": guarded(t, home, "--admin-secret-file", filepath.Join(home, "secret")).url}
	lines := 0
	for _, block := range shell.FindAllStringSubmatch(string(text), -1) {
		for line := range strings.Lines(block[1]) {
			lines++
			out := shellLine(t, home, filled(strings.TrimSpace(line), known))
			for name, is := range usersNames {
				if m := is.FindStringSubmatch(out); m != nil && known[name] == "" {
					known[name] = m[1]
				}
			}
		}
	}
	if lines < least {
		t.Fatalf("%d lines made %v", lines, known)
	}
	return known
}

func TestFirstAdministrator(t *testing.T) {
	t.Parallel()
	home := t.TempDir()
	told := regexp.MustCompile(`The first administrator is admin, with the secret (\S+)\. It is not shown again\.`)
	p := guarded(t, home)
	var secret []string
	for end := time.Now().Add(time.Minute); secret == nil && time.Now().Before(end); {
		// What it writes comes on another way than where it listens.
		select {
		case <-p.log.seen:
		case <-time.After(10 * time.Millisecond):
		}
		secret = told.FindStringSubmatch(p.log.String())
	}
	if secret == nil {
		t.Fatalf("nothing tells how to log in: %s", p.log)
	}
	status := func(p *program, secret string) int {
		t.Helper()
		req, err := http.NewRequest("GET", p.url+"/", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.SetBasicAuth("admin", secret)
		resp, err := direct.Transport.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		return resp.StatusCode
	}
	if got := status(p, secret[1]); got != 200 {
		t.Errorf("the secret that is shown gives %d", got)
	}
	if got := status(p, "other"); got != 401 {
		t.Errorf("another secret gives %d", got)
	}
	p.kill()
	p = guarded(t, home)
	if strings.Contains(p.log.String(), "administrator is") || status(p, secret[1]) != 200 {
		t.Errorf("at the second start: %s", p.log)
	}
}
